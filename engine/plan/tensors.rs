//! Settings and inputs of a graph, from its signature, the matrix and recorded files.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use super::StepIndex;
use super::benches::threads;
use super::expand::Builder;
use crate::base::suggest::closest;
use crate::base::text::inert;
use crate::base::{Digest, Problem};
use crate::data::{Document, ElementType, Texts};
use crate::model::family::Description;
use crate::model::network::Network;
use crate::model::onnx::CONTEXT_KEY;
use crate::model::signature::{Dim, Port};
use crate::model::{Configuration, Kind, OnnxModel, Signature};
use crate::spec::{Bench as BenchSpec, Matrix, Task};
use crate::stage::{LoadItems, Setting, Stage, Work, find_file};
use crate::task::{
    Fill, FreeDimensions, InputPort, Item, Looked, Origin, OutputPort, PictureFile, Pictures,
    Recorded, RecordedFile, Size, TensorInputs, TextFile, usual_size,
};

/// Longest text in tokens for a graph that does not say how many it takes.
const LONGEST_TEXT: usize = 512;

/// The graphs of a model by part; a model of one part has one without a name.
pub(super) type Graphs = IndexMap<String, Graph>;

/// What planning needs to know of a graph.
#[derive(Debug, Clone)]
pub(super) struct Graph {
    pub signature: Signature,
    /// Longest text in tokens.
    context: Option<usize>,
    /// Names of classes in the order of the output.
    pub labels: Vec<String>,
    free: FreeDimensions,
    /// Element type and rule of numbers of every input.
    fills: Vec<(ElementType, Fill)>,
}

impl Graph {
    /// The graph at `path`, or why its inputs cannot be made.
    pub fn read(path: &Path) -> Result<Self, String> {
        let model = OnnxModel::read(path).map_err(|error| error.to_string())?;
        let signature = model.facts().signature;
        let mut fills = Vec::new();
        for port in &signature.inputs {
            let dtype = ElementType::parse(&port.dtype).ok_or_else(|| {
                format!(
                    "input `{}` is {}, and only dense tensors of numbers or texts can be given",
                    port.name, port.dtype
                )
            })?;
            let fill = match model.gives_sizes(&port.name) && !dtype.is_float() {
                true => Fill::Ones,
                false => Fill::of(&port.name, dtype, model.rows_looked_up(&port.name)),
            };
            fills.push((dtype, fill));
        }
        let free = FreeDimensions::of(&signature);
        let context = metadata_context(&model);
        // A checkpoint's configuration travels with its graph.
        let beside = Configuration::of_folder(model.folder()).ok();
        let labels = beside.and_then(|known| Some(known.networks()?.labels.clone()));
        Ok(Self { free, signature, context, labels: labels.unwrap_or_default(), fills })
    }

    /// The networks of a checkpoint.
    pub fn of_networks(networks: &Description) -> Graphs {
        let one = |network: &Network| {
            let signature = network.signature();
            let fill = |port: &Port| {
                let dtype = ElementType::parse(&port.dtype).expect("networks take plain tensors");
                let looked_up = network.rows_looked_up(&port.name).map(|rows| rows as u64);
                (dtype, Fill::of(&port.name, dtype, looked_up))
            };
            let fills = signature.inputs.iter().map(fill).collect();
            let (context, labels) = (networks.context, networks.labels.clone());
            Self { free: FreeDimensions::of(&signature), signature, context, labels, fills }
        };
        let parts = networks.parts.iter();
        parts.map(|(part, network)| ((*part).to_owned(), one(network))).collect()
    }

    /// What is known of an encoder before it is fetched.
    pub fn of_encoder() -> Graphs {
        let free = |name: &str| Dim::Named(name.to_owned());
        let input = |name: &str| Port {
            name: name.to_owned(),
            dtype: "i64".to_owned(),
            shape: vec![free("batch"), free("sequence")],
        };
        let inputs = vec![input("input_ids"), input("attention_mask")];
        let signature = Signature { inputs, outputs: Vec::new() };
        let fills = vec![(ElementType::I64, Fill::Below(2)), (ElementType::I64, Fill::Ones)];
        let free = FreeDimensions::of(&signature);
        let graph = Self { signature, context: None, labels: Vec::new(), free, fills };
        Graphs::from([(String::new(), graph)])
    }

    /// Whether it takes token ids.
    fn takes_texts(&self) -> bool {
        self.signature.inputs.iter().any(|port| port.name == "input_ids")
    }

    /// The dimension that counts the tokens of a text.
    fn length(&self) -> Option<&Dim> {
        self.signature.inputs.iter().find(|port| port.name == "input_ids")?.shape.get(1)
    }

    /// Sizes of the matrix that are about this graph.
    fn dims_of<'m>(&self, matrix: &'m Matrix) -> IndexMap<&'m str, &'m [u32]> {
        let own = |name: &str| self.free.others.iter().any(|free| free.name == name);
        let sizes = matrix.dims.iter().filter(|(name, _)| own(name));
        sizes.map(|(name, sizes)| (name.as_str(), sizes.as_slice())).collect()
    }

    /// Inputs with free dimensions as `size` says.
    fn ports(&self, size: &dyn Fn(&str) -> Size) -> Vec<InputPort> {
        let of = |dim: &Dim| match dim {
            Dim::Fixed(size) => Size::Fixed(usize::try_from(*size).unwrap_or(usize::MAX)),
            named if self.free.is_batch(named) => Size::Batch,
            Dim::Named(name) => size(name),
        };
        let inputs = self.signature.inputs.iter().zip(&self.fills);
        let port = inputs.map(|(port, (dtype, fill))| InputPort {
            name: port.name.clone(),
            dtype: *dtype,
            shape: port.shape.iter().map(of).collect(),
            fill: *fill,
        });
        port.collect()
    }

    fn outputs(&self) -> Vec<OutputPort> {
        let output = |port: &Port| OutputPort {
            name: port.name.clone(),
            // Outputs often have names of their own for the batch; what is recorded tells.
            batched: matches!(port.shape.first(), Some(Dim::Named(_)) | None),
        };
        self.signature.outputs.iter().map(output).collect()
    }

    /// Synthetic inputs with these sizes of free dimensions.
    pub fn synthetic(&self, dims: &[(String, u32)]) -> TensorInputs {
        let size = |name: &str| {
            let known = dims.iter().find(|(known, _)| known == name);
            known.map_or(Size::Any, |(_, size)| Size::Fixed(*size as usize))
        };
        TensorInputs {
            inputs: self.ports(&size),
            outputs: self.outputs(),
            origin: Origin::Synthetic,
        }
    }

    /// Free dimensions for which `dims` has no size, each with an input that has it.
    fn missing(&self, matrix: &Matrix) -> Vec<(String, String)> {
        let open = self.free.others.iter().filter(|free| !matrix.dims.contains_key(&free.name));
        open.map(|free| (free.name.clone(), free.input.clone())).collect()
    }
}

/// `{height: [224], width: [224]}` for these dimensions.
fn dims_line(names: &[&str], inputs: &[Port]) -> String {
    let plain = |name: &str| {
        let mut chars = name.chars();
        chars.next().is_some_and(|c| c.is_ascii_alphabetic())
            && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
            && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
                .contains(&name.to_ascii_lowercase().as_str())
    };
    let one = |name: &&str| {
        let key =
            if plain(name) { (*name).to_owned() } else { serde_json::json!(name).to_string() };
        format!("{key}: [{}]", usual_size(name, inputs))
    };
    format!("{{{}}}", names.iter().map(one).collect::<Vec<_>>().join(", "))
}

impl Builder<'_> {
    /// Settings of the matrix with the inputs of each, and problems for what cannot be made.
    pub(super) fn runs(&mut self, graphs: &Graphs) -> Vec<(Setting, TensorInputs)> {
        let Some(bench) = &self.loaded.spec.bench else { return Vec::new() };
        let mut out: Vec<(Setting, TensorInputs)> = Vec::new();
        let unknown = bench.matrix.part.iter().position(|part| !graphs.contains_key(part));
        if let Some(at) = unknown {
            let known: Vec<&str> = graphs.keys().map(String::as_str).collect();
            let what = format!(
                "the model has no part `{}`, only {}",
                bench.matrix.part[at],
                known.join(", ")
            );
            self.problem("plan/unknown-part", &format!("/bench/matrix/part/{at}"), what);
            return out;
        }
        self.known_parts(graphs, bench);
        self.known_dimensions(graphs, &bench.matrix);
        for (part, graph) in graphs {
            if bench.matrix.part.is_empty() || bench.matrix.part.contains(part) {
                let part = Some(part.as_str()).filter(|part| !part.is_empty());
                self.runs_of(part, graph, bench, &mut out);
            }
        }
        out
    }

    fn runs_of(
        &mut self,
        part: Option<&str>,
        graph: &Graph,
        bench: &BenchSpec,
        out: &mut Vec<(Setting, TensorInputs)>,
    ) {
        self.batches(graph, &bench.matrix);
        // Random weights come without a tokenizer.
        let random = self.loaded.spec.model.source.starts_with("random://");
        let data = bench.data.as_ref().filter(|_| !(random && graph.takes_texts()));
        let given = match data {
            Some(name) => match self.inputs_of(name, graph, None) {
                Some(inputs) => Some(inputs),
                None => return,
            },
            None => None,
        };
        let recorded = given.as_ref().is_some_and(|i| !matches!(i.origin, Origin::Texts(_)));
        if !self.dimensions(graph, &bench.matrix, recorded) {
            return;
        }
        let mut combinations: Vec<Vec<(String, u32)>> = vec![Vec::new()];
        for (name, sizes) in graph.dims_of(&bench.matrix) {
            if graph.length() == Some(&Dim::Named(name.to_owned()))
                && let Some(context) = graph.context
                && let Some(size) = sizes.iter().find(|size| **size as usize > context)
            {
                let what =
                    format!("{size} tokens do not fit the model's longest text of {context}");
                self.problem("plan/too-long", &dim_pointer(name), what);
                return;
            }
            combinations = combinations
                .iter()
                .flat_map(|begin| {
                    sizes
                        .iter()
                        .map(|size| [begin.clone(), vec![(name.to_owned(), *size)]].concat())
                })
                .collect();
        }
        for &batch in bench.matrix.batch.sizes() {
            for dims in &combinations {
                for &asked in &bench.matrix.threads {
                    let (dims, threads) = (dims.clone(), threads(asked, self.around));
                    let inputs = match &given {
                        None => graph.synthetic(&dims),
                        Some(inputs) => cut_to(inputs, graph, &dims),
                    };
                    let setting = Setting {
                        part: part.map(str::to_owned),
                        batch,
                        work: Work::Run { dims },
                        threads,
                    };
                    if out.iter().all(|(known, _)| *known != setting) {
                        out.push((setting, inputs));
                    }
                }
            }
        }
    }

    /// What a quality metric is judged on: recorded inputs, or synthetic ones with the first size
    /// of each dimension of the matrix.
    pub(super) fn judged_inputs(
        &mut self,
        data: Option<&str>,
        graph: &Graph,
    ) -> Option<TensorInputs> {
        if let Some(name) = data {
            return self.inputs_of(name, graph, None);
        }
        let matrix =
            self.loaded.spec.bench.as_ref().map_or_else(Matrix::default, |b| b.matrix.clone());
        // With a matrix the benchmark tells of it.
        let told = self.loaded.spec.bench.as_ref().is_some_and(|bench| bench.data.is_none());
        let missing = graph.missing(&matrix);
        if let [(name, input), ..] = missing.as_slice() {
            if !told {
                let what = format!(
                    "input `{input}` leaves `{name}` open, and without a size there are no synthetic inputs to judge on"
                );
                self.problem("plan/missing-dimension", "/quality/metrics", what).hint =
                    Some("name a data set of recorded inputs".into());
            }
            return None;
        }
        let sizes = graph.dims_of(&matrix).into_iter();
        let dims: Vec<(String, u32)> =
            sizes.map(|(name, sizes)| (name.to_owned(), sizes[0])).collect();
        Some(graph.synthetic(&dims))
    }

    /// Inputs from a data set, of whatever kind it is; `None` with a problem when they cannot be
    /// used. Texts have `length` tokens, or their own number.
    pub(super) fn inputs_of(
        &mut self,
        name: &str,
        graph: &Graph,
        length: Option<usize>,
    ) -> Option<TensorInputs> {
        let task = self.loaded.spec.model.task?;
        let source = &self.loaded.spec.data[name].source;
        let suffix = source.rsplit_once('.').map_or("", |(_, suffix)| suffix);
        if task == Task::Tensor || matches!(suffix, "npz" | "npy" | "pb") {
            return self.recorded(name, graph);
        }
        let pointer = format!("/data/{name}/source");
        let path = match find_file(source, &self.around.roots) {
            Ok(path) => std::path::absolute(&path).unwrap_or(path),
            Err(error) => {
                self.missing(&pointer, &error);
                return None;
            }
        };
        let origin = if graph.takes_texts() {
            let data = &self.loaded.spec.data[name];
            match Texts::read(&path, &data.field, data.take, data.seed) {
                Ok(texts) => {
                    let digest = |text: &Document| Digest::of_bytes(text.text.as_bytes());
                    let items = texts.documents.iter().map(digest).collect();
                    self.known_items(name, items);
                    Origin::Texts(self.text_file(name, graph, (path, texts.digest), length))
                }
                Err(error) => {
                    self.told_once("plan/bad-data", &pointer, error.to_string());
                    return None;
                }
            }
        } else {
            let mut file = self.picture_file(name, path);
            match Pictures::look(&mut file) {
                Ok(looked) => {
                    self.looked_at(name, &looked);
                    self.known_items(name, looked.items);
                    Origin::Pictures(file)
                }
                Err(error) => {
                    self.told_once("plan/bad-data", &pointer, crate::base::chain(&error));
                    return None;
                }
            }
        };
        let (inputs, outputs) = (graph.ports(&|_| Size::Any), graph.outputs());
        Some(TensorInputs { inputs, outputs, origin })
    }

    /// Remembers the items of a data set, of whichever kind they are.
    fn known_items(&mut self, name: &str, items: Vec<Digest>) {
        let known = self.items.entry(name.to_owned()).or_default();
        for item in items {
            if !known.contains(&item) {
                known.push(item);
            }
        }
    }

    /// The texts of a data set whose file and digest are known.
    pub(super) fn text_file(
        &self,
        name: &str,
        graph: &Graph,
        (path, digest): (PathBuf, Digest),
        length: Option<usize>,
    ) -> TextFile {
        let data = &self.loaded.spec.data[name];
        let (field, take, seed) = (data.field.clone(), data.take, data.seed);
        let most = graph.context.unwrap_or(LONGEST_TEXT);
        TextFile { path, digest, field, take, seed, length, most }
    }

    fn picture_file(&self, name: &str, path: PathBuf) -> PictureFile {
        let data = &self.loaded.spec.data[name];
        PictureFile {
            path,
            digest: Digest::of_bytes(&[]),
            image: data.image.clone().unwrap_or_else(|| "image".to_owned()),
            label: data.label.clone(),
            // The usual name of a caption is another than that of a text.
            field: (data.field != "text").then(|| data.field.clone()),
            take: data.take,
            seed: data.seed,
        }
    }

    /// Says which pictures are left out and which classes have none.
    fn looked_at(&mut self, name: &str, looked: &Looked) {
        let mut notes = Vec::new();
        if let [first, ..] = looked.excluded.as_slice() {
            let named = looked
                .excluded
                .iter()
                .take(5)
                .map(|e| format!("`{}` {}", inert(&e.name), inert(&e.why)));
            let (count, named) = (looked.excluded.len(), named.collect::<Vec<_>>().join("; "));
            let more = if count > 5 { "; …" } else { "" };
            let s = if count == 1 { "" } else { "s" };
            debug_assert!(!first.name.is_empty());
            notes.push(format!("data set `{name}`: {count} picture{s} left out: {named}{more}"));
        }
        if !looked.empty_labels.is_empty() {
            let labels: Vec<String> =
                looked.empty_labels.iter().take(5).map(|l| inert(l)).collect();
            notes.push(format!("data set `{name}`: no picture of {}", labels.join(", ")));
        }
        for note in notes {
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
    }

    /// Recorded inputs of a data set; `None` with a problem when they cannot be used.
    fn recorded(&mut self, name: &str, graph: &Graph) -> Option<TensorInputs> {
        let data = &self.loaded.spec.data[name];
        let pointer = format!("/data/{name}/source");
        let path = match find_file(&data.source, &self.around.roots) {
            Ok(path) => path,
            Err(error) => {
                self.missing(&pointer, &error);
                return None;
            }
        };
        let (inputs, outputs) = (graph.ports(&|_| Size::Any), graph.outputs());
        let recorded = match Recorded::read(&path, &inputs, &outputs) {
            Ok(recorded) => recorded,
            Err(error) => {
                let what = crate::base::chain(&error);
                self.told_once("plan/bad-data", &pointer, what);
                return None;
            }
        };
        self.expected.insert(name.to_owned(), recorded.has_expected());
        let (digest, take, seed) = (recorded.digest, data.take, data.seed);
        let path = std::path::absolute(&path).unwrap_or(path);
        let file = RecordedFile { path, digest, take, seed };
        let items = recorded.items(&file).iter().map(Item::digest).collect();
        self.items.insert(name.to_owned(), items);
        Some(TensorInputs { inputs, outputs, origin: Origin::Recorded(file) })
    }

    /// The step that leaves items to calibrate on; `None` with a problem when there can be none.
    pub(super) fn items_step(
        &mut self,
        name: &str,
        graph: &Graph,
        source: StepIndex,
    ) -> Option<StepIndex> {
        let inputs = self.inputs_of(name, graph, None)?;
        let load = LoadItems { data: name.to_owned(), inputs };
        let needs = if load.inputs.origin.asks_the_model() { vec![source] } else { Vec::new() };
        let equal = |step: &super::Step| step.stage == Stage::LoadItems(load.clone());
        if let Some(step) = self.steps.iter().position(equal) {
            return Some(step);
        }
        let id = self.free_id(&format!("data/{name}"));
        Some(self.push(id, Stage::LoadItems(load), needs, Kind::Checkpoint))
    }

    fn told_once(
        &mut self,
        code: &'static str,
        pointer: &str,
        what: String,
    ) -> Option<&mut Problem> {
        let known = |problem: &Problem| problem.code == code && problem.what == what;
        if self.problems.iter().any(known) {
            return None;
        }
        Some(self.problem(code, pointer, what))
    }

    /// Without a free batch dimension every request is one item.
    fn batches(&mut self, graph: &Graph, matrix: &Matrix) {
        if !graph.free.batch.is_empty() {
            return;
        }
        let inputs: Vec<String> =
            graph.signature.inputs.iter().map(|port| format!("`{port}`")).collect();
        if matrix.batch.search().is_some() {
            let what = "the graph has no free batch dimension, so there is no batch to search for";
            let problem = self.told_once("plan/fixed-batch", "/bench/matrix/batch", what.into());
            if let Some(problem) = problem {
                problem.hint = Some("write `[1]`".into());
            }
        }
        let sizes = matrix.batch.sizes().iter().enumerate();
        for (index, batch) in sizes.filter(|(_, batch)| **batch != 1) {
            let what = format!(
                "the graph has no free batch dimension, so a batch of {batch} cannot be given: {}",
                inputs.join(", ")
            );
            let pointer = format!("/bench/matrix/batch/{index}");
            self.problem("plan/fixed-batch", &pointer, what).hint = Some("write `[1]`".into());
        }
    }

    /// Gates and profiles name parts that the model has.
    fn known_parts(&mut self, graphs: &Graphs, bench: &BenchSpec) {
        let gates = self.loaded.spec.gates.iter().enumerate();
        let gates = gates.map(|(at, gate)| (format!("/gates/{at}/on/part"), gate.on.part.clone()));
        let cells = bench.profile.iter().flat_map(|profile| &profile.cells).enumerate();
        let cells =
            cells.map(|(at, cell)| (format!("/bench/profile/cells/{at}/part"), cell.part.clone()));
        for (pointer, part) in gates.chain(cells) {
            if let Some(part) = part.filter(|part| !graphs.contains_key(part)) {
                let known: Vec<&str> = graphs.keys().map(String::as_str).collect();
                let what = format!("the model has no part `{part}`, only {}", known.join(", "));
                self.problem("plan/unknown-part", &pointer, what);
            }
        }
    }

    /// Every size of the matrix is of a free dimension of some part.
    fn known_dimensions(&mut self, graphs: &Graphs, matrix: &Matrix) {
        let free = || graphs.values().flat_map(|graph| &graph.free.others);
        let mut known: Vec<&str> = free().map(|free| free.name.as_str()).collect();
        known.dedup();
        for name in matrix.dims.keys() {
            let (what, hint) = if graphs.values().any(|graph| graph.free.batch.contains(name)) {
                (
                    format!("`{name}` is the graph's batch dimension"),
                    Some("write it as `batch`".to_owned()),
                )
            } else if !known.contains(&name.as_str()) {
                let hint = closest(name, known.iter().copied());
                (
                    format!("the graph has no free dimension `{name}`"),
                    hint.map(|name| format!("did you mean `{name}`?")),
                )
            } else {
                continue;
            };
            let problem = self.problem("plan/unknown-dimension", &dim_pointer(name), what);
            problem.hint = hint;
            problem.notes.push(match known.as_slice() {
                [] => "every dimension but the batch is fixed".to_owned(),
                names => format!("free dimensions: {}", names.join(", ")),
            });
        }
    }

    /// Every free dimension has a size from one place.
    fn dimensions(&mut self, graph: &Graph, matrix: &Matrix, recorded: bool) -> bool {
        let before = self.problems.len();
        let given = graph.dims_of(matrix);
        if let Some(name) = given.keys().next().filter(|_| recorded) {
            let what = format!("recorded inputs have their own size of `{name}`");
            let problem = self.problem("plan/unknown-dimension", &dim_pointer(name), what);
            problem.hint = Some("leave it out, or `bench.data`".to_owned());
            let names: Vec<&str> =
                graph.free.others.iter().map(|free| free.name.as_str()).collect();
            problem.notes.push(format!("free dimensions: {}", names.join(", ")));
        }
        let missing = graph.missing(matrix);
        if let [(name, input), ..] = missing.as_slice()
            && !recorded
        {
            let what = match missing.len() {
                1 => format!("input `{input}` leaves `{name}` open, and nothing gives it a size"),
                n => format!(
                    "input `{input}` leaves `{name}` open, and nothing gives it a size; so do {} more",
                    n - 1
                ),
            };
            let names: Vec<&str> = missing.iter().map(|(name, _)| name.as_str()).collect();
            let line = format!("write `dims: {}`", dims_line(&names, &graph.signature.inputs));
            let problem = self.problem("plan/missing-dimension", "/bench/matrix", what);
            problem.hint = Some(line);
            problem.notes.push(format!("inputs: {}", graph.signature_inputs()));
        }
        self.problems.len() == before
    }
}

fn dim_pointer(name: &str) -> String {
    format!("/bench/matrix/dims/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// The same texts with the number of tokens that `dims` says; other inputs have no sizes to choose.
fn cut_to(inputs: &TensorInputs, graph: &Graph, dims: &[(String, u32)]) -> TensorInputs {
    let mut out = inputs.clone();
    if let Origin::Texts(file) = &mut out.origin {
        file.length = match graph.length() {
            Some(Dim::Fixed(size)) => usize::try_from(*size).ok(),
            Some(Dim::Named(axis)) => {
                dims.iter().find(|(name, _)| name == axis).map(|(_, n)| *n as usize)
            }
            None => None,
        };
    }
    out
}

/// The longest text that a graph which came out of this engine takes.
fn metadata_context(model: &OnnxModel) -> Option<usize> {
    model.metadata(CONTEXT_KEY)?.parse().ok().filter(|&context| context > 0)
}

impl Graph {
    fn signature_inputs(&self) -> String {
        let inputs = self.signature.inputs.iter().map(ToString::to_string);
        inputs.collect::<Vec<_>>().join(", ")
    }
}
