//! Which cells have launches that never settled or slowed down, and how their requests went.

use super::evidence::{Evidence, observed};
use super::view::{CellSheet, CourseSheet, Trace};
use crate::measure::steady::{self, Course};
use crate::measure::{Observed, summary};

/// Cells that are drawn at most; those whose launches do so most often.
const MOST: usize = 6;

pub fn sheets(evidence: &Evidence<'_>, cells: &[CellSheet]) -> Vec<CourseSheet> {
    let share = |cell: &CellSheet| cell.steadiness.moving() as f64 / cell.measured.max(1) as f64;
    let mut moving: Vec<&CellSheet> =
        cells.iter().filter(|cell| cell.steadiness.moving() > 0).collect();
    moving.sort_by(|a, b| share(b).total_cmp(&share(a)));
    let sheet = |sheet: &CellSheet| {
        let (variant, setting) = (sheet.variant.clone(), sheet.setting);
        let cell = evidence.cell(&variant, setting)?;
        let launches = observed(cell).map(|(_, seen)| trace(seen)).collect();
        Some(CourseSheet { variant, setting, launches })
    };
    moving.into_iter().take(MOST).filter_map(sheet).collect()
}

fn trace(seen: &Observed) -> Trace {
    let Course { class, start, .. } = steady::course(seen);
    let timed = seen.requests.iter().enumerate();
    let times = timed.filter_map(|(i, request)| Some((i, summary::whole_time(request)?))).collect();
    Trace { class, start, times }
}
