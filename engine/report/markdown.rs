//! Markdown: the report as it is reviewed in a pull request.

use std::io::Write;

use serde::Serialize;

use super::page::{self, Page};
use super::render::render_to;
use super::{Options, Report, ReportError};

#[derive(Serialize)]
struct Context {
    page: Page,
}

pub fn export(
    report: &Report<'_>,
    options: &Options,
    out: &mut dyn Write,
) -> Result<(), ReportError> {
    let context = Context { page: page::page(report) };
    render_to("report.md.j2", context, options.templates.as_deref(), out)
}
