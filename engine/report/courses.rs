//! Which cells have launches that never settled or slowed down, and how their requests went.

use super::evidence::Evidence;
use super::steadiness::processes;
use super::view::{CellSheet, CourseSheet, Trace};
use crate::measure::Observed;
use crate::measure::steady::{self, Course};

/// Cells that are drawn at most; those whose launches do so most often.
const MOST: usize = 6;

pub fn sheets(evidence: &Evidence<'_>, cells: &[CellSheet]) -> Vec<CourseSheet> {
    let share = |cell: &CellSheet| {
        cell.steadiness.moving() as f64 / cell.steadiness.launches().max(1) as f64
    };
    let mut moving: Vec<&CellSheet> =
        cells.iter().filter(|cell| cell.steadiness.moving() > 0).collect();
    moving.sort_by(|a, b| share(b).total_cmp(&share(a)));
    let sheet = |sheet: &CellSheet| {
        let (variant, setting) = (sheet.variant.clone(), sheet.setting);
        let cell = evidence.cell(&variant, setting)?;
        let launches = processes(cell).iter().map(|bursts| trace(bursts)).collect();
        Some(CourseSheet { variant, setting, launches })
    };
    moving.into_iter().take(MOST).filter_map(sheet).collect()
}

fn trace(bursts: &[&Observed]) -> Trace {
    let Course { class, start, .. } = steady::course_of(bursts);
    Trace { class, start, times: steady::times(bursts) }
}
