//! Throughputs as prices, where the spec says what an hour of the machine costs.

use serde_json::Value;

use super::evidence::Evidence;
use super::judged::middle;
use super::view::{CostRow, CostSheet, Reading};
use crate::measure::fieller::{Ratio, ratio_of_means};
use crate::measure::stop::working_level;
use crate::measure::summary::{block_value, counted};
use crate::measure::{Estimate, Observed, Timeline};
use crate::record::{Cell, Record};

/// Prices of every cell at `level`, paired ratios at its working level; `None` where the spec names
/// no price.
pub fn sheet(
    record: &Record,
    evidence: &Evidence<'_>,
    baseline: &str,
    level: f64,
) -> Option<CostSheet> {
    let text = |key: &str| record.spec.pointer(key)?.as_str().map(str::to_owned);
    let per_hour = record.spec.pointer("/cost/per_hour").and_then(Value::as_f64)?;
    let tokens = record.model.task == "text_generation";
    let units: f64 = if tokens { 1e6 } else { 1e3 };
    let mut rows = Vec::new();
    for (setting, cell) in evidence.by_setting() {
        let variant = &cell.variant;
        let rate = rate(cell, level);
        let price = match &rate {
            Reading::Known(rate) => price(rate, per_hour, units),
            Reading::Unmeasured(why) => Reading::Unmeasured(why.clone()),
        };
        let paired = working_level(level);
        let ratio =
            (variant != baseline).then(|| ratio(evidence, variant, baseline, setting, paired));
        rows.push(CostRow { variant: variant.clone(), setting, rate, price, ratio });
    }
    Some(CostSheet {
        currency: text("/cost/currency").unwrap_or_else(|| "?".into()),
        per_hour,
        as_of: text("/cost/as_of").unwrap_or_else(|| "an unknown day".into()),
        tokens,
        rows,
    })
}

/// Price of `units` at an hourly price: the interval of the rate, turned over.
fn price(rate: &Estimate, per_hour: f64, units: f64) -> Reading<Estimate> {
    if rate.low <= 0.0 {
        return Reading::Unmeasured("the interval of the throughput reaches 0".into());
    }
    Reading::Known(rate.mapped(|rate| units * per_hour / 3600.0 / rate))
}

/// Mean price of a variant over its blocks by that of the baseline over the same: whatever an hour
/// costs, a ratio of mean times for the same work.
fn ratio(
    evidence: &Evidence<'_>,
    variant: &str,
    baseline: &str,
    setting: usize,
    level: f64,
) -> Reading<Estimate> {
    let time = |seen: &Observed| throughput(seen).map(f64::recip);
    let pairs = evidence.pairs_by(variant, baseline, setting, &time);
    let (base, own): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
    match ratio_of_means(&own, &base, level) {
        Some(Ratio::Bounded(found)) => Reading::Known(found),
        Some(Ratio::Unbounded { .. }) => {
            Reading::Unmeasured("the baseline's price is not told from 0".into())
        }
        None => Reading::Unmeasured(format!("{} blocks with both prices", own.len())),
    }
}

/// Generated tokens, or items, per second of serving: work of the counted requests divided by
/// their time from being handed over to their end; under load the rate at which answers left the
/// server. The middle over blocks, as everywhere.
fn rate(cell: &Cell, level: f64) -> Reading<Estimate> {
    let rates = cell.replicates(&throughput).into_values();
    middle(rates, level, |count| format!("{count} launches with a throughput"))
}

fn throughput(seen: &Observed) -> Option<f64> {
    match seen.sending {
        None => served(seen),
        // Under load there is a window of its own.
        Some(_) => block_value(seen, "output_tps").or_else(|| block_value(seen, "throughput")),
    }
}

fn served(seen: &Observed) -> Option<f64> {
    let one = |t: &Timeline| {
        let nanos = t.tokens.last()?.checked_sub(t.sent)?;
        let outputs = if t.prompt_tokens.is_some() { t.tokens.len() as f64 } else { 1.0 };
        Some((f64::from(t.batch) * outputs, nanos as f64 / 1e9))
    };
    let counted = counted(seen).filter_map(one);
    let (work, time) = counted.fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    (work > 0.0 && time > 0.0).then(|| work / time)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::measure::Method;
    use crate::report::fixture::record;
    use crate::report::{Options, build, export};

    #[test]
    fn a_price_is_the_throughput_turned_over() {
        let mut record = record();
        record.spec["cost"] = json!({"currency": "USD", "per_hour": 3.6, "as_of": "2026-11-01"});
        let evidence = Evidence::of(&record);
        let sheet = sheet(&record, &evidence, "fp32", 0.95).unwrap();
        assert_eq!(sheet.rows.len(), 6);
        for row in &sheet.rows {
            let (rate, price) = (row.rate.known().unwrap(), row.price.known().unwrap());
            // 3.6 an hour is 0.001 a second.
            assert!((price.point * rate.point - 1e6 * 0.001).abs() < 1e-6, "{row:?}");
            assert!((price.low * rate.high - 1e6 * 0.001).abs() < 1e-6);
            assert!(price.low < price.point && price.point < price.high);
        }
        let (fp32, q8) = (sheet.rows[0].price.known(), sheet.rows[1].price.known());
        assert!(q8.unwrap().point < fp32.unwrap().point, "the faster one is cheaper");
        assert!(sheet.rows[0].ratio.is_none(), "the baseline");
        let ratio = sheet.rows[1].ratio.as_ref().unwrap().known().unwrap();
        assert_eq!((ratio.method, ratio.level), (Method::Fieller, working_level(0.95)));
        let means = q8.unwrap().point / fp32.unwrap().point;
        assert!((ratio.point / means - 1.0).abs() < 0.02, "{ratio:?} {means}");
        assert!(ratio.low < ratio.point && ratio.point < ratio.high && ratio.high < 1.0);
        let records = [record];
        let text = export(&build(&records), "markdown", &Options::default()).unwrap();
        assert!(text.contains("USD per million generated tokens"), "{text}");
    }

    #[test]
    fn without_a_price_nothing_is_told_and_an_interval_that_reaches_nothing_has_none() {
        let plain = record();
        assert!(sheet(&plain, &Evidence::of(&plain), "fp32", 0.95).is_none());
        let wide = Estimate { low: -1.0, ..crate::measure::estimate::exact(5.0) };
        assert!(price(&wide, 1.0, 1e6).known().is_none());
    }
}
