//! What a task means for a spec: the defaults it gives, and what of a spec does not fit it.
//!
//! The task is known when the spec names it, or when somebody has looked at the model; until then
//! whatever fits one of the tasks is let pass.

use super::check::{Rules, id};
use super::gates;
use super::locate::{below, dotted};
use super::quality;
use super::types::{Bench, MetricName, Spec, Task};
use crate::base::Problem;

impl Task {
    pub const ALL: [Self; 5] = [
        Self::TextGeneration,
        Self::Tensor,
        Self::Embedding,
        Self::ImageClassification,
        Self::ZeroShotImageClassification,
    ];

    /// As specs and records write it.
    pub fn id(self) -> &'static str {
        match self {
            Self::TextGeneration => "text_generation",
            Self::Tensor => "tensor",
            Self::Embedding => "embedding",
            Self::ImageClassification => "image_classification",
            Self::ZeroShotImageClassification => "zero_shot_image_classification",
        }
    }

    /// Whether a request is one run from tensors to tensors.
    pub fn runs_tensors(self) -> bool {
        self != Self::TextGeneration
    }

    /// Whether its inputs can be pictures.
    pub fn sees_pictures(self) -> bool {
        matches!(self, Self::ImageClassification | Self::ZeroShotImageClassification)
    }

    /// Tasks that own a key of the language which not all have.
    fn owners(key: &str) -> Vec<Self> {
        let owns = |task: &Self| match key {
            "prompt_tokens" | "new_tokens" | "tokens" | "window" | "stride" | "positions" => {
                !task.runs_tensors()
            }
            "against" | "samples" => *task == Self::Tensor,
            "pair" => *task == Self::Embedding,
            "image" | "label" | "labels" => task.sees_pictures(),
            "part" | "prompt" => *task == Self::ZeroShotImageClassification,
            _ => task.runs_tensors(),
        };
        Self::ALL.into_iter().filter(owns).collect()
    }

    /// The task with this id.
    pub fn parse(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|task| task.id() == id)
    }

    /// Performance metrics that say something about it: what is measured when the spec leaves it
    /// out.
    pub fn measure(self) -> &'static [MetricName] {
        use MetricName::{
            Decode, DecodeTps, E2e, FirstCall, Itl, Latency, Load, ModelSize, PeakMemory,
            PrefillTps, Preprocess, Throughput, Ttft,
        };
        match self {
            Self::TextGeneration => {
                &[Load, FirstCall, Ttft, Itl, PrefillTps, DecodeTps, E2e, PeakMemory, ModelSize]
            }
            Self::Tensor | Self::Embedding => {
                &[Load, FirstCall, Latency, Throughput, PeakMemory, ModelSize]
            }
            Self::ImageClassification | Self::ZeroShotImageClassification => {
                &[Load, FirstCall, Latency, Throughput, Decode, Preprocess, PeakMemory, ModelSize]
            }
        }
    }

    /// Performance metrics that can be asked for: those of [`Task::measure`], and what not every
    /// machine can tell.
    pub fn measurable(self) -> Vec<MetricName> {
        use MetricName::{Energy, EnergyPerToken, OutputTps, SteadyMemory, Tpot};
        let more: &[MetricName] = match self {
            Self::TextGeneration => &[Tpot, OutputTps, SteadyMemory, Energy, EnergyPerToken],
            _ => &[SteadyMemory, Energy],
        };
        [self.measure(), more].concat()
    }

    /// Quality metrics it can be judged by.
    pub fn quality(self) -> &'static [&'static str] {
        match self {
            Self::TextGeneration => &["perplexity", "kl", "top1_agreement"],
            Self::Tensor => &["top1_agreement", "cosine", "snr", "max_abs_error", "mean_abs_error"],
            Self::Embedding => &["cosine", "max_abs_error", "mean_abs_error", "recall"],
            Self::ImageClassification => &[
                "top1_agreement",
                "cosine",
                "snr",
                "max_abs_error",
                "mean_abs_error",
                "top1",
                "top5",
                "accuracy",
            ],
            Self::ZeroShotImageClassification => {
                &["cosine", "max_abs_error", "mean_abs_error", "top1", "top5", "accuracy", "recall"]
            }
        }
    }

    /// The metric whose speed-up decides when the spec leaves it out.
    pub fn deciding(self) -> MetricName {
        match self {
            Self::TextGeneration => MetricName::DecodeTps,
            _ => MetricName::Latency,
        }
    }
}

impl Bench {
    /// What is measured; of an unknown task everything that may be.
    pub fn measured(&self, task: Option<Task>) -> Vec<MetricName> {
        match (&self.measure, task) {
            (Some(measure), _) => measure.clone(),
            (None, Some(task)) => self.usual(task),
            (None, None) => Task::ALL.iter().flat_map(|task| task.measurable()).collect(),
        }
    }

    /// What is measured of `task` when the spec leaves it out.
    fn usual(&self, task: Task) -> Vec<MetricName> {
        if self.loads() { task.measurable() } else { task.measure().to_vec() }
    }

    /// What decides of `task` when the spec leaves it out. Without a single stream that is the time
    /// of an answer, which every scenario has.
    fn usually_deciding(&self, task: Task) -> MetricName {
        match task {
            Task::TextGeneration if !self.streams() => MetricName::E2e,
            task => task.deciding(),
        }
    }

    /// The metric whose speed-up decides.
    pub fn deciding(&self, task: Option<Task>) -> MetricName {
        let measured = |metric| self.measure.as_ref().is_some_and(|list| list.contains(&metric));
        let guess =
            if measured(Task::Tensor.deciding()) { Task::Tensor } else { Task::TextGeneration };
        self.design.stop.metric.unwrap_or_else(|| self.usually_deciding(task.unwrap_or(guess)))
    }
}

/// Writes the defaults of `task` into `spec`.
pub(crate) fn fill(spec: &mut Spec, task: Task) {
    spec.model.task = Some(task);
    let Some(bench) = &mut spec.bench else { return };
    let (measure, deciding) = (bench.usual(task), bench.usually_deciding(task));
    bench.measure.get_or_insert(measure);
    bench.design.stop.metric.get_or_insert(deciding);
    if task == Task::TextGeneration {
        bench.matrix.prompt_tokens.get_or_insert_with(|| vec![128]);
        bench.matrix.new_tokens.get_or_insert_with(|| vec![32]);
    }
}

/// Everything in a spec that does not fit `task`.
pub(crate) fn check(rules: &mut Rules<'_>, task: Task) {
    let spec = rules.spec;
    if let Some(bench) = &spec.bench {
        let m = &bench.matrix;
        let axes = [
            !m.part.is_empty(),
            m.prompt_tokens.is_some(),
            m.new_tokens.is_some(),
            !m.dims.is_empty(),
        ];
        rules.axes(task, "/bench/matrix", axes);
        if m.batch.search().is_some() {
            rules.searches_batches(task);
        }
        rules.objectives_of(task, bench);
        for (i, metric) in bench.measure.iter().flatten().enumerate() {
            rules.performance(task, &below("/bench/measure", i), *metric);
        }
        let cells = bench.profile.iter().flat_map(|profile| &profile.cells);
        for (i, cell) in cells.enumerate() {
            let given = [
                cell.part.is_some(),
                cell.prompt_tokens.is_some(),
                cell.new_tokens.is_some(),
                !cell.dims.is_empty(),
            ];
            rules.axes(task, &below("/bench/profile/cells", i), given);
        }
        if let Some(metric) = bench.design.stop.metric {
            rules.performance(task, "/bench/design/stop/metric", metric);
        }
    }
    for (name, data) in &spec.data {
        let here = below("/data", name);
        for (key, given) in [
            ("tokens", data.tokens.is_some()),
            ("window", data.window.is_some()),
            ("stride", data.stride.is_some()),
            ("image", data.image.is_some()),
            ("label", data.label.is_some()),
            ("labels", data.labels.is_some()),
            ("pair", data.pair.is_some()),
            ("samples", data.samples.is_some()),
            ("prompt", data.prompt.is_some()),
        ] {
            rules.key_of(key, task, &below(&here, key), given);
        }
    }
    for (i, metric) in spec.quality.iter().flat_map(|quality| &quality.metrics).enumerate() {
        let name = &metric.0.id;
        let here = below(&below("/quality/metrics", i), name);
        if !task.quality().contains(&name.as_str()) {
            let place = rules.locator.place_of_key(&here);
            rules.foreign(task, &here, name, task.quality()).at = place;
            continue;
        }
        let given = |key: &str| metric.0.params.get(key);
        for key in ["positions", "against"] {
            rules.key_of(key, task, &below(&here, key), given(key).is_some());
        }
        let expected = given("against").and_then(serde_json::Value::as_str) == Some("expected");
        if given("data").is_none() && (task == Task::TextGeneration || expected) {
            let what = format!("{} has no `data`", dotted(&here));
            let place = rules.locator.place_of_key(&here);
            let problem = rules.report("spec/missing-key", &here, what);
            problem.at = place;
            problem.hint = Some("add `data`".into());
        }
    }
    for (i, gate) in spec.gates.iter().enumerate() {
        let here = below("/gates", i);
        let (name, performance) = gates::metric(gate.metric);
        let known: Vec<&str> = match performance {
            true => task.measurable().into_iter().map(id).collect(),
            false => task.quality().iter().flat_map(|id| quality::gated_by(id)).collect(),
        };
        if !known.contains(&name) {
            rules.foreign(task, &below(&here, "metric"), name, &known);
        }
        let on = &gate.on;
        let axes = [
            on.part.is_some(),
            on.prompt_tokens.is_some(),
            on.new_tokens.is_some(),
            !on.dims.is_empty(),
        ];
        rules.axes(task, &below(&here, "on"), axes);
    }
}

impl Rules<'_> {
    /// Which of `part`, `prompt_tokens`, `new_tokens` and `dims` the map at `here` gives.
    fn axes(&mut self, task: Task, here: &str, given: [bool; 4]) {
        let axes = ["part", "prompt_tokens", "new_tokens", "dims"];
        for (axis, given) in axes.into_iter().zip(given) {
            self.key_of(axis, task, &below(here, axis), given);
        }
    }

    /// The key at `pointer`, if it is given, is one of the task's.
    fn key_of(&mut self, key: &str, task: Task, pointer: &str, given: bool) {
        let owners = Task::owners(key);
        if owners.contains(&task) || !given {
            return;
        }
        // Of several the first is named: it is the plainest.
        let what = format!(
            "{} is about task `{}`, and this model's task is `{}`",
            dotted(pointer),
            owners.first().map_or("none", |owner| owner.id()),
            task.id()
        );
        let place = self.locator.place_of_key(pointer);
        let problem = self.report("spec/wrong-task", pointer, what);
        problem.at = place;
        problem.hint = Some("leave it out".into());
    }

    /// The metric at `pointer` must be one of the task's.
    fn performance(&mut self, task: Task, pointer: &str, metric: MetricName) {
        if !task.measurable().contains(&metric) {
            let known: Vec<&str> = task.measurable().into_iter().map(id).collect();
            self.foreign(task, pointer, id(metric), &known);
        }
    }

    fn foreign(&mut self, task: Task, pointer: &str, name: &str, known: &[&str]) -> &mut Problem {
        let what = format!("`{name}` is no metric of task `{}`, which this model has", task.id());
        let problem = self.report("spec/wrong-task", pointer, what);
        problem.notes.push(super::words::allowed_note(known));
        problem
    }
}
