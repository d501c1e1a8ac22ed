//! Which cells have launches that never settled or slowed down, and how their requests went.

use super::evidence::{Evidence, observed};
use super::view::{CourseSheet, Trace};
use crate::measure::steady::{self, Class, Course};
use crate::measure::{Observed, summary};
use crate::record::Record;

/// Cells that are drawn at most; those whose launches do so most often.
const MOST: usize = 6;

pub fn sheets(record: &Record, evidence: &Evidence<'_>) -> Vec<CourseSheet> {
    let mut found: Vec<(f64, &str, usize)> = Vec::new();
    for variant in record.variants.keys() {
        for setting in 0..evidence.settings.len() {
            let Some(cell) = evidence.cell(variant, setting) else { continue };
            let (mut all, mut moving) = (0_u32, 0_u32);
            for (_, seen) in observed(cell) {
                let class = steady::course(seen).class;
                all += 1;
                moving += u32::from(matches!(class, Class::NoSteadyState | Class::SlowDown));
            }
            if moving > 0 {
                found.push((f64::from(moving) / f64::from(all), variant, setting));
            }
        }
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found
        .into_iter()
        .take(MOST)
        .map(|(_, variant, setting)| CourseSheet {
            variant: variant.to_owned(),
            setting,
            launches: evidence.cell(variant, setting).map_or_else(Vec::new, |cell| {
                observed(cell).map(|(_, seen)| trace(seen)).collect()
            }),
        })
        .collect()
}

fn trace(seen: &Observed) -> Trace {
    let Course { class, start, .. } = steady::course(seen);
    let timed = seen.requests.iter().enumerate();
    let times = timed.filter_map(|(i, request)| Some((i, summary::whole_time(request)?))).collect();
    Trace { class, start, times }
}
