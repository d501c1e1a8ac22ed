//! JSON: the numbers of the report for programs, and the machine's fingerprint as it was recorded.

use serde_json::Value;

use super::{Options, Report, ReportError};

pub fn export(report: &Report<'_>, _: &Options) -> Result<String, ReportError> {
    Ok(with_newline(serde_json::to_string_pretty(report)?))
}

/// The fingerprint of the run; a list of them for several runs.
pub fn machine(report: &Report<'_>, _: &Options) -> Result<String, ReportError> {
    let text = match report.records {
        [only] => serde_json::to_string_pretty(&only.machine)?,
        many => {
            let machines: Vec<&Value> = many.iter().map(|record| &record.machine).collect();
            serde_json::to_string_pretty(&machines)?
        }
    };
    Ok(with_newline(text))
}

fn with_newline(mut text: String) -> String {
    text.push('\n');
    text
}
