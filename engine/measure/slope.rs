//! How one quantity grows with another.

use super::estimate::{Estimate, Method, df, moments, t_quantile, two_sided};

/// Slope of the least-squares line through `(x, y)` with its Student t interval on `n − 2` degrees
/// of freedom (Draper & Smith, Applied Regression Analysis, 3rd ed., section 1.4).
///
/// Points are independent and equally noisy. `None` with fewer than three of them, with one `x`
/// only, or where something is not finite.
pub fn least_squares(points: &[(f64, f64)], level: f64) -> Option<Estimate> {
    let n = points.len();
    let x: Vec<f64> = points.iter().map(|p| p.0).collect();
    let y: Vec<f64> = points.iter().map(|p| p.1).collect();
    let ((mean_x, _), (mean_y, _)) = (moments(&x)?, moments(&y)?);
    let spread: f64 = x.iter().map(|x| (x - mean_x).powi(2)).sum();
    if n < 3 || spread <= 0.0 {
        return None;
    }
    let together: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let point = together / spread;
    let left: f64 = points.iter().map(|(x, y)| (y - mean_y - point * (x - mean_x)).powi(2)).sum();
    let error = (left / df(n - 1) / spread).sqrt();
    let half = t_quantile(two_sided(level)?, df(n - 1)) * error;
    let (low, high) = (point - half, point + half);
    let n = u32::try_from(n).ok()?;
    (low.is_finite() && high.is_finite()).then_some(Estimate {
        point,
        low,
        high,
        level,
        n,
        method: Method::StudentT,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slope_and_error_are_those_of_a_line_computed_by_hand() {
        let points = [(1.0, 1.0), (2.0, 3.0), (3.0, 2.0), (4.0, 5.0), (5.0, 4.0)];
        let found = least_squares(&points, 0.95).unwrap();
        // Sxx = 10, Sxy = 8, residuals sum to 3.6 squared, t(.975; 3) = 3.182446305.
        assert!((found.point - 0.8).abs() < 1e-12);
        let half = 3.182_446_305_284_263 * (3.6_f64 / 3.0 / 10.0).sqrt();
        assert!((found.high - 0.8 - half).abs() < 1e-9, "{found:?}");
        assert_eq!((found.n, found.method), (5, Method::StudentT));
    }

    #[test]
    fn a_line_without_noise_has_no_width_and_too_little_has_no_slope() {
        let line = least_squares(&[(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)], 0.95).unwrap();
        assert!((line.low - 2.0).abs() < 1e-9 && (line.high - 2.0).abs() < 1e-9);
        assert_eq!(least_squares(&[(0.0, 1.0), (1.0, 3.0)], 0.95), None);
        assert_eq!(least_squares(&[(1.0, 1.0), (1.0, 3.0), (1.0, 2.0)], 0.95), None);
        assert_eq!(least_squares(&[(0.0, 1.0), (1.0, f64::NAN), (2.0, 1.0)], 0.95), None);
    }
}
