//! What goes into a model and what comes out: names, element types and shapes.

use std::fmt;

use serde::Serialize;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Signature {
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
}

/// One named tensor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Port {
    pub name: String,
    /// Such as `i64` or `f32`. What is no tensor has a text with brackets and an empty shape:
    /// `sequence(f32)`, `map(i64, f32)`, `optional(f32)`, `sparse(f32)`, `opaque(domain.name)`.
    pub dtype: String,
    /// Outermost dimension first.
    pub shape: Vec<Dim>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Dim {
    /// Chosen by the caller; equal names are equal sizes.
    Named(String),
    Fixed(u64),
}

impl Signature {
    /// Tokens in, for every position the logits of its next token out.
    pub fn text_generation(vocab: u64) -> Self {
        let (batch, sequence) = (Dim::Named("batch".into()), Dim::Named("sequence".into()));
        let logits = vec![batch.clone(), sequence.clone(), Dim::Fixed(vocab)];
        Self {
            inputs: vec![Port {
                name: "tokens".into(),
                dtype: "i64".into(),
                shape: vec![batch, sequence],
            }],
            outputs: vec![Port { name: "logits".into(), dtype: "f32".into(), shape: logits }],
        }
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listed =
            |ports: &[Port]| ports.iter().map(Port::to_string).collect::<Vec<_>>().join(", ");
        write!(f, "{} -> {}", listed(&self.inputs), listed(&self.outputs))
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [", self.name)?;
        for (i, dim) in self.shape.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            match dim {
                Dim::Named(name) => write!(f, "{comma}{name}")?,
                Dim::Fixed(size) => write!(f, "{comma}{size}")?,
            }
        }
        write!(f, "] {}", self.dtype)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_reads_as_shapes_are_written() {
        let signature = Signature::text_generation(512);
        assert_eq!(
            signature.to_string(),
            "tokens [batch, sequence] i64 -> logits [batch, sequence, 512] f32"
        );
        assert_eq!(signature.inputs[0].to_string(), "tokens [batch, sequence] i64");
        assert_eq!(signature.outputs[0].to_string(), "logits [batch, sequence, 512] f32");
    }
}
