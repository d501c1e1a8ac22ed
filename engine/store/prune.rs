//! Making room: what nobody needs any more leaves the store, what a live run uses stays.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::action::read_action;
use super::frame::Found;
use super::run::{age, entries, may_live, subfolders};
use super::survey::bytes_below;
use super::{Store, StoreError};
use crate::base::Digest;
use crate::base::files;

/// How long the unsound stays for people to look at.
const QUARANTINE: Duration = Duration::from_secs(30 * 24 * 3600);

/// How long an unfinished folder of a process that still exists is believed to be in use.
const LONGEST_STAGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// What `gc` may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Forget what was last used longer ago than this.
    pub max_age: Option<Duration>,
    /// Then forget what was not used for longest until all artifacts together fit.
    pub max_bytes: Option<u64>,
    /// Artifacts and records changed or used within this time stay, whatever the limits say.
    pub grace: Duration,
    /// Unfinished work from machines that cannot be asked leaves after this time.
    pub temp_age: Duration,
    /// Only tell what would go.
    pub dry_run: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_age: None,
            max_bytes: None,
            grace: Duration::from_secs(3600),
            temp_age: Duration::from_secs(24 * 3600),
            dry_run: false,
        }
    }
}

/// What `gc` took, or would take.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    pub artifacts: Vec<Digest>,
    pub actions: usize,
    /// Unfinished work of dead processes.
    pub temporary: usize,
    /// Old entries of the quarantine.
    pub quarantined: usize,
    /// Bytes of all of these.
    pub bytes: u64,
}

struct Object {
    digest: Digest,
    path: PathBuf,
    bytes: u64,
    /// Since it was last stored or last used through one of its records.
    idle: Duration,
    actions: Vec<PathBuf>,
    /// Whether a record that is young enough leads to it.
    is_wanted: bool,
}

impl Store {
    /// Removes what the policy allows, records first, so that no record ever leads to nothing.
    ///
    /// Safe beside live runs: pins and times are looked at again right before and right after an
    /// artifact is renamed out of sight, and only then is it deleted.
    pub fn gc(&self, policy: &Policy) -> Result<Collected, StoreError> {
        let mut taken = Collected::default();
        let mut objects = self.inventory(policy, &mut taken)?;
        objects.sort_by_key(|object| std::cmp::Reverse(object.idle));
        let mut total = objects.iter().fold(0_u64, |sum, object| sum.saturating_add(object.bytes));
        for object in objects {
            let is_over = policy.max_bytes.is_some_and(|limit| total > limit);
            if (is_over || !object.is_wanted) && self.take(&object, policy)? {
                total = total.saturating_sub(object.bytes);
                taken.bytes = taken.bytes.saturating_add(object.bytes);
                taken.actions += object.actions.len();
                taken.artifacts.push(object.digest);
            }
        }
        self.sweep(policy, &mut taken)?;
        Ok(taken)
    }

    /// All artifacts with their records. Records that lead nowhere are taken on the way.
    fn inventory(&self, policy: &Policy, taken: &mut Collected) -> Result<Vec<Object>, StoreError> {
        let mut objects = BTreeMap::new();
        for (digest, path) in self.named("objects")? {
            let (Some(digest), Some(idle)) = (digest, age(&path)) else { continue };
            let (bytes, actions) = (bytes_below(&path), Vec::new());
            let object = Object { digest, path, bytes, idle, actions, is_wanted: false };
            objects.insert(digest, object);
        }
        for (key, path) in self.named("actions")? {
            let (Some(key), Some(idle)) = (key, age(&path)) else { continue };
            match read_action(&path, &key)? {
                Found::Sound(action) => match objects.get_mut(&action.output) {
                    Some(object) => {
                        object.actions.push(path);
                        object.idle = object.idle.min(idle);
                        object.is_wanted |= policy.max_age.is_none_or(|limit| idle <= limit);
                    }
                    None if idle >= policy.grace => {
                        taken.actions += 1;
                        remove(&path, policy)?;
                    }
                    None => {}
                },
                Found::Damaged if !policy.dry_run => {
                    self.quarantine(&path, "the record is not as it was written")?;
                }
                Found::Damaged | Found::Absent => {}
            }
        }
        Ok(objects.into_values().collect())
    }

    /// Takes one artifact with its records unless somebody uses it.
    fn take(&self, object: &Object, policy: &Policy) -> Result<bool, StoreError> {
        let is_fresh = |path: &Path| age(path).is_some_and(|age| age < policy.grace);
        let in_use = is_fresh(&object.path) || object.actions.iter().any(|path| is_fresh(path));
        if in_use || self.is_pinned(&object.digest)? {
            return Ok(false);
        }
        if policy.dry_run {
            return Ok(true);
        }
        for action in &object.actions {
            files::remove_tree(action)?;
        }
        let aside = self.tmp().join(files::unique_name());
        match files::rename_new(&object.path, &aside) {
            Err(e) if e.is_not_found() => return Ok(false),
            done => done?,
        };
        if self.is_pinned(&object.digest)? {
            files::rename_new(&aside, &object.path)?;
            return Ok(false);
        }
        files::remove_tree(&aside)?;
        Ok(true)
    }

    /// Takes unfinished work, pins of dead runs and old quarantine.
    fn sweep(&self, policy: &Policy, taken: &mut Collected) -> Result<(), StoreError> {
        let here = files::place();
        for path in entries(&self.tmp())? {
            if is_abandoned(&path, &here, policy.temp_age) {
                taken.temporary += 1;
                taken.bytes = taken.bytes.saturating_add(bytes_below(&path));
                remove(&path, policy)?;
            }
        }
        for path in entries(&self.root().join("quarantine"))? {
            if age(&path).is_some_and(|age| age > QUARANTINE) {
                taken.quarantined += 1;
                taken.bytes = taken.bytes.saturating_add(bytes_below(&path));
                remove(&path, policy)?;
            }
        }
        for run in subfolders(&self.root().join("runs"))? {
            if !may_live(&run)? {
                remove(&run.join("pins"), policy)?;
            }
        }
        Ok(())
    }
}

fn remove(path: &Path, policy: &Policy) -> Result<(), StoreError> {
    if policy.dry_run { Ok(()) } else { Ok(files::remove_tree(path)?) }
}

/// Whether nobody works in this temporary folder any more, judged by its name
/// `<place>-<pid>-<random>` where the process can be asked for, by its age where not.
fn is_abandoned(path: &Path, here: &str, limit: Duration) -> bool {
    let Some(age) = age(path) else { return false };
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut parts = name.rsplitn(3, '-').skip(1);
    let pid = parts.next().and_then(|pid| pid.parse::<u32>().ok());
    match (parts.next(), pid) {
        (Some(place), Some(pid)) if place == here => {
            let is_there = Path::new("/proc").join(pid.to_string()).exists();
            !is_there || age > LONGEST_STAGE
        }
        _ => age > limit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::files::seam::Scratch;

    #[test]
    fn unfinished_work_is_judged_by_its_process_and_else_by_its_age() {
        let dir = Scratch::new();
        let day = Duration::from_secs(24 * 3600);
        let made = |name: &str| {
            files::mark(&dir.join(name)).unwrap();
            dir.join(name)
        };
        let mine = made(&files::unique_name());
        let dead = made(&format!("box.1-{}-00", u32::MAX));
        assert!(!is_abandoned(&mine, &files::place(), Duration::ZERO));
        assert!(is_abandoned(&dead, "box.1", day));
        assert!(!is_abandoned(&dead, "other.1", day) && is_abandoned(&dead, "o.1", Duration::ZERO));
        assert!(!is_abandoned(&made("strange"), "box.1", day));
        assert!(!is_abandoned(&dir.join("gone"), "box.1", Duration::ZERO));
    }
}
