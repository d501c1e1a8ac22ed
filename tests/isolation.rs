//! Whatever a measured process does, it is one row of the report: the healthy ones beside it are
//! measured, nothing of it survives, and no secret reaches it.

mod support;

use std::fs;
use std::time::Duration;

use engine::measure::Observed;
use engine::model::RandomModel;
use engine::record::Verdict;
use engine::run::{Ended, Interrupt, Launch, Launcher, Limits};
use engine::scenario::StreamRules;
use engine::stage::{Artifact, Done, Job, Sabotage, Setting};
use support::{Background, Folder, House, holding, processes, tiny_bench, wait_for};

/// Marks the environment of the processes of this test: no other launch is padded by so much.
const PADDING: usize = 3331;

fn expected(sabotage: Sabotage) -> Verdict {
    match sabotage {
        Sabotage::Panic => Verdict::Panic,
        Sabotage::Abort => Verdict::Abort,
        Sabotage::Segfault => Verdict::Signal,
        Sabotage::BusyLoop => Verdict::Timeout,
        Sabotage::MemoryHog => Verdict::OutOfMemory,
        Sabotage::OutputFlood => Verdict::OutputCap,
        Sabotage::NoResult => Verdict::NoResult,
        Sabotage::Orphan => Verdict::Leak,
    }
}

struct Trial {
    folder: Folder,
    launcher: Launcher,
    launched: usize,
}

impl Trial {
    fn launch(&mut self, job: &Job, limits: Limits) -> Ended {
        self.launched += 1;
        let scratch = self.folder.join(format!("launch-{}", self.launched));
        fs::create_dir(&scratch).unwrap();
        let threads = Some(1);
        let launch = Launch { job, scratch: &scratch, limits, threads, padding: PADDING };
        self.launcher.launch(&launch, &|_| {}).expect("a child starts")
    }
}

fn observed(ended: Ended) -> Observed {
    match ended.result.expect("a healthy launch is measured") {
        Done::Benched { observed, .. } => observed,
        other => panic!("{other:?}"),
    }
}

/// Processes of this test that are alive, found by the padding in their environment.
fn survivors() -> Vec<u32> {
    let padding = format!("ENGINE_PADDING={}", "x".repeat(PADDING));
    processes(|pid| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|&byte| byte == 0).any(|entry| entry == padding.as_bytes())
    })
}

#[test]
fn eight_saboteurs_get_their_verdicts_and_sixteen_healthy_cells_their_numbers() {
    let folder = Folder::new();
    let model = folder.join("model");
    fs::create_dir(&model).unwrap();
    RandomModel::parse("random://llama-tiny?seed=1").unwrap().generate(&model).unwrap();
    let healthy = Job::Bench {
        artifact: Artifact::outside(&model).unwrap(),
        backend: "candle".into(),
        tokens: None,
        runtime: None,
        setting: Setting::tokens(1, 4, 3, 1),
        rules: StreamRules { warmup: 0, detect: None, min: 2, max: 2, min_time: 0 },
        seed: 7,
        arrivals: 0,
    };
    let program = env!("CARGO_BIN_EXE_engine").into();
    let launcher = Launcher { program, interrupt: Interrupt::never() };
    let mut trial = Trial { folder, launcher, launched: 0 };
    let patient = Limits::within(Duration::from_secs(600), None);
    let mut measured = 0;
    for sabotage in Sabotage::ALL {
        for _ in 0..2 {
            let observed = observed(trial.launch(&healthy, patient));
            assert_eq!(observed.requests.len(), 2, "beside {sabotage:?}");
            assert!(observed.requests.iter().all(|request| request.tokens.len() == 3));
            measured += 1;
        }
        let limits = match sabotage {
            Sabotage::BusyLoop => Limits::within(Duration::from_secs(2), None),
            Sabotage::MemoryHog => Limits::within(Duration::from_secs(600), Some(256 << 20)),
            _ => patient,
        };
        let ended = trial.launch(&Job::Sabotage(sabotage), limits);
        let failure = ended.result.expect_err("a saboteur fails");
        assert_eq!(failure.verdict, expected(sabotage), "{sabotage:?}: {}", failure.detail);
        assert!(!failure.detail.is_empty() && failure.log_tail.len() <= 16 << 10, "{sabotage:?}");
    }
    assert_eq!((measured, trial.launched), (16, 24));
    assert_eq!(survivors(), [] as [u32; 0], "a process outlived its cell");
}

#[test]
fn a_secret_of_the_caller_reaches_no_cell_and_no_file() {
    const SECRET: &str = "hunter2-planted-in-the-environment";
    let house = House::new();
    let requests = "{warmup: 0, min: 1, max: 10000, min_time: 700ms}";
    let spec = house.folder.write("t.yaml", tiny_bench("secret", 2, requests));
    let mut command = house.run_command(&spec);
    for name in ["AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "PLANTED"] {
        command.env(name, SECRET);
    }
    let running = Background::start(&mut command);
    let environment = wait_for("a cell", || {
        let cell = house.processes().into_iter().find(|&pid| pid != running.pid())?;
        // Between fork and exec a child still shows what its parent was started with.
        let environment = fs::read(format!("/proc/{cell}/environ")).ok()?;
        let text = String::from_utf8_lossy(&environment).into_owned();
        text.contains("ENGINE_CELL=").then_some(text)
    });
    assert!(!environment.contains(SECRET), "{environment}");
    let ended = running.end().expect(0);
    assert!(!ended.stdout.contains(SECRET) && !ended.stderr.contains(SECRET));
    for place in [house.store(), house.out()] {
        assert!(!holding(&place, "tiny").is_empty(), "the search finds what is there");
        assert_eq!(holding(&place, SECRET), [] as [std::path::PathBuf; 0]);
    }
}

#[test]
fn a_cell_that_is_killed_is_one_row_and_the_run_goes_on() {
    let house = House::new();
    let requests = "{warmup: 0, min: 1, max: 10000, min_time: 700ms}";
    let spec = house.folder.write("t.yaml", tiny_bench("shot", 3, requests));
    let running = Background::start(&mut house.run_command(&spec));
    let cell = wait_for("a measured cell", || {
        let run = house.runs().pop()?;
        house.journal(&run).iter().find(|entry| !entry["launch"].is_null())?;
        house.processes().into_iter().find(|&pid| pid != running.pid())
    });
    // SAFETY: a plain system call on a process that was alive a moment ago and is our grandchild.
    unsafe { libc::kill(cell as libc::pid_t, libc::SIGKILL) };
    let ended = running.end().expect(3);
    let record = house.record();
    let cells = record["cells"].as_array().unwrap();
    let launches: Vec<_> = cells.iter().flat_map(|c| c["launches"].as_array().unwrap()).collect();
    let (failed, measured): (Vec<_>, Vec<_>) =
        launches.into_iter().partition(|launch| !launch["outcome"]["failed"].is_null());
    assert_eq!((failed.len(), measured.len()), (1, 5), "{}", ended.stderr);
    assert_eq!(failed[0]["pid"], cell);
    let verdict = &failed[0]["outcome"]["failed"];
    assert_eq!(verdict["verdict"], "signal", "{verdict}");
    assert!(verdict["detail"].as_str().unwrap().contains("SIGKILL"), "{verdict}");
    let report = fs::read_to_string(house.result().join("report.md")).unwrap();
    assert!(report.contains("SIGKILL"), "the report tells it");
}
