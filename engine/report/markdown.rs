//! Markdown: the report as it is reviewed in a pull request.

use serde::Serialize;

use super::page::{self, Page};
use super::render::render;
use super::{Options, Report, ReportError};

#[derive(Serialize)]
struct Context {
    page: Page,
}

pub fn export(report: &Report<'_>, options: &Options) -> Result<String, ReportError> {
    let context = Context { page: page::page(report) };
    render("report.md.j2", context, options.templates.as_deref())
}
