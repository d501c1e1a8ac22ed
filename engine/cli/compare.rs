//! `engine compare`: one stored run held against another.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Shared;
use super::exit::{Exit, Failure};
use super::report::width;
use super::runs::stored;
use crate::base::files::replace_file;
use crate::report::history::{Compared, Difference, compare, markdown, terminal};
use crate::report::{self, Options};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  engine compare results/llama_int8/OLD results/llama_int8/NEW
  engine compare OLD NEW --format markdown -o comment.md     for a pull request
  engine compare OLD NEW --fail-on-regression                ends with 4 when something regressed

A variant's verdict rests on how its ratio to the baseline of its own run has changed; that of the
baseline, which has no such ratio, on its own numbers.")]
pub struct Compare {
    /// The earlier run: a result folder, a record.json, or the id of a run below `--results`.
    #[arg(value_name = "BEFORE")]
    before: PathBuf,
    /// The later run.
    #[arg(value_name = "AFTER")]
    after: PathBuf,
    /// Compare although the runs were made on different machines; absolute numbers are never judged then.
    #[arg(long)]
    across_machines: bool,
    /// End with exit code 4 when something regressed.
    #[arg(long)]
    fail_on_regression: bool,
    /// How the comparison is written.
    #[arg(long, value_enum, default_value = "terminal")]
    format: Format,
    /// Write to this file.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Folder in which ids of runs are looked for.
    #[arg(long, value_name = "DIR", default_value = "results")]
    results: PathBuf,
    /// Folder whose templates stand in for those compiled in.
    #[arg(long, value_name = "DIR")]
    templates: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Terminal,
    Markdown,
    Json,
}

impl Compare {
    pub fn execute(self, shared: &Shared) -> Result<Exit, Failure> {
        let before = stored(&self.before, &self.results)?;
        let after = stored(&self.after, &self.results)?;
        let found = compare(&before, &after);
        if !found.machines.is_empty() && !self.across_machines {
            return Err(elsewhere(&found.machines));
        }
        let text = self.told(&found, shared)?;
        match &self.output {
            None => print!("{text}"),
            Some(path) => replace_file(path, text.as_bytes())?,
        }
        Ok(match found.regressed() && self.fail_on_regression {
            true => Exit::GateFailed,
            false => Exit::Done,
        })
    }

    fn told(&self, found: &Compared, shared: &Shared) -> Result<String, Failure> {
        Ok(match self.format {
            Format::Terminal => terminal(found, shared.colour && self.output.is_none(), width()),
            Format::Markdown => markdown(found, &Options { templates: self.templates.clone() })?,
            Format::Json => {
                let text = serde_json::to_string_pretty(found);
                format!("{}\n", text.map_err(report::ReportError::Json)?)
            }
        })
    }
}

/// The refusal, with everything that differs.
fn elsewhere(differences: &[Difference]) -> Failure {
    let told = |d: &Difference| format!("\n  {}: {} → {}", d.what, d.before, d.after);
    let list: String = differences.iter().map(told).collect();
    Failure::invalid(format!("the runs were made on different machines:{list}"))
        .hint("`--across-machines` compares what does not depend on the machine's speed")
}
