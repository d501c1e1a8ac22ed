//! A record of a graph with a known truth: two variants, two settings, eight blocks.

use indexmap::IndexMap;
use rand::RngExt as _;
use rand_pcg::Pcg64Mcg;
use serde_json::json;

use super::fixture::{digest, record as text};
use crate::measure::{Observed, Timeline};
use crate::record::{
    ArtifactFacts, Cell, DocumentScore, Launch, Outcome, Quality, Record, StopReason, Variant,
};

const BLOCKS: u32 = 8;

/// Name, seconds per item, bytes of the artifact.
const TRUTHS: [(&str, f64, u64); 2] = [("fp32", 4e-3, 4_800_000), ("int8", 2.5e-3, 1_300_000)];

fn observed(rng: &mut Pcg64Mcg, seconds: f64, batch: u32) -> Observed {
    let mut sent = 20_000_000;
    let mut request = |warmup: bool, slower: f64| {
        let noise = 1.0 + 0.02 * (rng.random::<f64>() - 0.5);
        let done = sent + (seconds * f64::from(batch) * noise * slower * 1e9) as u64;
        let timeline = Timeline { sent, tokens: vec![done], batch, warmup, ..Timeline::default() };
        sent = done + 100_000;
        timeline
    };
    let first_call = request(false, 1.4);
    let requests = (0..6).map(|i| request(i == 0, 1.0)).collect();
    Observed {
        load: 12_000_000,
        first_call,
        requests,
        peak_memory: Some(60_000_000 + (1e10 * seconds) as u64),
        steady_memory: None,
        cpu_time: None,
        ..Observed::default()
    }
}

fn cells() -> Vec<Cell> {
    let mut rng = Pcg64Mcg::new(3);
    let mut cells = Vec::new();
    for batch in [1, 8] {
        for (position, (variant, seconds, _)) in TRUTHS.into_iter().enumerate() {
            let launches = (0..BLOCKS).map(|block| Launch {
                block,
                position: (position as u32 + block) % 2,
                pid: Some(5000 + block),
                started: u64::from(block) * 1_000_000_000,
                wall: 400_000_000,
                outcome: Outcome::Measured(observed(&mut rng, seconds, batch)),
                conditions: None,
                residence: None,
                settling: None,
            });
            cells.push(Cell {
                variant: variant.into(),
                scenario: "single_stream".into(),
                axes: IndexMap::from([
                    ("batch".to_owned(), json!(batch)),
                    ("height".to_owned(), json!(224)),
                    ("threads".to_owned(), json!(2)),
                ]),
                launches: launches.collect(),
                stop: Some(StopReason::Target),
                disturbed: Vec::new(),
                slo: None,
            });
        }
    }
    cells
}

fn quality() -> Vec<Quality> {
    let mut rng = Pcg64Mcg::new(5);
    let mut out = Vec::new();
    for (variant, ..) in TRUTHS {
        let itself = variant == "fp32";
        for (metric, perfect, off) in
            [("cosine", 1.0, -0.002), ("max_abs_error", 0.0, 0.05), ("top1_agreement", 1.0, 0.0)]
        {
            let documents = (0..16).map(|_| {
                let off = if itself { 0.0 } else { off * (0.5 + rng.random::<f64>()) };
                DocumentScore { positions: 1, sum: perfect + off, reference_sum: perfect }
            });
            out.push(Quality {
                variant: variant.into(),
                reference: "fp32".into(),
                metric: metric.into(),
                data: "synthetic".into(),
                part: None,
                artifact: Some(digest(variant)),
                documents: documents.collect(),
                unmeasured: None,
            });
        }
    }
    out
}

pub fn record() -> Record {
    let mut record = text();
    record.run.name = "any_graph".into();
    record.run.why = "Is dynamic INT8 worth it for this graph?".into();
    record.run.title = None;
    record.spec = json!({
        "version": 1,
        "name": "any_graph",
        "model": {"source": "file://model.onnx", "task": "tensor"},
        "variants": {"fp32": {}, "int8": {}},
        "quality": {"metrics": [{"cosine": {}}, {"max_abs_error": {}}, {"top1_agreement": {}}]},
        "bench": {
            "matrix": {"batch": [1, 8], "dims": {"height": [224]}, "threads": [2]},
            "measure": ["load", "first_call", "latency", "throughput", "peak_memory", "model_size"],
            "design": {"blocks": {"min": 8, "max": 8}, "stop": {"half_width": "2%", "metric": "latency"}, "seed": 42}
        },
        "compare": {"confidence": "95%", "correction": "holm", "improved_from": 1.2, "equivalence": "3%"},
        "gates": [
            {"name": "faster", "on": {"variant": "int8", "dims": {"height": 224}}, "metric": "latency", "ratio": {"max": 0.8}},
            {"name": "close", "on": {"variant": "int8"}, "metric": "cosine", "loss": {"max": "1%"}},
            {"name": "error", "on": {"variant": "int8"}, "metric": "max_abs_error", "value": {"max": 0.1}}
        ]
    });
    record.model.source = "file://model.onnx".into();
    record.model.task = "tensor".into();
    record.model.architecture = Some("onnx".into());
    record.model.context_length = None;
    let variant = |(name, _, bytes): (&str, f64, u64)| {
        let artifact = ArtifactFacts {
            digest: digest(name),
            kind: "onnx".into(),
            bytes,
            parameters: 1_200_000,
            weight_bytes: IndexMap::from([("f32".to_owned(), bytes)]),
            notes: Vec::new(),
        };
        let variant = Variant {
            backend: "onnxruntime".into(),
            device: None,
            recipe: if name == "int8" { vec!["quantize dynamic".into()] } else { Vec::new() },
            artifact: Some(artifact),
            checks: Vec::new(),
            failed: None,
            skipped: None,
        };
        (name.to_owned(), variant)
    };
    record.variants = TRUTHS.into_iter().map(variant).collect();
    record.steps.clear();
    record.quality = quality();
    record.cells = cells();
    record.notes =
        vec!["input `image` is seeded synthetic: normal numbers of mean 0 and deviation 1".into()];
    record
}
