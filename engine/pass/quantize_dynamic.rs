//! `quantize: {method: dynamic}`: weights in 8 bits, activations quantized as they come.
//!
//! Each product with a constant matrix becomes `DynamicQuantizeLinear` → `MatMulInteger` → `Cast`
//! → `Mul`, all standard operators; ONNX Runtime computes the four as one kernel. An activation
//! that several products read is quantized once.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::files::copy_beside;
use super::linear::{Linear, idle_weights, linears, named, tables};
use super::matrix::{Matrix, transpose};
use super::{Pass, PassError, PassJob, PassNotes};
use crate::data::ElementType::{F32, I8};
use crate::machine::Cpu;
use crate::model::onnx::edit::Names;
use crate::model::onnx::upgrade::upgrade;
use crate::model::onnx::{AttributeProto, GraphWriter, NodeProto, TensorProto};
use crate::model::{Kind, OnnxModel};

pub struct QuantizeDynamic;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    #[serde(rename = "method")]
    _method: String,
    #[serde(default, rename = "weights")]
    _weights: Option<String>,
    #[serde(default = "yes")]
    per_channel: bool,
    #[serde(default = "yes")]
    symmetric: bool,
    #[serde(default)]
    exclude: Vec<String>,
    #[serde(default)]
    reduce_range: Option<bool>,
    #[serde(default = "yes")]
    embedding: bool,
}

fn yes() -> bool {
    true
}

/// Tables with fewer rows are too small to matter.
const SMALLEST_TABLE: i64 = 256;

/// Number of f32 in `TensorProto.DataType`, which `Cast` wants.
const TO_F32: i64 = 1;

impl Pass for QuantizeDynamic {
    fn id(&self) -> &'static str {
        "quantize"
    }

    fn method(&self) -> Option<&'static str> {
        Some("dynamic")
    }

    fn epoch(&self) -> u32 {
        2
    }

    fn about(&self) -> &'static str {
        "weights of a graph in 8 bits, activations quantized while it runs; no calibration"
    }

    fn params(&self) -> Value {
        json!({
            "type": "object",
            "properties": {
                "method": {
                    "description": "`dynamic`: 8-bit weights; each activation gets its scale while the graph runs, without calibration.",
                    "enum": ["dynamic"],
                },
                "weights": {
                    "description": "Type of the quantized weights.",
                    "enum": ["int8"],
                },
                "per_channel": {
                    "description": "One scale for each output channel instead of one for each matrix. True when left out.",
                    "type": "boolean",
                },
                "symmetric": {
                    "description": "Weights around zero: scale = max |w| / 127. False also gives each channel a zero point: scale = (max − min) / 255. True when left out.",
                    "type": "boolean",
                },
                "exclude": {
                    "description": "Operators (such as `Gemm`) and parts of node names that stay as they are.",
                    "type": "array",
                    "items": {"type": "string", "minLength": 1},
                },
                "reduce_range": {
                    "description": "Weights in 7 bits, so that sums of products do not overflow 16 bits on processors without VNNI. When left out: as this processor needs it.",
                    "type": "boolean",
                },
                "embedding": {
                    "description": "Also store lookup tables in 8 bits, one scale for each row. True when left out.",
                    "type": "boolean",
                },
            },
            "required": ["method"],
            "additionalProperties": false,
        })
    }

    fn takes(&self, kind: Kind) -> Result<Kind, String> {
        super::graph_only("quantize` with method `dynamic", kind)
    }

    fn facts(&self, params: &Value) -> Value {
        let asked = params.get("reduce_range").and_then(Value::as_bool);
        json!({"reduce_range": asked.unwrap_or(!Cpu::read().sums_bytes_in_32_bits())})
    }

    fn apply(&self, job: &PassJob<'_>) -> Result<PassNotes, PassError> {
        let params: Params = serde_json::from_value(job.params.clone())?;
        let mut model = OnnxModel::read(job.input)?;
        let failed =
            |what: String| PassError::Graph { path: job.input.display().to_string(), what };
        let mut notes = Vec::new();
        // DynamicQuantizeLinear came with set 11.
        if model.proto.opset("").is_none_or(|version| version < 11) {
            notes.extend(upgrade(&mut model.proto).map_err(failed)?);
        }
        if let Some(pattern) = idle_weights(&model, &params.exclude).first() {
            return Err(failed(format!(
                "`exclude` names `{pattern}`, which fits nothing that could be quantized"
            )));
        }
        let mut products = linears(&model, &mut notes);
        let before = products.len();
        products.retain(|product| !named(&model.graph().node[product.node], &params.exclude));
        let excluded = before - products.len();
        if products.is_empty() {
            return Err(failed(
                "it has no `MatMul` or `Gemm` with a constant matrix, so dynamic quantization would change nothing; convolutions need method `static`".into(),
            ));
        }
        let reduced = params.reduce_range.unwrap_or(!Cpu::read().sums_bytes_in_32_bits());
        let range = Range { symmetric: params.symmetric, reduced };
        let mut work = Work {
            names: Names::of(model.graph()),
            writer: GraphWriter::new(job.out),
            added: Vec::new(),
            weights: HashMap::new(),
            activations: HashMap::new(),
            per_channel: params.per_channel,
            range,
            model: &model,
        };
        let mut replaced: HashMap<usize, Vec<NodeProto>> = HashMap::new();
        let lookups = if params.embedding { tables(&model, SMALLEST_TABLE) } else { Vec::new() };
        let total = (products.len() + lookups.len()) as f64;
        let mut quantized = 0;
        for (done, product) in products.iter().enumerate() {
            if let Some(nodes) = work.product(product)? {
                replaced.insert(product.node, nodes);
                quantized += 1;
            }
            (job.progress)((done + 1) as f64 / total);
        }
        let mut rows = 0;
        for (at, table) in lookups {
            if !named(&model.graph().node[at], &params.exclude)
                && let Some(nodes) = work.lookup(at, &table)?
            {
                replaced.insert(at, nodes);
                rows += 1;
            }
        }
        let mut proto = model.proto.clone();
        let graph = proto.graph.as_mut().expect("a model that was read has a graph");
        graph.node = std::mem::take(&mut graph.node)
            .into_iter()
            .enumerate()
            .flat_map(|(at, node)| replaced.remove(&at).unwrap_or_else(|| vec![node]))
            .collect();
        graph.initializer.append(&mut work.added);
        graph.prune();
        notes.insert(0, range.formula(params.per_channel));
        notes.insert(1, format!("{quantized} products and {rows} lookup tables quantized, {excluded} excluded; activations u8, scale and zero point from each tensor's own minimum and maximum (`DynamicQuantizeLinear`)"));
        work.writer.finish_from(proto, &model, job.progress)?;
        copy_beside(job.input, job.out)?;
        Ok(PassNotes { kind: Kind::Onnx, notes })
    }
}

/// How values become bytes.
#[derive(Debug, Clone, Copy)]
struct Range {
    symmetric: bool,
    reduced: bool,
}

impl Range {
    fn most(self) -> f32 {
        if self.reduced { 63.0 } else { 127.0 }
    }

    /// Scale and zero point for values between `low` and `high`, which include 0.
    fn scale(self, low: f32, high: f32) -> (f32, i8) {
        if self.symmetric {
            let most = high.max(-low);
            return (if most > 0.0 { most / self.most() } else { 1.0 }, 0);
        }
        let steps = 2.0 * self.most() + 1.0;
        let scale = if high > low { (high - low) / steps } else { 1.0 };
        (scale, (-self.most() - 1.0 - low / scale).round_ties_even() as i8)
    }

    fn byte(self, value: f32, scale: f32, zero: i8) -> i8 {
        let lowest = if self.symmetric { -self.most() } else { -self.most() - 1.0 };
        let level = (value / scale).round_ties_even() + f32::from(zero);
        level.clamp(lowest, self.most()) as i8
    }

    fn formula(self, per_channel: bool) -> String {
        let of = if per_channel { "each output channel" } else { "each matrix" };
        let (scale, bits) = match (self.symmetric, self.reduced) {
            (true, false) => ("max |w| / 127, no zero point", 8),
            (true, true) => ("max |w| / 63, no zero point", 7),
            (false, false) => ("(max(w, 0) − min(w, 0)) / 255 with a zero point", 8),
            (false, true) => ("(max(w, 0) − min(w, 0)) / 127 with a zero point", 7),
        };
        format!("weights int8 in {bits} bits: scale = {scale} for {of}, round to nearest even")
    }
}

/// Names of a quantized matrix (inputs, outputs), its scales and its zero points.
type Quantized = (String, String, Option<String>);

struct Work<'a> {
    names: Names,
    writer: GraphWriter,
    added: Vec<TensorProto>,
    weights: HashMap<(String, bool), Quantized>,
    /// Names of a quantized activation, its scale and its zero point.
    activations: HashMap<String, [String; 3]>,
    per_channel: bool,
    range: Range,
    model: &'a OnnxModel,
}

impl Work<'_> {
    /// The nodes that compute a product in integers; `None` when its matrix holds no floats.
    fn product(&mut self, product: &Linear) -> Result<Option<Vec<NodeProto>>, PassError> {
        let Some((weight, scales, zero)) = self.matrix(product)? else { return Ok(None) };
        let node = &self.model.graph().node[product.node];
        let (label, x, out) = (node.label(), node.input[0].clone(), &node.output[0]);
        let mut nodes = Vec::new();
        let [levels, scale, point] = if let Some(known) = self.activations.get(&x) {
            known.clone()
        } else {
            let new = ["levels", "scale", "zero_point"]
                .map(|part| self.names.fresh(&format!("{x}/{part}")));
            let outputs: Vec<&str> = new.iter().map(String::as_str).collect();
            let name = self.names.fresh(&format!("{label}/quantize"));
            nodes.push(NodeProto::new("DynamicQuantizeLinear", &name, &[&x], &outputs));
            self.activations.insert(x, new.clone());
            new
        };
        let mut fresh = |part: &str| self.names.fresh(&format!("{label}/{part}"));
        let (sums, sums_f32, both) = (fresh("sums"), fresh("sums_f32"), fresh("scale"));
        let mut inputs = vec![levels.as_str(), &weight, &point];
        inputs.extend(zero.as_deref());
        nodes.push(NodeProto::new("MatMulInteger", &label, &inputs, &[&sums]));
        nodes.push(
            NodeProto::new("Cast", &sums_f32, &[&sums], &[&sums_f32])
                .with(AttributeProto::int("to", TO_F32)),
        );
        nodes.push(NodeProto::new("Mul", &both, &[&scale, &scales], &[&both]));
        let name = fresh("rescale");
        match &product.bias {
            None => nodes.push(NodeProto::new("Mul", &name, &[&sums_f32, &both], &[out])),
            Some(bias) => {
                let plain = fresh("product");
                nodes.push(NodeProto::new("Mul", &name, &[&sums_f32, &both], &[&plain]));
                nodes.push(NodeProto::new("Add", &fresh("bias"), &[&plain, bias], &[out]));
            }
        }
        Ok(Some(nodes))
    }

    /// The quantized matrix of a product, in the order (inputs, outputs) of `MatMulInteger`.
    fn matrix(&mut self, product: &Linear) -> Result<Option<Quantized>, PassError> {
        let key = (product.weight.clone(), product.by_output);
        if let Some(known) = self.weights.get(&key) {
            return Ok(Some(known.clone()));
        }
        let Some(matrix) = Matrix::open(self.model, &product.weight)? else { return Ok(None) };
        let (inputs, outputs, range) = (product.inputs, product.outputs, self.range);
        let ranges = ranges(&matrix, product.by_output)?;
        let steps: Vec<(f32, i8)> = if self.per_channel {
            ranges.iter().map(|&(low, high)| range.scale(low, high)).collect()
        } else {
            let low = ranges.iter().fold(0.0, |low, r| r.0.min(low));
            let high = ranges.iter().fold(0.0, |high, r| r.1.max(high));
            vec![range.scale(low, high)]
        };
        let step = |output: usize| steps[output.min(steps.len() - 1)];
        let name = self.names.fresh(&format!("{}/int8", product.weight));
        let shape = [inputs as u64, outputs as u64];
        let cols = matrix.cols;
        let level = |first: usize, part: &[f32]| -> Vec<i8> {
            let at = |i: usize| if product.by_output { first + i / cols } else { i % cols };
            let byte = |(i, &value): (usize, &f32)| {
                let (scale, zero) = step(at(i));
                range.byte(value, scale, zero)
            };
            part.iter().enumerate().map(byte).collect()
        };
        let tensor = if product.by_output {
            let mut turned = Vec::with_capacity(inputs * outputs);
            matrix.stream_rows(level, |bytes| {
                turned.extend(bytes);
                Ok(())
            })?;
            let turned = transpose(&turned, outputs, inputs);
            self.writer
                .weight::<PassError>(&name, I8, &shape, |out| out(bytemuck::cast_slice(&turned)))?
        } else {
            self.writer.weight::<PassError>(&name, I8, &shape, |out| {
                matrix.stream_rows(level, |bytes| out(bytemuck::cast_slice(&bytes)))
            })?
        };
        self.added.push(tensor);
        let scales: Vec<f32> = steps.iter().map(|step| step.0).collect();
        let zeros: Vec<i8> = steps.iter().map(|step| step.1).collect();
        let dims: &[u64] = if self.per_channel { &[outputs as u64] } else { &[] };
        let named = self.names.fresh(&format!("{}/scale", product.weight));
        let tensor = self
            .writer
            .weight::<PassError>(&named, F32, dims, |out| out(bytemuck::cast_slice(&scales)))?;
        self.added.push(tensor);
        let zero = if range.symmetric {
            None
        } else {
            let zero = self.names.fresh(&format!("{}/zero_point", product.weight));
            let tensor = self
                .writer
                .weight::<PassError>(&zero, I8, dims, |out| out(bytemuck::cast_slice(&zeros)))?;
            self.added.push(tensor);
            Some(zero)
        };
        self.weights.insert(key, (name.clone(), named.clone(), zero.clone()));
        Ok(Some((name, named, zero)))
    }

    /// The nodes that look rows up in a table of bytes with one scale for each row.
    fn lookup(&mut self, at: usize, table: &str) -> Result<Option<Vec<NodeProto>>, PassError> {
        let Some(matrix) = Matrix::open(self.model, table)? else { return Ok(None) };
        let range = Range { symmetric: true, reduced: false };
        let mut scales = Vec::with_capacity(matrix.rows);
        let name = self.names.fresh(&format!("{table}/rows_int8"));
        let shape = [matrix.rows as u64, matrix.cols as u64];
        let cols = matrix.cols;
        let convert = |_: usize, part: &[f32]| -> (Vec<f32>, Vec<i8>) {
            let mut bytes = Vec::with_capacity(part.len());
            let mut scales = Vec::with_capacity(part.len() / cols);
            for row in part.chunks_exact(cols) {
                let (low, high) = extent(row);
                let (scale, zero) = range.scale(low, high);
                scales.push(scale);
                bytes.extend(row.iter().map(|&value| range.byte(value, scale, zero)));
            }
            (scales, bytes)
        };
        let tensor = self.writer.weight::<PassError>(&name, I8, &shape, |out| {
            matrix.stream_rows(convert, |(some, bytes)| {
                scales.extend(some);
                out(bytemuck::cast_slice(&bytes))
            })
        })?;
        self.added.push(tensor);
        let scale_name = self.names.fresh(&format!("{table}/rows_scale"));
        let dims = [matrix.rows as u64, 1];
        let tensor = self.writer.weight::<PassError>(&scale_name, F32, &dims, |out| {
            out(bytemuck::cast_slice(&scales))
        })?;
        self.added.push(tensor);
        let node = &self.model.graph().node[at];
        let (label, ids) = (node.label(), node.input[1].as_str());
        let mut fresh = |part: &str| self.names.fresh(&format!("{label}/{part}"));
        let [bytes, floats, factor, rescale] =
            ["bytes", "floats", "row_scale", "rescale"].map(&mut fresh);
        Ok(Some(vec![
            NodeProto::new("Gather", &label, &[&name, ids], &[&bytes]),
            NodeProto::new("Cast", &floats, &[&bytes], &[&floats])
                .with(AttributeProto::int("to", TO_F32)),
            NodeProto::new("Gather", &factor, &[&scale_name, ids], &[&factor]),
            NodeProto::new("Mul", &rescale, &[&floats, &factor], &[&node.output[0]]),
        ]))
    }
}

/// Smallest and largest value with 0 among them.
fn extent(values: &[f32]) -> (f32, f32) {
    values.iter().fold((0.0, 0.0), |(low, high), &v| (v.min(low), v.max(high)))
}

/// The extent of every output channel.
fn ranges(matrix: &Matrix<'_>, by_output: bool) -> Result<Vec<(f32, f32)>, PassError> {
    let cols = matrix.cols;
    if by_output {
        let mut all = Vec::with_capacity(matrix.rows);
        let rows = |_: usize, part: &[f32]| part.chunks_exact(cols).map(extent).collect::<Vec<_>>();
        matrix.stream_rows(rows, |some| {
            all.extend(some);
            Ok(())
        })?;
        return Ok(all);
    }
    let mut all = vec![(0.0_f32, 0.0_f32); cols];
    let widen = |all: &mut [(f32, f32)], row: &[f32]| {
        for (range, &value) in all.iter_mut().zip(row) {
            *range = (range.0.min(value), range.1.max(value));
        }
    };
    let columns = |_: usize, part: &[f32]| {
        let mut some = vec![(0.0, 0.0); cols];
        part.chunks_exact(cols).for_each(|row| widen(&mut some, row));
        some
    };
    matrix.stream_rows(columns, |some| {
        for (range, new) in all.iter_mut().zip(some) {
            *range = (range.0.min(new.0), range.1.max(new.1));
        }
        Ok(())
    })?;
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_stay_in_their_range_and_zero_stays_zero() {
        for symmetric in [true, false] {
            for reduced in [true, false] {
                let range = Range { symmetric, reduced };
                for (low, high) in [(-1.0, 3.0), (0.0, 2.0), (-5.0, 0.0), (0.0, 0.0)] {
                    let (scale, zero) = range.scale(low, high);
                    assert!(scale > 0.0);
                    assert_eq!(range.byte(0.0, scale, zero), zero);
                    for value in [low, high, (low + high) / 3.0] {
                        let level = f32::from(range.byte(value, scale, zero));
                        assert!(level.abs() <= range.most() + 1.0);
                        let back = (level - f32::from(zero)) * scale;
                        assert!((back - value).abs() <= scale * 0.501, "{value} {back} {scale}");
                    }
                }
            }
        }
    }
}
