//! Which dimensions of a graph's inputs the caller chooses, and which of them is the batch.

use crate::model::Signature;
use crate::model::signature::{Dim, Port};

/// A free dimension other than the batch, where it occurs first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Free {
    /// As the graph names it; one without a name is called after its place, `image_dim2`.
    pub name: String,
    /// The input it belongs to, as a signature shows it: `image [batch, 3, image_dim2] f32`.
    pub input: String,
}

/// The free dimensions of a signature.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FreeDimensions {
    /// Names of the dimensions that hold items side by side. Usually one; a graph that names them
    /// apart, or not at all, has one for each input. Empty when the graph fixes its batch.
    pub batch: Vec<String>,
    /// Every other one, in the order of inputs.
    pub others: Vec<Free>,
}

/// Beginnings of names that stand for a batch.
const BATCH: &[&str] = &["batch", "bs", "n_samples", "num_samples", "unk__"];

/// Parts of names that stand for the length of one item.
const LENGTH: &[&str] = &["seq", "len", "time", "frame", "token", "step"];

impl FreeDimensions {
    /// The batch is the free dimension in front of an input when its name says so (`batch…`, `N`,
    /// `None`, `unk__…`), when it has no name, or when it leads every input that has dimensions
    /// and its name does not say that it is a length (`sequence`, `time`, …).
    pub fn of(signature: &Signature) -> Self {
        let inputs = &signature.inputs;
        let mut found = Self::default();
        for port in inputs {
            if let Some(name) = leading(port)
                && !found.batch.contains(&name.to_owned())
                && (is_batch(name, port) || leads_all(name, inputs))
            {
                found.batch.push(name.to_owned());
            }
        }
        for port in inputs {
            for dim in &port.shape {
                let Dim::Named(name) = dim else { continue };
                let known = found.others.iter().any(|free| free.name == *name);
                if !known && !found.batch.contains(name) {
                    found.others.push(Free { name: name.clone(), input: port.to_string() });
                }
            }
        }
        found
    }

    pub fn is_batch(&self, dim: &Dim) -> bool {
        matches!(dim, Dim::Named(name) if self.batch.contains(name))
    }
}

fn leading(port: &Port) -> Option<&str> {
    match port.shape.first()? {
        Dim::Named(name) => Some(name),
        Dim::Fixed(_) => None,
    }
}

fn is_batch(name: &str, port: &Port) -> bool {
    let lower = name.to_ascii_lowercase();
    let unnamed = name.is_empty() || name == "?" || name == format!("{}_dim0", port.name);
    unnamed
        || matches!(lower.as_str(), "n" | "b" | "none")
        || BATCH.iter().any(|begin| lower.starts_with(begin))
}

fn leads_all(name: &str, inputs: &[Port]) -> bool {
    let lower = name.to_ascii_lowercase();
    let with_dimensions = || inputs.iter().filter(|port| !port.shape.is_empty());
    !LENGTH.iter().any(|part| lower.contains(part))
        && !name.ends_with("_any")
        && with_dimensions().all(|port| leading(port) == Some(name))
}

/// A size of the free dimension `name` that suits most graphs, for hints and first specs: images
/// have sides of 224, signals 256 samples, texts 128 tokens; a graph that also takes what it has
/// seen before gets one at a time, after one.
pub fn usual_size(name: &str, inputs: &[Port]) -> u32 {
    let found = inputs.iter().find_map(|port| {
        let at = port.shape.iter().position(|dim| matches!(dim, Dim::Named(n) if n == name))?;
        Some((port, port.shape.len() - 1 - at))
    });
    let Some((port, from_end)) = found else { return 1 };
    let is_float = matches!(port.dtype.as_str(), "f32" | "f16" | "bf16" | "f64");
    let named = |dim: &Dim| matches!(dim, Dim::Named(name) if name.contains("past"));
    let has_past = inputs.iter().flat_map(|port| &port.shape).any(named);
    match (port.shape.len(), from_end) {
        _ if has_past => 1 + u32::from(name.contains("total")),
        (4, 0 | 1) if is_float => 224,
        (2 | 3, 0) if is_float => 256,
        (2, 0) => 128,
        _ => 1,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// `x: batch,3,h f32` as a port.
    pub fn port(text: &str) -> Port {
        let (name, rest) = text.split_once(": ").unwrap();
        let (dims, dtype) = rest.rsplit_once(' ').unwrap();
        let dims = dims.split(',').filter(|dim| !dim.is_empty() && *dim != "()");
        let dim = |dim: &str| match dim.parse() {
            Ok(size) => Dim::Fixed(size),
            Err(_) => Dim::Named(dim.to_owned()),
        };
        Port { name: name.to_owned(), dtype: dtype.to_owned(), shape: dims.map(dim).collect() }
    }

    pub fn signature(inputs: &[&str]) -> Signature {
        let inputs = inputs.iter().map(|text| port(text)).collect();
        Signature { inputs, outputs: Vec::new() }
    }

    fn free(inputs: &[&str]) -> (Vec<String>, Vec<String>) {
        let found = FreeDimensions::of(&signature(inputs));
        (found.batch, found.others.into_iter().map(|free| free.name).collect())
    }

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_batch_is_known_by_name_by_having_none_or_by_leading_every_input() {
        let table: &[(&[&str], &[&str], &[&str])] = &[
            (&["x: batch_size,3,height,width f32"], &["batch_size"], &["height", "width"]),
            (&["x: N,4 f32"], &["N"], &[]),
            (&["x: x_dim0,64 f32", "y: y_dim0,64 f32"], &["x_dim0", "y_dim0"], &[]),
            (&["x: items,4 f32", "scale: () f32"], &["items"], &[]),
            (&["x: items,4 f32", "y: other,4 f32"], &[], &["items", "other"]),
            (&["frames: sequence,80 f32"], &[], &["sequence"]),
            (&["x: 1,3,224,224 f32"], &[], &[]),
            (
                &["ids: batch,sequence i64", "past: 2,batch,heads f32"],
                &["batch"],
                &["sequence", "heads"],
            ),
            (&["x: 1,x_dim1 f32"], &[], &["x_dim1"]),
            (&["x: x_dim0,x_dim1 f32", "s: 2,s_dim1 f32"], &["x_dim0"], &["x_dim1", "s_dim1"]),
            (&["x: batch,sequence f32", "s: 2,batch f32"], &["batch"], &["sequence"]),
        ];
        for (inputs, batch, others) in table {
            assert_eq!(free(inputs), (names(batch), names(others)), "{inputs:?}");
        }
    }

    #[test]
    fn usual_sizes_follow_from_what_an_input_looks_like() {
        let size = |name: &str, inputs: &[&str]| usual_size(name, &signature(inputs).inputs);
        let image = ["x: N,3,height,width f32"];
        assert_eq!((size("height", &image), size("width", &image)), (224, 224));
        assert_eq!(size("sequence", &["x: batch,sequence f32", "s: 2,batch f32"]), 256);
        assert_eq!(size("length", &["ids: batch,length i64"]), 128);
        let decoder = ["ids: b,length i64", "kv: b,4,past,8 f32"];
        assert_eq!((size("length", &decoder), size("past", &decoder)), (1, 1));
        assert_eq!(size("elsewhere", &image), 1);
    }
}
