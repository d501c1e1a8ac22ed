//! `engine plan`: steps with hit or miss and the reason of each miss.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Shared;
use super::common::{self, Changes};
use super::exit::{Exit, Failure};
use crate::plan::{Format as PlanFormat, preview, show};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  engine plan specs/llama_int8.yaml
  engine plan specs/llama_int8.yaml --format mermaid > plan.mmd")]
pub struct Plan {
    /// A spec file.
    #[arg(value_name = "SPEC")]
    spec: PathBuf,
    #[command(flatten)]
    changes: Changes,
    /// Plan this variant, the baseline and the reference only; may be given several times.
    #[arg(long, value_name = "VARIANT")]
    only: Vec<String>,
    /// How the plan is written: text for people, json for programs, mermaid and dot as graphs.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
    Mermaid,
    Dot,
}

impl Plan {
    pub fn execute(self, shared: &Shared) -> Result<Exit, Failure> {
        let mut loaded = common::load(&self.spec, &self.changes)?;
        common::keep_only(&mut loaded, &self.only)?;
        let (plan, _) = common::plan(&self.spec, &loaded)?;
        let store = common::open_store(shared)?;
        let blocks = loaded.spec.bench.as_ref().map_or(0, |bench| bench.design.blocks.min);
        let preview = preview(&plan, &store, &loaded.spec.name, blocks)?;
        let format = match self.format {
            Format::Text => PlanFormat::Text,
            Format::Json => PlanFormat::Json,
            Format::Mermaid => PlanFormat::Mermaid,
            Format::Dot => PlanFormat::Dot,
        };
        print!("{}", show(&plan, &preview, &loaded.resolved, format));
        Ok(Exit::Done)
    }
}
