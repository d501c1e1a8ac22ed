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

/// One value for each replicate: the mean over its blocks. It is the geometric mean, which is what
/// [`pairs`] compare, where all `values` are above 0. Where one is not, as energy net of idling may
/// be, it has no logarithm, and all replicates have the arithmetic mean.
pub fn by_replicate(values: &BTreeMap<Place, f64>) -> BTreeMap<u32, f64> {
    let mean = mean_for(values.values());
    let mut all: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for (place, value) in values {
        all.entry(place.replicate).or_default().push(*value);
    }
    all.into_iter().map(|(replicate, values)| (replicate, mean(&values))).collect()
}

/// One pair `(baseline, variant)` for each replicate, over the blocks that have both: its log
/// ratio is the mean of theirs. Where a value of either side is not above 0 the pairs are of
/// arithmetic means, as in [`by_replicate`]; a pair that is not above 0 then has no ratio.
pub fn pairs(base: &BTreeMap<Place, f64>, own: &BTreeMap<Place, f64>) -> Vec<(f64, f64)> {
    let shared = || base.iter().filter_map(|(place, base)| Some((place, base, own.get(place)?)));
    let mean = mean_for(shared().flat_map(|(_, base, own)| [base, own]));
    let mut all: BTreeMap<u32, (Vec<f64>, Vec<f64>)> = BTreeMap::new();
    for (place, base, own) in shared() {
        let both = all.entry(place.replicate).or_default();
        both.0.push(*base);
        both.1.push(*own);
    }
    all.into_values().map(|(base, own)| (mean(&base), mean(&own))).collect()
}

/// The geometric mean where all of `values` have a logarithm.
fn mean_for<'a>(mut values: impl Iterator<Item = &'a f64>) -> fn(&[f64]) -> f64 {
    if values.all(|value| *value > 0.0) { geometric_mean } else { arithmetic_mean }
}

/// Of at least one value; exact where all are the same.
fn geometric_mean(values: &[f64]) -> f64 {
    let first = values[0];
    let logs: f64 = values[1..].iter().map(|value| (value / first).ln()).sum();
    first * (logs / values.len() as f64).exp()
}

/// Of at least one value; exact where all are the same.
fn arithmetic_mean(values: &[f64]) -> f64 {
    let first = values[0];
    let rest: f64 = values[1..].iter().map(|value| value - first).sum();
    first + rest / values.len() as f64
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
        assert!((ratio.ln() - f64::midpoint(0.5_f64.ln(), 0.25_f64.ln())).abs() < 1e-12, "{ratio}");
        assert_eq!(found[1], (5.0, 5.0));
    }

    #[test]
    fn bursts_without_a_logarithm_have_the_arithmetic_mean_everywhere() {
        let zero = values(&[(0, 0, 0.0), (0, 1, 4.0), (2, 2, 2.0), (2, 3, 8.0)]);
        assert_eq!(by_replicate(&zero), [(0, 2.0), (2, 5.0)].into());
        let negative = values(&[(0, 0, -1.0), (0, 1, -2.0), (2, 2, -3.0), (2, 3, 1.0)]);
        assert_eq!(by_replicate(&negative), [(0, -1.5), (2, -1.0)].into());
        assert_eq!(pairs(&zero, &negative), [(2.0, -1.5), (5.0, -1.0)]);
        let positive = values(&[(0, 0, 1.0), (0, 1, 3.0), (2, 2, 2.0), (2, 3, 8.0)]);
        assert_eq!(pairs(&zero, &positive), [(2.0, 2.0), (5.0, 5.0)]);
        let found = by_replicate(&positive);
        assert!((found[&0] - 3.0_f64.sqrt()).abs() < 1e-12 && (found[&2] - 4.0).abs() < 1e-12);
    }

    #[test]
    fn a_block_that_lacks_one_side_moves_neither() {
        let base = values(&[(0, 0, 2.0), (0, 1, 2.0), (0, 2, 200.0)]);
        let own = values(&[(0, 0, 1.0), (0, 1, 1.0)]);
        assert_eq!(pairs(&base, &own), [(2.0, 1.0)]);
        assert_eq!(pairs(&base, &values(&[(7, 7, 1.0)])), []);
    }
}
