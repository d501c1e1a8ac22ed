//! The noise floor in sentences.

use crate::measure::noise_floor;
use crate::report::view::{FloorRow, Reading, Study};
use crate::report::{format, words};

/// One sentence for each setting whose floor was seen; why there is none where none was.
pub(super) fn floors(study: &Study) -> Vec<String> {
    let mut seen: Vec<(f64, String)> =
        study.floors.iter().filter_map(|row| sentence(study, row)).collect();
    if seen.len() > MOST_FLOORS {
        seen.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        let others = seen.len() - 1;
        return vec![format!("{} The floors of {others} other settings are lower.", seen[0].1)];
    }
    if !seen.is_empty() {
        return seen.into_iter().map(|(_, sentence)| sentence).collect();
    }
    let why = study.floors.iter().find_map(|row| match &row.found {
        Reading::Unmeasured(why) => Some(why.as_str()),
        Reading::Known(_) => None,
    });
    vec![format!("Noise floor unmeasured: {}.", why.unwrap_or("nothing was timed"))]
}

/// Floors that are told one by one.
const MOST_FLOORS: usize = 4;

/// The floor as a factor, and in words.
fn sentence(study: &Study, row: &FloorRow) -> Option<(f64, String)> {
    let found = row.found.known()?;
    let all = study.floors.len();
    let place = match study.settings.get(row.setting) {
        Some(setting) if all > 1 => format!(" at {}", setting.short),
        _ => String::new(),
    };
    let alone = study.floors.iter().filter(|row| row.found.known().is_some()).count() == 1;
    let reach = if all > 1 && alone {
        ", taken for all settings of the same scenario and the same part of the model"
    } else {
        ""
    };
    let sentence = format!(
        "Noise floor{place}: {} against itself {} {} over {} blocks{reach}; an effect within that is not called better or worse. These blocks would find a difference of {} in four runs of five.",
        study.terms.baseline,
        format::times(&found.estimate),
        format::times_bounds(&found.estimate),
        found.blocks,
        words::detectable(found.mde),
    );
    Some((noise_floor::floor(&found.estimate), sentence))
}
