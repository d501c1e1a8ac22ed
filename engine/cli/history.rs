//! `engine history`: how the speed-ups of a spec have moved from run to run.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::Shared;
use super::exit::{Exit, Failure};
use super::report::width;
use crate::base::chain;
use crate::base::files::replace_file;
use crate::base::text::inert;
use crate::record::Record;
use crate::report::history::{past, timeline, timeline_markdown};
use crate::report::{Options, ReportError};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  engine history results/llama_int8
  engine history results/llama_int8 --metric ttft --last 5
  engine history results/llama_int8 --format json -o history.json

Each point is the speed-up over the reference within one run: raw times of different days are never
set in a row. Runs of different machines are kept apart. Changes are looked for from 10 runs on.")]
pub struct History {
    /// Folder with the result folders of one spec.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// The metric of the ratios; the one that decided in the newest run when left out.
    #[arg(long, value_name = "METRIC")]
    metric: Option<String>,
    /// The variant that the others are divided by; the newest run's baseline when left out.
    #[arg(long, value_name = "VARIANT")]
    reference: Option<String>,
    /// Runs listed of each cell.
    #[arg(long, value_name = "N", default_value_t = 20)]
    last: usize,
    /// How it is written.
    #[arg(long, value_enum, default_value = "terminal")]
    format: Format,
    /// Write to this file.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Terminal,
    Markdown,
    Json,
}

impl History {
    pub fn execute(self, shared: &Shared) -> Result<Exit, Failure> {
        let records = read(&self.folder)?;
        let found = past(&records, self.metric.as_deref(), self.reference.as_deref());
        let found = found.map_err(|error| Failure::invalid(error.to_string()))?;
        let Some(past) = found else {
            let text = format!("no folder in `{}` has a record.json", self.folder.display());
            return Err(Failure::invalid(text)
                .hint("name the folder of a spec, such as `results/llama_int8`"));
        };
        let text = match self.format {
            Format::Terminal => {
                let colour = shared.colour && self.output.is_none();
                timeline(&past, self.last, colour, width())
            }
            Format::Markdown => timeline_markdown(&past, self.last, &Options::default())?,
            Format::Json => {
                let text = serde_json::to_string_pretty(&past).map_err(ReportError::Json)?;
                format!("{text}\n")
            }
        };
        match &self.output {
            None => print!("{text}"),
            Some(path) => replace_file(path, text.as_bytes())?,
        }
        Ok(Exit::Done)
    }
}

/// The records of all runs in `folder`. One that cannot be read is named on stderr and left out:
/// it must not hide the others.
fn read(folder: &Path) -> Result<Vec<Record>, Failure> {
    let entries = std::fs::read_dir(folder).map_err(|error| {
        Failure::invalid(format!("cannot read `{}`: {error}", folder.display()))
    })?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.join("record.json").is_file());
    paths.sort();
    let mut out: Vec<Record> = Vec::new();
    for path in paths {
        match Record::read(&path) {
            // A copy under another name, such as a baseline, is the same run.
            Ok(record) if out.iter().any(|known| known.run.id == record.run.id) => {}
            Ok(record) => out.push(record),
            Err(error) => eprintln!("left out: {}", inert(&chain(&error))),
        }
    }
    Ok(out)
}
