//! Whether throughput holds over a long run.

use super::divisive::{ChangePoint, change_points};
use super::estimate::Estimate;
use super::metric::Better;
use super::welch::historical;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The last third is slower by over 5 %, with the whole interval.
    Throttled,
    /// It is not.
    Sustained,
    /// The interval holds both.
    Inconclusive,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Sustained {
    pub verdict: Verdict,
    /// Throughput of the last third ÷ that of the first third after the warm-up.
    pub ratio: Estimate,
    /// Where the rate changed: indices into the batches, which share the time equally.
    pub changes: Vec<ChangePoint>,
    /// The mean rate of each batch.
    pub means: Vec<f64>,
}

/// Ratio below which a run has not held its rate.
const HELD: f64 = 0.95;
/// Batches of each third.
const BATCHES: usize = 10;
/// Shortest segment between changes, and their p-value.
const SEGMENT: usize = 5;
const SIGNIFICANT: f64 = 0.01;

/// Judges rates at regular times, such as requests per second, in order.
///
/// The first tenth is left out as warm-up and the rest cut into thirty batches. The ratio is that
/// of the geometric means of the last ten and the first ten, with Welch's interval over the logs of
/// batch means ([`historical`]), which are nearly independent where single rates are not. It is never the best
/// third: the largest of several is larger by luck. Changes are those of E-divisive over batches.
/// `None` for fewer than 34 rates, or where one is not above 0.
pub fn sustained(rates: &[f64], level: f64) -> Option<Sustained> {
    let warm = &rates[rates.len() / 10..];
    let batches = 3 * BATCHES;
    if warm.len() < batches || rates.iter().any(|rate| !(rate.is_finite() && *rate > 0.0)) {
        return None;
    }
    let means: Vec<f64> = (0..batches)
        .map(|i| {
            let batch = &warm[i * warm.len() / batches..(i + 1) * warm.len() / batches];
            batch.iter().sum::<f64>() / batch.len() as f64
        })
        .collect();
    let (early, later) = (&means[..BATCHES], &means[batches - BATCHES..]);
    let ratio = historical(early, later, Better::Higher, level)?.estimate;
    let verdict = if ratio.high < HELD {
        Verdict::Throttled
    } else if ratio.low >= HELD {
        Verdict::Sustained
    } else {
        Verdict::Inconclusive
    };
    let logs: Vec<f64> = means.iter().map(|mean| mean.ln()).collect();
    let changes = change_points(&logs, SEGMENT, SIGNIFICANT);
    Some(Sustained { verdict, ratio, changes, means })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rates(n: usize, shape: impl Fn(f64) -> f64) -> Vec<f64> {
        let noise = |i: usize| 1.0 + 0.01 * ((i * 7 % 11) as f64 - 5.0);
        (0..n).map(|i| 20.0 * noise(i) * shape(i as f64 / n as f64)).collect()
    }

    #[test]
    fn what_slows_down_is_throttled_and_what_warms_up_is_not() {
        let steady = sustained(&rates(600, |_| 1.0), 0.95).unwrap();
        assert_eq!(steady.verdict, Verdict::Sustained);
        assert!(steady.changes.is_empty() && steady.means.len() == 30);
        let hot = sustained(&rates(600, |t| if t < 0.55 { 1.0 } else { 0.8 }), 0.95).unwrap();
        assert_eq!(hot.verdict, Verdict::Throttled);
        assert!((hot.ratio.point - 0.8).abs() < 0.01, "{:?}", hot.ratio);
        assert_eq!(hot.changes.iter().map(|change| change.at).collect::<Vec<_>>(), [15]);
        let warming = sustained(&rates(600, |t| if t < 0.08 { 0.5 } else { 1.0 }), 0.95).unwrap();
        assert_eq!(warming.verdict, Verdict::Sustained);
    }

    #[test]
    fn too_few_or_broken_rates_tell_nothing() {
        assert_eq!(sustained(&[1.0; 32], 0.95), None);
        assert_eq!(sustained(&[0.0; 90], 0.95), None);
        assert_eq!(sustained(&[f64::NAN; 90], 0.95), None);
        assert_eq!(sustained(&[1.0; 90], 0.95).unwrap().ratio.low, 1.0);
    }

    proptest! {
        #[test]
        fn the_unit_does_not_matter(
            rates in prop::collection::vec(1.0..2.0, 40..200),
            by in 0.1..10.0,
        ) {
            let scaled: Vec<f64> = rates.iter().map(|r| r * by).collect();
            let (a, b) = (sustained(&rates, 0.95).unwrap(), sustained(&scaled, 0.95).unwrap());
            prop_assert!((a.ratio.point / b.ratio.point - 1.0).abs() < 1e-9);
            prop_assert!((a.ratio.high / b.ratio.high - 1.0).abs() < 1e-9);
        }
    }
}
