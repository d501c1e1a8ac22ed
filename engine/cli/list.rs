//! `engine list`: what is registered.

use clap::Args;

use super::exit::{Exit, Failure};
use crate::base::suggest::closest;
use crate::catalog::{self, Listed};
use crate::report::EXPORTERS;

#[derive(Debug, Args)]
pub struct List {
    /// One of passes, backends, models, tasks, scenarios, metrics, random-models, formats; all when left out.
    kind: Option<String>,
}

/// Reports are listed here because only this room sees them.
const FORMATS: &str = "formats";

fn formats() -> Vec<Listed> {
    let line = |exporter: &crate::report::Exporter| Listed {
        id: exporter.id.to_owned(),
        about: format!("report, written as {}", exporter.file),
    };
    EXPORTERS.iter().map(line).collect()
}

impl List {
    pub fn execute(self) -> Result<Exit, Failure> {
        let known = || catalog::KINDS.iter().copied().chain([FORMATS]);
        let kinds: Vec<&str> = match &self.kind {
            Some(kind) => vec![kind],
            None => known().collect(),
        };
        for (index, kind) in kinds.iter().enumerate() {
            let entries = if *kind == FORMATS { Some(formats()) } else { catalog::list(kind) };
            let entries = entries.ok_or_else(|| {
                let failure = Failure::invalid(format!("`{kind}` is nothing that can be listed"));
                failure.hint(match closest(kind, known()) {
                    Some(name) => format!("did you mean `{name}`?"),
                    None => format!("expected one of {}", known().collect::<Vec<_>>().join(", ")),
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
