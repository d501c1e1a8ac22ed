//! Specs, commands, links and keys in README.md and docs/ are tried, so that no page rots unseen.
//!
//! A fenced block says in its first line what it is: `yaml spec` is validated, `sh` and `console`
//! hold command lines, `rust FILE` and `yaml FILE` show lines of a file as they stand there,
//! `text` and `mermaid` are left alone, anything else is refused here. Cheap
//! commands run as they stand, against an empty store; `engine run` is checked by validating and
//! planning the same spec with the same changes; a command of an unknown kind fails.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

struct Page {
    path: PathBuf,
    text: String,
}

struct Block {
    /// `README.md:12`
    place: String,
    kind: String,
    text: String,
}

fn pages() -> Vec<Page> {
    let docs = fs::read_dir("docs").expect("tests run in the project's folder");
    let mut paths: Vec<PathBuf> = docs
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|e| e == "md"))
        .chain(["README.md".into(), "CHANGELOG.md".into()])
        .collect();
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("pages are UTF-8");
        Page { path, text }
    };
    paths.into_iter().map(read).collect()
}

impl Page {
    fn blocks(&self) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut open = false;
        for (number, line) in self.text.lines().enumerate() {
            match (line.strip_prefix("```"), open) {
                (Some(kind), false) => {
                    let place = format!("{}:{}", self.path.display(), number + 1);
                    blocks.push(Block { place, kind: kind.trim().into(), text: String::new() });
                    open = true;
                }
                (Some(_), true) => open = false,
                (None, true) => {
                    let block = blocks.last_mut().expect("an open block was pushed");
                    block.text.push_str(line);
                    block.text.push('\n');
                }
                (None, false) => {}
            }
        }
        assert!(!open, "{}: a block is not closed", self.path.display());
        blocks
    }

    /// The page without its fenced blocks.
    fn prose(&self) -> String {
        let mut inside = false;
        let outside = self.text.lines().filter(|line| {
            let fence = line.starts_with("```");
            inside ^= fence;
            !inside && !fence
        });
        outside.collect::<Vec<_>>().join("\n")
    }
}

impl Block {
    /// The file of which it shows lines.
    fn file(&self) -> Option<&str> {
        let file = self.kind.strip_prefix("rust ").or_else(|| self.kind.strip_prefix("yaml "))?;
        (file != "spec").then_some(file)
    }

    /// Its command lines without prompts and remarks.
    fn commands(&self) -> Vec<String> {
        let lines = self.text.lines().filter_map(|line| match self.kind.as_str() {
            "sh" => Some(line),
            "console" => line.strip_prefix("$ "),
            _ => None,
        });
        let plain = |line: &str| line.split(" #").next().unwrap_or_default().trim().to_owned();
        lines.map(plain).filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
    }
}

/// A folder of this test's own, empty.
fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("docs-{name}"));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).expect("cargo gives tests a writable folder");
    path
}

/// Output of the engine when it ends well, else what it said.
fn engine(arguments: &[&str], store: &Path) -> Result<String, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_engine"))
        .args(arguments)
        .env("ENGINE_STORE", store)
        .output()
        .expect("the engine was built for this test");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        let code = output.status.code();
        Err(format!(
            "`engine {}` ended with {code:?}:\n{}",
            arguments.join(" "),
            text(&output.stderr)
        ))
    }
}

/// The first result that is checked in, to try `report` and `why` on.
fn checked_in_run() -> Option<PathBuf> {
    let below = |folder: PathBuf| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        paths
    };
    let runs = below("results".into()).into_iter().flat_map(below);
    runs.into_iter().find(|run| run.join("record.json").is_file())
}

/// Tries one command line of a page.
fn try_command(line: &str, store: &Path) -> Result<(), String> {
    if let Some(odd) = line.chars().find(|c| "|;&$`\\".contains(*c)) {
        return Err(format!("`{odd}` needs a shell; write a plain command"));
    }
    let line = line.split(" > ").next().unwrap_or_default();
    let words: Vec<&str> = line.split_whitespace().map(|word| word.trim_matches('\'')).collect();
    match words.as_slice() {
        ["cargo", "test"] | ["cargo", "build", "--release"] => Ok(()),
        // Minutes of a quiet machine; the file must be there, and hold tests that are ignored.
        ["cargo", "test", "--release", "--test", name, "--", "--ignored", "--nocapture"] => {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/{name}.rs"));
            let text = fs::read_to_string(&file).map_err(|error| error.to_string())?;
            text.contains("#[ignore").then_some(()).ok_or_else(|| "nothing is ignored there".into())
        }
        ["cargo", "run", "--release", "--", rest @ ..] | ["engine", rest @ ..] => {
            try_engine(rest, store)
        }
        // `tests/extending.rs` runs these programs with these specs.
        ["cargo", "run", "--example", name, "--", _, files @ ..] => {
            let source = format!("examples/{name}.rs");
            let specs = files
                .iter()
                .copied()
                .filter(|file| Path::new(*file).extension().is_some_and(|e| e == "yaml"));
            let missing = specs.chain([&*source]).find(|file| !Path::new(file).is_file());
            missing.map_or(Ok(()), |file| Err(format!("there is no `{file}`")))
        }
        _ => Err("this test does not know how to check such a command".into()),
    }
}

fn try_engine(words: &[&str], store: &Path) -> Result<(), String> {
    match words {
        ["validate" | "plan" | "list" | "schema" | "generate", ..]
        | ["doctor"]
        | ["store", "verify" | "du"] => engine(words, store).map(drop),
        ["store", "gc", ..] if words.contains(&"--dry-run") => engine(words, store).map(drop),
        ["init", ..] if !words.iter().any(|w| w.starts_with("-o") || *w == "--output") => {
            try_written_spec(&engine(words, store)?, store)
        }
        ["run", rest @ ..] => try_run(rest, store),
        ["report" | "why", "RUN", ..] => try_on_a_run(words, store),
        ["compare", "OLD", "NEW", ..] => {
            let two: Vec<&str> =
                words.iter().map(|w| if matches!(*w, "OLD" | "NEW") { "RUN" } else { w }).collect();
            try_on_a_run(&two, store)
        }
        ["history", folder] if Path::new(folder).is_dir() => engine(words, store).map(drop),
        ["resume", _] => Ok(()),
        // Proofs take minutes: which of them are meant is tried instead.
        ["prove", ..] => engine(&[words, &["--list"]].concat(), store).map(drop),
        _ => Err("this test does not know how to check such a command".into()),
    }
}

/// `engine run` is too slow for a test: its specs and changes are validated and planned instead.
fn try_run(words: &[&str], store: &Path) -> Result<(), String> {
    let mut specs = Vec::new();
    let mut changes = Vec::new();
    let mut only = Vec::new();
    let mut words = words.iter().copied();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("`{word}` needs a value"));
        match word {
            "--quick" | "--strict" => changes.push(word),
            "--set" | "--profile" => changes.extend([word, value()?]),
            "--only" => only.push(value()?),
            "--out" => drop(value()?),
            "--fresh" | "-q" | "--quiet" => {}
            _ if word.starts_with('-') => return Err(format!("unknown option `{word}` of `run`")),
            _ => specs.push(word),
        }
    }
    engine(&[&["validate"], specs.as_slice(), changes.as_slice()].concat(), store)?;
    for spec in specs.iter().filter(|spec| Path::new(spec).is_file()) {
        let plan = [&["plan", spec, "--format", "json"], changes.as_slice()].concat();
        let plan = engine(&plan, store)?;
        if let Some(variant) = only.iter().find(|variant| !plan.contains(**variant)) {
            return Err(format!("`{spec}` has no variant `{variant}`"));
        }
    }
    Ok(())
}

/// Commands on a finished run are tried on a result that is checked in, without writing.
fn try_on_a_run(words: &[&str], store: &Path) -> Result<(), String> {
    let Some(run) = checked_in_run() else { return Ok(()) };
    let run = run.to_string_lossy();
    let mut words: Vec<&str> = words.iter().map(|w| if *w == "RUN" { &*run } else { w }).collect();
    if let Some(at) = words.iter().position(|w| *w == "-o" || *w == "--output") {
        words.truncate(at);
    }
    words.retain(|word| *word != "--open");
    if words[0] == "report" && !words.contains(&"--format") {
        words.extend(["--format", "markdown"]);
    }
    engine(&words, store).map(drop)
}

fn try_written_spec(text: &str, store: &Path) -> Result<(), String> {
    let file = store.join("written.yaml");
    fs::write(&file, text).map_err(|error| error.to_string())?;
    engine(&["validate", &file.to_string_lossy()], store).map(drop)
}

fn fail(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n\n"));
}

#[test]
fn every_block_says_what_it_is() {
    let known = ["yaml spec", "sh", "console", "text", "mermaid"];
    let blocks: Vec<Block> = pages().iter().flat_map(Page::blocks).collect();
    let odd = blocks.iter().filter(|b| !known.contains(&b.kind.as_str()) && b.file().is_none());
    let told = odd.map(|b| format!("{}: `{}` is none of {known:?}", b.place, b.kind));
    fail(&told.collect::<Vec<_>>());
}

#[test]
fn every_spec_validates_and_plans() {
    let store = folder("specs");
    let specs: Vec<Block> =
        pages().iter().flat_map(Page::blocks).filter(|b| b.kind == "yaml spec").collect();
    assert!(specs.len() >= 3, "the pages show specs");
    let mut wrong = Vec::new();
    for (number, block) in specs.iter().enumerate() {
        let file = store.join(format!("{number}.yaml"));
        fs::write(&file, &block.text).expect("a writable folder");
        let file = file.to_string_lossy();
        for command in ["validate", "plan"] {
            if let Err(what) = engine(&[command, &file], &store) {
                wrong.push(format!("{}: {what}", block.place));
                break;
            }
        }
    }
    fail(&wrong);
}

#[test]
fn every_command_works() {
    let store = folder("commands");
    let mut tried = BTreeSet::new();
    let mut wrong = Vec::new();
    for block in pages().iter().flat_map(Page::blocks) {
        for line in block.commands() {
            if tried.insert(line.clone())
                && let Err(what) = try_command(&line, &store)
            {
                wrong.push(format!("{}: {line}\n{what}", block.place));
            }
        }
    }
    assert!(tried.contains("cargo test") && tried.len() >= 8, "the pages show commands: {tried:?}");
    fail(&wrong);
}

#[test]
fn commands_of_an_unknown_kind_are_refused() {
    let store = folder("unknown");
    for line in
        ["rm -rf results", "engine frobnicate", "engine list | wc", "engine run --fast s.yaml"]
    {
        assert!(try_command(line, &store).is_err(), "{line}");
    }
    let missing = try_command("engine run specs/llama_int8.yaml --only q9", &store);
    assert_eq!(missing, Err("`specs/llama_int8.yaml` has no variant `q9`".into()));
}

/// What is wrong with `shown` as lines of `file`: pieces between lines `// …` stand there in this
/// order, each as a whole.
fn not_in(file: &str, shown: &str) -> Option<String> {
    let text = format!("\n{file}");
    let mut at = 0;
    let mut piece = String::from("\n");
    for line in shown.lines().chain(["// …"]) {
        if line.trim() != "// …" {
            piece.push_str(line);
            piece.push('\n');
            continue;
        }
        let Some(found) = text[at..].find(&piece) else { return Some(piece) };
        // The line break at the end of a piece is the one before the next.
        at += found + piece.len() - 1;
        piece = String::from("\n");
    }
    None
}

#[test]
fn every_quoted_line_stands_in_its_file() {
    let file = "a\nb\nc\n  d\n";
    for shown in ["a\nb\nc\n  d\n", "b\nc\n", "a\n// …\n  d\n", "a\n  // …\nb\n"] {
        assert_eq!(not_in(file, shown), None, "{shown}");
    }
    for shown in ["a\nc\n", "b\n// …\na\n", "d\n", "a\n// …\na\n"] {
        assert!(not_in(file, shown).is_some(), "{shown}");
    }
    let blocks: Vec<Block> = pages().iter().flat_map(Page::blocks).collect();
    let mut wrong = Vec::new();
    let mut quoted = 0;
    for block in &blocks {
        let Some(path) = block.file() else { continue };
        quoted += 1;
        match fs::read_to_string(path) {
            Ok(file) => wrong.extend(
                not_in(&file, &block.text)
                    .map(|piece| format!("{}: `{path}` does not have:{piece}", block.place)),
            ),
            Err(error) => wrong.push(format!("{}: `{path}`: {error}", block.place)),
        }
    }
    assert!(quoted >= 4, "the pages show sources: {quoted}");
    fail(&wrong);
}

/// `engine plan` in a sentence names a subcommand that exists, with options that it has.
#[test]
fn commands_named_in_sentences_exist() {
    let store = folder("named");
    let mut wrong = Vec::new();
    for page in pages() {
        let prose = page.prose();
        for code in prose.split('`').skip(1).step_by(2) {
            let Some(command) = code.strip_prefix("engine ") else { continue };
            let mut words = command.split_whitespace();
            let name = words.next().unwrap_or_default();
            if name == name.to_uppercase() {
                continue;
            }
            match engine(&[name, "--help"], &store) {
                Err(what) => wrong.push(format!("{}: `{code}`: {what}", page.path.display())),
                Ok(help) => {
                    let options = words.filter(|word| word.starts_with("--"));
                    let unknown = options.filter(|option| !help.contains(option));
                    wrong.extend(unknown.map(|option| {
                        format!("{}: `{code}`: there is no `{option}`", page.path.display())
                    }));
                }
            }
        }
    }
    fail(&wrong);
}

#[test]
fn files_that_the_page_on_extending_names_exist() {
    let text = fs::read_to_string("docs/EXTENDING.md").expect("the page");
    let page = Page { path: "docs/EXTENDING.md".into(), text };
    let prose = page.prose();
    let codes = prose.split('`').skip(1).step_by(2);
    let files: Vec<&str> = codes
        .filter(|code| {
            Path::new(code).extension().is_some_and(|e| e == "rs") && !code.contains(['<', ' '])
        })
        .collect();
    assert!(files.len() >= 20, "{files:?}");
    let missing: Vec<_> = files.into_iter().filter(|file| !Path::new(file).is_file()).collect();
    assert!(missing.is_empty(), "docs/EXTENDING.md names {missing:?}");
}

/// A heading as the part of an address after `#`.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn every_link_leads_somewhere() {
    let mut wrong = Vec::new();
    for page in pages() {
        let here = page.path.parent().unwrap_or(Path::new(""));
        let prose = page.prose();
        let links = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.starts_with("https://")) {
            let (file, part) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.path.clone() } else { here.join(file) };
            let found = target.exists()
                && (part.is_empty()
                    || fs::read_to_string(&target).is_ok_and(|text| {
                        let heads = text.lines().filter(|line| line.starts_with('#'));
                        heads.map(|line| anchor(line.trim_start_matches('#'))).any(|a| a == part)
                    }));
            if !found {
                wrong.push(format!("{}: `{link}` leads nowhere", page.path.display()));
            }
        }
    }
    fail(&wrong);
}

fn keys(schema: &Value, out: &mut BTreeSet<String>) {
    match schema {
        Value::Object(map) => {
            if let Some(properties) = map.get("properties").and_then(Value::as_object) {
                out.extend(properties.keys().cloned());
            }
            map.values().for_each(|value| keys(value, out));
        }
        Value::Array(items) => items.iter().for_each(|item| keys(item, out)),
        _ => {}
    }
}

#[test]
fn the_reference_has_every_key_of_the_schema() {
    let page = fs::read_to_string("docs/SPEC.md").expect("the reference");
    let mut all = BTreeSet::new();
    keys(&engine::catalog::spec_schema(), &mut all);
    assert!(all.contains("half_width") && all.contains("embedding"), "{all:?}");
    let missing: Vec<_> = all.iter().filter(|key| !page.contains(&format!("`{key}`"))).collect();
    assert!(missing.is_empty(), "docs/SPEC.md does not mention {missing:?}");
}

#[test]
fn the_page_of_proofs_names_each_of_them_and_the_command_that_writes_it() {
    let page = fs::read_to_string("docs/VALIDATION.md").expect("the page of proofs");
    assert!(
        page.contains("\ncargo run --release -- prove ")
            && page.contains("--out docs/VALIDATION.md\n")
    );
    for proof in engine::prove::PROOFS {
        assert!(
            page.contains(&format!("\n## {}\n", proof.id)) && page.contains(proof.claim),
            "docs/VALIDATION.md does not tell `{}`: write it anew",
            proof.id
        );
    }
}
