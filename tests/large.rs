//! A record of ten thousand cells must still become a report: `cargo test --release --test large --
//! --ignored --nocapture` prints its time and memory and holds them to their bars. Ignored, because
//! a debug build says nothing about either.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use engine::base::Digest;
use engine::machine::watch::{Canary, Finding, Hog, Level, Readings, Signal};
use engine::measure::repetition::{Repetition, SettledBy, Weights};
use engine::measure::{Observed, Timeline};
use engine::record::{
    ArtifactFacts, Cause, Cell, Conduct, Disturbed, Guard, Launch, Model, Outcome, Record, Run,
    StopReason, VERSION, Variant,
};
use indexmap::IndexMap;
use serde_json::{Value, json};

const VARIANTS: usize = 20;
const BLOCKS: u32 = 10;
const REQUESTS: u64 = 6;
const TOKENS: u64 = 8;

/// Spreads numbers over 0 to 1, the same ones every time.
fn scatter(of: u64) -> f64 {
    let mixed = (of + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 11) as f64 / (1u64 << 53) as f64
}

fn request(seed: u64, sent: u64, time: f64) -> Timeline {
    let step = |token: u64| (time * (1.0 + 0.02 * scatter(seed * TOKENS + token))) as u64;
    let ends = (0..TOKENS).scan(sent, |at, token| {
        *at += step(token);
        Some(*at)
    });
    let tokens = ends.collect();
    Timeline { sent, tokens, prompt_tokens: Some(32), batch: 1, ..Timeline::default() }
}

fn launch(cell: u64, variant: usize, block: u32) -> Launch {
    let seed = cell * u64::from(BLOCKS) + u64::from(block);
    let time = 3e6 * (1.0 - 0.02 * variant as f64) * (1.0 + 0.06 * scatter(seed));
    let first_call = request(seed, 30_000_000, 1.3 * time);
    let mut sent = 100_000_000;
    let requests = (0..REQUESTS).map(|i| {
        let request = request(seed * REQUESTS + i, sent, time);
        sent = request.tokens[TOKENS as usize - 1] + 500_000;
        Timeline { warmup: i == 0, ..request }
    });
    let observed = Observed {
        load: 28_000_000,
        first_call,
        requests: requests.collect(),
        peak_memory: Some(40_000_000 + (1e5 * scatter(seed)) as u64),
        steady_memory: Some(38_000_000),
        cpu_time: Some(900_000_000),
        ..Observed::default()
    };
    Launch {
        block,
        position: (variant as u32 + block) % VARIANTS as u32,
        pid: Some(4000),
        started: seed * 900_000_000,
        wall: 800_000_000,
        conditions: Some(readings(seed, variant, block)),
        residence: None,
        settling: None,
        outcome: Outcome::Measured(observed),
    }
}

/// What the guard of a real run writes down: a neighbour now and then, and a canary for each block.
fn readings(seed: u64, variant: usize, block: u32) -> Readings {
    let foreign = if is_disturbed(block, seed) { 0.6 } else { 0.02 * scatter(seed) };
    let hog = |name: &str, cores| Hog { name: name.into(), pid: 4711, cores };
    Readings {
        seconds: 0.8,
        cores: 2,
        busy: Some(1.0 + foreign),
        foreign: Some(foreign),
        steal: Some(0.001 * scatter(seed + 1)),
        pressure: Some(0.05 * scatter(seed + 2)),
        throttled: Some(0),
        swapped_in: Some(0),
        faults: Some(0),
        switches: Some(20 + seed % 7),
        frequency: Some(3.1e9 + 1e7 * scatter(seed + 3)),
        hogs: vec![hog("ffmpeg", foreign), hog("sshd", 0.001)],
        canary: (variant == 0)
            .then(|| Canary { integer: 1.31, memory: 2.2 + 0.01 * scatter(seed) }),
        cost: Some(0.002),
        ..Readings::default()
    }
}

/// One block of every tenth setting.
fn is_disturbed(block: u32, seed: u64) -> bool {
    let setting = seed / u64::from(BLOCKS) / VARIANTS as u64;
    block == 3 && setting.is_multiple_of(10)
}

fn disturbed(setting: usize) -> Vec<Disturbed> {
    if !setting.is_multiple_of(10) {
        return Vec::new();
    }
    let finding = Finding {
        signal: Signal::Foreign,
        level: Level::Invalidate,
        value: 0.3,
        detail: "others used 0.60 of 2 processors (30 %): ffmpeg (pid 4711) 0.60".into(),
    };
    vec![Disturbed {
        block: 3,
        causes: vec![Cause { variant: "v7".into(), finding }],
        left_out: true,
    }]
}

fn axes(setting: usize) -> IndexMap<String, Value> {
    [("batch", 1), ("prompt_tokens", setting + 1), ("new_tokens", 8), ("threads", 2)]
        .map(|(axis, value)| (axis.to_owned(), json!(value)))
        .into()
}

/// The baseline once more under every setting, as with `--strict`.
fn conduct(setting: usize) -> Conduct {
    let weights = Weights { request: 0.06, launch: 1.6, sd_requests: 0.02, sd_launches: 0.02 };
    let again = |block| {
        let number = (setting * VARIANTS) as u64 + 7_000_000;
        Launch { position: VARIANTS as u32, ..launch(number, 0, block) }
    };
    Conduct {
        scenario: "single_stream".into(),
        axes: axes(setting),
        repetition: Some(Repetition {
            requests: REQUESTS as u32 - 1,
            settled_by: SettledBy::Weights,
            pilot: 5,
            weights: Some(weights),
        }),
        baseline: "v0".into(),
        again: (0..BLOCKS).map(again).collect(),
        not_again: None,
        not_kept: None,
    }
}

#[allow(clippy::too_many_lines)]
fn record(settings: usize) -> Record {
    let names: Vec<String> = (0..VARIANTS).map(|variant| format!("v{variant}")).collect();
    let cells = (0..settings).flat_map(|setting| {
        names.iter().enumerate().map(move |(variant, name)| {
            let number = (setting * VARIANTS + variant) as u64;
            Cell {
                variant: name.clone(),
                scenario: "single_stream".into(),
                axes: axes(setting),
                launches: (0..BLOCKS).map(|block| launch(number, variant, block)).collect(),
                stop: Some(StopReason::MaxBlocks),
                disturbed: disturbed(setting),
                slo: None,
            }
        })
    });
    let variant = |name: &String| {
        let artifact = ArtifactFacts {
            digest: Digest::of_bytes(name.as_bytes()),
            kind: "gguf".into(),
            bytes: 4_689_920,
            parameters: 4_182_144,
            weight_bytes: [("q8_0".to_owned(), 4_456_448)].into(),
            notes: Vec::new(),
        };
        let variant = Variant {
            backend: "candle".into(),
            device: None,
            recipe: vec!["quantize q8_0".into()],
            artifact: Some(artifact),
            checks: Vec::new(),
            failed: None,
            skipped: None,
        };
        (name.clone(), variant)
    };
    let prompts: Vec<usize> = (1..=settings).collect();
    let spec = json!({
        "version": 1,
        "name": "large",
        "why": "How large may a record be?",
        "model": {"source": "file://model", "revision": null, "task": "text_generation"},
        "variants": names.iter().map(|name| (name.clone(), json!({}))).collect::<serde_json::Map<_, _>>(),
        "bench": {
            "matrix": {"batch": [1], "prompt_tokens": prompts, "new_tokens": [8], "threads": [2]},
            "measure": ["load", "first_call", "ttft", "itl", "prefill_tps", "decode_tps", "e2e", "peak_memory", "model_size"],
            "design": {"order": "interleaved", "blocks": {"min": 10, "max": 10}, "stop": {"half_width": "2%", "metric": "decode_tps"}, "seed": 42}
        },
        "compare": {"baseline": null, "confidence": "95%", "correction": "holm", "improved_from": 1.2, "equivalence": "3%"},
        "gates": [{"name": "faster", "on": {"variant": "v19"}, "metric": "decode_tps", "ratio": {"min": 1.2}}],
        "report": {"formats": ["markdown", "html", "json", "csv"], "title": null}
    });
    Record {
        version: VERSION,
        run: Run {
            id: "20261125T100000Z-1a26e0".into(),
            name: "large".into(),
            why: "How large may a record be?".into(),
            title: None,
            spec_file: "large.yaml".into(),
            started: "2026-11-25T10:00:00Z".into(),
            finished: "2026-11-26T10:00:00Z".into(),
            seconds: 86_400.0,
            engine: "0.1.0".into(),
            seed: 42,
            interrupted: false,
            resumed: 0,
        },
        spec,
        machine: json!({}),
        model: Model {
            source: "file://model".into(),
            task: "text_generation".into(),
            digest: None,
            architecture: None,
            parameters: None,
            dtype: None,
            context_length: None,
            cache_per_token: None,
            random_weights: false,
        },
        runtimes: Vec::new(),
        variants: names.iter().map(variant).collect(),
        steps: Vec::new(),
        quality: Vec::new(),
        cells: cells.collect(),
        profiles: Vec::new(),
        searches: Vec::new(),
        conduct: (0..settings).map(conduct).collect(),
        guard: Some(Guard { unmeasured: Vec::new(), max_invalid: 0.2 }),
        references: Vec::new(),
        idle: None,
        soaks: Vec::new(),
        rates: Vec::new(),
        notes: Vec::new(),
    }
}

/// Most resident memory in bytes of any process this one has waited for.
fn most_memory() -> u64 {
    // SAFETY: the call fills in plain data.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        usage
    };
    u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024
}

#[test]
#[ignore = "minutes in a debug build, and bars are for release builds"]
fn ten_thousand_cells_become_a_report_in_ten_seconds_and_a_gigabyte() {
    let settings = std::env::var("ENGINE_LARGE_SETTINGS").ok().and_then(|text| text.parse().ok());
    let record = record(settings.unwrap_or(500));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("large");
    fs::create_dir_all(&folder).expect("cargo gives tests a writable folder");
    let text = serde_json::to_vec(&record).expect("a record has no keys but text");
    let (cells, bytes) = (record.cells.len(), text.len());
    fs::write(folder.join("record.json"), text).expect("a writable folder");
    drop(record);
    println!("{cells} cells, record of {} MB", bytes / 1_000_000);
    for format in ["json", "csv", "markdown", "html", "terminal", "all"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_engine"));
        command.arg("report").arg(&folder);
        if format != "all" {
            command.args(["--format", format]);
        }
        let begin = Instant::now();
        let output = command.output().expect("the engine was built for this test");
        let seconds = begin.elapsed().as_secs_f64();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        println!("{format:<9} {seconds:.1} s, at most {} MB so far", most_memory() / 1_000_000);
        if format == "all" && !cfg!(debug_assertions) {
            assert!(seconds <= 10.0, "{seconds:.1} s for every format");
            assert!(most_memory() <= 1_000_000_000, "{} bytes", most_memory());
        }
    }
    for file in ["report.html", "report.md"] {
        let written = fs::metadata(folder.join(file)).map_or(0, |facts| facts.len());
        println!("{file} {} MB", written / 1_000_000);
    }
    fs::remove_dir_all(&folder).expect("it was made here");
}

#[test]
fn the_large_record_is_a_record_like_any_other() {
    let record = record(2);
    assert_eq!(record.cells.len(), 2 * VARIANTS);
    let text = serde_json::to_string(&record).expect("a record has no keys but text");
    assert_eq!(serde_json::from_str::<Record>(&text).expect("a record"), record);
    let found: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(found["cells"][0]["launches"].as_array().map(Vec::len), Some(BLOCKS as usize));
}
