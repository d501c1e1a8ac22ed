//! Looking at nodes: attributes by name.

use super::proto::{AttributeProto, NodeProto};

impl NodeProto {
    pub fn op(&self) -> &str {
        self.op_type.as_deref().unwrap_or_default()
    }

    /// The operator set; empty for the standard one.
    pub fn set(&self) -> &str {
        match self.domain.as_deref().unwrap_or_default() {
            "ai.onnx" => "",
            other => other,
        }
    }

    /// Its name, or where it has none its operator and first output.
    pub fn label(&self) -> String {
        match self.name.as_deref() {
            Some(name) if !name.is_empty() => name.to_owned(),
            _ => format!("{} → {}", self.op(), self.output.first().map_or("", String::as_str)),
        }
    }

    pub fn attr(&self, name: &str) -> Option<&AttributeProto> {
        self.attribute.iter().find(|a| a.name.as_deref() == Some(name))
    }
}

pub fn attribute_int(node: &NodeProto, name: &str) -> Option<i64> {
    node.attr(name)?.i
}

pub fn attribute_f32(node: &NodeProto, name: &str) -> Option<f32> {
    node.attr(name)?.f
}

pub fn attribute_ints<'a>(node: &'a NodeProto, name: &str) -> Option<&'a [i64]> {
    Some(&node.attr(name)?.ints)
}

pub fn attribute_text<'a>(node: &'a NodeProto, name: &str) -> Option<&'a str> {
    std::str::from_utf8(node.attr(name)?.s.as_deref()?).ok()
}
