//! The same model twice while something else takes the processors: no difference is found, and
//! the report says what was running.
//!
//! Ignored, because it takes minutes: `cargo test --release --test beside_a_hog -- --ignored
//! --nocapture`. `TRIALS` says how often; ten when left out.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use support::{Background, Folder, House};

const SPEC: &str = "version: 1
name: twice
why: Does the same model differ from itself while something else runs?
model: {source: file://examples/models/story_llama}
data:
  prompts: {source: file://examples/data/stories/prompts.jsonl, field: text}
variants:
  one: {backend: candle}
  two: {backend: candle}
bench:
  data: prompts
  matrix: {prompt_tokens: [32], new_tokens: [16]}
  design: {blocks: {min: 10, max: 16}, max_time: 2m, requests: {min: 5, max: 20}}
";

/// A loop in a shell of its own name, ended with the test.
struct Hog(Child);

impl Hog {
    fn start(folder: &Folder) -> Self {
        let shell = folder.join("cpu_hog");
        if !shell.exists() {
            fs::copy("/bin/sh", &shell).expect("there is a shell");
            fs::set_permissions(&shell, fs::Permissions::from_mode(0o755)).expect("our own file");
        }
        let mut command = Command::new(shell);
        command.args(["-c", "while :; do :; done"]).stdin(Stdio::null());
        Self(command.spawn().expect("a copy of the shell starts"))
    }
}

impl Drop for Hog {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "minutes"]
fn the_same_model_differs_from_itself_in_no_run_and_the_hog_is_named() {
    let trials: u32 = std::env::var("TRIALS").ok().and_then(|t| t.parse().ok()).unwrap_or(10);
    let house = House::new();
    let spec = house.folder.write("twice.yaml", SPEC);
    let (mut faults, mut named) = (Vec::new(), 0);
    for trial in 0..trials {
        let mut run = Background::start(&mut house.run_command(&spec));
        let launches = || {
            let runs = house.runs();
            let newest = runs.iter().max().map(|run| house.journal(run)).unwrap_or_default();
            newest.iter().filter(|entry| entry.get("launch").is_some()).count()
        };
        // The hog comes after the fourth block, in the middle of the run.
        let mut hog = None;
        while !run.has_ended() {
            if hog.is_none() && house.runs().len() > trial as usize && launches() >= 8 {
                hog = Some(Hog::start(&house.folder));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let ended = run.end();
        assert!(hog.is_some(), "the run ended before its fifth block:\n{}", ended.stderr);
        drop(hog);
        let folder = house.result();
        let report = fs::read_to_string(folder.join("report.md")).expect("a report");
        let line = ended.stdout.lines().find(|line| line.starts_with("two")).unwrap_or_default();
        println!("trial {trial}: {line}");
        if line.contains("regressed") || line.contains("improved") || line.contains("better") {
            faults.push(format!("trial {trial}: {line}"));
        }
        named += u32::from(report.contains("cpu_hog"));
        fs::remove_dir_all(&folder).expect("our own folder");
    }
    println!("a difference in {} of {trials}, the hog named in {named}", faults.len());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!(named, trials);
}
