//! Observers: from the values a tensor takes to the range that its eight bits should cover.
//!
//! Values are looked at twice. The first time gives the extremes, the second a histogram between
//! them, so that its bins never have to be stretched and the same data gives the same bins. Zero
//! is in every range: padding and what a ReLU cuts off must be exact.
//!
//! Entropy follows MXNet's `_get_optimal_threshold`, which goes back to TensorRT (S. Migacz,
//! "8-bit Inference with TensorRT", GTC 2017) and which ONNX Runtime's `EntropyCalibrater` follows
//! too: of all ranges around zero the one whose quantized histogram is nearest to the real one,
//! by Kullback-Leibler divergence. MXNet's counts are used, 8001 bins and 255 levels; with ONNX
//! Runtime's 128 and 128 there is hardly a choice.

/// Bins of a histogram; odd, so that zero has a bin of its own.
pub const BINS: usize = 8001;

/// Levels that a symmetric signed byte can take.
pub const LEVELS: usize = 255;

/// Added to empty bins, so that no logarithm is infinite.
const SMOOTHING: f64 = 1e-4;

/// Smallest and largest value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    pub min: f32,
    pub max: f32,
}

/// The values of a tensor at first sight.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Extremes {
    range: Option<Range>,
    /// A value was infinite or no number.
    pub not_finite: bool,
}

impl Extremes {
    pub fn add(&mut self, values: &[f32]) {
        for &value in values {
            if !value.is_finite() {
                self.not_finite = true;
                continue;
            }
            let range = self.range.get_or_insert(Range { min: value, max: value });
            range.min = range.min.min(value);
            range.max = range.max.max(value);
        }
    }

    /// From the smallest to the largest value, zero included; `None` before there was a value.
    pub fn range(&self) -> Option<Range> {
        self.range.map(Range::with_zero)
    }
}

impl Range {
    fn with_zero(self) -> Self {
        Self { min: self.min.min(0.0), max: self.max.max(0.0) }
    }

    /// The larger distance from zero.
    fn reach(self) -> f32 {
        self.max.max(-self.min)
    }
}

/// How often values fell into equal bins between `-limit` and `limit`.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    counts: Vec<u64>,
    extremes: Range,
    limit: f64,
}

impl Histogram {
    /// An empty one for values within `extremes`.
    pub fn new(extremes: Range, bins: usize) -> Self {
        Self { counts: vec![0; bins], extremes, limit: f64::from(extremes.reach()) }
    }

    pub fn add(&mut self, values: &[f32]) {
        if self.limit == 0.0 {
            return;
        }
        let bins = self.counts.len();
        let scale = bins as f64 / (2.0 * self.limit);
        for &value in values.iter().filter(|value| value.is_finite()) {
            let bin = ((f64::from(value) + self.limit) * scale) as usize;
            self.counts[bin.min(bins - 1)] += 1;
        }
    }

    /// Lower edge of a bin.
    fn edge(&self, bin: usize) -> f32 {
        (2.0 * self.limit * bin as f64 / self.counts.len() as f64 - self.limit) as f32
    }

    /// A range that stays within the values that were seen.
    fn within(&self, low: f32, high: f32) -> Range {
        let Range { min, max } = self.extremes;
        Range { min: low.max(min), max: high.min(max) }.with_zero()
    }

    /// The range without the values beyond `percentile` percent, half of them on either side.
    pub fn percentile(&self, percentile: f64) -> Range {
        let total: u64 = self.counts.iter().sum();
        if total == 0 || self.limit == 0.0 {
            return self.extremes;
        }
        let cut = (100.0 - percentile) / 200.0;
        let reached = |share: f64| {
            let mut sum = 0;
            let found = self.counts.iter().position(|count| {
                sum += count;
                sum as f64 / total as f64 >= share
            });
            found.unwrap_or(self.counts.len() - 1)
        };
        self.within(self.edge(reached(cut)), self.edge(reached(1.0 - cut) + 1))
    }

    /// The range around zero whose histogram in `levels` levels is nearest to the real one.
    pub fn entropy(&self, levels: usize) -> Range {
        let (bins, half) = (self.counts.len(), levels / 2);
        if self.limit == 0.0 || self.counts.iter().all(|&count| count == 0) {
            return self.extremes;
        }
        let zero = bins / 2;
        let mut sums = vec![0_u64; bins + 1];
        let mut filled = vec![0_usize; bins + 1];
        for (i, &count) in self.counts.iter().enumerate() {
            sums[i + 1] = sums[i] + count;
            filled[i + 1] = filled[i] + usize::from(count > 0);
        }
        let mut best = (f64::INFINITY, (0, bins));
        for reach in half..=zero {
            let (start, end) = (zero - reach, (zero + reach + 1).min(bins));
            let distance = self.divergence(start, end, levels, &sums, &filled);
            if distance < best.0 {
                best = (distance, (start, end));
            }
        }
        let (start, end) = best.1;
        self.within(self.edge(start), self.edge(end))
    }

    /// Divergence of bins `start..end`, what lies outside counted into the outermost ones, from
    /// the same in `levels` levels; `sums` and `filled` count values and filled bins before each.
    fn divergence(
        &self,
        start: usize,
        end: usize,
        levels: usize,
        sums: &[u64],
        filled: &[usize],
    ) -> f64 {
        let width = end - start;
        let total = sums[sums.len() - 1] as f64;
        let mut p: Vec<f64> = self.counts[start..end].iter().map(|&count| count as f64).collect();
        p[0] += sums[start] as f64;
        p[width - 1] += total - sums[end] as f64;
        let merged = width / levels;
        let mut q = vec![0.0; width];
        for level in 0..levels {
            let low = level * merged;
            let high = if level == levels - 1 { width } else { low + merged };
            let inner = (sums[start + high] - sums[start + low]) as f64;
            let mut places = filled[start + high] - filled[start + low];
            // Bins that hold only what lies outside count as filled.
            for edge in [0, width - 1] {
                let only_outside = self.counts[start + edge] == 0 && p[edge] > 0.0;
                places += usize::from(only_outside && (low..high).contains(&edge));
            }
            if places > 0 {
                for at in low..high {
                    q[at] = if p[at] > 0.0 { inner / places as f64 } else { 0.0 };
                }
            }
        }
        match (smoothed(p), smoothed(q)) {
            (Some(p), Some(q)) => {
                let (all_p, all_q): (f64, f64) = (p.iter().sum(), q.iter().sum());
                p.iter().zip(&q).map(|(p, q)| p / all_p * ((p / all_p) / (q / all_q)).ln()).sum()
            }
            _ => f64::INFINITY,
        }
    }
}

/// Moves a little from filled bins to empty ones; `None` when all are empty or too few are filled.
fn smoothed(mut counts: Vec<f64>) -> Option<Vec<f64>> {
    let empty = counts.iter().filter(|&&count| count == 0.0).count();
    let filled = counts.len() - empty;
    if filled == 0 {
        return None;
    }
    let taken = SMOOTHING * empty as f64 / filled as f64;
    if taken >= 1.0 {
        return None;
    }
    for count in &mut counts {
        *count = if *count == 0.0 { SMOOTHING } else { *count - taken };
    }
    counts.iter().all(|&count| count > 0.0).then_some(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(values: &[f32], bins: usize) -> Histogram {
        let mut extremes = Extremes::default();
        extremes.add(values);
        let mut histogram = Histogram::new(extremes.range().unwrap(), bins);
        histogram.add(values);
        histogram
    }

    #[test]
    fn extremes_hold_zero_and_tell_of_what_is_no_number() {
        let mut extremes = Extremes::default();
        assert_eq!(extremes.range(), None);
        extremes.add(&[2.0, 5.0]);
        assert_eq!(extremes.range(), Some(Range { min: 0.0, max: 5.0 }));
        extremes.add(&[-1.0, f32::NAN]);
        assert_eq!(extremes.range(), Some(Range { min: -1.0, max: 5.0 }));
        assert!(extremes.not_finite);
    }

    #[test]
    fn a_percentile_cuts_rare_values_on_either_side() {
        let mut values: Vec<f32> = (0..10_000).map(|i| i as f32 / 10_000.0).collect();
        values.push(100.0);
        let cut = histogram(&values, BINS).percentile(99.9);
        assert!(cut.max < 1.05 && cut.max > 0.99 && cut.min == 0.0, "{cut:?}");
        assert_eq!(histogram(&values, BINS).percentile(100.0), Range { min: 0.0, max: 100.0 });
        assert_eq!(histogram(&[0.0, 0.0], BINS).percentile(99.0), Range { min: 0.0, max: 0.0 });
    }

    /// A bell with few far values: the best range is that of the bell, not of the far values, and
    /// a flat distribution is best kept whole.
    #[test]
    fn entropy_cuts_far_values_and_keeps_a_flat_distribution() {
        let mut bell = Vec::new();
        for i in -400_i32..=400 {
            let x = i as f32 / 100.0;
            let count = (200.0 * (-x * x / 2.0).exp()) as usize;
            bell.extend(std::iter::repeat_n(x, count));
        }
        bell.push(40.0);
        let cut = histogram(&bell, 2001).entropy(LEVELS);
        assert!(cut.max < 8.0 && cut.min > -8.0 && cut.max > 1.5, "{cut:?}");
        let flat: Vec<f32> = (-5000..=5000).map(|i| i as f32 / 5000.0).collect();
        let kept = histogram(&flat, 501).entropy(LEVELS);
        assert!(kept.max > 0.95 && kept.min < -0.95, "{kept:?}");
    }

    /// Against a transcription of MXNet's function into numpy.
    #[test]
    fn entropy_agrees_with_the_published_algorithm() {
        let mut counts = vec![0; 301];
        for (i, count) in counts.iter_mut().enumerate() {
            let x = (i as f64 - 150.0) / 25.0;
            *count = (1000.0 * (-x * x / 2.0).exp()).floor() as u64;
        }
        counts[295] = 3;
        let limit = 6.02;
        let extremes = Range { min: -6.02, max: 6.02 };
        let found = Histogram { counts, extremes, limit }.entropy(63);
        assert!((found.min + 4.02).abs() < 1e-4 && (found.max - 4.02).abs() < 1e-4, "{found:?}");
    }
}
