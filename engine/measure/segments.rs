//! Segments of a short series: the best of all ways to cut it, by least squares.

/// Segments at most.
const MOST: usize = 6;

/// Penalty for each change, in units of twice the log-likelihood.
pub(super) const PENALTY: f64 = 15.0;

/// Share of `n` by which all changes together must raise twice the log-likelihood.
pub(super) const CONVINCING: f64 = 0.75;

/// Starts of the segments after the first, ascending, of a series of some dozens of values.
///
/// Exact dynamic programming (Bellman & Roth 1969, JASA 64:1079–1084) finds the least sum of
/// squares `S_k` around the means of `k` segments of at least `least` values; their number
/// minimizes `n · ln(S_k/n) + 15 · (k − 1)`, twice the negative log-likelihood of a Gaussian with
/// one variance. The result counts only where `n · ln(S_1/S_k)` is at least `0.75 · n` and 15, so
/// that the levels explain over half of the variance: values that depend on their predecessors look
/// like small steps otherwise. `floor` is the smallest standard deviation that counts. Up to six
/// segments; empty for fewer than `2 · least` values, or where one is not finite. Quadratic in the
/// number of values.
pub fn changes(values: &[f64], least: usize, floor: f64) -> Vec<usize> {
    let (n, least) = (values.len(), least.max(1));
    if n < 2 * least || values.iter().any(|v| !v.is_finite()) {
        return Vec::new();
    }
    let squares = Squares::of(values);
    let likelihood =
        |sum: f64| n as f64 * (sum / n as f64).max(floor * floor).max(f64::MIN_POSITIVE).ln();
    // best[t]: least squares of the first t values with as many segments as rounds were made.
    let one = |t| if t < least { f64::INFINITY } else { squares.between(0, t) };
    let mut best: Vec<f64> = (0..=n).map(one).collect();
    let whole = likelihood(best[n]);
    let mut lasts: Vec<Vec<usize>> = Vec::new();
    let (mut found, mut changes) = (whole, 0);
    for k in 1..MOST.min(n / least) {
        let mut next = vec![f64::INFINITY; n + 1];
        let mut last = vec![0; n + 1];
        for t in (k + 1) * least..=n {
            let first = k * least;
            for (start, least_before) in (first..).zip(&best[first..=t - least]) {
                let sum = least_before + squares.between(start, t);
                if sum < next[t] {
                    next[t] = sum;
                    last[t] = start;
                }
            }
        }
        lasts.push(last);
        best = next;
        let cost = likelihood(best[n]) + PENALTY * k as f64;
        if cost < found {
            (found, changes) = (cost, k);
        }
    }
    let gained = whole - (found - PENALTY * changes as f64);
    if gained < (CONVINCING * n as f64).max(PENALTY) {
        return Vec::new();
    }
    let mut out = Vec::with_capacity(changes);
    let mut t = n;
    for last in lasts[..changes].iter().rev() {
        t = last[t];
        out.push(t);
    }
    out.reverse();
    out
}

/// Running sums around the mean of all values.
struct Squares {
    first: Vec<f64>,
    second: Vec<f64>,
}

impl Squares {
    fn of(values: &[f64]) -> Self {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let (mut first, mut second) = (vec![0.0], vec![0.0]);
        let (mut a, mut b) = (0.0, 0.0);
        for value in values {
            a += value - mean;
            b += (value - mean).powi(2);
            first.push(a);
            second.push(b);
        }
        Self { first, second }
    }

    /// Sum of squares of a segment around its own mean.
    fn between(&self, from: usize, to: usize) -> f64 {
        let sum = self.first[to] - self.first[from];
        (self.second[to] - self.second[from] - sum * sum / (to - from) as f64).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn steps_are_found_where_they_are_and_noise_is_not() {
        let wave = |i: usize| ((i * 7 % 11) as f64 - 5.0) / 50.0;
        let level = |i: usize| if (8..20).contains(&i) { 2.0 } else { 1.0 };
        let values: Vec<f64> = (0..32).map(|i| level(i) + wave(i)).collect();
        assert_eq!(changes(&values, 3, 1e-3), [8, 20]);
        let steady: Vec<f64> = (0..40).map(wave).collect();
        assert!(changes(&steady, 3, 1e-3).is_empty());
        assert!(changes(&[1.0; 20], 3, 1e-3).is_empty());
        assert!(changes(&[1.0, 2.0, 1.0], 3, 1e-3).is_empty());
        assert!(changes(&[f64::NAN; 20], 3, 1e-3).is_empty());
    }

    /// Least squares of all segmentations with so many segments, by trying every last start.
    fn by_trying_all(values: &[f64], segments: usize, least: usize) -> f64 {
        let squares = Squares::of(values);
        let n = values.len();
        if segments == 1 {
            return if n < least { f64::INFINITY } else { squares.between(0, n) };
        }
        let starts = (segments - 1) * least..(n + 1).saturating_sub(least);
        let each = |start| {
            by_trying_all(&values[..start], segments - 1, least) + squares.between(start, n)
        };
        starts.map(each).fold(f64::INFINITY, f64::min)
    }

    proptest! {
        #[test]
        fn nothing_fits_better_with_as_many_segments(
            jumps in prop::collection::vec(0.0..20.0, 3),
            noise in prop::collection::vec(-1.0..1.0, 15),
        ) {
            let values: Vec<f64> = noise.iter().enumerate().map(|(i, e)| e + jumps[i / 5]).collect();
            let found = changes(&values, 3, 1e-3);
            let mut edges = vec![0];
            edges.extend(&found);
            edges.push(values.len());
            prop_assert!(edges.windows(2).all(|w| w[1] - w[0] >= 3));
            let squares = Squares::of(&values);
            let reached: f64 = edges.windows(2).map(|w| squares.between(w[0], w[1])).sum();
            let best = by_trying_all(&values, found.len() + 1, 3);
            prop_assert!((reached - best).abs() <= 1e-9 * best.max(1.0), "{reached} {best}");
        }
    }
}
