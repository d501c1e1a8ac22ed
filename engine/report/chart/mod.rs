//! Charts as inline SVG, drawn by plotters.
//!
//! Colours are fixed stand-ins that the page's style sheet maps to its own variables, so that one
//! drawing serves light and dark. Coordinates are whole numbers on a canvas of twice the size at
//! which it is shown. Labels come from outside; the backend escapes them and we make them inert.

mod canvas;
mod courses;
mod forest;
mod pane;
mod scale;
mod scatter;
mod shares;
mod soaks;
mod spread;

use serde::Serialize;

use super::ReportError;
use super::view::Study;

/// One figure: a drawing and the words that say what it shows, for those who cannot see it too.
#[derive(Debug, Serialize)]
pub struct Chart {
    pub title: String,
    pub caption: String,
    pub svg: String,
}

/// The charts of one run, without those that have nothing to show.
pub fn all(study: &Study) -> Result<Vec<Chart>, ReportError> {
    let mut out = Vec::new();
    out.extend(forest::draw(study)?);
    out.extend(scatter::draw(study)?);
    out.extend(shares::draw(study)?);
    out.extend(spread::blocks(study)?);
    out.extend(courses::draw(study)?);
    out.extend(soaks::draw(study)?);
    Ok(out)
}
