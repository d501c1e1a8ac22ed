//! A small classifier of pictures with random weights.

use engine::data::ElementType::F32;
use engine::model::onnx::build::{GraphBuilder, Value};
use engine::model::onnx::{AttributeProto, TensorProto};
use engine::model::signature::Dim;
use prost::Message as _;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

const SEED: u64 = 28;

/// Three convolutions and two products over pictures of 1 × 28 × 28, any number at a time, with ten
/// outputs; an ONNX file of some 36 kB.
pub fn classifier() -> Vec<u8> {
    let named = |name: &str| Dim::Named(name.to_owned());
    let mut weights =
        Weights { graph: GraphBuilder::default(), numbers: Pcg64::seed_from_u64(SEED) };
    let image = [named("batch"), Dim::Fixed(1), Dim::Fixed(28), Dim::Fixed(28)];
    let x = weights.graph.input("image", F32, &image);
    weights.graph.output("scores", F32, &[named("batch"), Dim::Fixed(10)]);
    let x = weights.convolution("first", &x, 1, 8);
    let x = weights.convolution("second", &x, 8, 16);
    let x = weights.pool("halved", &x, 2);
    let x = weights.convolution("third", &x, 16, 16);
    let x = weights.pool("small", &x, 4);
    let flat = vec![AttributeProto::int("axis", 1)];
    let x = weights.graph.op_with("flat", "Flatten", &[&x], flat);
    let (hidden, bias) = weights.matrix("hidden", 16 * 3 * 3, 32);
    let x = weights.graph.op("hidden", "Gemm", &[&x, &hidden, &bias]);
    let x = weights.graph.op("hidden/relu", "Relu", &[&x]);
    let (last, bias) = weights.matrix("last", 32, 10);
    weights.graph.node("last", "Gemm", "", &[&x.0, &last.0, &bias.0], &["scores"], Vec::new());
    let mut model = weights.graph.model("tiny_conv", 17, &[]);
    // The bytes stay the same whatever version of the engine makes them.
    model.producer_version = None;
    model.encode_to_vec()
}

/// A graph under construction whose weights are drawn one after another.
struct Weights {
    graph: GraphBuilder,
    numbers: Pcg64,
}

impl Weights {
    /// Uniform numbers with the variance that keeps rectified activations at one size: 2 / inputs
    /// (He and others, 2015).
    fn drawn(&mut self, name: &str, shape: &[u64], inputs: usize) -> Value {
        let most = (6.0 / inputs as f32).sqrt();
        let count = shape.iter().product::<u64>();
        let mut draw = || (self.numbers.random::<f32>() * 2.0 - 1.0) * most;
        let bytes = (0..count).flat_map(|_| draw().to_le_bytes()).collect();
        self.graph.initializer(TensorProto::inline(name, F32, shape, bytes))
    }

    /// 3 × 3, at the same size, rectified.
    fn convolution(&mut self, name: &str, x: &Value, inputs: usize, outputs: usize) -> Value {
        let shape = [outputs as u64, inputs as u64, 3, 3];
        let kernel = self.drawn(&format!("{name}/kernel"), &shape, inputs * 9);
        let bias = self.drawn(&format!("{name}/bias"), &[outputs as u64], 600);
        let how = vec![
            AttributeProto::of_ints("kernel_shape", &[3, 3]),
            AttributeProto::of_ints("pads", &[1, 1, 1, 1]),
        ];
        let x = self.graph.op_with(name, "Conv", &[x, &kernel, &bias], how);
        self.graph.op(&format!("{name}/relu"), "Relu", &[&x])
    }

    fn pool(&mut self, name: &str, x: &Value, side: i64) -> Value {
        let how = vec![
            AttributeProto::of_ints("kernel_shape", &[side, side]),
            AttributeProto::of_ints("strides", &[side, side]),
        ];
        self.graph.op_with(name, "MaxPool", &[x], how)
    }

    fn matrix(&mut self, name: &str, inputs: usize, outputs: usize) -> (Value, Value) {
        let shape = [inputs as u64, outputs as u64];
        let matrix = self.drawn(&format!("{name}/matrix"), &shape, inputs);
        (matrix, self.drawn(&format!("{name}/bias"), &[outputs as u64], 600))
    }
}
