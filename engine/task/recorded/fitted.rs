//! An array of an idx file in the form in which a graph takes it.

use crate::data::ElementType::{Bf16, F16, F32, F64, I8, I16, U8};
use crate::data::Tensor;
use crate::task::inputs::{InputPort, Size};

/// The array of an idx file as a graph with one input takes it, and what was done to it: numbers
/// become floats of the same value, and where the graph has one channel between or behind the
/// dimensions of the file, it is put there. What does not fit so stays as it is.
pub(super) fn fitted(tensor: Tensor, ports: &[InputPort]) -> (Tensor, Option<String>) {
    let [port] = ports else { return (tensor, None) };
    let (dtype, shape) = (tensor.dtype, tensor.shape.clone());
    let channel = [1, port.shape.len().saturating_sub(1)].into_iter().find(|&at| {
        port.shape.len() == shape.len() + 1 && port.shape.get(at) == Some(&Size::Fixed(1))
    });
    let mut out = tensor;
    if let Some(at) = channel {
        out.shape.insert(at, 1);
    }
    let exact = match port.dtype {
        F64 => true,
        F32 => matches!(dtype, U8 | I8 | I16),
        F16 | Bf16 => matches!(dtype, U8 | I8),
        _ => false,
    };
    if exact && dtype != port.dtype {
        out = Tensor::of_f64(port.dtype, out.shape.clone(), &out.to_f64());
    }
    let same = (out.dtype, &out.shape) == (dtype, &shape);
    let note = format!(
        "{dtype} of shape {shape:?} is given as {} of shape {:?}, value by value",
        out.dtype, out.shape
    );
    (out, (!same).then_some(note))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tests::folder;
    use super::super::{Extract, Recorded};
    use super::*;
    use crate::data::idx_of;
    use crate::task::inputs::tests::input;

    #[test]
    fn an_idx_file_is_given_value_by_value_with_the_channel_of_the_graph() {
        let root = folder("idx");
        let path = root.join("all-idx3-ubyte");
        fs::write(&path, idx_of(8, &[2, 1, 2], &[0, 255, 7, 8])).unwrap();
        let grey = [Size::Fixed(1), Size::Fixed(1), Size::Fixed(1), Size::Fixed(2)];
        let recorded = Recorded::read(&path, &[input("x", F32, &grey)], &[]).unwrap();
        assert_eq!(recorded.items.len(), 2);
        let expected = Tensor::of_f32(vec![1, 1, 1, 2], &[0.0, 255.0]);
        assert_eq!(recorded.items[0].inputs[0].1, expected);
        assert!(recorded.notes[0].contains("u8 of shape [2, 1, 2] is given as f32"));
        let last = [Size::Batch, Size::Any, Size::Any, Size::Fixed(1)];
        let recorded = Recorded::read(&path, &[input("x", F16, &last)], &[]).unwrap();
        assert_eq!(recorded.items[1].inputs[0].1.shape, [1, 1, 2, 1]);
        let plain = Recorded::read(&root, &[input("x", U8, &last[..3])], &[]).unwrap();
        assert_eq!((plain.items.len(), plain.notes.len()), (2, 0));
        let told = |ports: &[InputPort]| Recorded::read(&path, ports, &[]).unwrap_err().to_string();
        let wide = [Size::Batch, Size::Fixed(3), Size::Any, Size::Any];
        assert!(told(&[input("x", F32, &wide)]).contains("it has 3 dimensions, the graph takes 4"));
        assert!(told(&[input("x", I8, &last[..3])]).contains("it is u8, the graph takes i8"));
        let what = Extract { samples: Some(4), split: None };
        let told = Recorded::extract(&path, what, &[], &[]).unwrap_err().to_string();
        assert!(told.contains("holds no sound"), "{told}");
        fs::remove_dir_all(root).unwrap();
    }
}
