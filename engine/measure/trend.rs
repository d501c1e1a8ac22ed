//! Trends: the Theil–Sen slope with Sen's interval, and the Mann–Kendall test.

use rand::RngExt as _;
use rand_pcg::Pcg64Mcg;

use super::estimate::{normal_cdf, normal_quantile, two_sided};
use super::quantile::median;

/// A straight line through the middle of the points.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slope {
    /// Change of the value per unit of time: the median over all pairs of points.
    pub point: f64,
    pub low: f64,
    pub high: f64,
    /// Value at time 0 of the line through the medians of times and values.
    pub intercept: f64,
}

/// Whether values rise or fall over time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trend {
    /// Pairs that rise minus pairs that fall.
    pub s: f64,
    /// Its standard deviation were there no trend.
    pub sd: f64,
    pub z: f64,
    /// Two-sided, from the normal approximation without a correction for continuity.
    pub p_value: f64,
}

/// The Theil–Sen slope of `(time, value)` points with Sen's interval at `level`.
///
/// The interval is the pair of slopes whose ranks lie `z·σ` around the middle, with σ the standard
/// deviation of Kendall's S, ties included (Sen 1968, JASA 63:1379–1389; as
/// `scipy.stats.theilslopes`). `inflation` multiplies the variance of S: 1 for independent values,
/// [`autocorrelation_factor`] otherwise. `None` with fewer than three points, with equal times
/// only, or where something is not finite.
pub fn theil_sen(points: &[(f64, f64)], level: f64, inflation: f64) -> Option<Slope> {
    let z = normal_quantile(two_sided(level)?);
    if points.len() < 3 || points.iter().any(|(t, y)| !t.is_finite() || !y.is_finite()) {
        return None;
    }
    let times: Vec<f64> = points.iter().map(|point| point.0).collect();
    let values: Vec<f64> = points.iter().map(|point| point.1).collect();
    let slopes = pairs_apart(&times);
    if slopes == 0 {
        return None;
    }
    let variance = variance_of_s(&[&times, &values], points.len()) * inflation.max(1.0);
    let all = slopes as f64;
    let reach = z * variance.max(0.0).sqrt();
    let upper = f64::midpoint(all, reach).round_ties_even() as usize;
    let lower = (((all - reach) / 2.0).round_ties_even() - 1.0).max(0.0) as usize;
    let last = slopes - 1;
    let ranks = [lower.min(last), last / 2, last.div_ceil(2), upper.min(last)];
    let [low, below, above, high] = slopes_at(points, slopes, ranks);
    let point = f64::midpoint(below, above);
    Some(Slope { point, low, high, intercept: median(&values)? - point * median(&times)? })
}

/// Pairs of points whose times differ.
fn pairs_apart(times: &[f64]) -> usize {
    let pairs = |n: usize| n * n.saturating_sub(1) / 2;
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    let together: usize = sorted.chunk_by(|a, b| a == b).map(|same| pairs(same.len())).sum();
    pairs(times.len()) - together
}

/// Slopes that are put into a list as they are.
const MOST_LISTED: usize = 1 << 20;

/// Slopes behind the bracket around those that are asked for where there are more, and by how much
/// it is wider than they say.
const DRAWN: usize = 1 << 16;
const MARGIN: f64 = 0.01;

/// The slopes at ascending `ranks` of `all` in order. Of very many slopes only those in a bracket
/// around the ranks are kept, which a sample finds; the answer is the same.
fn slopes_at(points: &[(f64, f64)], all: usize, ranks: [usize; 4]) -> [f64; 4] {
    let everything = (f64::NEG_INFINITY, f64::INFINITY);
    let narrow = if all > MOST_LISTED { bracket(points, all, ranks) } else { everything };
    let (mut below, mut list) = slopes_within(points, narrow);
    if ranks[0] < below || ranks[3] >= below + list.len() {
        (below, list) = slopes_within(points, everything);
    }
    ranks.map(|rank| *list.select_nth_unstable_by(rank - below, f64::total_cmp).1)
}

/// How many slopes lie below a bracket, and those within it.
fn slopes_within(points: &[(f64, f64)], (low, high): (f64, f64)) -> (usize, Vec<f64>) {
    let (mut below, mut list) = (0, Vec::new());
    for (i, (t, y)) in points.iter().enumerate() {
        for (u, x) in &points[..i] {
            let apart = t - u;
            if apart != 0.0 {
                let slope = (y - x) / apart;
                below += usize::from(slope < low);
                if low <= slope && slope <= high {
                    list.push(slope);
                }
            }
        }
    }
    (below, list)
}

/// Bounds that nearly always hold the slopes at `ranks` between them, from pairs drawn with a fixed
/// seed.
fn bracket(points: &[(f64, f64)], all: usize, ranks: [usize; 4]) -> (f64, f64) {
    let mut rng = Pcg64Mcg::new(0x51_09e5);
    let mut drawn = Vec::with_capacity(DRAWN);
    while drawn.len() < DRAWN {
        let pair = [(); 2].map(|()| points[rng.random_range(0..points.len())]);
        let [(t, y), (u, x)] = pair;
        if t != u {
            drawn.push((y - x) / (t - u));
        }
    }
    drawn.sort_by(f64::total_cmp);
    let at = |rank: usize, by: f64| {
        let share = (rank as f64 / all as f64 + by).clamp(0.0, 1.0);
        drawn[(share * (DRAWN - 1) as f64) as usize]
    };
    (at(ranks[0], -MARGIN), at(ranks[3], MARGIN))
}

/// The Mann–Kendall test of values in order of time, with its variance multiplied by `inflation`
/// (see [`theil_sen`]). `None` with fewer than three values or where one is not finite.
pub fn mann_kendall(values: &[f64], inflation: f64) -> Option<Trend> {
    if values.len() < 3 || values.iter().any(|v| !v.is_finite()) {
        return None;
    }
    let mut s = 0.0;
    for (i, later) in values.iter().enumerate() {
        for earlier in &values[..i] {
            if later > earlier {
                s += 1.0;
            } else if later < earlier {
                s -= 1.0;
            }
        }
    }
    let sd = (variance_of_s(&[values], values.len()) * inflation.max(1.0)).max(0.0).sqrt();
    let z = if sd > 0.0 { s / sd } else { 0.0 };
    Some(Trend { s, sd, z, p_value: 2.0 * normal_cdf(-z.abs()) })
}

/// How much autocorrelation widens the variance of Kendall's S, at least 1.
///
/// Hamed & Rao 1998 (J. Hydrology 204:182–196): `1 + 2/(n(n−1)(n−2)) · Σ_k (n−k)(n−k−1)(n−k−2)·ρ_k`
/// over the autocorrelations of the ranks of the values without their Theil–Sen trend, counting
/// only those beyond the two-sided 95 % bound `1.96/√n`. They let negative ones narrow it; here it
/// is never below 1, so that a saw-tooth cannot make a trend look certain. Lags go up to a quarter
/// of the values: beyond that a correlation is estimated from few pairs.
pub fn autocorrelation_factor(values: &[f64]) -> f64 {
    let n = values.len();
    let points: Vec<(f64, f64)> = values.iter().enumerate().map(|(i, v)| (i as f64, *v)).collect();
    let Some(slope) = theil_sen(&points, 0.95, 1.0).filter(|_| n >= 4) else { return 1.0 };
    let rest: Vec<f64> = points.iter().map(|(t, y)| y - slope.point * t).collect();
    let ranks = ranks(&rest);
    let middle = f64::midpoint(n as f64, 1.0);
    let off: Vec<f64> = ranks.iter().map(|rank| rank - middle).collect();
    let power: f64 = off.iter().map(|x| x * x).sum();
    if power <= 0.0 {
        return 1.0;
    }
    let bound = 1.959_963_985 / (n as f64).sqrt();
    let count = n as f64;
    let mut sum = 0.0;
    for lag in 1..=n / 4 {
        let rho = off.iter().zip(&off[lag..]).map(|(a, b)| a * b).sum::<f64>() / power;
        if rho.abs() > bound {
            let left = count - lag as f64;
            sum += left * (left - 1.0) * (left - 2.0) * rho;
        }
    }
    (1.0 + 2.0 / (count * (count - 1.0) * (count - 2.0)) * sum).max(1.0)
}

/// Variance of Kendall's S of `n` values without a trend; each group of equal entries of each of
/// `axes` takes its part away.
fn variance_of_s(axes: &[&[f64]], n: usize) -> f64 {
    let term = |k: f64| k * (k - 1.0) * (2.0 * k + 5.0);
    let ties: f64 = axes.iter().flat_map(|axis| groups(axis)).map(|k| term(k as f64)).sum();
    (term(n as f64) - ties) / 18.0
}

/// Sizes of the groups of equal values.
fn groups(values: &[f64]) -> Vec<usize> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.chunk_by(|a, b| a == b).map(<[f64]>::len).collect()
}

/// Ranks from 1, the mean rank for equal values.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut out = vec![0.0; values.len()];
    let mut before = 0;
    for group in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let rank = before as f64 + f64::midpoint(group.len() as f64, 1.0);
        for i in group {
            out[*i] = rank;
        }
        before += group.len();
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Golden {
        slopes: Vec<GoldenSlope>,
        trends: Vec<GoldenTrend>,
    }

    #[derive(Deserialize)]
    struct GoldenSlope {
        times: Vec<f64>,
        values: Vec<f64>,
        level: f64,
        point: f64,
        low: f64,
        high: f64,
        intercept: f64,
    }

    #[derive(Deserialize)]
    struct GoldenTrend {
        values: Vec<f64>,
        s: f64,
        p_value: f64,
    }

    #[track_caller]
    fn close(found: f64, expected: f64) {
        let error = (found - expected).abs();
        assert!(error <= 1e-9 * expected.abs().max(1e-12), "found {found:e}, not {expected:e}");
    }

    #[test]
    fn very_many_slopes_are_ranked_as_if_all_were_sorted() {
        let noise = |i: usize| (i * 7919 % 1009) as f64 / 1009.0;
        let points: Vec<(f64, f64)> =
            (0..1600).map(|i| ((i / 4) as f64, 0.01 * (i / 4) as f64 + noise(i))).collect();
        let times: Vec<f64> = points.iter().map(|point| point.0).collect();
        let all = pairs_apart(&times);
        assert!(all > MOST_LISTED);
        let (_, mut sorted) = slopes_within(&points, (f64::NEG_INFINITY, f64::INFINITY));
        assert_eq!(sorted.len(), all);
        sorted.sort_by(f64::total_cmp);
        let middle = [all / 2 - 30_000, all / 2, all / 2 + 1, all / 2 + 30_000];
        for ranks in [middle, [0, 1, all - 2, all - 1]] {
            assert_eq!(slopes_at(&points, all, ranks), ranks.map(|rank| sorted[rank]));
        }
        let (below, kept) = slopes_within(&points, bracket(&points, all, middle));
        assert!(below > all / 3 && kept.len() < all / 5, "{below} {}", kept.len());
    }

    /// Made by `tests/golden/make_trends.py`.
    #[test]
    fn slopes_and_trends_agree_with_scipy() {
        let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/trends.json"));
        let golden: Golden = serde_json::from_str(text).unwrap();
        for case in golden.slopes {
            let points: Vec<_> = case.times.iter().copied().zip(case.values).collect();
            let found = theil_sen(&points, case.level, 1.0).unwrap();
            close(found.point, case.point);
            close(found.low, case.low);
            close(found.high, case.high);
            close(found.intercept, case.intercept);
        }
        for case in golden.trends {
            let found = mann_kendall(&case.values, 1.0).unwrap();
            close(found.s, case.s);
            close(found.p_value, case.p_value);
        }
    }

    fn line(values: &[f64]) -> Vec<(f64, f64)> {
        values.iter().enumerate().map(|(i, v)| (i as f64, *v)).collect()
    }

    #[test]
    fn a_straight_line_has_its_slope_and_strays_do_not_move_it() {
        let mut values: Vec<f64> = (0..20).map(|i| 3.0 + 0.5 * f64::from(i)).collect();
        let slope = theil_sen(&line(&values), 0.95, 1.0).unwrap();
        assert_eq!((slope.point, slope.low, slope.high, slope.intercept), (0.5, 0.5, 0.5, 3.0));
        values[4] = 900.0;
        let slope = theil_sen(&line(&values), 0.95, 1.0).unwrap();
        assert!((slope.point - 0.5).abs() < 1e-12 && slope.low <= 0.5 && slope.high >= 0.5);
        let trend = mann_kendall(&values, 1.0).unwrap();
        assert!(trend.z > 4.0 && trend.p_value < 1e-4);
    }

    #[test]
    fn equal_too_few_or_broken_values_have_no_trend() {
        let trend = mann_kendall(&[2.0; 9], 1.0).unwrap();
        assert_eq!((trend.s, trend.p_value), (0.0, 1.0));
        assert_eq!(theil_sen(&line(&[2.0; 9]), 0.95, 1.0).unwrap().point, 0.0);
        assert_eq!(autocorrelation_factor(&[2.0; 9]), 1.0);
        assert_eq!(mann_kendall(&[1.0, 2.0], 1.0), None);
        assert_eq!(theil_sen(&line(&[1.0, f64::NAN, 2.0]), 0.95, 1.0), None);
        assert_eq!(theil_sen(&[(1.0, 2.0); 4], 0.95, 1.0), None, "no time passes");
        assert_eq!(theil_sen(&line(&[1.0, 2.0, 3.0]), 1.0, 1.0), None);
    }

    #[test]
    fn what_wanders_widens_the_variance_and_what_alternates_does_not_narrow_it() {
        let walk: Vec<f64> = (0..60).map(|i| (f64::from(i) / 9.0).sin()).collect();
        assert!(autocorrelation_factor(&walk) > 3.0);
        let alternating: Vec<f64> = (0..60).map(|i| f64::from(i % 2)).collect();
        assert_eq!(autocorrelation_factor(&alternating), 1.0);
        let plain = mann_kendall(&walk, 1.0).unwrap();
        let wide = mann_kendall(&walk, autocorrelation_factor(&walk)).unwrap();
        assert!(wide.p_value > plain.p_value);
    }

    proptest! {
        #[test]
        fn turning_the_series_round_turns_the_trend(
            values in prop::collection::vec(-5.0..5.0, 3..40),
            level in 0.5..0.99,
        ) {
            let back: Vec<f64> = values.iter().rev().copied().collect();
            let (a, b) = (mann_kendall(&values, 1.0).unwrap(), mann_kendall(&back, 1.0).unwrap());
            prop_assert_eq!((a.s, a.sd), (-b.s, b.sd));
            let slope = theil_sen(&line(&values), level, 1.0).unwrap();
            prop_assert!(slope.low <= slope.point && slope.point <= slope.high);
            let wider = theil_sen(&line(&values), level, 4.0).unwrap();
            prop_assert!(wider.low <= slope.low && slope.high <= wider.high);
        }

        #[test]
        fn adding_a_line_adds_its_slope(
            values in prop::collection::vec(-5.0..5.0, 3..40),
            more in -3.0..3.0_f64,
        ) {
            let steeper: Vec<f64> =
                values.iter().enumerate().map(|(i, v)| v + more * i as f64).collect();
            let a = theil_sen(&line(&values), 0.95, 1.0).unwrap();
            let b = theil_sen(&line(&steeper), 0.95, 1.0).unwrap();
            prop_assert!((a.point + more - b.point).abs() < 1e-9);
        }
    }
}
