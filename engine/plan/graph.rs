//! What planning knows of the graphs of a model before anything runs.

use std::path::Path;

use indexmap::IndexMap;

use crate::data::ElementType;
use crate::model::family::Description;
use crate::model::network::Network;
use crate::model::onnx::CONTEXT_KEY;
use crate::model::signature::{Dim, Port};
use crate::model::{Configuration, OnnxModel, Signature};
use crate::spec::Matrix;
use crate::task::{Fill, FreeDimensions, InputPort, Origin, OutputPort, Size, TensorInputs};

/// Longest text in tokens for a graph that does not say how many it takes.
const LONGEST_TEXT: usize = 512;

/// The graphs of a model by part; a model of one part has one without a name.
pub(super) type Graphs = IndexMap<String, Graph>;

/// What planning needs to know of a graph.
#[derive(Debug, Clone)]
pub(super) struct Graph {
    pub signature: Signature,
    /// Longest text in tokens.
    pub context: Option<usize>,
    /// Names of classes in the order of the output.
    pub labels: Vec<String>,
    pub free: FreeDimensions,
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
    pub fn takes_texts(&self) -> bool {
        self.signature.inputs.iter().any(|port| port.name == "input_ids")
    }

    /// The dimension that counts the tokens of a text.
    pub fn length(&self) -> Option<&Dim> {
        self.signature.inputs.iter().find(|port| port.name == "input_ids")?.shape.get(1)
    }

    /// Sizes of the matrix that are about this graph.
    pub fn dims_of<'m>(&self, matrix: &'m Matrix) -> IndexMap<&'m str, &'m [u32]> {
        let own = |name: &str| self.free.others.iter().any(|free| free.name == name);
        let sizes = matrix.dims.iter().filter(|(name, _)| own(name));
        sizes.map(|(name, sizes)| (name.as_str(), sizes.as_slice())).collect()
    }

    /// Inputs with free dimensions as `size` says.
    pub fn ports(&self, size: &dyn Fn(&str) -> Size) -> Vec<InputPort> {
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

    pub fn outputs(&self) -> Vec<OutputPort> {
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
    pub fn missing(&self, matrix: &Matrix) -> Vec<(String, String)> {
        let open = self.free.others.iter().filter(|free| !matrix.dims.contains_key(&free.name));
        open.map(|free| (free.name.clone(), free.input.clone())).collect()
    }

    /// Most tokens of a text.
    pub fn longest(&self) -> usize {
        self.context.unwrap_or(LONGEST_TEXT)
    }

    /// The number of tokens that `dims` gives every text; `None` where each keeps its own.
    pub fn tokens(&self, dims: &[(String, u32)]) -> Option<usize> {
        match self.length()? {
            Dim::Fixed(size) => usize::try_from(*size).ok(),
            Dim::Named(axis) => {
                dims.iter().find(|(name, _)| name == axis).map(|(_, size)| *size as usize)
            }
        }
    }

    pub fn signature_inputs(&self) -> String {
        let inputs = self.signature.inputs.iter().map(ToString::to_string);
        inputs.collect::<Vec<_>>().join(", ")
    }
}

/// The longest text that a graph which came out of this engine takes.
fn metadata_context(model: &OnnxModel) -> Option<usize> {
    model.metadata(CONTEXT_KEY)?.parse().ok().filter(|&context| context > 0)
}
