//! Labels for values far from the others. They are counted and shown, never deleted: a slow request
//! is a request that a user waited for.

use serde::Serialize;

use super::quantile::{median, sorted, type_7};

/// How many of a launch's values lie far out, by two rules that share no assumption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Outliers {
    /// Beyond 1.5, up to 3 interquartile ranges from the quartiles.
    pub mild: usize,
    /// Beyond 3 interquartile ranges.
    pub severe: usize,
    /// More than 3.5 scaled deviations from the median on their own side.
    pub double_mad: usize,
    /// Values that were looked at.
    pub of: usize,
}

impl Outliers {
    /// Those of two launches together.
    pub fn and(self, other: Self) -> Self {
        Self {
            mild: self.mild + other.mild,
            severe: self.severe + other.severe,
            double_mad: self.double_mad + other.double_mad,
            of: self.of + other.of,
        }
    }
}

/// Fewer values than this have no usual range to lie outside of.
const LEAST: usize = 10;

/// Where the deviation of one side is far out (B. Iglewicz & D. C. Hoaglin, How to Detect and
/// Handle Outliers (1993)).
const FAR: f64 = 3.5;

/// Fences of J. W. Tukey, Exploratory Data Analysis (1977), with quartiles of type 7, and the median
/// absolute deviation taken on each side of the median alone, scaled by 1.4826. Nothing is far out
/// on a side without deviation. Fewer than ten values, or one that is not finite, are not looked at
/// and not counted.
pub fn outliers(values: &[f64]) -> Outliers {
    let Some(sorted) = sorted(values).filter(|sorted| sorted.len() >= LEAST) else {
        return Outliers::default();
    };
    let of = sorted.len();
    let (low, middle, high) = (type_7(&sorted, 0.25), type_7(&sorted, 0.5), type_7(&sorted, 0.75));
    let range = high - low;
    let beyond = |fence: f64| {
        let out = |x: &&f64| **x < low - fence * range || **x > high + fence * range;
        sorted.iter().filter(out).count()
    };
    let severe = beyond(3.0);
    let side = |keep: &dyn Fn(f64) -> bool| -> usize {
        let distances: Vec<f64> =
            sorted.iter().filter(|x| keep(**x)).map(|x| (x - middle).abs()).collect();
        let scale = median(&distances).unwrap_or(0.0) * 1.4826;
        if scale > 0.0 { distances.iter().filter(|d| **d > FAR * scale).count() } else { 0 }
    };
    let double_mad = side(&|x| x <= middle) + side(&|x| x >= middle);
    Outliers { mild: beyond(1.5) - severe, severe, double_mad, of }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_slow_request_is_labelled_and_calm_ones_are_not() {
        let mut values: Vec<f64> = (0..20).map(|i| 1.0 + 0.01 * f64::from(i)).collect();
        assert_eq!(outliers(&values), Outliers { of: 20, ..Outliers::default() });
        values.push(5.0);
        let found = outliers(&values);
        assert_eq!((found.mild, found.severe, found.double_mad, found.of), (0, 1, 1, 21));
        values.push(1.45);
        assert_eq!(outliers(&values).mild, 1);
    }

    #[test]
    fn too_few_equal_or_broken_values_have_none() {
        let calm = |of| Outliers { of, ..Outliers::default() };
        assert_eq!(outliers(&[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 9.0]), calm(0));
        assert_eq!(outliers(&[2.0; 30]), calm(30));
        assert_eq!(outliers(&[f64::NAN; 30]), calm(0));
    }

    proptest! {
        #[test]
        fn labels_do_not_depend_on_unit_or_order(
            values in prop::collection::vec(0.5..9.0, 10..40),
        ) {
            let other: Vec<f64> = values.iter().rev().map(|x| x * 4.0).collect();
            prop_assert_eq!(outliers(&values), outliers(&other));
        }
    }
}
