//! What a graph is calibrated on: texts as tokens, or recorded tensors, one run at a time.

use std::path::Path;

use super::PassError;
use crate::data::{ElementType, ITEMS_FILE, ItemFile, TOKENS_FILE, Tensor, TokenFile};
use crate::model::Signature;
use crate::model::signature::{Dim, Port};

/// Longest text of one run where the model says nothing: intermediate tensors are all kept at once.
const LONGEST: usize = 2048;

/// The inputs of one run, by name.
pub type Sample = Vec<(String, Tensor)>;

/// What a graph is run on, one run at a time.
pub struct Samples {
    pub count: usize,
    make: Box<dyn Fn(usize) -> Result<Sample, String>>,
}

impl Samples {
    /// Runs whose inputs `make` gives by number.
    pub fn new(count: usize, make: impl Fn(usize) -> Result<Sample, String> + 'static) -> Self {
        Self { count, make: Box::new(make) }
    }

    /// The inputs of run `at`, which is less than `count`.
    pub fn draw(&self, at: usize) -> Result<Sample, PassError> {
        (self.make)(at).map_err(PassError::Calibration)
    }

    /// Inputs for `signature` from the data set in `folder`, at most `take` of them. Texts are cut
    /// to `context` tokens.
    pub fn open(
        folder: &Path,
        signature: &Signature,
        take: Option<usize>,
        context: Option<u64>,
    ) -> Result<Self, PassError> {
        let ports = signature.inputs.clone();
        let take = take.unwrap_or(usize::MAX);
        let opened = if folder.join(ITEMS_FILE).is_file() {
            Self::of_items(ItemFile::open(folder), ports, take)
        } else if folder.join(TOKENS_FILE).is_file() {
            let longest = context.map_or(LONGEST, |n| (n as usize).min(LONGEST));
            Self::of_texts(TokenFile::read(folder), ports, take, longest)
        } else {
            Err("it holds neither texts nor recorded tensors".to_owned())
        };
        opened.map_err(PassError::Calibration)
    }

    fn of_items(
        file: Result<ItemFile, String>,
        ports: Vec<Port>,
        take: usize,
    ) -> Result<Self, String> {
        let file = file?;
        if let Some(port) = ports.iter().find(|port| !file.has(&port.name)) {
            return Err(format!("the graph wants `{port}`, which was not recorded"));
        }
        match file.count().min(take) {
            0 => Err("it has no items".to_owned()),
            count => Ok(Self::new(count, move |at| {
                let tensors = file.item(at)?;
                let wanted = |name: &str| ports.iter().find(|port| port.name == name);
                let fit = |(name, tensor): (String, Tensor)| {
                    let tensor = in_type_of(wanted(&name)?, tensor);
                    Some((name, tensor))
                };
                Ok(tensors.into_iter().filter_map(fit).collect())
            })),
        }
    }

    fn of_texts(
        file: Result<TokenFile, String>,
        ports: Vec<Port>,
        take: usize,
        longest: usize,
    ) -> Result<Self, String> {
        let mut texts: Vec<Vec<u32>> = file?.with_bos();
        texts.retain(|tokens| !tokens.is_empty());
        texts.truncate(take);
        for tokens in &mut texts {
            tokens.truncate(longest);
        }
        let first = texts.first().ok_or("it has no tokens")?;
        // Once before anything runs, so that an input that texts cannot give is told at once.
        if let Some(port) = ports.iter().find(|port| of_text(port, first).is_none()) {
            return Err(format!("the graph wants `{port}`, which no text gives"));
        }
        Ok(Self::new(texts.len(), move |at| {
            let tensors =
                ports.iter().filter_map(|p| Some((p.name.clone(), of_text(p, &texts[at])?)));
            Ok(tensors.collect())
        }))
    }
}

/// Floating numbers in the type that `port` takes: a stage before may have cast the graph.
fn in_type_of(port: &Port, tensor: Tensor) -> Tensor {
    match ElementType::parse(&port.dtype) {
        Some(to) if to != tensor.dtype && to.is_float() && tensor.dtype.is_float() => {
            Tensor::of_f64(to, tensor.shape.clone(), &tensor.to_f64())
        }
        _ => tensor,
    }
}

/// The input `port` of a language model that reads `tokens` as one sequence from the beginning.
fn of_text(port: &Port, tokens: &[u32]) -> Option<Tensor> {
    let length = tokens.len();
    let numbers = |shape: Vec<usize>, values: Vec<i64>| match port.dtype.as_str() {
        "i64" => Some(Tensor::of_i64(shape, &values)),
        "i32" => {
            let bytes = values.iter().flat_map(|&v| (v as i32).to_le_bytes()).collect();
            Tensor::new(ElementType::I32, shape, bytes)
        }
        _ => None,
    };
    match port.name.as_str() {
        "input_ids" => numbers(vec![1, length], tokens.iter().map(|&t| i64::from(t)).collect()),
        "attention_mask" => numbers(vec![1, length], vec![1; length]),
        "token_type_ids" => numbers(vec![1, length], vec![0; length]),
        "position_ids" => numbers(vec![1, length], (0..length as i64).collect()),
        "past_lengths" => numbers(vec![1], vec![0]),
        "num_logits_to_keep" => numbers(vec![1], vec![length as i64]),
        name if name.starts_with("past") => {
            let size = |dim: &Dim| match dim {
                Dim::Fixed(size) => *size as usize,
                Dim::Named(name) if name == "capacity" => length,
                Dim::Named(name) if name.contains("batch") => 1,
                Dim::Named(_) => 0,
            };
            let dtype = ElementType::ALL.into_iter().find(|dtype| dtype.name() == port.dtype)?;
            let shape: Vec<usize> = port.shape.iter().map(size).collect();
            let bytes = shape.iter().product::<usize>() * dtype.bytes();
            Tensor::new(dtype, shape, vec![0; bytes])
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(name: &str, dtype: &str, shape: Vec<Dim>) -> Port {
        Port { name: name.to_owned(), dtype: dtype.to_owned(), shape }
    }

    #[test]
    fn a_text_gives_the_inputs_of_a_language_model_and_no_others() {
        let named = |name: &str| Dim::Named(name.to_owned());
        let made = |p: &Port| of_text(p, &[5, 6, 7]);
        let ids = made(&port("input_ids", "i64", Vec::new())).unwrap();
        assert_eq!((ids.shape.as_slice(), ids.to_f64()), (&[1, 3][..], vec![5.0, 6.0, 7.0]));
        let shape = vec![named("batch"), Dim::Fixed(2), named("capacity"), Dim::Fixed(4)];
        let past = made(&port("past_key_values.0.key", "f32", shape)).unwrap();
        assert_eq!(past.shape, [1, 2, 3, 4]);
        let shape = vec![named("batch"), Dim::Fixed(2), named("past"), Dim::Fixed(4)];
        assert_eq!(made(&port("past_0", "f32", shape)).unwrap().shape, [1, 2, 0, 4]);
        assert_eq!(made(&port("pixels", "f32", Vec::new())), None);
        assert_eq!(made(&port("input_ids", "f32", Vec::new())), None);
    }

    #[test]
    fn recorded_items_are_given_by_name_in_the_types_of_the_graph() {
        let folder = std::env::temp_dir().join(format!("engine-samples-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).unwrap();
        let item = |x: f32| {
            let n = Tensor::of_i64(vec![1], &[3]);
            vec![("x".to_owned(), Tensor::of_f32(vec![1, 1], &[x])), ("n".to_owned(), n)]
        };
        let items = [item(0.5), item(1.5), item(2.5)];
        ItemFile::write(&folder, items.iter().map(Vec::as_slice)).unwrap();
        let open = |inputs: Vec<Port>, take| {
            let signature = Signature { inputs, outputs: Vec::new() };
            Samples::open(&folder, &signature, take, None)
        };
        let inputs = vec![port("x", "f16", Vec::new())];
        assert_eq!(open(inputs.clone(), None).unwrap().count, 3);
        let samples = open(inputs.clone(), Some(2)).unwrap();
        assert_eq!(samples.count, 2);
        let drawn = samples.draw(1).unwrap();
        let half = Tensor::of_f64(ElementType::F16, vec![1, 1], &[1.5]);
        assert_eq!(drawn, [("x".to_owned(), half)]);
        let more = [inputs, vec![port("mask", "i64", Vec::new())]].concat();
        let told = open(more, None).err().unwrap().to_string();
        assert!(told.contains("`mask") && told.contains("was not recorded"), "{told}");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
