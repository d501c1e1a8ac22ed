//! What else the machine did, as text.

use serde::Serialize;

use super::shown::{Chip, chip};
use crate::machine::watch::Level;
use crate::report::format;
use crate::report::view::{ConditionsSheet, DisturbedRow, HogRow, SignalRow, Study, Tone};

#[derive(Serialize)]
pub struct ConditionsText {
    /// What was watched, and what watching cost.
    pub legend: String,
    pub signals: Vec<SignalText>,
    pub hogs: Vec<HogText>,
    pub disturbed: Vec<DisturbedText>,
}

#[derive(Serialize)]
pub struct SignalText {
    pub name: &'static str,
    pub about: &'static str,
    pub warn: String,
    pub invalidate: String,
    pub worst: String,
    /// The launch that had it.
    pub place: String,
    pub chip: Chip,
}

#[derive(Serialize)]
pub struct HogText {
    pub name: String,
    pub pid: u32,
    pub cores: String,
    pub launches: usize,
}

#[derive(Serialize)]
pub struct DisturbedText {
    pub setting: String,
    pub block: u32,
    pub chip: Chip,
    pub causes: Vec<String>,
}

pub(super) fn conditions(study: &Study) -> Option<ConditionsText> {
    let sheet = study.conditions.as_ref()?;
    let several = study.settings.len() > 1;
    let setting = |at: usize| study.settings.get(at).map_or("", |setting| setting.short.as_str());
    Some(ConditionsText {
        legend: legend(sheet),
        signals: sheet
            .signals
            .iter()
            .map(|row| signal(row, setting(row.setting), several))
            .collect(),
        hogs: sheet.hogs.iter().map(hog).collect(),
        disturbed: sheet.disturbed.iter().map(|row| disturbed(row, setting(row.setting))).collect(),
    })
}

fn legend(sheet: &ConditionsSheet) -> String {
    let mut out = format!(
        "{} of {} launches were watched. A block with a value above the second threshold is left out, for all variants at once, and measured again, up to {} of the blocks of a setting: {} of {} blocks were left out.",
        format::count(sheet.watched as u64),
        format::count(sheet.launches as u64),
        format::percent(sheet.max_invalid),
        format::count(sheet.left_out as u64),
        format::count(sheet.blocks as u64)
    );
    if let Some(cost) = sheet.cost {
        let share = format::percent_rough(cost);
        let song = sheet.song.map(format::percent_rough);
        let song = song.map_or_else(String::new, |share| format!(", the canary's songs {share}"));
        out.push_str(&format!(" Watching took {share} of one processor{song}."));
    }
    if let Some(switches) = sheet.switches {
        let rate = format::rough(switches);
        out.push_str(&format!(
            " A measured process was taken off a processor at most {rate} times a second while it could have run on, its own yielding included."
        ));
    }
    out
}

fn signal(row: &SignalRow, setting: &str, several: bool) -> SignalText {
    let gauge = row.signal.gauge();
    let threshold = |value: Option<f64>| value.map_or_else(|| "–".into(), |v| gauge.unit.show(v));
    let place = match (row.worst, several) {
        (None, _) => String::new(),
        (Some(_), true) => format!("{}, {setting}, block {}", row.variant, row.block),
        (Some(_), false) => format!("{}, block {}", row.variant, row.block),
    };
    let warned = |word: &str| match row.warned {
        1 => format!("{word} in 1 launch"),
        n => format!("{word} in {} launches", format::count(n as u64)),
    };
    SignalText {
        name: gauge.name,
        about: gauge.about,
        warn: threshold(gauge.warn),
        invalidate: threshold(gauge.invalidate),
        worst: match (row.worst, &row.unmeasured) {
            (Some(value), _) => gauge.unit.show(value),
            (None, Some(why)) => format!("unmeasured: {why}"),
            (None, None) => "unmeasured".into(),
        },
        place,
        chip: match (row.level, row.worst) {
            (Some(Level::Invalidate), _) => chip(Tone::Bad, warned("disturbed")),
            (Some(Level::Warn), _) => chip(Tone::Unsure, warned("noticed")),
            (None, Some(_)) => chip(Tone::Good, "quiet"),
            (None, None) => chip(Tone::Plain, "unmeasured"),
        },
    }
}

fn hog(row: &HogRow) -> HogText {
    HogText {
        name: row.name.clone(),
        pid: row.pid,
        cores: format::trimmed(row.cores, 2),
        launches: row.launches,
    }
}

fn disturbed(row: &DisturbedRow, setting: &str) -> DisturbedText {
    DisturbedText {
        setting: setting.to_owned(),
        block: row.block,
        chip: match row.left_out {
            true => chip(Tone::Plain, "left out"),
            false => chip(Tone::Bad, "counts"),
        },
        causes: row.causes.iter().map(|(variant, detail)| format!("{variant}: {detail}")).collect(),
    }
}
