//! Where a model or a data set comes from, as a spec writes it.

use std::fmt;
use std::path::{Path, PathBuf};

/// A model source after parsing; nothing has been looked at yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// As written; relative paths are looked for in several folders.
    File(String),
    Hub {
        repository: String,
        revision: Option<String>,
    },
    /// The whole text, such as `random://llama-3.2-1b?seed=7`.
    Random(String),
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SourceError {
    #[error("`{0}` is not a source; expected `file://`, `hf://` or `random://`")]
    Scheme(String),
    #[error("`hf://{0}` must name a repository as `hf://organization/name`")]
    Repository(String),
    #[error("`revision` belongs to an `hf://` source")]
    Revision,
    #[error("`{path}` does not exist; looked in {}", .looked.join(", "))]
    Missing { path: String, looked: Vec<String> },
}

impl Source {
    pub fn parse(text: &str, revision: Option<&str>) -> Result<Self, SourceError> {
        if let Some(repository) = text.strip_prefix("hf://") {
            let plain = |part: &str| {
                !part.is_empty()
                    && !part.starts_with('.')
                    && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
            };
            return match repository.split('/').collect::<Vec<_>>()[..] {
                [organization, name] if plain(organization) && plain(name) => Ok(Self::Hub {
                    repository: repository.to_owned(),
                    revision: revision.map(str::to_owned),
                }),
                _ => Err(SourceError::Repository(repository.to_owned())),
            };
        }
        if revision.is_some() {
            return Err(SourceError::Revision);
        }
        if let Some(path) = text.strip_prefix("file://") {
            return Ok(Self::File(path.to_owned()));
        }
        match text.starts_with("random://") {
            true => Ok(Self::Random(text.to_owned())),
            false => Err(SourceError::Scheme(text.to_owned())),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file://{path}"),
            Self::Hub { repository, revision: None } => write!(f, "hf://{repository}"),
            Self::Hub { repository, revision: Some(r) } => write!(f, "hf://{repository}@{r}"),
            Self::Random(text) => f.write_str(text),
        }
    }
}

/// The file or folder `path`: absolute, or relative to the first of `roots` that has it.
pub fn find_file(path: &str, roots: &[PathBuf]) -> Result<PathBuf, SourceError> {
    let path = path.strip_prefix("file://").unwrap_or(path);
    if Path::new(path).is_absolute() {
        return match Path::new(path).exists() {
            true => Ok(path.into()),
            false => Err(SourceError::Missing { path: path.into(), looked: vec!["/".into()] }),
        };
    }
    roots.iter().map(|root| root.join(path)).find(|full| full.exists()).ok_or_else(|| {
        let looked = roots.iter().map(|root| format!("`{}`", root.display())).collect();
        SourceError::Missing { path: path.into(), looked }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_parse_or_say_what_was_expected() {
        let hub = Source::parse("hf://meta-llama/Llama-3.2-1B", Some("main")).unwrap();
        assert_eq!(hub.to_string(), "hf://meta-llama/Llama-3.2-1B@main");
        assert_eq!(Source::parse("file://a/b", None), Ok(Source::File("a/b".into())));
        for bad in ["hf://one", "hf://a/b/c", "hf://../x", "hf://a/", "hf://a/..", "hf://a/b?x"] {
            assert!(matches!(Source::parse(bad, None), Err(SourceError::Repository(_))), "{bad}");
        }
        assert_eq!(Source::parse("file://a", Some("main")), Err(SourceError::Revision));
        assert!(Source::parse("/plain/path", None).is_err());
    }
}
