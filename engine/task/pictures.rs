//! Pictures as inputs of a network.

use super::inputs::{Beside, InputError, InputPort, Named, PictureFile};
use super::recorded::Item;

#[derive(Debug, thiserror::Error)]
pub enum PicturesError {
    #[error("{0}")]
    Todo(String),
}

pub struct Pictures {}
pub struct Picture {}

impl Pictures {
    pub fn open(
        _file: &PictureFile,
        _ports: &[InputPort],
        _model: Beside<'_>,
    ) -> Result<Self, PicturesError> {
        Err(PicturesError::Todo("not yet".into()))
    }
    pub fn look(_file: &mut PictureFile) -> Result<Vec<crate::base::Digest>, PicturesError> {
        Err(PicturesError::Todo("not yet".into()))
    }
    pub fn count(&self) -> usize {
        0
    }
    pub fn decode(&self, _at: usize) -> Result<Picture, PicturesError> {
        Err(PicturesError::Todo("not yet".into()))
    }
    pub fn tensors(&self, _picture: &Picture) -> Named {
        Vec::new()
    }
    pub fn items(&self) -> Result<Vec<Item>, InputError> {
        Ok(Vec::new())
    }
}
