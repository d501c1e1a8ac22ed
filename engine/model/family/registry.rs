//! All families: the engine's own, and those that a program adds before it starts.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::describe::Family;
use super::{bert, clip, resnet, vit};

/// Families of networks without a state. Decoders are [`crate::model::LlamaConfig`].
static FAMILIES: &[&dyn Family] = &[&bert::Bert, &clip::Clip, &vit::Vit, &resnet::ResNet];

/// See [`add`].
static ADDED: OnceLock<&[&dyn Family]> = OnceLock::new();

/// Every family, the engine's own first.
pub fn families() -> impl Iterator<Item = &'static dyn Family> {
    let added = ADDED.get().copied().unwrap_or_default();
    FAMILIES.iter().chain(added).copied()
}

/// The family that reads `model_type`.
pub fn family(model_type: &str) -> Option<&'static dyn Family> {
    families().find(|family| family.model_types().contains(&model_type))
}

/// Adds the families of the program around the engine. False, and nothing is added, where that was
/// done before. [`crate::catalog::Extensions`] checks them first.
pub(crate) fn add(families: &'static [&'static dyn Family]) -> bool {
    ADDED.set(families).is_ok()
}

/// What keys say about the families that were added: nothing for the engine's own, which compute
/// the same for ever or raise the epoch of whoever runs them.
pub fn versions() -> BTreeMap<String, String> {
    let added = ADDED.get().copied().unwrap_or_default();
    let one = |family: &&dyn Family| {
        (format!("family {}", family.id()), format!("{} {}", family.origin(), family.epoch()))
    };
    added.iter().map(one).collect()
}
