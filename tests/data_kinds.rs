//! Pictures and arrays of idx files, recordings, splits and pairs run from a spec to its report.
//! All data are made here.

mod support;

use std::fs;
use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};

use engine::data::ElementType::F32;
use engine::model::onnx::TensorProto;
use engine::model::onnx::build::GraphBuilder;
use engine::model::signature::Dim;
use flate2::Compression;
use flate2::write::GzEncoder;
use hound::{SampleFormat, WavSpec, WavWriter};
use prost::Message as _;
use serde_json::{Value, json};
use support::{House, PROJECT, ort_library};

/// Sides of a picture, and numbers of a class: one for each row of pixels.
const SIDE: usize = 4;

fn fixed(size: usize) -> Dim {
    Dim::Fixed(size as u64)
}

fn weights(name: &str, shape: [usize; 2], value: impl Fn(usize, usize) -> f32) -> TensorProto {
    let [rows, columns] = shape;
    let all = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
    let bytes = all.flat_map(|(row, column)| value(row, column).to_le_bytes()).collect();
    TensorProto::inline(name, F32, &shape.map(|side| side as u64), bytes)
}

/// Scores of a grey picture: the sum of every row, so that the brightest row is its class.
fn classifier(folder: &Path) {
    let batch = Dim::Named("batch".to_owned());
    let mut graph = GraphBuilder::default();
    let x = graph.input("pixels", F32, &[batch.clone(), fixed(1), fixed(SIDE), fixed(SIDE)]);
    graph.output("scores", F32, &[batch, fixed(SIDE)]);
    let weight = |pixel: usize, class: usize| f32::from(u8::from(pixel / SIDE == class));
    let a = graph.initializer(weights("a", [SIDE * SIDE, SIDE], weight));
    let flat = graph.op("flat", "Flatten", &[&x]);
    graph.node("last", "MatMul", "", &[&flat.0, &a.0], &["scores"], Vec::new());
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("rows.onnx"), graph.model("rows", 17, &[]).encode_to_vec()).unwrap();
    let plain = r#"{"image_processor_type": "ViTImageProcessor", "do_resize": false, "do_rescale": false, "do_normalize": false}"#;
    fs::write(folder.join("preprocessor_config.json"), plain).unwrap();
}

fn idx(shape: &[u32], data: &[u8]) -> Vec<u8> {
    let sizes = shape.iter().flat_map(|size| size.to_be_bytes());
    [0, 0, 8, shape.len() as u8].into_iter().chain(sizes).chain(data.iter().copied()).collect()
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::default());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// Pictures whose row `n % 4` is bright. Of every tenth the label is another.
fn digits(house: &House, count: usize) {
    let pixel = |n: usize, at: usize| {
        if at / SIDE == n % SIDE { 200 + (n % 40) as u8 } else { (at * 3 + n) as u8 }
    };
    let pixels: Vec<u8> =
        (0..count).flat_map(|n| (0..SIDE * SIDE).map(move |at| pixel(n, at))).collect();
    let label = |n: usize| if n % 10 == 9 { (n + 1) % SIDE } else { n % SIDE };
    let labels: Vec<u8> = (0..count).map(|n| label(n) as u8).collect();
    let (count, side) = (count as u32, SIDE as u32);
    house.folder.write("rows-idx3-ubyte.gz", packed(&idx(&[count, side, side], &pixels)));
    house.folder.write("rows-idx1-ubyte", idx(&[count], &labels));
}

/// One channel of 16 bits.
fn wav(rate: u32, samples: &[i16]) -> Vec<u8> {
    let sample_format = SampleFormat::Int;
    let spec = WavSpec { channels: 1, sample_rate: rate, bits_per_sample: 16, sample_format };
    let mut out = Cursor::new(Vec::new());
    let mut writer = WavWriter::new(&mut out, spec).unwrap();
    for sample in samples {
        writer.write_sample(*sample).unwrap();
    }
    writer.finalize().unwrap();
    out.into_inner()
}

fn tone(count: i16, step: i16) -> Vec<i16> {
    (0..count).map(|n| (n % step) * 300 - 900).collect()
}

fn spec(house: &House, library: &Path, rest: &str) -> PathBuf {
    let text = format!(
        "version: 1\nname: kinds\nwhy: Does every kind of data reach a run?\n\
         runtime: {{onnxruntime: {{library: \"file://{}\"}}}}\n{rest}",
        library.display()
    );
    house.folder.write("spec.yaml", text)
}

const FEW: &str =
    "design: {blocks: {min: 2, max: 2}, requests: {warmup: 0, min: 2, max: 2, min_time: 0ms}}";

/// Scores of a variant under a metric, with those of the reference.
fn judged(record: &Value, variant: &str, metric: &str) -> Vec<(f64, f64)> {
    let rows = record["quality"].as_array().unwrap();
    let is = |row: &&Value| row["variant"] == variant && row["metric"] == metric;
    let row = rows.iter().find(is).unwrap_or_else(|| panic!("{variant} {metric} in {rows:?}"));
    assert!(row["unmeasured"].is_null(), "{row}");
    let score = |d: &Value, key: &str| d[key].as_f64().unwrap();
    let documents = row["documents"].as_array().unwrap().iter();
    documents.map(|d| (score(d, "sum"), score(d, "reference_sum"))).collect()
}

#[test]
fn an_idx_pair_is_a_set_of_pictures_with_classes_and_an_array() {
    let Some(library) = ort_library() else { return };
    let house = House::new();
    classifier(&house.folder.join("model"));
    digits(&house, 40);
    let model = "model: {source: file://model/rows.onnx, task: TASK}\n";
    let variants = "variants:\n  fp32: {}\n  int8: {stages: [{quantize: {method: dynamic}}]}\n";
    let rest = format!(
        "{}data: {{rows: {{source: file://rows-idx3-ubyte.gz, labels: file://rows-idx1-ubyte}}}}\n{variants}\
         quality: {{metrics: [{{top1: {{data: rows}}}}, {{cosine: {{data: rows}}}}]}}\n\
         bench: {{data: rows, matrix: {{batch: [1, 8], threads: [1]}}, {FEW}}}\n",
        model.replace("TASK", "image_classification")
    );
    let file = spec(&house, &library, &rest);
    house.run(&file).expect(0);
    let record = house.record();
    let top1 = judged(&record, "fp32", "top1");
    assert_eq!(top1.iter().map(|(own, _)| own).sum::<f64>(), 36.0, "every tenth label is wrong");
    assert!(judged(&record, "int8", "cosine").iter().all(|(own, _)| *own > 0.99));
    let request = &record["cells"][0]["launches"][0]["outcome"]["measured"]["requests"][0];
    assert!(request["preprocess"].as_u64().is_some_and(|n| n > 0), "{request}");

    // The file of labels is part of what is judged on.
    assert_eq!(house.plan(&file)["fp32/judge-rows"]["state"], "hit");
    let mut labels = fs::read(house.folder.join("rows-idx1-ubyte")).unwrap();
    labels[8 + 9] = 1;
    house.folder.write("rows-idx1-ubyte", &labels);
    assert_eq!(house.plan(&file)["fp32/judge-rows"]["state"], "miss");

    // A graph on plain tensors takes the same file.
    let rest = format!(
        "{}data: {{rows: {{source: file://rows-idx3-ubyte.gz, take: 12}}}}\n{variants}\
         quality: {{metrics: [{{cosine: {{data: rows}}}}]}}\n",
        model.replace("TASK", "tensor")
    );
    house.run(&spec(&house, &library, &rest)).expect(0);
    let record = house.record();
    assert_eq!(judged(&record, "int8", "cosine").len(), 12);
    let notes = record["notes"].to_string();
    assert!(
        notes.contains("u8 of shape [40, 4, 4] is given as f32 of shape [40, 1, 4, 4]"),
        "{notes}"
    );
}

#[test]
fn what_is_wrong_with_an_idx_pair_is_told_at_its_key() {
    let Some(library) = ort_library() else { return };
    let house = House::new();
    classifier(&house.folder.join("model"));
    digits(&house, 40);
    house.folder.write("few-idx1-ubyte", idx(&[3], &[0, 1, 2]));
    house.folder.write("list.jsonl", "{\"image\": \"a.png\"}\n");
    let told = |data: &str| {
        let rest = format!(
            "model: {{source: file://model/rows.onnx, task: image_classification}}\n\
             data: {{rows: {{{data}}}}}\nvariants: {{fp32: {{}}}}\n\
             quality: {{metrics: [{{top1: {{data: rows}}}}]}}\n"
        );
        house.run(&spec(&house, &library, &rest)).expect(2).stderr
    };
    let images = "source: file://rows-idx3-ubyte.gz";
    let text = told(&format!("{images}, labels: file://few-idx1-ubyte"));
    assert!(text.contains("few-idx1-ubyte` holds u8 of shape [3], not 40 labels"), "{text}");
    let text = told(images);
    assert!(
        text.contains("needs the class of every picture") && text.contains("`labels`"),
        "{text}"
    );
    let text = told(&format!("{images}, labels: file://none-idx1-ubyte"));
    assert!(text.contains("none-idx1-ubyte") && text.contains("does not exist"), "{text}");
    let text = told("source: file://list.jsonl, labels: file://few-idx1-ubyte");
    assert!(text.contains("is no idx file") && text.contains("`label`"), "{text}");
    house.folder.write("list.csv", "image,label,split\na.png,1,calib\n");
    let text = told("source: file://list.csv, split: heldout");
    assert!(text.contains("no split `heldout`; found: `calib`"), "{text}");
    let text = told(&format!("{images}, split: heldout"));
    assert!(text.contains("without splits"), "{text}");
    house.folder.write("rows-idx3-ubyte.gz", packed(b"hello"));
    assert!(told(images).contains("does not begin as an idx file does"));
}

/// `y = x · a` for eight samples.
fn filter(folder: &Path) {
    let batch = Dim::Named("batch".to_owned());
    let mut graph = GraphBuilder::default();
    let x = graph.input("sound", F32, &[batch.clone(), Dim::Named("samples".to_owned())]);
    graph.output("energy", F32, &[batch, fixed(4)]);
    let a = graph
        .initializer(weights("a", [8, 4], |row, column| (row * 4 + column) as f32 / 9.0 - 1.5));
    graph.node("last", "MatMul", "", &[&x.0, &a.0], &["energy"], Vec::new());
    fs::write(folder.join("filter.onnx"), graph.model("filter", 17, &[]).encode_to_vec()).unwrap();
}

#[test]
fn recordings_of_a_split_are_windows_of_a_graph() {
    let Some(library) = ort_library() else { return };
    let house = House::new();
    filter(house.folder.path());
    house.folder.write("speech/calib/a.wav", wav(8000, &tone(64, 7)));
    house.folder.write("speech/heldout/a.wav", wav(8000, &tone(35, 5)));
    house.folder.write("speech/heldout/b.wav", wav(8000, &tone(16, 3)));
    house.folder.write("speech/heldout/broken.flac", "fLaC");
    let of = |heldout: &str| {
        format!(
            "model: {{source: file://filter.onnx}}\n\
             data:\n  calib: {{source: file://speech, split: calib, samples: 8}}\n  heldout: {{{heldout}}}\n\
             variants:\n  fp32: {{}}\n  int8: {{stages: [{{quantize: {{method: static, data: calib}}}}]}}\n\
             quality: {{metrics: [{{cosine: {{data: heldout}}}}]}}\n\
             bench: {{data: heldout, matrix: {{batch: [1, 2], threads: [1]}}, {FEW}}}\n"
        )
    };
    house
        .run(&spec(&house, &library, &of("source: file://speech, split: heldout, samples: 8")))
        .expect(0);
    let record = house.record();
    assert_eq!(judged(&record, "int8", "cosine").len(), 6);
    let notes = record["notes"].to_string();
    assert!(notes.contains("2 recordings of 8000 samples per second, 6 items of 8"), "{notes}");
    assert!(notes.contains("3 samples behind the last windows not used"), "{notes}");
    assert!(notes.contains("1 file left out: `broken.flac` ends before"), "{notes}");

    let told = |heldout: &str| house.run(&spec(&house, &library, &of(heldout))).expect(2).stderr;
    let text = told("source: file://speech, split: heldout");
    assert!(text.contains("`b.wav` has 16 samples and `a.wav` 35; `samples` cuts"), "{text}");
    let text = told("source: file://speech, split: test, samples: 8");
    assert!(text.contains("no split `test`; found: `calib`, `heldout`"), "{text}");
    let text = told("source: file://speech/heldout/broken.flac, samples: 8");
    assert!(text.contains("broken.flac` ends before"), "{text}");
    let text = told("source: file://filter.onnx, samples: 8");
    assert!(text.contains("holds no sound"), "{text}");
}

/// A real detector of voices with three inputs, where the shared data are at hand.
#[test]
fn a_voice_detector_is_given_windows_rate_and_state() {
    let Some(library) = ort_library() else { return };
    let folder = Path::new(PROJECT).join("../shared/data/silero-vad");
    if !folder.is_dir() {
        eprintln!("skipped: no folder {}", folder.display());
        return;
    }
    let house = House::new();
    let folder = folder.display();
    let rest = format!(
        "model: {{source: \"file://{folder}/silero_vad.onnx\"}}\n\
         data: {{speech: {{source: \"file://{folder}/test.wav\", samples: 512, take: 40, seed: 1}}}}\n\
         variants: {{fp32: {{}}}}\nquality: {{metrics: [{{cosine: {{data: speech}}}}]}}\n\
         bench: {{data: speech, matrix: {{threads: [1]}}, {FEW}}}\n"
    );
    house.run(&spec(&house, &library, &rest)).expect(0);
    let record = house.record();
    assert_eq!(judged(&record, "fp32", "cosine").len(), 40);
    let launch = &record["cells"][0]["launches"][0]["outcome"]["measured"];
    assert_eq!(launch["requests"].as_array().unwrap().len(), 2);
    let notes = record["notes"].to_string();
    assert!(
        notes.contains("of 16000 samples per second") && notes.contains("`sr` is 16000"),
        "{notes}"
    );
}

/// A small encoder as if somebody had trained it, with a tokenizer of words, that takes eight
/// tokens.
fn encoder(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    engine::model::RandomModel::parse("random://bert-tiny").unwrap().generate(folder).unwrap();
    let config = folder.join("config.json");
    let mut known: Value = serde_json::from_str(&fs::read_to_string(&config).unwrap()).unwrap();
    known.as_object_mut().unwrap().remove("engine_random_weights");
    fs::write(&config, known.to_string()).unwrap();
    let names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "one", "two", "three", "four", "five"];
    let vocab: Value =
        names.iter().enumerate().map(|(id, name)| ((*name).to_owned(), json!(id))).collect();
    let special = |id: usize| json!({"id": names[id], "ids": [id], "tokens": [names[id]]});
    let token = |id: &str| json!({"SpecialToken": {"id": id, "type_id": 0}});
    let text = json!({"Sequence": {"id": "A", "type_id": 0}});
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": null, "decoder": null, "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {"type": "TemplateProcessing",
            "single": [token("[CLS]"), text, token("[SEP]")], "pair": [text],
            "special_tokens": {"[CLS]": special(2), "[SEP]": special(3)}},
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]"},
    });
    fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    fs::write(folder.join("sentence_bert_config.json"), r#"{"max_seq_length": 8}"#).unwrap();
}

#[test]
fn texts_find_what_belongs_to_them_and_those_that_are_cut_are_counted() {
    let Some(library) = ort_library() else { return };
    let house = House::new();
    encoder(&house.folder.join("model"));
    let said =
        ["one two", "two three", "three four five", "four one", "five five one", "one three"];
    let mut lines = String::new();
    for (at, text) in said.iter().enumerate() {
        // Two belong to each other instead of to themselves.
        let other = said[match at {
            0 => 1,
            1 => 0,
            at => at,
        }];
        lines += &format!("{}\n", json!({"text": text, "same": other, "split": "heldout"}));
    }
    let long = "one two three four five one two three four five";
    lines += &format!("{}\n", json!({"text": long, "same": [long, "five"], "split": "heldout"}));
    lines += &format!("{}\n", json!({"text": "four", "same": "four", "split": "calib"}));
    house.folder.write("texts.jsonl", lines);
    let of = |data: &str, at: &str| {
        format!(
            "model: {{source: file://model}}\n\
             data: {{texts: {{source: file://texts.jsonl, split: heldout{data}}}}}\n\
             variants:\n  candle: {{backend: candle}}\n  onnx: {{stages: [{{export: {{format: onnx}}}}]}}\n\
             quality: {{metrics: [{{recall: {{data: texts, at: {at}}}}}, {{cosine: {{data: texts}}}}]}}\n"
        )
    };
    house.run(&spec(&house, &library, &of(", pair: same", "[1, 5]"))).expect(0);
    let record = house.record();
    for variant in ["candle", "onnx"] {
        let sums: Vec<f64> =
            judged(&record, variant, "recall@1").iter().map(|(own, _)| *own).collect();
        assert_eq!(sums[..6], [0.0, 0.0, 2.0, 2.0, 2.0, 2.0], "{variant}");
        assert!(sums[6] >= 1.0, "{variant}: {sums:?}");
        assert_eq!(judged(&record, variant, "recall@5").len(), 7);
        assert_eq!(judged(&record, variant, "cosine").len(), 7);
    }
    let notes = record["notes"].to_string();
    assert!(
        notes.contains("data set `texts`: 1 of 7 texts is longer than 8 tokens and was cut"),
        "{notes}"
    );
    assert!(notes.contains("1 of 8 texts that belong to others is longer"), "{notes}");

    let told =
        |data: &str, at: &str| house.run(&spec(&house, &library, &of(data, at))).expect(2).stderr;
    let text = told("", "[1]");
    assert!(
        text.contains("needs `pair`") && text.contains("add `pair: FIELD` to `data.texts`"),
        "{text}"
    );
    let text = told(", pair: same", "[10]");
    assert!(text.contains("more than 10 different texts") && text.contains("has 7"), "{text}");
    let text = told(", pair: other", "[1]");
    assert!(text.contains("texts.jsonl:1` has no text field `other`"), "{text}");
    let text = told(", pair: same, field: split", "[1]").replace('\n', " ");
    assert!(text.contains("has 1"), "{text}");
}
