//! The permutation test of paired differences: what if the labels had fallen the other way?
//!
//! The order inside a block is drawn at random, so under no effect every difference could as well
//! have the other sign. Listing all signs is exact and assumes no distribution.

/// More pairs than this have too many patterns of signs to list.
pub const MOST_PAIRS: usize = 16;

/// Share of the `2^B` patterns of signs whose sum lies at least as far from 0 as that of
/// `differences` (R. A. Fisher, The Design of Experiments (1935), section 21). `None` for no
/// difference or more than [`MOST_PAIRS`], or one that is not finite.
pub fn sign_flip(differences: &[f64]) -> Option<f64> {
    let (first, rest) = differences.split_first()?;
    if rest.len() >= MOST_PAIRS || differences.iter().any(|d| !d.is_finite()) {
        return None;
    }
    let found = differences.iter().sum::<f64>().abs();
    // Sums in another order differ in their last digits; they are the same sum.
    let slack = 1e-12 * differences.iter().map(|d| d.abs()).sum::<f64>();
    // A pattern and its mirror are equally far: the first sign stands still.
    let far = at_least(found - slack, *first, rest);
    Some(f64::from(far) / f64::from(1_u32 << rest.len()))
}

/// Patterns of signs of `rest` that bring `sum` at least as far from 0 as `bound`.
fn at_least(bound: f64, sum: f64, rest: &[f64]) -> u32 {
    match rest.split_first() {
        Some((next, rest)) => at_least(bound, sum + next, rest) + at_least(bound, sum - next, rest),
        None => u32::from(sum.abs() >= bound),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_of_two_signs_says_nothing_and_eight_of_a_kind_much() {
        assert_eq!(sign_flip(&[3.0]), Some(1.0));
        assert_eq!(sign_flip(&[0.1; 8]), Some(2.0 / 256.0));
        assert_eq!(sign_flip(&[0.1; MOST_PAIRS]), Some(2.0 / 65_536.0));
        assert_eq!(sign_flip(&[0.0; 4]), Some(1.0));
        assert_eq!(sign_flip(&[]), None);
        assert_eq!(sign_flip(&[1.0; MOST_PAIRS + 1]), None);
        assert_eq!(sign_flip(&[f64::NAN]), None);
    }

    proptest! {
        #[test]
        fn sign_unit_and_order_do_not_matter(
            d in prop::collection::vec(-3.0..3.0, 1..10), c in 1e-3..1e3,
        ) {
            let other: Vec<f64> = d.iter().rev().map(|x| -x * c).collect();
            prop_assert_eq!(sign_flip(&d), sign_flip(&other));
        }
    }
}
