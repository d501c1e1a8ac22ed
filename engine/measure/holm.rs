//! How intervals widen when several comparisons are made at once.

/// The confidence level of each comparison's interval under Holm's step-down procedure, in the
/// order of `p_values`.
///
/// The comparison with the `i`-th smallest of `m` p-values gets the level `1 − α/(m−i+1)`, as long
/// as every p-value so far is at most its `α/(m−i+1)`. From the first one above it on, all keep
/// that step's level. So a t interval excludes "no difference" exactly where Holm's test rejects
/// it, and a wider one excludes it there at most (Holm 1979, Scand. J. Statist. 6:65–70; for
/// intervals Ludbrook 2000, Clin. Exp. Pharmacol. Physiol. 27:212–215). The chance of any false "there is a difference" stays under α. It is not
/// a bound on all intervals covering at once, so claims about how large a difference is are made
/// each at its own level.
///
/// A p-value that is NaN counts as 1.
pub fn holm_levels(p_values: &[f64], confidence: f64) -> Vec<f64> {
    let alpha = 1.0 - confidence;
    let m = p_values.len();
    let p = |i: usize| if p_values[i].is_nan() { 1.0 } else { p_values[i] };
    let mut order: Vec<usize> = (0..m).collect();
    order.sort_by(|a, b| p(*a).total_cmp(&p(*b)));
    let mut levels = vec![confidence; m];
    let mut step = alpha / m.max(1) as f64;
    let mut rejecting = true;
    for (rank, i) in order.into_iter().enumerate() {
        if rejecting {
            step = alpha / (m - rank) as f64;
            rejecting = p(i) <= step;
        }
        levels[i] = 1.0 - step;
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: &[f64], expected: &[f64]) -> bool {
        found.len() == expected.len()
            && found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12)
    }

    #[test]
    fn one_comparison_keeps_the_asked_confidence() {
        assert!(close(&holm_levels(&[0.7], 0.95), &[0.95]));
        assert!(holm_levels(&[], 0.95).is_empty());
    }

    #[test]
    fn levels_relax_step_by_step_until_the_first_that_is_not_rejected() {
        let levels = holm_levels(&[0.03, 0.001, 0.5, 0.04], 0.95);
        // 0.001 ≤ 0.05/4; 0.03 > 0.05/3, so it and all later ones stay at that step.
        let step = 1.0 - 0.05 / 3.0;
        assert!(close(&levels, &[step, 1.0 - 0.05 / 4.0, step, step]));
    }

    #[test]
    fn a_missing_p_value_is_never_rejected() {
        let levels = holm_levels(&[f64::NAN, 0.001], 0.95);
        assert!(close(&levels, &[0.95, 0.975]));
    }
}
