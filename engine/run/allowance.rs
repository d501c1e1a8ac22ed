//! Processor time that watching may take: a share of the time that passes.

use std::time::{Duration, Instant};

use crate::machine::thread_time;

/// What is spent of one processor, and when it is earned back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// When all that was spent so far is a quarter of a per cent of the time that has passed.
    paid: Instant,
}

/// Seconds that pass for each second that is spent.
const PRICE: f64 = 400.0;
/// Nothing is waited for longer than this, however much was spent: who is blind for minutes watches
/// nothing.
const LONGEST: Duration = Duration::from_secs(20);

impl Allowance {
    pub fn new() -> Self {
        Self { paid: Instant::now() }
    }

    /// Whether something may be spent now. `ahead` is how long before it is earned.
    pub fn allows(&self, ahead: Duration) -> bool {
        self.paid <= Instant::now() + ahead
    }

    /// Carries out `work` and counts the processor time of this thread, which is returned too in
    /// seconds. Time in which nothing was spent is not saved up.
    pub fn spend<T>(&mut self, work: impl FnOnce() -> T) -> (T, f64) {
        let begin = thread_time();
        let out = work();
        let seconds = thread_time() - begin;
        self.charge(seconds);
        (out, seconds)
    }

    /// Counts `seconds` of one processor as spent.
    pub fn charge(&mut self, seconds: f64) {
        let now = Instant::now();
        let earned = self.paid.max(now) + Duration::from_secs_f64(seconds * PRICE);
        self.paid = earned.min(now + LONGEST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spent_must_be_earned_before_more_is() {
        let mut allowance = Allowance::new();
        assert!(allowance.allows(Duration::ZERO));
        let mut turns = 0_u64;
        let busy = || {
            let begin = thread_time();
            while thread_time() - begin < 0.002 {
                turns = std::hint::black_box(turns + 1);
            }
        };
        let ((), seconds) = allowance.spend(busy);
        assert!(seconds >= 0.002);
        assert!(!allowance.allows(Duration::ZERO) && !allowance.allows(Duration::from_millis(300)));
        assert!(allowance.allows(Duration::from_secs(3600)));
    }

    #[test]
    fn what_is_owed_is_bounded() {
        let mut allowance = Allowance::new();
        for _ in 0..100 {
            allowance.charge(1.0);
        }
        assert!(!allowance.allows(LONGEST * 3 / 4) && allowance.allows(LONGEST));
    }
}
