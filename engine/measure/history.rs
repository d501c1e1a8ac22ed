//! Changes in a row of runs: when they are looked for, and when one counts.

use super::divisive::{ChangePoint, change_points};

/// Runs from which changes are looked for.
pub const LEAST_RUNS: usize = 10;

/// Runs between two changes.
pub const LEAST_SEGMENT: usize = 3;

/// A split counts when fewer than this share of permutations divide the row as well.
pub const ALPHA: f64 = 0.01;

/// Changes of the logarithms of paired ratios, oldest first; `None` for too few of them.
pub fn changes(logs: &[f64]) -> Option<Vec<ChangePoint>> {
    (logs.len() >= LEAST_RUNS).then(|| change_points(logs, LEAST_SEGMENT, ALPHA))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_found_and_few_runs_are_not_searched() {
        let row = |n: usize| {
            let of = |i: usize| 0.001 * (i * 7 % 5) as f64 + if i < 8 { 0.0 } else { 0.1 };
            (0..n).map(of).collect::<Vec<f64>>()
        };
        let found = changes(&row(20)).unwrap();
        assert_eq!(found.iter().map(|change| change.at).collect::<Vec<_>>(), [8]);
        assert!(found[0].p_value < ALPHA);
        assert_eq!(changes(&row(9)), None);
    }
}
