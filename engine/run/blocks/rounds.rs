//! Processes that stay: all arms of a setting loaded side by side, one of them at work at a time.

use std::time::Duration;

use super::Blocks;
use super::arms::Arm;
use super::launching::{At, Given, child, inputs, job, nanos, recorded};
use super::tally::given_up;
use crate::machine::watch::Readings;
use crate::machine::{resident_memory, total_memory};
use crate::measure::replicates::BURSTS;
use crate::record::{Launch, Outcome, Residence};
use crate::run::execute::{Conditions, RunError};
use crate::run::guard::Guard;
use crate::run::resident::Resident;
use crate::run::session::Session;
use crate::stage::Job;
use crate::store::Workspace;

/// One process for each arm, until each has made its bursts. They end when this goes out of scope.
pub struct Round<'g> {
    /// The block with which they began.
    first: u32,
    /// Blocks that are over.
    parts: u32,
    /// By number of the arm.
    seats: Vec<Seat>,
    has_failed: bool,
    guard: Option<&'g Guard>,
}

enum Seat {
    /// Of an arm that was given up, or that has failed before.
    Empty,
    Taken(Box<Taken>),
    /// It did not come as far as its first burst.
    Failed(Box<Launch>),
}

struct Taken {
    resident: Resident,
    /// Until it was ready, and when that began.
    loading: Duration,
    started: Duration,
    /// What else the machine did meanwhile.
    settling: Option<Readings>,
    #[expect(dead_code, reason = "the process writes into it for as long as it lives")]
    scratch: Workspace,
}

/// What a round is made from.
pub struct Making<'a, 'g> {
    pub blocks: &'a Blocks<'a>,
    pub conditions: &'a Conditions<'a>,
    pub given: &'a Given<'g>,
    pub arms: &'a [Arm],
}

impl<'g> Round<'g> {
    /// Loads every arm that has not been given up, in the order of the block `first`. Says why
    /// where they do not fit beside each other.
    pub fn begin(
        making: &Making<'_, 'g>,
        session: &Session,
        order: &[usize],
        first: usize,
    ) -> Result<Result<Self, String>, RunError> {
        let Making { blocks, conditions, given, arms } = *making;
        let seats = arms.iter().map(|_| Seat::Empty).collect();
        let (first_block, guard) = (first as u32, given.guard());
        let mut round = Self { first: first_block, parts: 0, seats, has_failed: false, guard };
        for (position, &index) in order.iter().enumerate() {
            let Arm { recorded: name, variant, artifact } = &arms[index];
            if given_up(session, &blocks.stage.setting, name) {
                continue;
            }
            if let Some(why) = round.crowded(artifact.bytes) {
                return Ok(Err(why));
            }
            let at = At { block: first, position, seed: blocks.bench.design.seed };
            let job = Job::Reside(Box::new(job(blocks, variant, artifact, given, at)));
            let scratch = conditions.store.begin()?;
            let started = given.since(conditions);
            let mut pids: Vec<u32> = round.residents().map(Resident::pid).collect();
            let settle = || {
                let child = child(blocks, &job, scratch.path(), at);
                let settled = conditions.launcher.settle(&child);
                if let (Ok(Ok(resident)), Some(guard)) = (&settled, guard) {
                    pids.push(resident.pid());
                    guard.counts(pids);
                }
                settled
            };
            let (settled, settling) = Guard::around(guard, &blocks.stage.setting, at.block, settle);
            let ended = match settled {
                Ok(Ok(resident)) => {
                    let loading = given.since(conditions).saturating_sub(started);
                    let taken = Taken { resident, loading, started, settling, scratch };
                    round.seats[index] = Seat::Taken(Box::new(taken));
                    continue;
                }
                Ok(Err(ended)) => Ok(ended),
                Err(error) => Err(error),
            };
            let launch = recorded(ended, artifact, at, started)?;
            let launch = Launch { conditions: settling, ..launch };
            round.seats[index] = Seat::Failed(Box::new(launch));
        }
        if let Some(why) = round.crowded(0) {
            return Ok(Err(why));
        }
        Ok(Ok(round))
    }

    /// One launch of an arm: its burst, or the failure of its process. With the first burst counts
    /// the load before it.
    pub fn launch(
        &mut self,
        making: &Making<'_, '_>,
        index: usize,
        at: At,
    ) -> Result<Launch, RunError> {
        let Making { blocks, conditions, given, arms } = *making;
        let residence = Some(Residence { round: self.first, part: self.parts });
        let seat = std::mem::replace(&mut self.seats[index], Seat::Empty);
        let mut taken = match seat {
            Seat::Taken(taken) => taken,
            Seat::Failed(launch) => {
                self.has_failed = true;
                return Ok(Launch { residence, ..*launch });
            }
            Seat::Empty => unreachable!("a round ends with the block in which an arm fails"),
        };
        let started = given.since(conditions);
        let setting = &blocks.stage.setting;
        let seed = inputs(setting, at);
        let work = || taken.resident.burst(seed);
        let (ended, readings) = Guard::around(given.guard(), setting, at.block, work);
        let mut launch = recorded(ended, &arms[index].artifact, at, started)?;
        if self.parts == 0 {
            launch.started = nanos(taken.started);
            launch.wall += nanos(taken.loading);
            launch.settling = taken.settling.take();
        }
        if matches!(launch.outcome, Outcome::Failed(_)) {
            self.has_failed = true;
        } else {
            self.seats[index] = Seat::Taken(taken);
        }
        Ok(Launch { conditions: readings, residence, ..launch })
    }

    /// To be called after each block.
    pub fn end_block(&mut self) {
        self.parts += 1;
    }

    /// True when other processes must take the place of these.
    pub fn is_over(&self) -> bool {
        self.parts >= BURSTS || self.has_failed
    }

    fn residents(&self) -> impl Iterator<Item = &Resident> {
        self.seats.iter().filter_map(|seat| match seat {
            Seat::Taken(taken) => Some(&taken.resident),
            Seat::Empty | Seat::Failed(_) => None,
        })
    }

    /// Why the processes cannot stay, with another of `more` bytes beside them.
    fn crowded(&self, more: u64) -> Option<String> {
        let held = self.residents().filter_map(|resident| resident_memory(resident.pid())).sum();
        crowded(held, more, total_memory()?)
    }
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        // Numbers come back, and another program must not count as ours.
        if let Some(guard) = self.guard {
            guard.counts(Vec::new());
        }
    }
}

/// Why processes that hold `held` bytes cannot stay beside another of `more`: less than a tenth of
/// `total` would be left.
fn crowded(held: u64, more: u64, total: u64) -> Option<String> {
    let all = held.saturating_add(more);
    (all > total - total / 10).then(|| {
        let gib = |bytes: u64| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30));
        let (all, total) = (gib(all), gib(total));
        format!("side by side they hold {all}, which leaves less than a tenth of {total}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_stay_only_where_they_leave_a_tenth_of_the_memory() {
        const GIB: u64 = 1 << 30;
        assert_eq!(crowded(5 * GIB, 4 * GIB, 10 * GIB), None);
        let why = crowded(5 * GIB, 4 * GIB + 1, 10 * GIB).expect("too much");
        assert!(why.contains("less than a tenth of 10.0 GiB"), "{why}");
        assert!(crowded(u64::MAX, 1, GIB).is_some());
    }
}
