//! The fixture on a machine that was not quiet.

use super::fixture::record as plain;
use crate::machine::watch::{Canary, Finding, Hog, Level, Readings, Signal, Unseen};
use crate::record::{Cause, Disturbed, Guard, Record};

const LEFT_OUT: u32 = 3;
const KEPT: u32 = 5;

fn readings(position: u32, block: u32) -> Readings {
    let disturbed = block == LEFT_OUT || block == KEPT;
    let hog = Hog { name: "ffmpeg".into(), pid: 411, cores: 0.98 };
    Readings {
        seconds: 0.8,
        cores: 2,
        busy: Some(if disturbed { 2.0 } else { 1.9 }),
        foreign: Some(if disturbed { 1.0 } else { 0.01 }),
        steal: Some(0.002),
        pressure: Some(0.12),
        throttled: Some(0),
        swapped_in: Some(0),
        faults: Some(u64::from(block == 0)),
        switches: Some(12 + u64::from(block)),
        hogs: if disturbed { vec![hog] } else { Vec::new() },
        canary: (position == 0)
            .then(|| Canary { integer: 1.31 + 0.002 * f64::from(block % 3), memory: 2.2 }),
        cost: Some(0.002),
        song: (position == 0).then_some(0.02),
        ..Readings::default()
    }
}

/// Every launch was watched; in two blocks a neighbour was busy, and only one could be left out.
pub fn record() -> Record {
    let mut record = plain();
    record.guard = Some(Guard {
        unmeasured: vec![
            Unseen { signal: Signal::Frequency, why: "the machine shows no clock".into() },
            Unseen { signal: Signal::Thermal, why: "the machine does not count throttling".into() },
        ],
        max_invalid: 0.2,
    });
    let finding = Finding {
        signal: Signal::Foreign,
        level: Level::Invalidate,
        value: 0.49,
        detail: "others used 0.98 of 2 processors (49 %): ffmpeg (pid 411) 0.98".into(),
    };
    for launch in record.conduct.iter_mut().flat_map(|conduct| &mut conduct.again) {
        launch.conditions = Some(readings(launch.position, launch.block));
    }
    for cell in &mut record.cells {
        for launch in &mut cell.launches {
            launch.conditions = Some(readings(launch.position, launch.block));
        }
        let disturbed = |block, left_out| Disturbed {
            block,
            causes: vec![Cause { variant: "q8".into(), finding: finding.clone() }],
            left_out,
        };
        cell.disturbed = vec![disturbed(LEFT_OUT, true), disturbed(KEPT, false)];
    }
    record
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::AGAIN;
    use crate::report::evidence::{block_values, observed};
    use crate::report::{Options, build, export};

    #[test]
    fn a_block_that_was_left_out_is_in_the_record_and_in_no_estimate() {
        let record = record();
        for cell in &record.cells {
            assert!(cell.launches.iter().any(|launch| launch.block == LEFT_OUT));
            assert!(observed(cell).all(|(launch, _)| launch.block != LEFT_OUT));
            let values = block_values(cell, "e2e");
            assert!(!values.contains_key(&LEFT_OUT) && values.contains_key(&KEPT));
        }
        let records = [record];
        let csv = export(&build(&records), "csv", &Options::default()).unwrap();
        let head: Vec<&str> = csv.lines().next().unwrap().split(',').collect();
        let column = |name: &str| head.iter().position(|h| *h == name).unwrap();
        for line in csv.lines().skip(1) {
            let fields: Vec<&str> = line.split(',').collect();
            assert_eq!(fields.len(), head.len(), "{line}");
            let is_out = fields[column("block")] == LEFT_OUT.to_string();
            assert_eq!(fields[column("left_out")] == "yes", is_out, "{line}");
        }
    }

    #[test]
    fn the_second_arm_of_the_baseline_is_watched_like_any_launch() {
        let mut record = record();
        let launch = &mut record.conduct[0].again[7];
        launch.conditions.as_mut().unwrap().steal = Some(0.4);
        let records = [record];
        let report = build(&records);
        let sheet = report.studies[0].conditions.as_ref().unwrap();
        assert_eq!((sheet.watched, sheet.launches, sheet.blocks), (84, 84, 24));
        let row = sheet.signals.iter().find(|row| row.signal == Signal::Steal).unwrap();
        assert_eq!((row.variant.as_str(), row.block, row.warned), (AGAIN, 7, 1));
        assert_eq!(row.level, Some(Level::Invalidate));
    }

    #[test]
    fn records_of_engines_without_a_guard_are_still_read() {
        let value = serde_json::to_value(plain()).unwrap();
        let text = value.to_string();
        assert!(!text.contains("\"conditions\"") && !text.contains("\"disturbed\""));
        assert!(value.get("guard").is_none());
        let read: Record = serde_json::from_value(value).unwrap();
        assert!(build(&[read]).studies[0].conditions.is_none());
        let new = serde_json::to_value(record()).unwrap();
        assert_eq!(serde_json::from_value::<Record>(new).unwrap(), record());
    }
}
