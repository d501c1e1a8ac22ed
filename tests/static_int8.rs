//! Static INT8 of networks that others trained: what comes out of them stays near what came out
//! before.

mod support;

use std::path::Path;

use engine::backend::{OpenOptions, backend};
use engine::data::{ItemFile, Tensor};
use engine::model::onnx::GRAPH_FILE;
use engine::model::{Kind, facts};
use engine::pass::{PassJob, pass};
use serde_json::{Value, json};
use support::{Folder, PROJECT, ort_library};

/// A graph of the shared data and its input.
struct Network {
    path: &'static str,
    input: &'static str,
    shape: &'static [usize],
}

/// How far results may be from those in floats, relative to the largest one, and the least share of
/// weights in eight bits.
struct Bounds {
    most: f64,
    least: f64,
}

impl Network {
    /// An input with many different values.
    fn sample(&self, at: usize) -> [(String, Tensor); 1] {
        let value = |i: usize| ((i * 37 + at * 101) % 255) as f32 / 255.0;
        let values: Vec<f32> = (0..self.shape.iter().product()).map(value).collect();
        [(self.input.to_owned(), Tensor::of_f32(self.shape.to_vec(), &values))]
    }

    /// Calibrates on four inputs and compares the outputs for one of them.
    fn check(&self, params: &Value, bounds: &Bounds) {
        let Some(library) = ort_library() else { return };
        let model = Path::new(PROJECT).join("../shared/data").join(self.path);
        if !model.is_file() {
            eprintln!("skipped: no file {}", model.display());
            return;
        }
        let (data, out) = (Folder::new(), Folder::new());
        let samples = [0, 1, 2, 3].map(|at| self.sample(at));
        ItemFile::write(data.path(), samples.iter().map(|sample| &sample[..])).unwrap();
        let job = PassJob {
            input: &model,
            kind: Kind::Onnx,
            params,
            out: out.path(),
            data: Some(data.path()),
            runtime: Some(&library),
            progress: &|_| {},
        };
        let notes = pass("quantize", params).expect("a known pass").apply(&job).unwrap().notes;
        let how = OpenOptions { runtime: Some(library.clone()), ..OpenOptions::default() };
        let run = |graph: &Path| {
            let onnxruntime = backend("onnxruntime").unwrap();
            let mut session = onnxruntime.session(graph, Kind::Onnx, &how).unwrap();
            session.run(&samples[2]).unwrap().swap_remove(0).1.to_f64()
        };
        let (own, reference) = (run(&out.join(GRAPH_FILE)), run(&model));
        let largest = reference.iter().fold(0.0_f64, |most, v| most.max(v.abs()));
        let worst = own.iter().zip(&reference).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        println!("{} {params}: worst {worst} of {largest}; {notes:?}", self.path);
        assert!(worst <= bounds.most * largest, "{worst} of {largest}: {notes:?}");
        assert!(worst > 0.0, "eight bits are not exact");
        assert!(!out.join("calibration").exists());
        let share = facts(&out.join(GRAPH_FILE)).unwrap().quantized_share;
        assert!(share >= bounds.least, "only {share} of the weights in eight bits");
    }
}

fn params(calibrate: &str) -> Value {
    json!({"method": "static", "data": "d", "calibrate": calibrate})
}

#[test]
fn small_convolutions_compute_nearly_the_same_in_eight_bits() {
    let network = Network { path: "mnist-cnn/mnist.onnx", input: "Input3", shape: &[1, 1, 28, 28] };
    for (calibrate, most) in [("minmax", 0.05), ("percentile", 0.1), ("entropy", 0.3)] {
        network.check(&params(calibrate), &Bounds { most, least: 0.15 });
    }
}

#[test]
fn an_old_graph_is_raised_and_quantized() {
    let network = Network {
        path: "squeezenet-imagenet/SqueezeNet_fp32_upcast.onnx",
        input: "data_0",
        shape: &[1, 3, 224, 224],
    };
    network.check(&params("minmax"), &Bounds { most: 0.2, least: 0.95 });
}

#[test]
fn scales_for_a_whole_weight_and_signed_activations_work_too() {
    let network = Network {
        path: "super-resolution/pytorch_super_resolution.onnx",
        input: "input",
        shape: &[1, 1, 224, 224],
    };
    let params = json!({"method": "static", "data": "d", "per_channel": false,
                        "activation": "s8", "reduce_range": true});
    // ONNX Runtime's own quantizer is as far off with these settings.
    network.check(&params, &Bounds { most: 0.4, least: 0.95 });
}
