//! p-values, and corrections of several of them.

use serde_json::Value;

use super::{ESTIMATOR, Pair, Parity, number, numbers, parity};
use crate::measure::benjamini_hochberg::benjamini_hochberg;
use crate::measure::holm::holm_levels;
use crate::measure::mcnemar::mcnemar;
use crate::measure::modes::dip;
use crate::measure::sign_flip::sign_flip;
use crate::measure::wilcoxon::wilcoxon;

pub(super) fn parities(all: &Value) -> Vec<Parity> {
    vec![
        parity(all, "wilcoxons", ("Wilcoxon signed-rank", "scipy wilcoxon", ESTIMATOR), |case| {
            vec![(wilcoxon(&numbers(&case["values"])), case["p"].as_f64())]
        }),
        parity(all, "sign_flips", ("sign flips", "scipy permutation_test", ESTIMATOR), |case| {
            vec![(sign_flip(&numbers(&case["values"])), case["p"].as_f64())]
        }),
        parity(all, "mcnemars", ("McNemar, exact", "statsmodels mcnemar", ESTIMATOR), |case| {
            let count = |i: usize| case[i].as_u64().unwrap_or(0);
            vec![(Some(mcnemar(count(0), count(1))), case[2].as_f64())]
        }),
        parity(all, "holm", ("Holm: what is rejected", "statsmodels multipletests", 0.0), holm),
        parity(
            all,
            "benjamini_hochbergs",
            ("Benjamini-Hochberg", "statsmodels multipletests", ESTIMATOR),
            |case| {
                let found = benjamini_hochberg(&numbers(&case["p"]));
                let pairs = found.into_iter().map(Some);
                pairs.zip(numbers(&case["adjusted"]).into_iter().map(Some)).collect()
            },
        ),
        parity(all, "dips", ("dip statistic", "diptest", ESTIMATOR), |case| {
            vec![(Some(dip(&numbers(&case["values"]))), case["dip"].as_f64())]
        }),
    ]
}

/// 1 where an interval at Holm's level excludes no difference, beside what the test rejects.
fn holm(case: &Value) -> Vec<Pair> {
    let p = numbers(&case["p"]);
    let levels = holm_levels(&p, number(&case["confidence"]));
    let found =
        p.iter().zip(&levels).map(|(p, level)| Some(f64::from(u8::from(*p <= 1.0 - level))));
    let rejected = case["reject"].as_array().into_iter().flatten();
    let expected = rejected.map(|r| r.as_bool().map(|r| f64::from(u8::from(r))));
    found.zip(expected).collect()
}
