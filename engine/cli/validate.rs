//! `engine validate`: every mistake in specs, nothing executed.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::Shared;
use super::common::{self, Changes};
use super::exit::{Exit, Failure};
use crate::spec;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  engine validate specs/llama_int8.yaml
  engine validate specs/ --format json")]
pub struct Validate {
    /// Spec files, or folders of them.
    #[arg(required = true, value_name = "SPEC")]
    specs: Vec<PathBuf>,
    #[command(flatten)]
    changes: Changes,
    /// How problems are written: text for people, json for editors and CI.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Validate {
    pub fn execute(self, shared: &Shared) -> Result<Exit, Failure> {
        let mut all = Vec::new();
        let mut faulty = 0;
        let files = common::spec_files(&self.specs)?;
        for file in &files {
            let result = common::load(file, &self.changes)
                .and_then(|loaded| common::plan(file, &loaded).map(|_| ()));
            match result {
                Ok(()) if self.format == Format::Text => println!("{}: valid", file.display()),
                Ok(()) => {}
                Err(problems) => {
                    faulty += 1;
                    match self.format {
                        Format::Text => {
                            eprint!("{}", spec::show::text(&problems, shared.colour_errors));
                        }
                        Format::Json => {
                            if let Some(list) = spec::show::json(&problems)["problems"].as_array() {
                                all.extend(list.clone());
                            }
                        }
                    }
                }
            }
        }
        if self.format == Format::Json {
            let out = json!({"files": files.len(), "faulty": faulty, "problems": all});
            println!("{out:#}");
        }
        Ok(if faulty > 0 { Exit::Invalid } else { Exit::Done })
    }
}
