//! MSER: where a start-up transient ends.

/// Values of one batch of MSER-5.
const BATCH: usize = 5;

/// From so many values on they are taken in batches.
const BATCHED_FROM: usize = 25;

/// How many values from the start to leave out, at most half of them, so that the mean of the rest
/// has the smallest standard error.
///
/// `d* = argmin_d (n−d)⁻² · Σ_{i≥d} (y_i − ȳ_{≥d})²` over `d ≤ n/2` (White 1997, Simulation
/// 69:323–334), on the values themselves for fewer than 25 of them, else on means of batches of
/// five (MSER-5: White, Cobb & Spratt 2000, WSC 755–760), whose last batch may be short of values
/// and is then left out of the search. The smallest such `d` where several are equal. A result at
/// the bound of half says that no plateau was found. 0 for fewer than four values, or where one is
/// not finite.
///
/// The rule always answers, also for values without any transient: whether what it would leave out
/// differs from the rest is for the caller to test.
pub fn mser(values: &[f64]) -> usize {
    if values.len() < 4 || values.iter().any(|v| !v.is_finite()) {
        return 0;
    }
    if values.len() < BATCHED_FROM {
        return smallest_error(values);
    }
    let means: Vec<f64> =
        values.chunks_exact(BATCH).map(|batch| batch.iter().sum::<f64>() / BATCH as f64).collect();
    smallest_error(&means) * BATCH
}

/// The argmin over `0..=n/2`, by running moments from the end.
fn smallest_error(values: &[f64]) -> usize {
    let n = values.len();
    // Welford's recurrence: the mean and the sum of squares of the values from `d` on.
    let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
    let mut best = (f64::INFINITY, 0);
    for d in (0..n).rev() {
        count += 1.0;
        let off = values[d] - mean;
        mean += off / count;
        squares += off * (values[d] - mean);
        let error = squares / (count * count);
        if d <= n / 2 && error <= best.0 {
            best = (error, d);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_step_is_cut_where_it_is_and_equal_values_are_not_cut() {
        let step: Vec<f64> = (0..20).map(|i| if i < 6 { 5.0 } else { 1.0 }).collect();
        assert_eq!(mser(&step), 6);
        assert_eq!(mser(&[1.0; 20]), 0);
        assert_eq!(mser(&[3.0, 1.0, 1.0]), 0, "too few");
        assert_eq!(mser(&[f64::NAN; 20]), 0);
        let long: Vec<f64> = (0..100).map(|i| if i < 15 { 5.0 } else { 1.0 }).collect();
        assert_eq!(mser(&long), 15);
        let falling: Vec<f64> = (0..20).map(|i| f64::from(20 - i)).collect();
        assert_eq!(mser(&falling), 10, "no plateau: the bound");
    }

    /// The formula as it is printed, with two passes.
    fn by_definition(values: &[f64]) -> f64 {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n * n)
    }

    proptest! {
        #[test]
        fn nothing_cuts_better_than_the_answer(values in prop::collection::vec(0.1..10.0, 4..25)) {
            let cut = mser(&values);
            prop_assert!(cut <= values.len() / 2);
            let found = by_definition(&values[cut..]);
            for d in 0..=values.len() / 2 {
                prop_assert!(found <= by_definition(&values[d..]) * (1.0 + 1e-9));
            }
        }

        #[test]
        fn units_do_not_matter(values in prop::collection::vec(0.1..10.0, 4..80), by in 0_u32..12) {
            // A power of two scales without rounding.
            let scaled: Vec<f64> = values.iter().map(|v| v * f64::from(1 << by)).collect();
            prop_assert_eq!(mser(&values), mser(&scaled));
        }
    }
}
