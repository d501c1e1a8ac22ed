//! What a run counts when it says how often something was tried.
//!
//! A block whose launches are processes of their own is one replicate. The bursts of a process
//! that stays share what that process was born with (where its memory lies, how its threads were
//! placed), so that they are one together: counted one by one they would give intervals that are
//! far too narrow (`engine prove residency`).

use std::collections::BTreeMap;

/// Bursts that a process makes before another takes its place.
pub const BURSTS: u32 = 5;

/// Where a launch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Called like the first block of it: the block itself where processes are fresh.
    pub replicate: u32,
    pub block: u32,
}

/// One value for each replicate: the geometric mean over its blocks.
pub fn by_replicate(values: &BTreeMap<Place, f64>) -> BTreeMap<u32, f64> {
    let mut all: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for (place, value) in values {
        all.entry(place.replicate).or_default().push(*value);
    }
    all.into_iter().map(|(replicate, values)| (replicate, geometric_mean(&values))).collect()
}

/// One pair `(baseline, variant)` for each replicate, over the blocks that have both: its log
/// ratio is the mean of theirs.
pub fn pairs(base: &BTreeMap<Place, f64>, own: &BTreeMap<Place, f64>) -> Vec<(f64, f64)> {
    let both = |values: &BTreeMap<Place, f64>, other: &BTreeMap<Place, f64>| {
        let shared = values.iter().filter(|(place, _)| other.contains_key(place));
        by_replicate(&shared.map(|(place, value)| (*place, *value)).collect())
    };
    both(base, own).into_values().zip(both(own, base).into_values()).collect()
}

/// Of at least one value; exact where all are the same.
fn geometric_mean(values: &[f64]) -> f64 {
    let first = values[0];
    let logs: f64 = values[1..].iter().map(|value| (value / first).ln()).sum();
    first * (logs / values.len() as f64).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(of: &[(u32, u32, f64)]) -> BTreeMap<Place, f64> {
        of.iter()
            .map(|(replicate, block, v)| (Place { replicate: *replicate, block: *block }, *v))
            .collect()
    }

    #[test]
    fn blocks_of_fresh_processes_are_replicates_as_they_are() {
        let base = values(&[(0, 0, 0.1), (1, 1, 0.3), (2, 2, 0.7)]);
        let own = values(&[(0, 0, 0.2), (2, 2, 0.9), (3, 3, 1.0)]);
        assert_eq!(by_replicate(&base), [(0, 0.1), (1, 0.3), (2, 0.7)].into());
        assert_eq!(pairs(&base, &own), [(0.1, 0.2), (0.7, 0.9)]);
    }

    #[test]
    fn bursts_of_one_process_are_one_replicate_with_the_mean_of_their_log_ratios() {
        let base = values(&[(0, 0, 2.0), (0, 1, 8.0), (2, 2, 5.0), (2, 3, 5.0), (2, 4, 5.0)]);
        let own = values(&[(0, 0, 1.0), (0, 1, 2.0), (2, 2, 5.0), (2, 3, 5.0), (2, 4, 5.0)]);
        let found = pairs(&base, &own);
        assert_eq!(found.len(), 2);
        let ratio = found[0].1 / found[0].0;
        assert!((ratio.ln() - (0.5_f64.ln() + 0.25_f64.ln()) / 2.0).abs() < 1e-12, "{ratio}");
        assert_eq!(found[1], (5.0, 5.0));
    }

    #[test]
    fn a_block_that_lacks_one_side_moves_neither() {
        let base = values(&[(0, 0, 2.0), (0, 1, 2.0), (0, 2, 200.0)]);
        let own = values(&[(0, 0, 1.0), (0, 1, 1.0)]);
        assert_eq!(pairs(&base, &own), [(2.0, 1.0)]);
        assert_eq!(pairs(&base, &values(&[(7, 7, 1.0)])), []);
    }
}
