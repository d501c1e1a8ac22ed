//! Whether a variant gains and loses answers equally often.

use super::beta::incomplete_beta;

/// Exact two-sided p-value that an item on which two variants differ is as likely `gained` as
/// `lost`: twice the smaller binomial tail, at most 1 (Q. McNemar, Psychometrika 12 (1947)
/// 153-157, in its exact form). 1 where nothing differs.
pub fn mcnemar(gained: u64, lost: u64) -> f64 {
    let (fewer, all) = (gained.min(lost), gained + lost);
    if all == 0 || gained == lost {
        return 1.0;
    }
    // P(X ≤ k) of n fair coins.
    (2.0 * incomplete_beta(0.5, (all - fewer) as f64, fewer as f64 + 1.0)).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coins_decide() {
        assert_eq!(mcnemar(0, 0), 1.0);
        assert_eq!(mcnemar(5, 5), 1.0);
        assert!((mcnemar(0, 6) - 2.0 / 64.0).abs() < 1e-14);
        assert!((mcnemar(1, 5) - 2.0 * 7.0 / 64.0).abs() < 1e-14);
        assert_eq!(mcnemar(3, 9), mcnemar(9, 3));
        assert!((mcnemar(4, 5) - 1.0).abs() < 1e-12);
    }
}
