//! Checkpoints from a model hub. The only door to hf-hub.
//!
//! The hub's own cache is used (`HF_HOME`), so that models other tools have fetched are found.
//! `HF_TOKEN` and `HF_ENDPOINT` are honoured. Only the files a checkpoint is made of are fetched,
//! and pickles never.

use std::path::{Path, PathBuf};

use crate::model::checkpoint::SIDECARS;
use hf_hub::api::sync::{Api, ApiBuilder, ApiError};
use hf_hub::{Cache, Repo, RepoType};

use crate::base::Digest;

#[derive(Debug, thiserror::Error)]
pub enum HubError {
    #[error("cannot reach the model hub for `{repository}`: {source}")]
    Reach { repository: String, source: Box<ApiError> },
    #[error("cannot fetch `{file}` of `{repository}`: {source}")]
    Fetch { repository: String, file: String, source: Box<ApiError> },
    #[error("`{file}` of `{repository}` arrived damaged and was not kept: {what}")]
    Damaged { repository: String, file: String, what: String },
    #[error("cannot look after `{path}` in the hub's cache: {source}", path = .path.display())]
    Cache { path: PathBuf, source: std::io::Error },
    #[error("`{repository}` has no `config.json` with safetensors weights; files found: {found}")]
    Nothing { repository: String, found: String },
    #[error(
        "`{repository}` has its weights as pickles only (`{pickle}`), which can run code while they \
         are read and are never loaded; look for a repository with safetensors, or convert the \
         weights on a machine you can lose and use the folder as `file://`"
    )]
    Pickles { repository: String, pickle: String },
}

/// How pickles of weights are named on the hub; what is fetched is known by its content.
const PICKLES: &[&str] = &[".bin", ".pt", ".pth", ".ckpt", ".pkl"];

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
    let info = api.repo(repo.clone()).info().map_err(reach)?;
    let names: Vec<String> = info.siblings.into_iter().map(|s| s.rfilename).collect();
    let wanted = wanted(&names).ok_or_else(|| unusable(repository, &names))?;
    let mut folder = None;
    for (done, name) in wanted.iter().enumerate() {
        let path = get(&api, &repo, repository, name)?;
        if *name == "config.json" {
            folder = path.parent().map(Path::to_owned);
        }
        progress((done + 1) as f64 / wanted.len() as f64);
    }
    Ok(folder.expect("`config.json` is among the wanted files"))
}

/// One file in the cache: there already, or downloaded and compared with what the hub says.
fn get(api: &Api, repo: &Repo, repository: &str, name: &str) -> Result<PathBuf, HubError> {
    if let Some(path) = Cache::from_env().repo(repo.clone()).get(name) {
        return Ok(path);
    }
    let fail = |source| HubError::Fetch {
        repository: repository.to_owned(),
        file: name.to_owned(),
        source: Box::new(source),
    };
    let files = api.repo(repo.clone());
    let promised = api.metadata(&files.url(name)).map_err(fail)?;
    let path = files.download(name).map_err(fail)?;
    let failed = |source| HubError::Cache { path: path.clone(), source };
    let blob = path.canonicalize().map_err(failed)?;
    let size = blob.metadata().map_err(failed)?.len();
    // A body that ends early with a length to match is no error to the library. Large files are
    // known by their SHA-256, others by the hash of a git object.
    let fault = if size != promised.size() as u64 {
        Some(format!("{size} bytes instead of {}", promised.size()))
    } else if let Some(expected) = Digest::parse(promised.etag()) {
        let found = Digest::of_file(&blob).map_err(failed)?;
        (found != expected).then(|| format!("SHA-256 {found} instead of {expected}"))
    } else {
        None
    };
    let Some(what) = fault else { return Ok(path) };
    for file in [&path, &blob] {
        std::fs::remove_file(file).map_err(failed)?;
    }
    Err(HubError::Damaged { repository: repository.to_owned(), file: name.to_owned(), what })
}

/// Why a repository with files `names` is no checkpoint.
fn unusable(repository: &str, names: &[String]) -> HubError {
    let repository = repository.to_owned();
    let is_pickle = |name: &&String| PICKLES.iter().any(|suffix| name.ends_with(suffix));
    let has_safetensors = names.iter().any(|name| name.ends_with(".safetensors"));
    match names.iter().find(is_pickle) {
        Some(pickle) if !has_safetensors => {
            HubError::Pickles { repository, pickle: pickle.clone() }
        }
        _ => {
            let found = names.iter().take(12).cloned().collect::<Vec<_>>().join(", ");
            HubError::Nothing { repository, found }
        }
    }
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
