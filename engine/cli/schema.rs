//! `engine schema`: the spec language as JSON schema.

use std::path::PathBuf;

use clap::Args;

use super::exit::{Exit, Failure};
use crate::catalog;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  engine schema > schemas/spec.v1.json
  engine schema --check schemas/spec.v1.json     exit code 1 when the file is not up to date")]
pub struct SchemaCommand {
    /// Compare with a file instead of printing.
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
}

impl SchemaCommand {
    pub fn execute(self) -> Result<Exit, Failure> {
        let text = format!("{:#}\n", catalog::spec_schema());
        let Some(path) = self.check else {
            print!("{text}");
            return Ok(Exit::Done);
        };
        let found = std::fs::read_to_string(&path).map_err(|error| {
            Failure::invalid(format!("cannot read `{}`: {error}", path.display()))
        })?;
        if found == text {
            return Ok(Exit::Done);
        }
        let text = format!("`{}` is not the schema of this engine", path.display());
        Err(Failure::broken(text).hint(format!("run `engine schema > {}`", path.display())))
    }
}
