//! From sets of recorded tensors to items: one for each row where the batch is free.

use std::path::Path;

use super::files::Set;
use super::{Item, RecordedError, shown};
use crate::data::Tensor;
use crate::task::inputs::{InputPort, Named, OutputPort, Size};

/// The items of a set, each with a batch of one where the batch is free.
pub(super) fn split(
    path: &Path,
    (inputs, outputs): Set,
    ports: &[InputPort],
    wanted: &[OutputPort],
    items: &mut Vec<Item>,
) -> Result<(), RecordedError> {
    let mut rows: Option<usize> = None;
    for (port, (_, tensor)) in ports.iter().zip(&inputs) {
        let unfit =
            |what| RecordedError::Unfit { path: shown(path), input: port.name.clone(), what };
        fits(port, tensor).map_err(unfit)?;
        if port.has_inner_batch() && rows.is_some_and(|rows| rows != 1) {
            return Err(unfit(
                "its batch is not its first dimension, so items cannot be told apart".into(),
            ));
        }
        if has_rows(port, tensor) {
            let found = tensor.shape[0];
            if rows.is_some_and(|rows| rows != found) {
                return Err(unfit(format!("it has {found} items, and an input before has others")));
            }
            rows = Some(found);
        }
    }
    // With one item a run, outputs have one row for each run, whatever the graph calls them.
    let one = !ports.iter().any(InputPort::is_batched);
    // Without a byte, nothing but the header bounds the number of rows.
    let is_bounded = |(port, (_, tensor)): (&InputPort, &(String, Tensor))| {
        has_rows(port, tensor) && !tensor.bytes.is_empty()
    };
    let bounded = ports.iter().zip(&inputs).any(is_bounded);
    // An empty batch is an item too: the graph was run on it.
    let Some(rows) = rows.filter(|&rows| rows > 0 && bounded) else {
        items.push(Item { inputs, expected: outputs, ..Item::default() });
        return Ok(());
    };
    let inputs = ports.iter().zip(inputs).map(|(port, (name, tensor))| {
        let share =
            if has_rows(port, &tensor) { Share::rows(&tensor) } else { Share::Whole(tensor) };
        (name, share)
    });
    let mut inputs: Vec<(String, Share)> = inputs.collect();
    let of = |name: &str| wanted.iter().find(|port| port.name == name);
    let outputs = outputs.into_iter().filter_map(|(name, tensor)| {
        let batched = (of(&name)?.batched || one) && tensor.shape.first() == Some(&rows);
        let share = match (batched, rows) {
            (true, _) => Share::rows(&tensor),
            (false, 1) => Share::Whole(tensor),
            // Nobody knows which part of it belongs to an item.
            (false, _) => return None,
        };
        Some((name, share))
    });
    let mut outputs: Vec<(String, Share)> = outputs.collect();
    for _ in 0..rows {
        let (taken, expected) = (next(&mut inputs), next(&mut outputs));
        items.push(Item { inputs: taken, expected, ..Item::default() });
    }
    Ok(())
}

/// Whether rows of the tensor belong to different items.
fn has_rows(port: &InputPort, tensor: &Tensor) -> bool {
    port.is_batched()
        || port.shape.first() == Some(&Size::Fixed(1)) && tensor.shape.first() > Some(&1)
}

fn fits(port: &InputPort, tensor: &Tensor) -> Result<(), String> {
    if port.dtype != tensor.dtype {
        return Err(format!("it is {}, the graph takes {}", tensor.dtype, port.dtype));
    }
    if port.shape.len() != tensor.shape.len() {
        let (found, wanted) = (tensor.shape.len(), port.shape.len());
        return Err(format!("it has {found} dimensions, the graph takes {wanted}"));
    }
    let wrong = port.shape.iter().zip(&tensor.shape).enumerate().position(|(at, (size, found))| {
        let rows = at == 0 && *size == Size::Fixed(1) && *found > 1;
        matches!(size, Size::Fixed(size) if size != found) && !rows
    });
    match wrong {
        None => Ok(()),
        Some(at) => {
            Err(format!("its shape is {:?}, and the graph fixes dimension {at}", tensor.shape))
        }
    }
}

/// What each item of a set gets of a tensor.
enum Share {
    /// A row, one after the other.
    Rows(std::vec::IntoIter<Tensor>),
    Whole(Tensor),
}

impl Share {
    fn rows(tensor: &Tensor) -> Self {
        Self::Rows(tensor.rows().into_iter())
    }
}

/// What the next item gets of every tensor.
fn next(shares: &mut [(String, Share)]) -> Named {
    let taken = shares.iter_mut().filter_map(|(name, share)| {
        let tensor = match share {
            Share::Rows(rows) => rows.next()?,
            Share::Whole(tensor) => tensor.clone(),
        };
        Some((name.clone(), tensor))
    });
    taken.collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use prost::Message as _;

    use super::super::Recorded;
    use super::super::tests::{arrays, folder, ports};
    use super::*;
    use crate::data::ElementType::F32;
    use crate::data::{ElementType, archive_of, npy_of};
    use crate::model::onnx::TensorProto;
    use crate::task::inputs::tests::{input, nowhere};
    use crate::task::{InputError, Origin, RecordedFile, Requests, TensorInputs};

    #[test]
    fn rows_of_an_archive_are_items_with_their_expected_outputs() {
        let (x, scale, y) = arrays();
        let entries = [("x.npy", npy_of(&x)), ("scale.npy", npy_of(&scale)), ("y.npy", npy_of(&y))];
        let entries: Vec<(&str, &[u8])> = entries.iter().map(|(n, b)| (*n, b.as_slice())).collect();
        let path = archive_of("io.npz", &entries);
        let (inputs, outputs) = ports();
        let recorded = Recorded::read(&path, &inputs, &outputs).unwrap();
        assert_eq!(recorded.items.len(), 3);
        assert_eq!(recorded.items[1].inputs[0].1, Tensor::of_f32(vec![1, 2], &[3.0, 4.0]));
        assert_eq!(recorded.items[1].inputs[1].1, scale);
        assert_eq!(recorded.items[2].expected, [("y".into(), Tensor::of_f32(vec![1, 1], &[22.0]))]);
        assert!(recorded.has_expected());
        let (digest, take, seed) = (recorded.digest, Some(2), None);
        let (split, samples) = (None, None);
        let file = RecordedFile { path: path.clone(), digest, split, samples, take, seed };
        let all = TensorInputs { inputs, outputs, origin: Origin::Recorded(file) };
        assert_eq!(all.items(nowhere(), 0, 0).unwrap().len(), 2);
        let mut requests = Requests::open(&all, nowhere(), 4, 1).unwrap();
        let request = requests.draw(&|| 0).unwrap().inputs;
        assert_eq!(
            (request[0].1.shape.as_slice(), request[1].1.shape.as_slice()),
            (&[4, 2][..], &[][..])
        );
        assert!(request[0].1.to_f64().iter().all(|v| *v < 5.0), "only the first two items");
        fs::write(&path, b"other").unwrap();
        assert!(all.items(nowhere(), 0, 0).is_err());
    }

    #[test]
    fn rows_without_a_byte_are_one_item_however_many_a_header_claims() {
        let root = folder("bytes");
        let path = root.join("x.npy");
        let claim = Tensor { dtype: F32, shape: vec![1 << 50, 0], bytes: Vec::new() };
        fs::write(&path, npy_of(&claim)).unwrap();
        let ports = [input("x", F32, &[Size::Batch, Size::Any])];
        let items = Recorded::read(&path, &ports, &[]).unwrap().items;
        assert_eq!((items.len(), &items[0].inputs[0].1), (1, &claim));
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn texts_are_told_apart_by_rows() {
        let root = folder("texts");
        let path = root.join("words.pb");
        let proto = TensorProto {
            dims: vec![2, 2],
            data_type: Some(8),
            string_data: ["a", "", "goose", "fox"].map(|text| text.as_bytes().to_vec()).to_vec(),
            ..TensorProto::default()
        };
        fs::write(&path, proto.encode_to_vec()).unwrap();
        let ports = [input("words", ElementType::String, &[Size::Batch, Size::Any])];
        let items = Recorded::read(&path, &ports, &[]).unwrap().items;
        let texts = |at: usize| items[at].inputs[0].1.texts().unwrap();
        assert_eq!((items.len(), texts(0), texts(1)), (2, vec!["a", ""], vec!["goose", "fox"]));
        assert_ne!(items[0].digest(), items[1].digest());
        let told = Recorded::read(&path, &[input("words", F32, &[Size::Batch, Size::Any])], &[]);
        assert!(told.unwrap_err().to_string().contains("it is string, the graph takes f32"));
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn what_does_not_fit_the_graph_is_told_with_its_input() {
        let (x, ..) = arrays();
        let root = folder("unfit");
        let path = root.join("x.npy");
        fs::write(&path, npy_of(&x)).unwrap();
        let told =
            |inputs: &[InputPort]| Recorded::read(&path, inputs, &[]).unwrap_err().to_string();
        let wide = told(&[input("x", F32, &[Size::Batch, Size::Fixed(4)])]);
        assert!(wide.contains("input `x`") && wide.contains("fixes dimension 1"), "{wide}");
        assert!(
            told(&[input("x", ElementType::I64, &[Size::Any, Size::Any])]).contains("takes i64")
        );
        assert!(told(&[input("x", F32, &[Size::Any])]).contains("the graph takes 1"));
        assert!(told(&[]).contains("the graph has 0 inputs"));
        let fixed = [input("x", F32, &[Size::Fixed(3), Size::Fixed(2)])];
        assert_eq!(Recorded::read(&path, &fixed, &[]).unwrap().items.len(), 1);
        let single =
            Recorded::read(&path, &[input("x", F32, &[Size::Fixed(1), Size::Fixed(2)])], &[]);
        let items = single.unwrap().items;
        assert_eq!(items.len(), 3);
        assert_eq!(items[2].inputs[0].1, Tensor::of_f32(vec![1, 2], &[5.0, 6.0]));
        let text = root.join("x.txt");
        fs::write(&text, "1 2 3").unwrap();
        assert!(Recorded::read(&text, &fixed, &[]).unwrap_err().to_string().contains(".npz"));
        fs::remove_file(&path).unwrap();
        assert!(
            Recorded::read(&root, &fixed, &[]).unwrap_err().to_string().contains("no recorded")
        );
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn items_of_different_shapes_do_not_share_a_request() {
        let root = folder("shapes");
        for (name, width) in [("a.npy", 2), ("b.npy", 3)] {
            let x = Tensor::of_f32(vec![1, width], &vec![0.0; width]);
            fs::write(root.join(name), npy_of(&x)).unwrap();
        }
        let inputs = vec![input("x", F32, &[Size::Batch, Size::Any])];
        let recorded = Recorded::read(&root, &inputs, &[]).unwrap();
        let file = RecordedFile {
            path: root.clone(),
            digest: recorded.digest,
            split: None,
            samples: None,
            take: None,
            seed: None,
        };
        let all = TensorInputs { inputs, outputs: Vec::new(), origin: Origin::Recorded(file) };
        assert!(Requests::open(&all, nowhere(), 1, 0).is_ok());
        let unlike = Requests::open(&all, nowhere(), 2, 0).err().unwrap();
        assert!(matches!(unlike, InputError::Recorded(RecordedError::Unlike { item: 1, .. })));
        fs::remove_dir_all(root).unwrap();
    }
}
