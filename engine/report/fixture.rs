//! Records with a known truth for the tests of this room: seeded, so that goldens stand still.

use indexmap::IndexMap;
use rand::RngExt as _;
use rand_pcg::Pcg64Mcg;
use serde_json::{Value, json};

use super::fixture_conduct::conduct;
use crate::base::Digest;
use crate::machine::{PeakRates, Unmeasured};
use crate::measure::{Observed, Timeline};
use crate::record::{
    ArtifactFacts, Cell, Check, DocumentScore, Failure, Launch, Model, OpGroup, Outcome, Phase,
    Profile, Quality, Record, Residence, Run, Step, StepState, StopReason, VERSION, Variant,
    Verdict,
};

/// Noise of one variant under one setting: factor on every time, relative spread between launches.
struct Truth {
    variant: &'static str,
    factor: f64,
    spread: f64,
    memory: f64,
}

const TRUTHS: &[Truth] = &[
    Truth { variant: "fp32", factor: 1.0, spread: 0.015, memory: 46e6 },
    Truth { variant: "q8", factor: 1.0 / 1.62, spread: 0.015, memory: 31e6 },
    Truth { variant: "q4", factor: 1.0 / 1.12, spread: 0.11, memory: 24e6 },
];

fn normal(rng: &mut Pcg64Mcg) -> f64 {
    let sum: f64 = (0..12).map(|_| rng.random::<f64>()).sum();
    sum - 6.0
}

fn timeline(rng: &mut Pcg64Mcg, scale: f64, prompt: u32, warmup: bool, sent: u64) -> Timeline {
    let noisy = |rng: &mut Pcg64Mcg, mean: f64| (mean * (1.0 + 0.02 * normal(rng)).max(0.5)) as u64;
    let mut at = sent + noisy(rng, 90_000.0 * f64::from(prompt) * scale);
    let mut tokens = vec![at];
    for _ in 1..32 {
        at += noisy(rng, 2_900_000.0 * scale);
        tokens.push(at);
    }
    Timeline { sent, tokens, prompt_tokens: Some(prompt), batch: 1, warmup, ..Timeline::default() }
}

fn observed(rng: &mut Pcg64Mcg, truth: &Truth, prompt: u32, drift: f64) -> Observed {
    let scale = truth.factor * drift * (truth.spread * normal(rng)).exp();
    let first_call = timeline(rng, scale * 1.3, prompt, true, 30_000_000);
    let mut sent = first_call.tokens[31] + 1_000_000;
    let mut requests = Vec::new();
    for i in 0..5 {
        let request = timeline(rng, scale, prompt, i == 0, sent);
        sent = request.tokens[31] + 500_000;
        requests.push(request);
    }
    let peak = (truth.memory * (1.0 + 0.002 * normal(rng))) as u64;
    Observed {
        load: (28e6 * truth.factor.sqrt() * (1.0 + 0.05 * normal(rng))) as u64,
        first_call,
        requests,
        peak_memory: Some(peak),
        steady_memory: Some(peak - 2_000_000),
        cpu_time: Some(sent * 2),
        ..Observed::default()
    }
}

/// One axis is enough to have two settings; the others are fixed.
pub fn axes(prompt: u32) -> IndexMap<String, Value> {
    IndexMap::from([
        ("batch".to_owned(), json!(1)),
        ("prompt_tokens".to_owned(), json!(prompt)),
        ("new_tokens".to_owned(), json!(32)),
        ("threads".to_owned(), json!(2)),
    ])
}

fn cells(blocks: u32) -> Vec<Cell> {
    let mut rng = Pcg64Mcg::new(7);
    let mut cells = Vec::new();
    for prompt in [32, 128] {
        let mut started = 0;
        let drifts: Vec<f64> = (0..blocks).map(|_| (0.05 * normal(&mut rng)).exp()).collect();
        for (position, truth) in TRUTHS.iter().enumerate() {
            let launches = (0..blocks).map(|block| {
                let seen = observed(&mut rng, truth, prompt, drifts[block as usize]);
                let lost = truth.variant == "q4" && prompt == 128 && [3, 7, 8].contains(&block);
                started += 900_000_000;
                Launch {
                    block,
                    position: (position as u32 + block) % 3,
                    pid: Some(4000 + block * 3 + position as u32),
                    started,
                    wall: 800_000_000,
                    outcome: if lost {
                        Outcome::Failed(timeout())
                    } else {
                        Outcome::Measured(seen)
                    },
                    conditions: None,
                    residence: None,
                    settling: None,
                }
            });
            cells.push(Cell {
                variant: truth.variant.into(),
                scenario: "single_stream".into(),
                axes: axes(prompt),
                launches: launches.collect(),
                stop: Some(if prompt == 32 { StopReason::Target } else { StopReason::MaxBlocks }),
                disturbed: Vec::new(),
                slo: None,
            });
        }
    }
    cells
}

fn timeout() -> Failure {
    Failure {
        verdict: Verdict::Timeout,
        detail: "no result after 600s".into(),
        log_tail: "loading 42 tensors\nprefill done\ndecode 17/32".into(),
    }
}

fn quality() -> Vec<Quality> {
    let mut rng = Pcg64Mcg::new(11);
    let mut out = Vec::new();
    for (variant, loss, kl, top1) in
        [("fp32", 0.0, 0.0, 1.0), ("q8", 0.003, 0.0006, 0.985), ("q4", 0.041, 0.03, 0.91)]
    {
        let metrics = [("perplexity", loss), ("kl", kl), ("top1_agreement", top1)];
        for (metric, truth) in metrics {
            let unmeasured = (variant == "q4" && metric == "kl")
                .then(|| "the run was stopped before this step".to_owned());
            let documents = (0..48).map(|_| {
                let positions = 180 + (rng.random::<f64>() * 60.0) as u32;
                let n = f64::from(positions);
                let reference = n * (1.7 + 0.2 * normal(&mut rng));
                let own = (truth + truth * 0.3 * normal(&mut rng)) * n;
                match metric {
                    "perplexity" => {
                        DocumentScore { positions, sum: reference + own, reference_sum: reference }
                    }
                    "kl" => DocumentScore { positions, sum: own.max(0.0), reference_sum: 0.0 },
                    _ => {
                        let wrong = (1.0 - truth) * n * (1.0 + 0.3 * normal(&mut rng));
                        DocumentScore { positions, sum: (n - wrong).round(), reference_sum: n }
                    }
                }
            });
            let documents: Vec<_> = documents.collect();
            out.push(Quality {
                variant: variant.into(),
                reference: "fp32".into(),
                metric: metric.into(),
                data: "heldout".into(),
                part: None,
                artifact: Some(digest(variant)),
                documents: if unmeasured.is_some() { Vec::new() } else { documents },
                unmeasured,
            });
        }
    }
    out
}

pub fn digest(of: &str) -> Digest {
    Digest::of_bytes(of.as_bytes())
}

fn variants() -> IndexMap<String, Variant> {
    let facts = |name: &str, kind: &str, bytes: u64, dtype: &str, notes: &[&str]| ArtifactFacts {
        digest: digest(name),
        kind: kind.into(),
        bytes,
        parameters: 4_182_144,
        weight_bytes: IndexMap::from([
            (dtype.to_owned(), bytes - 200_000),
            ("f32".to_owned(), 12_288),
        ]),
        notes: notes.iter().map(|note| (*note).to_owned()).collect(),
    };
    let variant = |recipe: &[&str], artifact: ArtifactFacts, checks: Vec<Check>| Variant {
        backend: "candle".into(),
        device: None,
        recipe: recipe.iter().map(|stage| (*stage).to_owned()).collect(),
        artifact: Some(artifact),
        checks,
        failed: None,
        skipped: None,
    };
    let check = |what: &str, expected: &str, found: &str, passed| Check {
        what: what.into(),
        expected: expected.into(),
        found: found.into(),
        passed,
    };
    let formula = "q8_0: blocks of 32 weights, w = d·q with q in -127..=127 and d stored as f16";
    IndexMap::from([
        (
            "fp32".to_owned(),
            variant(&[], facts("fp32", "checkpoint", 16_940_116, "F32", &[]), Vec::new()),
        ),
        (
            "q8".to_owned(),
            variant(
                &["quantize q8_0"],
                facts("q8", "gguf", 4_689_920, "q8_0", &[formula]),
                vec![
                    check("size against fp32", "at most 40%", "27.7%", true),
                    check("quantized weights", "at least 90%", "99.7%", true),
                ],
            ),
        ),
        (
            "q4".to_owned(),
            variant(
                &["quantize q4_0"],
                facts("q4", "gguf", 2_620_416, "q4_0", &[]),
                vec![check("tensors of type q4_0", "at least 40", "38", false)],
            ),
        ),
    ])
}

fn steps() -> Vec<Step> {
    let step = |id: &str,
                label: &str,
                kind: &str,
                needs: &[&str],
                state,
                detail: Option<&str>,
                seconds| Step {
        id: id.into(),
        label: label.into(),
        kind: kind.into(),
        needs: needs.iter().map(|need| (*need).to_owned()).collect(),
        key: (kind != "bench").then(|| digest(id)),
        state,
        detail: detail.map(str::to_owned),
        seconds,
        peak_memory: (kind == "optimize").then_some(88_000_000),
    };
    vec![
        step(
            "load",
            "load file://examples/models/story_llama",
            "load",
            &[],
            StepState::Hit,
            None,
            0.004,
        ),
        step(
            "q8/quantize",
            "quantize q8_0",
            "optimize",
            &["load"],
            StepState::Done,
            Some("first time"),
            1.3,
        ),
        step(
            "q4/quantize",
            "quantize q4_0",
            "optimize",
            &["load"],
            StepState::Done,
            Some("parameter `format` changed"),
            1.1,
        ),
        step(
            "judge",
            "perplexity, kl, top1_agreement on heldout",
            "judge",
            &["q8/quantize", "q4/quantize"],
            StepState::Done,
            None,
            21.0,
        ),
        step(
            "bench",
            "2 settings × 3 variants",
            "bench",
            &["judge"],
            StepState::Failed,
            Some("3 launches failed"),
            64.0,
        ),
    ]
}

pub fn spec() -> Value {
    json!({
        "version": 1,
        "name": "llama_int8",
        "why": "Which INT8 recipe makes a small Llama decode faster on CPU without hurting perplexity?",
        "model": {"source": "file://examples/models/story_llama", "revision": null, "task": "text_generation"},
        "variants": {"fp32": {}, "q8": {}, "q4": {}},
        "quality": {"reference": "fp32", "metrics": [{"perplexity": {"data": "heldout"}}, {"kl": {"data": "heldout"}}, {"top1_agreement": {"data": "heldout"}}]},
        "bench": {
            "matrix": {"batch": [1], "prompt_tokens": [32, 128], "new_tokens": [32], "threads": [2]},
            "measure": ["load", "first_call", "ttft", "itl", "prefill_tps", "decode_tps", "e2e", "peak_memory", "model_size"],
            "design": {"order": "interleaved", "blocks": {"min": 10, "max": 12}, "stop": {"half_width": "2%", "metric": "decode_tps"}, "seed": 42}
        },
        "compare": {"baseline": null, "confidence": "95%", "correction": "holm", "improved_from": 1.2, "equivalence": "3%"},
        "gates": [
            {"name": "decode speed", "on": {"variant": "q8"}, "metric": "decode_tps", "ratio": {"min": 1.2, "max": null}, "loss": null, "value": null},
            {"name": "q8 quality holds", "on": {"variant": "q8"}, "metric": "perplexity", "ratio": null, "loss": {"max": "1%"}, "value": null},
            {"name": "q4 quality holds", "on": {"variant": "q4"}, "metric": "perplexity", "loss": {"max": "1%"}},
            {"name": "q4 is worth it", "on": {"variant": "q4", "prompt_tokens": 32}, "metric": "decode_tps", "ratio": {"min": 1.1}},
            {"name": "q4 stays close", "on": {"variant": "q4"}, "metric": "kl", "value": {"max": 0.05}},
            {"name": "memory", "on": {"variant": "q8"}, "metric": "peak_memory", "ratio": {"max": 1.05}}
        ],
        "report": {"formats": ["markdown", "html", "json", "csv"], "title": "Llama INT8 on CPU"}
    })
}

/// Three variants, two settings, `blocks` blocks; one variant times out, one quality is missing.
pub fn record() -> Record {
    Record {
        version: VERSION,
        run: Run {
            id: "20261122-143000-5f3a9c".into(),
            name: "llama_int8".into(),
            why: "Which INT8 recipe makes a small Llama decode faster on CPU without hurting perplexity?".into(),
            title: Some("Llama INT8 on CPU".into()),
            spec_file: "specs/llama_int8.yaml".into(),
            started: "2026-11-22T14:30:00Z".into(),
            finished: "2026-11-22T14:31:28Z".into(),
            seconds: 88.2,
            engine: "0.1.0".into(),
            seed: 42,
            interrupted: false,
            resumed: 0,
        },
        runtimes: Vec::new(),
        spec: spec(),
        machine: json!({
            "digest": digest("machine").hex(),
            "cpu": {"model": "Intel Xeon Platinum 8481C", "cores": 1, "threads": 2, "flags": ["avx2", "avx512f", "amx_int8"], "governor": null},
            "memory": {"total": "8 GiB", "swap": "none"},
            "kernel": "6.1.0",
            "container": true
        }),
        model: Model {
            source: "file://examples/models/story_llama".into(),
            task: "text_generation".into(),
            digest: Some(digest("model")),
            architecture: Some("LlamaForCausalLM".into()),
            parameters: Some(4_182_144),
            dtype: Some("F32".into()),
            context_length: Some(256),
            cache_per_token: None,
            random_weights: false,
        },
        variants: variants(),
        steps: steps(),
        quality: quality(),
        conduct: conduct(&cells(12)),
        cells: cells(12),
        profiles: Vec::new(),
        searches: Vec::new(),
        guard: None,
        references: Vec::new(),
        idle: None,
        soaks: Vec::new(),
        rates: Vec::new(),
        notes: vec!["The frequency governor cannot be read here.".into()],
    }
}

/// Makes launches bursts of processes that stay for five blocks.
pub fn keep(record: &mut Record) {
    let again = record.conduct.iter_mut().flat_map(|conduct| &mut conduct.again);
    for launch in record.cells.iter_mut().flat_map(|cell| &mut cell.launches).chain(again) {
        let part = launch.block % 5;
        launch.residence = Some(Residence { round: launch.block - part, part });
    }
}

/// In the last burst of the first processes the machine is so many times as slow, and the baseline
/// did not live to see it.
pub fn tear(record: &mut Record, slow: f64) {
    for cell in &mut record.cells {
        let launch = cell.launches.iter_mut().find(|launch| launch.block == 4).expect("a block");
        if cell.variant == "fp32" {
            launch.outcome = Outcome::Skipped { why: "it died".into() };
        } else if let Outcome::Measured(seen) = &mut launch.outcome {
            for request in &mut seen.requests {
                let sent = request.sent;
                for at in &mut request.tokens {
                    *at = sent + ((*at - sent) as f64 * slow) as u64;
                }
            }
        }
    }
}

/// Round rates.
pub fn peaks() -> PeakRates {
    PeakRates {
        threads: 2,
        int8_ops: Some(1000e9),
        bf16_flops: None,
        f32_flops: Some(250e9),
        memory_bytes: Some(50e9),
        occupied: 1.0,
        loops: vec!["int8: avx512vnni".into(), "f32: avx512f".into()],
        unmeasured: vec![Unmeasured {
            rate: "bf16".into(),
            why: "this processor has no wide instruction for bf16".into(),
        }],
    }
}

/// A profile of two phases; `decode` has two watched calls of 10 ms and round numbers.
fn profile() -> Profile {
    let group = |operator: &str, layer, nanos, work: Option<(u64, u64, u64)>, node: &str| OpGroup {
        operator: operator.into(),
        layer,
        provider: Some("CPUExecutionProvider".into()),
        arithmetic: Some(if operator == "MatMulNBits" { "int8" } else { "f32" }.into()),
        events: 4,
        nanos,
        operations: work.map(|(operations, ..)| operations),
        bytes: work.map(|(_, bytes, _)| bytes),
        weights: work.and_then(|(.., weights)| (weights > 0).then_some(weights)),
        nodes: vec![node.into()],
    };
    let decode = vec![
        group(
            "MatMulNBits",
            Some(0),
            6_000_000,
            Some((480_000_000, 240_000_000, 400_000_000)),
            "/layers.0/mlp/down_proj/MatMul",
        ),
        group(
            "MatMul",
            None,
            5_000_000,
            Some((1_000_000_000, 80_000_000, 20_000_000)),
            "/lm_head/MatMul",
        ),
        group(
            "MatMulNBits",
            Some(1),
            4_000_000,
            Some((320_000_000, 160_000_000, 300_000_000)),
            "/layers.1/mlp/down_proj/MatMul",
        ),
        group("LayerNorm", Some(1), 2_600_000, Some((1000, 8000, 0)), "/layers.1/norm"),
        group("Reshape", Some(0), 400_000, Some((0, 0, 0)), "/layers.0/attn/Reshape"),
    ];
    let prefill = vec![
        group("MatMulNBits", Some(0), 70_000_000, Some((60_000_000_000, 500_000, 400_000)), "/x"),
        group("Softmax", Some(0), 9_000_000, None, "/layers.0/attn/Softmax"),
    ];
    Profile {
        variant: "q8".into(),
        backend: "onnxruntime".into(),
        axes: axes(128),
        artifact: Some(digest("q8")),
        unprofiled: None,
        phases: vec![
            Phase {
                name: "prefill".into(),
                latencies: vec![78_000_000],
                watched: vec![80_000_000],
                cpu_time: Some(140_000_000),
                groups: prefill,
            },
            Phase {
                name: "decode".into(),
                latencies: vec![7_000_000, 9_000_000],
                watched: vec![9_000_000, 11_000_000],
                cpu_time: Some(28_800_000),
                groups: decode,
            },
        ],
        peak_memory: Some(64 << 20),
        peaks: Some(peaks()),
        unmeasured_peaks: None,
        trace: Some("trace-q8-b1-p128-n32-t2.json".into()),
    }
}

/// [`record`] with one profile and one that failed.
pub fn profiled() -> Record {
    let failed = Profile {
        variant: "q4".into(),
        axes: axes(32),
        artifact: None,
        unprofiled: Some("timeout: still running after 600 s".into()),
        phases: Vec::new(),
        peak_memory: None,
        peaks: None,
        unmeasured_peaks: Some("abort: signal 6".into()),
        trace: None,
        ..profile()
    };
    Record { profiles: vec![profile(), failed], ..record() }
}
