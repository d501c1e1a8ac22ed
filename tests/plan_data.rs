//! Data sets that stages calibrate with: steps, keys, and what they may not share.

mod support;

use std::path::Path;

use engine::base::Problems;
use engine::plan::{Plan, Surroundings, expand};
use engine::spec::{self, Overrides};
use engine::stage::Stage;
use support::{Folder, PROJECT};

fn plan(folder: &Folder, source: &str, metrics: &str) -> Result<Plan, Problems> {
    let text = format!(
        "version: 1\nname: t\nwhy: w\nmodel: {{source: \"{source}\"}}\n\
         data:\n  calib: {{source: file://calib.jsonl}}\n  heldout: {{source: file://heldout.jsonl}}\n\
         variants:\n  plain: {{stages: [{{export: {{format: onnx}}}}]}}\n  int8:\n    from: plain\n    stages:\n    \
         - quantize: {{method: static, data: calib}}\n{metrics}"
    );
    let schema = engine::catalog::spec_schema();
    let file = Path::new("t.yaml");
    let loaded = spec::parse(&text, file, &schema, &Overrides::default()).expect("a sound spec");
    let roots = vec![folder.path().to_owned()];
    expand(
        &loaded,
        &Surroundings {
            roots,
            physical_cores: 1,
            logical_cores: 1,
            gpus: Err("none in this test".into()),
            mock: false,
        },
    )
}

fn line(text: &str) -> String {
    format!("{{\"text\": \"{text}\"}}\n")
}

fn data(calib: &[&str], heldout: &[&str]) -> Folder {
    let folder = Folder::new();
    let lines = |texts: &[&str]| texts.iter().map(|text| line(text)).collect::<String>();
    folder.write("calib.jsonl", lines(calib));
    folder.write("heldout.jsonl", lines(heldout));
    folder
}

fn story() -> String {
    format!("file://{PROJECT}/examples/models/story_llama")
}

const JUDGED: &str = "quality: {metrics: [{perplexity: {data: heldout}}]}\n";

#[test]
fn a_stage_needs_the_step_that_loads_its_data() {
    let folder = data(&["one", "two"], &["three"]);
    let plan = plan(&folder, &story(), JUDGED).expect("nothing is shared");
    let step = plan.step("int8/quantize").expect("the stage is planned");
    let kinds: Vec<bool> = step
        .needs
        .iter()
        .map(|&need| matches!(plan.steps[need].stage, Stage::LoadTokens(_)))
        .collect();
    assert_eq!(kinds, [false, true, false], "model, data, runtime");
    assert!(plan.step("data/calib").is_some());
}

#[test]
fn items_that_are_calibrated_on_and_judged_on_are_counted_and_refused() {
    let folder = data(&["one", "two", "three", "one"], &["three", "one", "four"]);
    let Problems(problems) = plan(&folder, &story(), JUDGED).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].code, "plan/overlap");
    assert_eq!(problems[0].at.pointer, "/variants/int8/stages/0/quantize/data");
    assert!(problems[0].what.contains("2 items of `calib` are also in `heldout`"), "{problems:?}");
    assert!(problems[0].what.contains("`perplexity`"), "{problems:?}");
    assert!(plan(&folder, &story(), "").is_ok(), "without judging nothing is spoilt");
}

#[test]
fn a_model_without_a_tokenizer_cannot_be_calibrated_on_texts() {
    let folder = data(&["one"], &["two"]);
    let Problems(problems) = plan(&folder, "random://llama-tiny", "").unwrap_err();
    assert!(problems[0].what.contains("no tokenizer"), "{problems:?}");
}
