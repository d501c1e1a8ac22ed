//! The signed-rank test of a centre of zero. Reported beside a verdict, never its reason.

use super::estimate::normal_cdf;
use super::quantile::sorted;
use super::signed_rank::{MOST_PAIRS, distribution};

/// Two-sided p-value that `differences` lie symmetrically around 0 (F. Wilcoxon, Biometrics
/// Bulletin 1 (1945) 80-83).
///
/// Zeros are left out, as Wilcoxon did. Exact without ties and up to [`MOST_PAIRS`] differences;
/// else the normal approximation with the variance lowered for ties and no correction for
/// continuity. `None` when no difference is left, or one is not finite.
pub fn wilcoxon(differences: &[f64]) -> Option<f64> {
    let all = sorted(differences)?;
    let sizes: Vec<f64> = all.iter().filter(|d| **d != 0.0).map(|d| d.abs()).collect();
    let sizes = sorted(&sizes)?;
    let n = sizes.len();
    // The middle rank of each group of equal sizes, and Σ(t³ − t) over the groups.
    let mut ties = 0.0;
    for group in sizes.chunk_by(|a, b| a == b) {
        let t = group.len() as f64;
        ties += t * t * t - t;
    }
    let rank = |size: f64| {
        let below = sizes.partition_point(|s| *s < size);
        let up_to = sizes.partition_point(|s| *s <= size);
        (below + 1 + up_to) as f64 / 2.0
    };
    let positive: f64 = all.iter().filter(|d| **d > 0.0).map(|d| rank(*d)).sum();
    let most = (n * (n + 1)) as f64 / 2.0;
    let smaller = positive.min(most - positive);
    if ties == 0.0 && n <= MOST_PAIRS {
        let below: f64 = distribution(n)[..=smaller as usize].iter().sum();
        return Some((2.0 * below).min(1.0));
    }
    let count = n as f64;
    let variance = count * (count + 1.0) * (2.0 * count + 1.0) / 24.0 - ties / 48.0;
    Some((2.0 * normal_cdf((smaller - most / 2.0) / variance.sqrt())).min(1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn all_on_one_side_is_as_unlikely_as_coins() {
        assert_eq!(wilcoxon(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), Some(2.0 / 64.0));
        assert_eq!(wilcoxon(&[0.0, 0.0]), None);
        assert_eq!(wilcoxon(&[f64::NAN, 1.0]), None);
        assert_eq!(wilcoxon(&[1.0, -1.0]), Some(1.0));
    }

    proptest! {
        #[test]
        fn sign_unit_order_and_zeros_do_not_matter(
            d in prop::collection::vec(-3.0..3.0, 1..30), c in 1e-3..1e3,
        ) {
            let p = wilcoxon(&d).unwrap();
            let mut other: Vec<f64> = d.iter().rev().map(|x| -x * c).collect();
            other.push(0.0);
            prop_assert!((wilcoxon(&other).unwrap() - p).abs() < 1e-12);
            prop_assert!((0.0..=1.0).contains(&p));
        }
    }
}
