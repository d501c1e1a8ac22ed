//! `engine store`: verify, prune, measure.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::Shared;
use super::common;
use super::exit::{Exit, Failure};
use crate::base::{Bytes, Nanos};
use crate::store::Policy;

#[derive(Debug, Args)]
pub struct StoreCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Hash every file of every artifact and read every record.
    Verify,
    /// Remove unused artifacts, leftovers of dead processes, and what is beyond the limits given.
    Gc {
        /// Forget what was last used longer ago, such as `168h`.
        #[arg(long, value_name = "TIME", value_parser = time)]
        max_age: Option<Nanos>,
        /// Then forget the least recently used until everything fits, such as `20GiB`.
        #[arg(long, value_name = "SIZE", value_parser = size)]
        max_size: Option<Bytes>,
        /// Leave what was used within this time.
        #[arg(long, value_name = "TIME", value_parser = time, default_value = "1h")]
        grace: Nanos,
        /// Only tell what would go.
        #[arg(long)]
        dry_run: bool,
    },
    /// Show the space in use, by kind.
    Du,
}

fn time(text: &str) -> Result<Nanos, String> {
    Nanos::parse(text).ok_or_else(|| "expected a time with its unit, such as `36h`".into())
}

fn size(text: &str) -> Result<Bytes, String> {
    Bytes::parse(text).ok_or_else(|| "expected a size with its unit, such as `20GiB`".into())
}

impl StoreCommand {
    pub fn execute(self, shared: &Shared) -> Result<Exit, Failure> {
        let store = common::open_store(shared)?;
        match self.action {
            Action::Verify => {
                let faults = store.verify()?;
                for fault in &faults {
                    println!("{} {}", fault.path.display(), fault.what);
                }
                if faults.is_empty() {
                    println!("{}: everything is as it was written", store.root().display());
                } else {
                    let faults = faults.len();
                    println!("{faults} faults; what is unsound is rebuilt on its next use");
                }
                Ok(if faults.is_empty() { Exit::Done } else { Exit::Broken })
            }
            Action::Gc { max_age, max_size, grace, dry_run } => {
                let taken = store.gc(&Policy {
                    max_age: max_age.map(Nanos::duration),
                    max_bytes: max_size.map(|size| size.0),
                    grace: grace.duration(),
                    temp_age: Duration::from_secs(24 * 3600),
                    dry_run,
                })?;
                println!(
                    "{} {} artifacts, {} records, {} unfinished folders, {} old quarantine entries: {}",
                    if dry_run { "would remove" } else { "removed" },
                    taken.artifacts.len(),
                    taken.actions,
                    taken.temporary,
                    taken.quarantined,
                    Bytes(taken.bytes),
                );
                Ok(Exit::Done)
            }
            Action::Du => {
                let usage = store.du()?;
                println!("{}", store.root().display());
                for (kind, used) in &usage.kinds {
                    let (artifacts, bytes) = (used.artifacts, Bytes(used.bytes));
                    println!("  {bytes:>10}  {artifacts:>5} × {kind}");
                }
                println!("  {:>10}  unfinished work", Bytes(usage.temporary));
                println!("  {:>10}  quarantine", Bytes(usage.quarantine));
                Ok(Exit::Done)
            }
        }
    }
}
