//! A second interval of a difference of paired shares, to hold beside Tango's.

use super::estimate::{Estimate, Method};
use super::proportion::wilson;

/// Counts of items by who was right: both, the variant alone, the reference alone, neither.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Paired {
    pub both: f64,
    pub better: f64,
    pub worse: f64,
    pub neither: f64,
}

/// Share of the variant minus that of the reference by method 10 of R. G. Newcombe, Statistics in
/// Medicine 17 (1998) 2635-2650: Wilson's intervals of the two shares, joined with their
/// correlation `φ`, whose positive covariance is lowered by half an item.
///
/// `None` without items or with counts that are negative.
pub fn newcombe(counts: Paired, level: f64) -> Option<Estimate> {
    let Paired { both, better, worse, neither } = counts;
    let n = both + better + worse + neither;
    let sane = [both, better, worse, neither].iter().all(|x| *x >= 0.0) && n >= 1.0;
    if !sane || !n.is_finite() {
        return None;
    }
    let items = n.round() as usize;
    let own = wilson(both + better, items, level)?;
    let reference = wilson(both + worse, items, level)?;
    let margins = (both + better) * (worse + neither) * (both + worse) * (better + neither);
    let covariance = both * neither - better * worse;
    let lowered = if covariance > n / 2.0 {
        covariance - n / 2.0
    } else if covariance >= 0.0 {
        0.0
    } else {
        covariance
    };
    let phi = if margins > 0.0 { lowered / margins.sqrt() } else { 0.0 };
    let point = (better - worse) / n;
    let reach = |a: f64, b: f64| (a * a - 2.0 * phi * a * b + b * b).max(0.0).sqrt();
    let low = point - reach(own.point - own.low, reference.high - reference.point);
    let high = point + reach(own.high - own.point, reference.point - reference.low);
    let n = u32::try_from(items).ok()?;
    Some(Estimate { point, low, high, level, n, method: Method::Newcombe })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::measure::proportion::paired_difference;

    #[test]
    fn nonsense_gives_no_estimate() {
        let none = Paired { both: 0.0, better: 0.0, worse: 0.0, neither: 0.0 };
        assert_eq!(newcombe(none, 0.95), None);
        assert_eq!(newcombe(Paired { both: -1.0, better: 3.0, ..none }, 0.95), None);
        assert_eq!(newcombe(Paired { both: f64::NAN, ..none }, 0.95), None);
        assert_eq!(newcombe(Paired { both: 3.0, ..none }, 1.0), None);
    }

    proptest! {
        #[test]
        fn it_stays_near_tango_and_turns_round(
            both in 20_u32..200, better in 0_u32..20, worse in 0_u32..20, neither in 20_u32..200,
        ) {
            let counts = Paired {
                both: both.into(), better: better.into(), worse: worse.into(), neither: neither.into(),
            };
            let found = newcombe(counts, 0.95).unwrap();
            let turned = Paired { better: counts.worse, worse: counts.better, ..counts };
            let back = newcombe(turned, 0.95).unwrap();
            prop_assert!((found.low + back.high).abs() < 1e-12);
            prop_assert!(-1.0 <= found.low && found.low <= found.point);
            prop_assert!(found.point <= found.high && found.high <= 1.0);
            let n = both + better + worse + neither;
            let tango = paired_difference(better.into(), worse.into(), n as usize, 0.95).unwrap();
            prop_assert!((found.low - tango.low).abs() < 0.05, "{found:?} {tango:?}");
            prop_assert!((found.high - tango.high).abs() < 0.05, "{found:?} {tango:?}");
        }
    }
}
