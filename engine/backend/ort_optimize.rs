//! ONNX Runtime's own graph optimizations, saved as a graph.

use std::path::Path;

use ort::session::builder::GraphOptimizationLevel;

use super::ort_environment::{builder, open_error};
use super::{BackendError, OpenOptions};
use crate::model::OnnxModel;
use crate::model::onnx::session_options::GraphLevel;

/// Weights of more bytes than this go to the data file.
const INLINE: &str = "1024";

/// The same for graphs with branches: no reader looks for the weights of a branch in a data file,
/// so all stay inside, as far as a graph can hold them.
const INLINE_ALL: &str = "2147483648";

/// Optimizes a graph and writes it to `to`, its weights into `data` beside it.
///
/// `without` are names of optimizers that are left out. What [`GraphLevel::All`] gives fits the
/// processor it was made on.
pub fn optimize(
    model: &OnnxModel,
    how: &OpenOptions,
    level: GraphLevel,
    without: &[&str],
    to: &Path,
    data: &str,
) -> Result<(), BackendError> {
    let level = match level {
        GraphLevel::None => GraphOptimizationLevel::Disable,
        GraphLevel::Basic => GraphOptimizationLevel::Level1,
        GraphLevel::Extended => GraphOptimizationLevel::Level2,
        GraphLevel::All => GraphOptimizationLevel::All,
    };
    let mut attributes = model.graph().node.iter().flat_map(|node| &node.attribute);
    let branches =
        attributes.any(|attribute| attribute.g.is_some() || !attribute.graphs.is_empty());
    let inline = if branches { INLINE_ALL } else { INLINE };
    let entry = |name: &str| format!("session.optimized_model_external_initializers_{name}");
    let begun = builder(model, how)?;
    let prepared = || {
        Ok::<_, ort::Error>(
            begun
                .with_optimization_level(level)?
                .with_optimized_model_path(to)?
                .with_config_entry(entry("file_name"), data)?
                .with_config_entry(entry("min_size_in_bytes"), inline)?
                // Nothing is run: weights in the layout of the kernels would only take memory.
                .with_prepacking(false)?
                .with_disabled_optimizers(without.join(";"))?,
        )
    };
    prepared()
        .and_then(|mut builder| builder.commit_from_file(&model.path))
        .map_err(|error| open_error(&model.path, error.to_string()))?;
    Ok(())
}
