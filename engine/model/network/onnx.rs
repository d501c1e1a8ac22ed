//! A network as a graph of standard operators (operator set 24).
//!
//! Matrices have the layout of `MatMul` (inputs, outputs); the three projections of an attention
//! are one matrix, and a convolution that cuts a picture into patches is a product.

mod patches;

use super::{Activation, Convolution, Linear, Network, Node, Op, Value as Made, Weight};
use crate::data::ElementType;
use crate::data::Tensor;
use crate::model::onnx::build::{GraphBuilder, Value};
use crate::model::onnx::{ARCHITECTURE_KEY, AttributeProto, ModelProto, TASK_KEY, TensorProto};

const OPSET: i64 = 24;

/// A weight the graph asks for; all are f32.
#[derive(Debug, Clone, PartialEq)]
pub enum Wanted<'a> {
    /// A tensor of the checkpoint as it is stored.
    Stored(&'a str),
    /// Vectors of the checkpoint, one after the other.
    Joined(Vec<String>),
    /// Matrices (outputs, inputs) of the checkpoint, stacked along their outputs and transposed
    /// to (inputs, outputs). Of more than two dimensions all but the first count as inputs.
    Transposed(Vec<String>),
    /// A table of numbers that the configuration decides.
    Table(Tensor),
}

/// The graph of `network`. `weight` makes the initializer of a name.
pub fn graph<E>(
    network: &Network,
    task: &str,
    architecture: &str,
    weight: &mut dyn FnMut(&str, Wanted<'_>) -> Result<TensorProto, E>,
) -> Result<ModelProto, E> {
    let mut g = Graph { b: GraphBuilder::default(), network, weight, values: Vec::new() };
    for node in &network.nodes {
        let value = g.lower(node)?;
        g.values.push(value);
    }
    if let Some((port, value)) = &network.output {
        let from = g.values[value.node()].clone();
        g.b.node("/output", "Identity", "", &[&from.0], &[&port.name], Vec::new());
        g.b.output(&port.name, ElementType::F32, &port.shape);
    }
    Ok(g.b.model(architecture, OPSET, &[(TASK_KEY, task), (ARCHITECTURE_KEY, architecture)]))
}

struct Graph<'a, E> {
    b: GraphBuilder,
    network: &'a Network,
    weight: &'a mut dyn FnMut(&str, Wanted<'_>) -> Result<TensorProto, E>,
    /// Of every node so far.
    values: Vec<Value>,
}

fn ints(name: &str, values: &[usize]) -> AttributeProto {
    let values: Vec<i64> = values.iter().map(|&value| value as i64).collect();
    AttributeProto::of_ints(name, &values)
}

impl<E> Graph<'_, E> {
    fn of(&self, made: Made) -> Value {
        self.values[made.node()].clone()
    }

    fn stored(&mut self, name: &str) -> Result<Value, E> {
        let tensor = (self.weight)(name, Wanted::Stored(name))?;
        Ok(self.b.initializer(tensor))
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each operator, none of them long")]
    fn lower(&mut self, node: &Node) -> Result<Value, E> {
        let at = format!("/{}", node.name.replace('.', "/"));
        let at = at.as_str();
        let inputs: Vec<Value> = node.inputs.iter().map(|&made| self.of(made)).collect();
        let x = inputs.first();
        Ok(match (&node.op, x) {
            (Op::Input(number), _) => {
                let port = &self.network.inputs[*number];
                let dtype = ElementType::parse(&port.dtype).unwrap_or(ElementType::F32);
                self.b.input(&port.name, dtype, &port.shape)
            }
            (Op::Row { table, row }, _) => {
                let table = self.stored(&table.name)?;
                let row = self.b.constant(&format!("{at}/row"), &[], &[*row as i64]);
                self.b.op(at, "Gather", &[&table, &row])
            }
            (Op::Embedding { table }, Some(ids)) => {
                let table = self.stored(&table.name)?;
                self.b.op(at, "Gather", &[&table, ids])
            }
            (Op::Positions { table, first }, Some(x)) => {
                let table = self.stored(&table.name)?;
                let span = vec![AttributeProto::int("start", 1), AttributeProto::int("end", 2)];
                let length = self.b.op_with(&format!("{at}/length"), "Shape", &[x], span);
                let start = self.b.constant(&format!("{at}/first"), &[1], &[*first as i64]);
                let end = match first {
                    0 => length,
                    _ => self.b.op(&format!("{at}/end"), "Add", &[&length, &start]),
                };
                let axis = self.b.constant(&format!("{at}/axis"), &[1], &[0]);
                self.b.op(at, "Slice", &[&table, &start, &end, &axis])
            }
            (Op::Linear(linear), Some(x)) => self.linear(at, &[linear], x)?,
            (Op::LayerNorm { weight, bias, epsilon }, Some(x)) => {
                let (weight, bias) = (self.stored(&weight.name)?, self.stored(&bias.name)?);
                let attributes = vec![
                    AttributeProto::int("axis", -1),
                    AttributeProto::float("epsilon", *epsilon as f32),
                ];
                self.b.op_with(at, "LayerNormalization", &[x, &weight, &bias], attributes)
            }
            (Op::Activation(activation), Some(x)) => self.activation(at, *activation, x)?,
            (Op::Add, Some(x)) => self.b.op(at, "Add", &[x, &inputs[1]]),
            (Op::Attention { heads, query, key, value, causal }, Some(x)) => {
                self.attention(at, *heads, [query, key, value], *causal, x, inputs.get(1))?
            }
            // The product comes with the patches, from the same picture.
            (Op::Convolution(_), Some(x)) if self.is_cut(self.values.len()) => x.clone(),
            (Op::Convolution(convolution), Some(x)) => self.convolution(at, convolution, x)?,
            (Op::BatchNorm { weight, bias, mean, variance, epsilon }, Some(x)) => {
                let mut all = vec![x.clone()];
                for weight in [weight, bias, mean, variance] {
                    all.push(self.stored(&weight.name)?);
                }
                let epsilon = vec![AttributeProto::float("epsilon", *epsilon as f32)];
                self.b.op_with(at, "BatchNormalization", &all.iter().collect::<Vec<_>>(), epsilon)
            }
            (Op::MaxPool { side, stride, padding }, Some(x)) => {
                let attributes = vec![
                    ints("kernel_shape", &[*side; 2]),
                    ints("strides", &[*stride; 2]),
                    ints("pads", &[*padding; 4]),
                ];
                self.b.op_with(at, "MaxPool", &[x], attributes)
            }
            (Op::GlobalAverage, Some(x)) => {
                let pooled = self.b.op(at, "GlobalAveragePool", &[x]);
                let axis = vec![AttributeProto::int("axis", 1)];
                self.b.op_with(&format!("{at}/flat"), "Flatten", &[&pooled], axis)
            }
            (Op::Patches, Some(x)) => {
                if let Some(product) = self.cut_patches(node, x) {
                    return product;
                }
                let shape = self.b.constant(&format!("{at}/shape"), &[3], &[0, 0, -1]);
                let rows = self.b.op(&format!("{at}/rows"), "Reshape", &[x, &shape]);
                let order = vec![AttributeProto::of_ints("perm", &[0, 2, 1])];
                self.b.op_with(at, "Transpose", &[&rows], order)
            }
            (Op::Prepend { token }, Some(x)) => {
                let size = token.shape.iter().product::<usize>() as i64;
                let token = self.stored(&token.name)?;
                let span = vec![AttributeProto::int("start", 0), AttributeProto::int("end", 1)];
                let batch = self.b.op_with(&format!("{at}/batch"), "Shape", &[x], span);
                let rest = self.b.constant(&format!("{at}/rest"), &[2], &[1, size]);
                let axis = || vec![AttributeProto::int("axis", 0)];
                let shape =
                    self.b.op_with(&format!("{at}/shape"), "Concat", &[&batch, &rest], axis());
                let first = self.b.op(&format!("{at}/token"), "Expand", &[&token, &shape]);
                let axis = vec![AttributeProto::int("axis", 1)];
                self.b.op_with(at, "Concat", &[&first, x], axis)
            }
            (Op::FirstPosition, Some(x)) => {
                let first = self.b.constant(&format!("{at}/first"), &[], &[0]);
                self.b.op_with(at, "Gather", &[x, &first], vec![AttributeProto::int("axis", 1)])
            }
            (Op::PositionOf { id }, Some(x)) => self.position_of(at, *id, x, &inputs[1]),
            (Op::MeanPositions, Some(x)) => self.mean(at, x, &inputs[1])?,
            (Op::Normalize, Some(x)) => {
                let attributes = vec![AttributeProto::int("axis", -1), AttributeProto::int("p", 2)];
                self.b.op_with(at, "LpNormalization", &[x], attributes)
            }
            (op, None) => unreachable!("{op:?} has inputs, its family gave none"),
        })
    }

    /// One product with all `parts` side by side.
    fn linear(&mut self, at: &str, parts: &[&Linear], x: &Value) -> Result<Value, E> {
        let sources = parts.iter().map(|part| part.weight.name.clone()).collect();
        let tensor = (self.weight)(&format!("{at}/weight"), Wanted::Transposed(sources))?;
        let weight = self.b.initializer(tensor);
        let product = self.b.op(at, "MatMul", &[x, &weight]);
        let biases: Vec<String> =
            parts.iter().filter_map(|part| part.bias.as_ref()).map(|b| b.name.clone()).collect();
        if biases.is_empty() {
            return Ok(product);
        }
        let tensor = (self.weight)(&format!("{at}/bias"), Wanted::Joined(biases))?;
        let bias = self.b.initializer(tensor);
        Ok(self.b.op(&format!("{at}/add"), "Add", &[&product, &bias]))
    }

    fn activation(&mut self, at: &str, activation: Activation, x: &Value) -> Result<Value, E> {
        let sigmoid = |g: &mut Self, of: &Value| {
            let gate = g.b.op(&format!("{at}/sigmoid"), "Sigmoid", &[of]);
            g.b.op(at, "Mul", &[x, &gate])
        };
        Ok(match activation {
            Activation::Gelu => self.b.op(at, "Gelu", &[x]),
            Activation::Relu => self.b.op(at, "Relu", &[x]),
            Activation::Tanh => self.b.op(at, "Tanh", &[x]),
            Activation::Silu => sigmoid(self, x),
            Activation::QuickGelu => {
                let slope = Wanted::Table(Tensor::of_f32(Vec::new(), &[1.702]));
                let tensor = (self.weight)(&format!("{at}/slope"), slope)?;
                let slope = self.b.initializer(tensor);
                let steep = self.b.op(&format!("{at}/steep"), "Mul", &[x, &slope]);
                sigmoid(self, &steep)
            }
        })
    }

    fn attention(
        &mut self,
        at: &str,
        heads: usize,
        parts: [&Linear; 3],
        causal: bool,
        x: &Value,
        mask: Option<&Value>,
    ) -> Result<Value, E> {
        let packed = self.linear(&format!("{at}/qkv"), &parts, x)?;
        let widths = parts.map(|part| part.weight.shape[0] as i64);
        let sizes = self.b.constant(&format!("{at}/split/sizes"), &[3], &widths);
        let names = ["q", "k", "v"].map(|part| format!("{at}/{part}"));
        let outputs: Vec<&str> = names.iter().map(String::as_str).collect();
        let axis = vec![AttributeProto::int("axis", -1)];
        let node = format!("{at}/split");
        self.b.node(&node, "Split", "", &[&packed.0, &sizes.0], &outputs, axis);
        let mut inputs = outputs;
        let visible = mask.map(|mask| self.visible(mask));
        if let Some(visible) = &visible {
            inputs.push(&visible.0);
        }
        let heads = heads as i64;
        let mut attributes = vec![
            AttributeProto::int("q_num_heads", heads),
            AttributeProto::int("kv_num_heads", heads),
        ];
        if causal {
            attributes.push(AttributeProto::int("is_causal", 1));
        }
        let out = format!("{at}/out");
        self.b.node(at, "Attention", "", &inputs, &[&out], attributes);
        Ok(Value(out))
    }

    /// A mask (b, s) of whole numbers as booleans (b, 1, s, s), the same in every row; one for all
    /// layers. ONNX Runtime does not broadcast rows.
    fn visible(&mut self, mask: &Value) -> Value {
        let name = format!("/{}/visible", mask.0);
        let made = Value(format!("{name}/out"));
        if self.b.makes(&made) {
            return made;
        }
        let axes = self.b.constant(&format!("{name}/axes"), &[2], &[1, 2]);
        let wide = self.b.op(&format!("{name}/wide"), "Unsqueeze", &[mask, &axes]);
        let to = vec![AttributeProto::int("to", 9)];
        let flags = self.b.op_with(&format!("{name}/flags"), "Cast", &[&wide], to);
        let span =
            |from, to| vec![AttributeProto::int("start", from), AttributeProto::int("end", to)];
        let items = self.b.op_with(&format!("{name}/items"), "Shape", &[mask], span(0, 1));
        let side = self.b.op_with(&format!("{name}/side"), "Shape", &[mask], span(1, 2));
        let one = self.b.constant(&format!("{name}/one"), &[1], &[1]);
        let axis = vec![AttributeProto::int("axis", 0)];
        let sides = [&items, &one, &side, &side];
        let shape = self.b.op_with(&format!("{name}/shape"), "Concat", &sides, axis);
        self.b.op(&name, "Expand", &[&flags, &shape])
    }

    fn convolution(&mut self, at: &str, of: &Convolution, x: &Value) -> Result<Value, E> {
        let mut inputs = vec![x.clone(), self.stored(&of.weight.name)?];
        if let Some(bias) = &of.bias {
            inputs.push(self.stored(&bias.name)?);
        }
        let attributes = vec![
            ints("kernel_shape", &of.weight.shape[2..]),
            ints("strides", &[of.stride; 2]),
            ints("pads", &[of.padding; 4]),
        ];
        Ok(self.b.op_with(at, "Conv", &inputs.iter().collect::<Vec<_>>(), attributes))
    }

    fn position_of(&mut self, at: &str, id: Option<u32>, x: &Value, ids: &Value) -> Value {
        let axis = || vec![AttributeProto::int("axis", 1), AttributeProto::int("keepdims", 1)];
        let wanted = match id {
            None => ids.clone(),
            Some(id) => {
                let id = self.b.constant(&format!("{at}/id"), &[], &[i64::from(id)]);
                let equal = self.b.op(&format!("{at}/equal"), "Equal", &[ids, &id]);
                let to = vec![AttributeProto::int("to", 7)];
                self.b.op_with(&format!("{at}/number"), "Cast", &[&equal], to)
            }
        };
        // The first of equals, as in transformers.
        let place = self.b.op_with(&format!("{at}/place"), "ArgMax", &[&wanted], axis());
        let batched = vec![AttributeProto::int("batch_dims", 1)];
        self.b.op_with(at, "GatherND", &[x, &place], batched)
    }

    fn mean(&mut self, at: &str, x: &Value, mask: &Value) -> Result<Value, E> {
        let to = vec![AttributeProto::int("to", 1)];
        let mask = self.b.op_with(&format!("{at}/mask"), "Cast", &[mask], to);
        let column = self.b.constant(&format!("{at}/column"), &[1], &[1]);
        let row = self.b.op(&format!("{at}/row"), "Unsqueeze", &[&mask, &column]);
        let sum = self.b.op(&format!("{at}/product"), "MatMul", &[&row, x]);
        let keep = vec![AttributeProto::int("keepdims", 1)];
        let count = self.b.op_with(&format!("{at}/count"), "ReduceSum", &[&mask, &column], keep);
        let least = Wanted::Table(Tensor::of_f32(Vec::new(), &[1e-9]));
        let tensor = (self.weight)(&format!("{at}/least"), least)?;
        let least = self.b.initializer(tensor);
        let count = self.b.op(&format!("{at}/divisor"), "Max", &[&count, &least]);
        let flat = self.b.op(&format!("{at}/sum"), "Squeeze", &[&sum, &column]);
        Ok(self.b.op(at, "Div", &[&flat, &count]))
    }
}
