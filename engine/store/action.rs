//! Action records (which recipe gave which artifact) and the history of each slot.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::frame::{self, Found};
use super::{Recipe, Store, StoreError, unix_seconds};
use crate::base::Digest;
use crate::base::files::{self, FileError};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Action {
    pub(super) key: Digest,
    pub(super) recipe: Recipe,
    pub(super) output: Digest,
    pub(super) kind: String,
    pub(super) notes: Value,
    /// Program and version, for people.
    pub(super) made_by: String,
    /// What the making took.
    pub(super) seconds: f64,
    /// Unix seconds of the making.
    pub(super) time: u64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Slot {
    pub(super) slot: String,
    pub(super) recipe: Recipe,
}

/// Reads the record at `path`, which is named by `key`. A record of another key is damage.
pub(super) fn read_action(path: &Path, key: &Digest) -> Result<Found<Action>, FileError> {
    Ok(match frame::read::<Action>(path)? {
        Found::Sound(action) if action.key != *key || action.recipe.key() != *key => Found::Damaged,
        found => found,
    })
}

impl Store {
    pub(super) fn action_path(&self, key: &Digest) -> PathBuf {
        self.record_path("actions", key)
    }

    pub(super) fn write_action(&self, action: &Action) -> Result<(), StoreError> {
        frame::write(&self.tmp(), &self.action_path(&action.key), action)
    }

    /// The last recipe that gave an output in this slot. A damaged history is none: it explains,
    /// it does not decide.
    pub(super) fn last_recipe(&self, slot: &str) -> Result<Option<Recipe>, FileError> {
        Ok(match frame::read::<Slot>(&self.slot_path(slot))? {
            Found::Sound(found) if found.slot == slot => Some(found.recipe),
            _ => None,
        })
    }

    pub(super) fn remember_recipe(&self, slot: &str, recipe: &Recipe) -> Result<(), StoreError> {
        if self.last_recipe(slot)?.as_ref() == Some(recipe) {
            return Ok(());
        }
        let entry = Slot { slot: slot.to_owned(), recipe: recipe.clone() };
        frame::write(&self.tmp(), &self.slot_path(slot), &entry)
    }

    fn slot_path(&self, slot: &str) -> PathBuf {
        self.record_path("history", &Digest::of_bytes(slot.as_bytes()))
    }

    /// Moves something out of the way for people to look at, and says why beside it. Nothing to
    /// do when another process was quicker.
    pub(super) fn quarantine(&self, path: &Path, why: &str) -> Result<(), StoreError> {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let target = self.root.join("quarantine").join(format!("{}-{name}", files::unique_name()));
        match files::rename_new(path, &target) {
            Err(e) if e.is_not_found() => return Ok(()),
            done => done?,
        };
        let reason = serde_json::json!({
            "was": path.display().to_string(),
            "why": why,
            "time": unix_seconds(),
        });
        let beside = format!("{}.reason.json", target.display());
        frame::write(&self.tmp(), Path::new(&beside), &reason)
    }
}
