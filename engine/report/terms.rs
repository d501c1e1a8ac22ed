//! The rules of judgement, read from the resolved spec inside a record.
//!
//! A record may come from an older engine or another hand, so everything is read leniently: what
//! is absent or malformed has the spec language's default.

use serde_json::Value;

use super::format;
use super::view::Terms;
use crate::base::Percent;
use crate::measure::metric::Source;
use crate::measure::{METRICS, Metric, metric};
use crate::record::{Record, dimension_axis};

/// A condition of the spec on one metric of one variant.
pub struct Gate {
    pub name: String,
    pub variant: String,
    /// Axes the gate is restricted to.
    pub axes: Vec<(String, Value)>,
    pub metric: String,
    pub condition: Condition,
    /// The stored run it compares with, as the spec writes it.
    pub against: Option<String>,
    /// Whether it is the change of the ratio to the baseline.
    pub paired: bool,
}

impl Gate {
    /// The variant, and the axes the gate is restricted to.
    pub fn target(&self) -> String {
        let axes = self.axes.iter().map(|(axis, value)| match value.as_str() {
            Some(text) => format!(", {axis} {text}"),
            None => format!(", {axis} {value}"),
        });
        format!("{}{}", self.variant, axes.collect::<String>())
    }

    /// The condition in words, such as `ratio ≥ 1.2×`.
    pub fn wording(&self) -> String {
        let unit = metric(&self.metric).map(|metric| metric.unit);
        let between =
            |name: &str, min: Option<f64>, max: Option<f64>, text: &dyn Fn(f64) -> String| {
                let min = min.map(|x| format!("≥ {}", text(x)));
                let max = max.map(|x| format!("≤ {}", text(x)));
                let both = min.into_iter().chain(max).collect::<Vec<_>>().join(" and ");
                format!("{name} {both}")
            };
        let ratio = match (&self.against, self.paired) {
            (None, _) => "ratio".to_owned(),
            (Some(run), false) => format!("ratio to {run}"),
            (Some(run), true) => format!("ratio of speed-ups to {run}"),
        };
        let loss =
            self.against.as_ref().map_or_else(|| "loss".to_owned(), |r| format!("loss since {r}"));
        match (self.condition, unit) {
            (Condition::Ratio { min, max }, _) => between(&ratio, min, max, &format::ratio),
            (Condition::Value { min, max }, Some(unit)) => {
                between("value", min, max, &|x| format::exact(x, unit))
            }
            (Condition::Loss { max }, _)
                if metric(&self.metric).is_some_and(Metric::counts_right_answers) =>
            {
                format!("{loss} ≤ {}", format::points(max))
            }
            (Condition::Loss { max }, _) => format!("{loss} ≤ {}", format::percent(max)),
            _ => "unreadable".into(),
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub enum Condition {
    Ratio {
        min: Option<f64>,
        max: Option<f64>,
    },
    Value {
        min: Option<f64>,
        max: Option<f64>,
    },
    /// Largest movement in the bad direction, as a fraction.
    Loss {
        max: f64,
    },
    /// Not of a form this engine knows: never passes.
    Unreadable,
}

pub fn terms(record: &Record) -> Terms {
    let spec = &record.spec;
    let text = |pointer: &str| spec.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let share = |pointer: &str, default: f64| {
        let parsed = spec.pointer(pointer).and_then(Value::as_str).and_then(Percent::parse);
        parsed.map_or(default, |percent| percent.0)
    };
    let first = || record.variants.keys().next().cloned().unwrap_or_default();
    let baseline = text("/compare/baseline").unwrap_or_else(first);
    let primary = text("/bench/design/stop/metric")
        .and_then(|id| metric(&id))
        .filter(|metric| metric.source != Source::Quality)
        .map_or_else(|| decides(&record.model.task), |metric| metric.id);
    Terms {
        reference: spec
            .get("quality")
            .filter(|quality| !quality.is_null())
            .map(|_| text("/quality/reference").unwrap_or_else(|| baseline.clone())),
        baseline,
        confidence: share("/compare/confidence", 0.95).clamp(0.5, 0.9999),
        holm: text("/compare/correction").as_deref() != Some("none"),
        improved_from: spec
            .pointer("/compare/improved_from")
            .and_then(Value::as_f64)
            .unwrap_or(1.2),
        equivalence: share("/compare/equivalence", 0.03),
        memory_margin: share("/compare/memory", 0.05),
        accuracy_margin: share("/compare/accuracy", 0.01),
        same: spec.pointer("/compare/same").and_then(Value::as_f64).unwrap_or(1e-5),
        primary,
        half_width: share("/bench/design/stop/half_width", 0.02),
        most_blocks: spec
            .pointer("/bench/design/blocks/max")
            .and_then(Value::as_u64)
            .and_then(|most| u32::try_from(most).ok())
            .unwrap_or(60),
        metrics: shown(record, primary).map(|metric| metric.id).collect(),
    }
}

/// The metric that decides where the spec does not say.
fn decides(task: &str) -> &'static str {
    if task == "tensor" { "latency" } else { "decode_tps" }
}

/// The performance metrics of `bench.measure`, or all of the task, and the primary one, in the
/// order of reports.
fn shown<'a>(record: &'a Record, primary: &'a str) -> impl Iterator<Item = &'static Metric> + 'a {
    let asked = record.spec.pointer("/bench/measure").and_then(Value::as_array);
    let of_task = |metric: &Metric| metric.tasks.contains(&record.model.task.as_str());
    METRICS.iter().filter(|metric| metric.source != Source::Quality).filter(move |metric| {
        metric.id == primary
            || match asked {
                Some(ids) => ids.iter().any(|id| id.as_str() == Some(metric.id)),
                None => of_task(metric),
            }
    })
}

/// What a gate calls the scenario of a cell, which is not among its axes.
pub const SCENARIO: &str = "scenario";

/// Every gate of the spec; one that cannot be read stays in the list and cannot pass.
pub fn gates(spec: &Value) -> Vec<Gate> {
    spec.get("gates").and_then(Value::as_array).into_iter().flatten().map(gate).collect()
}

fn gate(value: &Value) -> Gate {
    let text =
        |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or("?").to_owned();
    let axis = |axis: &str| {
        let found = value.pointer("/on")?.get(axis)?;
        Some((axis.to_owned(), found.clone())).filter(|_| !found.is_null())
    };
    let mut axes: Vec<(String, Value)> =
        ["part", "batch", "prompt_tokens", "new_tokens", SCENARIO, "users", "rate"]
            .into_iter()
            .filter_map(axis)
            .collect();
    let dims = value.pointer("/on/dims").and_then(Value::as_object);
    axes.extend(
        dims.into_iter().flatten().map(|(name, size)| (dimension_axis(name), size.clone())),
    );
    Gate {
        name: text("/name"),
        variant: text("/on/variant"),
        axes,
        // As it is recorded, where it has another name.
        metric: metric(&text("/metric")).map_or_else(|| text("/metric"), |m| m.id.to_owned()),
        condition: condition(value).unwrap_or(Condition::Unreadable),
        against: value.get("against").and_then(Value::as_str).map(str::to_owned),
        paired: value.get("paired").and_then(Value::as_bool).unwrap_or(false),
    }
}

fn condition(value: &Value) -> Option<Condition> {
    let bounds = |key: &str| {
        let bounds = value.get(key).filter(|bounds| bounds.is_object())?;
        let bound = |end: &str| bounds.get(end).and_then(Value::as_f64);
        Some((bound("min"), bound("max"))).filter(|(min, max)| min.is_some() || max.is_some())
    };
    if let Some((min, max)) = bounds("ratio") {
        return Some(Condition::Ratio { min, max });
    }
    if let Some((min, max)) = bounds("value") {
        return Some(Condition::Value { min, max });
    }
    Some(Condition::Loss { max: Percent::parse(value.pointer("/loss/max")?.as_str()?)?.0 })
}
