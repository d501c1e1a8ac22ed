//! Sessions with a known truth: how often intervals cover it, and how often noise looks like a
//! difference. Seeds are fixed, so a test gives the same answer on every machine.

use std::f64::consts::TAU;

use rand::Rng;
use rand_pcg::Pcg64;

use super::bootstrap::mean_bca;
use super::compare::{Comparison, speedup};
use super::design::orders;
use super::holm::holm_levels;
use super::metric::Better;
use super::proportion::{paired_difference, wilson};
use super::stop::{Decision, Reason, Rule, decide, working_level};
use super::summary::still_warming;

const SESSIONS: u32 = 2000;

/// A session of two variants; times are log-normal around a machine that drifts.
struct Session {
    rng: Pcg64,
    /// True speed-up of variant 1 over variant 0.
    speedup: f64,
    /// Standard deviation of the log of a launch's time.
    noise: f64,
    /// How much slower each launch is than the one before.
    drift: f64,
    launches: u32,
}

impl Session {
    fn new(seed: u32, speedup: f64, noise: f64, drift: f64) -> Self {
        let rng = Pcg64::new(u128::from(seed), 0x5e55_1045);
        Self { rng, speedup, noise, drift, launches: 0 }
    }

    /// Uniform on (0, 1].
    fn uniform(&mut self) -> f64 {
        ((self.rng.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    /// Box–Muller.
    fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (TAU * self.uniform()).cos()
    }

    fn launch(&mut self, variant: usize) -> f64 {
        let log = self.noise * self.normal() + self.drift * f64::from(self.launches);
        self.launches += 1;
        log.exp() / if variant == 1 { self.speedup } else { 1.0 }
    }

    fn block(&mut self, order: &[usize]) -> (f64, f64) {
        let mut times = [0.0; 2];
        for variant in order {
            times[*variant] = self.launch(*variant);
        }
        (times[0], times[1])
    }
}

fn covers(comparison: &Comparison, truth: f64) -> bool {
    comparison.estimate.low <= truth && truth <= comparison.estimate.high
}

fn share(hits: u32) -> f64 {
    f64::from(hits) / f64::from(SESSIONS)
}

/// One session that stops itself; its last comparison, its blocks and why it ended.
fn adaptive(mut session: Session, rule: &Rule, seed: u64) -> (Comparison, u32, Reason) {
    let level = working_level(0.95);
    let mut pairs = Vec::new();
    for order in orders(2, rule.max_blocks as usize, seed) {
        pairs.push(session.block(&order));
        let comparison = speedup(&pairs, Better::Lower, level);
        if let Decision::Stop(reason) = decide(rule, pairs.len() as u32, 0, &[comparison]) {
            return (comparison.unwrap(), pairs.len() as u32, reason);
        }
    }
    unreachable!("the last block ends a run")
}

#[test]
fn ten_blocks_cover_the_truth_as_often_as_promised() {
    let (mut covered, mut width) = (0, 0.0);
    for seed in 0..SESSIONS {
        let mut session = Session::new(seed, 1.2, 0.03, 0.0);
        let pairs: Vec<_> = orders(2, 10, 1).iter().map(|o| session.block(o)).collect();
        let found = speedup(&pairs, Better::Lower, 0.95).unwrap();
        covered += u32::from(covers(&found, 1.2));
        width += found.half_width() / f64::from(SESSIONS);
    }
    assert!((0.94..=0.97).contains(&share(covered)), "coverage {}", share(covered));
    // t_.975 with 9 degrees of freedom times 0.03·√2/√10 is 0.0303; the wider of two adds a little.
    assert!((0.029..0.036).contains(&width), "mean half-width {width}");
}

#[test]
fn sessions_that_stop_themselves_cover_the_truth_too() {
    let rule = Rule { min_blocks: 10, max_blocks: 60, half_width: 0.02, max_time_ns: u64::MAX };
    let (mut covered, mut reached, mut blocks) = (0, 0, 0);
    for seed in 0..SESSIONS {
        let session = Session::new(seed, 1.2, 0.03, 0.0);
        let (found, took, reason) = adaptive(session, &rule, u64::from(seed));
        covered += u32::from(covers(&found, 1.2));
        reached += u32::from(reason == Reason::Target);
        blocks += took;
    }
    assert!(share(covered) >= 0.935, "coverage {}", share(covered));
    assert!(share(reached) >= 0.95, "target reached in {}", share(reached));
    // With the noise known, (z_.98·0.03·√2/0.0198)² is about 19 blocks.
    assert!((15.0..30.0).contains(&share(blocks)), "mean blocks {}", share(blocks));
}

#[test]
fn noise_without_end_stops_at_a_limit() {
    let rule = Rule { min_blocks: 10, max_blocks: 60, half_width: 0.02, max_time_ns: u64::MAX };
    for seed in 0..50 {
        let session = Session::new(seed, 1.0, 3.0, 0.0);
        let (_, took, reason) = adaptive(session, &rule, u64::from(seed));
        assert!(matches!(reason, Reason::Unreachable | Reason::MaxBlocks), "{reason:?}");
        assert!(took <= 60);
    }
}

/// Share of sessions whose interval excludes 1 although both variants are the same program.
fn false_alarms(order: impl Fn(u64) -> Vec<Vec<usize>>) -> f64 {
    let alarms = (0..SESSIONS).filter(|seed| {
        let mut session = Session::new(*seed, 1.0, 0.03, 0.005);
        let mut times = [Vec::new(), Vec::new()];
        for variant in order(u64::from(*seed)).into_iter().flatten() {
            times[variant].push(session.launch(variant));
        }
        let pairs: Vec<_> = times[0].iter().copied().zip(times[1].iter().copied()).collect();
        let found = speedup(&pairs, Better::Lower, 0.95).unwrap();
        !covers(&found, 1.0)
    });
    share(alarms.count() as u32)
}

#[test]
fn drift_raises_no_false_alarm_in_interleaved_blocks_and_many_in_sequence() {
    let two_standard_errors = 2.0 * (0.05_f64 * 0.95 / f64::from(SESSIONS)).sqrt();
    let interleaved = false_alarms(|seed| orders(2, 20, seed));
    assert!(interleaved <= 0.05 + two_standard_errors, "interleaved: {interleaved}");
    // The control: the same machine and noise, one variant after the other.
    let sequential = false_alarms(|_| vec![vec![0; 20], vec![1; 20]]);
    assert!(sequential > 0.2, "sequential: {sequential}");
}

#[test]
fn an_effect_as_large_as_the_detectable_one_is_found_in_four_of_five_sessions() {
    // The printed value varies with each session's own noise; the truth is set from the known one:
    // (t_.975 + t_.80)·0.03·√2/√20 with 19 degrees of freedom.
    let effect = ((2.093_024 + 0.860_951) * 0.03 * 2.0_f64.sqrt() / 20.0_f64.sqrt()).exp();
    let (mut found, mut printed) = (0, 0.0);
    for seed in 0..SESSIONS {
        let mut session = Session::new(seed, effect, 0.03, 0.0);
        let pairs: Vec<_> = orders(2, 20, 1).iter().map(|o| session.block(o)).collect();
        let comparison = speedup(&pairs, Better::Lower, 0.95).unwrap();
        found += u32::from(comparison.p_value <= 0.05);
        printed += comparison.mde.ln() / f64::from(SESSIONS);
    }
    assert!((0.76..=0.84).contains(&share(found)), "power {}", share(found));
    assert!((printed / effect.ln() - 1.0).abs() < 0.03, "printed {printed}");
}

#[test]
fn eight_equal_variants_rarely_show_any_difference_once_corrected() {
    let (mut corrected, mut uncorrected) = (0, 0);
    for seed in 0..SESSIONS {
        let mut session = Session::new(seed, 1.0, 0.03, 0.0);
        let blocks: Vec<[f64; 9]> = (0..10).map(|_| [(); 9].map(|()| session.launch(0))).collect();
        let arms: Vec<Vec<_>> =
            (1..9).map(|v| blocks.iter().map(|b| (b[0], b[v])).collect()).collect();
        let at = |arm: &[(f64, f64)], level| speedup(arm, Better::Lower, level).unwrap();
        let p_values: Vec<_> = arms.iter().map(|arm| at(arm, 0.95).p_value).collect();
        let levels = holm_levels(&p_values, 0.95);
        let differs = |arm: &Vec<_>, level| !covers(&at(arm, level), 1.0);
        corrected += u32::from(arms.iter().zip(levels).any(|(arm, level)| differs(arm, level)));
        uncorrected += u32::from(arms.iter().any(|arm| differs(arm, 0.95)));
    }
    let two_standard_errors = 2.0 * (0.05_f64 * 0.95 / f64::from(SESSIONS)).sqrt();
    assert!(share(corrected) <= 0.05 + two_standard_errors, "corrected {}", share(corrected));
    assert!(share(uncorrected) > 0.15, "the control, uncorrected: {}", share(uncorrected));
}

#[test]
fn steady_noise_rarely_passes_for_a_warming_launch() {
    for requests in [9, 10, 12, 20, 40] {
        let warming = |seed| {
            let mut launch = Session::new(seed, 1.0, 0.1, 0.0);
            let times: Vec<f64> = (0..requests).map(|_| launch.launch(0)).collect();
            still_warming(&times)
        };
        let found = share((0..SESSIONS).filter(|seed| warming(*seed)).count() as u32);
        assert!(found <= 0.05, "{requests} requests: {found}");
    }
    // The control: requests that begin a half slower and settle within ten.
    let warming = |seed| {
        let mut launch = Session::new(seed, 1.0, 0.1, 0.0);
        let slower = |i: i32| 1.0 + 0.5 * (-f64::from(i) / 5.0).exp();
        let times: Vec<f64> = (0..30).map(|i| slower(i) * launch.launch(0)).collect();
        still_warming(&times)
    };
    let found = share((0..SESSIONS).filter(|seed| warming(*seed)).count() as u32);
    assert!(found > 0.5, "a launch that warms up: {found}");
}

#[test]
fn shares_and_their_differences_cover_the_truth_near_the_ends_too() {
    // Items, chance of the reference to be right, chances to lose and to gain an answer.
    for (items, right, lost, gained) in
        [(50, 0.9, 0.05, 0.1), (200, 0.98, 0.01, 0.5), (400, 0.7, 0.02, 0.05)]
    {
        let share = right * (1.0 - lost) + (1.0 - right) * gained;
        let (mut alone, mut paired) = (0, 0);
        let mut session = Session::new(items, 1.0, 0.0, 0.0);
        for _ in 0..SESSIONS {
            let (mut hits, mut better, mut worse) = (0.0, 0.0, 0.0);
            for _ in 0..items {
                let reference = session.uniform() <= right;
                let turned = session.uniform() <= if reference { lost } else { gained };
                hits += f64::from(u8::from(reference != turned));
                better += f64::from(u8::from(turned && !reference));
                worse += f64::from(u8::from(turned && reference));
            }
            let own = wilson(hits, items as usize, 0.95).unwrap();
            let change = paired_difference(better, worse, items as usize, 0.95).unwrap();
            alone += u32::from(own.low <= share && share <= own.high);
            let truth = share - right;
            paired += u32::from(change.low <= truth && truth <= change.high);
        }
        for (what, covered) in [("share", alone), ("difference", paired)] {
            let covered = f64::from(covered) / f64::from(SESSIONS);
            // Hits are whole, so coverage waves about the level: Wilson's is 0.93 at 0.98 of 200.
            assert!((0.92..=0.985).contains(&covered), "{what} of {items}: {covered}");
        }
    }
}

#[test]
fn bootstrapped_means_of_skewed_items_cover_the_truth_nearly_as_often_as_promised() {
    // Errors of items: log-normal, whose mean is exp(s²/2).
    for (items, sd, least) in [(16, 0.5_f64, 0.88), (60, 0.5, 0.91)] {
        let truth = (0.5 * sd * sd).exp();
        let mut session = Session::new(items, 1.0, 0.0, 0.0);
        let covers = |_: &u32| {
            let values: Vec<f64> = (0..items).map(|_| (sd * session.normal()).exp()).collect();
            let found = mean_bca(&values, 0.95).unwrap();
            found.low <= truth && truth <= found.high
        };
        let covered = (0..300_u32).filter(covers).count() as f64 / 300.0;
        assert!((least..=0.99).contains(&covered), "{items}: {covered}");
    }
}
