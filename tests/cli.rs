//! Exit codes, and what goes to which stream.

mod support;

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use support::{Ended, House, PROJECT, engine, read_json, run, tiny_bench};

const STORY: &str = "examples/models/story_llama";
const QUICK: &str = "{warmup: 0, min: 1, max: 1, min_time: 1ms}";

fn plain(arguments: &[&str]) -> Ended {
    run(engine().args(arguments))
}

fn house_with_bench() -> (House, std::path::PathBuf) {
    let house = House::new();
    let spec = house.folder.write("tiny.yaml", tiny_bench("tiny", 2, QUICK));
    (house, spec)
}

#[test]
fn a_good_spec_validates_on_stdout_and_a_bad_one_on_stderr() {
    let good = plain(&["validate", "specs/llama_int8.yaml"]).expect(0);
    assert_eq!(
        (good.stdout.as_str(), good.stderr.as_str()),
        ("specs/llama_int8.yaml: valid\n", "")
    );

    let bad = "tests/cases/spec/043_missing_stage_parameter.yaml";
    let text = plain(&["validate", bad]).expect(2);
    assert_eq!(text.stdout, "");
    assert!(text.stderr.contains(&format!("--> {bad}:18:9")), "{}", text.stderr);

    let json = plain(&["validate", bad, "specs/llama_int8.yaml", "--format", "json"]).expect(2);
    assert_eq!(json.stderr, "");
    let found = json.json();
    assert_eq!((&found["files"], &found["faulty"]), (&2.into(), &1.into()));
    assert_eq!(found["problems"].as_array().map(Vec::len), Some(1));
    assert_eq!(found["problems"][0]["code"], "spec/missing-key");
}

#[test]
fn what_cannot_be_read_or_understood_is_exit_code_2_with_a_way_out() {
    let house = House::new();
    let empty = house.folder.path().display().to_string();
    for (arguments, words) in [
        (&["validate", "no/such.yaml"][..], "no/such.yaml"),
        (&["validate", &empty], "no .yaml file"),
        (&["run", "no/such.yaml"], "no/such.yaml"),
        (&["rnu"], "'rnu'"),
        (&["run", "specs/llama_int8.yaml", "--set", "bench.matrix.new_token=[1]"], "new_tokens"),
        (&["run", "specs/llama_int8.yaml", "--profile", "cii"], "ci"),
        (&["run", "specs/llama_int8.yaml", "--quick", "--strict"], "--strict"),
        (&["run", "specs/llama_int8.yaml", "--only", "q9"], "did you mean `q8`?"),
        (&["list", "pases"], "did you mean `passes`?"),
        (&["report", "no/such/run"], "no/such/run"),
        (&["store", "gc", "--max-age", "7"], "with its unit"),
    ] {
        let mut command = house.engine(arguments);
        let ended = run(&mut command).expect(2);
        assert!(ended.stderr.contains(words), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stdout.is_empty(), "{arguments:?}: {}", ended.stdout);
    }
    assert!(!house.out().exists(), "nothing was written");
}

#[test]
fn a_plan_has_four_forms() {
    let (house, spec) = house_with_bench();
    let show = |format: &str| {
        let ended = run(house.engine(&["plan", "--format", format]).arg(&spec)).expect(0);
        assert_eq!(ended.stderr, "", "{format}");
        ended.stdout
    };
    let text = show("text");
    assert!(text.contains("q8/quantize") && text.contains("never made before"), "{text}");
    assert!(text.contains("2 cells · baseline f32"), "{text}");
    let json: Value = serde_json::from_str(&show("json")).unwrap();
    let ids: Vec<_> = json["steps"].as_array().unwrap().iter().map(|step| &step["id"]).collect();
    assert_eq!(ids, ["model", "q8/quantize", "bench/b1-p4-n4-t1"]);
    assert_eq!(json["spec"]["bench"]["design"]["seed"], 42, "defaults are filled in");
    let mermaid = show("mermaid");
    assert!(mermaid.starts_with("flowchart LR\n") && mermaid.contains("s0 --> s1"), "{mermaid}");
    let dot = show("dot");
    assert!(dot.starts_with("digraph") && dot.trim_end().ends_with('}'), "{dot}");
    assert_eq!(dot.matches('{').count(), dot.matches('}').count());
}

#[test]
fn everything_registered_is_listed() {
    let all = plain(&["list"]).expect(0).stdout;
    for id in ["cast", "quantize", "candle", "llama", "text_generation", "single_stream", "ttft"] {
        assert!(all.contains(id), "`{id}` in\n{all}");
    }
    let metrics = plain(&["list", "metrics"]).expect(0).stdout;
    assert!(metrics.contains("decode_tps") && !metrics.contains("single_stream"), "{metrics}");
}

#[test]
fn the_committed_schema_is_the_one_the_engine_has() {
    plain(&["schema", "--check", "schemas/spec.v1.json"]).expect(0);
    let committed = fs::read_to_string(Path::new(PROJECT).join("schemas/spec.v1.json")).unwrap();
    assert_eq!(plain(&["schema"]).expect(0).stdout, committed);
    let house = House::new();
    let other = house.folder.write("other.json", "{}");
    let ended = plain(&["schema", "--check", other.to_str().unwrap()]).expect(1);
    assert!(ended.stderr.contains("engine schema >"), "{}", ended.stderr);
}

#[test]
fn a_first_spec_is_written_from_what_the_model_says() {
    let house = House::new();
    let heldout = "examples/data/stories/heldout.jsonl";
    let target = house.folder.join("specs/mine.yaml");
    fs::create_dir(target.parent().unwrap()).unwrap();
    let to = target.to_str().unwrap();
    let ended = plain(&["init", STORY, "--data", heldout, "-o", to]).expect(0);
    assert!(ended.stdout.is_empty() && ended.stderr.contains("engine run"), "{}", ended.stderr);
    let text = fs::read_to_string(&target).unwrap();
    assert!(text.contains("llama with ") && text.contains("parameters, mostly bf16"), "{text}");
    plain(&["validate", to]).expect(0);
    let again = plain(&["init", STORY, "-o", to]).expect(2);
    assert!(again.stderr.contains("exists already"), "{}", again.stderr);
    assert_eq!(fs::read_to_string(&target).unwrap(), text, "nothing was replaced");

    let random = plain(&["init", "random://llama-tiny?seed=3"]).expect(0).stdout;
    let spec = house.folder.write("random.yaml", &random);
    plain(&["validate", spec.to_str().unwrap()]).expect(0);
    assert!(random.contains("random://llama-tiny?seed=3"), "{random}");

    // A GGUF file that the engine has made itself.
    let (made, spec) = house_with_bench();
    made.run(&spec).expect(0);
    let objects = support::files(&made.store().join("objects"));
    let gguf = objects.iter().find(|path| path.ends_with("model.gguf")).expect("q8 is GGUF");
    let text = plain(&["init", gguf.to_str().unwrap()]).expect(0).stdout;
    let spec = house.folder.write("gguf.yaml", &text);
    assert!(text.contains("as_is"), "{text}");
    plain(&["validate", spec.to_str().unwrap()]).expect(0);
}

#[test]
fn a_first_spec_of_a_graph_shows_its_signature_and_asks_for_free_dimensions() {
    let graph = Path::new(PROJECT).join("../shared/data/silero-vad/silero_vad.onnx");
    if !graph.is_file() {
        eprintln!("skipped: no {}", graph.display());
        return;
    }
    let text = plain(&["init", graph.to_str().unwrap()]).expect(0).stdout;
    for line in [
        "# operator sets: ai.onnx 16",
        "# input  input [input_dim0, input_dim1] f32",
        "# input  sr [] i64",
        "  fp32: {}",
        "    batch: [1]",
        "      \"input_dim1\": [256]",
        "      \"state_dim1\": [1]",
    ] {
        assert!(text.lines().any(|l| l == line), "lacks `{line}`: {text}");
    }
    assert!(text.contains("# operators: Constant 341, Slice 60, "), "{text}");
}

#[test]
fn what_is_no_model_gets_no_spec_but_advice() {
    let house = House::new();
    let pickled = house.folder.join("pickled");
    fs::create_dir(&pickled).unwrap();
    fs::copy(Path::new(PROJECT).join(STORY).join("config.json"), pickled.join("config.json"))
        .unwrap();
    fs::write(pickled.join("pytorch_model.bin"), b"\x80\x02}q\x00.").unwrap();
    let renamed = house.folder.write("renamed.gguf", b"\x80\x02}q\x00X\x05\x00\x00\x00modelq\x01.");
    for path in [&pickled, &renamed] {
        let ended = plain(&["init", path.to_str().unwrap()]).expect(2);
        assert!(ended.stderr.contains("pickle"), "{}", ended.stderr);
        assert!(ended.stderr.contains("safetensors"), "the way out: {}", ended.stderr);
    }
    for (model, words) in [
        ("no/such/model", "no/such/model"),
        ("gopher://model", "expected `file://`, `hf://` or `random://`"),
        ("random://llama-3.2-1c", "did you mean `llama-3.2-1b`"),
        ("hf://only-one-part", "organization/name"),
    ] {
        let ended = plain(&["init", model]).expect(2);
        assert!(ended.stderr.contains(words), "{model}: {}", ended.stderr);
    }
}

#[test]
fn a_run_says_little_on_stderr_and_its_results_on_stdout() {
    let (house, spec) = house_with_bench();
    let ended = house.run(&spec).expect(0);
    assert!(ended.stdout.contains("report: "), "{}", ended.stdout);
    assert!(ended.stderr.contains("✓"), "{}", ended.stderr);
    for text in [&ended.stdout, &ended.stderr] {
        assert!(!text.contains('\u{1b}'), "a pipe gets no colour: {text}");
    }
    let quiet = run(house.run_command(&spec).arg("--quiet")).expect(0);
    assert_eq!(quiet.stderr, "");
    assert!(quiet.stdout.contains("report: "));
    let folder = house.result();
    for name in ["record.json", "samples.csv", "report.md", "report.html", "machine.json"] {
        assert!(folder.join(name).is_file(), "{name}");
    }
}

#[test]
fn reports_are_rendered_again_byte_by_byte() {
    let (house, spec) = house_with_bench();
    house.run(&spec).expect(0);
    let folder = house.result();
    let names = ["samples.csv", "report.md", "report.html", "machine.json", "record.json"];
    let read = |name: &str| fs::read(folder.join(name)).unwrap();
    let written: Vec<_> = names.iter().map(|name| read(name)).collect();
    let shown = folder.to_str().unwrap();
    plain(&["report", shown]).expect(0);
    for (name, written) in names.iter().zip(&written) {
        assert_eq!(read(name), *written, "{name}");
    }
    let markdown = plain(&["report", shown, "--format", "markdown"]).expect(0).stdout;
    assert_eq!(markdown.as_bytes(), written[1]);
    let ended = plain(&["report", shown, "--format", "pdf"]).expect(2);
    assert!(ended.stderr.contains("expected terminal, "), "{}", ended.stderr);
    let beside = plain(&["report", shown, shown]).expect(0);
    assert!(beside.stdout.contains("q8"), "{}", beside.stdout);
}

#[test]
fn colour_is_for_terminals_and_for_those_who_ask() {
    let (house, spec) = house_with_bench();
    house.run(&spec).expect(0);
    let folder = house.result();
    let terminal = |command: &mut std::process::Command| {
        run(command.arg("report").arg(&folder).args(["--format", "terminal"])).expect(0).stdout
    };
    assert!(!terminal(&mut engine()).contains('\u{1b}'));
    assert!(terminal(engine().args(["--color", "always"])).contains('\u{1b}'));
    assert!(!terminal(engine().env("NO_COLOR", "1")).contains('\u{1b}'));
    let bad = run(engine().args(["--color", "always", "list", "nothing"])).expect(2);
    assert!(bad.stderr.contains("\u{1b}[1;31m"), "{}", bad.stderr);
}

#[test]
fn why_explains_each_step_of_a_run() {
    let (house, spec) = house_with_bench();
    house.run(&spec).expect(0);
    let folder = house.result();
    let folder = folder.to_str().unwrap();
    let all = plain(&["why", folder]).expect(0).stdout;
    assert!(all.contains("model (") && all.contains("made anew in every run"), "{all}");
    let one = plain(&["why", folder, "q8/quantize"]).expect(0).stdout;
    assert!(one.contains("ran: never made before") && one.contains("needs model"), "{one}");
    let typo = plain(&["why", folder, "q8/quantise"]).expect(2);
    assert!(typo.stderr.contains("did you mean `q8/quantize`?"), "{}", typo.stderr);
}

#[test]
fn the_store_is_verified_measured_and_pruned() {
    let (house, spec) = house_with_bench();
    house.run(&spec).expect(0);
    let store = |arguments: &[&str]| run(house.engine(&["store"]).args(arguments));
    let verified = store(&["verify"]).expect(0).stdout;
    assert!(verified.contains("everything is as it was written"), "{verified}");
    let used = store(&["du"]).expect(0).stdout;
    assert!(used.contains("checkpoint") && used.contains("gguf"), "{used}");
    let everything = ["gc", "--max-age", "0s", "--grace", "0s"];
    let foreseen = store(&[&everything[..], &["--dry-run"]].concat()).expect(0).stdout;
    assert!(foreseen.starts_with("would remove 2 artifacts"), "{foreseen}");
    assert_eq!(house.plan(&spec)["q8/quantize"]["state"], "hit", "a dry run changes nothing");
    let removed = store(&everything).expect(0).stdout;
    assert!(removed.starts_with("removed 2 artifacts"), "{removed}");
    assert_eq!(house.plan(&spec)["q8/quantize"]["state"], "miss");
}

#[test]
fn an_unknown_run_cannot_be_resumed_and_the_known_ones_are_named() {
    let (house, spec) = house_with_bench();
    house.run(&spec).expect(0);
    let known = house.runs().pop().unwrap();
    let ended = run(&mut house.engine(&["resume", "20200101T000000Z-abcdef"])).expect(2);
    assert!(ended.stderr.contains(&known), "{}", ended.stderr);
    run(&mut house.engine(&["resume", "../../etc"])).expect(2);
}

#[test]
fn a_model_that_is_not_there_is_told_with_its_place_before_anything_runs() {
    let house = House::new();
    let text = tiny_bench("gone", 2, QUICK);
    let text = text.replace("random://llama-tiny?seed=1", "file://models/gone");
    let spec = house.folder.write("gone.yaml", text);
    let ended = house.run(&spec).expect(2);
    assert!(ended.stderr.contains("gone.yaml:4:17"), "{}", ended.stderr);
    assert!(ended.stderr.contains("models/gone"), "{}", ended.stderr);
    assert!(!house.out().exists() && !house.store().exists());
}

#[test]
fn a_failed_stage_is_exit_code_3_and_the_other_variants_are_measured() {
    let house = House::new();
    // A post-condition that cannot hold.
    let text = tiny_bench("halved", 2, QUICK).replace(
        "format: q8_0}}]}",
        "format: q8_0}}], expect: {size_vs: {variant: f32, max: 1%}}}",
    );
    let spec = house.folder.write("halved.yaml", text);
    let ended = house.run(&spec).expect(3);
    assert!(ended.stderr.contains("`expect` does not hold"), "{}", ended.stderr);
    let record = house.record();
    assert!(record["variants"]["q8"]["failed"].is_string());
    let cell = |name: &str| {
        record["cells"].as_array().unwrap().iter().find(|c| c["variant"] == name).unwrap()["launches"]
            .as_array()
            .map(Vec::len)
    };
    assert_eq!((cell("f32"), cell("q8")), (Some(2), Some(0)));
}

#[test]
fn gates_decide_between_exit_codes_0_4_and_5() {
    let house = House::new();
    let gate = |bound: &str| {
        let gates =
            format!("gates: [{{name: g, on: {{variant: q8}}, metric: model_size, {bound}}}]\n");
        let text = tiny_bench("gates", 2, QUICK) + &gates;
        house.run(&house.folder.write("gates.yaml", text))
    };
    gate("ratio: {max: 0.9}").expect(0);
    gate("ratio: {max: 0.01}").expect(4);
    // Two blocks of microseconds cannot place a speed-up between two close bounds.
    let text = tiny_bench("open", 2, QUICK)
        + "gates: [{name: g, on: {variant: q8}, metric: decode_tps, ratio: {min: 0.999999, max: 1.000001}}]\n";
    let ended = house.run(&house.folder.write("open.yaml", text));
    assert!(matches!(ended.code, Some(4 | 5)), "{}", ended.stderr);
}

#[test]
fn only_one_variant_runs_with_the_baseline_when_asked() {
    let house = House::new();
    let more = "  q4: {stages: [{quantize: {method: gguf, format: q4_0}}]}\nbench:";
    let text = tiny_bench("only", 2, QUICK).replace("bench:", more);
    let spec = house.folder.write("only.yaml", text);
    run(house.run_command(&spec).args(["--only", "q4"])).expect(0);
    let record = house.record();
    let names: Vec<&String> = record["variants"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["f32", "q4"]);
}

#[test]
fn a_reader_that_goes_away_ends_the_engine_without_a_panic() {
    for arguments in [&["schema"][..], &["list"], &["--help"]] {
        let mut child =
            engine().args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        let status = child.wait().unwrap();
        assert!(!stderr.contains("panicked"), "{arguments:?}: {stderr}");
        assert_ne!(status.code(), Some(101), "{arguments:?}");
    }
}

#[test]
fn a_run_whose_reader_went_away_has_its_results_on_disk() {
    let (house, spec) = house_with_bench();
    let mut command = house.run_command(&spec);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    drop(child.stdout.take());
    let status = child.wait().unwrap();
    assert_ne!(status.code(), Some(101), "no panic");
    let folder = house.result();
    for name in ["record.json", "samples.csv", "report.md", "report.html"] {
        assert!(folder.join(name).is_file(), "{name}");
    }
}

#[test]
fn the_machine_and_the_store_are_shown_by_doctor() {
    let house = House::new();
    let ended = run(&mut house.engine(&["doctor"])).expect(0);
    assert!(ended.stdout.contains("cores") || ended.stdout.contains("CPU"), "{}", ended.stdout);
    assert!(ended.stdout.contains(house.store().to_str().unwrap()), "{}", ended.stdout);
}

#[test]
fn the_record_names_the_spec_the_machine_and_the_digests() {
    let (house, spec) = house_with_bench();
    house.run(&spec).expect(0);
    let record = read_json(&house.result().join("record.json"));
    assert_eq!(record["version"], 1);
    assert_eq!(record["model"]["random_weights"], true);
    for variant in ["f32", "q8"] {
        let digest = record["variants"][variant]["artifact"]["digest"].as_str().unwrap();
        assert_eq!(digest.len(), 64, "{digest}");
    }
    let id = record["run"]["id"].as_str().unwrap();
    assert!(house.result().ends_with(id));
}
