//! How long the blocks of a bootstrap over dependent values should be.
//!
//! Long enough to hold the dependence, short enough to leave many of them. One rule for both kinds:
//! circular (or moving) blocks of fixed length, and the stationary bootstrap, whose lengths are
//! geometric around their mean.

/// Lengths that minimize the error of the variance of a mean, from 1 to the cap of the rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BlockLength {
    /// Mean length for the stationary bootstrap.
    pub stationary: f64,
    /// Length for circular and moving blocks.
    pub circular: f64,
}

/// The automatic choice of D. N. Politis & H. White, Econometric Reviews 23 (2004) 53-70, with the
/// correction of A. Patton, D. N. Politis & H. White, Econometric Reviews 28 (2009) 372-375.
///
/// Dependence ends at the first of `max(5, log10 n)` autocorrelations in a row within
/// `±2·sqrt(log10 n / n)`; up to twice that lag a flat-top window weighs them. `None` with fewer
/// than nine values, values that are not finite, or none that differ.
pub fn block_length(values: &[f64]) -> Option<BlockLength> {
    let n = values.len();
    if n < 9 || values.iter().any(|v| !v.is_finite()) || values.iter().all(|v| *v == values[0]) {
        return None;
    }
    let size = n as f64;
    let mean = values.iter().sum::<f64>() / size;
    let x: Vec<f64> = values.iter().map(|v| v - mean).collect();
    let cap = (3.0 * size.sqrt()).min(size / 3.0).ceil();
    let in_a_row = (size.log10() as usize).max(5);
    let most = (size.sqrt().ceil() as usize + in_a_row).min(n - 2);
    let band = 2.0 * (size.log10() / size).sqrt();
    let product = |lag: usize| x[lag..].iter().zip(&x).map(|(a, b)| a * b).sum::<f64>();
    let quiet = |lag: usize| {
        let squares = |part: &[f64]| part.iter().map(|v| v * v).sum::<f64>();
        let scale = (squares(&x[lag + 1..]) * squares(&x[..n - lag - 1])).sqrt();
        product(lag).abs() / scale < band
    };
    let ended = (0..=most - in_a_row).find(|from| (*from..from + in_a_row).all(quiet));
    let window = ended.map_or(most, |lag| (2 * lag.max(1)).min(most));
    let (mut slope, mut variance) = (0.0, product(0) / size);
    for lag in 1..=window {
        let share = lag as f64 / window as f64;
        let weight = if share <= 0.5 { 1.0 } else { 2.0 * (1.0 - share) };
        let covariance = product(lag) / size;
        slope += 2.0 * weight * lag as f64 * covariance;
        variance += 2.0 * weight * covariance;
    }
    let length = |constant: f64| {
        let best = (2.0 * slope * slope / (constant * variance * variance) * size).cbrt();
        best.clamp(1.0, cap)
    };
    let found = BlockLength { stationary: length(2.0), circular: length(4.0 / 3.0) };
    (found.stationary.is_finite() && found.circular.is_finite()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::autocorrelation::ar1;

    #[test]
    fn stronger_dependence_needs_longer_blocks() {
        let of = |rho| block_length(&ar1(3, 2_000, rho)).unwrap();
        let (none, some, strong) = (of(0.0), of(0.5), of(0.9));
        assert!(none.stationary < some.stationary && some.stationary < strong.stationary);
        assert!(strong.circular > strong.stationary && none.stationary >= 1.0);
        // (2·g²/d·n)^(1/3) with g = 2ρ/((1−ρ²)(1−ρ)²)-like sums: 24 for ρ = 0.5 is far too much.
        assert!((2.0..24.0).contains(&some.stationary), "{some:?}");
    }

    #[test]
    fn the_unit_does_not_matter_and_nonsense_has_no_length() {
        let run = ar1(4, 500, 0.6);
        let scaled: Vec<f64> = run.iter().map(|x| 1e3 * x + 7.0).collect();
        let (a, b) = (block_length(&run).unwrap(), block_length(&scaled).unwrap());
        assert!((a.stationary / b.stationary - 1.0).abs() < 1e-9);
        assert_eq!(block_length(&run[..8]), None);
        assert_eq!(block_length(&[2.0; 50]), None);
        assert_eq!(block_length(&[f64::NAN; 50]), None);
    }
}
