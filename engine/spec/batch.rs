//! `bench.matrix.batch`: sizes that are listed, or the largest one that keeps a bound.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

use super::check::{Rules, id};
use super::locate::{below, dotted};
use super::types::{MetricName, Task};
use super::words::allowed_note;
use crate::base::Nanos;

/// Where the search stands in a spec.
const HERE: &str = "/bench/matrix/batch/search";

/// Sequences or other items side by side.
#[derive(Debug, Clone, PartialEq)]
pub enum Batch {
    Sizes(Vec<u32>),
    /// Batch 1 is measured as `[1]` is, then the largest batch is searched for.
    Search(BatchSearch),
}

/// Finds the largest batch whose latency keeps a bound, for every variant by itself, from few probes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BatchSearch {
    /// 99 of 100 requests must not take longer.
    pub p99_latency: Option<Nanos>,
    /// Half of the requests must not take longer.
    pub p50_latency: Option<Nanos>,
    /// The largest batch that is tried.
    #[schemars(range(min = 1, max = 4096))]
    pub max: u32,
}

impl Default for BatchSearch {
    fn default() -> Self {
        Self { p99_latency: None, p50_latency: None, max: 128 }
    }
}

impl BatchSearch {
    /// Quantile and the time it must not exceed; `check` has made sure that there is one.
    pub fn bound(&self) -> Option<(f64, Nanos)> {
        let p99 = self.p99_latency.map(|time| (0.99, time));
        p99.or(self.p50_latency.map(|time| (0.5, time)))
    }
}

impl Batch {
    /// The sizes that are measured in blocks.
    pub fn sizes(&self) -> &[u32] {
        match self {
            Self::Sizes(sizes) => sizes,
            Self::Search(_) => &[1],
        }
    }

    pub fn search(&self) -> Option<&BatchSearch> {
        match self {
            Self::Sizes(_) => None,
            Self::Search(search) => Some(search),
        }
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self::Sizes(vec![1])
    }
}

impl Serialize for Batch {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Sizes(sizes) => sizes.serialize(s),
            Self::Search(search) => json!({ "search": search }).serialize(s),
        }
    }
}

impl<'de> Deserialize<'de> for Batch {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Searched {
            search: BatchSearch,
        }
        let wrong = |error: serde_json::Error| serde::de::Error::custom(error);
        match Value::deserialize(d)? {
            sizes @ Value::Array(_) => {
                serde_json::from_value(sizes).map(Self::Sizes).map_err(wrong)
            }
            other => {
                let searched: Searched = serde_json::from_value(other).map_err(wrong)?;
                Ok(Self::Search(searched.search))
            }
        }
    }
}

impl JsonSchema for Batch {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Batch".into()
    }

    fn inline_schema() -> bool {
        true
    }

    /// Keywords about lists do not touch maps, and the other way round.
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let search = generator.subschema_for::<BatchSearch>();
        json_schema!({
            "title": "a list of whole numbers, or `{search: {p99_latency: 50ms}}`",
            "type": ["array", "object"],
            "items": {"type": "integer", "minimum": 1, "maximum": 4096},
            "minItems": 1,
            "properties": {"search": search},
            "required": ["search"],
            "additionalProperties": false,
        })
    }
}

impl Rules<'_> {
    /// A search has one bound, and the bound is a time.
    pub(super) fn batch_search(&mut self, search: &BatchSearch) {
        let given = [("p99_latency", search.p99_latency), ("p50_latency", search.p50_latency)];
        let given: Vec<_> = given.into_iter().filter_map(|(key, t)| Some((key, t?))).collect();
        match given.as_slice() {
            [] => {
                let what = format!("{} has no bound", dotted(HERE));
                self.report("spec/missing-key", HERE, what).hint =
                    Some("give `p99_latency` or `p50_latency`".into());
            }
            [(key, time)] => {
                let pointer = below(HERE, key);
                self.positive(&pointer, time.0 > 0);
            }
            [_, (second, _), ..] => {
                let pointer = below(HERE, second);
                let what = format!("{} must have one bound, found two", dotted(HERE));
                let place = self.locator.place_of_key(&pointer);
                let problem = self.report("spec/one-key", &pointer, what);
                problem.at = place;
                problem.hint = Some("keep the one that counts".into());
            }
        }
    }

    /// What is searched for is a bound on `latency`, which not every task has.
    pub(super) fn searches_batches(&mut self, task: Task) {
        if task.measure().contains(&MetricName::Latency) {
            return;
        }
        let what = format!(
            "{} bounds `{}`, and task `{}`, which this model has, is not measured by it",
            dotted(HERE),
            id(MetricName::Latency),
            task.id()
        );
        let place = self.locator.place_of_key(HERE);
        let problem = self.report("spec/wrong-task", HERE, what);
        problem.at = place;
        problem.hint = Some("list the sizes: `batch: [1, 4]`".into());
        let fitting = Task::ALL.into_iter().filter(|t| t.measure().contains(&MetricName::Latency));
        let names: Vec<&str> = fitting.map(Task::id).collect();
        problem.notes.push(allowed_note(&names).replacen("allowed", "tasks with a latency", 1));
    }

    /// Gates and profiles look at batches that are measured in blocks, which the largest one is not.
    pub(super) fn batch(&mut self, pointer: &str, wanted: Option<u32>, batch: &Batch) {
        let known = self.problems.len();
        self.axis(pointer, wanted, batch.sizes());
        if let (Batch::Search(_), Some(problem)) = (batch, self.problems.get_mut(known)) {
            problem.hint =
                Some("the largest batch is searched for, and batch 1 is measured".into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_survive_a_round_trip() {
        for text in [
            json!([1, 8]),
            json!({"search": {"p99_latency": "50ms", "p50_latency": null, "max": 64}}),
        ] {
            let batch: Batch = serde_json::from_value(text.clone()).unwrap();
            assert_eq!(serde_json::to_value(&batch).unwrap(), text);
        }
        let short: Batch =
            serde_json::from_value(json!({"search": {"p50_latency": "2ms"}})).unwrap();
        assert_eq!(short.sizes(), [1]);
        let search = short.search().unwrap();
        assert_eq!((search.bound(), search.max), (Some((0.5, Nanos(2_000_000))), 128));
        for wrong in [json!(4), json!({}), json!({"search": {"max": 1}, "x": 1}), json!(["a"])] {
            assert!(serde_json::from_value::<Batch>(wrong).is_err());
        }
    }
}
