//! Settings and inputs of a graph, from its signature, the matrix and recorded files.

use std::path::Path;

use super::StepIndex;
use super::expand::{Builder, threads};
use crate::base::Problem;
use crate::base::suggest::closest;
use crate::data::ElementType;
use crate::model::signature::{Dim, Port};
use crate::model::{Kind, OnnxModel, Signature};
use crate::spec::Matrix;
use crate::stage::{LoadItems, Setting, Stage, Work, find_file};
use crate::task::{
    Fill, FreeDimensions, InputPort, Item, OutputPort, Recorded, RecordedFile, Size, TensorInputs,
    usual_size,
};

/// What planning needs to know of a graph.
#[derive(Debug, Clone)]
pub(super) struct Graph {
    pub signature: Signature,
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
        Ok(Self { free: FreeDimensions::of(&signature), signature, fills })
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
    fn synthetic(&self, dims: &[(String, u32)]) -> TensorInputs {
        let size = |name: &str| {
            let known = dims.iter().find(|(known, _)| known == name);
            known.map_or(Size::Any, |(_, size)| Size::Fixed(*size as usize))
        };
        TensorInputs { inputs: self.ports(&size), outputs: self.outputs(), recorded: None }
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
    pub(super) fn runs(&mut self, graph: &Graph) -> Vec<(Setting, TensorInputs)> {
        let Some(bench) = &self.loaded.spec.bench else { return Vec::new() };
        self.batches(graph, &bench.matrix);
        let recorded = match &bench.data {
            Some(name) => match self.recorded(name, graph) {
                Some(inputs) => Some(inputs),
                None => return Vec::new(),
            },
            None => None,
        };
        if !self.dimensions(graph, &bench.matrix, recorded.is_some()) {
            return Vec::new();
        }
        let mut combinations: Vec<Vec<(String, u32)>> = vec![Vec::new()];
        for (name, sizes) in &bench.matrix.dims {
            combinations = combinations
                .iter()
                .flat_map(|begin| {
                    sizes.iter().map(|size| [begin.clone(), vec![(name.clone(), *size)]].concat())
                })
                .collect();
        }
        let mut out: Vec<(Setting, TensorInputs)> = Vec::new();
        for &batch in &bench.matrix.batch {
            for dims in &combinations {
                for &asked in &bench.matrix.threads {
                    let (dims, threads) = (dims.clone(), threads(asked, self.around));
                    let inputs = recorded.clone().unwrap_or_else(|| graph.synthetic(&dims));
                    let setting = Setting { batch, work: Work::Run { dims }, threads };
                    if out.iter().all(|(known, _)| *known != setting) {
                        out.push((setting, inputs));
                    }
                }
            }
        }
        out
    }

    /// What a quality metric is judged on: recorded inputs, or synthetic ones with the first size
    /// of each dimension of the matrix.
    pub(super) fn judged_inputs(
        &mut self,
        data: Option<&str>,
        graph: &Graph,
    ) -> Option<TensorInputs> {
        if let Some(name) = data {
            return self.recorded(name, graph);
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
        let dims: Vec<(String, u32)> =
            matrix.dims.iter().map(|(name, sizes)| (name.clone(), sizes[0])).collect();
        Some(graph.synthetic(&dims))
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
        Some(TensorInputs { inputs, outputs, recorded: Some(file) })
    }

    /// The step that leaves recorded items to calibrate on; `None` with a problem when there can be
    /// none.
    pub(super) fn recorded_items(&mut self, name: &str, graph: &Graph) -> Option<StepIndex> {
        let id = format!("data/{name}");
        if let Some(step) = self.step_named(&id) {
            return Some(step);
        }
        let load = LoadItems { data: name.to_owned(), inputs: self.recorded(name, graph)? };
        Some(self.push(id, Stage::LoadItems(load), Vec::new(), Kind::Checkpoint))
    }

    fn told_once(&mut self, code: &'static str, pointer: &str, what: String) {
        let known = |problem: &Problem| problem.code == code && problem.what == what;
        if !self.problems.iter().any(known) {
            self.problem(code, pointer, what);
        }
    }

    /// Without a free batch dimension every request is one item.
    fn batches(&mut self, graph: &Graph, matrix: &Matrix) {
        if !graph.free.batch.is_empty() {
            return;
        }
        let inputs: Vec<String> =
            graph.signature.inputs.iter().map(|port| format!("`{port}`")).collect();
        for (index, batch) in matrix.batch.iter().enumerate().filter(|(_, batch)| **batch != 1) {
            let what = format!(
                "the graph has no free batch dimension, so a batch of {batch} cannot be given: {}",
                inputs.join(", ")
            );
            let pointer = format!("/bench/matrix/batch/{index}");
            self.problem("plan/fixed-batch", &pointer, what).hint = Some("write `[1]`".into());
        }
    }

    /// Every free dimension has a size from one place, and every size a dimension.
    fn dimensions(&mut self, graph: &Graph, matrix: &Matrix, recorded: bool) -> bool {
        let before = self.problems.len();
        let known: Vec<&str> = graph.free.others.iter().map(|free| free.name.as_str()).collect();
        for name in matrix.dims.keys() {
            let pointer =
                format!("/bench/matrix/dims/{}", name.replace('~', "~0").replace('/', "~1"));
            let (what, hint) = if graph.free.batch.contains(name) {
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
            } else if recorded {
                (
                    format!("recorded inputs have their own size of `{name}`"),
                    Some("leave it out, or `bench.data`".to_owned()),
                )
            } else {
                continue;
            };
            let problem = self.problem("plan/unknown-dimension", &pointer, what);
            problem.hint = hint;
            problem.notes.push(match known.as_slice() {
                [] => "every dimension but the batch is fixed".to_owned(),
                names => format!("free dimensions: {}", names.join(", ")),
            });
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

impl Graph {
    fn signature_inputs(&self) -> String {
        let inputs = self.signature.inputs.iter().map(ToString::to_string);
        inputs.collect::<Vec<_>>().join(", ")
    }
}
