//! Rules between fields, which no schema can say: references, order of bounds, what gates need.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::locate::{Locator, below, dotted};
use super::scalar::shortened;
use super::types::{MetricName, OneKey, Spec, Task, Variant};
use super::words::{allowed_note, did_you_mean};
use super::{MAX_PROBLEMS, cells, cost, design, gates, quality, task};
use crate::base::suggest::closest;
use crate::base::{Problem, Problems};

/// Among more names than this, nobody's typo is guessed: the time would grow with the square.
const MOST_COMPARED: usize = 200;

/// All violated rules of a spec that fits the schema.
pub fn check(spec: &Spec, locator: &Locator) -> Problems {
    let mut rules = Rules { spec, locator, problems: Vec::new() };
    rules.empty_values();
    rules.references();
    rules.cycles();
    rules.data_windows();
    rules.comparison();
    if let Some(bench) = &spec.bench {
        cells::check(&mut rules, bench);
        design::check(&mut rules, bench);
    }
    quality::check(&mut rules);
    gates::check(&mut rules);
    cost::check(&mut rules);
    Problems(rules.problems)
}

/// Everything in a spec that does not fit its task.
pub(crate) fn fit(spec: &Spec, locator: &Locator, task: Task) -> Problems {
    let mut rules = Rules { spec, locator, problems: Vec::new() };
    task::check(&mut rules, task);
    Problems(rules.problems)
}

/// A spec under examination.
pub(crate) struct Rules<'a> {
    pub spec: &'a Spec,
    pub locator: &'a Locator,
    pub problems: Vec<Problem>,
}

impl Rules<'_> {
    /// Reports a problem with the value at `pointer`.
    pub fn report(&mut self, code: &'static str, pointer: &str, what: String) -> &mut Problem {
        self.problems.push(Problem::new(code, self.locator.place(pointer), what));
        self.problems.last_mut().expect("a problem was just pushed")
    }

    /// The value at `pointer` must be the name of a variant.
    pub fn variant(&mut self, pointer: &str, name: &str) {
        let spec = self.spec;
        if !spec.variants.contains_key(name) {
            self.dangling(pointer, name, "variant", spec.variants.keys());
        }
    }

    fn data(&mut self, pointer: &str, name: &str) {
        let spec = self.spec;
        if !spec.data.contains_key(name) {
            self.dangling(pointer, name, "data set", spec.data.keys());
        }
    }

    fn dangling<'n>(
        &mut self,
        pointer: &str,
        name: &str,
        noun: &str,
        names: impl Iterator<Item = &'n String>,
    ) {
        if self.problems.len() >= MAX_PROBLEMS {
            return;
        }
        let names: Vec<&str> = names.map(String::as_str).collect();
        let what =
            format!("{} names `{}`, which is not a {noun}", dotted(pointer), shortened(name));
        let problem = self.report("spec/bad-reference", pointer, what);
        if names.len() <= MOST_COMPARED {
            problem.hint = closest(name, names.iter().copied()).map(did_you_mean);
        }
        problem.notes.push(if names.is_empty() {
            format!("this spec defines no {noun}")
        } else {
            allowed_note(&names)
        });
    }

    /// `bench:` with nothing after it reads as "no benchmark", which is hardly ever meant.
    fn empty_values(&mut self) {
        for pointer in self.locator.empty_values() {
            let what = format!("{} has no value", dotted(&pointer));
            self.report("spec/missing-value", &pointer, what).hint =
                Some("give it one, write `{}` for defaults, or leave the key out".into());
        }
    }

    fn references(&mut self) {
        let spec = self.spec;
        for (name, variant) in &spec.variants {
            self.variant_references(&below("/variants", name), name, variant);
            self.device(&below("/variants", name), variant);
        }
        if let Some(quality) = &spec.quality {
            if let Some(reference) = &quality.reference {
                self.variant("/quality/reference", reference);
            }
            for (i, metric) in quality.metrics.iter().enumerate() {
                self.data_of(&below("/quality/metrics", i), &metric.0);
            }
        }
        if let Some(data) = spec.bench.as_ref().and_then(|bench| bench.data.as_ref()) {
            self.data("/bench/data", data);
        }
        if let Some(baseline) = &spec.compare.baseline {
            self.variant("/compare/baseline", baseline);
        }
    }

    fn variant_references(&mut self, here: &str, name: &str, variant: &Variant) {
        if let Some(from) = &variant.from {
            self.variant(&below(here, "from"), from);
        }
        for (i, stage) in variant.stages.iter().enumerate() {
            self.data_of(&below(&below(here, "stages"), i), &stage.0);
        }
        let Some(size) = variant.expect.as_ref().and_then(|e| e.size_vs.as_ref()) else { return };
        let pointer = format!("{here}/expect/size_vs/variant");
        if size.variant == name {
            let what = format!("{} names the variant itself", dotted(&pointer));
            self.report("spec/bad-reference", &pointer, what).hint =
                Some("name the variant to compare with".into());
        } else {
            self.variant(&pointer, &size.variant);
        }
    }

    /// Stages and metrics refer to a data set by their parameter `data`.
    fn data_of(&mut self, here: &str, one: &OneKey) {
        if let Some(name) = one.params.get("data").and_then(Value::as_str) {
            self.data(&below(&below(here, &one.id), "data"), name);
        }
    }

    /// Each cycle of `from` once, at the variant that comes first in the file.
    fn cycles(&mut self) {
        let variants = &self.spec.variants;
        let mut settled: HashSet<&str> = HashSet::new();
        for start in variants.keys() {
            let mut path: Vec<&str> = Vec::new();
            let mut position: HashMap<&str, usize> = HashMap::new();
            let mut next = Some(start.as_str());
            while let Some(name) = next.filter(|n| !settled.contains(n)) {
                if let Some(first) = position.insert(name, path.len()) {
                    let cycle = &path[first..];
                    let top =
                        *cycle.iter().min_by_key(|n| variants.get_index_of(**n)).unwrap_or(&name);
                    let turn = cycle.iter().position(|n| *n == top).unwrap_or(0);
                    let mut round: Vec<&str> = [&cycle[turn..], &cycle[..turn], &[top]].concat();
                    if round.len() > 9 {
                        round.splice(4..round.len() - 4, ["…"]);
                    }
                    let pointer = below(&below("/variants", top), "from");
                    let what = format!(
                        "{} leads back to `{top}`: {}",
                        dotted(&pointer),
                        round.join(" → ")
                    );
                    self.report("spec/cycle", &pointer, what).hint = Some(match cycle {
                        [_] => "name another variant, or leave `from` out".into(),
                        _ => {
                            "leave `from` out in one of them: it then starts from the model".into()
                        }
                    });
                    break;
                }
                path.push(name);
                next = variants.get(name).and_then(|v| v.from.as_deref());
            }
            settled.extend(path);
        }
    }

    fn data_windows(&mut self) {
        for (name, data) in &self.spec.data {
            let (Some(window), Some(stride)) = (data.window, data.stride) else { continue };
            if stride > window {
                let pointer = below(&below("/data", name), "stride");
                let what = format!(
                    "{} is {stride}, more than `window`, which is {window}: tokens would be skipped",
                    dotted(&pointer)
                );
                self.report("spec/out-of-range", &pointer, what);
            }
        }
    }

    fn comparison(&mut self) {
        let confidence = self.spec.compare.confidence;
        if confidence.0 <= 0.5 || confidence.0 >= 1.0 {
            let pointer = "/compare/confidence";
            let what = format!(
                "{} must be above 50% and below 100%, found `{confidence}`",
                dotted(pointer)
            );
            self.report("spec/out-of-range", pointer, what).hint = Some("`95%` is usual".into());
        }
    }
}

/// The id of a performance metric as specs write it.
pub(crate) fn id(name: MetricName) -> &'static str {
    match name {
        MetricName::Load => "load",
        MetricName::FirstCall => "first_call",
        MetricName::Ttft => "ttft",
        MetricName::Itl => "itl",
        MetricName::PrefillTps => "prefill_tps",
        MetricName::DecodeTps => "decode_tps",
        MetricName::E2e => "e2e",
        MetricName::Latency => "latency",
        MetricName::Throughput => "throughput",
        MetricName::Tpot => "tpot",
        MetricName::OutputTps => "output_tps",
        MetricName::Decode => "decode",
        MetricName::Preprocess => "preprocess",
        MetricName::PeakMemory => "peak_memory",
        MetricName::SteadyMemory => "steady_memory",
        MetricName::Energy => "energy",
        MetricName::EnergyPerToken => "energy_per_token",
        MetricName::ModelSize => "model_size",
    }
}
