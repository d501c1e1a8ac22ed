//! The same session many times over with other seeds, on all cores; and rates with their error.

use rayon::prelude::*;

use super::Effort;

/// What `session` gives for each seed from 0 on, in order of the seeds.
pub fn repeat<T: Send>(sessions: u64, session: impl Fn(u64) -> T + Sync + Send) -> Vec<T> {
    (0..sessions).into_par_iter().map(session).collect()
}

/// How often something was seen in independent sessions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    pub hits: u64,
    pub of: u64,
}

impl Rate {
    pub fn of(seen: impl IntoIterator<Item = bool>) -> Self {
        let mut rate = Self { hits: 0, of: 0 };
        for hit in seen {
            rate.hits += u64::from(hit);
            rate.of += 1;
        }
        rate
    }

    /// From 0 to 1; NaN without a session.
    pub fn share(self) -> f64 {
        self.hits as f64 / self.of as f64
    }

    /// Per cent with one decimal: `94.6 %`.
    pub fn text(self) -> String {
        percent(self.share())
    }

    /// True when this many hits are no surprise for a true rate of `most` at most: within two
    /// standard errors above it.
    pub fn at_most(self, most: f64) -> bool {
        self.share() <= most + self.two_errors(most)
    }

    /// True when this many hits are no surprise for a true rate of `least` at least.
    pub fn at_least(self, least: f64) -> bool {
        self.share() >= least - self.two_errors(least)
    }

    /// True when the share reaches `least`; with few repetitions, within its error.
    pub fn reaches(self, least: f64, effort: Effort) -> bool {
        match effort {
            Effort::Quick => self.at_least(least),
            Effort::Full => self.share() >= least,
        }
    }

    /// True when the share is `most` at most; with few repetitions, within its error.
    pub fn stays_within(self, most: f64, effort: Effort) -> bool {
        match effort {
            Effort::Quick => self.at_most(most),
            Effort::Full => self.share() <= most,
        }
    }

    /// Two standard errors of the share if the true rate is `rate`.
    pub fn two_errors(self, rate: f64) -> f64 {
        2.0 * (rate * (1.0 - rate) / self.of as f64).sqrt()
    }
}

pub fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

pub fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let (sum, n) = values.into_iter().fold((0.0, 0.0), |(sum, n), value| (sum + value, n + 1.0));
    sum / n
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_their_seeds() {
        assert_eq!(repeat(5, |seed| seed * seed), [0, 1, 4, 9, 16]);
    }

    #[test]
    fn a_rate_is_held_against_its_own_error() {
        let rate = |hits| Rate { hits, of: 400 };
        assert_eq!(Rate::of([true, false, true]), Rate { hits: 2, of: 3 });
        // Two standard errors of 5 % in 400 are 2.18 points: 28 hits are 7 %.
        assert!(rate(28).at_most(0.05) && !rate(29).at_most(0.05));
        assert!(rate(372).at_least(0.95) && !rate(371).at_least(0.95));
        assert!(rate(28).stays_within(0.05, Effort::Quick));
        assert!(!rate(21).stays_within(0.05, Effort::Full));
        assert!(rate(372).reaches(0.95, Effort::Quick) && !rate(379).reaches(0.95, Effort::Full));
        assert_eq!(rate(378).text(), "94.5 %");
    }
}
