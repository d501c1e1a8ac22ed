//! Data sets and tensors: items in, one file per kind.
//!
//! A data set is named in the spec, has a digest that joins the key of everything judged on it,
//! and reports every item it cannot use. Deliberately absent: making tokens, which
//! depend on a model, and any network.

mod archive;
mod items;
mod npy;
mod tensor;
mod text;
mod tokens;

#[cfg(test)]
pub(crate) use archive::tests::archive as archive_of;
pub use archive::{Archive, ArchiveError};
pub use items::{ITEMS_FILE, ItemFile};
#[cfg(test)]
pub(crate) use npy::tests::npy_of;
pub use npy::{NpyError, read_npy, read_npz};
pub use tensor::{ElementType, Tensor};
pub use text::{DataError, Document, Texts};
pub use tokens::{TOKENS_FILE, TokenFile};
