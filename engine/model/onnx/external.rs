//! Weights in data files beside the graph.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use super::proto::TensorProto;
use super::tensor::{self, Wrong};
use super::{Stored, folder_of};
use crate::model::checkpoint::Folder;
use crate::model::{ModelError, shown};

/// The folder of a graph, out of which no data file may lead.
pub(super) struct DataFiles<'a> {
    folder: Folder<'a>,
    dir: &'a Path,
    /// Files in order of first use, by the name the graph gives, with their lengths.
    found: IndexMap<String, (PathBuf, u64)>,
}

impl<'a> DataFiles<'a> {
    pub fn beside(graph: &'a Path) -> Result<Self, ModelError> {
        let dir = folder_of(graph);
        Ok(Self { folder: Folder::open(dir)?, dir, found: IndexMap::new() })
    }

    pub fn paths(self) -> impl Iterator<Item = PathBuf> {
        self.found.into_values().map(|(path, _)| path)
    }

    /// Where the bytes of `tensor` lie. They are there, and as many as type and shape demand.
    pub fn resolve(&mut self, tensor: &TensorProto) -> Result<Stored, Wrong> {
        let get = |key: &str| {
            let entry = tensor.external_data.iter().find(|e| e.key.as_deref() == Some(key));
            entry.and_then(|entry| entry.value.as_deref())
        };
        let number = |field: &'static str, key: &str| match get(key) {
            None => Ok(0),
            Some(text) => text
                .parse::<u64>()
                .map_err(|_| (field, format!("`{}` is not a number of bytes", shown(text)))),
        };
        if tensor.raw_data.is_some() || tensor::rows(tensor).iter().any(|(_, n)| *n > 0) {
            let what = "the tensor has elements in the graph and in a data file".to_owned();
            return Err(("data_location", what));
        }
        let expected = tensor::bytes(tensor)?;
        let offset = number("external_data offset", "offset")?;
        // Like in ONNX Runtime, 0 says nothing.
        let length = number("external_data length", "length")?;
        if length != 0 && length != expected {
            let what = tensor::mismatch(tensor, expected, length, "bytes");
            return Err(("external_data length", what));
        }
        let Some(location) = get("location").filter(|location| !location.is_empty()) else {
            return Err(("external_data location", "no data file is named".to_owned()));
        };
        let (file, len) = self.file(location)?;
        if offset.checked_add(expected).is_none_or(|end| end > len) {
            let what = format!(
                "{expected} bytes from byte {offset} on do not lie in `{}`, which has {len} bytes",
                shown(location)
            );
            return Err(("external_data offset", what));
        }
        Ok(Stored { file, offset, bytes: expected })
    }

    fn file(&mut self, location: &str) -> Result<(PathBuf, u64), Wrong> {
        let wrong =
            |what: &str| ("external_data location", format!("`{}` {what}", shown(location)));
        let parts: Vec<&str> =
            location.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        let is_absolute = location.starts_with('/') || location.starts_with('\\');
        if is_absolute || parts.is_empty() || parts.contains(&"..") || location.contains('\0') {
            return Err(wrong("is not the name of a file beneath the graph's folder"));
        }
        let name = parts.join("/");
        if let Some(found) = self.found.get(&name) {
            return Ok(found.clone());
        }
        match self.folder.file(&name) {
            Ok(Some(_)) => {}
            Ok(None) => return Err(wrong("does not exist")),
            Err(ModelError::Layout { what, .. }) => return Err(wrong(&what)),
            Err(ModelError::Read { source, .. }) => {
                return Err(wrong(&format!("cannot be read: {source}")));
            }
            Err(other) => return Err(wrong(&format!("cannot be used: {other}"))),
        }
        let path = self.dir.join(&name);
        let len =
            std::fs::metadata(&path).map_err(|e| wrong(&format!("cannot be read: {e}")))?.len();
        self.found.insert(name, (path.clone(), len));
        Ok((path, len))
    }
}
