//! What stands above every table: what makes a report provisional or incomplete.

use super::format;
use super::loads::rate_text;
use super::view::{Alarm, ConditionsSheet, Outcome, Study, Tone};
use crate::measure::leak::Verdict as Leak;
use crate::measure::sustained::Verdict as Sustained;

/// A difference of the baseline from itself is told loudly when chance makes it as rarely as this.
const SURPRISING: f64 = 0.01;

/// The loudest first.
pub fn of(study: &Study) -> Vec<Alarm> {
    let mut out = Vec::new();
    let mut alarm = |tone, text| out.push(Alarm { tone, text });
    let run = &study.run;
    if run.interrupted {
        let text = "This run was interrupted before its end. Every verdict below is provisional.";
        alarm(Tone::Bad, text.to_owned());
    }
    for gate in study.gates.iter().filter(|gate| gate.outcome != Outcome::Passed) {
        let text = format!("Gate {}: {}: {}.", gate.outcome.label(), gate.name, gate.reason);
        alarm(gate.outcome.tone(), text);
    }
    let lost = run.attempted - run.measured;
    if lost > 0 {
        let text = format!(
            "{} of {} launches gave no result; see Failures.",
            format::count(lost as u64),
            format::count(run.attempted as u64)
        );
        alarm(Tone::Bad, text);
    }
    if let Some(conditions) = &study.conditions {
        for (tone, text) in disturbances(conditions) {
            alarm(tone, text);
        }
    }
    for row in study.floors.iter().filter(|row| row.failed > 0) {
        let why = row.failure.as_deref().unwrap_or("unknown");
        let (failed, all) = (row.failed, row.launches);
        let text =
            format!("The baseline's second arm failed in {failed} of {all} launches: {why}.");
        alarm(Tone::Bad, text);
    }
    for row in &study.floors {
        let Some(found) = row.found.known().filter(|found| found.p_value < SURPRISING) else {
            continue;
        };
        let place = study.settings.get(row.setting).map_or("", |setting| setting.short.as_str());
        let text = format!(
            "The baseline differs from itself by more than chance: {} {} at {place}. Something besides the variants moves the numbers.",
            format::times(&found.estimate),
            format::times_bounds(&found.estimate)
        );
        alarm(Tone::Unsure, text);
    }
    for facts in &study.variants {
        if let Some(trouble) = &facts.trouble {
            alarm(Tone::Bad, format!("Variant {} has no numbers: {trouble}", facts.name));
        }
        for check in facts.checks.iter().filter(|check| !check.passed) {
            alarm(
                Tone::Bad,
                format!(
                    "Check missed on {}: {}: expected {}, found {}.",
                    facts.name, check.what, check.expected, check.found
                ),
            );
        }
    }
    for row in study.quality.iter().filter(|row| row.other_artifact) {
        alarm(
            Tone::Bad,
            format!(
                "{} of {} was judged on another artifact than the timed one.",
                row.metric, row.variant
            ),
        );
    }
    for soak in &study.soaks {
        let leaks = soak.held.iter().filter(|row| row.verdict == Some(Leak::Leak));
        for row in leaks {
            alarm(
                Tone::Bad,
                format!("Variant {} leaks: its {} keeps growing.", soak.variant, row.what),
            );
        }
        if let (Some(load), Some(why)) = (&soak.load, &soak.trouble) {
            let rate = rate_text(load.rate);
            alarm(
                Tone::Bad,
                format!("Variant {} does not bear {rate} over a long run: {why}.", soak.variant),
            );
        }
        if soak.sustained == Some(Sustained::Throttled) {
            let text =
                format!("Variant {} does not hold its throughput over a long run.", soak.variant);
            alarm(Tone::Bad, text);
        }
    }
    if run.resumed > 0 {
        let times =
            if run.resumed == 1 { "once".to_owned() } else { format!("{} times", run.resumed) };
        alarm(
            Tone::Plain,
            format!(
                "This run was resumed {times}; blocks before and after may have met another state of the machine."
            ),
        );
    }
    out
}

/// Warnings in more than this share of launches stand above the tables.
const OFTEN: f64 = 0.1;

/// What the machine did that the reader must know before any number.
fn disturbances(conditions: &ConditionsSheet) -> Vec<(Tone, String)> {
    let mut out = Vec::new();
    let told = |row: &super::view::DisturbedRow| {
        let (variant, detail) = row.causes.first()?;
        Some(format!("block {}, during {variant}: {detail}", row.block))
    };
    let first = |left_out: bool| {
        conditions.disturbed.iter().filter(|row| row.left_out == left_out).find_map(told)
    };
    let kept = conditions.disturbed.iter().filter(|row| !row.left_out).count();
    if let Some(first) = first(false) {
        let s = if kept == 1 { "block counts" } else { "blocks count" };
        let text = format!(
            "This run is noisy: {} disturbed {s} because no more may be left out ({first}). Absolute times are not to be trusted, and ratios are less certain than they could be.",
            format::count(kept as u64)
        );
        out.push((Tone::Bad, text));
    }
    if let Some(first) = first(true) {
        let text = format!(
            "{} of {} blocks were disturbed from outside and left out ({first}).",
            format::count(conditions.left_out as u64),
            format::count(conditions.blocks as u64)
        );
        out.push((Tone::Unsure, text));
    }
    if conditions.warned as f64 > OFTEN * conditions.watched as f64 {
        let hog = conditions.hogs.first().map_or_else(String::new, |hog| {
            format!(
                " The greediest other process was {} (pid {}) with {} processors.",
                hog.name,
                hog.pid,
                format::trimmed(hog.cores, 2)
            )
        });
        let text = format!(
            "The machine was not quiet during {} of {} launches; see Conditions.{hog}",
            format::count(conditions.warned as u64),
            format::count(conditions.watched as u64)
        );
        out.push((Tone::Unsure, text));
    }
    out
}
