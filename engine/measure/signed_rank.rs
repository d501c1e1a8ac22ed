//! The exact signed-rank interval of Hodges and Lehmann.

use super::estimate::two_sided;
use super::quantile::sorted;

/// More pairs than this are left to the t interval: the table of the exact distribution and the
/// list of averages grow with the cube and the square of the number of pairs.
pub const MOST_PAIRS: usize = 200;

/// Interval for the centre of symmetry of `differences` at confidence `level`.
///
/// The bounds are the `c`-th smallest and largest of the `n(n+1)/2` Walsh averages
/// `(d_i + d_j)/2, i ≤ j`, where `c − 1` is the largest `k` with `P(T⁺ ≤ k) ≤ α/2` under the exact
/// distribution of the signed-rank statistic (Hollander, Wolfe & Chicken, Nonparametric Statistical
/// Methods, 3rd ed., section 3.3). Ties make it wider than asked, never narrower. `None` when so
/// few pairs cannot reach the level (under six at 0.95), or with more than [`MOST_PAIRS`].
pub fn interval(differences: &[f64], level: f64) -> Option<(f64, f64)> {
    let tail = 1.0 - two_sided(level)?;
    let n = differences.len();
    if n > MOST_PAIRS {
        return None;
    }
    let d = sorted(differences)?;
    let outside = ranks_outside(n, tail)?;
    let mut averages = Vec::with_capacity(n * (n + 1) / 2);
    for i in 0..n {
        averages.extend(d[i..].iter().map(|other| f64::midpoint(d[i], *other)));
    }
    averages.sort_by(f64::total_cmp);
    Some((averages[outside], averages[averages.len() - 1 - outside]))
}

/// The largest `k` with `P(T⁺ ≤ k) ≤ tail` for `n` pairs, which is also the number of Walsh
/// averages beyond each bound.
fn ranks_outside(n: usize, tail: f64) -> Option<usize> {
    let mut below = 0.0;
    distribution(n)
        .iter()
        .take_while(|p| {
            below += **p;
            below <= tail
        })
        .count()
        .checked_sub(1)
}

/// Probability of every value of the signed-rank statistic of `n` pairs, from 0 to `n(n+1)/2`.
pub(super) fn distribution(n: usize) -> Vec<f64> {
    let mut probability = vec![0.0; n * (n + 1) / 2 + 1];
    probability[0] = 1.0;
    // Rank r joins the sum with probability one half, independently of the others.
    for rank in 1..=n {
        for sum in (0..=rank * (rank + 1) / 2).rev() {
            let joined = if sum >= rank { probability[sum - rank] } else { 0.0 };
            probability[sum] = f64::midpoint(probability[sum], joined);
        }
    }
    probability
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_outside_follow_the_published_table() {
        // Two-sided critical values of the signed-rank test at 0.05 (Wilcoxon & Wilcox 1964).
        for (n, critical) in [(6, 0), (7, 2), (8, 3), (10, 8), (15, 25), (20, 52), (25, 89)] {
            assert_eq!(ranks_outside(n, 0.025), Some(critical), "n = {n}");
        }
        assert_eq!(ranks_outside(5, 0.025), None);
        assert_eq!(ranks_outside(0, 0.025), None);
    }

    #[test]
    fn too_few_too_many_or_broken_differences_give_no_interval() {
        assert_eq!(interval(&[1.0; 5], 0.95), None);
        assert_eq!(interval(&[1.0; MOST_PAIRS + 1], 0.95), None);
        assert_eq!(interval(&[1.0, 2.0, 3.0, 4.0, 5.0, f64::NAN], 0.95), None);
        assert_eq!(interval(&[], 0.95), None);
        assert_eq!(interval(&[1.0; MOST_PAIRS], 0.95), Some((1.0, 1.0)));
    }

    #[test]
    fn six_differences_reach_from_the_smallest_to_the_largest() {
        assert_eq!(interval(&[3.0, 1.0, 2.0, 6.0, 5.0, 4.0], 0.95), Some((1.0, 6.0)));
    }
}
