//! Several explorations at once: which of them are worth a second look.

/// The error rate at which exploratory metrics are marked: of those marked, at most one in ten is
/// expected to be chance.
pub const RATE: f64 = 0.10;

/// p-values adjusted for the false discovery rate: `min over j ≥ i of m·p_(j)/j`, at most 1, in the
/// order of `p_values` (Y. Benjamini & Y. Hochberg, J. R. Statist. Soc. B 57 (1995) 289-300).
/// Those at most the rate asked for are discoveries. A p-value that is NaN counts as 1.
pub fn benjamini_hochberg(p_values: &[f64]) -> Vec<f64> {
    let m = p_values.len();
    let p = |i: usize| if p_values[i].is_nan() { 1.0 } else { p_values[i] };
    let mut order: Vec<usize> = (0..m).collect();
    order.sort_by(|a, b| p(*a).total_cmp(&p(*b)));
    let mut out = vec![1.0; m];
    let mut least: f64 = 1.0;
    for (rank, i) in order.into_iter().enumerate().rev() {
        least = least.min(p(i) * (m as f64 / (rank + 1) as f64));
        out[i] = least;
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_exploration_keeps_its_p_value_and_a_gap_is_never_found() {
        assert_eq!(benjamini_hochberg(&[0.03]), [0.03]);
        assert_eq!(benjamini_hochberg(&[f64::NAN, 0.01]), [1.0, 0.02]);
        assert!(benjamini_hochberg(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn adjusting_keeps_the_order_and_never_lowers(p in prop::collection::vec(0.0..1.0, 1..20)) {
            let adjusted = benjamini_hochberg(&p);
            for i in 0..p.len() {
                prop_assert!(p[i] <= adjusted[i] && adjusted[i] <= 1.0);
                for j in 0..p.len() {
                    prop_assert!(p[i] > p[j] || adjusted[i] <= adjusted[j]);
                }
            }
        }
    }
}
