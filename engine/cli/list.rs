//! `engine list`: what is registered.

use clap::Args;

use super::exit::{Exit, Failure};
use crate::base::suggest::closest;
use crate::catalog::{self, KINDS};

#[derive(Debug, Args)]
pub struct List {
    /// One of passes, backends, models, tasks, scenarios, metrics, random-models; all when left out.
    kind: Option<String>,
}

impl List {
    pub fn execute(self) -> Result<Exit, Failure> {
        let kinds: Vec<&str> = match &self.kind {
            Some(kind) => vec![kind],
            None => KINDS.to_vec(),
        };
        for (index, kind) in kinds.iter().enumerate() {
            let entries = catalog::list(kind).ok_or_else(|| {
                let failure = Failure::invalid(format!("`{kind}` is nothing that can be listed"));
                failure.hint(match closest(kind, KINDS.iter().copied()) {
                    Some(name) => format!("did you mean `{name}`?"),
                    None => format!("expected one of {}", KINDS.join(", ")),
                })
            })?;
            if self.kind.is_none() {
                println!("{}{kind}", if index > 0 { "\n" } else { "" });
            }
            let width = entries.iter().map(|e| e.id.chars().count()).max().unwrap_or(0);
            for entry in entries {
                println!("  {:<width$}  {}", entry.id, entry.about);
            }
        }
        Ok(Exit::Done)
    }
}
