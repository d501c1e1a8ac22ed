//! The task of a spec, from the spec or from the model.

use std::path::Path;

use super::Surroundings;
use crate::base::{Problem, Problems};
use crate::model::{self, Kind, ModelFacts, RandomModel};
use crate::spec::{Loaded, Task};
use crate::stage::{Source, find_file, hub};

/// The same spec with its task and the defaults of that task. A spec that names its task has them
/// already; otherwise the model is asked, and one that cannot be read is left to the plan.
///
/// # Errors
/// What of the spec does not fit the task.
pub fn settle(loaded: Loaded, around: &Surroundings) -> Result<Loaded, Problems> {
    if loaded.spec.model.task.is_some() {
        return Ok(loaded);
    }
    let model = &loaded.spec.model;
    let at = |found: &Path| match model::facts(found) {
        Ok(facts) => of_model(&facts),
        Err(_) if found.extension().is_some_and(|suffix| suffix == "onnx") => Task::Tensor,
        Err(_) => Task::TextGeneration,
    };
    let task = match Source::parse(&model.source, model.revision.as_deref()) {
        Ok(Source::File(path)) => find_file(&path, &around.roots).ok().map(|found| at(&found)),
        Ok(Source::Random(uri)) => {
            let random = RandomModel::parse(&uri).ok();
            random.and_then(|model| Task::parse(model.config().task()))
        }
        Ok(Source::Hub { repository, revision }) => {
            let cached = hub::cached(&repository, revision.as_deref().unwrap_or("main"));
            cached.map(|folder| at(&folder))
        }
        Err(_) => None,
    };
    let guessed = task.is_none() && model.source.starts_with("hf://");
    loaded.for_task(task.unwrap_or(Task::TextGeneration)).map_err(|mut problems| {
        let told = problems.0.first_mut().filter(|_| guessed);
        if let Some(problem) = told {
            let note = "the model has not been fetched, so its task is a guess: name it as `model.task`, or let `engine run` fetch it first";
            problem.notes.push(note.to_owned());
        }
        problems
    })
}

fn of_model(facts: &ModelFacts) -> Task {
    match Task::parse(&facts.task) {
        Some(task) => task,
        None if facts.kind == Kind::Onnx => Task::Tensor,
        None => Task::TextGeneration,
    }
}

/// Why a model cannot have the task that the spec gives it. A graph that is about text can be run
/// on plain tensors too.
pub(super) fn mismatch(loaded: &Loaded, facts: &ModelFacts) -> Option<Problem> {
    let what = match (loaded.spec.model.task?, of_model(facts), facts.kind) {
        (Task::Tensor, _, kind) if kind != Kind::Onnx => {
            format!("task `tensor` runs ONNX graphs, and the model is a {}", kind.name())
        }
        (Task::TextGeneration, Task::Tensor, _) => {
            "the graph does not say that it generates text: its metadata has no `engine.task`"
                .into()
        }
        // A graph that says nothing may be of any task that runs tensors.
        (asked, Task::Tensor, _) if asked.runs_tensors() => return None,
        (asked, found, _) if asked != found && asked != Task::Tensor => {
            format!("the model's task is `{}`, not `{}`", found.id(), asked.id())
        }
        _ => return None,
    };
    let at = loaded.locator.place("/model/task");
    Some(Problem::new("plan/wrong-task", at, what).hint("leave `task` out"))
}
