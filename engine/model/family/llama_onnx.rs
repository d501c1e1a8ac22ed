//! Llama, Mistral and Qwen2 as a graph of standard operators (operator set 24).
//!
//! With a KV cache the graph writes keys and values into buffers that the caller owns
//! (`TensorScatter`), so that binding the same buffer as `past_key_values.N.key` and
//! `present.N.key` appends in place. Inputs besides the buffers:
//!
//! | input | type | meaning |
//! |---|---|---|
//! | `input_ids` | i64 [batch, sequence] | the new tokens |
//! | `past_lengths` | i64 [batch] | positions of each sequence that the buffers hold already |
//! | `num_logits_to_keep` | i64 [1] | logits are computed for this many last positions |
//!
//! Query, key and value projections are one matrix. Matrices have the layout of `MatMul`
//! (inputs, outputs); a tied output projection shares the embedding through `Gemm`.

use crate::data::ElementType::{F32, I64};
use crate::data::Tensor;
use crate::model::LlamaConfig;
use crate::model::network::onnx::Wanted;
use crate::model::onnx::build::{GraphBuilder, Value};
use crate::model::onnx::{AttributeProto, ModelProto, TensorProto};
use crate::model::signature::Dim;

/// Version of the standard operator set: the first with `TensorScatter`.
const OPSET: i64 = 24;

/// Keys of the metadata that travels with a graph.
pub const TASK_KEY: &str = "engine.task";
pub const ARCHITECTURE_KEY: &str = "engine.architecture";
pub const CACHE_KEY: &str = "engine.kv_cache";
pub const RANDOM_KEY: &str = "engine.random_weights";

/// The graph of a Llama. `weight` makes the initializer of a name.
pub fn graph<E>(
    config: &LlamaConfig,
    kv_cache: bool,
    weight: &mut dyn FnMut(&str, Wanted<'_>) -> Result<TensorProto, E>,
) -> Result<ModelProto, E> {
    let mut g = Graph { b: GraphBuilder::default(), config, weight };
    let named = |name: &str| Dim::Named(name.to_owned());
    let ids = g.b.input("input_ids", I64, &[named("batch"), named("sequence")]);
    let positions = g.positions(&ids, kv_cache)?;
    let embedding = g.stored("model.embed_tokens.weight")?;
    let mut x = g.b.op("/embed_tokens", "Gather", &[&embedding, &ids]);
    for layer in 0..config.num_hidden_layers {
        x = g.layer(layer, &x, &positions)?;
    }
    let kept = if kv_cache {
        let keep = g.b.input("num_logits_to_keep", I64, &[Dim::Fixed(1)]);
        let start = g.b.op("/logits/start", "Neg", &[&keep]);
        let end = g.b.constant("/logits/end", &[1], &[i64::MAX]);
        let axis = g.b.constant("/logits/axis", &[1], &[1]);
        g.b.op("/logits/keep", "Slice", &[&x, &start, &end, &axis])
    } else {
        x
    };
    let last = g.norm("/norm", &kept, "model.norm.weight")?;
    g.head(&last, &embedding)?;
    let logits = [named("batch"), named("kept"), Dim::Fixed(config.vocab_size as u64)];
    g.b.output("logits", F32, &logits);
    if kv_cache {
        for layer in 0..config.num_hidden_layers {
            for part in ["key", "value"] {
                g.b.output(&format!("present.{layer}.{part}"), F32, &cache_shape(config));
            }
        }
    }
    let cache = if kv_cache { "in_place" } else { "none" };
    let kind = config.architecture.model_type();
    let metadata = [(TASK_KEY, "text_generation"), (ARCHITECTURE_KEY, kind), (CACHE_KEY, cache)];
    Ok(g.b.model(kind, OPSET, &metadata))
}

fn cache_shape(config: &LlamaConfig) -> [Dim; 4] {
    [
        Dim::Named("batch".to_owned()),
        Dim::Fixed(config.num_key_value_heads as u64),
        Dim::Named("capacity".to_owned()),
        Dim::Fixed(config.head_dim as u64),
    ]
}

/// What every layer needs to know about positions.
struct Positions {
    /// (batch, sequence): the number of each new position.
    ids: Value,
    cos: Value,
    sin: Value,
    /// With a cache only.
    cache: Option<Cache>,
}

struct Cache {
    /// (batch): where new keys and values are written.
    past: Value,
    /// (batch): positions held after this run.
    total: Value,
    /// (batch, 1, sequence, capacity): true where a position may look.
    mask: Value,
}

struct Graph<'a, E> {
    b: GraphBuilder,
    config: &'a LlamaConfig,
    weight: &'a mut dyn FnMut(&str, Wanted<'_>) -> Result<TensorProto, E>,
}

impl<E> Graph<'_, E> {
    fn stored(&mut self, name: &str) -> Result<Value, E> {
        let tensor = (self.weight)(name, Wanted::Stored(name))?;
        Ok(self.b.initializer(tensor))
    }

    fn table(&mut self, name: &str, tensor: Tensor) -> Result<Value, E> {
        let tensor = (self.weight)(name, Wanted::Table(tensor))?;
        Ok(self.b.initializer(tensor))
    }

    fn positions(&mut self, ids: &Value, kv_cache: bool) -> Result<Positions, E> {
        let b = &mut self.b;
        let sequence =
            b.op_with("/sequence", "Shape", &[ids], vec![AttributeProto::int("start", 1)]);
        let length = b.op("/length", "Squeeze", &[&sequence]);
        let zero = b.constant("/zero", &[], &[0]);
        let one = b.constant("/one", &[], &[1]);
        let range = b.op("/range", "Range", &[&zero, &length, &one]);
        let (numbers, cache) = if kv_cache {
            let past = b.input("past_lengths", I64, &[Dim::Named("batch".to_owned())]);
            let shape = cache_shape(self.config);
            for layer in 0..self.config.num_hidden_layers {
                for part in ["key", "value"] {
                    b.input(&format!("past_key_values.{layer}.{part}"), F32, &shape);
                }
            }
            let last = b.constant("/axis_1", &[1], &[1]);
            let column = b.op("/past/column", "Unsqueeze", &[&past, &last]);
            let numbers = b.op("/position_ids", "Add", &[&column, &range]);
            let total = b.op("/total_lengths", "Add", &[&past, &sequence]);
            let first = Value("past_key_values.0.key".to_owned());
            let span = vec![AttributeProto::int("start", 2), AttributeProto::int("end", 3)];
            let capacity = b.op_with("/capacity", "Shape", &[&first], span);
            let capacity = b.op("/capacity/scalar", "Squeeze", &[&capacity]);
            let slots = b.op("/slots", "Range", &[&zero, &capacity, &one]);
            let axes = b.constant("/mask/axes", &[2], &[1, 3]);
            let rows = b.op("/mask/rows", "Unsqueeze", &[&numbers, &axes]);
            let mask = b.op("/mask", "LessOrEqual", &[&slots, &rows]);
            (numbers, Some(Cache { past, total, mask }))
        } else {
            let shape = b.op("/shape", "Shape", &[ids]);
            (b.op("/position_ids", "Expand", &[&range, &shape]), None)
        };
        let (cos, sin) = tables(self.config);
        let cos = self.table("/rotary/cos", cos)?;
        let sin = self.table("/rotary/sin", sin)?;
        Ok(Positions { ids: numbers, cos, sin, cache })
    }

    fn norm(&mut self, node: &str, x: &Value, weight: &str) -> Result<Value, E> {
        let weight = self.stored(weight)?;
        let eps = AttributeProto::float("epsilon", self.config.rms_norm_eps as f32);
        let attributes = vec![AttributeProto::int("axis", -1), eps];
        Ok(self.b.op_with(node, "RMSNormalization", &[x, &weight], attributes))
    }

    fn project(&mut self, node: &str, x: &Value, sources: Vec<String>) -> Result<Value, E> {
        let tensor = (self.weight)(&format!("{node}.weight"), Wanted::Transposed(sources))?;
        let weight = self.b.initializer(tensor);
        Ok(self.b.op(node, "MatMul", &[x, &weight]))
    }

    /// The same with the biases that stand beside the matrices, where there are some.
    fn project_biased(
        &mut self,
        node: &str,
        x: &Value,
        sources: Vec<String>,
        has_bias: bool,
    ) -> Result<Value, E> {
        let beside = |name: &String| name.replace(".weight", ".bias");
        let biases = sources.iter().map(beside).collect();
        let product = self.project(node, x, sources)?;
        if !has_bias {
            return Ok(product);
        }
        let tensor = (self.weight)(&format!("{node}.bias"), Wanted::Joined(biases))?;
        let bias = self.b.initializer(tensor);
        Ok(self.b.op(&format!("{node}/bias"), "Add", &[&product, &bias]))
    }

    fn layer(&mut self, layer: usize, x: &Value, positions: &Positions) -> Result<Value, E> {
        let at = format!("/layers.{layer}");
        let of = |part: &str| format!("model.layers.{layer}.{part}.weight");
        let normed = self.norm(&format!("{at}/input_norm"), x, &of("input_layernorm"))?;
        let qkv = ["q", "k", "v"].map(|p| of(&format!("self_attn.{p}_proj"))).to_vec();
        let node = format!("{at}/attn/qkv_proj");
        let qkv = self.project_biased(&node, &normed, qkv, self.config.qkv_bias)?;
        let attended = self.attention(layer, &format!("{at}/attn"), &qkv, positions);
        let node = format!("{at}/attn/o_proj");
        let output = vec![of("self_attn.o_proj")];
        let output = self.project_biased(&node, &attended, output, self.config.output_bias)?;
        let x = self.b.op(&format!("{at}/attn/residual"), "Add", &[x, &output]);

        let normed = self.norm(&format!("{at}/post_norm"), &x, &of("post_attention_layernorm"))?;
        let node = format!("{at}/mlp/gate_proj");
        let gate = self.project(&node, &normed, vec![of("mlp.gate_proj")])?;
        let up = self.project(&format!("{at}/mlp/up_proj"), &normed, vec![of("mlp.up_proj")])?;
        let sigmoid = self.b.op(&format!("{at}/mlp/sigmoid"), "Sigmoid", &[&gate]);
        let silu = self.b.op(&format!("{at}/mlp/silu"), "Mul", &[&gate, &sigmoid]);
        let inner = self.b.op(&format!("{at}/mlp/mul"), "Mul", &[&silu, &up]);
        let node = format!("{at}/mlp/down_proj");
        let down = self.project(&node, &inner, vec![of("mlp.down_proj")])?;
        Ok(self.b.op(&format!("{at}/mlp/residual"), "Add", &[&x, &down]))
    }

    fn attention(&mut self, layer: usize, at: &str, qkv: &Value, positions: &Positions) -> Value {
        let config = self.config;
        let (heads, kv_heads, size) = (
            config.num_attention_heads as i64,
            config.num_key_value_heads as i64,
            config.head_dim as i64,
        );
        let b = &mut self.b;
        let widths = [heads * size, kv_heads * size, kv_heads * size];
        let split = b.constant(&format!("{at}/split/sizes"), &[3], &widths);
        let names = ["q", "k", "v"].map(|part| format!("{at}/{part}"));
        let outputs: Vec<&str> = names.iter().map(String::as_str).collect();
        let (node, inputs) = (format!("{at}/split"), [qkv.0.as_str(), split.0.as_str()]);
        b.node(&node, "Split", "", &inputs, &outputs, vec![AttributeProto::int("axis", -1)]);

        let mut by_head = |name: &str, heads: i64| {
            let shape = b.constant(&format!("{name}/shape"), &[4], &[0, 0, heads, size]);
            let four = b.op(&format!("{name}/reshape"), "Reshape", &[&Value(name.into()), &shape]);
            let perm = vec![AttributeProto::of_ints("perm", &[0, 2, 1, 3])];
            b.op_with(&format!("{name}/transpose"), "Transpose", &[&four], perm)
        };
        let query = by_head(&names[0], heads);
        let key = by_head(&names[1], kv_heads);
        let value = by_head(&names[2], kv_heads);
        let mut turn = |name: &str, x: &Value| {
            let inputs = [x, &positions.cos, &positions.sin, &positions.ids];
            b.op(&format!("{name}/rotary"), "RotaryEmbedding", &inputs)
        };
        let query = turn(&names[0], &query);
        let key = turn(&names[1], &key);

        let node = format!("{at}/attention");
        let out = format!("{node}/out");
        if let Some(cache) = &positions.cache {
            let mut held = |part: &str, new: &Value| {
                let (past, present) =
                    (format!("past_key_values.{layer}.{part}"), format!("present.{layer}.{part}"));
                let inputs = [past.as_str(), new.0.as_str(), cache.past.0.as_str()];
                let (node, axis) =
                    (format!("{at}/cache_{part}"), vec![AttributeProto::int("axis", 2)]);
                b.node(&node, "TensorScatter", "", &inputs, &[&present], axis);
                present
            };
            let (keys, values) = (held("key", &key), held("value", &value));
            let inputs = [&query.0, &keys, &values, &cache.mask.0, "", "", &cache.total.0];
            b.node(&node, "Attention", "", &inputs, &[&out], Vec::new());
        } else {
            let inputs = [query.0.as_str(), &key.0, &value.0];
            b.node(
                &node,
                "Attention",
                "",
                &inputs,
                &[&out],
                vec![AttributeProto::int("is_causal", 1)],
            );
        }
        let perm = vec![AttributeProto::of_ints("perm", &[0, 2, 1, 3])];
        let merged = b.op_with(&format!("{at}/merge"), "Transpose", &[&Value(out)], perm);
        let shape = b.constant(&format!("{at}/merge/shape"), &[3], &[0, 0, heads * size]);
        b.op(&format!("{at}/merged"), "Reshape", &[&merged, &shape])
    }

    /// Logits of `x` (batch, kept, hidden), as the output `logits`.
    fn head(&mut self, x: &Value, embedding: &Value) -> Result<(), E> {
        if !self.config.tie_word_embeddings {
            let sources = vec!["lm_head.weight".to_owned()];
            let wanted = Wanted::Transposed(sources);
            let tensor = (self.weight)("/lm_head.weight", wanted)?;
            let weight = self.b.initializer(tensor);
            let inputs = [x.0.as_str(), weight.0.as_str()];
            self.b.node("/lm_head", "MatMul", "", &inputs, &["logits"], Vec::new());
            return Ok(());
        }
        let b = &mut self.b;
        let rows = b.constant("/lm_head/rows", &[2], &[-1, self.config.hidden_size as i64]);
        let flat = b.op("/lm_head/flat", "Reshape", &[x, &rows]);
        let product = b.op_with(
            "/lm_head",
            "Gemm",
            &[&flat, embedding],
            vec![AttributeProto::int("transB", 1)],
        );
        let leading =
            b.op_with("/lm_head/leading", "Shape", &[x], vec![AttributeProto::int("end", 2)]);
        let vocab = b.constant("/lm_head/vocab", &[1], &[self.config.vocab_size as i64]);
        let shape = [&leading, &vocab];
        let shape =
            b.op_with("/lm_head/shape", "Concat", &shape, vec![AttributeProto::int("axis", 0)]);
        let inputs = [product.0.as_str(), shape.0.as_str()];
        b.node("/lm_head/logits", "Reshape", "", &inputs, &["logits"], Vec::new());
        Ok(())
    }
}

/// Cosines and sines of all positions, each (context, head_dim / 2).
fn tables(config: &LlamaConfig) -> (Tensor, Tensor) {
    let frequencies = config.rope_scaling.frequencies(config.head_dim, config.rope_theta);
    let shape = vec![config.context(), config.head_dim / 2];
    let angles: Vec<f32> = (0..config.context())
        .flat_map(|at| frequencies.iter().map(move |frequency| at as f32 * frequency))
        .collect();
    let cos: Vec<f32> = angles.iter().map(|angle| angle.cos()).collect();
    let sin: Vec<f32> = angles.iter().map(|angle| angle.sin()).collect();
    (Tensor::of_f32(shape.clone(), &cos), Tensor::of_f32(shape, &sin))
}
