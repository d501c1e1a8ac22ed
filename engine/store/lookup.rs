//! Is it there already, and if not, why not.

use std::fmt;
use std::path::PathBuf;

use serde_json::Value;

use super::action::{Action, read_action};
use super::frame::Found;
use super::object::{Depth, FILES, State};
use super::{Recipe, Store, StoreError, Stored, Verify};
use crate::base::files;

#[derive(Debug, Clone, PartialEq)]
pub enum Lookup {
    Hit(Stored),
    Miss(Reason),
}

/// Why something has to be made. The display is a sentence without its subject.
#[derive(Debug, Clone, PartialEq)]
pub enum Reason {
    /// The slot never had an output.
    First,
    /// A fact, the epoch or a version differs from the slot's last recipe.
    RecipeChanged {
        /// Dotted path of the first leaf that differs.
        field: String,
        /// `None` where the field was absent.
        old: Option<Value>,
        /// `None` where the field is absent now.
        new: Option<Value>,
        /// How many further leaves differ.
        more: usize,
    },
    /// The recipe is the same, but the output of this step is not.
    InputChanged { step: String },
    /// It was made before, but the store has it no more.
    OutputMissing { path: PathBuf },
    /// It was damaged in the store; [`Store::lookup`] has moved it to quarantine.
    Corrupt { path: PathBuf, what: String },
    /// The caller wants it made again.
    Forced,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First => write!(f, "never made before"),
            Self::RecipeChanged { field, old, new, more } => {
                let field = if field.is_empty() { "recipe" } else { field };
                match (old, new) {
                    (Some(old), Some(new)) => {
                        write!(f, "`{field}` changed from {} to {}", Brief(old), Brief(new))?;
                    }
                    (None, Some(new)) => write!(f, "`{field}` is new: {}", Brief(new))?,
                    (Some(old), None) => write!(f, "`{field}` is gone, was {}", Brief(old))?,
                    (None, None) => write!(f, "`{field}` changed")?,
                }
                if *more > 0 { write!(f, " (and {more} more)") } else { Ok(()) }
            }
            Self::InputChanged { step } => write!(f, "its input `{step}` changed"),
            Self::OutputMissing { path } => {
                write!(f, "made before, but `{}` is gone from the store", path.display())
            }
            Self::Corrupt { path, what } => {
                write!(f, "`{}` {what}, so it is not used", path.display())
            }
            Self::Forced => write!(f, "asked to make it again"),
        }
    }
}

/// A JSON value cut to a length that fits a line.
struct Brief<'a>(&'a Value);

impl fmt::Display for Brief<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 60;
        let text = self.0.to_string();
        match text.char_indices().nth(LONGEST) {
            Some((end, _)) => write!(f, "{}…", &text[..end]),
            None => f.write_str(&text),
        }
    }
}

impl Store {
    /// Finds the output of a recipe and makes sure that it is what was stored.
    ///
    /// `slot` names the place in a spec that asks; it serves to explain a miss. Damage is moved
    /// to quarantine and becomes a miss. A hit is pinned for the run of this process, if any.
    pub fn lookup(&self, slot: &str, recipe: &Recipe) -> Result<Lookup, StoreError> {
        let depth = match self.verify {
            Verify::Always => Depth::Full,
            Verify::First => Depth::Remembered,
            Verify::Never => Depth::Sizes,
        };
        let (path, what) = match self.find(slot, recipe, depth, true)? {
            Ok(lookup) => {
                if matches!(lookup, Lookup::Hit(_)) {
                    // Both are conveniences: a hit on a full disk stays a hit.
                    let _ = files::touch(&self.action_path(&recipe.key()));
                    let _ = self.remember_recipe(slot, recipe);
                }
                return Ok(lookup);
            }
            Err(Damage { whole, path, what }) => {
                self.quarantine(&whole, &format!("`{}` {what}", path.display()))?;
                (path, what)
            }
        };
        Ok(Lookup::Miss(Reason::Corrupt { path, what }))
    }

    /// What [`Self::lookup`] would find by names and sizes, without hashing or changing anything.
    pub fn peek(&self, slot: &str, recipe: &Recipe) -> Result<Lookup, StoreError> {
        Ok(self.find(slot, recipe, Depth::Sizes, false)?.unwrap_or_else(|damage| {
            Lookup::Miss(Reason::Corrupt { path: damage.path, what: damage.what })
        }))
    }

    fn find(
        &self,
        slot: &str,
        recipe: &Recipe,
        depth: Depth,
        pin: bool,
    ) -> Result<Result<Lookup, Damage>, StoreError> {
        let key = recipe.key();
        let path = self.action_path(&key);
        let action = match read_action(&path, &key)? {
            Found::Sound(action) => action,
            Found::Absent => return Ok(Ok(Lookup::Miss(self.explain(slot, recipe)?))),
            Found::Damaged => {
                let what = "is not as it was written".to_owned();
                return Ok(Err(Damage { whole: path.clone(), path, what }));
            }
        };
        // The pin comes first, so that `gc` cannot take what is found sound below.
        if pin {
            self.pin(&action.output)?;
        }
        let whole = self.object_path(&action.output);
        Ok(match self.examine(&action.output, depth)? {
            State::Sound { bytes } => Ok(Lookup::Hit(self.stored(action, bytes))),
            State::Absent => Ok(Lookup::Miss(Reason::OutputMissing { path: whole })),
            State::Damaged { path, what } => Err(Damage { whole, path, what }),
        })
    }

    pub(super) fn stored(&self, action: Action, bytes: u64) -> Stored {
        let path = self.object_path(&action.output).join(FILES);
        let Action { output: digest, kind, notes, seconds, .. } = action;
        Stored { digest, path, kind, notes, bytes, seconds }
    }

    fn explain(&self, slot: &str, recipe: &Recipe) -> Result<Reason, StoreError> {
        Ok(match self.last_recipe(slot)? {
            None => Reason::First,
            Some(last) => recipe
                .difference(&last)
                .unwrap_or_else(|| Reason::OutputMissing { path: self.action_path(&recipe.key()) }),
        })
    }
}

/// What is wrong (`path`) and what has to leave because of it (`whole`).
struct Damage {
    whole: PathBuf,
    path: PathBuf,
    what: String,
}
