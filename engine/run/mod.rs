//! Running a plan: shared steps in waves, quiet steps alone, every job in a process of its own.
//!
//! The engine's own process plans, waits and writes down; it sleeps while a child measures. What
//! a child does to itself becomes a named outcome. Everything that is finished is in the store or
//! in the run's journal before the next thing begins, so that a run can be killed at any moment
//! and go on later. Deliberately absent: statistics (measure) and reading of results (report).

mod allowance;
mod alone;
mod blocks;
mod child;
mod execute;
mod guard;
mod idle;
mod interrupt;
mod ledger;
mod limits;
mod placing;
mod profiles;
mod progress;
mod rates;
mod resident;
mod runtime;
mod searches;
mod session;
mod soaks;
mod steps;
mod sweep;

pub use child::{
    CLEAN_FAILURE, Ended, JOB_FILE, Launch, LaunchError, Launcher, READY, RESULT_FILE, Reply,
};
pub use execute::{Conditions, RunError, execute};
pub use interrupt::Interrupt;
pub use limits::Limits;
pub use progress::Progress;
pub use resident::Resident;
pub use runtime::{Provided, Provider};
pub use session::{Begun, Session, SessionError, now_text, run_id};
pub use steps::describe;
