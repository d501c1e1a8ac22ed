//! What several test programs need: folders that vanish, the engine with a store of its own, a
//! model small enough that a whole run takes a second, and a look at what processes are alive.
#![allow(dead_code, reason = "every test program uses another part")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use engine::plan::Output as StepOutput;
use engine::run::{Interrupt, Launcher, Provided, Provider};
use engine::stage::LoadRuntime;
use engine::store::Store;
use serde_json::{Map, Value, json};

/// The project's folder.
pub const PROJECT: &str = env!("CARGO_MANIFEST_DIR");

/// A folder of one test, removed when it goes out of scope.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("t{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("cargo's folder for tests is writable");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("our own folder");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("writable");
        fs::write(&path, content).expect("writable");
        path
    }
}

/// A number that this process has not had before, for names.
pub fn fresh() -> u32 {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// How an engine process ended and what it wrote.
#[derive(Debug)]
pub struct Ended {
    /// `None` when a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stdout, self.stderr);
        self
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).expect("stdout is JSON")
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("stdout is UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("stderr is UTF-8"),
        }
    }
}

/// The engine without anything that the caller's environment could tell it.
pub fn engine() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_engine"));
    command.current_dir(PROJECT).stdin(Stdio::null());
    let ours = [
        "ENGINE_STORE",
        "NO_COLOR",
        "COLUMNS",
        "RUST_LOG",
        "HF_HOME",
        "HF_TOKEN",
        "HF_HUB_OFFLINE",
        "ENGINE_ORT_LIBRARY",
    ];
    for name in ours.into_iter().chain(["HF_ENDPOINT", "HTTP_PROXY", "http_proxy"]) {
        command.env_remove(name);
    }
    command
}

pub fn run(command: &mut Command) -> Ended {
    command.output().expect("the engine starts").into()
}

/// A store and a folder of results that belong to one test.
pub struct House {
    pub folder: Folder,
}

impl House {
    pub fn new() -> Self {
        Self { folder: Folder::new() }
    }

    pub fn store(&self) -> PathBuf {
        self.folder.join("store")
    }

    pub fn out(&self) -> PathBuf {
        self.folder.join("out")
    }

    /// The engine working in this house.
    pub fn engine(&self, arguments: &[&str]) -> Command {
        let mut command = engine();
        command.args(arguments).arg("--store").arg(self.store());
        command
    }

    pub fn run_command(&self, spec: &Path) -> Command {
        let mut command = self.engine(&["run"]);
        command.arg(spec).arg("--out").arg(self.out());
        command
    }

    pub fn run(&self, spec: &Path) -> Ended {
        run(&mut self.run_command(spec))
    }

    /// State and detail of every step, as `engine plan` foresees it.
    pub fn plan(&self, spec: &Path) -> Map<String, Value> {
        let mut command = self.engine(&["plan", "--format", "json"]);
        let plan = run(command.arg(spec)).expect(0).json();
        let steps = plan["steps"].as_array().expect("a plan has steps").clone();
        steps.into_iter().map(|s| (s["id"].as_str().expect("an id").to_owned(), s)).collect()
    }

    /// Result folders, oldest first.
    pub fn results(&self) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> =
            folders(&self.out()).iter().flat_map(|spec| folders(spec)).collect();
        let written = |path: &PathBuf| fs::metadata(path.join("record.json"))?.modified();
        found.retain(|path| written(path).is_ok());
        found.sort_by_key(|path| written(path).expect("it was there a moment ago"));
        found
    }

    /// The newest result.
    pub fn result(&self) -> PathBuf {
        self.results().pop().expect("a run left a result")
    }

    pub fn record(&self) -> Value {
        read_json(&self.result().join("record.json"))
    }

    /// Ids of all runs that the store knows.
    pub fn runs(&self) -> Vec<String> {
        let name = |path: PathBuf| path.file_name()?.to_str().map(str::to_owned);
        folders(&self.store().join("runs")).into_iter().filter_map(name).collect()
    }

    /// Payloads of the whole lines of a run's journal.
    pub fn journal(&self, run: &str) -> Vec<Value> {
        let path = self.store().join("runs").join(run).join("journal.jsonl");
        let text = fs::read_to_string(path).unwrap_or_default();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.map(|line| line["entry"].clone()).collect()
    }

    /// Processes whose command line names this house, without their engine's own number.
    pub fn processes(&self) -> Vec<u32> {
        let wanted = self.folder.path().display().to_string();
        processes(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(&wanted)
        })
    }
}

pub fn read_json(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    let mut found: Vec<_> = entries.flatten().map(|e| e.path()).filter(|p| p.is_dir()).collect();
    found.sort();
    found
}

/// Every file below a folder.
pub fn files(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    let paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    let below = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    paths.into_iter().flat_map(below).collect()
}

/// Files below `path` that hold the bytes of `text`.
pub fn holding(path: &Path, text: &str) -> Vec<PathBuf> {
    let holds = |file: &PathBuf| {
        let bytes = fs::read(file).unwrap_or_default();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    };
    files(path).into_iter().filter(holds).collect()
}

/// Numbers of running processes that `is_wanted`; those that only wait to be collected are not.
pub fn processes(is_wanted: impl Fn(u32) -> bool) -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("a mounted /proc");
    let numbers = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    numbers.filter(|&pid| is_wanted(pid) && is_running(pid)).collect()
}

fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Waits for a condition that must come true; panics when the machine must have hung.
#[track_caller]
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..60_000 {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("waited in vain for {what}");
}

/// An engine in the background; killed when the test gives up on it.
pub struct Background(pub Child);

impl Background {
    pub fn start(command: &mut Command) -> Self {
        let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(piped.spawn().expect("the engine starts"))
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    pub fn has_ended(&mut self) -> bool {
        self.0.try_wait().expect("our own child").is_some()
    }

    pub fn signal(&self, number: i32) {
        // SAFETY: a plain system call on a child that has not been collected.
        unsafe { libc::kill(self.0.id() as libc::pid_t, number) };
    }

    /// Waits for the end. What it wrote must fit a pipe's buffer.
    pub fn end(mut self) -> Ended {
        use std::io::Read;
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        self.0.stdout.take().expect("piped").read_to_end(&mut stdout).expect("readable");
        self.0.stderr.take().expect("piped").read_to_end(&mut stderr).expect("readable");
        let status = self.0.wait().expect("our own child");
        Output { status, stdout, stderr }.into()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A spec that times a random model, with `requests` per launch.
pub fn tiny_bench(name: &str, blocks: u32, requests: &str) -> String {
    format!(
        "version: 1
name: {name}
why: Does a small run hold together?
model: {{source: \"random://llama-tiny?seed=1\"}}
variants:
  f32: {{}}
  q8: {{stages: [{{quantize: {{method: gguf, format: q8_0}}}}]}}
bench:
  matrix: {{prompt_tokens: [4], new_tokens: [4], threads: [1]}}
  design: {{blocks: {{min: {blocks}, max: {blocks}}}, max_time: 1h, requests: {requests}}}
"
    )
}

/// Writes a complete checkpoint of a few hundred kB into `dir`: random weights that do not say
/// so, and a tokenizer of single bytes.
pub fn byte_llama(dir: &Path) {
    fs::create_dir_all(dir).expect("writable");
    let model = engine::model::RandomModel::parse("random://llama-tiny?seed=5").expect("known");
    model.generate(dir).expect("writable");
    let config = dir.join("config.json");
    let mut fields = read_json(&config);
    fields.as_object_mut().expect("an object").remove("engine_random_weights");
    fs::write(&config, fields.to_string()).expect("writable");
    fs::write(dir.join("tokenizer.json"), byte_tokenizer().to_string()).expect("writable");
}

/// A byte-level BPE without merges: token n is the n-th character of GPT-2's table of bytes.
fn byte_tokenizer() -> Value {
    let printable = |b: u32| matches!(b, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let mut next = 256;
    let vocab: Map<String, Value> = (0..256_u32)
        .map(|byte| {
            let code = if printable(byte) { byte } else { next };
            next += u32::from(!printable(byte));
            (char::from_u32(code).expect("a character").to_string(), json!(byte))
        })
        .collect();
    let byte_level = json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true,
    });
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": null, "pre_tokenizer": byte_level, "post_processor": null,
        "decoder": byte_level,
        "model": {"type": "BPE", "vocab": vocab, "merges": []},
    })
}

/// Lines with two fields of text each.
pub fn stories(count: usize) -> String {
    let line = |n: usize| {
        let text = format!("Story {n}: the fox of house {n} sees {} geese and runs home.", n * 7);
        format!(
            "{}\n",
            json!({"id": n, "text": text, "note": format!("a note on story {n}, twice")})
        )
    };
    (0..count).map(line).collect()
}

/// ONNX Runtime's shared library, or `None` with the reason printed: the one that
/// `ENGINE_ORT_LIBRARY` names, or the pinned one, fetched once by the engine into a store that all
/// test programs share.
pub fn ort_library() -> Option<PathBuf> {
    static LIBRARY: OnceLock<Option<PathBuf>> = OnceLock::new();
    let library = LIBRARY.get_or_init(|| match std::env::var_os("ENGINE_ORT_LIBRARY") {
        Some(path) => Some(path.into()),
        None => match fetched() {
            Ok(path) => Some(path),
            Err(why) => {
                eprintln!("skipped: {why}");
                None
            }
        },
    });
    library.clone()
}

/// The pinned library. Programs that fetch it at the same time all succeed: a store publishes by
/// renaming.
fn fetched() -> Result<PathBuf, String> {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("runtime-store");
    let store = Store::open(&root).map_err(|error| error.to_string())?;
    let program = env!("CARGO_BIN_EXE_engine").into();
    let launcher = Launcher { program, interrupt: Interrupt::never() };
    let provider = Provider { store: &store, launcher: &launcher, slot: LoadRuntime::STEP };
    let load = LoadRuntime { library: None, written: None };
    match provider.provide(&load, &|_| {}).map_err(|error| error.to_string())? {
        Provided::Ready { output: StepOutput::Runtime { library, .. }, .. } => Ok(library),
        Provided::Ready { .. } => Err("a runtime left no library".into()),
        Provided::Missing(why) | Provided::Broken(why) => Err(why),
    }
}
