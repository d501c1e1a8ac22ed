//! Models from a hub, against an imitation of one on this machine.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::json;
use support::{Ended, Folder, House, PROJECT, byte_llama, holding, run};

const TOKEN: &str = "hf_planted_0123456789";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// One request as it arrived.
#[derive(Debug, Clone)]
struct Asked {
    path: String,
    authorization: Option<String>,
    range: Option<(u64, Option<u64>)>,
}

/// What goes wrong with the file named here.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// The connection ends after half of its body.
    Cut(&'static str),
    /// Half of its body is sent as if it were all.
    Short(&'static str),
    /// One bit of it is another.
    Flipped(&'static str),
}

/// Repositories by name and their files.
type Shelf = BTreeMap<String, BTreeMap<String, Vec<u8>>>;

struct Hub {
    address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    closing: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Hub {
    fn open(shelf: Shelf, fault: Option<Fault>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let closing: Arc<AtomicBool> = Arc::default();
        let (log, stop) = (Arc::clone(&asked), Arc::clone(&closing));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                // A client that went away is its own business.
                let _ = stream.and_then(|stream| answer(stream, &shelf, fault, &log));
            }
        });
        Self { address, asked, closing, thread: Some(thread) }
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address.trim_start_matches("http://"));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(
    stream: TcpStream,
    shelf: &Shelf,
    fault: Option<Fault>,
    log: &Mutex<Vec<Asked>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    let range = headers.get("range").and_then(|range| {
        let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
        Some((from.parse().ok()?, to.parse().ok()))
    });
    let authorization = headers.get("authorization").cloned();
    log.lock().unwrap().push(Asked { path: path.clone(), authorization, range });
    reply(stream, &path, range, shelf, fault)
}

fn reply(
    mut stream: TcpStream,
    path: &str,
    range: Option<(u64, Option<u64>)>,
    shelf: &Shelf,
    fault: Option<Fault>,
) -> std::io::Result<()> {
    let mut send = |status: &str, headers: &str, body: &[u8], length: usize| {
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n"
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        stream.flush()
    };
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match parts[..] {
        ["api", "models", organization, name, "revision", _] => {
            let repository = format!("{organization}/{name}");
            match shelf.get(&repository) {
                Some(files) => {
                    let names: Vec<_> = files.keys().map(|f| json!({"rfilename": f})).collect();
                    let body = json!({"sha": COMMIT, "siblings": names}).to_string();
                    let kind = "Content-Type: application/json\r\n";
                    send("200 OK", kind, body.as_bytes(), body.len())
                }
                None => send("404 Not Found", "", b"Repository not found", 20),
            }
        }
        [organization, name, "resolve", _, ref file @ ..] => {
            let files = shelf.get(&format!("{organization}/{name}"));
            let file = file.join("/");
            let file = file.as_str();
            let Some(bytes) = files.and_then(|files| files.get(file)) else {
                return send("404 Not Found", "", b"Entry not found", 15);
            };
            let total = bytes.len();
            let (from, to) = range.unwrap_or((0, None));
            let from = usize::try_from(from).unwrap_or(total).min(total);
            let to = to.map_or(total, |to| usize::try_from(to).unwrap_or(total) + 1).min(total);
            let last = to.saturating_sub(1);
            let headers = format!(
                "ETag: \"{}\"\r\nX-Repo-Commit: {COMMIT}\r\nContent-Range: bytes {from}-{last}/{total}\r\n",
                etag(file, bytes),
            );
            let body = &bytes[from..to];
            let half = &body[..body.len().div_ceil(2)];
            let status = "206 Partial Content";
            match fault {
                Some(Fault::Cut(name)) if name == file => send(status, &headers, half, body.len()),
                Some(Fault::Short(name)) if name == file => {
                    send(status, &headers, half, half.len())
                }
                Some(Fault::Flipped(name)) if name == file => {
                    let mut body = body.to_vec();
                    let middle = body.len() / 2;
                    body[middle] ^= 1;
                    send(status, &headers, &body, body.len())
                }
                _ => send(status, &headers, body, body.len()),
            }
        }
        _ => send("404 Not Found", "", b"", 0),
    }
}

/// As hubs do it: the SHA-256 of a large file, some hash of a small one.
fn etag(file: &str, bytes: &[u8]) -> String {
    match file.ends_with(".safetensors") {
        true => engine::base::Digest::of_bytes(bytes).hex(),
        false => format!("{:040x}", bytes.len() * 31 + file.len()),
    }
}

fn files_of(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let named = |path: PathBuf| {
        (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap())
    };
    entries.filter(|path| path.is_file()).map(named).collect()
}

/// A checkpoint of some hundred kB.
fn small_model() -> BTreeMap<String, Vec<u8>> {
    let folder = Folder::new();
    byte_llama(folder.path());
    files_of(folder.path())
}

fn shelf(files: BTreeMap<String, Vec<u8>>) -> Shelf {
    BTreeMap::from([("org/story".to_owned(), files)])
}

fn spec(house: &House, repository: &str) -> PathBuf {
    let text = format!(
        "version: 1\nname: hub\nwhy: Does a model come from a hub?\n\
         model: {{source: \"hf://{repository}\", revision: v1}}\n\
         variants:\n  f32: {{stages: [{{cast: {{to: f32}}}}]}}\n"
    );
    house.folder.write("hub.yaml", text)
}

fn with_hub<'a>(command: &'a mut Command, house: &House, address: &str) -> &'a mut Command {
    let home = house.folder.join("hf-home");
    command.env("HF_HOME", home).env("HF_ENDPOINT", address).env("HF_TOKEN", TOKEN)
}

fn fetch(house: &House, repository: &str, hub: &Hub) -> Ended {
    let spec = spec(house, repository);
    run(with_hub(&mut house.run_command(&spec), house, &hub.address))
}

/// Files of the hub's cache that a later run would take for whole.
fn cached(house: &House, name: &str) -> Vec<PathBuf> {
    let found = support::files(&house.folder.join("hf-home")).into_iter();
    // What is noted as absent is no file of the model.
    let is_note = |path: &PathBuf| path.iter().any(|part| part == ".no_exist");
    found.filter(|path| path.ends_with(name) && !is_note(path)).collect()
}

#[test]
fn the_shipped_model_comes_from_a_hub_and_stays_when_the_hub_is_gone() {
    let house = House::new();
    let hub =
        Hub::open(shelf(files_of(&Path::new(PROJECT).join("examples/models/story_llama"))), None);
    let first = fetch(&house, "org/story", &hub).expect(0);
    let asked = hub.asked();
    assert!(asked.iter().any(|a| a.path == "/api/models/org/story/revision/v1"), "{asked:?}");
    let fetched = |name: &str| asked.iter().any(|a| a.path.ends_with(name) && a.range.is_some());
    assert!(fetched("/resolve/v1/model.safetensors") && fetched("/resolve/v1/tokenizer.json"));
    assert!(!asked.iter().any(|a| a.path.ends_with("README.md")), "only what a checkpoint is");
    let authorized = Some(format!("Bearer {TOKEN}"));
    assert!(asked.iter().all(|a| a.authorization == authorized), "the token goes to the hub");
    for (place, text) in [(&first.stdout, "stdout"), (&first.stderr, "stderr")] {
        assert!(!place.contains(TOKEN), "{text}");
    }
    assert!(!holding(&house.folder.join("hf-home"), "LlamaForCausalLM").is_empty());
    let leaks = holding(house.folder.path(), TOKEN);
    assert_eq!(leaks, [] as [PathBuf; 0], "the token is written nowhere");

    let address = hub.address.clone();
    drop(hub);
    let spec = spec(&house, "org/story");
    run(with_hub(&mut house.run_command(&spec), &house, &address)).expect(0);
    let steps = house.record()["steps"].clone();
    let cast = steps.as_array().unwrap().iter().find(|step| step["id"] == "f32/cast").unwrap();
    assert_eq!(cast["state"], "hit", "the model is the same without the hub");
    let mut plan = house.engine(&["plan", "--format", "json"]);
    let plan = run(with_hub(plan.arg(&spec), &house, &address)).expect(0).json();
    assert_eq!(plan["steps"][0]["state"], "read");
    assert_eq!(plan["steps"][1]["state"], "hit");
}

#[test]
fn a_repository_that_is_not_there_is_a_failed_stage_with_the_reason() {
    let house = House::new();
    let hub = Hub::open(shelf(small_model()), None);
    let ended = fetch(&house, "org/stroy", &hub).expect(3);
    assert!(ended.stderr.contains("org/stroy") && ended.stderr.contains("404"), "{}", ended.stderr);
    let record = house.record();
    let step = &record["steps"][0];
    assert_eq!((&step["id"], &step["state"]), (&"model".into(), &"failed".into()));
    let failed = record["variants"]["f32"]["failed"].as_str().unwrap();
    assert!(failed.contains("404"), "{failed}");
}

#[test]
fn a_hub_that_does_not_answer_is_a_failed_stage() {
    let house = House::new();
    let hub = Hub::open(Shelf::new(), None);
    let address = hub.address.clone();
    drop(hub);
    let spec = spec(&house, "org/story");
    let ended = run(with_hub(&mut house.run_command(&spec), &house, &address)).expect(3);
    assert!(ended.stderr.contains("cannot reach the model hub"), "{}", ended.stderr);
    assert!(!ended.stderr.contains(TOKEN));
}

#[test]
fn a_repository_of_pickles_is_refused_with_advice_and_nothing_is_fetched() {
    let house = House::new();
    let mut files = small_model();
    files.remove("model.safetensors");
    files.insert("pytorch_model.bin".into(), b"\x80\x02}q\x00.".to_vec());
    let hub = Hub::open(shelf(files), None);
    let ended = fetch(&house, "org/story", &hub).expect(3);
    assert!(ended.stderr.contains("pytorch_model.bin"), "{}", ended.stderr);
    assert!(ended.stderr.contains("safetensors"), "the way out: {}", ended.stderr);
    assert!(ended.stderr.contains("pickle"), "the reason: {}", ended.stderr);
    let asked = hub.asked();
    assert!(asked.iter().all(|a| !a.path.contains("resolve")), "{asked:?}");
}

#[test]
fn a_file_that_arrives_damaged_is_told_and_never_taken_for_whole() {
    for (fault, words) in [
        (Fault::Cut("model.safetensors"), "model.safetensors"),
        (Fault::Short("model.safetensors"), "bytes instead of"),
        (Fault::Flipped("model.safetensors"), "SHA-256"),
        (Fault::Short("tokenizer.json"), "bytes instead of"),
    ] {
        let house = House::new();
        let files = small_model();
        let hub = Hub::open(shelf(files.clone()), Some(fault));
        let ended = fetch(&house, "org/story", &hub).expect(3);
        assert!(ended.stderr.contains(words), "{fault:?}: {}", ended.stderr);
        assert_eq!(cached(&house, "model.safetensors"), [] as [PathBuf; 0], "{fault:?}");
        drop(hub);

        let hub = Hub::open(shelf(files.clone()), None);
        fetch(&house, "org/story", &hub).expect(0);
        for name in ["model.safetensors", "tokenizer.json", "config.json"] {
            let found = cached(&house, name);
            assert_eq!(found.len(), 1, "{fault:?}: {found:?}");
            assert_eq!(fs::read(&found[0]).unwrap(), files[name], "{fault:?}: {name}");
        }
    }
}

/// A small encoder with the files that say how its vectors become one.
fn small_encoder() -> BTreeMap<String, Vec<u8>> {
    let folder = Folder::new();
    engine::model::RandomModel::parse("random://bert-tiny")
        .unwrap()
        .generate(folder.path())
        .unwrap();
    let mut files = files_of(folder.path());
    let modules = json!([
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]);
    files.insert("modules.json".into(), modules.to_string().into_bytes());
    files.insert("1_Pooling/config.json".into(), br#"{"pooling_mode_cls_token": true}"#.to_vec());
    files
}

/// Takes a file out of every snapshot, and what is known of files that are nowhere: as if another
/// tool had fetched the rest.
fn forget(house: &House, name: &str) {
    for path in support::files(&house.folder.join("hf-home")) {
        if path.ends_with(name) || path.components().any(|part| part.as_os_str() == ".no_exist") {
            fs::remove_file(path).unwrap();
        }
    }
}

#[test]
fn the_task_of_a_model_is_known_once_it_is_fetched_and_its_snapshot_is_made_whole() {
    let house = House::new();
    let hub = Hub::open(shelf(small_encoder()), None);
    // Nobody says that it is an encoder.
    let spec = spec(&house, "org/story");
    run(with_hub(&mut house.run_command(&spec), &house, &hub.address)).expect(0);
    assert_eq!(house.record()["model"]["task"], "embedding");
    let asked = hub.asked().len();
    run(with_hub(&mut house.run_command(&spec), &house, &hub.address)).expect(0);
    assert_eq!(hub.asked().len(), asked, "a whole snapshot asks nobody");

    forget(&house, "modules.json");
    run(with_hub(&mut house.run_command(&spec), &house, &hub.address)).expect(0);
    assert_eq!(cached(&house, "modules.json").len(), 1, "{:?}", hub.asked());

    forget(&house, "modules.json");
    let address = hub.address.clone();
    drop(hub);
    let ended = run(with_hub(&mut house.run_command(&spec), &house, &address)).expect(3);
    let told = &ended.stderr;
    assert!(told.contains("without `modules.json`") && told.contains("`file://`"), "{told}");
}

#[test]
fn a_snapshot_that_generates_text_serves_without_the_hub() {
    let house = House::new();
    let hub = Hub::open(shelf(small_model()), None);
    fetch(&house, "org/story", &hub).expect(0);
    forget(&house, "modules.json");
    let address = hub.address.clone();
    drop(hub);
    let spec = spec(&house, "org/story");
    run(with_hub(&mut house.run_command(&spec), &house, &address)).expect(0);
    let mut offline = house.run_command(&spec);
    run(with_hub(&mut offline, &house, &address).env("HF_HUB_OFFLINE", "1")).expect(0);
    // Without a snapshot there is nothing to serve.
    let house = House::new();
    let spec = self::spec(&house, "org/story");
    let mut offline = house.run_command(&spec);
    let ended = run(with_hub(&mut offline, &house, &address).env("HF_HUB_OFFLINE", "1")).expect(3);
    assert!(ended.stderr.contains("`HF_HUB_OFFLINE` is set"), "{}", ended.stderr);
}

#[test]
fn a_task_that_is_a_guess_is_told_as_one() {
    let house = House::new();
    let text = "version: 1\nname: hub\nwhy: w\nmodel: {source: \"hf://org/nowhere\"}\n\
                variants: {a: {}}\nbench: {matrix: {dims: {sequence: [8]}}}\n";
    let spec = house.folder.write("hub.yaml", text);
    let mut validate = house.engine(&["validate", spec.to_str().unwrap()]);
    let ended = run(with_hub(&mut validate, &house, "http://127.0.0.1:9")).expect(2);
    assert!(ended.stderr.contains("its task is a guess"), "{}", ended.stderr);
}
