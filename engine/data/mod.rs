//! Data sets and tensors: items in, one file per kind.
//!
//! A data set is named in the spec, has a digest that joins the key of everything judged on it,
//! and reports every item it cannot use. Deliberately absent: tokens, which depend on a model,
//! and any network.

mod tensor;
mod text;

pub use tensor::{ElementType, Tensor};
pub use text::{DataError, Document, Texts};
