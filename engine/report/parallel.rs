//! Work on many things side by side, with the results in their order: the room's door to rayon.
//!
//! A report is made when nothing is measured any more, so it may use every processor.

use rayon::prelude::*;

/// `of` every number below `count`.
pub fn each<T: Send>(count: usize, of: impl Fn(usize) -> T + Sync + Send) -> Vec<T> {
    (0..count).into_par_iter().map(of).collect()
}
