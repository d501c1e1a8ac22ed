//! What several subcommands do the same way: finding specs, parsing them, opening the store.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::Shared;
use super::exit::Failure;
use crate::base::Problems;
use crate::base::suggest::closest;
use crate::catalog;
use crate::machine::{Cpu, gpus};
use crate::plan::{Output, Plan, Surroundings, expand, settle};
use crate::run::{Interrupt, Launcher, Progress, Provided, Provider, RunError, describe};
use crate::spec::{self, Loaded, Overrides, Task};
use crate::stage::{Job, LoadRuntime, Source, hub};
use crate::store::{Store, default_root};

/// Options that change a spec before it is validated.
#[derive(Debug, Clone, Default, Args)]
pub struct Changes {
    /// Apply one of the spec's profiles.
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Change a value, such as `--set bench.design.blocks.max=15`; may be given several times.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// Stop at intervals of ±5 %: 10 to 15 blocks, at most two minutes per setting.
    #[arg(long, conflicts_with = "strict")]
    pub quick: bool,
    /// Stop at intervals of ±1 %: 20 to 60 blocks, the baseline twice in each.
    #[arg(long)]
    pub strict: bool,
    #[command(flatten)]
    pub library: Library,
}

/// The option that names a runtime's library.
#[derive(Debug, Clone, Default, Args)]
pub struct Library {
    /// Library of ONNX Runtime to use instead of the pinned one.
    #[arg(long, value_name = "PATH", env = "ENGINE_ORT_LIBRARY", hide_env_values = true)]
    pub ort_library: Option<PathBuf>,
}

impl Library {
    /// The same as a change of a spec: what a run was begun with is what it goes on with.
    fn change(&self) -> Option<(String, serde_json::Value)> {
        let path = self.source()?;
        Some(("runtime.onnxruntime.library".to_owned(), json!(path)))
    }

    /// As a source; relative paths start at the working directory.
    fn source(&self) -> Option<String> {
        let path = self.ort_library.as_ref().filter(|path| !path.as_os_str().is_empty())?;
        let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        Some(format!("file://{}", path.display()))
    }

    pub fn overrides(&self) -> Overrides {
        Overrides { extra: self.change().into_iter().collect(), ..Overrides::default() }
    }

    /// The library for a command without a spec: named, stored or fetched.
    pub fn provide(
        &self,
        store: &Store,
        launcher: &Launcher,
    ) -> Result<Result<PathBuf, Failure>, RunError> {
        let provider = Provider { store, launcher, slot: LoadRuntime::STEP };
        Ok(match provider.provide(&self.load(), &|_| {})? {
            Provided::Ready { output: Output::Runtime { library, .. }, .. } => Ok(library),
            Provided::Ready { .. } => Err(Failure::broken("a runtime left no library")),
            Provided::Missing(why) | Provided::Broken(why) => Err(Failure::broken(why)),
        })
    }

    /// What provides the library where no spec has a say.
    pub fn load(&self) -> LoadRuntime {
        let written = self.source();
        let library = written.as_ref().map(|path| path.trim_start_matches("file://").into());
        LoadRuntime { library, written }
    }
}

impl Changes {
    fn overrides(&self, has_bench: bool) -> Overrides {
        let mut extra = match (self.quick && has_bench, self.strict && has_bench) {
            (true, _) => vec![
                ("bench.design.stop.half_width".to_owned(), json!("5%")),
                ("bench.design.blocks.min".to_owned(), json!(10)),
                ("bench.design.blocks.max".to_owned(), json!(15)),
                ("bench.design.max_time".to_owned(), json!("2m")),
            ],
            (_, true) => vec![
                ("bench.design.stop.half_width".to_owned(), json!("1%")),
                ("bench.design.blocks.min".to_owned(), json!(20)),
                ("bench.design.blocks.max".to_owned(), json!(60)),
                ("bench.design.noise_floor".to_owned(), json!("every_block")),
            ],
            _ => Vec::new(),
        };
        extra.extend(self.library.change());
        Overrides { profile: self.profile.clone(), set: self.set.clone(), extra }
    }
}

/// The spec files that `paths` name; a folder means all specs directly in it.
pub fn spec_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path).map_err(|error| {
            Failure::invalid(format!("cannot read `{}`: {error}", path.display()))
        })?;
        let mut found: Vec<PathBuf> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|p| p.extension().is_some_and(|e| e == "yaml" || e == "yml"))
            .collect();
        if found.is_empty() {
            let text = format!("there is no .yaml file in `{}`", path.display());
            return Err(Failure::invalid(text));
        }
        found.sort();
        files.append(&mut found);
    }
    Ok(files)
}

/// Longest time of fetching a model.
const FETCHING: Duration = Duration::from_secs(4 * 3600);

/// Fetches a model from the hub that planning has to look at: one that is run from tensors to
/// tensors, or whose task the spec does not name. Models that are known to continue texts are
/// fetched by a step of the run; so is, to be told there, one whose task nobody knows because it
/// cannot be fetched.
pub fn fetch(
    loaded: &Loaded,
    shared: &Shared,
    interrupt: &Interrupt,
    quiet: bool,
) -> Result<(), Failure> {
    let model = &loaded.spec.model;
    let source = Source::parse(&model.source, model.revision.as_deref());
    let Ok(Source::Hub { repository, revision }) = source else { return Ok(()) };
    let known = hub::is_complete(&repository, revision.as_deref().unwrap_or("main"));
    if known || !model.task.is_none_or(Task::runs_tensors) {
        return Ok(());
    }
    let (store, progress) = (open_store(shared)?, Progress::stderr(quiet));
    let launcher = Launcher { program: std::env::current_exe()?, interrupt: interrupt.clone() };
    let provider = Provider { store: &store, launcher: &launcher, slot: "model" };
    let bar = progress.step(&format!("fetch {}", model.source));
    let share = |share: f64| bar.set_position((share * 1000.0) as u64);
    let ended = provider.run(&Job::Fetch { repository, revision }, FETCHING, &share)?;
    progress.clear(&bar);
    match (ended, model.task) {
        (Err(failure), Some(_)) => Err(Failure::broken(describe(&failure))),
        _ => Ok(()),
    }
}

/// Reads and checks one spec.
pub fn parse(file: &Path, changes: &Changes) -> Result<Loaded, Problems> {
    let text = spec::read(file)?;
    let schema = catalog::spec_schema();
    // `--quick` and `--strict` have nothing to change in a spec that times nothing.
    let plain = spec::parse(&text, file, &schema, &changes.overrides(false))?;
    match (changes.quick || changes.strict) && plain.spec.bench.is_some() {
        true => spec::parse(&text, file, &schema, &changes.overrides(true)),
        false => Ok(plain),
    }
}

/// Looks at the model of a spec in `file` for the task.
pub fn look(file: &Path, loaded: Loaded) -> Result<Loaded, Problems> {
    settle(loaded, &surroundings(roots(file)))
}

/// Reads and checks one spec, and looks at its model for the task.
pub fn load(file: &Path, changes: &Changes) -> Result<Loaded, Problems> {
    look(file, parse(file, changes)?)
}

/// The plan of a spec in `file`, on this machine.
pub fn plan(file: &Path, loaded: &Loaded) -> Result<(Plan, Vec<PathBuf>), Problems> {
    let roots = roots(file);
    let plan = expand(loaded, &surroundings(roots.clone()))?;
    Ok((plan, roots))
}

pub fn surroundings(roots: Vec<PathBuf>) -> Surroundings {
    let cpu = Cpu::read();
    Surroundings {
        roots,
        physical_cores: cpu.physical,
        logical_cores: cpu.logical,
        gpus: gpus(),
        mock: false,
    }
}

/// Folders that relative paths of a spec start from: the working directory, the spec's folder and
/// the folders above it, so that a spec works from wherever it is called.
fn roots(file: &Path) -> Vec<PathBuf> {
    let mut roots = Vec::new();
    if let Ok(here) = std::env::current_dir() {
        roots.push(here);
    }
    let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    for folder in absolute.ancestors().skip(1).take(4) {
        if !roots.iter().any(|root| root == folder) {
            roots.push(folder.to_owned());
        }
    }
    roots
}

/// Opens the store that the options and the environment name.
pub fn open_store(shared: &Shared) -> Result<Store, Failure> {
    let root = match &shared.store {
        Some(root) => std::path::absolute(root)?,
        None => default_root()?,
    };
    Ok(Store::open(&root)?)
}

/// Leaves only the variants named in `only`, those they start from, the baseline and the
/// reference. Gates and post-conditions on the others go with them.
pub fn keep_only(loaded: &mut Loaded, only: &[String]) -> Result<(), Failure> {
    if only.is_empty() {
        return Ok(());
    }
    let spec = &mut loaded.spec;
    let known: Vec<&str> = spec.variants.keys().map(String::as_str).collect();
    for name in only {
        if !spec.variants.contains_key(name) {
            let failure = Failure::invalid(format!("`--only {name}`: there is no such variant"));
            return Err(failure.hint(match closest(name, known.iter().copied()) {
                Some(close) => format!("did you mean `{close}`?"),
                None => format!("variants: {}", known.join(", ")),
            }));
        }
    }
    let baseline = spec.compare.baseline.clone().or_else(|| spec.variants.keys().next().cloned());
    let reference = spec.quality.as_ref().and_then(|quality| quality.reference.clone());
    let mut wanted: Vec<String> = only.iter().cloned().chain(baseline).chain(reference).collect();
    let mut at = 0;
    while at < wanted.len() {
        let variant = &spec.variants[&wanted[at]];
        let size = variant.expect.as_ref().and_then(|e| e.size_vs.as_ref());
        let more: Vec<String> =
            variant.from.iter().chain(size.map(|s| &s.variant)).cloned().collect();
        wanted.extend(more.into_iter().filter(|name| !wanted.contains(name)).collect::<Vec<_>>());
        at += 1;
    }
    spec.variants.retain(|name, _| wanted.contains(name));
    spec.gates.retain(|gate| wanted.contains(&gate.on.variant));
    if let Some(bench) = &mut spec.bench
        && let Some(profile) = &mut bench.profile
        && !profile.cells.is_empty()
    {
        profile.cells.retain(|cell| cell.variant.as_ref().is_none_or(|v| wanted.contains(v)));
        // An empty list would ask for every variant.
        if profile.cells.is_empty() {
            bench.profile = None;
        }
    }
    // One variant alone has no verdict to wait for.
    if let Some(bench) = loaded.spec.bench.as_mut().filter(|_| loaded.spec.variants.len() < 2) {
        bench.design.stop.early_decision = false;
    }
    loaded.resolved = serde_json::to_value(&loaded.spec).map_err(std::io::Error::from)?;
    Ok(())
}
