//! From a spec to steps.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use super::benches::tokens_of;
use super::graph::{Graph, Graphs};
use super::task::{mismatch, settle};
use super::{Plan, Step, StepIndex, VariantPlan};
use crate::base::{Digest, Problem, Problems};
use crate::machine::Gpu;
use crate::model::family::Description;
use crate::model::onnx::TEXT_GENERATION;
use crate::model::{self, Checkpoint, Kind, ModelFacts, RandomModel};
use crate::spec::{Loaded, Spec, Task};
use crate::stage::{LoadModel, LoadRuntime, Setting, Source, SourceError, Stage, find_file, hub};
use crate::task::{Looked, PictureFile, TensorInputs};

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
        texts: IndexMap::new(),
        pictures: IndexMap::new(),
        recorded: IndexMap::new(),
        facts: None,
        networks: None,
        context: None,
        window: None,
        expected: IndexMap::new(),
        problems: Vec::new(),
        notes: Vec::new(),
    };
    let source = builder.model();
    let graphs = if task.runs_tensors() { builder.graphs() } else { Graphs::new() };
    // Without what a graph tells nothing about its variants can be planned.
    if task.runs_tensors() && graphs.is_empty() {
        return Err(Problems(builder.problems));
    }
    for name in spec.variants.keys() {
        builder.variant(name, source, &graphs);
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
        builder.judges(reference, source, &graphs);
        builder.overlaps();
    }
    let mut settings = Vec::new();
    if let Some(bench) = &spec.bench {
        let runs: Vec<(Setting, Option<TensorInputs>)> = if graphs.is_empty() {
            builder.possible(bench);
            tokens_of(bench, around).into_iter().map(|setting| (setting, None)).collect()
        } else {
            let runs = builder.runs(&graphs).into_iter();
            runs.map(|(setting, inputs)| (setting, Some(inputs))).collect()
        };
        let loads = super::benches::loads(bench);
        let under = |(setting, _): &(Setting, Option<TensorInputs>)| {
            let of = |load| Setting { load, ..setting.clone() };
            loads.iter().map(|(load, _)| of(*load)).collect::<Vec<_>>()
        };
        settings = runs.iter().flat_map(under).collect();
        builder.benches(bench, &runs, source, random);
    }
    let references = builder.references();
    if !builder.problems.is_empty() {
        return Err(Problems(builder.problems));
    }
    // In the order of the spec, whatever order `from` has made.
    let variants =
        spec.variants.keys().map(|name| (name.clone(), builder.built[name].clone())).collect();
    Ok(Plan {
        steps: builder.steps,
        variants,
        baseline,
        reference,
        settings,
        unmeasured,
        references,
        notes: builder.notes,
    })
}

/// The variant that `compare.baseline` names, or the first.
pub(super) fn baseline(spec: &Spec) -> String {
    let first = spec.variants.keys().next().cloned().unwrap_or_default();
    spec.compare.baseline.clone().unwrap_or(first)
}

pub(super) struct Builder<'a> {
    pub loaded: &'a Loaded,
    pub around: &'a Surroundings,
    pub steps: Vec<Step>,
    pub built: IndexMap<String, VariantPlan>,
    /// The artifact kind each step leaves; meaningless for steps that leave no model.
    pub kinds: Vec<Kind>,
    /// Digest of every item of the data sets that are used.
    pub items: IndexMap<String, HashSet<Digest>>,
    /// Data sets of texts that were read, and of pictures that were looked at.
    pub texts: IndexMap<String, (PathBuf, Digest)>,
    pub pictures: IndexMap<String, (PictureFile, Looked)>,
    /// Recorded tensors that were read, for each graph that takes other ones.
    pub recorded: IndexMap<String, Vec<TensorInputs>>,
    /// Of a model that can be read now, with its place.
    facts: Option<(PathBuf, ModelFacts)>,
    /// Networks of a checkpoint that can be read now, or of random weights.
    pub networks: Option<Description>,
    /// Longest sequence of the model in tokens, where it can be read now.
    pub context: Option<u64>,
    /// Its sliding window, where that bounds the context.
    pub window: Option<u64>,
    /// Whether recorded inputs of a data set have outputs with them.
    pub expected: IndexMap<String, bool>,
    pub problems: Vec<Problem>,
    /// What readers of results have to know.
    pub notes: Vec<String>,
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
                    self.window = facts.as_ref().and_then(|facts| facts.sliding_window);
                    self.problems.extend(facts.as_ref().and_then(|f| mismatch(self.loaded, f)));
                    self.networks = facts.as_ref().and_then(|facts| networks_of(&found, facts));
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
                        self.context = model.config().context();
                        self.window = model.config().sliding_window();
                        self.networks = model.config().networks().cloned();
                    }
                    Err(error) => {
                        self.problem("plan/bad-source", "/model/source", error.to_string());
                    }
                }
                Source::Random(uri)
            }
            Ok(Source::Hub { repository, revision }) => {
                // What was fetched before can be looked at.
                let cached = hub::cached(&repository, revision.as_deref().unwrap_or("main"));
                if let Some(folder) = cached {
                    let facts = model::facts(&folder).ok();
                    self.networks = facts.as_ref().and_then(|facts| networks_of(&folder, facts));
                    self.context = facts.as_ref().and_then(|facts| facts.context_length);
                    self.window = facts.as_ref().and_then(|facts| facts.sliding_window);
                }
                Source::Hub { repository, revision }
            }
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

    /// The graphs whose inputs are made, by part; none with a problem when that cannot be done.
    fn graphs(&mut self) -> Graphs {
        if let Some(networks) = &self.networks {
            if !self.loaded.spec.model.source.starts_with("random://") {
                self.notes.extend(networks.assumed.iter().cloned());
            }
            return Graph::of_networks(networks);
        }
        let task = self.loaded.spec.model.task;
        let written = self.loaded.spec.model.source.starts_with("hf://");
        if task == Some(Task::Embedding) && self.facts.is_none() && written {
            // All encoders take the same; the rest is known once one is fetched.
            return Graph::of_encoder();
        }
        let task = task.map_or("", Task::id);
        let Some((path, _)) = &self.facts else {
            if self.problems.is_empty() {
                let what = match self.source_error() {
                    Some(why) => format!("task `{task}` needs to look at its model: {why}"),
                    None => format!(
                        "task `{task}` needs to look at its model, and this one has not been fetched yet"
                    ),
                };
                let problem = self.problem("plan/bad-model", "/model/source", what);
                if written {
                    problem.hint = Some("`engine run` fetches it first".to_owned());
                }
            }
            return Graphs::new();
        };
        match Graph::read(path) {
            Ok(graph) => Graphs::from([(String::new(), graph)]),
            Err(why) => {
                self.problem("plan/bad-model", "/model/source", why);
                Graphs::new()
            }
        }
    }

    /// Why the model file cannot be read.
    fn source_error(&self) -> Option<String> {
        let path = self.loaded.spec.model.source.strip_prefix("file://")?;
        let found = find_file(path, &self.around.roots).ok()?;
        model::facts(&found).err().map(|error| error.to_string())
    }
}

/// The networks of the checkpoint at `path`; of a decoder none.
fn networks_of(path: &Path, facts: &ModelFacts) -> Option<Description> {
    if facts.kind != Kind::Checkpoint || facts.task == TEXT_GENERATION {
        return None;
    }
    Checkpoint::open(path).ok()?.config.networks().cloned()
}
