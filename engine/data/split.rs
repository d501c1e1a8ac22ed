//! Splits of a data set that is a folder: the folders at its top.

use std::fs;
use std::path::{Path, PathBuf};

use crate::base::text::inert;

#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    #[error("cannot read `{path}`: {source}")]
    Read { path: String, source: std::io::Error },
    #[error("`{path}` has no split `{split}`; found: {found}")]
    Missing { path: String, split: String, found: String },
    #[error("`{path}` is one file of all its items, without splits; name the file of the split")]
    OneFile { path: String },
}

/// The first ten names in backticks, or `none`.
pub(super) fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let shown: Vec<String> = names.take(10).map(|name| format!("`{}`", inert(name))).collect();
    if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
}

/// The folder `split` at the top of `root`. Names are compared, so none leads elsewhere.
pub fn split_folder(root: &Path, split: &str) -> Result<PathBuf, SplitError> {
    let path = root.display().to_string();
    if !root.is_dir() {
        return Err(SplitError::OneFile { path });
    }
    let failed = |source| SplitError::Read { path: path.clone(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(root).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().into_string().ok().filter(|name| !name.starts_with('.'));
        names.extend(name.filter(|_| entry.path().is_dir()));
    }
    names.sort();
    if let Some(name) = names.iter().find(|name| *name == split) {
        Ok(root.join(name))
    } else {
        let found = listed(names.iter().map(String::as_str));
        Err(SplitError::Missing { path, split: inert(split), found })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_is_a_folder_at_the_top_and_nothing_else() {
        let root = std::env::temp_dir().join(format!("engine-split-{}", std::process::id()));
        fs::create_dir_all(root.join("heldout/inner")).unwrap();
        fs::create_dir_all(root.join("calib")).unwrap();
        fs::write(root.join("file"), "x").unwrap();
        assert_eq!(split_folder(&root, "calib").unwrap(), root.join("calib"));
        for other in ["test", "..", "heldout/inner", "file", ""] {
            let told = split_folder(&root, other).unwrap_err().to_string();
            assert!(told.contains("found: `calib`, `heldout`"), "{told}");
        }
        let told = split_folder(&root.join("file"), "calib").unwrap_err().to_string();
        assert!(told.contains("without splits"), "{told}");
        fs::remove_dir_all(root).unwrap();
    }
}
