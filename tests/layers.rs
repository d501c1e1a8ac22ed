//! Rooms use lower floors only, and every package has its doors (docs/ARCHITECTURE.md).
//!
//! Read from the source text, not from the compiler: a rule that is broken names file, line and
//! rule. Code under `#[cfg(test)]` is free.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Rooms by floor. A room uses rooms of lower floors.
const FLOORS: &[&[&str]] = &[
    &["base"],
    &["spec", "data", "machine", "measure", "store"],
    &["model", "record"],
    &["backend"],
    &["pass", "task", "scenario", "report"],
    &["catalog", "prove", "stage"],
    &["plan"],
    &["run"],
    &["cli"],
];

/// Rooms that see less than all lower floors.
const ONLY: &[(&str, &[&str])] = &[("report", &["base", "machine", "measure", "record"])];

/// What measures never meets what reports: only this room sees `report`.
const READER: &str = "cli";

/// Packages and the files or folders that may name them.
const DOORS: &[(&str, &[&str])] = &[
    ("candle_core", &["backend/candle", "model/family/"]),
    ("candle_nn", &["model/family/", "backend/candle_network.rs"]),
    ("clap", &["cli/"]),
    ("claxon", &["data/audio.rs"]),
    ("csv", &["data/image_table.rs"]),
    ("cudarc", &["machine/device_time.rs"]),
    ("flate2", &["data/idx.rs"]),
    ("hf_hub", &["stage/hub.rs"]),
    ("hound", &["data/audio.rs"]),
    ("image", &["data/picture.rs"]),
    ("indicatif", &["run/progress.rs"]),
    ("jsonschema", &["spec/validate.rs"]),
    ("minijinja", &["report/render.rs"]),
    ("nvml_wrapper", &["machine/gpu.rs", "machine/gpu_watch.rs"]),
    ("ort", &["backend/ort_"]),
    ("plotters", &["report/chart/canvas.rs"]),
    ("procfs", &["machine/"]),
    ("prost", &["model/onnx/"]),
    (
        "rayon",
        &[
            "run/execute.rs",
            "pass/rows.rs",
            "pass/matrix.rs",
            "prove/repeat.rs",
            "report/parallel.rs",
        ],
    ),
    ("saphyr_parser", &["spec/tree.rs"]),
    ("schemars", &["spec/", "base/unit.rs"]),
    ("serde_yaml", &["spec/load.rs"]),
    ("sha2", &["base/digest.rs"]),
    ("signal_hook", &["run/interrupt.rs"]),
    ("statrs", &["measure/estimate.rs"]),
    ("strsim", &["base/suggest.rs"]),
    ("tokenizers", &["task/tokenizer.rs"]),
    ("tracing_subscriber", &["cli/start.rs"]),
    ("zip", &["data/archive.rs"]),
];

/// Small packages that any room may use.
const OPEN: &[&str] = &[
    "bytemuck",
    "half",
    "indexmap",
    "libc",
    "rand",
    "rand_pcg",
    "serde",
    "serde_json",
    "thiserror",
    "time",
    "tracing",
];

/// A source file: its path below `engine/` and its text with tests and comments blanked.
struct Source {
    path: String,
    text: String,
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// `spec` for `spec/load.rs`, `catalog` for `catalog.rs`; `None` for `lib.rs` and `main.rs`.
fn room_of(path: &str) -> Option<&str> {
    let first = path.split('/').next().unwrap_or(path);
    let room = first.strip_suffix(".rs").unwrap_or(first);
    (!matches!(room, "lib" | "main" | "build")).then_some(room)
}

/// How many `super::` lead from a file to the crate's root.
fn depth(path: &str) -> usize {
    let parts = path.split('/').count();
    if path.ends_with("/mod.rs") { parts - 1 } else { parts }
}

/// Blanks comments and everything under `#[cfg(test)]`, keeping line numbers. Relies on rustfmt:
/// a block ends at the first closing brace with the indentation of its head.
fn without_tests(text: &str) -> String {
    let mut out = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let indent = &line[..line.len() - line.trim_start().len()];
        if line.trim_start().starts_with("//") {
            out.push('\n');
        } else if line.trim() == "#[cfg(test)]" {
            out.push('\n');
            for hidden in lines.by_ref() {
                out.push('\n');
                let ends_item = hidden.starts_with(indent)
                    && !hidden[indent.len()..].starts_with([' ', '#'])
                    && hidden.trim_end().ends_with([';', '}']);
                if ends_item {
                    break;
                }
            }
        } else {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

/// Modules declared under `#[cfg(test)]` in a file, as paths below `engine/` without `.rs`.
fn test_modules(path: &str, text: &str) -> Vec<String> {
    let folder = match path.strip_suffix("/mod.rs") {
        Some(folder) => folder,
        None => path.strip_suffix(".rs").unwrap_or(path),
    };
    let declared = text.lines().zip(text.lines().skip(1)).filter_map(|(mark, line)| {
        let name = line.trim().strip_suffix(';')?.rsplit_once("mod ")?.1;
        (mark.trim() == "#[cfg(test)]").then(|| format!("{folder}/{name}"))
    });
    declared.collect()
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("engine");
    let mut files = Vec::new();
    collect(&root, &mut files);
    let read = |file: &PathBuf| {
        let below = file.strip_prefix(&root).expect("it was found there");
        let path = below.to_str().expect("names are ASCII").to_owned();
        Source { path, text: fs::read_to_string(file).expect("a readable source") }
    };
    let all: Vec<Source> = files.iter().map(read).collect();
    let tests: Vec<String> = all.iter().flat_map(|s| test_modules(&s.path, &s.text)).collect();
    let is_test = |source: &Source| {
        let stem = source.path.strip_suffix(".rs").unwrap_or(&source.path);
        tests.iter().any(|test| stem == test || stem.starts_with(&format!("{test}/")))
    };
    let product = all.into_iter().filter(|source| !is_test(source));
    product.map(|s| Source { text: without_tests(&s.text), path: s.path }).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
}

/// Names that follow `prefix::` with the line they stand on; of `prefix::{a::x, b}` all heads.
fn heads<'a>(text: &'a str, prefix: &str) -> Vec<(usize, &'a str)> {
    let wanted = format!("{prefix}::");
    let mut found = Vec::new();
    for (at, _) in text.match_indices(&wanted) {
        let before = text[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || "_:$".contains(c)) {
            continue;
        }
        let rest = &text[at + wanted.len()..];
        let line = |offset: usize| text[..offset].matches('\n').count() + 1;
        if let Some(group) = rest.strip_prefix('{') {
            let mut level = 1;
            let mut is_head = true;
            for (i, c) in group.char_indices() {
                match c {
                    '{' => level += 1,
                    '}' => level -= 1,
                    ',' if level == 1 => is_head = true,
                    c if is_head && (c.is_alphabetic() || c == '_') => {
                        found.push((line(at + wanted.len() + 1 + i), identifier(&group[i..])));
                        is_head = false;
                    }
                    _ => {}
                }
                if level == 0 {
                    break;
                }
            }
        } else {
            found.push((line(at), identifier(rest)));
        }
    }
    found
}

fn identifier(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// Why `room` may not use `other`, if it may not.
fn broken_rule(room: &str, other: &str) -> Option<String> {
    let (own, theirs) = (floor(room)?, floor(other)?);
    if room == other {
        return None;
    }
    if theirs >= own {
        return Some(format!("`{room}` (floor {own}) may not use `{other}` (floor {theirs})"));
    }
    if other == "report" && room != READER {
        return Some(format!("only `{READER}` may use `report`"));
    }
    let (_, allowed) = ONLY.iter().find(|(limited, _)| *limited == room)?;
    let allowed_list = allowed.join(", ");
    (!allowed.contains(&other)).then(|| format!("`{room}` may use {allowed_list} only"))
}

/// Every broken rule of one file, each as `file:line: rule`.
fn faults(source: &Source) -> Vec<String> {
    let Source { path, text } = source;
    let mut out = Vec::new();
    let mut fault = |line: usize, rule: String| out.push(format!("engine/{path}:{line}: {rule}"));
    match room_of(path) {
        Some(room) if floor(room).is_none() => {
            fault(1, format!("room `{room}` stands on no floor; add it to FLOORS"));
        }
        Some(room) => {
            for (line, other) in heads(text, "crate") {
                if let Some(rule) = broken_rule(room, other) {
                    fault(line, rule);
                }
            }
            for (number, line) in text.lines().enumerate() {
                if line.contains(&"super::".repeat(depth(path))) {
                    let rule = "`super` leads to the root; write `crate::` so that it is seen";
                    fault(number + 1, rule.into());
                }
            }
        }
        None if path == "main.rs" => {
            for (line, other) in heads(text, "engine") {
                if other != READER {
                    fault(line, format!("`main.rs` may use `{READER}` only, not `{other}`"));
                }
            }
        }
        None => {}
    }
    for (package, doors) in DOORS {
        if doors.iter().any(|door| path.starts_with(door)) {
            continue;
        }
        let paths = heads(text, package).into_iter().map(|(line, _)| line);
        let whole = text.lines().enumerate().filter_map(|(number, line)| {
            let used = line.trim().strip_prefix("use ")?;
            let rest = used.strip_prefix(package)?;
            rest.starts_with([';', ' ']).then_some(number + 1)
        });
        for line in paths.chain(whole) {
            fault(line, format!("`{package}` is used through {} only", doors.join(", ")));
        }
    }
    out
}

#[test]
fn rooms_use_lower_floors_and_packages_have_their_doors() {
    let sources = sources();
    assert!(sources.len() > 100, "only {} files were read", sources.len());
    let faults: Vec<String> = sources.iter().flat_map(faults).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_door_is_used_and_every_package_has_its_entry() {
    let sources = sources();
    for (package, doors) in DOORS {
        for door in *doors {
            let used = sources
                .iter()
                .any(|s| s.path.starts_with(door) && !heads(&s.text, package).is_empty());
            assert!(used, "the door `{door}` of `{package}` is not used: take it out of DOORS");
        }
    }
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
    let manifest = manifest.expect("the project has a manifest");
    let (_, rest) = manifest.split_once("\n[dependencies]\n").expect("a table of dependencies");
    let table = rest.split("\n[").next().unwrap_or(rest);
    let names: BTreeSet<String> = table
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Some(line.split_once('=')?.0.trim().replace('-', "_")))
        .collect();
    let known: BTreeSet<String> = DOORS
        .iter()
        .map(|(name, _)| *name)
        .chain(OPEN.iter().copied())
        .map(str::to_owned)
        .collect();
    assert_eq!(names, known, "Cargo.toml and the lists DOORS and OPEN must name the same packages");
}

#[test]
fn every_room_stands_on_one_floor() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("engine/lib.rs"));
    let text = text.expect("the library has a root");
    let mut declared: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let mut standing: Vec<&str> = FLOORS.iter().flat_map(|rooms| rooms.iter().copied()).collect();
    declared.sort_unstable();
    standing.sort_unstable();
    assert_eq!(declared, standing);
    for (number, rooms) in FLOORS.iter().enumerate() {
        let row = text.lines().find(|line| line.starts_with(&format!("//! | {number} |")));
        let row = row.unwrap_or_else(|| panic!("engine/lib.rs has no row for floor {number}"));
        for room in *rooms {
            assert!(row.contains(&format!("[`{room}`]")), "floor {number} lacks `{room}`: {row}");
        }
    }
}

/// Every rule, broken once: a checker that finds nothing is worth nothing.
#[test]
fn planted_violations_are_found_with_file_line_and_rule() {
    let planted = [
        (
            "spec/load.rs",
            "\nuse crate::store::Store;\n",
            ":2: `spec` (floor 1) may not use `store`",
        ),
        ("data/mod.rs", "use crate::{\n    base::Digest,\n    machine::Cpu,\n};\n", ":3: `data`"),
        ("model/gguf.rs", "fn f() { crate::backend::backend(\"x\"); }\n", ":1: `model` (floor 2)"),
        ("report/json.rs", "use crate::model::facts;\n", "`report` may use base, machine"),
        ("run/mod.rs", "use crate::report;\n", "only `cli` may use `report`"),
        ("store/key.rs", "use super::super::spec::Spec;\n", "`super` leads to the root"),
        ("store/mod.rs", "use super::spec::Spec;\n", "`super` leads to the root"),
        ("novel/mod.rs", "\n", "room `novel` stands on no floor"),
        ("main.rs", "use engine::run::Launcher;\n", "`main.rs` may use `cli` only, not `run`"),
        ("spec/check.rs", "use serde_yaml::Value;\n", "`serde_yaml` is used through spec/load.rs"),
        ("run/child.rs", "fn f() { rayon::join(a, b); }\n", "`rayon` is used through"),
        ("task/judge.rs", "use candle_core as tensors;\n", "`candle_core` is used through"),
    ];
    for (path, text, expected) in planted {
        let found = faults(&Source { path: path.into(), text: without_tests(text) });
        assert_eq!(found.len(), 1, "{path}: {found:?}");
        assert!(found[0].starts_with(&format!("engine/{path}:")), "{}", found[0]);
        assert!(found[0].contains(expected), "{} should contain {expected}", found[0]);
    }
    let free = "//! See crate::run.\nuse crate::base::Digest;\n#[cfg(test)]\nmod tests {\n    \
                use crate::run::Launcher;\n    use rayon::join;\n}\n";
    let found = faults(&Source { path: "spec/load.rs".into(), text: without_tests(free) });
    assert!(found.is_empty(), "{found:?}");
    let declared = test_modules("base/files.rs", "#[cfg(test)]\npub(crate) mod seam;\nmod tree;\n");
    assert_eq!(declared, ["base/files/seam"]);
}
