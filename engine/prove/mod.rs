//! Proofs of the instrument: sessions whose truth is known, run at full size, and what was found.
//!
//! The tests of each room hold small versions of these. Here they run with enough repetitions to
//! print a rate with its error, as one command that writes `docs/VALIDATION.md`. A proof computes
//! its table anew every time; nothing here is copied from an earlier run. Deliberately absent:
//! anything that needs a model, a GPU or another process.

use std::fmt;

mod calibration;
mod coverage;
mod design;
pub(crate) mod draws;
mod economy;
mod energy;
mod false_alarms;
mod guard;
mod history;
mod leak;
mod load;
mod machine;
mod own_values;
mod page;
mod power;
mod rate;
mod repeat;
mod residency;
mod session;
mod shape;
mod shares;
mod stats;
mod tokens;
mod warmup;

pub use page::{Made, markdown, plain};

/// How many repetitions a proof may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Seconds in all: what the tests run.
    Quick,
    /// What the published tables are made with.
    Full,
}

/// One claim about the instrument, and how it is tried.
#[derive(Debug, Clone, Copy)]
pub struct Proof {
    /// Lower-case words with `_`.
    pub id: &'static str,
    /// What is claimed, in one sentence.
    pub claim: &'static str,
    /// How it is tried: the known truth, the number of repetitions, the negative control.
    pub method: &'static str,
    /// Seeds are fixed, so that it gives the same table on every machine.
    pub run: fn(Effort) -> Table,
}

/// What a proof found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    pub columns: Vec<&'static str>,
    pub rows: Vec<Row>,
    /// What a reader should know beside the rows, such as the worst cell and what follows from it.
    pub remarks: Vec<String>,
}

/// One line of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// As many as the table has columns.
    pub cells: Vec<String>,
    pub verdict: Holds,
}

/// Whether what was found keeps its bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    Yes,
    No,
    /// Shown for comparison; no bar applies.
    Shown,
}

impl Holds {
    pub fn of(kept: bool) -> Self {
        if kept { Self::Yes } else { Self::No }
    }
}

impl fmt::Display for Holds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Yes => "holds",
            Self::No => "**does not hold**",
            Self::Shown => "",
        })
    }
}

impl Table {
    /// True when no row breaks its bar.
    pub fn holds(&self) -> bool {
        self.rows.iter().all(|row| row.verdict != Holds::No)
    }
}

/// All proofs in the order of the page.
pub static PROOFS: &[Proof] = &[
    stats::PARITY,
    stats::INVARIANTS,
    coverage::COVERAGE,
    own_values::OWN_VALUES,
    stats::QUANTILES,
    calibration::CALIBRATION,
    false_alarms::FALSE_ALARMS,
    false_alarms::FAMILY,
    power::POWER,
    economy::ECONOMY,
    design::REPETITION,
    design::EARLY_DECISION,
    design::CARRY_OVER,
    residency::RESIDENCY,
    shares::SHARES,
    shares::ITEM_MEANS,
    warmup::CLASSES,
    leak::LEAKS,
    leak::THROTTLING,
    load::QUEUEING,
    load::OMISSION,
    load::ARRIVALS,
    rate::RATE,
    tokens::TOKENS,
    guard::REPLAYS,
    guard::RECORDED,
    history::CHANGES,
    history::SESSIONS,
    energy::COUNTERS,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_proof_holds_with_few_repetitions() {
        let mut broken = Vec::new();
        for proof in PROOFS {
            let table = (proof.run)(Effort::Quick);
            assert!(!table.rows.is_empty(), "`{}` found nothing", proof.id);
            for row in &table.rows {
                assert_eq!(row.cells.len(), table.columns.len(), "`{}`: {row:?}", proof.id);
            }
            if !table.holds() {
                broken.push(plain(proof, &table));
            }
        }
        assert!(broken.is_empty(), "\n{}", broken.join("\n"));
    }

    #[test]
    fn proofs_have_ids_of_their_own_and_say_how_they_are_tried() {
        let ids: BTreeSet<&str> = PROOFS.iter().map(|proof| proof.id).collect();
        assert_eq!(ids.len(), PROOFS.len(), "two proofs share an id");
        for Proof { id, claim, method, .. } in PROOFS {
            assert!(id.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "`{id}`");
            assert!(claim.ends_with('.') && method.ends_with('.'), "`{id}`: whole sentences");
        }
    }
}
