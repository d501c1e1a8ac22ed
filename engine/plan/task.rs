//! The task of a spec, from the spec or from the model.

use super::Surroundings;
use crate::base::{Problem, Problems};
use crate::model::{self, Kind, ModelFacts};
use crate::spec::{Loaded, Task};
use crate::stage::{Source, find_file};

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
    let mut task = Task::TextGeneration;
    if let Ok(Source::File(path)) = Source::parse(&model.source, model.revision.as_deref())
        && let Ok(found) = find_file(&path, &around.roots)
    {
        task = match model::facts(&found) {
            Ok(facts) => of_model(&facts),
            Err(_) if found.extension().is_some_and(|suffix| suffix == "onnx") => Task::Tensor,
            Err(_) => Task::TextGeneration,
        };
    }
    loaded.for_task(task)
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
        _ => return None,
    };
    let at = loaded.locator.place("/model/task");
    Some(Problem::new("plan/wrong-task", at, what).hint("leave `task` out"))
}
