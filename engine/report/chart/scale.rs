//! From values to pixels, with ticks at round numbers.

use crate::report::format;

/// A linear or logarithmic axis over `from..=to` pixels.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    log: bool,
}

impl Scale {
    /// Covers `values` and a margin; values that are not finite are left out.
    pub fn linear(values: impl IntoIterator<Item = f64>, from: f64, to: f64) -> Self {
        Self::over(values.into_iter(), from, to, false)
    }

    /// Ratios: equal factors are equal distances.
    pub fn log(values: impl IntoIterator<Item = f64>, from: f64, to: f64) -> Self {
        Self::over(values.into_iter().filter(|v| *v > 0.0).map(f64::ln), from, to, true)
    }

    fn over(values: impl Iterator<Item = f64>, from: f64, to: f64, log: bool) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|value| value.is_finite()) {
            low = low.min(value);
            high = high.max(value);
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        let least = if log { 0.02 } else { low.abs().max(high.abs()).max(1e-9) * 1e-3 };
        let margin = ((high - low) * 0.06).max(least);
        Self { low: low - margin, high: high + margin, from, to, log }
    }

    /// The pixel of `value`, kept on the axis.
    pub fn at(&self, value: f64) -> f64 {
        let value = if self.log { value.max(1e-300).ln() } else { value };
        let share = (value - self.low) / (self.high - self.low);
        self.from + (self.to - self.from) * share.clamp(0.0, 1.0)
    }

    /// Round values inside the axis, about `most` of them.
    pub fn ticks(&self, most: usize) -> Vec<f64> {
        let (low, high) =
            if self.log { (self.low.exp(), self.high.exp()) } else { (self.low, self.high) };
        let bases: Vec<f64> = if self.log && high / low > 30.0 {
            let decades = (high / low).log10();
            let every = (decades / most.max(1) as f64).ceil().max(1.0) as usize;
            let first = low.log10().floor() as i32;
            (first..first + 330).step_by(every).map(|power| 10f64.powi(power)).collect()
        } else {
            let step = step((high - low) / most.max(1) as f64);
            let first = (low / step).ceil();
            (0..=most * 3).map(|i| (first + i as f64) * step).collect()
        };
        bases.into_iter().filter(|tick| *tick >= low && *tick <= high).collect()
    }
}

/// The smallest of 1, 2, 5 times a power of ten that is at least `least`.
fn step(least: f64) -> f64 {
    let power = 10f64.powf(least.max(1e-300).log10().floor());
    let factor = least / power;
    let nice = [1.0, 2.0, 5.0, 10.0].into_iter().find(|nice| *nice >= factor - 1e-9);
    nice.unwrap_or(10.0) * power
}

/// Labels of ticks, with as many decimals as their distance needs.
pub fn labels(ticks: &[f64], factor: f64, unit: &str) -> Vec<String> {
    let step =
        ticks.windows(2).map(|pair| (pair[1] - pair[0]) / factor).fold(f64::INFINITY, f64::min);
    let decimals =
        if step.is_finite() { (-step.log10()).ceil().clamp(0.0, 6.0) as usize } else { 2 };
    ticks.iter().map(|tick| format!("{}{unit}", format::trimmed(tick / factor, decimals))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let scale = Scale::log([0.9, 1.7], 0.0, 100.0);
        let ticks = scale.ticks(6);
        assert_eq!(labels(&ticks, 1.0, "×"), ["1×", "1.2×", "1.4×", "1.6×"]);
        assert!(scale.at(0.0) >= 0.0 && scale.at(f64::INFINITY) <= 100.0);
    }

    #[test]
    fn equal_values_still_make_an_axis() {
        let scale = Scale::linear([5.0, 5.0], 0.0, 100.0);
        assert!((scale.at(5.0) - 50.0).abs() < 1e-6);
        assert!(Scale::linear([], 0.0, 10.0).ticks(4).len() < 20);
    }
}
