//! Stateless networks, written once.
//!
//! A family describes its computation as a list of [`Node`]s over named weights. From this one
//! description follow the tensors a checkpoint must hold, the ONNX graph ([`onnx`]) and the
//! computation on candle (`backend/candle_network.rs`), so that the two backends cannot drift
//! apart. Networks that keep something between calls, such as decoders with a KV cache, are no
//! networks in this sense: see `model/family/llama.rs`.
//!
//! Deliberately absent: training, and operators that no family uses.

mod narrow;
pub mod onnx;

use indexmap::IndexMap;

use super::Signature;
use super::signature::{Dim, Port};

/// A tensor of a checkpoint by its name, with the shape that it must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weight {
    pub name: String,
    /// Outermost dimension first.
    pub shape: Vec<usize>,
}

impl Weight {
    pub fn new(name: impl Into<String>, shape: &[usize]) -> Self {
        Self { name: name.into(), shape: shape.to_vec() }
    }
}

/// A matrix (outputs, inputs) with an optional bias (outputs).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linear {
    pub weight: Weight,
    pub bias: Option<Weight>,
}

impl Linear {
    /// `{name}.weight` and `{name}.bias`.
    pub fn new(name: &str, inputs: usize, outputs: usize) -> Self {
        let bias = Weight::new(format!("{name}.bias"), &[outputs]);
        Self { bias: Some(bias), ..Self::without_bias(name, inputs, outputs) }
    }

    /// `{name}.weight`.
    pub fn without_bias(name: &str, inputs: usize, outputs: usize) -> Self {
        Self { weight: Weight::new(format!("{name}.weight"), &[outputs, inputs]), bias: None }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// x Φ(x), with the error function.
    Gelu,
    /// x σ(1.702 x).
    QuickGelu,
    Relu,
    Silu,
    Tanh,
}

impl Activation {
    /// As `hidden_act` of a configuration names it.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "gelu" => Self::Gelu,
            "quick_gelu" => Self::QuickGelu,
            "relu" => Self::Relu,
            "silu" | "swish" => Self::Silu,
            "tanh" => Self::Tanh,
            _ => return None,
        })
    }

    /// Names that [`Activation::parse`] knows.
    pub const NAMES: &[&str] = &["gelu", "quick_gelu", "relu", "silu", "tanh"];
}

/// A convolution over pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Convolution {
    /// (outputs, inputs, side, side).
    pub weight: Weight,
    pub bias: Option<Weight>,
    pub stride: usize,
    /// Zeros on each side.
    pub padding: usize,
}

/// What a node computes. Shapes in the comments: b items, s positions, c features.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// Input number `.0` of the network.
    Input(usize),
    /// Row `row` of a table, as (c).
    Row {
        table: Weight,
        row: usize,
    },
    /// Ids (b, s) → rows (b, s, c).
    Embedding {
        table: Weight,
    },
    /// (b, s, …) → rows `first..first + s` of a table, as (s, c).
    Positions {
        table: Weight,
        first: usize,
    },
    /// (…, inputs) → (…, outputs).
    Linear(Linear),
    /// Normalizes the last dimension.
    LayerNorm {
        weight: Weight,
        bias: Weight,
        epsilon: f64,
    },
    Activation(Activation),
    /// The sum of two, the second broadcast.
    Add,
    /// Self-attention with its projections, (b, s, c) → (b, s, c). A second input (b, s) is 1
    /// where a position may be looked at.
    Attention {
        heads: usize,
        query: Linear,
        key: Linear,
        value: Linear,
        causal: bool,
    },
    /// (b, c, h, w) → (b, c', h', w').
    Convolution(Convolution),
    /// Normalizes channels with stored statistics.
    BatchNorm {
        weight: Weight,
        bias: Weight,
        mean: Weight,
        variance: Weight,
        epsilon: f64,
    },
    /// Largest of each window.
    MaxPool {
        side: usize,
        stride: usize,
        padding: usize,
    },
    /// (b, c, h, w) → (b, c).
    GlobalAverage,
    /// (b, c, h, w) → (b, h·w, c).
    Patches,
    /// Puts a vector before the first position: (b, s, c) → (b, s + 1, c).
    Prepend {
        token: Weight,
    },
    /// (b, s, c) → (b, c).
    FirstPosition,
    /// (b, s, c) and ids (b, s) → (b, c) where the id first is `id`; where it is largest if `None`.
    PositionOf {
        id: Option<u32>,
    },
    /// (b, s, c) and mask (b, s) → (b, c), the mean over positions where the mask is 1.
    MeanPositions,
    /// Divides each row by its length.
    Normalize,
}

/// The result of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Value(usize);

impl Value {
    /// Number of the node that makes it.
    pub fn node(self) -> usize {
        self.0
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Such as `layers.0.attention`; parts of a profile carry it.
    pub name: String,
    pub op: Op,
    pub inputs: Vec<Value>,
}

/// A computation from named inputs to one named output.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Network {
    /// Nodes come after those they depend on.
    pub nodes: Vec<Node>,
    pub inputs: Vec<Port>,
    pub output: Option<(Port, Value)>,
}

/// Sizes that the caller chooses.
pub fn free(name: &str) -> Dim {
    Dim::Named(name.to_owned())
}

impl Network {
    /// Declares an input of this type and shape.
    pub fn input(&mut self, name: &str, dtype: &str, shape: &[Dim]) -> Value {
        let port = Port { name: name.into(), dtype: dtype.into(), shape: shape.to_vec() };
        self.inputs.push(port);
        self.node(name, Op::Input(self.inputs.len() - 1), &[])
    }

    /// Token ids or a mask: i64 (batch, sequence).
    pub fn tokens(&mut self, name: &str) -> Value {
        self.input(name, "i64", &[free("batch"), free("sequence")])
    }

    /// Pictures: f32 (batch, channels, height, width).
    pub fn pixels(&mut self, channels: usize, height: usize, width: usize) -> Value {
        let sides = [channels, height, width].map(|side| Dim::Fixed(side as u64));
        self.input("pixel_values", "f32", &[vec![free("batch")], sides.to_vec()].concat())
    }

    pub fn node(&mut self, name: impl Into<String>, op: Op, inputs: &[Value]) -> Value {
        self.nodes.push(Node { name: name.into(), op, inputs: inputs.to_vec() });
        Value(self.nodes.len() - 1)
    }

    pub fn linear(&mut self, name: &str, linear: Linear, x: Value) -> Value {
        self.node(name, Op::Linear(linear), &[x])
    }

    /// A norm with the weights `{weights}.weight` and `{weights}.bias`.
    pub fn layer_norm(
        &mut self,
        name: &str,
        weights: &str,
        size: usize,
        epsilon: f64,
        x: Value,
    ) -> Value {
        let weight = |part: &str| Weight::new(format!("{weights}.{part}"), &[size]);
        let op = Op::LayerNorm { weight: weight("weight"), bias: weight("bias"), epsilon };
        self.node(name, op, &[x])
    }

    pub fn activate(&mut self, name: &str, activation: Activation, x: Value) -> Value {
        self.node(name, Op::Activation(activation), &[x])
    }

    pub fn add(&mut self, name: &str, a: Value, b: Value) -> Value {
        self.node(name, Op::Add, &[a, b])
    }

    /// Names the one output, f32 (batch, size).
    pub fn output(&mut self, name: &str, size: usize, value: Value) {
        let shape = vec![free("batch"), Dim::Fixed(size as u64)];
        self.output = Some((Port { name: name.into(), dtype: "f32".into(), shape }, value));
    }

    pub fn signature(&self) -> Signature {
        let outputs = self.output.iter().map(|(port, _)| port.clone()).collect();
        Signature { inputs: self.inputs.clone(), outputs }
    }

    /// Rows of the table that input `name` looks up.
    pub fn rows_looked_up(&self, name: &str) -> Option<usize> {
        self.nodes.iter().find_map(|node| match &node.op {
            Op::Embedding { table } if self.nodes[node.inputs[0].0].name == name => {
                Some(table.shape[0])
            }
            _ => None,
        })
    }

    /// Every weight once, in the order of first use.
    pub fn weights(&self) -> IndexMap<String, Vec<usize>> {
        let mut out = IndexMap::new();
        for weight in self.nodes.iter().flat_map(|node| node.op.weights()) {
            out.entry(weight.name.clone()).or_insert_with(|| weight.shape.clone());
        }
        out
    }
}

impl Op {
    pub fn weights(&self) -> Vec<&Weight> {
        fn linear(linear: &Linear) -> Vec<&Weight> {
            std::iter::once(&linear.weight).chain(&linear.bias).collect()
        }
        match self {
            Self::Row { table, .. } | Self::Embedding { table } | Self::Positions { table, .. } => {
                vec![table]
            }
            Self::Linear(all) => linear(all),
            Self::LayerNorm { weight, bias, .. } => vec![weight, bias],
            Self::Attention { query, key, value, .. } => {
                [query, key, value].into_iter().flat_map(linear).collect()
            }
            Self::Convolution(convolution) => {
                std::iter::once(&convolution.weight).chain(&convolution.bias).collect()
            }
            Self::BatchNorm { weight, bias, mean, variance, .. } => {
                vec![weight, bias, mean, variance]
            }
            Self::Prepend { token } => vec![token],
            Self::Input(_)
            | Self::Activation(_)
            | Self::Add
            | Self::MaxPool { .. }
            | Self::GlobalAverage
            | Self::Patches
            | Self::FirstPosition
            | Self::PositionOf { .. }
            | Self::MeanPositions
            | Self::Normalize => Vec::new(),
        }
    }
}
