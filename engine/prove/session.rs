//! A whole session on a simulated machine, decided by the code that decides real ones: orders from
//! `measure::design`, values of launches from `measure::summary`, looks and reasons to stop from
//! `measure::stop`, intervals from `measure::compare`, their levels from `measure::holm`.

use super::machine::Workload;
use crate::measure::Better;
use crate::measure::compare::{Comparison, speedup};
use crate::measure::design::orders;
use crate::measure::holm::holm_levels;
use crate::measure::stop::{Decision, Reason, Rule, decide, look_level, working_level};
use crate::measure::summary::block_value;

/// What a session is asked to do.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The first of them is the baseline.
    pub variants: usize,
    pub rule: Rule,
    /// As a spec says it: 0.95.
    pub confidence: f64,
    /// Comparisons that share the error allowed; more than this session's where there are several
    /// settings.
    pub family: usize,
}

/// The defaults of a spec: 10 to 60 blocks, ±2 %, ten minutes, 95 %.
pub fn usual(variants: usize) -> Asked {
    let rule =
        Rule { min_blocks: 10, max_blocks: 60, half_width: 0.02, max_time_ns: 600_000_000_000 };
    Asked { variants, rule, confidence: 0.95, family: variants - 1 }
}

/// A session without a limit of time.
pub fn patient(variants: usize) -> Asked {
    let asked = usual(variants);
    Asked { rule: Rule { max_time_ns: u64::MAX, ..asked.rule }, ..asked }
}

/// What a session saw.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    /// Values of the blocks in order, for each variant.
    pub values: Vec<Vec<f64>>,
    pub reason: Reason,
    /// Time on the session's clock when it stopped, and when its last block began, in nanoseconds.
    pub elapsed: u64,
    pub last_began: u64,
}

/// Blocks after blocks on a virtual clock, until a reason to stop comes up.
pub fn run(asked: &Asked, seed: u64, machine: &mut impl Workload) -> Session {
    let rule = &asked.rule;
    let orders = orders(asked.variants, rule.max_blocks as usize, seed);
    let mut values = vec![Vec::with_capacity(orders.len()); asked.variants];
    let (mut elapsed, mut last_began) = (0, 0);
    for order in &orders {
        last_began = elapsed;
        block(order, machine, &mut values, &mut elapsed);
        let done = values[0].len() as u32;
        // Between looks only time and number end a run, so no interval is needed.
        let due = rule.next_look(done - 1) == done;
        let level = look_level(asked.confidence, asked.family);
        let comparisons: Vec<Option<Comparison>> = (1..asked.variants)
            .map(|variant| due.then(|| compared(&values, variant, level)).flatten())
            .collect();
        if let Decision::Stop(reason) = decide(rule, done, elapsed, &comparisons) {
            return Session { values, reason, elapsed, last_began };
        }
    }
    Session { values, reason: Reason::MaxBlocks, elapsed, last_began }
}

/// Launches in the given orders, however many and wherever each variant stands; no look is taken.
pub fn fixed(variants: usize, orders: &[Vec<usize>], machine: &mut impl Workload) -> Vec<Vec<f64>> {
    let mut values = vec![Vec::new(); variants];
    let mut elapsed = 0;
    for order in orders {
        block(order, machine, &mut values, &mut elapsed);
    }
    values
}

fn block(order: &[usize], machine: &mut impl Workload, values: &mut [Vec<f64>], elapsed: &mut u64) {
    for &variant in order {
        let (observed, wall) = machine.launch(variant, *elapsed);
        *elapsed = elapsed.saturating_add(wall);
        let value = block_value(&observed, "latency");
        values[variant].push(value.expect("a simulated launch answers a request"));
    }
}

/// A variant against the first at `level`.
pub fn compared(values: &[Vec<f64>], variant: usize, level: f64) -> Option<Comparison> {
    let pairs: Vec<(f64, f64)> =
        values[0].iter().copied().zip(values[variant].iter().copied()).collect();
    speedup(&pairs, Better::Lower, level)
}

/// What a report shows of the comparisons of a family: each at the level that Holm's procedure
/// gives it, starting from the working level.
pub fn shown(family: &[(&[Vec<f64>], usize)], confidence: f64) -> Vec<Comparison> {
    let level = working_level(confidence);
    let plain: Vec<Comparison> =
        family.iter().filter_map(|(values, variant)| compared(values, *variant, level)).collect();
    assert_eq!(plain.len(), family.len(), "simulated times are positive and finite");
    let p_values: Vec<f64> = plain.iter().map(|found| found.p_value).collect();
    let levels = holm_levels(&p_values, level);
    let at = |((values, variant), level): (&(&[Vec<f64>], usize), f64)| {
        compared(values, *variant, level)
    };
    family.iter().zip(levels).filter_map(at).collect()
}

impl Session {
    pub fn blocks(&self) -> u32 {
        self.values[0].len() as u32
    }

    /// The comparison of the second variant with the first as a report shows it.
    pub fn pair(&self, confidence: f64) -> Comparison {
        shown(&[(&self.values, 1)], confidence)[0]
    }
}

/// True when the interval holds `truth`.
pub fn covers(comparison: &Comparison, truth: f64) -> bool {
    comparison.estimate.low <= truth && truth <= comparison.estimate.high
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prove::machine::{Known, Machine};

    #[test]
    fn a_session_is_the_same_every_time_and_stops_for_the_reason_it_has() {
        let session = |noise, seed| {
            let mut machine = Machine::new(Known::plain(&[1.0, 1.3], noise), 0, seed);
            run(&usual(2), seed, &mut machine)
        };
        assert_eq!(session(0.03, 1), session(0.03, 1));
        assert_ne!(session(0.03, 1).values, session(0.03, 2).values);
        let quiet = session(0.001, 3);
        assert_eq!((quiet.reason, quiet.blocks()), (Reason::Target, 10));
        let found = quiet.pair(0.95);
        assert!((found.estimate.point - 1.3).abs() < 0.01, "{found:?}");
        assert_eq!(session(3.0, 3).reason, Reason::Unreachable);
    }

    #[test]
    fn time_on_the_virtual_clock_ends_a_session() {
        let asked =
            Asked { rule: Rule { max_time_ns: 5_000_000_000, ..usual(2).rule }, ..usual(2) };
        let mut machine = Machine::new(Known::plain(&[1.0, 1.0], 0.1), 0, 1);
        let session = run(&asked, 1, &mut machine);
        // A launch takes half a second and a little: five blocks are over five seconds.
        assert_eq!((session.reason, session.blocks()), (Reason::Budget, 5));
        assert!(session.last_began < 5_000_000_000 && session.elapsed >= 5_000_000_000);
    }
}
