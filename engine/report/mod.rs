//! From records to what people and programs read: Markdown, one HTML file, JSON, CSV, a table for
//! the terminal.
//!
//! Everything here is a pure function of the records: no clock, no environment, no randomness, so
//! that the same records give the same bytes for ever. Estimates and verdicts come from `measure`;
//! this room decides which of them stand where, and says what is missing and why. Text from
//! outside (labels, messages, model names) is data: templates and exporters make it inert, each
//! for its own format.
//!
//! Deliberately absent: files (callers say where bytes go), statistics, and any look at the machine.

mod advice;
mod against;
mod alarms;
mod build;
mod chart;
mod columns;
mod conditions;
mod conduct;
mod costs;
mod courses;
mod csv;
mod effects;
mod energy;
mod escape;
mod evidence;
mod facts;
mod failures;
mod floors;
mod format;
mod gates;
pub mod history;
mod html;
mod json;
mod judged;
mod latencies;
mod loads;
mod margins;
mod markdown;
mod memory;
mod page;
mod parallel;
mod profiles;
mod quality;
mod render;
mod searches;
mod settings;
mod soaks;
mod steadiness;
mod terminal;
mod terms;
mod view;
mod words;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod fixture_classes;
#[cfg(test)]
mod fixture_conduct;
#[cfg(test)]
mod fixture_curves;
#[cfg(test)]
mod fixture_guard;
#[cfg(test)]
mod fixture_search;
#[cfg(test)]
mod fixture_tensor;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod judgement;

use std::io::{self, Write};
use std::path::PathBuf;

pub use build::build;
pub use terminal::terminal;
pub use view::{Finding, GateRow, Headline, Outcome, Reading, Report, Study, Tone};

/// How a report is dressed.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Folder whose `report.md.j2`, `report.html.j2` and `parts/` stand in for those compiled in,
    /// file by file.
    pub templates: Option<PathBuf>,
}

/// One format of the report.
pub struct Exporter {
    /// As in `report.formats` of a spec.
    pub id: &'static str,
    /// Name of the file in the folder of the run.
    pub file: &'static str,
    pub export: fn(&Report<'_>, &Options, &mut dyn Write) -> Result<(), ReportError>,
}

/// All formats, in the order in which they are written. `machine` is always written beside the
/// others and is no choice of the spec.
pub static EXPORTERS: &[Exporter] = &[
    Exporter { id: "markdown", file: "report.md", export: markdown::export },
    Exporter { id: "html", file: "report.html", export: html::export },
    Exporter { id: "json", file: "report.json", export: json::export },
    Exporter { id: "csv", file: "samples.csv", export: self::csv::export },
    Exporter { id: "machine", file: "machine.json", export: json::machine },
];

/// The exporter named `id`.
pub fn exporter(id: &str) -> Option<&'static Exporter> {
    EXPORTERS.iter().find(|exporter| exporter.id == id)
}

/// The report as text in the format named `id`.
pub fn export(report: &Report<'_>, id: &str, options: &Options) -> Result<String, ReportError> {
    let exporter = exporter(id).ok_or_else(|| ReportError::Format { found: id.to_owned() })?;
    let mut out = Vec::new();
    (exporter.export)(report, options, &mut out)?;
    Ok(String::from_utf8(out).expect("every format is text"))
}

#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error("`{found}` is no report format")]
    Format { found: String },
    #[error("cannot read the template `{path}`")]
    ReadTemplate { path: PathBuf, source: std::io::Error },
    #[error("template `{name}` cannot be used: {detail}")]
    Template { name: String, detail: String },
    #[error("cannot draw the {chart} chart: {detail}")]
    Chart { chart: &'static str, detail: String },
    #[error("cannot write the report as JSON")]
    Json(#[from] serde_json::Error),
    #[error("cannot write the report")]
    Write(#[from] io::Error),
}
