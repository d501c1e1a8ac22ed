//! Shares of items that were answered rightly, alone and paired with those of a reference.
//!
//! Both intervals invert a score test, so they hold near 0 and 1 and with few items, where the
//! usual standard error is 0: sixteen right answers out of sixteen are no certainty.

use super::estimate::{Estimate, Method, normal_quantile, two_sided};

/// Halvings of an interval of length 2 until nothing of it is left in `f64`.
const HALVINGS: u32 = 64;

/// Share of `hits` among `n` independent items with Wilson's score interval (E. B. Wilson, JASA 22
/// (1927) 209-212).
///
/// `hits` may be the sum of shares within items, each between 0 and 1: such a sum varies at most
/// as much as one of zeros and ones, so the interval is then rather too wide than too narrow.
/// `None` without items and for `hits` outside `0..=n`.
pub fn wilson(hits: f64, n: usize, level: f64) -> Option<Estimate> {
    let items = n as f64;
    if n == 0 || !(0.0..=items).contains(&hits) {
        return None;
    }
    let z = normal_quantile(two_sided(level)?);
    let share = hits / items;
    let square = z * z / items;
    let middle = (share + square / 2.0) / (1.0 + square);
    let half = z * (share * (1.0 - share) / items + square / (4.0 * items)).sqrt() / (1.0 + square);
    // At the ends the bound is exactly the share, which rounding would miss.
    let low = if hits == 0.0 { 0.0 } else { (middle - half).clamp(0.0, share) };
    let high = if hits == items { 1.0 } else { (middle + half).clamp(share, 1.0) };
    let n = u32::try_from(n).ok()?;
    Some(Estimate { point: share, low, high, level, n, method: Method::Wilson })
}

/// Share of the variant minus that of the reference over the same `n` items, of which `better` are
/// right in the variant alone and `worse` in the reference alone.
///
/// The interval holds the differences that the score test for paired proportions does not reject,
/// with the nuisance probability at its maximum likelihood under each (T. Tango, Statistics in
/// Medicine 17 (1998) 891-908). Sums of shares within items may stand for counts, as in
/// [`wilson`]. `None` without items and where the counts are not from 0 to `n` together.
pub fn paired_difference(better: f64, worse: f64, n: usize, level: f64) -> Option<Estimate> {
    let items = n as f64;
    let sane = n > 0 && better >= 0.0 && worse >= 0.0 && better + worse <= items;
    if !sane {
        return None;
    }
    let z = normal_quantile(two_sided(level)?);
    let point = (better - worse) / items;
    // The statistic falls from plus to minus infinity as the difference goes from -1 to 1.
    let solve = |mut below: f64, mut above: f64, target: f64| {
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(below, above);
            if score(middle, better, worse, items) > target {
                below = middle;
            } else {
                above = middle;
            }
        }
        f64::midpoint(below, above)
    };
    let (low, high) = (solve(-1.0, point, z), solve(point, 1.0, -z));
    let n = u32::try_from(n).ok()?;
    Some(Estimate { point, low, high, level, n, method: Method::PairedScore })
}

/// Tango's statistic of the hypothesis that the shares differ by `difference`.
fn score(difference: f64, better: f64, worse: f64, n: f64) -> f64 {
    let b = (2.0 * n - better + worse) * difference - better - worse;
    let c = -worse * difference * (1.0 - difference);
    let root = (b * b - 8.0 * n * c).max(0.0).sqrt();
    // The larger root of 2n·q² + b·q + c, written so that nothing cancels.
    let only_worse = if b > 0.0 { -2.0 * c / (b + root) } else { (root - b) / (4.0 * n) };
    let variance = n * (2.0 * only_worse + difference * (1.0 - difference));
    let gap = better - worse - n * difference;
    match (variance > 0.0, gap == 0.0) {
        (_, true) => 0.0,
        (true, _) => gap / variance.sqrt(),
        (false, _) => gap.signum() * f64::INFINITY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_gives_no_estimate() {
        assert_eq!(wilson(0.0, 0, 0.95), None);
        assert_eq!(wilson(5.5, 5, 0.95), None);
        assert_eq!(wilson(f64::NAN, 5, 0.95), None);
        assert_eq!(wilson(1.0, 5, 1.0), None);
        assert_eq!(paired_difference(0.0, 0.0, 0, 0.95), None);
        assert_eq!(paired_difference(3.0, 3.0, 5, 0.95), None);
        assert_eq!(paired_difference(-1.0, 3.0, 5, 0.95), None);
        assert_eq!(paired_difference(f64::NAN, 3.0, 5, 0.95), None);
    }

    #[test]
    fn all_right_is_no_certainty() {
        let all = wilson(16.0, 16, 0.95).unwrap();
        assert_eq!((all.point, all.high, all.n), (1.0, 1.0, 16));
        assert!((all.low - 0.806).abs() < 1e-3, "{all:?}");
        // No item on which the two differ: z²/(n + z²) on either side.
        let same = paired_difference(0.0, 0.0, 400, 0.95).unwrap();
        let z = normal_quantile(0.975);
        let bound = z * z / (400.0 + z * z);
        assert!((same.high - bound).abs() < 1e-12 && (same.low + bound).abs() < 1e-12);
    }

    #[test]
    fn exchanging_the_two_turns_the_difference_round() {
        for (better, worse) in [(0.0, 7.0), (5.0, 3.0), (20.0, 0.0), (2.5, 0.5)] {
            let forth = paired_difference(better, worse, 20, 0.9).unwrap();
            let back = paired_difference(worse, better, 20, 0.9).unwrap();
            assert_eq!(forth.point, -back.point);
            assert!((forth.low + back.high).abs() < 1e-12, "{forth:?} {back:?}");
            assert!((forth.high + back.low).abs() < 1e-12, "{forth:?} {back:?}");
            assert!(forth.low <= forth.point && forth.point <= forth.high);
        }
    }
}
