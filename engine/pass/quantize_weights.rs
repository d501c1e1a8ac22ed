//! `quantize: {method: weight_only}`: blocks of 4 or 8 bits that the kernel widens as it reads.
//!
//! Each product with a constant matrix becomes `MatMulNBits`, each lookup table
//! `GatherBlockQuantized`, both operators of ONNX Runtime.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::blocks::Grid;
use super::files::copy_beside;
use super::linear::{Linear, idle_weights, linears, named, tables};
use super::matrix::Matrix;
use super::{Pass, PassError, PassJob, PassNotes};
use crate::data::ElementType::{F32, U8};
use crate::model::onnx::build::MICROSOFT;
use crate::model::onnx::edit::Names;
use crate::model::onnx::{AttributeProto, GraphWriter, NodeProto, TensorProto};
use crate::model::{Kind, OnnxModel};

pub struct QuantizeWeights;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    #[serde(rename = "method")]
    _method: String,
    bits: u32,
    #[serde(default = "block")]
    block: usize,
    #[serde(default = "yes")]
    symmetric: bool,
    #[serde(default)]
    search: bool,
    #[serde(default)]
    exclude: Vec<String>,
    #[serde(default)]
    eight_bit: Vec<String>,
    #[serde(default = "accuracy")]
    accuracy_level: i64,
    #[serde(default = "yes")]
    embedding: bool,
}

fn yes() -> bool {
    true
}

fn block() -> usize {
    32
}

fn accuracy() -> i64 {
    4
}

/// Tables with fewer rows are too small to matter.
const SMALLEST_TABLE: i64 = 256;

impl Pass for QuantizeWeights {
    fn id(&self) -> &'static str {
        "quantize"
    }

    fn method(&self) -> Option<&'static str> {
        Some("weight_only")
    }

    fn epoch(&self) -> u32 {
        3
    }

    fn about(&self) -> &'static str {
        "weights of a graph in blocks of 4 or 8 bits, activations untouched; no calibration"
    }

    fn params(&self) -> Value {
        json!({
            "type": "object",
            "properties": {
                "method": {
                    "description": "`weight_only`: round-to-nearest blocks for `MatMulNBits`, without calibration.",
                    "enum": ["weight_only"],
                },
                "bits": {
                    "description": "Bits of each weight.",
                    "enum": [4, 8],
                },
                "block": {
                    "description": "Weights along the inputs that share a scale. Smaller blocks are more exact and slower. 32 when left out.",
                    "enum": [16, 32, 64, 128, 256],
                },
                "symmetric": {
                    "description": "Levels around zero. False gives each block a zero point. True when left out.",
                    "type": "boolean",
                },
                "search": {
                    "description": "For each block, search the scale with the least squared error, as k-quants do, instead of taking the one that spans it. False when left out.",
                    "type": "boolean",
                },
                "exclude": {
                    "description": "Operators (such as `Gemm`) and parts of node names that stay as they are.",
                    "type": "array",
                    "items": {"type": "string", "minLength": 1},
                },
                "eight_bit": {
                    "description": "Operators and parts of node names, such as `lm_head`, that get 8 bits where the others get 4.",
                    "type": "array",
                    "items": {"type": "string", "minLength": 1},
                },
                "accuracy_level": {
                    "description": "In what the kernel computes: 0 as it likes, 1 f32, 2 f16, 3 bf16, 4 int8 (activations are quantized block by block: the fastest). 4 when left out.",
                    "enum": [0, 1, 2, 3, 4],
                },
                "embedding": {
                    "description": "Also store lookup tables in blocks. True when left out.",
                    "type": "boolean",
                },
            },
            "required": ["method", "bits"],
            "additionalProperties": false,
        })
    }

    fn takes(&self, kind: Kind) -> Result<Kind, String> {
        super::graph_only("quantize` with method `weight_only", kind)
    }

    fn apply(&self, job: &PassJob<'_>) -> Result<PassNotes, PassError> {
        let params: Params = serde_json::from_value(job.params.clone())?;
        let model = OnnxModel::read(job.input)?;
        let failed =
            |what: String| PassError::Graph { path: job.input.display().to_string(), what };
        for (key, patterns) in [("exclude", &params.exclude), ("eight_bit", &params.eight_bit)] {
            if let Some(pattern) = idle_weights(&model, patterns).first() {
                return Err(failed(format!(
                    "`{key}` names `{pattern}`, which fits nothing that could be quantized"
                )));
            }
        }
        let mut notes = Vec::new();
        let mut products = linears(&model, &mut notes);
        let before = products.len();
        products.retain(|product| !named(&model.graph().node[product.node], &params.exclude));
        let excluded = before - products.len();
        if products.is_empty() {
            return Err(failed(
                "it has no `MatMul` or `Gemm` with a constant matrix, so weight-only quantization would change nothing".into(),
            ));
        }
        let (symmetric, search) = (params.symmetric, params.search);
        let grid = Grid { bits: params.bits, symmetric, search };
        let mut work = Work {
            names: Names::of(model.graph()),
            writer: GraphWriter::new(job.out),
            added: Vec::new(),
            known: HashMap::new(),
            block: params.block,
            accuracy_level: params.accuracy_level,
            model: &model,
        };
        let lookups = if params.embedding { tables(&model, SMALLEST_TABLE) } else { Vec::new() };
        let total: f64 = products.iter().map(|p| (p.inputs * p.outputs) as f64).sum();
        let (mut done, mut quantized, mut wider, mut rows) = (0.0, 0, 0, 0);
        let mut replaced: HashMap<usize, Vec<NodeProto>> = HashMap::new();
        for product in &products {
            let eight = named(&model.graph().node[product.node], &params.eight_bit);
            let grid = if eight { Grid { bits: 8, ..grid } } else { grid };
            if let Some(nodes) = work.product(product, grid)? {
                replaced.insert(product.node, nodes);
                quantized += 1;
                wider += usize::from(eight && params.bits < 8);
            }
            done += (product.inputs * product.outputs) as f64;
            (job.progress)(done / total);
        }
        for (at, table) in lookups {
            if !named(&model.graph().node[at], &params.exclude) {
                let eight = named(&model.graph().node[at], &params.eight_bit);
                let grid = if eight { Grid { bits: 8, ..grid } } else { grid };
                if let Some(nodes) = work.lookup(at, &table, grid)? {
                    replaced.insert(at, nodes);
                    rows += 1;
                } else {
                    notes.push(format!(
                        "table `{table}` stays as it is: its rows do not end where a block of {} ends",
                        params.block
                    ));
                }
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
        proto.import(MICROSOFT, 1);
        notes.insert(0, grid.formula(params.block));
        notes.insert(1, format!("{quantized} products ({wider} of them in 8 bits) and {rows} lookup tables quantized, {excluded} excluded; accuracy level {}", params.accuracy_level));
        work.writer.finish_from(proto, &model, job.progress)?;
        copy_beside(job.input, job.out)?;
        Ok(PassNotes { kind: Kind::Onnx, notes })
    }
}

/// Names of levels, scales and zero points.
type Quantized = (String, String, Option<String>);

struct Work<'a> {
    names: Names,
    writer: GraphWriter,
    added: Vec<TensorProto>,
    known: HashMap<(String, bool, u32), Quantized>,
    block: usize,
    accuracy_level: i64,
    model: &'a OnnxModel,
}

/// Rows of a matrix in blocks, each part row by row.
#[derive(Default)]
struct Packed {
    levels: Vec<u8>,
    scales: Vec<f32>,
    zeros: Vec<u8>,
}

impl Packed {
    /// Quantizes rows of `cols` values. A last block that is not full is filled up with zeros.
    fn of(rows: &[f32], cols: usize, block: usize, grid: Grid) -> Self {
        let mut out = Self::default();
        let mut filled = vec![0.0; block];
        for row in rows.chunks_exact(cols) {
            let mut zeros = Vec::with_capacity(cols.div_ceil(block));
            for part in row.chunks(block) {
                let quantized = if part.len() == block {
                    grid.quantize(part)
                } else {
                    filled[..part.len()].copy_from_slice(part);
                    filled[part.len()..].fill(0.0);
                    grid.quantize(&filled)
                };
                out.levels.extend(grid.pack(&quantized.levels));
                out.scales.push(quantized.scale);
                zeros.push(quantized.zero);
            }
            if !grid.symmetric {
                out.zeros.extend(grid.pack(&zeros));
            }
        }
        out
    }
}

impl Work<'_> {
    fn product(
        &mut self,
        product: &Linear,
        grid: Grid,
    ) -> Result<Option<Vec<NodeProto>>, PassError> {
        let blocks = product.inputs.div_ceil(self.block);
        let bytes = self.block * grid.bits as usize / 8;
        let shape = [product.outputs as u64, blocks as u64, bytes as u64];
        let stored = self.stored(&product.weight, product.by_output, grid, &shape, blocks)?;
        let Some((levels, scales, zeros)) = stored else { return Ok(None) };
        let node = &self.model.graph().node[product.node];
        let (label, out) = (node.label(), node.output[0].as_str());
        let mut inputs = vec![node.input[0].as_str(), &levels, &scales];
        inputs.extend(zeros.as_deref());
        // The kernel adds one number for each output; `Gemm` adds whatever broadcasts.
        let row = |bias: &&String| {
            let tensor = self.model.graph().initializer(bias);
            tensor.is_some_and(|tensor| tensor.dims == [product.outputs as i64])
        };
        let inside = product.bias.as_ref().filter(row);
        if let Some(bias) = inside {
            // Inputs 3 to 5: zero points, a group order that is not used, and the bias.
            inputs.resize(5, "");
            inputs.push(bias);
        }
        let beside = product.bias.as_ref().filter(|_| inside.is_none());
        let plain = beside.map(|_| self.names.fresh(&format!("{label}/product")));
        let result = plain.as_deref().unwrap_or(out);
        let made = NodeProto::new("MatMulNBits", &label, &inputs, &[result])
            .of_set(MICROSOFT)
            .with(AttributeProto::int("K", product.inputs as i64))
            .with(AttributeProto::int("N", product.outputs as i64))
            .with(AttributeProto::int("bits", i64::from(grid.bits)))
            .with(AttributeProto::int("block_size", self.block as i64))
            .with(AttributeProto::int("accuracy_level", self.accuracy_level));
        let mut nodes = vec![made];
        if let (Some(bias), Some(plain)) = (beside, &plain) {
            let name = self.names.fresh(&format!("{label}/bias"));
            nodes.push(NodeProto::new("Add", &name, &[plain, bias], &[out]));
        }
        Ok(Some(nodes))
    }

    fn lookup(
        &mut self,
        at: usize,
        table: &str,
        grid: Grid,
    ) -> Result<Option<Vec<NodeProto>>, PassError> {
        let dims = self.model.graph().initializer(table).map_or(&[0, 0][..], |t| &t.dims);
        let (rows, cols) = (dims[0] as usize, dims[1] as usize);
        // The operator's rows end where a block ends.
        if !cols.is_multiple_of(self.block) {
            return Ok(None);
        }
        let shape = [rows as u64, (cols * grid.bits as usize / 8) as u64];
        let stored = self.stored(table, true, grid, &shape, cols / self.block)?;
        let Some((levels, scales, zeros)) = stored else { return Ok(None) };
        let node = &self.model.graph().node[at];
        let label = node.label();
        let mut inputs = vec![levels.as_str(), &node.input[1], &scales];
        inputs.extend(zeros.as_deref());
        let made = NodeProto::new("GatherBlockQuantized", &label, &inputs, &[&node.output[0]])
            .of_set(MICROSOFT)
            .with(AttributeProto::int("bits", i64::from(grid.bits)))
            .with(AttributeProto::int("block_size", self.block as i64))
            .with(AttributeProto::int("gather_axis", 0))
            .with(AttributeProto::int("quantize_axis", 1));
        Ok(Some(vec![made]))
    }

    /// Quantizes a matrix along its inputs and stores its parts; `None` when it holds no floats.
    fn stored(
        &mut self,
        weight: &str,
        by_output: bool,
        grid: Grid,
        shape: &[u64],
        blocks: usize,
    ) -> Result<Option<Quantized>, PassError> {
        let key = (format!("{weight} {shape:?}"), by_output, grid.bits);
        if let Some(known) = self.known.get(&key) {
            return Ok(Some(known.clone()));
        }
        let Some(matrix) = Matrix::open(self.model, weight)? else { return Ok(None) };
        let block = self.block;
        let (outputs, inputs) =
            if by_output { (matrix.rows, matrix.cols) } else { (matrix.cols, matrix.rows) };
        let convert = |_: usize, rows: &[f32]| Packed::of(rows, inputs, block, grid);
        let (mut scales, mut zeros) = (Vec::new(), Vec::new());
        let bits = grid.bits;
        let mut fresh = |part: &str| self.names.fresh(&format!("{weight}/{part}"));
        let name = fresh(&format!("levels_{bits}"));
        let tensor = self.writer.weight::<PassError>(&name, U8, shape, |out| {
            let consume = |packed: Packed| {
                scales.extend(packed.scales);
                zeros.extend(packed.zeros);
                out(&packed.levels)
            };
            match by_output {
                true => matrix.stream_rows(convert, consume),
                false => matrix.stream_columns(convert, consume),
            }
        })?;
        self.added.push(tensor);
        let scale = fresh(&format!("scales_{bits}"));
        let dims = [outputs as u64, blocks as u64];
        let tensor = self
            .writer
            .weight::<PassError>(&scale, F32, &dims, |out| out(bytemuck::cast_slice(&scales)))?;
        self.added.push(tensor);
        let zero = if grid.symmetric {
            None
        } else {
            let zero = fresh(&format!("zero_points_{bits}"));
            let dims = [outputs as u64, (zeros.len() / outputs.max(1)) as u64];
            let tensor = self.writer.weight::<PassError>(&zero, U8, &dims, |out| out(&zeros))?;
            self.added.push(tensor);
            Some(zero)
        };
        self.known.insert(key, (name.clone(), scale.clone(), zero.clone()));
        Ok(Some((name, scale, zero)))
    }
}
