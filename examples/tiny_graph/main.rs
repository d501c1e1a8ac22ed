//! Makes the small graph and the pictures that `specs/any_onnx.yaml` works on, from nothing but a
//! seed, the same bytes on every machine.
//!
//! ```text
//! cargo run --example tiny_graph
//! ```
//!
//! The weights are random and the pictures show nothing: they serve to measure speed, and how far
//! variants agree, never accuracy.

mod graph;
mod pictures;

use std::error::Error;
use std::fs;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let (model, data) =
        (Path::new("examples/models/tiny_conv"), Path::new("examples/data/tiny_conv"));
    for folder in [model, data] {
        fs::create_dir_all(folder)?;
    }
    let mut files = vec![(model.join("model.onnx"), graph::classifier())];
    for (name, values) in pictures::sets() {
        let rows = pictures::npz("image", &[values.len() / pictures::PIXELS, 1, 28, 28], &values)?;
        files.push((data.join(name), rows));
    }
    for (path, bytes) in files {
        println!("{}: {} bytes", path.display(), bytes.len());
        fs::write(path, bytes)?;
    }
    Ok(())
}
