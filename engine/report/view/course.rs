//! Launches whose request times never settled, or that slowed down: what a drawing of them needs.

use crate::measure::steady::Class;

/// All launches of a cell that has such ones.
#[derive(Debug, Clone)]
pub struct CourseSheet {
    pub variant: String,
    pub setting: usize,
    pub launches: Vec<Trace>,
}

/// The requests of one launch in their order, warm-up included.
#[derive(Debug, Clone)]
pub struct Trace {
    pub class: Class,
    /// The request at which the steady state begins; 0 where there is nothing before it.
    pub start: usize,
    /// Number of the request and seconds.
    pub times: Vec<(usize, f64)>,
}

impl Trace {
    /// Whether its value depends on when it is taken.
    pub fn moves(&self) -> bool {
        matches!(self.class, Class::NoSteadyState | Class::SlowDown)
    }
}
