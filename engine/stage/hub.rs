//! Checkpoints from a model hub. The only door to hf-hub.
//!
//! The hub's own cache is used (`HF_HOME`), so that models other tools have fetched are found.
//! `HF_TOKEN` and `HF_ENDPOINT` are honoured. Only the files a checkpoint is made of are fetched,
//! and pickles never.

use std::path::{Path, PathBuf};

use hf_hub::api::sync::{ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};

#[derive(Debug, thiserror::Error)]
pub enum HubError {
    #[error("cannot reach the model hub for `{repository}`: {source}")]
    Reach { repository: String, source: Box<ApiError> },
    #[error("cannot fetch `{file}` of `{repository}`: {source}")]
    Fetch { repository: String, file: String, source: Box<ApiError> },
    #[error("`{repository}` has no `config.json` with safetensors weights; files found: {found}")]
    Nothing { repository: String, found: String },
}

/// Files that are fetched where a repository has them.
const SIDECARS: &[&str] = &[
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "generation_config.json",
    "chat_template.jinja",
];

/// Makes sure that `repository` at `revision` is in the hub's cache and returns its folder.
/// A snapshot that is already whole is used without asking the network.
pub fn fetch(
    repository: &str,
    revision: Option<&str>,
    progress: &dyn Fn(f64),
) -> Result<PathBuf, HubError> {
    let revision = revision.unwrap_or("main");
    if let Some(folder) = cached(repository, revision) {
        return Ok(folder);
    }
    let reach =
        |source| HubError::Reach { repository: repository.to_owned(), source: Box::new(source) };
    let api = ApiBuilder::from_env()
        .with_progress(false)
        .with_token(std::env::var("HF_TOKEN").ok().or_else(|| Cache::from_env().token()))
        .build()
        .map_err(reach)?;
    let repo = Repo::with_revision(repository.to_owned(), RepoType::Model, revision.to_owned());
    let api = api.repo(repo);
    let info = api.info().map_err(reach)?;
    let names: Vec<String> = info.siblings.into_iter().map(|s| s.rfilename).collect();
    let wanted = wanted(&names).ok_or_else(|| HubError::Nothing {
        repository: repository.to_owned(),
        found: names.iter().take(12).cloned().collect::<Vec<_>>().join(", "),
    })?;
    let mut folder = None;
    for (done, name) in wanted.iter().enumerate() {
        let path = get(&api, repository, name)?;
        if *name == "config.json" {
            folder = path.parent().map(Path::to_owned);
        }
        progress((done + 1) as f64 / wanted.len() as f64);
    }
    Ok(folder.expect("`config.json` is among the wanted files"))
}

fn get(api: &ApiRepo, repository: &str, name: &str) -> Result<PathBuf, HubError> {
    api.get(name).map_err(|source| HubError::Fetch {
        repository: repository.to_owned(),
        file: name.to_owned(),
        source: Box::new(source),
    })
}

/// The files of a checkpoint among `names`; `None` when it is none.
fn wanted(names: &[String]) -> Option<Vec<&str>> {
    let has = |name: &str| names.iter().any(|n| n == name);
    let weights: Vec<&str> = match has("model.safetensors.index.json") {
        true => names
            .iter()
            .map(String::as_str)
            .filter(|n| n.starts_with("model-") && n.ends_with(".safetensors"))
            .chain(["model.safetensors.index.json"])
            .collect(),
        false => has("model.safetensors").then_some("model.safetensors").into_iter().collect(),
    };
    if weights.is_empty() || !has("config.json") {
        return None;
    }
    let sidecars = SIDECARS.iter().copied().filter(|name| has(name));
    Some(["config.json"].into_iter().chain(sidecars).chain(weights).collect())
}

/// The folder of a snapshot in the cache that has configuration and weights.
pub fn cached(repository: &str, revision: &str) -> Option<PathBuf> {
    let repo = Repo::with_revision(repository.to_owned(), RepoType::Model, revision.to_owned());
    let cache = Cache::from_env().repo(repo);
    let folder = cache.get("config.json")?.parent()?.to_owned();
    match cache.get("model.safetensors.index.json") {
        None => cache.get("model.safetensors").map(|_| folder),
        Some(index) => {
            let text = std::fs::read_to_string(index).ok()?;
            let index: serde_json::Value = serde_json::from_str(&text).ok()?;
            let shards = index.get("weight_map")?.as_object()?.values();
            let whole = shards
                .filter_map(serde_json::Value::as_str)
                .all(|shard| cache.get(shard).is_some());
            whole.then_some(folder)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_files_of_a_checkpoint_are_wanted() {
        let names = |list: &[&str]| list.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let single = names(&["README.md", "config.json", "model.safetensors", "pytorch_model.bin"]);
        assert_eq!(wanted(&single).unwrap(), ["config.json", "model.safetensors"]);
        let pickled = names(&["config.json", "pytorch_model.bin"]);
        assert!(wanted(&pickled).is_none());
        let sharded = names(&[
            "config.json",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "model.safetensors.index.json",
            "original/consolidated.00.pth",
        ]);
        assert_eq!(wanted(&sharded).unwrap().len(), 4);
    }
}
