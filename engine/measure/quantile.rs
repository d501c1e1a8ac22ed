//! Quantiles with distribution-free bounds.

use serde::{Deserialize, Serialize};

use super::estimate::two_sided;

/// A quantile of independent values, and how far order statistics can carry it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantile {
    /// Hyndman–Fan type 7, linear between order statistics.
    pub point: f64,
    /// Lower and upper bound; `None` with fewer than `need` values.
    pub bounds: Option<(f64, f64)>,
    /// Values needed before a two-sided interval at this level exists.
    pub need: usize,
    pub n: usize,
}

/// The `q`-quantile of `values`, `0 < q < 1`, with bounds from order statistics.
///
/// The bounds are `[x_(l), x_(u)]`, `l = max{l: F(l−1) ≤ α/2}` and `u = min{u: F(u−1) ≥ 1−α/2}`, with
/// `F` the binomial distribution function of `n` and `q`. Makes no assumption about the
/// distribution, but counts every value as independent. `None` without finite values.
pub fn quantile(values: &[f64], q: f64, level: f64) -> Option<Quantile> {
    of_sorted(&sorted(values)?, q, level)
}

/// [`quantile`] of finite values in ascending order; `None` without any.
pub(super) fn of_sorted(sorted: &[f64], q: f64, level: f64) -> Option<Quantile> {
    let tail = 1.0 - two_sided(level)?;
    let n = sorted.len();
    if !(q > 0.0 && q < 1.0) || n == 0 {
        return None;
    }
    let (low, high) = ranks(n, q, tail);
    let bounds = low.zip(high).map(|(l, u)| (sorted[l - 1], sorted[u - 1]));
    let need = (tail.ln() / q.max(1.0 - q).ln()).ceil() as usize;
    Some(Quantile { point: type_7(sorted, q), bounds, need, n })
}

/// As [`quantile`] for values that depend on each other and are worth `effective` independent ones:
/// the ranks of that many, carried over to the values there are, outwards where they fall between
/// two.
pub fn dependent(values: &[f64], q: f64, level: f64, effective: f64) -> Option<Quantile> {
    dependent_of_sorted(&sorted(values)?, q, level, effective)
}

/// [`dependent`] of finite values in ascending order; `None` without any.
pub(super) fn dependent_of_sorted(
    sorted: &[f64],
    q: f64,
    level: f64,
    effective: f64,
) -> Option<Quantile> {
    let tail = 1.0 - two_sided(level)?;
    let plain = of_sorted(sorted, q, level)?;
    let worth = (effective.max(0.0).floor() as usize).min(plain.n);
    if worth == plain.n {
        return Some(plain);
    }
    let scale = (plain.n + 1) as f64 / (worth + 1) as f64;
    let bounds = match ranks(worth, q, tail) {
        (Some(l), Some(u)) => {
            let low = (l as f64 * scale).floor() as usize;
            let high = ((u as f64 * scale).ceil() as usize).min(plain.n);
            Some((sorted[low.max(1) - 1], sorted[high - 1]))
        }
        _ => None,
    };
    Some(Quantile { bounds, n: worth, ..plain })
}

/// How firmly a quantile stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// There are bounds, and they are wide.
    Coarse,
    A,
}

/// Grade A from fifty independent values beyond the quantile on: 100 for a median, 5,000 for p99.
pub fn grade(q: f64, effective: f64) -> Grade {
    // A product, because 1 − 0.99 is a little more than a hundredth.
    if effective * q.min(1.0 - q) >= 50.0 * (1.0 - 1e-9) { Grade::A } else { Grade::Coarse }
}

/// Each of the two bounds of [`quantile`] by itself, where so few values have it: one slow value
/// of five can bound a high quantile from below long before anything bounds it from above.
pub fn one_sided(values: &[f64], q: f64, level: f64) -> (Option<f64>, Option<f64>) {
    let tail = two_sided(level).map(|upper| 1.0 - upper).filter(|_| q > 0.0 && q < 1.0);
    let Some((sorted, tail)) = sorted(values).zip(tail) else { return (None, None) };
    let (low, high) = ranks(sorted.len(), q, tail);
    (low.map(|l| sorted[l - 1]), high.map(|u| sorted[u - 1]))
}

/// The middle value, or the mean of the two middle ones. `None` without finite values.
pub fn median(values: &[f64]) -> Option<f64> {
    Some(type_7(&sorted(values)?, 0.5))
}

/// Finite values in ascending order; `None` when there are none or one is not finite.
pub(super) fn sorted(values: &[f64]) -> Option<Vec<f64>> {
    if values.is_empty() || values.iter().any(|v| !v.is_finite()) {
        return None;
    }
    let mut out = values.to_vec();
    out.sort_by(f64::total_cmp);
    Some(out)
}

/// The `q`-quantile of values in ascending order, linear between them.
pub(super) fn type_7(sorted: &[f64], q: f64) -> f64 {
    let last = sorted.len() - 1;
    let place = q * last as f64;
    let below = (place.floor() as usize).min(last);
    let above = (below + 1).min(last);
    let share = place - below as f64;
    sorted[below] * (1.0 - share) + sorted[above] * share
}

/// Ranks `(l, u)` from 1 of the bounds with at most `tail` outside on each side.
fn ranks(n: usize, q: f64, tail: f64) -> (Option<usize>, Option<usize>) {
    let (first, weights) = binomial(n, q);
    let total: f64 = weights.iter().sum();
    let mut lower = None;
    let mut below = 0.0;
    for (k, w) in (first..).zip(&weights) {
        below += w;
        if below / total > tail {
            break;
        }
        lower = Some(k + 1);
    }
    let mut upper = first + weights.len();
    let mut above = 0.0;
    // u is the smallest rank with P(X ≥ u) ≤ tail. The sum starts at the far, small end.
    for w in weights.iter().rev() {
        above += w;
        if above / total > tail {
            break;
        }
        upper -= 1;
    }
    (lower, Some(upper).filter(|upper| *upper <= n))
}

/// Weights proportional to the binomial probabilities of `first`, `first + 1`, …, grown from the
/// mode outwards until they no longer count.
///
/// Needs no special function: the incomplete beta function of statrs stops after 140 terms, which
/// is too few for the ten thousands of tokens of one cell.
pub(super) fn binomial(n: usize, q: f64) -> (usize, Vec<f64>) {
    const NEGLIGIBLE: f64 = 1e-20;
    let odds = q / (1.0 - q);
    let mode = (((n + 1) as f64 * q) as usize).min(n);
    let mut down = Vec::new();
    let (mut k, mut w) = (mode, 1.0);
    while k > 0 && w > NEGLIGIBLE {
        w *= k as f64 / ((n - k + 1) as f64 * odds);
        k -= 1;
        down.push(w);
    }
    let first = k;
    let mut weights: Vec<f64> = down.into_iter().rev().collect();
    weights.push(1.0);
    let (mut k, mut w) = (mode, 1.0);
    while k < n && w > NEGLIGIBLE {
        w *= (n - k) as f64 * odds / (k + 1) as f64;
        k += 1;
        weights.push(w);
    }
    (first, weights)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_needed_follow_the_published_table() {
        for (q, need) in [(0.5, 6), (0.9, 36), (0.95, 72), (0.99, 368), (0.999, 3688)] {
            let values: Vec<f64> = (0..need).map(|i| i as f64).collect();
            let found = quantile(&values, q, 0.95).unwrap();
            assert_eq!(found.need, need);
            assert!(found.bounds.is_some(), "p{q} has bounds from {need} values");
            assert_eq!(quantile(&values[1..], q, 0.95).unwrap().bounds, None);
        }
    }

    #[test]
    fn ten_values_bound_the_median_by_the_second_and_ninth() {
        // Conover, Practical Nonparametric Statistics: P(2 ≤ X ≤ 8) = 0.979 for n = 10.
        let values: Vec<f64> = (1..=10).map(f64::from).collect();
        let found = quantile(&values, 0.5, 0.95).unwrap();
        assert_eq!((found.point, found.bounds), (5.5, Some((2.0, 9.0))));
    }

    #[test]
    fn a_high_quantile_is_bounded_from_below_long_before_it_is_from_above() {
        // P(Bin(12, 0.01) >= 2) = 0.0062 and P(Bin(12, 0.01) >= 1) = 0.114.
        let values: Vec<f64> = (1..=12).map(f64::from).collect();
        assert_eq!(one_sided(&values, 0.99, 0.98), (Some(11.0), None));
        assert_eq!(one_sided(&values, 0.5, 0.98), (Some(2.0), Some(11.0)));
        let (low, high) = one_sided(&values, 0.5, 0.95);
        assert_eq!(quantile(&values, 0.5, 0.95).unwrap().bounds, low.zip(high));
        assert_eq!(one_sided(&[], 0.5, 0.95), (None, None));
        assert_eq!(one_sided(&values, 1.0, 0.95), (None, None));
    }

    #[test]
    fn dependent_values_have_wider_bounds_and_need_more_of_them() {
        let values: Vec<f64> = (1..=400).map(f64::from).collect();
        let plain = quantile(&values, 0.5, 0.95).unwrap();
        assert_eq!(dependent(&values, 0.5, 0.95, 400.0), Some(plain));
        let fewer = dependent(&values, 0.5, 0.95, 100.9).unwrap();
        // Ranks 40 and 61 of 100, times 401/101.
        assert_eq!((fewer.n, fewer.bounds), (100, Some((158.0, 243.0))));
        assert_eq!(fewer.point, plain.point);
        let none = dependent(&values, 0.99, 0.95, 367.0).unwrap();
        assert_eq!((none.bounds, none.need), (None, 368));
        assert!(dependent(&values, 0.99, 0.95, 368.0).unwrap().bounds.is_some());
    }

    #[test]
    fn grades_follow_the_published_table() {
        for (q, from) in [(0.5, 100.0), (0.9, 500.0), (0.95, 1e3), (0.99, 5e3), (0.999, 5e4)] {
            assert_eq!((grade(q, from), grade(q, from - 1.0)), (Grade::A, Grade::Coarse), "{q}");
        }
    }

    #[test]
    fn broken_input_gives_no_quantile() {
        assert_eq!(quantile(&[], 0.5, 0.95), None);
        assert_eq!(quantile(&[1.0, f64::NAN], 0.5, 0.95), None);
        for q in [0.0, 1.0, -1.0, f64::NAN] {
            assert_eq!(quantile(&[1.0, 2.0], q, 0.95), None);
        }
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
    }
}
