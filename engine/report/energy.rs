//! Energy of every cell, with and without what the idle machine takes.

use super::evidence::{Evidence, observed, values_of};
use super::view::{EnergyRow, Reading};
use crate::measure::estimate::mean_t;
use crate::measure::{Energy, Estimate, Observed, summary};
use crate::record::{IdlePower, Record};

/// One row per cell where a launch has counted energy.
pub fn rows(record: &Record, evidence: &Evidence<'_>, level: f64) -> Vec<EnergyRow> {
    let mut out = Vec::new();
    for setting in 0..evidence.settings.len() {
        for variant in record.variants.keys() {
            let Some(cell) = evidence.cell(variant, setting) else { continue };
            let counted = |seen: &Observed| matches!(seen.energy, Some(Energy::Counted { .. }));
            if !observed(cell).any(|(_, seen)| counted(seen)) {
                continue;
            }
            let mean = |value: &dyn Fn(&Observed) -> Option<f64>, why: &str| {
                let values = values_of(cell, value);
                let gap = || Reading::Unmeasured(why.to_owned());
                mean_t(&values, level).map_or_else(gap, Reading::Known)
            };
            let few = "under two launches have a reading";
            out.push(EnergyRow {
                variant: variant.clone(),
                setting,
                gross: mean(&|seen| summary::block_value(seen, "energy"), few),
                net: net(record, &mean, few),
                per_token: mean(
                    &|seen| summary::block_value(seen, "energy_per_token"),
                    "no tokens are generated",
                ),
                power: mean(&power, few),
            });
        }
    }
    out
}

/// A mean over launches, with the reason for a gap.
type Mean<'a> = dyn Fn(&dyn Fn(&Observed) -> Option<f64>, &str) -> Reading<Estimate> + 'a;

fn net(record: &Record, mean: &Mean<'_>, few: &str) -> Reading<Estimate> {
    let watts: f64 = match &record.idle {
        Some(IdlePower::Watts(zones)) => zones.values().sum(),
        Some(IdlePower::Unmeasured(why)) => return Reading::Unmeasured(why.clone()),
        None => return Reading::Unmeasured("idle power was not asked for".into()),
    };
    // The same window for every request of a launch: its share of the idle energy.
    let value = |seen: &Observed| {
        let gross = summary::block_value(seen, "energy")?;
        Some(gross * (1.0 - watts / power(seen)?))
    };
    mean(&value, few)
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
