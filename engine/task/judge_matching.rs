//! Quality of models that compare pictures with texts.

use super::inputs::{Beside, TensorInputs};
use super::judge::{JudgeError, Judged, MetricRequest};
use super::recorded::Item;
use crate::backend::Session;

/// The two parts of a model.
pub struct Side<'a> {
    pub image: &'a mut dyn Session,
    pub text: &'a mut dyn Session,
}

/// todo
pub fn judge_matching(
    _own: Side<'_>,
    _reference: Option<Side<'_>>,
    _pictures: &[Item],
    _texts: (&TensorInputs, Beside<'_>, Option<&str>),
    _metrics: &[MetricRequest],
    _progress: &dyn Fn(f64),
) -> Result<Vec<Judged>, JudgeError> {
    Err(JudgeError::NoItems)
}
