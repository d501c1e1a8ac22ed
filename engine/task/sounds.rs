//! Sound as inputs of a graph: samples of a recording, and what else such graphs ask for.
//!
//! The samples go to the only input of floating numbers, or to the only one of several whose last
//! dimension is free: `[batch, samples]`, `[samples]` or `[batch, 1, samples]`. Of the others those
//! that are whole numbers get what their names say, the rate or the number of samples; states of
//! floating numbers begin as zeros, as at the start of a recording. Anything else is refused.

use std::path::Path;

use super::inputs::{InputPort, Named, Size};
use super::recorded::{Item, Recorded, RecordedError};
use crate::data::{Recordings, Tensor};

/// Largest state that is made.
const MOST_STATE: usize = 1 << 24;

/// The recordings of `path` as items of a graph with these inputs.
pub(super) fn read(
    path: &Path,
    samples: Option<usize>,
    ports: &[InputPort],
) -> Result<Recorded, RecordedError> {
    let port = sound_port(ports)?;
    if let (Some(&Size::Fixed(fixed)), Some(asked)) = (port.shape.last(), samples)
        && fixed != asked
    {
        let what = format!("`samples` is {asked}, and input `{}` takes {fixed}", port.name);
        return Err(RecordedError::Sound(what));
    }
    let found = Recordings::read(path, samples)?;
    let (rate, length) = (found.rate, found.length());
    let shape = shape_of(port, length)?;
    let mut others = Vec::new();
    for other in ports.iter().filter(|other| other.name != port.name) {
        others.push((other.name.clone(), beside(other, rate, length)?));
    }
    let item = |samples: &Vec<f32>| {
        let values: Vec<f64> = samples.iter().map(|&sample| f64::from(sample)).collect();
        let sound = Tensor::of_f64(port.dtype, shape.clone(), &values);
        let mut inputs: Named = Vec::with_capacity(ports.len());
        let mut rest = others.iter();
        for known in ports {
            match known.name == port.name {
                true => inputs.push((port.name.clone(), sound.clone())),
                false => inputs.extend(rest.next().cloned()),
            }
        }
        Item { inputs, ..Item::default() }
    };
    let items: Vec<Item> = found.items.iter().map(item).collect();
    let s = |count: usize| if count == 1 { "" } else { "s" };
    let (files, count) = (found.files, items.len());
    let mut note = format!(
        "{files} recording{} of {rate} samples per second, {count} item{} of {length} samples for input `{}`",
        s(files),
        s(count),
        port.name
    );
    if found.left > 0 {
        let left = found.left;
        note += &format!("; {left} sample{} behind the last windows not used", s(left));
    }
    let named: Vec<String> = others.iter().map(|(name, tensor)| told(name, tensor)).collect();
    if !named.is_empty() {
        note += &format!("; {}", named.join(", "));
    }
    let (digest, excluded) = (found.digest, found.excluded);
    Ok(Recorded { digest, items, excluded, notes: vec![note] })
}

fn told(name: &str, tensor: &Tensor) -> String {
    match tensor.to_f64().first() {
        Some(value) if *value != 0.0 => format!("`{name}` is {value}"),
        _ => format!("`{name}` begins as zeros"),
    }
}

/// The input that takes the samples.
fn sound_port(ports: &[InputPort]) -> Result<&InputPort, RecordedError> {
    let floats: Vec<&InputPort> = ports.iter().filter(|port| port.dtype.is_float()).collect();
    let free = floats.iter().filter(|port| port.shape.last() == Some(&Size::Any));
    let free: Vec<&InputPort> = free.copied().collect();
    match (floats.as_slice(), free.as_slice()) {
        ([port], _) | (_, [port]) => Ok(port),
        ([], _) => Err(RecordedError::Sound("it has no input of floating numbers".to_owned())),
        (floats, _) => {
            let names: Vec<String> = floats.iter().map(|port| format!("`{}`", port.name)).collect();
            let names = names.join(", ");
            Err(RecordedError::Sound(format!("any of its inputs {names} may take the samples")))
        }
    }
}

/// The shape of one item of `length` samples.
fn shape_of(port: &InputPort, length: usize) -> Result<Vec<usize>, RecordedError> {
    let (shape, name) = (vec![vec![length], vec![1, length], vec![1, 1, length]], &port.name);
    let shape = shape.into_iter().find(|shape| shape.len() == port.shape.len());
    let shape = shape.ok_or_else(|| {
        let found = port.shape.len();
        RecordedError::Sound(format!("input `{name}` has {found} dimensions, samples have 1 to 3"))
    })?;
    port.takes(&shape).map_err(|wanted| {
        let hint = match port.shape.last() {
            Some(Size::Fixed(fixed)) if *fixed != length => {
                format!("; `samples: {fixed}` cuts them into windows")
            }
            _ => String::new(),
        };
        let what = format!("items become {shape:?}, and input `{name}` takes {wanted}{hint}");
        RecordedError::Sound(what)
    })?;
    Ok(shape)
}

/// What an input gets that does not take the samples.
fn beside(port: &InputPort, rate: u32, length: usize) -> Result<Tensor, RecordedError> {
    let name = port.name.to_ascii_lowercase();
    let unknown = || {
        let what = format!("nobody knows what input `{}` gets beside the samples", port.name);
        RecordedError::Sound(what)
    };
    let value = match port.dtype {
        dtype if dtype.is_text() => None,
        dtype if dtype.is_float() => Some(0.0),
        _ if name == "sr" || name.contains("rate") => Some(f64::from(rate)),
        _ if name.contains("len") => Some(length as f64),
        _ => None,
    };
    // What is free beside the samples counts recordings, of which an item is one.
    let size = |size: &Size| match *size {
        Size::Fixed(size) => size,
        Size::Batch | Size::Any => 1,
    };
    let shape: Vec<usize> = port.shape.iter().map(size).collect();
    let value = value.ok_or_else(unknown)?;
    let count = shape.iter().try_fold(1_usize, |n, &side| n.checked_mul(side));
    let count = count.filter(|&count| count <= MOST_STATE).ok_or_else(unknown)?;
    Ok(Tensor::of_f64(port.dtype, shape, &vec![value; count]))
}

#[cfg(test)]
mod tests {
    use super::super::inputs::tests::input;
    use super::*;
    use crate::data::ElementType::{F32, I64};
    use crate::data::plain_wav;

    fn sound(name: &str, samples: i16) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("engine-sounds-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(name);
        std::fs::write(&path, plain_wav(16_000, &(0..samples).collect::<Vec<_>>())).unwrap();
        path
    }

    #[test]
    fn a_voice_detector_gets_samples_rate_and_a_state_of_zeros() {
        let path = sound("voice.wav", 10);
        let state = [Size::Fixed(2), Size::Any, Size::Fixed(4)];
        let ports = [
            input("state", F32, &state),
            input("input", F32, &[Size::Batch, Size::Any]),
            input("sr", I64, &[]),
            input("lengths", I64, &[Size::Batch]),
        ];
        let found = read(&path, Some(4), &ports).unwrap();
        assert_eq!(found.items.len(), 2);
        let [state, input, rate, length] = found.items[1].inputs.as_slice() else {
            panic!("four inputs")
        };
        assert_eq!((length.1.shape.as_slice(), length.1.to_f64()), (&[1][..], vec![4.0]));
        assert_eq!((state.1.shape.as_slice(), state.1.to_f64()), (&[2, 1, 4][..], vec![0.0; 8]));
        assert_eq!((input.1.shape.as_slice(), input.1.to_f64()[0]), (&[1, 4][..], 4.0 / 32768.0));
        assert_eq!((rate.0.as_str(), rate.1.to_f64()), ("sr", vec![16_000.0]));
        let note = &found.notes[0];
        assert!(note.contains("1 recording of 16000 samples per second, 2 items of 4"), "{note}");
        assert!(note.contains("2 samples behind") && note.contains("`sr` is 16000"), "{note}");
        assert!(note.contains("`state` begins as zeros"), "{note}");
    }

    #[test]
    fn one_input_takes_samples_in_its_own_shape() {
        let path = sound("shapes.wav", 6);
        for shape in [
            vec![Size::Any],
            vec![Size::Batch, Size::Fixed(6)],
            vec![Size::Fixed(1), Size::Fixed(1), Size::Any],
        ] {
            let found = read(&path, None, &[input("x", F32, &shape)]).unwrap();
            assert_eq!(found.items[0].inputs[0].1.shape.last(), Some(&6), "{shape:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_told_with_its_input() {
        let path = sound("unfit.wav", 6);
        let told =
            |samples, ports: &[InputPort]| read(&path, samples, ports).unwrap_err().to_string();
        let free = [Size::Batch, Size::Any];
        let fixed = [input("x", F32, &[Size::Batch, Size::Fixed(4)])];
        let text = told(None, &fixed);
        assert!(text.contains("[1, 6]") && text.contains("`samples: 4` cuts"), "{text}");
        assert!(told(Some(3), &fixed).contains("`samples` is 3, and input `x` takes 4"));
        let two = [input("a", F32, &free), input("b", F32, &free)];
        assert!(told(None, &two).contains("`a`, `b` may take the samples"));
        let odd = [input("x", F32, &free), input("mode", I64, &[])];
        assert!(told(None, &odd).contains("what input `mode` gets"));
        let large = [input("x", F32, &free), input("s", F32, &[Size::Fixed(1 << 40)])];
        assert!(told(Some(2), &large).contains("input `s` gets"));
        assert!(told(None, &[input("ids", I64, &free)]).contains("no input of floating"));
        assert!(told(None, &[input("x", F32, &[Size::Any; 4])]).contains("4 dimensions"));
    }
}
