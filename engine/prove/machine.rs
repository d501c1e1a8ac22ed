//! A machine that does not exist: launches take as long as it was told that they take.

use std::f64::consts::TAU;

use super::draws::Draws;
use super::shape::Shape;
use crate::measure::{Observed, Timeline};

/// What takes the place of processes: something whose launches can be observed, on a clock that is
/// only a number.
pub trait Workload {
    /// One launch of `variant`, started `at` nanoseconds after the session began: what it saw, and
    /// how long it kept the machine.
    fn launch(&mut self, variant: usize, at: u64) -> (Observed, u64);
}

/// What befalls a machine while a session runs, whoever is at work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Disturbance {
    None,
    /// Each launch is slower than the one before by this share.
    Drift(f64),
    /// From one launch on, each alike to be the one among the first `within`, all are slower.
    Step {
        slower: f64,
        within: u32,
    },
    /// Speed swings by this share to both sides, once in so many launches.
    Sinusoid {
        share: f64,
        launches: f64,
    },
    /// One launch of so many, at random, is slower; neighbours are not.
    Bursts {
        slower: f64,
        one_in: u32,
    },
    /// As [`Disturbance::Bursts`], but only launches of the last variant are ever hit.
    BurstsOnOneArm {
        slower: f64,
        one_in: u32,
    },
}

impl Disturbance {
    pub fn label(self) -> String {
        match self {
            Self::None => "none".into(),
            Self::Drift(share) => format!("drift, {:.1} % a launch", share * 100.0),
            Self::Step { slower, .. } => format!("one step of {:.0} %", slower * 100.0),
            Self::Sinusoid { share, launches } => {
                format!("sinusoid, ±{:.0} % in {launches} launches", share * 100.0)
            }
            Self::Bursts { slower, one_in } => {
                format!("bursts of {:.0} % on 1 launch in {one_in}", slower * 100.0)
            }
            Self::BurstsOnOneArm { slower, one_in } => {
                format!("bursts of {:.0} %, one arm, 1 in {one_in}", slower * 100.0)
            }
        }
    }
}

/// What is known about a simulated machine and its variants.
#[derive(Debug, Clone)]
pub struct Known {
    /// True speed-up of each variant over the first.
    pub speedups: Vec<f64>,
    pub shape: Shape,
    /// Of neighbouring iterations of a launch.
    pub correlation: f64,
    /// Standard deviation of the logarithm of a launch's own speed, which all of its iterations share.
    pub launches_differ: f64,
    pub iterations: usize,
    pub disturbance: Disturbance,
}

impl Known {
    /// Launches with one iteration, log-normal with this standard deviation of the logarithm: the
    /// paired log ratios of blocks are normal with √2 times as much.
    pub fn plain(speedups: &[f64], noise: f64) -> Self {
        Self {
            speedups: speedups.to_vec(),
            shape: Shape::LogNormal(noise),
            correlation: 0.0,
            launches_differ: 0.0,
            iterations: 1,
            disturbance: Disturbance::None,
        }
    }
}

/// Time of an undisturbed iteration of the first variant, and of starting a process.
const ITERATION: f64 = 10_000_000.0;
const START: u64 = 500_000_000;

/// A [`Workload`] that draws what is [`Known`].
#[derive(Debug, Clone)]
pub struct Machine {
    known: Known,
    draws: Draws,
    launches: u32,
    /// Where in its course a disturbance stands when the session begins.
    phase: f64,
}

impl Machine {
    /// Equal arguments give equal launches.
    pub fn new(known: Known, study: u64, seed: u64) -> Self {
        let mut draws = Draws::new(study, seed);
        let phase = draws.uniform();
        Self { known, draws, launches: 0, phase }
    }

    /// How much slower everything is at this launch.
    fn disturbed(&mut self, variant: usize) -> f64 {
        let number = f64::from(self.launches);
        let hit = |draws: &mut Draws, one_in: u32| draws.below(one_in as usize) == 0;
        match self.known.disturbance {
            Disturbance::None => 1.0,
            Disturbance::Drift(share) => (1.0 + share).powf(number),
            Disturbance::Step { slower, within } => {
                let reached = number >= self.phase * f64::from(within);
                if reached { 1.0 + slower } else { 1.0 }
            }
            Disturbance::Sinusoid { share, launches } => {
                1.0 + share * (TAU * (self.phase + number / launches)).sin()
            }
            Disturbance::Bursts { slower, one_in } => {
                if hit(&mut self.draws, one_in) {
                    1.0 + slower
                } else {
                    1.0
                }
            }
            Disturbance::BurstsOnOneArm { slower, one_in } => {
                let last = variant + 1 == self.known.speedups.len();
                if last && hit(&mut self.draws, one_in) { 1.0 + slower } else { 1.0 }
            }
        }
    }
}

impl Workload for Machine {
    fn launch(&mut self, variant: usize, _: u64) -> (Observed, u64) {
        let Known { shape, correlation, launches_differ, iterations, .. } = self.known;
        let own =
            if launches_differ > 0.0 { (launches_differ * self.draws.normal()).exp() } else { 1.0 };
        let slower = self.disturbed(variant) * own / self.known.speedups[variant];
        self.launches += 1;
        let times = shape.iterations(iterations, correlation, &mut self.draws);
        observed(times.iter().map(|time| time * slower * ITERATION))
    }
}

/// A launch of a process that answers requests one after the other, each in so many nanoseconds;
/// and how long the process lives.
pub fn observed(times: impl Iterator<Item = f64>) -> (Observed, u64) {
    let mut now = START;
    let mut request = |time: f64| {
        let sent = now;
        // A request that outlasts the clock has no end that could be told.
        now = now.saturating_add(time.round().max(1.0) as u64);
        Timeline { sent, tokens: vec![now], batch: 1, ..Timeline::default() }
    };
    let requests: Vec<Timeline> = times.map(&mut request).collect();
    let observed = Observed {
        load: START,
        first_call: requests.first().cloned().unwrap_or_default(),
        requests,
        ..Observed::default()
    };
    (observed, now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::summary::block_value;

    fn medians(known: &Known, variant: usize, launches: usize) -> Vec<f64> {
        let mut machine = Machine::new(known.clone(), 1, 5);
        let value = |_| {
            let (seen, wall) = machine.launch(variant, 0);
            assert!(wall > START);
            block_value(&seen, "latency").expect("a request was answered")
        };
        (0..launches).map(value).collect()
    }

    #[test]
    fn launches_differ_as_much_as_they_are_told_and_variants_by_their_speedup() {
        let known = Known { launches_differ: 0.2, ..Known::plain(&[1.0, 2.0], 0.001) };
        let logs = |variant| -> Vec<f64> {
            medians(&known, variant, 4000).iter().map(|m| (m / 0.01).ln()).collect()
        };
        let moments = crate::measure::estimate::moments;
        let (first, spread) = moments(&logs(0)).unwrap();
        assert!(first.abs() < 0.02 && (spread - 0.2).abs() < 0.01, "{first} {spread}");
        let (second, _) = moments(&logs(1)).unwrap();
        assert!((first - second - 2.0_f64.ln()).abs() < 1e-6, "{second}");
    }

    #[test]
    fn disturbances_do_what_they_say() {
        let with = |disturbance| Known { disturbance, ..Known::plain(&[1.0, 1.0], 1e-6) };
        let drift = medians(&with(Disturbance::Drift(0.01)), 0, 11);
        assert!((drift[10] / drift[0] - 1.01_f64.powi(10)).abs() < 1e-3);
        let step = medians(&with(Disturbance::Step { slower: 0.5, within: 20 }), 0, 20);
        assert!(step.is_sorted_by(|a, b| a / b < 1.001));
        assert!((step[19] / step[0] - 1.5).abs() < 1e-3, "{step:?}");
        let swing = medians(&with(Disturbance::Sinusoid { share: 0.1, launches: 8.0 }), 0, 8);
        let mean = swing.iter().sum::<f64>() / 8.0;
        assert!((mean - 0.01).abs() < 1e-6, "{mean}");
        let slow = |known: &Known, variant| {
            medians(known, variant, 1000).iter().filter(|m| **m > 0.0125).count()
        };
        let everywhere = with(Disturbance::Bursts { slower: 0.5, one_in: 10 });
        assert!((70..130).contains(&slow(&everywhere, 0)));
        let one = with(Disturbance::BurstsOnOneArm { slower: 0.5, one_in: 10 });
        assert_eq!(slow(&one, 0), 0);
        assert!((70..130).contains(&slow(&one, 1)));
    }
}
