//! Means, ratios, shares and their intervals.

use serde_json::Value;

use super::{ESTIMATOR, Pair, Parity, bounds, interval, number, numbers, parity, runs};
use crate::measure::bootstrap;
use crate::measure::clopper_pearson::clopper_pearson;
use crate::measure::compare::speedup;
use crate::measure::estimate::{Estimate, mean_t, ratio_of_sums, skewness};
use crate::measure::fieller::{Ratio, ratio_of_means};
use crate::measure::metric::Better;
use crate::measure::newcombe::{Paired, newcombe};
use crate::measure::proportion::{paired_difference, wilson};
use crate::measure::welch::historical;

fn whole(found: Estimate) -> (f64, f64, f64) {
    (found.point, found.low, found.high)
}

pub(super) fn parities(all: &Value) -> Vec<Parity> {
    let level = |case: &Value| number(&case["level"]);
    let count = |value: &Value| value.as_u64().unwrap_or(u64::MAX);
    vec![
        parity(all, "means", ("t interval of a mean", "scipy t.interval", ESTIMATOR), |case| {
            interval(mean_t(&numbers(&case["values"]), level(case)).map(whole), case)
        }),
        parity(all, "skewnesses", ("skewness", "scipy skew", ESTIMATOR), |case| {
            vec![(skewness(&numbers(&case["values"])), case["skewness"].as_f64())]
        }),
        parity(all, "speedups", ("paired speed-up", "scipy ttest_rel, gmean", ESTIMATOR), paired),
        parity(all, "ratios", ("ratio of sums", "numpy cov, scipy t", ESTIMATOR), |case| {
            let (y, x) = (numbers(&case["numerators"]), numbers(&case["denominators"]));
            interval(ratio_of_sums(&y, &x, level(case)).map(whole), case)
        }),
        parity(all, "fiellers", ("Fieller", "numpy roots of the quadratic", ESTIMATOR), |case| {
            let found = ratio_of_means(&numbers(&case["x"]), &numbers(&case["y"]), level(case));
            let (point, ends) = match found {
                Some(Ratio::Bounded(e)) => (Some(e.point), Some((e.low, e.high))),
                Some(Ratio::Unbounded { point, .. }) => (Some(point), None),
                None => (None, None),
            };
            let mut pairs = bounds(ends, case);
            pairs.push((point, case["point"].as_f64()));
            pairs
        }),
        parity(all, "welches", ("Welch on logarithms", "scipy ttest_ind", ESTIMATOR), |case| {
            let (older, newer) = (numbers(&case["older"]), numbers(&case["newer"]));
            let found = historical(&older, &newer, Better::Lower, level(case));
            let mut pairs = interval(found.map(|f| whole(f.estimate)), case);
            pairs.push((found.map(|f| f.freedom), case["df"].as_f64()));
            pairs.push((found.map(|f| f.p_value), case["p"].as_f64()));
            pairs
        }),
        parity(all, "wilsons", ("Wilson", "statsmodels proportion_confint", ESTIMATOR), |case| {
            let n = count(&case["n"]) as usize;
            interval(wilson(number(&case["hits"]), n, level(case)).map(whole), case)
        }),
        parity(
            all,
            "paired_scores",
            ("Tango", "scipy search of the likelihood", ESTIMATOR),
            |case| {
                let (better, worse) = (number(&case["better"]), number(&case["worse"]));
                let n = count(&case["n"]) as usize;
                interval(paired_difference(better, worse, n, level(case)).map(whole), case)
            },
        ),
        parity(
            all,
            "newcombes",
            ("Newcombe, method 10", "statsmodels Wilson, numpy", ESTIMATOR),
            |case| {
                let counts = numbers(&case["counts"]);
                let [both, better, worse, neither] = counts[..] else {
                    return vec![(None, Some(0.0))];
                };
                let counts = Paired { both, better, worse, neither };
                interval(newcombe(counts, level(case)).map(whole), case)
            },
        ),
        parity(
            all,
            "clopper_pearsons",
            ("Clopper-Pearson", "scipy beta.ppf, binomtest", ESTIMATOR),
            |case| {
                let found = clopper_pearson(count(&case["hits"]), count(&case["n"]), level(case));
                interval(found.map(whole), case)
            },
        ),
        bca(all),
    ]
}

fn paired(case: &Value) -> Vec<Pair> {
    let pairs: Vec<(f64, f64)> = runs(&case["pairs"]).iter().map(|p| (p[0], p[1])).collect();
    let found = speedup(&pairs, Better::Lower, 0.95);
    let mut out = interval(found.map(|f| whole(f.estimate)), case);
    out.push((found.map(|f| f.p_value), case["p_value"].as_f64()));
    out.push((found.map(|f| f.sd_log), case["sd_log"].as_f64()));
    out.push((found.map(|f| f.mde), case["mde"].as_f64()));
    out
}

/// The same resamples are handed to both sides.
fn bca(all: &Value) -> Parity {
    let what = ("BCa bootstrap", "scipy bootstrap, shared resamples", ESTIMATOR);
    parity(all, "bootstraps", what, |case| {
        let values = numbers(&case["values"]);
        let mean = |draws: &Vec<f64>| {
            let mut counts = vec![0; values.len()];
            for at in draws {
                counts[*at as usize] += 1;
            }
            bootstrap::mean_of(&values, &counts)
        };
        let means: Vec<f64> = runs(&case["draws"]).iter().map(mean).collect();
        let mut out = Vec::new();
        for expected in runs(&case["intervals"]) {
            let found = bootstrap::interval(&values, means.clone(), expected[0]);
            out.push((found.map(|f| f.low), Some(expected[1])));
            out.push((found.map(|f| f.high), Some(expected[2])));
            out.push((found.map(|f| f.point), case["point"].as_f64()));
        }
        out
    })
}
