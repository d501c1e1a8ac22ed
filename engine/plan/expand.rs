//! From a spec to steps.

use std::collections::HashSet;
use std::path::PathBuf;

use indexmap::IndexMap;

use super::task::{mismatch, settle};
use super::tensors::Graph;
use super::{Plan, Step, StepIndex, VariantPlan};
use crate::backend::{self, Backend, Runner};
use crate::base::{Digest, Problem, Problems};
use crate::data::Document;
use crate::machine::Gpu;
use crate::model::{self, Kind, ModelFacts, RandomModel};
use crate::pass;
use crate::scenario::StreamRules;
use crate::spec::{Bench as BenchSpec, Loaded, OpProfile, Spec, Task, Threads};
use crate::stage::{
    Bench, Judge, JudgeOn, LoadModel, LoadRuntime, LoadTokens, Optimize, ProfileStage, Roofline,
    Setting, Source, SourceError, Stage, Work, find_file,
};
use crate::task::{Against, JUDGED_ITEMS, MetricRequest, TensorInputs, requests};

/// What a plan depends on besides the spec.
#[derive(Debug, Clone, PartialEq)]
pub struct Surroundings {
    /// Folders that relative paths start from, in order.
    pub roots: Vec<PathBuf>,
    pub physical_cores: u32,
    pub logical_cores: u32,
    /// GPUs in the driver's order, or why none can be seen.
    pub gpus: Result<Vec<Gpu>, String>,
    /// Plan `cuda:N` as mock device N: for tests of what no machine at hand can run.
    pub mock: bool,
}

/// The plan of a checked spec, or everything in it that cannot work: sources that do not exist,
/// stages that do not fit each other, backends that cannot open what a variant ends with.
///
/// A spec that does not know its task is settled first.
pub fn expand(loaded: &Loaded, around: &Surroundings) -> Result<Plan, Problems> {
    let spec = &loaded.spec;
    let Some(task) = spec.model.task else {
        return expand(&settle(loaded.clone(), around)?, around);
    };
    let baseline = baseline(spec);
    let mut builder = Builder {
        loaded,
        around,
        steps: Vec::new(),
        built: IndexMap::new(),
        kinds: Vec::new(),
        items: IndexMap::new(),
        facts: None,
        context: None,
        expected: IndexMap::new(),
        problems: Vec::new(),
    };
    let source = builder.model();
    let graph = if task == Task::Tensor { builder.graph() } else { None };
    for name in spec.variants.keys() {
        builder.variant(name, source, graph.as_ref());
    }
    if !builder.problems.is_empty() {
        return Err(Problems(builder.problems));
    }
    let random = spec.model.source.starts_with("random://");
    let reference = spec
        .quality
        .as_ref()
        .map(|quality| quality.reference.clone().unwrap_or_else(|| baseline.clone()));
    let unmeasured = (spec.quality.is_some() && random).then(|| "random weights".to_owned());
    if let Some(reference) = &reference
        && unmeasured.is_none()
    {
        builder.judges(reference, source, graph.as_ref());
        builder.overlaps();
    }
    let mut settings = Vec::new();
    if let Some(bench) = &spec.bench {
        let runs: Vec<(Setting, Option<TensorInputs>)> = if let Some(graph) = &graph {
            let runs = builder.runs(graph).into_iter();
            runs.map(|(setting, inputs)| (setting, Some(inputs))).collect()
        } else {
            builder.possible(bench);
            tokens_of(bench, around).into_iter().map(|setting| (setting, None)).collect()
        };
        settings = runs.iter().map(|(setting, _)| setting.clone()).collect();
        builder.benches(bench, &runs, source, random);
    }
    if !builder.problems.is_empty() {
        return Err(Problems(builder.problems));
    }
    // In the order of the spec, whatever order `from` has made.
    let variants =
        spec.variants.keys().map(|name| (name.clone(), builder.built[name].clone())).collect();
    Ok(Plan { steps: builder.steps, variants, baseline, reference, settings, unmeasured })
}

/// The variant that `compare.baseline` names, or the first.
pub(super) fn baseline(spec: &Spec) -> String {
    let first = spec.variants.keys().next().cloned().unwrap_or_default();
    spec.compare.baseline.clone().unwrap_or(first)
}

pub(super) struct Builder<'a> {
    pub loaded: &'a Loaded,
    pub around: &'a Surroundings,
    steps: Vec<Step>,
    built: IndexMap<String, VariantPlan>,
    /// The artifact kind each step leaves; meaningless for steps that leave no model.
    kinds: Vec<Kind>,
    /// Digest of every item of the data sets that are used.
    pub items: IndexMap<String, Vec<Digest>>,
    /// Of a model that can be read now, with its place.
    facts: Option<(PathBuf, ModelFacts)>,
    /// Longest sequence of the model in tokens, where it can be read now.
    context: Option<u64>,
    /// Whether recorded inputs of a data set have outputs with them.
    pub expected: IndexMap<String, bool>,
    pub problems: Vec<Problem>,
}

impl Builder<'_> {
    /// The step with this id, if there is one already.
    pub fn step_named(&self, id: &str) -> Option<StepIndex> {
        self.steps.iter().position(|step| step.id == id)
    }

    pub fn push(
        &mut self,
        id: String,
        stage: Stage,
        needs: Vec<StepIndex>,
        kind: Kind,
    ) -> StepIndex {
        self.steps.push(Step { id, stage, needs });
        self.kinds.push(kind);
        self.steps.len() - 1
    }

    pub fn problem(&mut self, code: &'static str, pointer: &str, what: String) -> &mut Problem {
        let at = self.loaded.locator.place(pointer);
        self.problems.push(Problem::new(code, at, what));
        self.problems.last_mut().expect("it was pushed just now")
    }

    fn model(&mut self) -> StepIndex {
        let asked = &self.loaded.spec.model;
        let written = asked.source.clone();
        let mut kind = Kind::Checkpoint;
        let source = match Source::parse(&asked.source, asked.revision.as_deref()) {
            Ok(Source::File(path)) => match find_file(&path, &self.around.roots) {
                Ok(found) => {
                    // A model that cannot be read fails its own step, with the reason.
                    let facts = model::facts(&found).ok();
                    kind = match &facts {
                        Some(facts) => facts.kind,
                        None if found.is_dir() => Kind::Checkpoint,
                        None if found.extension().is_some_and(|e| e == "onnx") => Kind::Onnx,
                        None => Kind::Gguf,
                    };
                    self.context = facts.as_ref().and_then(|facts| facts.context_length);
                    self.problems.extend(facts.as_ref().and_then(|f| mismatch(self.loaded, f)));
                    self.facts = facts.map(|facts| (found.clone(), facts));
                    Source::File(found.to_string_lossy().into_owned())
                }
                Err(error) => {
                    self.missing("/model/source", &error);
                    Source::File(path)
                }
            },
            Ok(Source::Random(uri)) => {
                match RandomModel::parse(&uri) {
                    Ok(model) => {
                        self.context = Some(model.config().max_position_embeddings as u64);
                    }
                    Err(error) => {
                        self.problem("plan/bad-source", "/model/source", error.to_string());
                    }
                }
                Source::Random(uri)
            }
            Ok(source) => source,
            Err(error) => {
                let pointer = match error {
                    SourceError::Revision => "/model/revision",
                    _ => "/model/source",
                };
                self.problem("plan/bad-source", pointer, error.to_string());
                Source::Random(asked.source.clone())
            }
        };
        self.push("model".into(), Stage::LoadModel(LoadModel { source, written }), Vec::new(), kind)
    }

    /// The step that provides the library of the runtime; made when something first needs it.
    pub fn runtime(&mut self) -> StepIndex {
        if let Some(step) = self.steps.iter().position(|step| step.id == LoadRuntime::STEP) {
            return step;
        }
        let written = self.loaded.spec.runtime.onnxruntime.library.clone();
        let library =
            written.as_ref().map(|written| match find_file(written, &self.around.roots) {
                Ok(found) => std::path::absolute(&found).unwrap_or(found),
                Err(error) => {
                    self.missing("/runtime/onnxruntime/library", &error);
                    written.into()
                }
            });
        let stage = Stage::LoadRuntime(LoadRuntime { library, written });
        self.push(LoadRuntime::STEP.into(), stage, Vec::new(), Kind::Checkpoint)
    }

    pub fn missing(&mut self, pointer: &str, error: &SourceError) {
        let told =
            |known: &Problem| known.code == "plan/missing-file" && known.at.pointer == pointer;
        if self.problems.iter().any(told) {
            return;
        }
        self.problem("plan/missing-file", pointer, error.to_string()).notes.push(
            "relative paths start at the working directory, then at the spec's folder and the folders above it"
                .into(),
        );
    }

    /// The graph whose inputs are made; `None` with a problem when that cannot be done.
    fn graph(&mut self) -> Option<Graph> {
        let Some((path, _)) = &self.facts else {
            if self.problems.is_empty() {
                let what = match self.source_error() {
                    Some(why) => format!("task `tensor` needs to look at its graph: {why}"),
                    None => "task `tensor` needs a graph that is a local file".to_owned(),
                };
                self.problem("plan/bad-model", "/model/source", what);
            }
            return None;
        };
        match Graph::read(path) {
            Ok(graph) => Some(graph),
            Err(why) => {
                self.problem("plan/bad-model", "/model/source", why);
                None
            }
        }
    }

    /// Why the model file cannot be read.
    fn source_error(&self) -> Option<String> {
        let path = self.loaded.spec.model.source.strip_prefix("file://")?;
        let found = find_file(path, &self.around.roots).ok()?;
        model::facts(&found).err().map(|error| error.to_string())
    }

    /// Finds settings that can never give a number.
    fn possible(&mut self, bench: &BenchSpec) {
        use crate::spec::MetricName::{DecodeTps, Itl};
        let metric = bench.deciding(Some(Task::TextGeneration));
        let (prompts, new) = (&bench.matrix.prompt_tokens, &bench.matrix.new_tokens);
        let (prompts, new) =
            (prompts.as_deref().unwrap_or_default(), new.as_deref().unwrap_or_default());
        let longest_new = new.iter().max().copied().unwrap_or(0);
        for (index, &new) in new.iter().enumerate() {
            if new < 2 && matches!(metric, DecodeTps | Itl) {
                let pointer = format!("/bench/matrix/new_tokens/{index}");
                let what =
                    "one new token has no decode speed, and `bench.design.stop.metric` asks for it";
                self.problem("plan/unmeasurable", &pointer, what.into());
            }
        }
        let Some(context) = self.context else { return };
        for (index, &prompt) in prompts.iter().enumerate() {
            let needed = u64::from(prompt) + u64::from(longest_new);
            if needed > context {
                let pointer = format!("/bench/matrix/prompt_tokens/{index}");
                let what = format!(
                    "{prompt} prompt tokens and {longest_new} new ones do not fit the model's context of {context}"
                );
                self.problem("plan/too-long", &pointer, what);
            }
        }
    }

    /// Builds the steps of `name` after those of the variant it starts from. `spec::check` has
    /// made sure that `from` has no cycles.
    fn variant(&mut self, name: &str, source: StepIndex, graph: Option<&Graph>) -> VariantPlan {
        if let Some(done) = self.built.get(name) {
            return done.clone();
        }
        let variant = &self.loaded.spec.variants[name];
        let mut plan = match &variant.from {
            Some(from) => self.variant(from, source, graph),
            None => VariantPlan {
                runner: Runner::default(),
                device: None,
                artifact: source,
                recipe: Vec::new(),
            },
        };
        let mut sound = true;
        for (index, stage) in variant.stages.iter().enumerate() {
            let pointer = format!("/variants/{name}/stages/{index}");
            let data = match stage.0.params.get("data").and_then(serde_json::Value::as_str) {
                Some(data) => {
                    if let Some(step) = self.calibration(data, &pointer, source, graph) {
                        Some(step)
                    } else {
                        sound = false;
                        break;
                    }
                }
                None => None,
            };
            match self.stage(name, &stage.0.id, &stage.0.params, plan.artifact, data) {
                Ok(step) => {
                    plan.artifact = step;
                    plan.recipe.push(self.steps[step].stage.label());
                }
                Err(why) => {
                    self.problem("plan/impossible-chain", &pointer, why);
                    sound = false;
                    break;
                }
            }
        }
        let kind = self.kinds[plan.artifact];
        let backend = match variant.backend {
            Some(crate::spec::Backend::Candle) => "candle",
            Some(crate::spec::Backend::Onnxruntime) => "onnxruntime",
            None => backend::opener(kind).map_or("", Backend::id),
        };
        plan.runner = Runner { backend: backend.to_owned(), placement: self.placement(variant) };
        let opens = backend::backend(backend).is_some_and(|b| b.opens().contains(&kind));
        if sound && !opens {
            let what = format!("backend `{backend}` cannot open a {}", kind.name());
            self.problem("plan/impossible-chain", &format!("/variants/{name}"), what);
        }
        if sound && opens {
            self.place(name, &mut plan);
        }
        self.built.insert(name.to_owned(), plan.clone());
        plan
    }

    /// The step that loads the data set a stage calibrates with; `None` with a problem when there
    /// can be none.
    fn calibration(
        &mut self,
        data: &str,
        pointer: &str,
        source: StepIndex,
        graph: Option<&Graph>,
    ) -> Option<StepIndex> {
        if self.loaded.spec.model.task == Some(Task::Tensor) {
            // A graph that cannot be read was told of.
            return self.recorded_items(data, graph?);
        }
        if self.loaded.spec.model.source.starts_with("random://") {
            let what = format!(
                "`{data}` holds texts, and a model with random weights has no tokenizer to read them with"
            );
            self.problem("plan/impossible-chain", pointer, what);
            return None;
        }
        self.tokens(data, source)
    }

    /// What is calibrated on cannot be judged on: finds data sets that do both and share items.
    fn overlaps(&mut self) {
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
        let set = |name: &str| self.items.get(name).into_iter().flatten().collect::<HashSet<_>>();
        set(data).intersection(&set(other)).count()
    }

    /// The step that applies a stage to what step `input` leaves, with the data set that step
    /// `data` loads; an equal one is used again.
    fn stage(
        &mut self,
        variant: &str,
        id: &str,
        params: &serde_json::Value,
        input: StepIndex,
        data: Option<StepIndex>,
    ) -> Result<StepIndex, String> {
        let pass = pass::pass(id, params).ok_or_else(|| format!("there is no pass `{id}`"))?;
        let takes = self.kinds[input];
        let gives = pass.takes(takes)?;
        let optimize = Optimize { pass: id.to_owned(), params: params.clone(), takes, gives };
        let stage = Stage::Optimize(optimize);
        let mut needs: Vec<StepIndex> = std::iter::once(input).chain(data).collect();
        if pass.runtime(params) {
            needs.push(self.runtime());
        }
        let equal = self.steps.iter().position(|s| s.needs == needs && s.stage == stage);
        if let Some(step) = equal {
            return Ok(step);
        }
        let id = self.free_id(&format!("{variant}/{id}"));
        Ok(self.push(id, stage, needs, gives))
    }

    fn free_id(&self, wanted: &str) -> String {
        let taken = |id: &str| self.steps.iter().any(|step| step.id == id);
        if !taken(wanted) {
            return wanted.to_owned();
        }
        let mut number = 2;
        while taken(&format!("{wanted}-{number}")) {
            number += 1;
        }
        format!("{wanted}-{number}")
    }

    /// The step that tokenizes a data set; `None` with a problem when its file cannot be read.
    fn tokens(&mut self, name: &str, source: StepIndex) -> Option<StepIndex> {
        let id = format!("data/{name}");
        if let Some(step) = self.steps.iter().position(|step| step.id == id) {
            return Some(step);
        }
        let data = &self.loaded.spec.data[name];
        let pointer = format!("/data/{name}/source");
        let path = match find_file(&data.source, &self.around.roots) {
            Ok(path) => path,
            Err(error) => {
                self.missing(&pointer, &error);
                return None;
            }
        };
        let texts = crate::data::Texts::read(&path, &data.field, data.take, data.seed);
        let digest: Digest = match texts {
            Ok(texts) => {
                let digest = |item: &Document| Digest::of_bytes(item.text.as_bytes());
                let items = texts.documents.iter().map(digest).collect();
                self.items.insert(name.to_owned(), items);
                texts.digest
            }
            Err(error) => {
                self.problem("plan/bad-data", &pointer, error.to_string());
                return None;
            }
        };
        let load = LoadTokens {
            data: name.to_owned(),
            path,
            digest,
            field: data.field.clone(),
            take: data.take,
            seed: data.seed,
            tokens: data.tokens,
        };
        Some(self.push(id, Stage::LoadTokens(load), vec![source], Kind::Checkpoint))
    }

    /// One judge step for every variant and data set; metrics of one data set share it.
    fn judges(&mut self, reference: &str, source: StepIndex, graph: Option<&Graph>) {
        let spec = &self.loaded.spec;
        let mut by_data: IndexMap<Option<&str>, Vec<(usize, MetricRequest)>> = IndexMap::new();
        let metrics = spec.quality.iter().flat_map(|quality| &quality.metrics);
        for (index, metric) in metrics.enumerate() {
            let data = metric.0.params.get("data").and_then(serde_json::Value::as_str);
            let asked = requests(metric, spec.model.task.map_or("", Task::id));
            let asked = asked.into_iter().map(|request| (index, request));
            by_data.entry(data).or_default().extend(asked);
        }
        for (data, metrics) in by_data {
            let mut tokens = None;
            let on = match (graph, data) {
                (Some(graph), data) => {
                    let Some(inputs) = self.judged_inputs(data, graph) else { continue };
                    self.comparable(data, &metrics);
                    let seed = spec.bench.as_ref().map_or(DEFAULT_SEED, |b| b.design.seed);
                    JudgeOn::Items { inputs, synthetic: JUDGED_ITEMS, seed }
                }
                (None, Some(data)) => {
                    tokens = self.tokens(data, source);
                    if tokens.is_none() {
                        continue;
                    }
                    let (window, stride) = (spec.data[data].window, spec.data[data].stride);
                    JudgeOn::Windows { window, stride }
                }
                // The rules of the language have told of it.
                (None, None) => continue,
            };
            let data = data.unwrap_or("synthetic").to_owned();
            let metrics: Vec<MetricRequest> = metrics.into_iter().map(|(_, m)| m).collect();
            for name in spec.variants.keys() {
                let own = self.built[name].clone();
                let other = self.built[reference].clone();
                let mut needs = vec![own.artifact, other.artifact];
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
                    data: data.clone(),
                    on: on.clone(),
                    metrics: metrics.clone(),
                };
                let id = self.free_id(&format!("{name}/judge-{data}"));
                self.push(id, Stage::Judge(judge), needs, Kind::Checkpoint);
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

    fn benches(
        &mut self,
        bench: &BenchSpec,
        runs: &[(Setting, Option<TensorInputs>)],
        source: StepIndex,
        random: bool,
    ) {
        // Random weights come without a tokenizer: their prompts are synthetic.
        let data = bench.data.clone().filter(|_| !random);
        let is_text = self.loaded.spec.model.task != Some(Task::Tensor);
        let tokens = match data.as_ref().filter(|_| is_text) {
            Some(name) => match self.tokens(name, source) {
                Some(step) => Some(step),
                None => return,
            },
            None => None,
        };
        let requests = &bench.design.requests;
        let rules = StreamRules {
            warmup: requests.warmup,
            min: requests.min,
            max: requests.max,
            min_time: requests.min_time.0,
        };
        let mut needs: Vec<StepIndex> = self.built.values().map(|v| v.artifact).collect();
        needs.sort_unstable();
        needs.dedup();
        needs.extend(tokens);
        if self.built.values().any(VariantPlan::needs_runtime) {
            needs.push(self.runtime());
        }
        let mut devices: Vec<StepIndex> = self.built.values().filter_map(|v| v.device).collect();
        devices.sort_unstable();
        devices.dedup();
        needs.extend(devices);
        let variants: Vec<String> = self.loaded.spec.variants.keys().cloned().collect();
        for (setting, inputs) in runs {
            let id = format!("bench/{}", setting.id());
            let stage = Bench {
                setting: setting.clone(),
                variants: variants.clone(),
                data: data.clone(),
                inputs: inputs.clone(),
                rules,
            };
            self.push(id, Stage::Bench(stage), needs.clone(), Kind::Checkpoint);
        }
        if let Some(asked) = &bench.profile {
            self.profiles(asked, runs, data.as_deref(), tokens);
        }
    }

    /// Peak rates first, then one step for every cell that is asked for.
    fn profiles(
        &mut self,
        asked: &OpProfile,
        runs: &[(Setting, Option<TensorInputs>)],
        data: Option<&str>,
        tokens: Option<StepIndex>,
    ) {
        let first = runs.first().map(|(setting, _)| setting);
        let variants = self.loaded.spec.variants.keys();
        let cells: Vec<(String, &Setting, &Option<TensorInputs>)> = variants
            .flat_map(|name| runs.iter().map(move |(s, inputs)| (name.clone(), s, inputs)))
            .filter(|(name, setting, _)| is_asked(asked, first, name, setting))
            .collect();
        if asked.roofline {
            let mut counts: Vec<u32> =
                cells.iter().map(|(_, setting, _)| setting.threads).collect();
            counts.sort_unstable();
            counts.dedup();
            for threads in counts {
                let stage = Stage::Roofline(Roofline { threads });
                let id = format!("profile/roofline-t{threads}");
                self.push(id, stage, Vec::new(), Kind::Checkpoint);
            }
        }
        for (variant, setting, inputs) in cells {
            let planned = self.built[&variant].clone();
            let mut needs: Vec<StepIndex> = [planned.artifact].into_iter().chain(tokens).collect();
            if planned.needs_runtime() {
                needs.push(self.runtime());
            }
            needs.extend(planned.device);
            let id = format!("profile/{variant}/{}", setting.id());
            let stage = ProfileStage {
                backend: planned.runner,
                variant,
                setting: setting.clone(),
                data: data.map(str::to_owned),
                inputs: inputs.clone(),
                ops: asked.ops,
                roofline: asked.roofline,
            };
            self.push(id, Stage::Profile(stage), needs, Kind::Checkpoint);
        }
    }
}

/// Whether `bench.profile` asks for a cell; without `cells` it asks for all variants under the
/// first setting.
fn is_asked(asked: &OpProfile, first: Option<&Setting>, variant: &str, setting: &Setting) -> bool {
    if asked.cells.is_empty() {
        return first == Some(setting);
    }
    let fits = |wanted: Option<u32>, found: u32| wanted.is_none_or(|wanted| wanted == found);
    asked.cells.iter().any(|cell| {
        cell.variant.as_deref().is_none_or(|wanted| wanted == variant)
            && fits(cell.batch, setting.batch)
            && match &setting.work {
                Work::Tokens { prompt_tokens, new_tokens } => {
                    fits(cell.prompt_tokens, *prompt_tokens) && fits(cell.new_tokens, *new_tokens)
                }
                Work::Run { dims } => cell.dims.iter().all(|(name, size)| {
                    dims.iter().any(|(known, found)| (known, found) == (name, size))
                }),
            }
    })
}

/// Seeds synthetic inputs where no design has a seed.
const DEFAULT_SEED: u64 = 42;

/// How many threads that is on this machine.
pub(super) fn threads(asked: Threads, around: &Surroundings) -> u32 {
    match asked {
        Threads::Physical => around.physical_cores,
        Threads::Logical => around.logical_cores,
        Threads::Count(n) => n,
    }
}

/// The matrix of text generation with machine properties resolved; equal settings appear once.
fn tokens_of(bench: &BenchSpec, around: &Surroundings) -> Vec<Setting> {
    let matrix = &bench.matrix;
    let (prompts, new) = (matrix.prompt_tokens.as_deref(), matrix.new_tokens.as_deref());
    let mut out = Vec::new();
    for &batch in &matrix.batch {
        for &prompt_tokens in prompts.unwrap_or_default() {
            for &new_tokens in new.unwrap_or_default() {
                for &asked in &matrix.threads {
                    let threads = threads(asked, around);
                    let setting = Setting::tokens(batch, prompt_tokens, new_tokens, threads);
                    if !out.contains(&setting) {
                        out.push(setting);
                    }
                }
            }
        }
    }
    out
}
