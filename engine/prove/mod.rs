//! Proofs of the instrument: sessions whose truth is known, run at full size, and what was found.
//!
//! The tests of each room hold small versions of these. Here they run with enough repetitions to
//! print a rate with its error, as one command that writes `docs/VALIDATION.md`. A proof computes
//! its table anew every time; nothing here is copied from an earlier run. Deliberately absent:
//! anything that needs a model, a GPU or another process.

use std::fmt;

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
pub static PROOFS: &[Proof] = &[];
