//! Quality as steps.

use std::collections::HashSet;

use indexmap::IndexMap;

use super::StepIndex;
use super::expand::Builder;
use super::graph::Graphs;
use crate::model::Kind;
use crate::model::family::{IMAGE, TEXT};
use crate::spec::Task;
use crate::stage::{Judge, JudgeOn, Stage};
use crate::task::{
    Against, JUDGED_ITEMS, MetricRequest, best_classes, depth, needs_all_parts, requests,
};

/// Metrics that one step judges: of one data set, and either of single parts or of all.
type Together<'a> = (Option<&'a str>, bool);

/// Seeds synthetic inputs where no design has a seed.
const DEFAULT_SEED: u64 = 42;

impl Builder<'_> {
    /// What is calibrated on cannot be judged on: finds data sets that do both and share items.
    pub(super) fn overlaps(&mut self) {
        let spec = &self.loaded.spec;
        let mut judged: IndexMap<&str, &str> = IndexMap::new();
        for metric in spec.quality.iter().flat_map(|quality| &quality.metrics) {
            if let Some(data) = metric.0.params["data"].as_str() {
                judged.entry(data).or_insert(&metric.0.id);
            }
        }
        for (name, variant) in &spec.variants {
            for (index, stage) in variant.stages.iter().enumerate() {
                let Some(data) = stage.0.params.get("data").and_then(|data| data.as_str()) else {
                    continue;
                };
                for (&other, metric) in &judged {
                    let shared = self.shared_items(data, other);
                    if shared == 0 {
                        continue;
                    }
                    let pointer = format!("/variants/{name}/stages/{index}/{}/data", stage.0.id);
                    let items = if shared == 1 { "item" } else { "items" };
                    let what = format!(
                        "{shared} {items} of `{data}` are also in `{other}`, which `{metric}` is judged on: what is calibrated on cannot be judged on"
                    );
                    self.problem("plan/overlap", &pointer, what).hint =
                        Some("calibrate with other items".into());
                }
            }
        }
    }

    /// Number of different items that two data sets have in common.
    fn shared_items(&self, data: &str, other: &str) -> usize {
        let both = self.items.get(data).zip(self.items.get(other));
        both.map_or(0, |(own, other)| own.intersection(other).count())
    }

    /// One judge step for every variant, data set and, where a part is judged by itself, part;
    /// metrics of one data set share it.
    pub(super) fn judges(&mut self, reference: &str, source: StepIndex, graphs: &Graphs) {
        let spec = &self.loaded.spec;
        let mut by_data: IndexMap<Together<'_>, Vec<(usize, MetricRequest)>> = IndexMap::new();
        let metrics = spec.quality.iter().flat_map(|quality| &quality.metrics);
        for (index, metric) in metrics.enumerate() {
            let data = metric.0.params.get("data").and_then(serde_json::Value::as_str);
            for request in requests(metric, spec.model.task.map_or("", Task::id)) {
                let matching = spec.model.task == Some(Task::ZeroShotImageClassification)
                    && needs_all_parts(&request.metric);
                by_data.entry((data, matching)).or_default().push((index, request));
            }
        }
        for ((data, matching), metrics) in by_data {
            let asked: Vec<MetricRequest> = metrics.iter().map(|(_, m)| m.clone()).collect();
            let shown = data.unwrap_or("synthetic");
            let seed = spec.bench.as_ref().map_or(DEFAULT_SEED, |b| b.design.seed);
            let synthetic = JUDGED_ITEMS;
            if matching {
                let Some(on) = data.and_then(|data| self.matching(data, &metrics, graphs)) else {
                    continue;
                };
                self.judge_all(reference, None, shown, &on, &asked, None);
                continue;
            }
            if graphs.is_empty() {
                // The rules of the language have told of a metric without data.
                let Some(name) = data else { continue };
                let Some(tokens) = self.tokens(name, source) else { continue };
                let (window, stride) = (spec.data[name].window, spec.data[name].stride);
                let on = JudgeOn::Windows { window, stride };
                self.judge_all(reference, None, shown, &on, &asked, Some(tokens));
                continue;
            }
            for (part, graph) in graphs {
                let Some(inputs) = self.judged_inputs(data, graph) else { continue };
                if !self.paired(data, &metrics) {
                    continue;
                }
                self.comparable(data, &metrics);
                self.labelled(data, &metrics);
                let classes = graph.labels.clone();
                let on = JudgeOn::Items { inputs, synthetic, seed, classes };
                let part = Some(part.as_str()).filter(|part| !part.is_empty());
                self.judge_all(reference, part, shown, &on, &asked, None);
            }
        }
    }

    /// Pictures and texts of a data set; `None` with a problem when they cannot be used.
    fn matching(
        &mut self,
        data: &str,
        metrics: &[(usize, MetricRequest)],
        graphs: &Graphs,
    ) -> Option<JudgeOn> {
        let (Some(image), Some(text)) = (graphs.get(IMAGE), graphs.get(TEXT)) else {
            let what = "the model has no parts `image` and `text` to compare with each other";
            self.problem("plan/wrong-task", "/model/source", what.to_owned());
            return None;
        };
        let images = self.inputs_of(data, image)?;
        let Some((_, looked)) = self.pictures.get(data) else {
            let what = format!("`{data}` holds tensors, and pictures are needed");
            self.problem("plan/bad-data", &format!("/data/{data}/source"), what);
            return None;
        };
        let (captions, classes) = (looked.has_captions, looked.has_labels);
        let prompt = self.loaded.spec.data[data].prompt.clone();
        let mut sound = true;
        // One metric of a spec may be several of the record.
        let mut asked = metrics.to_vec();
        asked.dedup_by_key(|(index, _)| *index);
        for (index, request) in &asked {
            let why = match (best_classes(&request.metric).is_some(), &prompt) {
                (true, None) => "needs `prompt`, which says what a class is called in words",
                (true, Some(_)) if !classes => "needs the class of every picture",
                (false, Some(_)) => "compares captions, and `prompt` puts classes in their place",
                (false, None) if !captions => "needs a caption of every picture",
                _ => continue,
            };
            let metric = request.metric.split('@').next().unwrap_or_default();
            let what = format!("`{metric}` on `data.{data}` {why}");
            self.problem("plan/bad-data", &format!("/quality/metrics/{index}"), what).hint =
                Some("name another data set".into());
            sound = false;
        }
        let (texts, longest) = (text.synthetic(&[]).inputs, text.longest());
        sound.then_some(JudgeOn::Matching { images, texts, longest, prompt })
    }

    /// The step that judges every variant.
    fn judge_all(
        &mut self,
        reference: &str,
        part: Option<&str>,
        data: &str,
        on: &JudgeOn,
        metrics: &[MetricRequest],
        tokens: Option<StepIndex>,
    ) {
        for name in self.loaded.spec.variants.keys() {
            let own = self.built[name].clone();
            let other = self.built[reference].clone();
            let parts: Vec<Option<&str>> = match on {
                JudgeOn::Matching { .. } => vec![Some(IMAGE), Some(TEXT)],
                _ => vec![part],
            };
            let mut needs: Vec<StepIndex> = parts
                .into_iter()
                .flat_map(|part| [own.artifact(part), other.artifact(part)])
                .collect();
            needs.extend(tokens);
            if own.needs_runtime() || other.needs_runtime() {
                needs.push(self.runtime());
            }
            needs.extend(own.device);
            needs.extend(other.device.filter(|_| other.device != own.device));
            let judge = Judge {
                variant: name.clone(),
                reference: reference.to_owned(),
                backend: own.runner,
                reference_backend: other.runner,
                part: part.map(str::to_owned),
                data: data.to_owned(),
                on: on.clone(),
                metrics: metrics.to_vec(),
            };
            let of_part = part.map(|part| format!("-{part}")).unwrap_or_default();
            let id = self.free_id(&format!("{name}/judge-{data}{of_part}"));
            self.push(id, Stage::Judge(judge), needs, Kind::Checkpoint);
        }
    }

    /// Metrics of retrieval among texts need the text that belongs to each.
    fn paired(&mut self, data: Option<&str>, metrics: &[(usize, MetricRequest)]) -> bool {
        let mut asked = metrics.iter().filter_map(|(at, m)| Some((at, depth(&m.metric)?.1)));
        let (Some((index, most)), Some(name)) = (asked.next(), data) else { return true };
        let most = asked.map(|(_, first)| first).max().map_or(most, |other| other.max(most));
        let pointer = format!("/quality/metrics/{index}");
        if self.loaded.spec.data[name].pair.is_none() {
            let what = format!(
                "`recall` on `data.{name}` needs `pair`, the field of the text that belongs to each"
            );
            if let Some(problem) = self.told_once("plan/bad-data", &pointer, what) {
                problem.hint = Some(format!("add `pair: FIELD` to `data.{name}`"));
            }
            return false;
        }
        let found = self.items.get(name).map_or(0, HashSet::len);
        if found <= most {
            let what = format!(
                "`recall@{most}` needs more than {most} different texts, and `data.{name}` has {found}"
            );
            self.told_once("plan/bad-data", &pointer, what);
        }
        found > most
    }

    /// Metrics of classes need the class of every picture.
    fn labelled(&mut self, data: Option<&str>, metrics: &[(usize, MetricRequest)]) {
        let Some(name) = data else { return };
        if self.pictures.get(name).is_none_or(|(_, looked)| looked.has_labels) {
            return;
        }
        for (index, request) in metrics {
            if best_classes(&request.metric).is_none() {
                continue;
            }
            let metric = &request.metric;
            let what = format!("`{metric}` on `data.{name}` needs the class of every picture");
            let pointer = format!("/quality/metrics/{index}");
            if let Some(problem) = self.told_once("plan/bad-data", &pointer, what) {
                problem.hint = Some(
                    "name the column of classes as `label`, or the file of an idx file's labels as `labels`"
                        .into(),
                );
            }
        }
    }

    /// Metrics that compare with recorded outputs need some.
    fn comparable(&mut self, data: Option<&str>, metrics: &[(usize, MetricRequest)]) {
        let Some(data) = data.filter(|data| self.expected.get(*data) == Some(&false)) else {
            return;
        };
        for (index, request) in metrics.iter().filter(|(_, m)| m.against == Against::Expected) {
            let pointer = format!("/quality/metrics/{index}/{}/against", request.metric);
            let what = format!("data set `{data}` has no outputs recorded with all of its inputs");
            self.problem("plan/nothing-expected", &pointer, what);
        }
    }
}
