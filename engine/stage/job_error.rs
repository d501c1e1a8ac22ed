//! Why a job could not be done, for whoever waits in another process.

use super::{hub, wheel};
use crate::backend;
use crate::base::chain;

/// A clean failure: the process lived to tell.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct JobError {
    pub what: String,
    pub hint: Option<String>,
}

impl JobError {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), hint: None }
    }
}

macro_rules! from_error {
    ($($error:ty),* $(,)?) => {$(
        impl From<$error> for JobError {
            fn from(error: $error) -> Self {
                Self::new(chain(&error))
            }
        }
    )*};
}

from_error!(
    crate::data::DataError,
    crate::pass::PassError,
    crate::task::JudgeError,
    crate::task::InputError,
    crate::task::PromptError,
    crate::task::RecordedError,
    crate::task::TokenizerError,
    hub::HubError,
    std::io::Error,
);

impl From<wheel::WheelError> for JobError {
    fn from(error: wheel::WheelError) -> Self {
        Self { what: chain(&error), hint: error.hint() }
    }
}

impl From<crate::model::ModelError> for JobError {
    fn from(error: crate::model::ModelError) -> Self {
        Self { what: chain(&error), hint: error.hint().map(str::to_owned) }
    }
}

impl From<backend::BackendError> for JobError {
    fn from(error: backend::BackendError) -> Self {
        let hint = match &error {
            backend::BackendError::Model(model) => model.hint().map(str::to_owned),
            _ => None,
        };
        Self { what: chain(&error), hint }
    }
}
