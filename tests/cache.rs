//! What a step depends on makes it run again, and nothing else does.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::Value;
use support::{Ended, House, byte_llama, files, run, stories};

const SPEC: &str = "version: 1
name: cache
why: Which fact makes which step run again?
model: {source: \"file://MODEL\"}
data:
  held: {source: \"file://DATA\", field: text, take: 4, seed: 3, tokens: 40, window: 24, stride: 12}
variants:
  wide: {stages: [{cast: {to: f32}}]}
  small: {stages: [{quantize: {method: gguf, format: q8_0, embedding: q8_0}}]}
quality:
  reference: wide
  metrics:
    - perplexity: {data: held}
    - kl: {data: held, positions: 60}
";

const STEPS: &[&str] =
    &["wide/cast", "small/quantize", "data/held", "wide/judge-held", "small/judge-held"];
const JUDGES: &[&str] = &["wide/judge-held", "small/judge-held"];

/// A store in which everything that the spec asks for is made.
struct Filled {
    house: House,
    spec: PathBuf,
    text: String,
}

impl Filled {
    fn new() -> Self {
        let house = House::new();
        let model = house.folder.join("model");
        byte_llama(&model);
        let data = house.folder.write("held.jsonl", stories(9));
        let text = SPEC
            .replace("MODEL", &model.display().to_string())
            .replace("DATA", &data.display().to_string());
        let spec = house.folder.write("spec.yaml", &text);
        house.run(&spec).expect(0);
        Self { house, spec, text }
    }

    fn set(&self, text: &str) {
        fs::write(&self.spec, text).unwrap();
    }

    /// State of every cached step, as the plan foresees it.
    fn planned(&self) -> BTreeMap<String, String> {
        let plan = self.house.plan(&self.spec);
        STEPS.iter().map(|&id| (id.into(), word(&plan[id]["state"]))).collect()
    }

    fn run(&self) -> Ended {
        self.house.run(&self.spec).expect(0)
    }

    /// State of every cached step in the newest record.
    fn recorded(&self) -> BTreeMap<String, String> {
        let record = self.house.record();
        let steps = record["steps"].as_array().unwrap().iter();
        let cached = steps.filter(|step| STEPS.contains(&step["id"].as_str().unwrap()));
        cached.map(|step| (word(&step["id"]), word(&step["state"]))).collect()
    }

    fn why(&self, step: &str) -> String {
        let result = self.house.result();
        run(self.house.engine(&["why"]).arg(result).arg(step)).expect(0).stdout
    }

    /// `dependants` and no other step miss, now and in the run that follows, and both
    /// explanations of the first one hold `reason`.
    #[track_caller]
    fn only_these_miss(&self, change: &str, dependants: &[&str], reason: &str) {
        let states = |missing: &str, found: &str| -> BTreeMap<String, String> {
            let state = |id: &str| if dependants.contains(&id) { missing } else { found };
            STEPS.iter().map(|&id| (id.into(), state(id).into())).collect()
        };
        let plan = self.house.plan(&self.spec);
        assert_eq!(self.planned(), states("miss", "hit"), "{change}");
        let first = dependants[0];
        let detail = plan[first]["detail"].as_str().unwrap();
        assert!(detail.contains(reason), "{change}: `{first}` {detail}");
        self.run();
        assert_eq!(self.recorded(), states("done", "hit"), "{change}");
        let why = self.why(first);
        assert!(why.contains(reason), "{change}: {why}");
    }

    /// Everything is there, and no process is started to find that out.
    #[track_caller]
    fn everything_hits(&self, change: &str) {
        let hits = |word: &str| STEPS.iter().map(|&id| (id.into(), word.into())).collect();
        let expected: BTreeMap<String, String> = hits("hit");
        assert_eq!(self.planned(), expected, "{change}");
        let children = children_of_run(&self.house, &self.spec);
        assert_eq!(self.recorded(), expected, "{change}");
        assert_eq!(children, 0, "{change}: page faults of child processes");
    }
}

fn word(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Runs the spec and gives the page faults of its children, which no process is without: field
/// 11 of `/proc/<pid>/stat`, read between the engine's end and its collection.
fn children_of_run(house: &House, spec: &std::path::Path) -> u64 {
    let null = || fs::File::create("/dev/null").unwrap();
    let mut child = house.run_command(spec).stdout(null()).stderr(null()).spawn().unwrap();
    // SAFETY: `info` is plain data that the call fills in; the child stays uncollected.
    let waited = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        libc::waitid(libc::P_PID, child.id(), &raw mut info, libc::WEXITED | libc::WNOWAIT)
    };
    assert_eq!(waited, 0);
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let faults = fields.split(' ').nth(8).unwrap().parse().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    faults
}

#[test]
fn the_first_run_has_children_and_the_second_none() {
    let filled = Filled::new();
    filled.everything_hits("nothing");
    let fresh = House::new();
    assert!(children_of_run(&fresh, &filled.spec) > 0, "the control sees children");
}

#[test]
fn every_key_field_of_the_spec_makes_exactly_its_dependants_run() {
    let filled = Filled::new();
    let original = filled.text.clone();
    let small = &["small/quantize", "small/judge-held"][..];
    let wide = &["wide/cast", "wide/judge-held", "small/judge-held"][..];
    let data = &["data/held", "wide/judge-held", "small/judge-held"][..];
    let flips: &[(&str, &str, &[&str], &str)] = &[
        (
            "format: q8_0",
            "format: q4_0",
            small,
            "`params.format` changed from \"q8_0\" to \"q4_0\"",
        ),
        ("embedding: q8_0", "embedding: q5_0", small, "`params.embedding` changed"),
        ("to: f32", "to: f16", wide, "`params.to` changed from \"f32\" to \"f16\""),
        ("take: 4", "take: 3", data, "`take` changed from 4 to 3"),
        ("seed: 3", "seed: 4", data, "`seed` changed from 3 to 4"),
        ("tokens: 40", "tokens: 30", data, "`tokens` changed from 40 to 30"),
        ("field: text", "field: note", data, "`field` changed from \"text\" to \"note\""),
        ("window: 24", "window: 20", JUDGES, "`job.window` changed from 24 to 20"),
        ("stride: 12", "stride: 10", JUDGES, "`job.stride` changed from 12 to 10"),
        ("positions: 60", "positions: 50", JUDGES, "positions` changed from 60 to 50"),
    ];
    for (old, new, dependants, reason) in flips {
        let changed = original.replacen(old, new, 1);
        assert_ne!(changed, original, "`{old}` stands in the spec");
        filled.set(&changed);
        filled.only_these_miss(new, dependants, reason);
        filled.set(&original);
        filled.everything_hits(&format!("back from {new}"));
    }
}

#[test]
fn what_is_no_key_field_keeps_every_result() {
    let filled = Filled::new();
    let original = filled.text.clone();
    let held = "{method: gguf, format: q8_0, embedding: q8_0}";
    for changed in [
        format!("# a comment\n{original}\n# and another\n"),
        original.replace("Which fact makes which step run again?", "Another question?"),
        original.replace(held, "{embedding: q8_0, format: q8_0, method: gguf}"),
        original.clone() + "report: {title: Another title, formats: [json, markdown]}\n",
        original.clone() + "compare: {confidence: 90%}\n",
    ] {
        assert_ne!(changed, original);
        filled.set(&changed);
        filled.everything_hits(&changed);
    }
    // Another name of the spec asks for the same work, and files beside the model are no part of it.
    filled.house.folder.write("model/README.md", "about the model");
    filled.set(&original.replace("name: cache", "name: other"));
    filled.everything_hits("another name");
}

#[test]
fn a_changed_byte_of_any_file_of_the_model_makes_everything_run() {
    let filled = Filled::new();
    for (name, old, new) in [
        ("tokenizer.json", "\"add_prefix_space\":false", "\"add_prefix_space\":true "),
        ("config.json", "\"rope_theta\":10000.0", "\"rope_theta\":10001.0"),
    ] {
        let path = filled.house.folder.join("model").join(name);
        let text = fs::read_to_string(&path).unwrap();
        let changed = text.replacen(old, new, 1);
        assert_ne!(changed, text, "`{old}` stands in {name}");
        fs::write(&path, changed).unwrap();
        filled.only_these_miss(name, STEPS, "its input `model` changed");
        fs::write(&path, text).unwrap();
        filled.everything_hits("the file as it was");
    }
    let path = filled.house.folder.join("model/model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    // The lowest bit of the mantissa of the last weight.
    let last = bytes.len() - 4;
    bytes[last] ^= 1;
    fs::write(&path, bytes).unwrap();
    filled.only_these_miss("weights", STEPS, "its input `model` changed");
}

#[test]
fn changed_data_is_tokenized_again_and_judged_only_when_the_tokens_differ() {
    let filled = Filled::new();
    let path = filled.house.folder.join("held.jsonl");
    let lines = fs::read_to_string(&path).unwrap();
    fs::write(&path, lines.replace("geese", "ducks")).unwrap();
    let data = &["data/held", "wide/judge-held", "small/judge-held"];
    filled.only_these_miss("other words", data, "`data` changed");
    // The same tokens from another file: the plan cannot know, the run finds out.
    fs::write(&path, lines.replace("\"id\"", "\"number\"")).unwrap();
    assert_eq!(filled.planned()["data/held"], "miss");
    filled.run();
    let recorded = filled.recorded();
    assert_eq!(recorded["data/held"], "done");
    for judge in JUDGES {
        assert_eq!(recorded[*judge], "hit", "equal tokens are equal work");
    }
}

#[test]
fn another_seed_of_a_random_model_is_another_model() {
    let house = House::new();
    let text = "version: 1\nname: seed\nwhy: w\nmodel: {source: \"random://llama-tiny?seed=1\"}\n\
                variants:\n  q8: {stages: [{quantize: {method: gguf, format: q8_0}}]}\n";
    let spec = house.folder.write("spec.yaml", text);
    house.run(&spec).expect(0);
    let plan = house.plan(&spec);
    assert_eq!(
        (&plan["model"]["state"], &plan["q8/quantize"]["state"]),
        (&"hit".into(), &"hit".into())
    );
    fs::write(&spec, text.replace("seed=1", "seed=2")).unwrap();
    let plan = house.plan(&spec);
    let detail = plan["model"]["detail"].as_str().unwrap();
    assert!(detail.contains("`source` changed") && detail.contains("seed=2"), "{detail}");
    assert_eq!(plan["q8/quantize"]["state"], "miss");
    assert_eq!(plan["q8/quantize"]["detail"], "`model` runs first");
}

#[test]
fn a_damaged_artifact_is_noticed_set_aside_and_made_again() {
    let filled = Filled::new();
    let objects = filled.house.store().join("objects");
    let victims: Vec<PathBuf> =
        files(&objects).into_iter().filter(|p| !p.ends_with("manifest.json")).collect();
    assert_eq!(victims.len(), 7, "two files of the cast, one each of the others: {victims:?}");
    for victim in victims {
        let sound = fs::read(&victim).unwrap();
        let mut bytes = sound.clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        fs::set_permissions(&victim, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(&victim, bytes).unwrap();
        let verify = run(&mut filled.house.engine(&["store", "verify"])).expect(1);
        assert!(verify.stdout.contains(victim.to_str().unwrap()), "{}", verify.stdout);

        let digests = digests(&filled.house.record());
        filled.run();
        assert_eq!(self::digests(&filled.house.record()), digests, "{}", victim.display());
        assert_eq!(fs::read(&victim).unwrap(), sound, "{} is made again", victim.display());
        let again = filled.recorded().into_values().filter(|state| state == "done").count();
        assert_eq!(again, 1, "{}: the others are used as they are", victim.display());
        run(&mut filled.house.engine(&["store", "verify"])).expect(0);
    }
    let kept = fs::read_dir(filled.house.store().join("quarantine")).unwrap().count();
    assert_eq!(kept, 14, "seven artifacts with their reasons");
}

fn digests(record: &Value) -> Vec<Value> {
    let variants = record["variants"].as_object().unwrap().values();
    variants.map(|variant| variant["artifact"]["digest"].clone()).collect()
}

#[test]
fn a_store_of_a_later_version_is_refused_and_left_alone() {
    let filled = Filled::new();
    let layout = filled.house.store().join("layout");
    fs::set_permissions(&layout, fs::Permissions::from_mode(0o644)).unwrap();
    let version: u32 = fs::read_to_string(&layout).unwrap().trim().parse().unwrap();
    fs::write(&layout, format!("{}\n", version + 1)).unwrap();
    let before = files(&filled.house.store());
    let ended = filled.house.run(&filled.spec).expect(1);
    assert!(ended.stderr.contains("update the engine"), "{}", ended.stderr);
    assert!(ended.stdout.is_empty(), "{}", ended.stdout);
    assert_eq!(files(&filled.house.store()), before);
}

#[test]
fn runs_at_the_same_time_share_one_store() {
    let control = Filled::new();
    let expected = digests(&control.house.record());
    let house = House::new();
    let other = control.text.replace("format: q8_0", "format: q4_0").replace("cache", "other");
    let specs = [&control.text, &other].map(|text| {
        let number = usize::from(text.contains("q4_0"));
        house.folder.write(&format!("spec{number}.yaml"), text)
    });
    let running: Vec<support::Background> = (0..6)
        .map(|n| support::Background::start(house.run_command(&specs[n % 2]).arg("--quiet")))
        .collect();
    for engine in running {
        engine.end().expect(0);
    }
    let results = house.results();
    assert_eq!(results.len(), 6, "{results:?}");
    for result in results {
        let found = digests(&support::read_json(&result.join("record.json")));
        assert_eq!(found[0], expected[0], "the cast is the same for all");
        let is_control = result.parent().unwrap().ends_with("cache");
        assert_eq!(found[1] == expected[1], is_control, "{}", result.display());
    }
    run(&mut house.engine(&["store", "verify"])).expect(0);
}
