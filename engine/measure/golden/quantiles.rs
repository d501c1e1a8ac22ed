//! Quantiles, their bounds, and the centre of symmetric differences.

use serde_json::Value;

use super::{ESTIMATOR, Parity, bounds, data, interval, number, numbers, parity, runs};
use crate::measure::Method;
use crate::measure::clustered::quantile_of_launches;
use crate::measure::harrell_davis::harrell_davis;
use crate::measure::quantile::quantile;
use crate::measure::signed_rank;

pub(super) fn parities(all: &Value) -> Vec<Parity> {
    let level = |case: &Value| number(&case["level"]);
    vec![
        parity(
            all,
            "quantiles",
            ("quantile with order statistics", "scipy quantile_test, binom", ESTIMATOR),
            |case| {
                let found = quantile(&data(case, |i| i), number(&case["q"]), level(case));
                let mut pairs = bounds(found.and_then(|f| f.bounds), case);
                pairs.push((found.map(|f| f.point), case["point"].as_f64()));
                pairs
            },
        ),
        parity(all, "needs", ("samples a quantile needs", "a search", ESTIMATOR), |case| {
            let found = quantile(&[1.0], number(&case[0]), number(&case[1]));
            vec![(found.map(|f| f.need as f64), case[2].as_f64())]
        }),
        parity(all, "harrell_davises", ("Harrell-Davis", "scipy hdquantiles", ESTIMATOR), |case| {
            let found = harrell_davis(&data(case, f64::sqrt), number(&case["q"]));
            vec![(found, case["point"].as_f64())]
        }),
        parity(
            all,
            "signed_ranks",
            ("Hodges-Lehmann", "enumeration, scipy wilcoxon", ESTIMATOR),
            |case| {
                let found = signed_rank::interval(&numbers(&case["values"]), level(case));
                bounds(found, case)
            },
        ),
        parity(all, "sectionings", ("sectioning", "numpy quantile, scipy t", ESTIMATOR), |case| {
            let found = quantile_of_launches(&runs(&case["launches"]), number(&case["q"]), 0.95);
            let found = found.filter(|found| found.method == Method::Sectioning);
            let whole = found.and_then(|f| f.bounds.ok().map(|(l, h)| (f.point, l, h)));
            interval(whole, case)
        }),
    ]
}
