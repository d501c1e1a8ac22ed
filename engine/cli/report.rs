//! `engine report`: stored runs rendered again.

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;

use super::Shared;
use super::exit::{Exit, Failure};
use crate::base::files::{FileError, replace_file, replace_file_with};
use crate::record::Record;
use crate::report::{self, EXPORTERS, Exporter, Options};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  engine report results/llama_int8/RUN                  write every format beside the record again
  engine report RUN --format markdown                   to stdout
  engine report RUN RUN --format html -o compared.html  several runs side by side")]
pub struct Report {
    /// Result folders or record.json files.
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// One format to stdout or to `--output`: markdown, html, json, csv or terminal.
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Write to this file.
    #[arg(short, long, value_name = "FILE", requires = "format")]
    output: Option<PathBuf>,
    /// Folder whose templates stand in for those compiled in.
    #[arg(long, value_name = "DIR")]
    templates: Option<PathBuf>,
    /// Open the HTML report with the system's viewer.
    #[arg(long)]
    open: bool,
}

impl Report {
    pub fn execute(self, shared: &Shared) -> Result<Exit, Failure> {
        let records: Vec<Record> =
            self.runs.iter().map(|run| Record::read(run)).collect::<Result<_, _>>()?;
        let report = report::build(&records);
        let options = Options { templates: self.templates.clone() };
        let mut html = None;
        if let Some(format) = &self.format {
            let text = match format.as_str() {
                "terminal" => report::terminal(&report, shared.colour, width()),
                other => report::export(&report, other, &options).map_err(|error| match error {
                    report::ReportError::Format { .. } => {
                        let known: Vec<_> = EXPORTERS.iter().map(|e| e.id).collect();
                        Failure::invalid(crate::base::chain(&error))
                            .hint(format!("expected terminal, {}", known.join(", ")))
                    }
                    other => other.into(),
                })?,
            };
            match &self.output {
                None => print!("{text}"),
                Some(path) => {
                    replace_file(path, text.as_bytes())?;
                    html = (format == "html").then(|| path.clone());
                }
            }
        } else if let [run] = &self.runs[..] {
            let folder = if run.is_dir() { run.clone() } else { parent(run) };
            for exporter in EXPORTERS {
                println!("{}", write_report(exporter, &report, &options, &folder)?.display());
            }
            html = Some(folder.join("report.html"));
        } else {
            print!("{}", report::terminal(&report, shared.colour, width()));
        }
        if self.open {
            open(html.as_deref())?;
        }
        Ok(Exit::Done)
    }
}

/// Writes the report in one format into `folder`, never the whole of it in memory. Returns where.
pub fn write_report(
    exporter: &Exporter,
    report: &report::Report<'_>,
    options: &Options,
    folder: &Path,
) -> Result<PathBuf, FileError> {
    let path = folder.join(exporter.file);
    replace_file_with(&path, |out| {
        (exporter.export)(report, options, out).map_err(io::Error::other)
    })?;
    Ok(path)
}

fn parent(path: &Path) -> PathBuf {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

/// Columns of the terminal, 100 without one.
pub fn width() -> usize {
    std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| {
        // SAFETY: the call fills in plain data of the size that its request number means.
        unsafe {
            let mut size: libc::winsize = std::mem::zeroed();
            let known = libc::ioctl(1, libc::TIOCGWINSZ, &raw mut size) == 0 && size.ws_col > 0;
            if known { usize::from(size.ws_col) } else { 100 }
        }
    })
}

fn open(html: Option<&Path>) -> Result<(), Failure> {
    let Some(path) = html else {
        return Err(Failure::invalid("there is no HTML file to open")
            .hint("use `--open` with one run, or with `--format html --output FILE`"));
    };
    let viewer = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let started = std::process::Command::new(viewer).arg(path).status();
    match started {
        Ok(status) if status.success() => Ok(()),
        _ => Err(Failure::broken(format!("`{viewer}` cannot open `{}`", path.display()))),
    }
}
