//! Data sets and tensors: items in, one file per kind.
//!
//! A data set is named in the spec, has a digest that joins the key of everything judged on it,
//! and reports every item it cannot use. Deliberately absent: making tokens and scaling pictures,
//! which depend on a model, and any network.

mod archive;
mod audio;
mod idx;
mod image_folder;
mod image_idx;
mod image_table;
mod images;
mod items;
mod npy;
mod picture;
mod recordings;
mod split;
mod tensor;
mod text;
mod tokens;

#[cfg(test)]
pub(crate) use archive::tests::archive as archive_of;
pub use archive::{Archive, ArchiveError};
#[cfg(test)]
pub(crate) use audio::tests::plain_wav;
pub use audio::{Audio, AudioError};
#[cfg(test)]
pub(crate) use idx::tests::idx as idx_of;
pub use idx::{IdxError, IdxSet, is_idx, read_idx};
pub use images::{Excluded, ImageColumns, ImageItem, Images, ImagesError, Look, Pixels};
pub use items::{ITEMS_FILE, ItemFile};
#[cfg(test)]
pub(crate) use npy::tests::npy_of;
pub use npy::{NpyError, read_npy, read_npz};
pub use picture::{Picture, PictureError};
pub use recordings::{Recordings, RecordingsError, first_recording, is_hidden, is_recording};
pub use split::{SplitError, split_folder};
pub use tensor::{ElementType, Tensor};
pub use text::{DataError, Document, TextChoice, Texts};
pub use tokens::{TOKENS_FILE, TokenFile};
