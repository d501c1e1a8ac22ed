//! JSON: the numbers of the report for programs, and the machine's fingerprint as it was recorded.

use std::io::Write;

use serde::Serialize;
use serde_json::Value;

use super::{Options, Report, ReportError};

pub fn export(report: &Report<'_>, _: &Options, out: &mut dyn Write) -> Result<(), ReportError> {
    pretty(report, out)
}

/// The fingerprint of the run; a list of them for several runs.
pub fn machine(report: &Report<'_>, _: &Options, out: &mut dyn Write) -> Result<(), ReportError> {
    match report.records {
        [only] => pretty(&only.machine, out),
        many => {
            let machines: Vec<&Value> = many.iter().map(|record| &record.machine).collect();
            pretty(&machines, out)
        }
    }
}

fn pretty(what: &impl Serialize, out: &mut dyn Write) -> Result<(), ReportError> {
    serde_json::to_writer_pretty(&mut *out, what)?;
    Ok(out.write_all(b"\n")?)
}
