//! Checkpoints from a model hub. The only door to hf-hub.
//!
//! The hub's own cache is used (`HF_HOME`), so that models other tools have fetched are found.
//! `HF_TOKEN`, `HF_ENDPOINT` and `HF_HUB_OFFLINE` are honoured. Only the files a checkpoint is made of are fetched,
//! and pickles never.
//!
//! Other tools fetch what they need themselves, so a snapshot of theirs may lack files that a
//! repository has. They are asked for once; what a repository does not have is noted where the
//! hub's own client notes it, in `.no_exist` beside the snapshots.

use std::path::{Path, PathBuf};

use crate::model::checkpoint::SIDECARS;
use hf_hub::api::sync::{Api, ApiBuilder, ApiError};
use hf_hub::{Cache, Repo, RepoType};

use crate::base::{Digest, chain};

#[derive(Debug, thiserror::Error)]
pub enum HubError {
    #[error("cannot reach the model hub for `{repository}`: {source}")]
    Reach { repository: String, source: Box<ApiError> },
    #[error("`HF_HUB_OFFLINE` is set, so the model hub is not asked for `{repository}`")]
    Offline { repository: String },
    #[error("cannot fetch `{file}` of `{repository}`: {source}")]
    Fetch { repository: String, file: String, source: Box<ApiError> },
    #[error("`{file}` of `{repository}` arrived damaged and was not kept: {what}")]
    Damaged { repository: String, file: String, what: String },
    #[error(
        "the hub's cache has `{repository}` without `modules.json`, which says how the vectors of a \
         text become one, and the hub cannot be asked for it ({why}); run once where it can be \
         reached, or use the folder as `file://`, where their mean is taken and told"
    )]
    Incomplete { repository: String, why: String },
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
        return match complete(repository, &folder) {
            Ok(()) => Ok(folder),
            Err(error @ (HubError::Reach { .. } | HubError::Offline { .. })) => {
                without_hub(repository, folder, &error)
            }
            Err(error) => Err(error),
        };
    }
    let (api, repo, names) = listed(repository, revision)?;
    let wanted = wanted(&names).ok_or_else(|| unusable(repository, &names))?;
    let mut folder = None;
    for (done, name) in wanted.iter().enumerate() {
        let path = get(&api, &repo, repository, name)?;
        if *name == "config.json" {
            folder = path.parent().map(Path::to_owned);
        }
        progress((done + 1) as f64 / wanted.len() as f64);
    }
    let folder = folder.expect("`config.json` is among the wanted files");
    note_absent(&folder, &names);
    Ok(folder)
}

/// The files of a repository.
fn listed(repository: &str, revision: &str) -> Result<(Api, Repo, Vec<String>), HubError> {
    // As the hub's own client reads it.
    let offline = std::env::var("HF_HUB_OFFLINE").unwrap_or_default().to_ascii_lowercase();
    if ["1", "on", "yes", "true"].contains(&offline.as_str()) {
        return Err(HubError::Offline { repository: repository.to_owned() });
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
    Ok((api, repo, info.siblings.into_iter().map(|sibling| sibling.rfilename).collect()))
}

/// Fetches what a snapshot lacks, of the commit that it is of.
fn complete(repository: &str, folder: &Path) -> Result<(), HubError> {
    let missing = unasked(folder);
    let commit = folder.file_name().and_then(|name| name.to_str());
    let Some(commit) = commit.filter(|_| !missing.is_empty()) else { return Ok(()) };
    let (api, repo, names) = listed(repository, commit)?;
    for name in missing.into_iter().filter(|name| names.iter().any(|known| known == name)) {
        get(&api, &repo, repository, name)?;
    }
    note_absent(folder, &names);
    Ok(())
}

/// Files beside the weights of a snapshot that are neither there nor known to be in no repository.
fn unasked(folder: &Path) -> Vec<&'static str> {
    let is_absent = |name: &&str| absent(folder).is_some_and(|notes| notes.join(name).is_file());
    let is_open = |name: &&'static str| !folder.join(name).exists() && !is_absent(name);
    SIDECARS.iter().copied().filter(is_open).collect()
}

/// Where the hub's client notes files that a commit does not have.
fn absent(folder: &Path) -> Option<PathBuf> {
    Some(folder.parent()?.parent()?.join(".no_exist").join(folder.file_name()?))
}

/// Notes which files are not among `names`. Where that cannot be written they are asked for again.
fn note_absent(folder: &Path, names: &[String]) {
    let Some(notes) = absent(folder) else { return };
    for name in SIDECARS.iter().filter(|name| !names.iter().any(|known| known == *name)) {
        let path = notes.join(name);
        let made = path.parent().is_some_and(|parent| std::fs::create_dir_all(parent).is_ok());
        if made && !path.exists() {
            let _ = std::fs::write(path, []);
        }
    }
}

/// What is in the cache, where it serves without what the hub may have besides.
fn without_hub(repository: &str, folder: PathBuf, why: &HubError) -> Result<PathBuf, HubError> {
    let embeds = || crate::model::facts(&folder).is_ok_and(|facts| facts.task == "embedding");
    if unasked(&folder).contains(&"modules.json") && embeds() {
        let repository = repository.to_owned();
        return Err(HubError::Incomplete { repository, why: chain(why) });
    }
    Ok(folder)
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

/// Whether a snapshot in the cache has everything that its repository has of a checkpoint.
pub fn is_complete(repository: &str, revision: &str) -> bool {
    cached(repository, revision).is_some_and(|folder| unasked(&folder).is_empty())
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
    fn a_snapshot_is_whole_when_every_file_is_there_or_known_to_be_nowhere() {
        let root = std::env::temp_dir().join(format!("engine-hub-{}", std::process::id()));
        let folder = root.join("snapshots/abc");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("tokenizer.json"), "{}").unwrap();
        assert_eq!(unasked(&folder).len(), SIDECARS.len() - 1);
        let modules = "modules.json".to_owned();
        note_absent(&folder, std::slice::from_ref(&modules));
        assert_eq!(unasked(&folder), [modules.as_str()], "the repository has it");
        assert!(root.join(".no_exist/abc/1_Pooling/config.json").is_file());
        std::fs::write(folder.join(modules), "[]").unwrap();
        assert!(unasked(&folder).is_empty());
        std::fs::remove_dir_all(root).unwrap();
    }

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
