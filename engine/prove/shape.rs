//! How the times of the iterations of one launch are distributed, and how they follow each other.

use std::sync::OnceLock;

use super::draws::Draws;

/// A distribution of iteration times around 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    /// Normal, coefficient of variation 5 %.
    Normal,
    /// Log-normal with this standard deviation of the logarithm.
    LogNormal(f64),
    /// Gamma of shape 4: coefficient of variation 50 %, skewness 1.
    Gamma,
    /// Nine of ten iterations around 1, one of ten around 1.5, each ±3 %.
    Bimodal,
    /// Normal, but one iteration of a hundred takes ten times as long.
    Spikes,
}

/// Shapes of the grid.
pub const SHAPES: [Shape; 6] = [
    Shape::Normal,
    Shape::LogNormal(0.1),
    Shape::LogNormal(0.3),
    Shape::Gamma,
    Shape::Bimodal,
    Shape::Spikes,
];

/// The standard normal quantiles of 0.9 and of 0.99.
const NINE_OF_TEN: f64 = 1.281_551_565_544_600_4;
const ALL_BUT_ONE_PERCENT: f64 = 2.326_347_874_040_841;

impl Shape {
    pub fn label(self) -> String {
        match self {
            Self::Normal => "normal".into(),
            Self::LogNormal(sd) => format!("log-normal {sd}"),
            Self::Gamma => "gamma".into(),
            Self::Bimodal => "bimodal 90/10".into(),
            Self::Spikes => "1 % spikes ×10".into(),
        }
    }

    /// Coefficient of variation of single iterations; of [`Shape::Spikes`] without its spikes.
    pub fn variation(self) -> f64 {
        match self {
            Self::Normal | Self::Spikes => 0.05,
            Self::LogNormal(sd) => (sd * sd).exp_m1().sqrt(),
            Self::Gamma => 0.5,
            // Between the modes sqrt(0.9·0.1)·0.5, within them 3 % of 1 or 1.5, by a mean of 1.05.
            Self::Bimodal => (0.022_5_f64 + 0.000_9 * (0.9 + 0.1 * 2.25)).sqrt() / 1.05,
        }
    }

    /// The time that belongs to a standard normal `z`; grows with it.
    fn at(self, z: f64, draws: &mut Draws) -> f64 {
        match self {
            Self::Normal => (1.0 + 0.05 * z).max(0.05),
            Self::LogNormal(sd) => (sd * z).exp(),
            Self::Gamma => gamma(z),
            Self::Bimodal => {
                let mode = if z > NINE_OF_TEN { 1.5 } else { 1.0 };
                mode * (1.0 + 0.03 * draws.normal()).max(0.05)
            }
            Self::Spikes => {
                let spike = if z > ALL_BUT_ONE_PERCENT { 10.0 } else { 1.0 };
                spike * (1.0 + 0.05 * z).max(0.05)
            }
        }
    }

    /// Times of `n` iterations in order. `correlation` is that of the normal numbers behind
    /// neighbours: an autoregressive process of first order that starts in its steady state.
    pub fn iterations(self, n: usize, correlation: f64, draws: &mut Draws) -> Vec<f64> {
        let all = draws.wandering(n, correlation);
        all.into_iter().map(|z| self.at(z, draws)).collect()
    }
}

/// Steps of the table of [`gamma`] for each unit of `z`, which goes from −7 to 7.
const STEPS: usize = 64;

/// The quantile of a gamma distribution of shape 4 and mean 1 that belongs to a standard normal
/// `z`, by a table with straight lines between its points.
fn gamma(z: f64) -> f64 {
    static TABLE: OnceLock<Vec<f64>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let points = 14 * STEPS + 1;
        (0..points).map(|i| erlang_quantile(i as f64 / STEPS as f64 - 7.0)).collect()
    });
    let place = ((z + 7.0) * STEPS as f64).clamp(0.0, (table.len() - 2) as f64);
    let (low, part) = (place.floor() as usize, place.fract());
    table[low] + part * (table[low + 1] - table[low])
}

/// Bisects `1 − e^−u (1 + u + u²/2 + u³/6)`, the distribution function of the sum of four
/// exponential times, in the tail that is the smaller one; the mean of `u` is 4.
fn erlang_quantile(z: f64) -> f64 {
    let upper_tail = |u: f64| (-u).exp() * (1.0 + u + u * u / 2.0 + u.powi(3) / 6.0);
    let upper = crate::measure::estimate::normal_cdf(-z);
    let (mut low, mut high) = (0.0, 80.0);
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if upper_tail(middle) > upper { low = middle } else { high = middle }
    }
    low / 4.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(shape: Shape, correlation: f64) -> Vec<Vec<f64>> {
        (0..4000).map(|seed| shape.iterations(9, correlation, &mut Draws::new(3, seed))).collect()
    }

    #[test]
    fn shapes_vary_as_much_as_they_say() {
        for shape in SHAPES {
            let all: Vec<f64> = draw(shape, 0.0).concat();
            let body: Vec<f64> = match shape {
                Shape::Spikes => all.iter().copied().filter(|x| *x < 5.0).collect(),
                _ => all.clone(),
            };
            let n = body.len() as f64;
            let mean = body.iter().sum::<f64>() / n;
            let sd = (body.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
            let ratio = sd / mean / shape.variation();
            assert!((0.95..1.05).contains(&ratio), "{}: {ratio}", shape.label());
            if shape == Shape::Spikes {
                let spikes = (all.len() - body.len()) as f64 / all.len() as f64;
                assert!((0.008..0.012).contains(&spikes), "{spikes}");
            }
            if shape == Shape::Gamma {
                assert!((mean - 1.0).abs() < 0.02, "{mean}");
            }
        }
    }

    #[test]
    fn neighbours_are_as_correlated_as_asked() {
        for asked in [0.0, 0.3, 0.6, 0.9] {
            let launches = draw(Shape::LogNormal(0.1), asked);
            let pairs: Vec<(f64, f64)> = launches
                .iter()
                .flat_map(|l| l.windows(2).map(|w| (w[0].ln(), w[1].ln())))
                .collect();
            let sum = |f: fn(&(f64, f64)) -> f64| pairs.iter().map(f).sum::<f64>();
            let found = sum(|p| p.0 * p.1) / (sum(|p| p.0 * p.0) * sum(|p| p.1 * p.1)).sqrt();
            assert!((found - asked).abs() < 0.03, "{asked}: {found}");
        }
    }
}
