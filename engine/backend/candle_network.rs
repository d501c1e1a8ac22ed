//! Networks of families, computed on candle node by node.

use std::path::Path;

use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::ops::{layer_norm, sigmoid, softmax_last_dim};

use super::candle_weights::CheckpointWeights;
use super::operators::OpEvent;
use super::spans::Spans;
use super::{BackendError, OpenOptions, Session};
use crate::data::{self, ElementType};
use crate::model::Signature;
use crate::model::checkpoint::Checkpoint;
use crate::model::family::{PartWork, part};
use crate::model::network::{Activation, Network, Node, Op};
use crate::model::signature::Dim;

const ID: &str = "candle";

/// One part of a checkpoint with its weights.
pub struct CandleNetwork {
    network: Network,
    signature: Signature,
    /// Of each node, in the order of [`Op::weights`]; of a norm with stored statistics its scale
    /// and shift.
    weights: Vec<Vec<Tensor>>,
    dtype: DType,
    given: Vec<Tensor>,
    made: Option<Tensor>,
    /// Where it was opened to be profiled.
    spans: Option<Spans>,
}

impl CandleNetwork {
    /// Opens the part that `how` names, or the only one.
    pub fn open(artifact: &Path, how: &OpenOptions) -> std::result::Result<Self, BackendError> {
        let checkpoint = Checkpoint::open(artifact)?;
        let wrong = |why: String| BackendError::Open {
            backend: ID,
            path: artifact.display().to_string(),
            why,
        };
        let networks = checkpoint.config.networks().ok_or_else(|| {
            wrong("its model continues texts and is no function of tensors".to_owned())
        })?;
        let network = networks.part(how.part.as_deref()).cloned().ok_or_else(|| {
            let parts = networks.parts.keys().copied().collect::<Vec<_>>().join(", ");
            wrong(match &how.part {
                Some(part) => format!("it has no part `{part}` (parts: {parts})"),
                None => format!("one of its parts has to be named: {parts}"),
            })
        })?;
        let dtype = match checkpoint.dtype() {
            "f32" => DType::F32,
            "f16" => DType::F16,
            _ => DType::BF16,
        };
        let mut source = CheckpointWeights::new(&checkpoint, dtype);
        let weights = network.nodes.iter().map(|node| ready(&mut source, &node.op));
        let weights = weights.collect::<Result<_>>().map_err(|error| wrong(error.to_string()))?;
        let signature = network.signature();
        let spans = how.profile.is_some().then(Spans::new);
        Ok(Self { network, signature, weights, dtype, given: Vec::new(), made: None, spans })
    }

    fn compute(&self) -> Result<Tensor> {
        let mut values: Vec<Option<Tensor>> = vec![None; self.network.nodes.len()];
        // A value is let go after its last use, so that its memory can be used again.
        let mut last = vec![usize::MAX; values.len()];
        for (at, node) in self.network.nodes.iter().enumerate() {
            for input in &node.inputs {
                last[input.node()] = at;
            }
        }
        let (_, result) = self.network.output.as_ref().expect("a family names an output");
        last[result.node()] = usize::MAX;
        for (at, node) in self.network.nodes.iter().enumerate() {
            let inputs: Vec<Tensor> = node
                .inputs
                .iter()
                .map(|input| values[input.node()].clone().expect("inputs come first"))
                .collect();
            for input in &node.inputs {
                if last[input.node()] == at {
                    values[input.node()] = None;
                }
            }
            values[at] = Some(self.node(node, &self.weights[at], &inputs)?);
        }
        values[result.node()].clone().expect("it was made").to_dtype(DType::F32)
    }

    fn node(&self, node: &Node, weights: &[Tensor], inputs: &[Tensor]) -> Result<Tensor> {
        let layer = node.name.strip_prefix("layers.").and_then(|rest| rest.split('.').next());
        let layer = layer.and_then(|number| number.parse().ok());
        let operands: Vec<&Tensor> = inputs.iter().chain(weights).collect();
        let _part = part(kind(&node.op), layer, || work(&node.op, inputs, weights, &operands));
        match &node.op {
            Op::Input(number) => {
                let given = &self.given[*number];
                if given.dtype().is_float() {
                    given.to_dtype(self.dtype)
                } else {
                    Ok(given.clone())
                }
            }
            Op::Row { row, .. } => weights[0].get(*row),
            Op::Embedding { .. } => {
                let (batch, positions) = inputs[0].dims2()?;
                let rows = weights[0].index_select(&inputs[0].flatten_all()?, 0)?;
                rows.reshape((batch, positions, ()))
            }
            Op::Positions { first, .. } => weights[0].narrow(0, *first, inputs[0].dim(1)?),
            Op::Linear(_) => linear(&inputs[0], weights),
            Op::LayerNorm { epsilon, .. } => {
                layer_norm(&inputs[0].contiguous()?, &weights[0], &weights[1], *epsilon as f32)
            }
            Op::Activation(activation) => activate(*activation, &inputs[0]),
            Op::Add => inputs[0].broadcast_add(&inputs[1]),
            Op::Attention { heads, query, key, causal, .. } => {
                // Weights come as query, key, value, each with its bias where it has one.
                let (q, rest) = weights.split_at(1 + usize::from(query.bias.is_some()));
                let (k, v) = rest.split_at(1 + usize::from(key.bias.is_some()));
                let x = &inputs[0];
                let parts = [linear(x, q)?, linear(x, k)?, linear(x, v)?];
                attention(*heads, &parts, *causal, inputs.get(1))
            }
            Op::Convolution(of) => {
                let y = inputs[0].conv2d(&weights[0], of.padding, of.stride, 1, 1)?;
                match weights.get(1) {
                    Some(bias) => y.broadcast_add(&bias.reshape((1, (), 1, 1))?),
                    None => Ok(y),
                }
            }
            Op::BatchNorm { .. } => {
                inputs[0].broadcast_mul(&weights[0])?.broadcast_add(&weights[1])
            }
            Op::MaxPool { side, stride, padding } => {
                framed(&inputs[0], *padding)?.max_pool2d_with_stride(*side, *stride)
            }
            Op::GlobalAverage => inputs[0].mean((2, 3)),
            Op::Patches => inputs[0].flatten_from(2)?.transpose(1, 2)?.contiguous(),
            Op::Prepend { .. } => {
                let (batch, _, size) = inputs[0].dims3()?;
                let token = weights[0].reshape((1, 1, size))?.broadcast_as((batch, 1, size))?;
                Tensor::cat(&[&token.contiguous()?, &inputs[0]], 1)
            }
            Op::FirstPosition => inputs[0].narrow(1, 0, 1)?.squeeze(1)?.contiguous(),
            Op::PositionOf { id } => position_of(*id, &inputs[0], &inputs[1]),
            Op::MeanPositions => {
                // In f32: halves cannot count far.
                let (x, mask) = (inputs[0].to_dtype(DType::F32)?, inputs[1].to_dtype(DType::F32)?);
                let sum = mask.unsqueeze(1)?.matmul(&x)?.squeeze(1)?;
                let count = mask.sum_keepdim(1)?.maximum(1e-9)?;
                sum.broadcast_div(&count)
            }
            Op::Normalize => {
                let x = inputs[0].to_dtype(DType::F32)?;
                let length = x.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?.maximum(1e-12)?;
                x.broadcast_div(&length)
            }
        }
    }
}

/// The weights of a node, as its computation wants them.
fn ready(source: &mut CheckpointWeights<'_>, op: &Op) -> Result<Vec<Tensor>> {
    let mut all = Vec::new();
    for weight in op.weights() {
        let tensor = source.tensor(&weight.name, &weight.shape)?;
        let is_table = matches!(op, Op::Positions { .. }) && tensor.rank() > 2;
        all.push(if is_table { tensor.squeeze(0)? } else { tensor });
    }
    if let Op::BatchNorm { epsilon, .. } = op {
        let [weight, bias, mean, variance] = &all[..] else { unreachable!("it has four weights") };
        let scale = weight.div(&(variance + *epsilon)?.sqrt()?)?;
        let shift = (bias - mean.mul(&scale)?)?;
        return [scale, shift].iter().map(|part| part.reshape((1, (), 1, 1))).collect();
    }
    Ok(all)
}

/// `x` (…, inputs) times the transposed matrix, plus the bias where there is one.
fn linear(x: &Tensor, weights: &[Tensor]) -> Result<Tensor> {
    let dims = x.dims().to_vec();
    let (rows, inputs) = (dims[..dims.len() - 1].iter().product::<usize>(), dims[dims.len() - 1]);
    let y = x.reshape((rows, inputs))?.matmul(&weights[0].t()?)?;
    let y = match weights.get(1) {
        Some(bias) => y.broadcast_add(bias)?,
        None => y,
    };
    let outputs = weights[0].dim(0)?;
    y.reshape([&dims[..dims.len() - 1], &[outputs]].concat())
}

fn activate(activation: Activation, x: &Tensor) -> Result<Tensor> {
    match activation {
        Activation::Gelu => x.gelu_erf(),
        Activation::QuickGelu => x * sigmoid(&(x * 1.702)?)?,
        Activation::Relu => x.relu(),
        Activation::Silu => x.silu(),
        Activation::Tanh => x.tanh(),
    }
}

/// Softmax in f32, as in `model/family/llama.rs`.
fn attention(
    heads: usize,
    [query, key, value]: &[Tensor; 3],
    causal: bool,
    mask: Option<&Tensor>,
) -> Result<Tensor> {
    let (batch, positions, features) = query.dims3()?;
    let size = features / heads;
    let by_head =
        |x: &Tensor| x.reshape((batch, positions, heads, size))?.transpose(1, 2)?.contiguous();
    let (query, key, value) = (by_head(query)?, by_head(key)?, by_head(value)?);
    let scale = 1.0 / (size as f64).sqrt();
    let mut scores = (query.matmul(&key.t()?)? * scale)?.to_dtype(DType::F32)?;
    if let Some(mask) = mask {
        let hidden = ((1.0 - mask.to_dtype(DType::F32)?)? * f64::from(f32::MIN))?;
        scores = scores.broadcast_add(&hidden.reshape((batch, 1, 1, positions))?)?;
    }
    if causal {
        let hidden: Vec<f32> = (0..positions * positions)
            .map(|at| if at % positions > at / positions { f32::NEG_INFINITY } else { 0.0 })
            .collect();
        scores = scores.broadcast_add(&Tensor::from_vec(
            hidden,
            (positions, positions),
            &Device::Cpu,
        )?)?;
    }
    let weights = softmax_last_dim(&scores)?.to_dtype(value.dtype())?;
    weights.matmul(&value)?.transpose(1, 2)?.reshape((batch, positions, features))
}

/// `x` (b, c, h, w) with `padding` rows and columns around it that no maximum chooses.
fn framed(x: &Tensor, padding: usize) -> Result<Tensor> {
    if padding == 0 {
        return Ok(x.clone());
    }
    let mut x = x.clone();
    for dim in [2, 3] {
        let mut shape = x.dims().to_vec();
        shape[dim] = padding;
        let edge = Tensor::full(f32::MIN, shape, &Device::Cpu)?.to_dtype(x.dtype())?;
        x = Tensor::cat(&[&edge, &x, &edge], dim)?;
    }
    Ok(x)
}

/// The vectors (b, c) of the positions whose id is `id`, or the largest; the first of equals.
fn position_of(id: Option<u32>, x: &Tensor, ids: &Tensor) -> Result<Tensor> {
    let rows = ids.to_vec2::<u32>()?;
    let vectors = rows.iter().enumerate().map(|(item, row)| {
        let wanted = id.or_else(|| row.iter().max().copied());
        let at = row.iter().position(|&found| Some(found) == wanted).unwrap_or(0);
        x.get(item)?.get(at)
    });
    Tensor::stack(&vectors.collect::<Result<Vec<_>>>()?, 0)
}

/// What a profile calls a node.
fn kind(op: &Op) -> &'static str {
    match op {
        Op::Input(_) => "input",
        Op::Row { .. } | Op::Embedding { .. } | Op::Positions { .. } => "embedding",
        Op::Linear(_) => "linear",
        Op::LayerNorm { .. } | Op::BatchNorm { .. } => "norm",
        Op::Activation(_) => "activation",
        Op::Add => "add",
        Op::Attention { .. } => "attention",
        Op::Convolution(_) => "convolution",
        Op::MaxPool { .. } | Op::GlobalAverage | Op::MeanPositions => "pool",
        Op::Patches | Op::Prepend { .. } | Op::FirstPosition | Op::PositionOf { .. } => "layout",
        Op::Normalize => "normalize",
    }
}

fn work(op: &Op, inputs: &[Tensor], weights: &[Tensor], operands: &[&Tensor]) -> PartWork {
    let x = inputs.first();
    let mut work = PartWork::elementwise(1, operands, &x.into_iter().collect::<Vec<_>>());
    let matrices = weights.iter().filter(|weight| weight.rank() > 1);
    let Some(x) = x else { return work };
    match op {
        Op::Linear(_) | Op::Attention { .. } => {
            let size = x.dims().last().copied().unwrap_or(1).max(1);
            let rows = x.elem_count() / size;
            work.weights = matrices.map(Tensor::elem_count).sum();
            work.operations = 2 * rows * work.weights;
            if matches!(op, Op::Attention { .. }) {
                work.operations += 4 * x.elem_count() * x.dims().get(1).copied().unwrap_or(1);
            }
        }
        Op::Convolution(of) => {
            let area: usize = x.dims().iter().skip(2).product();
            work.weights = matrices.map(Tensor::elem_count).sum();
            work.operations =
                2 * x.dims()[0] * work.weights * area / (of.stride * of.stride).max(1);
        }
        _ => {}
    }
    work
}

impl Session for CandleNetwork {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn give(&mut self, inputs: &[(String, data::Tensor)]) -> std::result::Result<(), BackendError> {
        let failed = |why: String| BackendError::Run { backend: ID, why };
        self.made = None;
        self.given.clear();
        for port in &self.signature.inputs {
            let found = inputs.iter().find(|(name, _)| *name == port.name);
            let (_, tensor) =
                found.ok_or_else(|| failed(format!("input `{}` is missing", port.name)))?;
            fits(&port.shape, &tensor.shape)
                .map_err(|why| failed(format!("input `{}` {why}", port.name)))?;
            let table = self.network.rows_looked_up(&port.name);
            let given = value_of(tensor, table);
            self.given.push(given.map_err(|why| failed(format!("input `{}`: {why}", port.name)))?);
        }
        Ok(())
    }

    fn execute(&mut self) -> std::result::Result<(), BackendError> {
        let made = match &self.spans {
            None => self.compute(),
            Some(spans) => spans.around(|| self.compute()),
        };
        self.made =
            Some(made.map_err(|error| BackendError::Run { backend: ID, why: error.to_string() })?);
        Ok(())
    }

    fn take(&mut self) -> std::result::Result<Vec<(String, data::Tensor)>, BackendError> {
        let failed = |why: String| BackendError::Run { backend: ID, why };
        let made = self.made.take().ok_or_else(|| failed("nothing was run".to_owned()))?;
        let shape = made.dims().to_vec();
        let values = made.flatten_all().and_then(|all| all.to_vec1::<f32>());
        let values = values.map_err(|error| failed(error.to_string()))?;
        let name = self.signature.outputs[0].name.clone();
        Ok(vec![(name, data::Tensor::of_f32(shape, &values))])
    }

    fn operators(&mut self) -> std::result::Result<Vec<OpEvent>, BackendError> {
        let spans = self.spans.as_ref().ok_or(BackendError::Unprofiled { backend: ID })?;
        spans.take().map_err(|why| BackendError::Run { backend: ID, why })
    }
}

/// Why a shape does not fit its port.
fn fits(port: &[Dim], shape: &[usize]) -> std::result::Result<(), String> {
    let fixed = |(dim, &size): (&Dim, &usize)| match dim {
        Dim::Fixed(wanted) => *wanted == size as u64,
        Dim::Named(_) => size > 0,
    };
    match port.len() == shape.len() && port.iter().zip(shape).all(fixed) {
        true => Ok(()),
        false => Err(format!("has shape {shape:?}, which does not fit")),
    }
}

/// A tensor as candle's; whole numbers become u32, below the rows of `table` if they look it up.
fn value_of(tensor: &data::Tensor, table: Option<usize>) -> std::result::Result<Tensor, String> {
    let shape = tensor.shape.clone();
    let made = if tensor.dtype.is_float() {
        let values: Vec<f32> = match tensor.dtype {
            ElementType::F32 => {
                let (whole, _) = tensor.bytes.as_chunks::<4>();
                whole.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect()
            }
            _ => tensor.to_f64().iter().map(|&value| value as f32).collect(),
        };
        Tensor::from_vec(values, shape, &Device::Cpu)
    } else {
        let rows = table.map_or(f64::from(u32::MAX), |rows| rows as f64);
        let ids = tensor.to_f64().into_iter().map(|id| match id >= 0.0 && id < rows {
            true => Ok(id as u32),
            false => Err(format!("{id} is outside of the {rows} rows that are looked up")),
        });
        Tensor::from_vec(
            ids.collect::<std::result::Result<Vec<u32>, String>>()?,
            shape,
            &Device::Cpu,
        )
    };
    made.map_err(|error| error.to_string())
}
