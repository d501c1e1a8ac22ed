//! A model of two parts is planned, built, judged and measured part by part.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::{Background, House, PROJECT, ort_library, wait_for};

/// Pictures and captions of the project, and one file that is no picture.
fn pictures(house: &House) {
    let from = Path::new(PROJECT).join("examples/data/shapes");
    let text = fs::read_to_string(from.join("heldout.jsonl")).unwrap();
    let mut lines: Vec<String> = text.lines().take(60).map(str::to_owned).collect();
    for line in &lines {
        let line: Value = serde_json::from_str(line).unwrap();
        let name = line["image"].as_str().unwrap();
        let to = house.folder.join(name);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from.join(name), to).unwrap();
    }
    house.folder.write("broken.png", "no picture");
    lines.push(r#"{"image": "broken.png", "caption": "nothing", "class": "red circle"}"#.into());
    house.folder.write("pairs.jsonl", lines.join("\n"));
}

fn spec(house: &House, library: &Path, rest: &str) -> PathBuf {
    let text = format!(
        r#"version: 1
name: shapes
why: Do both parts survive INT8?
model: {{source: "file://{PROJECT}/examples/models/shapes_clip"}}
runtime: {{onnxruntime: {{library: "file://{}"}}}}
data:
  pairs: {{source: file://pairs.jsonl, field: caption, label: class, prompt: "a picture of a {{label}}"}}
  said: {{source: file://pairs.jsonl, field: caption, label: class}}
variants:
  fp32: {{stages: [{{export: {{format: onnx}}}}]}}
  text8: {{from: fp32, stages: [{{quantize: {{parts: [text], method: dynamic, weights: int8}}}}]}}
  candle: {{backend: candle}}
{rest}"#,
        library.display()
    );
    house.folder.write("spec.yaml", text)
}

#[test]
fn parts_are_built_judged_and_measured_by_themselves() {
    let Some(library) = ort_library() else { return };
    let house = House::new();
    pictures(&house);
    let spec = spec(
        &house,
        &library,
        "quality: {metrics: [{top1: {data: pairs}}, {recall: {data: said, at: [1]}}, {cosine: {data: said}}]}
bench:
  data: said
  matrix: {part: [image, text], batch: [1, 2], dims: {sequence: [16]}, threads: [1]}
  design: {blocks: {min: 2, max: 2}, requests: {warmup: 0, min: 2, max: 2, min_time: 0ms}}
",
    );
    house.run(&spec).expect(0);
    let record = house.record();

    // The broken picture is named, not dropped in silence.
    let notes = record["notes"].to_string();
    assert!(notes.contains("1 picture left out: `broken.png`"), "{notes}");

    let quality = record["quality"].as_array().unwrap();
    let judged = |variant: &str, metric: &str, data: &str| -> Vec<(f64, f64)> {
        let (data, part) = data.split_once(", ").map_or((data, None), |(d, p)| (d, Some(p)));
        let is = |q: &&Value| {
            let own = q["variant"] == variant && q["metric"] == metric && q["data"] == data;
            own && q["part"].as_str() == part
        };
        let row = quality.iter().find(is).unwrap_or_else(|| panic!("{variant} {metric} {data}"));
        assert!(row["unmeasured"].is_null(), "{row}");
        let documents = row["documents"].as_array().unwrap().iter();
        let score = |d: &Value, key: &str| d[key].as_f64().unwrap();
        documents.map(|d| (score(d, "sum"), score(d, "reference_sum"))).collect()
    };
    let top1 = judged("candle", "top1", "pairs");
    assert_eq!(top1.len(), 60);
    assert!(top1.iter().map(|(own, _)| own).sum::<f64>() >= 50.0, "the model knows its shapes");
    assert!(top1.iter().all(|(own, other)| own == other), "f32 on both backends");
    assert!(judged("candle", "cosine", "said, image").iter().all(|(own, _)| *own > 1.0 - 1e-9));
    // The picture part is the same artifact, the text part is not.
    assert!(judged("text8", "cosine", "said, image").iter().all(|(own, _)| *own == 1.0));
    let words = judged("text8", "cosine", "said, text");
    assert!(words.iter().all(|(own, _)| *own > 0.98) && words.iter().any(|(own, _)| *own < 1.0));
    assert_eq!(judged("text8", "recall@1", "said").len(), 60);

    let cells = record["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 3 * 2 * 2);
    for cell in cells {
        let observed = &cell["launches"][0]["outcome"]["measured"];
        let request = &observed["requests"][0];
        let sees = cell["axes"]["part"] == "image";
        for phase in ["decode", "preprocess"] {
            assert_eq!(request[phase].as_u64().is_some_and(|n| n > 0), sees, "{phase}: {request}");
        }
        assert_eq!(cell["axes"].get("sequence").is_some(), !sees);
    }
}

#[test]
fn what_a_model_of_parts_cannot_do_is_told_before_anything_runs() {
    let Some(library) = ort_library() else { return };
    let house = House::new();
    pictures(&house);
    let told = |rest: &str| house.run(&spec(&house, &library, rest)).expect(2).stderr;
    let text = told("bench: {matrix: {part: [images], dims: {sequence: [16]}}}\n");
    assert!(text.contains("the model has no part `images`, only image, text"), "{text}");
    assert!(text.contains("did you mean `image`?"), "{text}");
    // One mistake is told once, however many metrics of the record it touches.
    let text = told("quality: {metrics: [{recall: {data: pairs, at: [1, 5]}}]}\n");
    assert!(text.contains("`recall` on `data.pairs` compares captions"), "{text}");
    assert!(text.contains("1 error; nothing was run"), "{text}");
    let text = told("quality: {metrics: [{top1: {data: said}}]}\n");
    assert!(text.contains("needs `prompt`"), "{text}");
    let text = told("bench: {matrix: {part: [text]}}\n");
    assert!(text.contains("`sequence`"), "{text}");
    let text = told("bench: {matrix: {prompt_tokens: [8]}}\n");
    assert!(text.contains("task `text_generation`"), "{text}");
}

#[test]
fn a_run_is_not_continued_on_other_data() {
    let Some(library) = ort_library() else { return };
    let house = House::new();
    pictures(&house);
    let bench = "bench:
  data: said
  matrix: {part: [image], threads: [1]}
  design: {blocks: {min: 500, max: 500}, max_time: 1h}
";
    let spec = spec(&house, &library, bench);
    let engine = Background::start(&mut house.run_command(&spec));
    wait_for("the second launch", || {
        let run = house.runs().pop()?;
        let launches =
            house.journal(&run).iter().filter(|entry| !entry["launch"].is_null()).count();
        (launches >= 2).then_some(())
    });
    engine.signal(libc::SIGINT);
    engine.end().expect(130);
    let run = house.runs().pop().unwrap();
    let list = house.folder.join("pairs.jsonl");
    let text = fs::read_to_string(&list).unwrap();
    fs::write(&list, text.lines().skip(1).collect::<Vec<_>>().join("\n")).unwrap();
    let ended = support::run(&mut house.engine(&["resume", &run])).expect(2);
    assert!(ended.stderr.contains("data sets changed"), "{}", ended.stderr);
    // With the data as it was the run goes on.
    fs::write(&list, text).unwrap();
    let engine = Background::start(&mut house.engine(&["resume", &run]));
    wait_for("another launch", || {
        let launches =
            house.journal(&run).iter().filter(|entry| !entry["launch"].is_null()).count();
        (launches >= 6).then_some(())
    });
    engine.signal(libc::SIGINT);
    engine.end().expect(130);
}
