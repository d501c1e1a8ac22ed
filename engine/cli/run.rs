//! `engine run` and `engine resume`: from specs to reports.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use time::OffsetDateTime;

use super::Shared;
use super::common::{self, Changes};
use super::exit::{Exit, Failure};
use super::report::{width, write_report};
use crate::base::Digest;
use crate::base::files::{create_folder, replace_file};
use crate::catalog;
use crate::machine::Fingerprint;
use crate::plan::{Plan, expand};
use crate::record::{self, Record, StepState};
use crate::report::{self, EXPORTERS, Options, Report};
use crate::run::{
    Begun, Conditions, Interrupt, Launcher, Progress, Session, SessionError, execute, run_id,
};
use crate::spec::{self, Loaded};
use crate::store::Store;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  engine run specs/llama_int8.yaml
  engine run specs/llama_int8.yaml --quick --only q8
  engine run specs/ --profile ci --out /tmp/results
  engine run specs/llama_int8.yaml --set bench.matrix.prompt_tokens=[64]")]
pub struct Run {
    /// Spec files, or folders of them.
    #[arg(required = true, value_name = "SPEC")]
    specs: Vec<PathBuf>,
    #[command(flatten)]
    changes: Changes,
    /// Folder that gets `<name>/<run id>/`.
    #[arg(long, value_name = "DIR", default_value = "results")]
    out: PathBuf,
    /// Run only this variant, the baseline, the reference and what they start from; may be given
    /// several times.
    #[arg(long, value_name = "VARIANT")]
    only: Vec<String>,
    /// Make every artifact again although the store has it.
    #[arg(long)]
    fresh: bool,
    /// No progress on stderr.
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  engine resume 20261122T141335Z-1f3a9c
  engine resume results/llama_int8/20261122T141335Z-1f3a9c")]
pub struct Resume {
    /// Id of an interrupted run, or its result folder.
    #[arg(value_name = "RUN")]
    run: String,
    #[command(flatten)]
    library: common::Library,
    /// No progress on stderr.
    #[arg(short, long)]
    quiet: bool,
}

impl Run {
    pub fn execute(self, shared: &Shared) -> Result<Exit, Failure> {
        let files = common::spec_files(&self.specs)?;
        // Every spec is checked before anything is fetched or runs.
        let parsed: Vec<Loaded> = files
            .iter()
            .map(|file| common::parse(file, &self.changes))
            .collect::<Result<_, _>>()?;
        let interrupt = Interrupt::listen()?;
        let mut prepared = Vec::new();
        for (file, loaded) in files.iter().zip(parsed) {
            common::fetch(&loaded, shared, &interrupt, self.quiet)?;
            let mut loaded = common::look(file, loaded)?;
            common::keep_only(&mut loaded, &self.only)?;
            let (plan, roots) = common::plan(file, &loaded)?;
            prepared.push((file, loaded, plan, roots));
        }
        let store = common::open_store(shared)?;
        let fingerprint = Fingerprint::read();
        let program = Digest::of_file(&std::env::current_exe()?)?;
        let out = std::path::absolute(&self.out)?;
        let mut worst = Exit::Done;
        for (file, loaded, plan, roots) in prepared {
            let begun = Begun {
                id: run_id(&loaded.resolved, OffsetDateTime::now_utc()),
                resolved: loaded.resolved.clone(),
                spec_file: file.display().to_string(),
                roots,
                out: out.clone(),
                started: crate::run::now_text(),
                engine: env!("CARGO_PKG_VERSION").to_owned(),
                machine: fingerprint.digest,
                program,
                data: Some(plan.data()),
            };
            // Before hours of measuring, not after: results must have a place.
            create_folder(&out.join(&loaded.spec.name).join(&begun.id), 0o755)?;
            let session = Session::begin(&store, begun).map_err(crate::run::RunError::from)?;
            let work = Work {
                store: &store,
                interrupt: &interrupt,
                fingerprint: &fingerprint,
                fresh: self.fresh,
                quiet: self.quiet,
            };
            let exit = work.carry_out(shared, &loaded, &plan, session)?;
            worst = worst.max(exit);
            if matches!(exit, Exit::Interrupted(_)) {
                break;
            }
        }
        Ok(worst)
    }
}

impl Resume {
    pub fn execute(self, shared: &Shared) -> Result<Exit, Failure> {
        let store = common::open_store(shared)?;
        let interrupt = Interrupt::listen()?;
        let fingerprint = Fingerprint::read();
        let id = self.run.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let program = Digest::of_file(&std::env::current_exe()?)?;
        let session = Session::resume(&store, id, fingerprint.digest, program).map_err(
            |error| match error {
                SessionError::Store(store) => store.into(),
                asked => Failure::invalid(crate::base::chain(&asked)),
            },
        )?;
        // JSON is YAML: the resolved spec goes the same way as any other.
        let text = session.begun.resolved.to_string();
        let file = PathBuf::from(&session.begun.spec_file);
        let loaded = spec::parse(&text, &file, &catalog::spec_schema(), &self.library.overrides())?;
        let plan = expand(&loaded, &common::surroundings(session.begun.roots.clone()))?;
        if session.begun.data.is_some_and(|data| data != plan.data()) {
            let what = format!("the data sets changed since run `{id}` began; start a new run");
            return Err(Failure::invalid(what));
        }
        let work = Work {
            store: &store,
            interrupt: &interrupt,
            fingerprint: &fingerprint,
            fresh: false,
            quiet: self.quiet,
        };
        work.carry_out(shared, &loaded, &plan, session)
    }
}

struct Work<'a> {
    store: &'a Store,
    interrupt: &'a Interrupt,
    fingerprint: &'a Fingerprint,
    fresh: bool,
    quiet: bool,
}

impl Work<'_> {
    fn carry_out(
        &self,
        shared: &Shared,
        loaded: &Loaded,
        plan: &Plan,
        session: Session,
    ) -> Result<Exit, Failure> {
        let launcher =
            Launcher { program: std::env::current_exe()?, interrupt: self.interrupt.clone() };
        let progress = Progress::stderr(self.quiet);
        let begun = session.begun.clone();
        progress.line(&format!("{}  {}", loaded.spec.name, begun.id));
        let conditions = Conditions {
            store: self.store,
            launcher: &launcher,
            progress: &progress,
            spec_name: &loaded.spec.name,
            fresh: self.fresh,
            fingerprint: self.fingerprint,
            begin: Instant::now(),
        };
        let mut session = session;
        let record = execute(&loaded.spec, plan, &mut session, &conditions)?;
        let folder = begun.folder();
        let records = [record];
        let report = report::build(&records);
        write(&folder, &records[0], &report)?;
        // Only now: a run whose results could not be written can still be resumed.
        let seconds = conditions.begin.elapsed().as_secs_f64();
        session
            .end(self.store, seconds, !records[0].run.interrupted)
            .map_err(crate::run::RunError::from)?;
        print!("{}", report::terminal(&report, shared.colour, width()));
        println!("\nreport: {}", shown(&folder.join("report.html")));
        let exit = if records[0].run.interrupted {
            let store = shared.store.as_ref();
            let store = store.map_or(String::new(), |s| format!(" --store {}", s.display()));
            eprintln!("interrupted; go on with: engine resume {}{store}", begun.id);
            Exit::Interrupted(self.interrupt.exit_code())
        } else {
            verdict(&records[0], &report)
        };
        Ok(exit)
    }
}

/// `path` from the working directory where it lies below it.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}

/// Writes the record first and then everything that is made from it.
fn write(folder: &Path, record: &Record, report: &Report<'_>) -> Result<(), Failure> {
    create_folder(folder, 0o755)?;
    // One line: it holds thousands of instants, and nobody reads those one per line.
    let text = format!("{}\n", serde_json::to_string(record).map_err(std::io::Error::from)?);
    replace_file(&folder.join("record.json"), text.as_bytes())?;
    let formats = record.spec["report"]["formats"].as_array().cloned().unwrap_or_default();
    for exporter in EXPORTERS {
        let wanted = exporter.id == "machine" || formats.iter().any(|f| f == exporter.id);
        if wanted {
            write_report(exporter, report, &Options::default(), folder)?;
        }
    }
    Ok(())
}

/// The exit code of a run that came to its end.
fn verdict(record: &Record, report: &Report<'_>) -> Exit {
    let stage_failed = record.steps.iter().any(|step| step.state == StepState::Failed)
        || record.variants.values().any(|variant| variant.failed.is_some());
    let launches = record.cells.iter().flat_map(|cell| &cell.launches);
    let launches = launches.chain(record.conduct.iter().flat_map(|conduct| &conduct.again));
    let cell_failed =
        launches.into_iter().any(|launch| matches!(launch.outcome, record::Outcome::Failed(_)));
    if stage_failed || cell_failed {
        return Exit::StageFailed;
    }
    let outcomes: Vec<report::Outcome> = report.gates().map(|gate| gate.outcome).collect();
    if outcomes.contains(&report::Outcome::Failed) {
        Exit::GateFailed
    } else if outcomes.iter().any(|outcome| *outcome != report::Outcome::Passed) {
        Exit::Undecided
    } else {
        Exit::Done
    }
}
