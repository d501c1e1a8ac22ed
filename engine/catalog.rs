//! Everything that is registered, in one place: lookup, listing, and the schema of the language.

use serde_json::{Value, json};

use crate::backend::BACKENDS;
use crate::measure::METRICS;
use crate::model::ARCHITECTURES;
use crate::model::family::families;
use crate::pass::passes;
use crate::scenario::SCENARIOS;
use crate::{spec, task};

mod extensions;

pub use extensions::{ExtensionError, Extensions};

/// One line of `engine list`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub id: String,
    pub about: String,
}

/// What `engine list` can show.
pub const KINDS: &[&str] =
    &["passes", "backends", "models", "tasks", "scenarios", "metrics", "random-models"];

/// Everything of one kind; `None` for an unknown kind.
pub fn list(kind: &str) -> Option<Vec<Listed>> {
    let line = |id: &str, about: &str| Listed { id: id.into(), about: about.into() };
    Some(match kind {
        "passes" => passes()
            .map(|pass| {
                let method = pass.method().map(|m| format!(" (method: {m})")).unwrap_or_default();
                line(&format!("{}{method}", pass.id()), pass.about())
            })
            .collect(),
        "backends" => BACKENDS.iter().map(|b| line(b.id(), b.about())).collect(),
        "models" => {
            let decoders = ARCHITECTURES.iter().map(|id| {
                line(id, "decoders: checkpoints in the Hugging Face layout, and GGUF files")
            });
            let networks = families().map(|family| line(family.id(), family.about()));
            decoders.chain(networks).collect()
        }
        "tasks" => task::TASKS.iter().map(|t| line(t.id, t.about)).collect(),
        "scenarios" => SCENARIOS.iter().map(|s| line(s.id, s.about)).collect(),
        "metrics" => METRICS.iter().map(|m| line(m.id, m.definition)).collect(),
        "random-models" => crate::model::random::names()
            .map(|name| line(&format!("random://{name}"), "true architecture, seeded weights"))
            .collect(),
        _ => return None,
    })
}

/// The parameters of a stage with those that every stage has.
fn with_parts(mut params: Value) -> Value {
    params["properties"][spec::PARTS_KEY] = json!({
        "description": "Parts of a model of several that the stage is about, such as `[image]` of CLIP; all when left out.",
        "type": "array",
        "minItems": 1,
        "uniqueItems": true,
        "items": {"type": "string", "minLength": 1, "maxLength": 64},
    });
    params
}

/// The JSON schema of the spec language, with the parameters of every stage and metric.
pub fn spec_schema() -> Value {
    let stages: Vec<_> = passes().map(|p| (p.id(), with_parts(p.params()), p.about())).collect();
    let metrics: Vec<_> = task::METRICS.iter().map(|m| (m.id, m.params(), m.about)).collect();
    spec::schema(&stages, &metrics)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::metric;
    use crate::measure::metric::Source;
    use crate::spec::Task;

    #[test]
    fn rooms_agree_on_what_each_task_is_measured_and_judged_by() {
        let tasks: Vec<&str> = task::TASKS.iter().map(|task| task.id).collect();
        assert_eq!(tasks, Task::ALL.map(Task::id));
        for task in Task::ALL {
            let id = |name| serde_json::to_value(name).unwrap().as_str().unwrap().to_owned();
            let mut asked: Vec<String> = task.measurable().iter().map(id).collect();
            let mut known: Vec<String> = METRICS
                .iter()
                .filter(|m| m.source != Source::Quality && m.tasks.contains(&task.id()))
                .map(|m| m.id.to_owned())
                .collect();
            asked.sort();
            known.sort();
            assert_eq!(asked, known);
            assert!(task.measure().contains(&task.deciding()));
            for quality in task::METRICS {
                let fits = quality.tasks.contains(&task.id());
                assert_eq!(fits, task.quality().contains(&quality.id), "{}", quality.id);
                let known = |id: &String| metric(id).unwrap().tasks.contains(&task.id());
                let asked: spec::QualityMetric =
                    serde_json::from_value(serde_json::json!({(quality.id): {}})).unwrap();
                assert!(asked.gated().iter().all(|id| known(id) == fits), "{}", quality.id);
            }
        }
    }
}
