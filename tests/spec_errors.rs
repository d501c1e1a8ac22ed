//! Every spec in `tests/cases/spec/` has one mistake and gives one message that leads to it.
//!
//! A case is `<nn>_<what>.yaml` with `<nn>_<what>.expected`: in the first line, written by hand,
//! code, line, column and hint as JSON (a null line or column is left open); below it the message
//! as the terminal shows it. `UPDATE_CASES=1 cargo test` rewrites what stands below the first line.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use engine::base::{Place, Problem, Problems};
use engine::spec::{self, Overrides};
use proptest::prelude::*;
use serde_json::{Value, json};

/// The language as the engine ships it.
fn schema() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(engine::catalog::spec_schema);
    &SCHEMA
}

fn parse(text: &str) -> Result<spec::Loaded, Problems> {
    spec::parse(text, Path::new("t.yaml"), schema(), &Overrides::default())
}

fn cases() -> Vec<PathBuf> {
    let entries = fs::read_dir("tests/cases/spec").expect("tests run in the project's folder");
    let paths = entries.map(|entry| entry.expect("a readable folder").path());
    let mut cases: Vec<_> = paths.filter(|p| p.extension().is_some_and(|e| e == "yaml")).collect();
    cases.sort();
    cases
}

/// What is wrong with how the engine treats one case; empty when it is as expected.
fn verdict(case: &Path) -> Vec<String> {
    let expected_file = case.with_extension("expected");
    let expected = fs::read_to_string(&expected_file).expect("every case has its .expected");
    let (first, shown) = expected.split_once('\n').expect("the first line of .expected");
    let wanted: Value = serde_json::from_str(first).expect("JSON in the first line of .expected");
    let text = fs::read_to_string(case).expect("cases are UTF-8");
    let Err(problems) = spec::parse(&text, case, schema(), &Overrides::default()) else {
        return vec!["no problem was found".into()];
    };
    let rendered = spec::show::text(&problems, false);
    let mut wrong = Vec::new();
    if problems.0.len() != 1 {
        wrong.push(format!("{} problems for one mistake", problems.0.len()));
    }
    let Problem { code, at: Place { line, column, .. }, hint, .. } = &problems.0[0];
    let found = json!({"code": code, "line": line, "column": column, "hint": hint});
    for key in ["code", "line", "column", "hint"] {
        let open = wanted[key].is_null() && key != "hint";
        if !open && wanted[key] != found[key] {
            wrong.push(format!("{key} is {}, expected {}", found[key], wanted[key]));
        }
    }
    for dump in ["Some(", "Error(", "Object {", "is not of type", "\"$ref\"", "is not valid under"]
    {
        if rendered.contains(dump) {
            wrong.push(format!("shows `{dump}`"));
        }
    }
    if std::env::var_os("UPDATE_CASES").is_some() {
        fs::write(&expected_file, format!("{first}\n{rendered}")).expect("cases can be written");
    } else if shown != rendered {
        wrong.push(format!("is not shown as\n{shown}"));
    }
    if !wrong.is_empty() {
        wrong.push(rendered);
    }
    wrong
}

#[test]
fn every_mistake_gives_one_message_at_its_place() {
    let cases = cases();
    assert!(cases.len() >= 60, "only {} cases", cases.len());
    let wrong: Vec<String> = cases
        .iter()
        .map(|case| (case, verdict(case)))
        .filter(|(_, wrong)| !wrong.is_empty())
        .map(|(case, wrong)| format!("{}: {}", case.display(), wrong.join("\n")))
        .collect();
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn the_shipped_specs_have_no_mistake() {
    for entry in fs::read_dir("specs").expect("the project has specs") {
        let file = entry.expect("a readable folder").path();
        if file.extension().is_some_and(|e| e == "yaml") {
            let text = spec::read(&file).expect("a readable spec");
            if let Err(problems) = spec::parse(&text, &file, schema(), &Overrides::default()) {
                panic!("{}", spec::show::text(&problems, false));
            }
        }
    }
}

const SMALL: &str = "version: 1\nname: t\nwhy: w\nmodel: {source: file://m}\nvariants: {a: {}}\n";

#[test]
fn several_mistakes_are_told_at_once_and_in_the_order_of_the_file() {
    let text = "version: 1\nnme: t\nwhy: 3\nmodel: {sorce: file://m}\nvariants: {a: {stages: [{cst: {}}]}}\n";
    let problems = parse(text).unwrap_err().0;
    let found: Vec<_> = problems.iter().map(|p| (p.at.line, p.code)).collect();
    let unknown = "spec/unknown-key";
    let expected =
        [(Some(2), unknown), (Some(3), "spec/wrong-type"), (Some(4), unknown), (Some(5), unknown)];
    assert_eq!(found, expected);
}

/// Scalars that some YAML reader takes for something else (reliability A3).
#[test]
fn thirty_type_traps_are_exact_text_or_an_error() {
    let text = [
        "no",
        "yes",
        "on",
        "off",
        "y",
        "n",
        "No",
        "OFF",
        "1_000",
        "017",
        "2024-01-01",
        "12:30:45",
        "1.2.3",
        "2001-12-14t21:59:43.10-05:00",
        "0o",
        "0xZZ",
        "inf",
        "nan",
        "=",
        "1e",
        "1,000",
        "٣",
    ];
    for trap in text {
        let loaded = parse(&SMALL.replace("why: w", &format!("why: {trap}"))).unwrap();
        assert_eq!(loaded.spec.why, trap, "exact text");
    }
    let refused = [
        "~",
        "Null",
        "True",
        "FALSE",
        "0o17",
        "0x1F",
        "0b11",
        "1e3",
        ".inf",
        "-.INF",
        ".nan",
        "+1",
        ".5",
        "1.",
        "1.10",
        "null",
        "true",
        "18446744073709551616",
        "1e999",
        "12",
        "",
    ];
    for trap in refused {
        let problems = parse(&SMALL.replace("why: w", &format!("why: {trap}"))).unwrap_err().0;
        assert_eq!(problems.len(), 1, "{trap}");
        assert_eq!(problems[0].at.line, Some(3), "{trap}");
        assert!(["spec/wrong-type", "spec/ambiguous"].contains(&problems[0].code), "{trap}");
    }
    for trap in ["1.0", "1e0", "'1'", "true", "01", "one", "-1", "1_0"] {
        let problems =
            parse(&SMALL.replace("version: 1", &format!("version: {trap}"))).unwrap_err().0;
        assert_eq!(problems.len(), 1, "{trap}");
        assert_eq!(problems[0].at.line, Some(1), "{trap}");
    }
}

fn lines(numbers: std::ops::Range<usize>, line: impl Fn(usize) -> String) -> String {
    numbers.flat_map(|i| [line(i), "\n".to_owned()]).collect()
}

/// Documents made to exhaust a reader (reliability A2). Each is refused before anything grows.
#[test]
fn sixteen_bombs_are_refused_with_the_limit_and_its_value() {
    let alias_tree =
        lines(1..10, |i| format!("a{i}: &a{i} [{}]", vec![format!("*a{}", i - 1); 9].join(", ")));
    let merges = lines(1..50, |i| format!("m{i}: &m{i} {{<<: *m{}}}", i - 1));
    let repeated = |piece: &str, times: usize| piece.repeat(times);
    let bombs = [
        ("alias tree", format!("a0: &a0 [x]\n{alias_tree}"), "anchors such as `&name`"),
        ("merge chain", format!("m0: &m0 {{a: 1}}\n{merges}"), "anchors such as `&name`"),
        ("alias to itself", "a: [*a]".into(), "aliases such as `*name`"),
        ("flow nesting", repeated("[", 10_000), "at most 64 deep"),
        ("flow map nesting", repeated("{a:\n", 10_000), "at most 64 deep"),
        ("block nesting", repeated("- ", 8_000), "at most 64 deep"),
        ("nested complex keys", repeated("? ", 8_000), "a key must be text"),
        ("a million keys", lines(0..1_000_000, |i| format!("k{i}: 1")), "at most 1048576 bytes"),
        (
            "keys below the size limit",
            lines(0..100_000, |i| format!("{i:x}: 1")),
            "at most 20000 keys and values",
        ),
        (
            "many items on one line",
            format!("[{}]", repeated("[],", 300_000)),
            "a line is at most 16384 bytes",
        ),
        ("a long scalar", repeated("x", 100_000_000), "found 100000000"),
        ("many documents", repeated("--- a\n", 100_000), "one YAML document"),
        ("NUL", format!("{SMALL}# \0"), "U+0000"),
        ("line separator", SMALL.replace("why: w", "why: a\u{2028}b"), "U+2028"),
        ("tabs", repeated("\ta: 1\n", 100_000), "a tab cannot indent"),
        (
            "a tag that makes objects",
            SMALL.replace("why: w", "why: !!python/object:x w"),
            "tags such as",
        ),
    ];
    for (name, text, message) in bombs {
        let problems = parse(&text).expect_err(name).0;
        assert_eq!(problems.len(), 1, "{name}");
        assert!(problems[0].what.contains(message), "{name}: {}", problems[0].what);
    }
}

#[test]
fn bytes_that_are_no_text_are_refused_at_their_line() {
    let file = Path::new("t.yaml");
    let problems = spec::decode(b"a: 1\nb: \xff\n".to_vec(), file).unwrap_err().0;
    assert_eq!((problems[0].at.line, problems[0].at.column), (Some(2), Some(4)));
    assert!(problems[0].what.contains("0xFF"));
    assert!(parse(&format!("\u{feff}{SMALL}")).is_ok(), "a byte order mark at the start is fine");
    assert!(spec::decode(vec![b'a'; (1 << 20) + 1], file).is_err());
    assert_eq!(
        spec::read(Path::new("no/such/spec.yaml")).unwrap_err().0[0].code,
        "spec/unreadable"
    );
}

/// Replaces each value of a full spec, one at a time, by values of all kinds: the schema must not
/// accept what the types refuse (reliability A5).
#[test]
fn schema_and_types_agree_on_every_value_of_a_spec() {
    fn pointers(value: &Value, here: &str, out: &mut Vec<String>) {
        out.push(here.to_owned());
        match value {
            Value::Object(map) => {
                map.iter().for_each(|(key, v)| pointers(v, &format!("{here}/{key}"), out));
            }
            Value::Array(items) => {
                items
                    .iter()
                    .enumerate()
                    .for_each(|(i, v)| pointers(v, &format!("{here}/{i}"), out));
            }
            _ => {}
        }
    }
    let file = Path::new("specs/llama_int8.yaml");
    let text = spec::read(file).expect("the shipped spec");
    let resolved =
        spec::parse(&text, file, schema(), &Overrides::default()).expect("valid").resolved;
    let mut places = Vec::new();
    pointers(&resolved, "", &mut places);
    assert!(places.len() > 100, "{}", places.len());
    let values = json!([
        null,
        "1",
        "5%",
        "2m",
        0,
        1,
        -1,
        2.0,
        0.5,
        5e9,
        18_446_744_073_709_551_615_u64,
        [],
        {}
    ]);
    // One value of each place per turn: every place sees three, every kind of place all of them.
    for (turn, place) in places.iter().flat_map(|p| [p; 3]).enumerate() {
        let mut changed = resolved.clone();
        *changed.pointer_mut(place).expect("a place of the spec") = values[(turn * 5) % 13].clone();
        if let Err(problems) = parse(&changed.to_string()) {
            assert!(problems.0.iter().all(|p| p.code != "spec/engine-bug"), "{place}: {problems}");
        }
    }
}

/// A scalar, list or map in flow style, made of words of the language and of nonsense.
fn fragment() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "1",
        "1.0",
        "-3",
        "5%",
        "2m",
        "512MiB",
        "true",
        "off",
        "null",
        "q8",
        "fp32",
        "cast",
        "quantize",
        "f32",
        "decode_tps",
        "perplexity",
        "heldout",
        "physical",
        "~",
        "''",
        "\"x\"",
        "file://m",
        "[]",
        "{}",
        "é",
        "1e999",
        "*a",
        "&a x",
        "!t y",
    ]);
    let key = prop::sample::select(vec![
        "name", "variants", "from", "stages", "cast", "quantize", "to", "method", "format", "data",
        "bench", "matrix", "batch", "design", "blocks", "min", "max", "gates", "on", "variant",
        "metric", "ratio", "loss", "value", "set", "ci", "a", "b", "<<", "x y", "", "a/b", "a~b",
    ]);
    word.prop_map(str::to_owned).prop_recursive(5, 40, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|v| format!("[{}]", v.join(", "))),
            prop::collection::vec((key.clone(), inner), 0..4).prop_map(|v| {
                let entries: Vec<_> = v.iter().map(|(k, v)| format!("{k}: {v}")).collect();
                format!("{{{}}}", entries.join(", "))
            }),
        ]
    })
}

/// Whatever comes, the answer is a spec or problems that can be shown.
fn answer(text: &str, set: &[String]) {
    let overrides = Overrides { set: set.to_vec(), ..Overrides::default() };
    match spec::parse(text, Path::new("t.yaml"), schema(), &overrides) {
        Ok(loaded) => assert!(parse(&loaded.resolved.to_string()).is_ok(), "{}", loaded.resolved),
        Err(problems) => {
            assert!(!problems.0.is_empty());
            assert!(problems.0.iter().all(|p| p.code != "spec/engine-bug"), "{problems}");
            assert!(spec::show::text(&problems, true).contains("nothing was run"));
        }
    }
}

// `PROPTEST_CASES=10000` asks for more than the usual 256.
proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_specs_never_panic_and_types_agree_with_the_schema(
        parts in prop::collection::vec((prop::sample::select(vec![
            "data", "variants", "quality", "bench", "compare", "gates", "report", "profiles",
        ]), fragment()), 0..5),
        set in prop::collection::vec((prop::sample::select(vec![
            "why", "bench.matrix.batch", "variants.a.stages", "gates.0", "x..y", "variants.a.from",
        ]), fragment()), 0..2),
    ) {
        let extra = lines(0..parts.len(), |i| format!("{}: {}", parts[i].0, parts[i].1));
        let set: Vec<String> = set.iter().map(|(path, value)| format!("{path}={value}")).collect();
        answer(&format!("{SMALL}{extra}"), &set);
    }

    #[test]
    fn damaged_specs_never_panic(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..3), 1..8),
    ) {
        let mut bytes = fs::read("specs/llama_int8.yaml").expect("the shipped spec");
        for (index, byte, how) in damage {
            let at = index.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        if let Ok(text) = spec::decode(bytes, Path::new("t.yaml")) {
            answer(&text, &[]);
        }
    }
}
