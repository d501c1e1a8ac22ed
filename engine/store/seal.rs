//! Workspaces and their sealing: the only way an artifact comes into being.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::Value;

use super::action::Action;
use super::object::{Depth, FILES, MANIFEST, State};
use super::{Recipe, Store, StoreError, Stored, frame, unix_seconds};
use crate::base::files::{self, Published};

/// How often a seal starts over when others remove the artifact under its hands.
const ATTEMPTS: usize = 8;

/// A folder for one artifact in the making, on the file system of the store. Removed with all it
/// holds when dropped before sealing.
#[derive(Debug)]
pub struct Workspace {
    folder: PathBuf,
    files: PathBuf,
    started: Instant,
}

impl Workspace {
    /// The folder to write the artifact's files into.
    pub fn path(&self) -> &Path {
        &self.files
    }

    /// Writes a JSON file: a whole artifact for an observation such as a judge's result.
    pub fn write_json(&self, name: &str, value: &Value) -> Result<(), StoreError> {
        Ok(files::replace_file(&self.files.join(name), value.to_string().as_bytes())?)
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        // `gc` takes what cannot be removed now.
        let _ = files::remove_tree(&self.folder);
    }
}

impl Store {
    /// A fresh workspace; the time until [`Self::seal`] is recorded as what the making took.
    pub fn begin(&self) -> Result<Workspace, StoreError> {
        let folder = files::create_unique_folder(&self.tmp())?;
        let workspace = Workspace { files: folder.join(FILES), folder, started: Instant::now() };
        files::create_folder(&workspace.files, 0o700)?;
        Ok(workspace)
    }

    /// Turns a workspace into an artifact: durable, read-only, under the digest of its content.
    ///
    /// The order is what crash safety rests on: sync all files, rename into place, sync the
    /// folder, and only then write the action record that leads here. Content that is there
    /// already is used when it is sound and replaced when it is not.
    pub fn seal(
        &self,
        workspace: Workspace,
        recipe: &Recipe,
        slot: &str,
        kind: &str,
        notes: Value,
    ) -> Result<Stored, StoreError> {
        let seconds = workspace.started.elapsed().as_secs_f64();
        super::object::walk(workspace.path())?;
        files::freeze(workspace.path())?;
        let manifest = self.manifest_of(workspace.path())?;
        if manifest.files.is_empty() {
            return Err(StoreError::Empty { slot: slot.to_owned() });
        }
        let path = workspace.folder.join(MANIFEST);
        let text = frame::wrap(&manifest)
            .map_err(|source| StoreError::Encode { path: path.clone(), source })?;
        let text = text + "\n";
        files::publish_file(&self.tmp(), &path, |file| file.write_all(text.as_bytes()))?;

        let output = manifest.digest();
        let action = Action {
            key: recipe.key(),
            recipe: recipe.clone(),
            output,
            kind: kind.to_owned(),
            notes,
            made_by: concat!("engine ", env!("CARGO_PKG_VERSION")).to_owned(),
            seconds,
            time: unix_seconds(),
        };
        self.pin(&output)?;
        let object = self.object_path(&output);
        for _ in 0..ATTEMPTS {
            if !self.publish(&workspace, &object, &action)? {
                continue;
            }
            self.write_action(&action)?;
            self.remember_recipe(slot, recipe)?;
            // A `gc` that judged the artifact unused before the record appeared may have it.
            if object.is_dir() {
                drop(workspace);
                return Ok(self.stored(action, manifest.bytes()));
            }
        }
        Err(StoreError::Vanished { digest: output })
    }

    /// Puts the artifact in place. False: what was in place is gone now, try again.
    fn publish(
        &self,
        workspace: &Workspace,
        object: &Path,
        action: &Action,
    ) -> Result<bool, StoreError> {
        if let Some(folder) = object.parent() {
            files::create_folder(folder, 0o700)?;
        }
        if files::publish_folder(&workspace.folder, object)? == Published::New {
            return Ok(true);
        }
        match self.examine(&action.output, Depth::Remembered)? {
            State::Sound { .. } => match files::touch(object) {
                Err(e) if e.is_not_found() => Ok(false),
                done => Ok(done.map(|()| true)?),
            },
            State::Absent => Ok(false),
            State::Damaged { path, what } => {
                self.quarantine(object, &format!("`{}` {what}", path.display()))?;
                Ok(false)
            }
        }
    }
}
