//! `engine why RUN STEP`: what made a step run.

use std::path::PathBuf;

use clap::Args;

use super::Shared;
use super::exit::{Exit, Failure};
use crate::base::suggest::closest;
use crate::base::text::inert;
use crate::record::{Record, Step, StepState};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  engine why results/llama_int8/20261122T141335Z-1f3a9c q8/quantize
  engine why results/llama_int8/20261122T141335Z-1f3a9c          every step")]
pub struct Why {
    /// A result folder or a record.json.
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// The step's id as `engine plan` shows it.
    #[arg(value_name = "STEP")]
    step: Option<String>,
}

impl Why {
    pub fn execute(self, _: &Shared) -> Result<Exit, Failure> {
        let record = Record::read(&self.run)?;
        let Some(id) = &self.step else {
            record.steps.iter().for_each(explain);
            return Ok(Exit::Done);
        };
        let Some(step) = record.steps.iter().find(|step| step.id == *id) else {
            let ids: Vec<&str> = record.steps.iter().map(|step| step.id.as_str()).collect();
            let failure = Failure::invalid(format!("the run has no step `{id}`"));
            return Err(failure.hint(match closest(id, ids.iter().copied()) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("steps: {}", ids.join(", ")),
            }));
        };
        explain(step);
        Ok(Exit::Done)
    }
}

fn explain(step: &Step) {
    let detail = step.detail.as_deref().map(inert);
    let text = match (step.state, detail) {
        (StepState::Hit, _) => "did not run: the store had its result".to_owned(),
        (StepState::Done, Some(why)) => format!("ran: {why}"),
        (StepState::Done, None) if step.kind == "bench" => {
            "ran: measurements are observations and are made anew in every run".to_owned()
        }
        (StepState::Done, None) => "ran: its files are read where they are".to_owned(),
        (StepState::Failed, why) => format!("failed: {}", why.unwrap_or_default()),
        (StepState::Skipped, why) => format!("did not run: {}", why.unwrap_or_default()),
    };
    println!("{} ({}) {text}", inert(&step.id), inert(&step.label));
    if let Some(key) = step.key {
        println!("  key {key}");
    }
    if !step.needs.is_empty() {
        println!("  needs {}", step.needs.iter().map(|n| inert(n)).collect::<Vec<_>>().join(", "));
    }
}
