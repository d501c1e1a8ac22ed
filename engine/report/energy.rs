//! Energy of every cell, with and without what the idle machine takes.

use super::evidence::{Evidence, observed};
use super::judged::middle;
use super::view::{EnergyRow, Reading};
use crate::measure::{Energy, Observed, summary};
use crate::record::{Cell, IdlePower, Record};

/// One row per cell where a launch has counted energy.
pub fn rows(record: &Record, evidence: &Evidence<'_>, level: f64) -> Vec<EnergyRow> {
    let row = |(setting, cell): (usize, &Cell)| {
        let counted = |seen: &Observed| matches!(seen.energy, Some(Energy::Counted { .. }));
        observed(cell).any(|(_, seen)| counted(seen)).then(|| {
            let few = "under two launches have a reading";
            let of = |value: &dyn Fn(&Observed) -> Option<f64>, why: &str| {
                middle(cell.replicates(value).into_values(), level, |_| why.to_owned())
            };
            EnergyRow {
                variant: cell.variant.clone(),
                setting,
                gross: of(&|seen| summary::block_value(seen, "energy"), few),
                net: match idle(record) {
                    Ok(watts) => of(&|seen| net(seen, watts), few),
                    Err(why) => Reading::Unmeasured(why),
                },
                per_token: of(
                    &|seen| summary::block_value(seen, "energy_per_token"),
                    "no tokens are generated",
                ),
                power: of(&power, few),
            }
        })
    };
    evidence.by_setting().filter_map(row).collect()
}

/// Watts of the idle machine, or why they are not known.
fn idle(record: &Record) -> Result<f64, String> {
    match &record.idle {
        Some(IdlePower::Watts(zones)) => Ok(zones.values().sum()),
        Some(IdlePower::Unmeasured(why)) => Err(why.clone()),
        None => Err("idle power was not asked for".into()),
    }
}

/// Energy of a request without its share of what the idle machine takes in that window: the same
/// share for every request of a launch.
fn net(seen: &Observed, idle: f64) -> Option<f64> {
    Some(summary::block_value(seen, "energy")? * (1.0 - idle / power(seen)?))
}

/// Watts within the window of a launch.
fn power(seen: &Observed) -> Option<f64> {
    let Some(Energy::Counted { zones, window }) = &seen.energy else { return None };
    let joules: f64 = zones.values().sum();
    (*window > 0).then(|| joules / (*window as f64 / 1e9))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Estimate;
    use crate::record::Outcome;
    use crate::report::fixture::record;
    use crate::report::{Options, build, export};

    /// The fixture on a machine of 40 W under load and 10 W without.
    fn told(idle: Option<IdlePower>) -> Record {
        let mut record = record();
        record.idle = idle;
        for launch in record.cells.iter_mut().flat_map(|cell| &mut cell.launches) {
            let Outcome::Measured(seen) = &mut launch.outcome else { continue };
            let zones = [("package-0".to_owned(), 72.0), ("dram-0".to_owned(), 8.0)];
            let zones = zones.into_iter().collect();
            seen.energy = Some(Energy::Counted { zones, window: 2_000_000_000 });
        }
        record
    }

    #[test]
    fn net_is_gross_without_the_share_of_the_idle_machine() {
        let idle = IdlePower::Watts([("package-0".to_owned(), 10.0)].into_iter().collect());
        let record = told(Some(idle));
        let rows = rows(&record, &Evidence::of(&record), 0.95);
        assert_eq!(rows.len(), 6);
        let point = |reading: &Reading<Estimate>| reading.known().unwrap().point;
        // Four requests count of each launch.
        assert!((point(&rows[0].gross) - 20.0).abs() < 1e-9);
        assert!((point(&rows[0].net) - 15.0).abs() < 1e-9);
        assert!((point(&rows[0].power) - 40.0).abs() < 1e-9);
        assert!((point(&rows[0].per_token) - 20.0 / 32.0).abs() < 1e-9);
        let records = [record];
        let text = export(&build(&records), "markdown", &Options::default()).unwrap();
        assert!(text.contains("## Energy") && text.contains("40\u{a0}W"), "{text}");
    }

    #[test]
    fn without_idle_power_net_has_a_reason_and_without_counters_there_is_no_table() {
        let barred = Some(IdlePower::Unmeasured("only root may".into()));
        for (idle, expected) in [(None, "not asked for"), (barred, "only root may")] {
            let record = told(idle);
            let rows = rows(&record, &Evidence::of(&record), 0.95);
            assert!(matches!(&rows[0].net, Reading::Unmeasured(why) if why.contains(expected)));
        }
        let plain = record();
        assert!(rows(&plain, &Evidence::of(&plain), 0.95).is_empty());
    }
}
