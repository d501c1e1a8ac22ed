//! Runs: a folder with a journal, and the pins that keep `gc` away from what a run uses.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::frame::{self, Found};
use super::{Journal, Store, StoreError, locked};
use crate::base::Digest;
use crate::base::files::{self, FileError};

/// How long a run that cannot be asked, such as one on another machine, is taken for alive.
const BENEFIT_OF_DOUBT: Duration = Duration::from_secs(7 * 24 * 3600);

/// The run of this process.
#[derive(Debug)]
pub struct Run {
    pub id: String,
    /// `runs/<id>` in the store.
    pub folder: PathBuf,
    pub journal: Journal,
}

/// Which process owns a run, so precisely that a later one with the same number is another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Owner {
    host: String,
    /// Changes with every start of the machine.
    boot: String,
    /// The namespace in which `pid` counts: containers of one machine have their own.
    namespace: String,
    pid: u32,
    /// Clock ticks from the machine's start to the process's.
    started: Option<u64>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Life {
    Alive,
    Dead,
    /// Another machine or another container.
    Unknown,
}

impl Owner {
    pub(super) fn this() -> Self {
        let pid = std::process::id();
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        Self {
            host: files::host(),
            boot: boot.trim().to_owned(),
            namespace: namespace.display().to_string(),
            pid,
            started: start_of(pid),
        }
    }

    pub(super) fn life(&self) -> Life {
        let here = Self::this();
        if self.host != here.host || here.boot.is_empty() {
            Life::Unknown
        } else if self.boot != here.boot {
            Life::Dead
        } else if self.namespace != here.namespace {
            Life::Unknown
        } else if self.started.is_some() && self.started == start_of(self.pid) {
            Life::Alive
        } else {
            Life::Dead
        }
    }
}

/// Field 22 of `/proc/<pid>/stat` (proc(5)); `None` when there is no such process.
fn start_of(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command in parentheses may hold spaces and parentheses, so counting starts behind it.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19)?.parse().ok()
}

impl Store {
    /// Starts or resumes a run. From now on this store pins every artifact that it finds or
    /// makes, until [`Self::end_run`] or the end of the process.
    ///
    /// Refuses a run whose process is still alive. That check is a courtesy and not a lock:
    /// results stay right even when two processes work on one run.
    pub fn begin_run(&self, id: &str) -> Result<Run, StoreError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if id.is_empty() || id.len() > 128 || id.starts_with('.') || !id.chars().all(plain) {
            return Err(StoreError::RunId { id: id.to_owned() });
        }
        let folder = self.root().join("runs").join(id);
        let owner = folder.join("owner.json");
        let this = Owner::this();
        if let Found::Sound(other) = frame::read::<Owner>(&owner)?
            && other != this
            && other.life() == Life::Alive
        {
            return Err(StoreError::RunBusy { id: id.into(), pid: other.pid, host: other.host });
        }
        let pins = folder.join("pins");
        files::create_folder(&pins, 0o700)?;
        frame::write(&self.tmp(), &owner, &this)?;
        *locked(&self.pins) = Some(pins);
        let journal = Journal::open(&folder.join("journal.jsonl"));
        Ok(Run { id: id.to_owned(), folder, journal })
    }

    /// Lets go of the artifacts of a run. The journal stays.
    pub fn end_run(&self, run: Run) -> Result<(), StoreError> {
        let Run { folder, .. } = run;
        *locked(&self.pins) = None;
        files::remove_tree(&folder.join("pins"))?;
        Ok(files::remove_tree(&folder.join("owner.json"))?)
    }

    pub(super) fn pin(&self, digest: &Digest) -> Result<(), StoreError> {
        let pins = locked(&self.pins).clone();
        Ok(pins.map_or(Ok(()), |pins| files::mark(&pins.join(digest.hex())))?)
    }

    /// Whether a run that is or may be alive uses the artifact.
    pub(super) fn is_pinned(&self, digest: &Digest) -> Result<bool, FileError> {
        let name = digest.hex();
        for run in subfolders(&self.root().join("runs"))? {
            if run.join("pins").join(&name).exists() && may_live(&run)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether the run in this folder is alive, or nobody here can tell and it is not old.
pub(super) fn may_live(run: &Path) -> Result<bool, FileError> {
    let path = run.join("owner.json");
    let life = match frame::read::<Owner>(&path)? {
        Found::Sound(owner) => owner.life(),
        Found::Damaged => Life::Unknown,
        Found::Absent => Life::Dead,
    };
    let is_young = || age(&path).is_some_and(|age| age < BENEFIT_OF_DOUBT);
    Ok(life == Life::Alive || (life == Life::Unknown && is_young()))
}

/// Time since the last change; zero for one in the future, `None` when it is gone.
pub(super) fn age(path: &Path) -> Option<Duration> {
    let changed = fs::symlink_metadata(path).and_then(|m| m.modified()).ok()?;
    Some(SystemTime::now().duration_since(changed).unwrap_or_default())
}

/// The folders in a folder, sorted.
pub(super) fn subfolders(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    Ok(entries(folder)?.into_iter().filter(|path| path.is_dir()).collect())
}

/// The paths in a folder, sorted.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    let list = || fs::read_dir(folder)?.map(|e| e.map(|e| e.path())).collect();
    let listed: Result<Vec<PathBuf>, _> = list();
    let mut paths = listed.map_err(|e| FileError::new("list", folder, e))?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::files::seam::Scratch;

    #[test]
    fn a_process_is_told_from_a_later_one_with_its_number() {
        let this = Owner::this();
        assert_eq!(this.life(), Life::Alive);
        let started = this.started.map(|ticks| ticks + 1);
        assert_eq!(Owner { started, ..this.clone() }.life(), Life::Dead);
        assert_eq!(Owner { boot: "earlier".into(), ..this.clone() }.life(), Life::Dead);
        assert_eq!(Owner { pid: u32::MAX, ..this.clone() }.life(), Life::Dead);
        assert_eq!(Owner { host: "elsewhere".into(), ..this.clone() }.life(), Life::Unknown);
        assert_eq!(Owner { namespace: "pid:[1]".into(), ..this }.life(), Life::Unknown);
    }

    #[test]
    fn a_run_is_refused_while_its_process_lives_and_resumed_after() {
        let dir = Scratch::new();
        let store = Store::open(&dir).unwrap();
        let run = store.begin_run("r1").unwrap();
        run.journal.append(&serde_json::json!(1)).unwrap();
        let parent = std::os::unix::process::parent_id();
        let mut other = Owner { pid: parent, started: start_of(parent), ..Owner::this() };
        frame::write(&store.tmp(), &run.folder.join("owner.json"), &other).unwrap();
        let words = store.begin_run("r1").unwrap_err().to_string();
        assert!(words.contains(&format!("`r1` is in use by process {parent}")), "{words}");

        other.started = Some(0);
        frame::write(&store.tmp(), &run.folder.join("owner.json"), &other).unwrap();
        let resumed = store.begin_run("r1").unwrap();
        assert_eq!(resumed.journal.read().unwrap().entries, [1]);
        store.end_run(resumed).unwrap();
        assert!(!run.folder.join("pins").exists() && run.journal.path().exists());
    }

    #[test]
    fn a_run_id_cannot_leave_its_folder() {
        let dir = Scratch::new();
        let store = Store::open(&dir).unwrap();
        for id in ["", "..", ".x", "a/b", "a b", "ü", &"x".repeat(129)] {
            assert!(matches!(store.begin_run(id), Err(StoreError::RunId { .. })), "{id}");
        }
    }
}
