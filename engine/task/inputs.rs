//! Inputs of a graph by its signature: seeded numbers that are valid, or recorded ones.

use std::path::Path;

use rand::SeedableRng;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

use super::fill::{Fill, WORD_BYTES, WORDS};
use super::origin::Origin;
use super::pictures::{Pictures, PicturesError};
use super::recorded::{Item, Recorded, RecordedError};
use super::texts;
use crate::data::{ElementType, Look, Tensor};
use crate::model::Kind;

/// Tensors with their names, in the order of a signature.
pub type Named = Vec<(String, Tensor)>;

/// Largest input that is made, in bytes.
const LIMIT: usize = 4 << 30;

/// Everything that decides the inputs of requests and of judged items.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorInputs {
    pub inputs: Vec<InputPort>,
    /// Outputs that recorded files may hold.
    pub outputs: Vec<OutputPort>,
    /// Where they come from.
    pub origin: Origin,
}

/// One input with its shape resolved and the rule of its numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputPort {
    pub name: String,
    pub dtype: ElementType,
    pub shape: Vec<Size>,
    pub fill: Fill,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputPort {
    pub name: String,
    /// Its first dimension is the batch.
    pub batched: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Size {
    /// Items of the request.
    Batch,
    Fixed(usize),
    /// As recorded.
    Any,
}

impl InputPort {
    pub fn is_batched(&self) -> bool {
        self.shape.first() == Some(&Size::Batch)
    }

    /// A batch that is not its first dimension.
    pub fn has_inner_batch(&self) -> bool {
        self.shape.iter().skip(1).any(|size| *size == Size::Batch)
    }

    /// What it takes instead, where a tensor of one item with this shape does not fit.
    pub fn takes(&self, shape: &[usize]) -> Result<(), String> {
        let fits = |(size, &found): (&Size, &usize)| match *size {
            Size::Batch => found == 1,
            Size::Fixed(size) => found == size,
            Size::Any => true,
        };
        if self.shape.len() == shape.len() && self.shape.iter().zip(shape).all(fits) {
            return Ok(());
        }
        let side = |size: &Size| match *size {
            Size::Batch => "1".to_owned(),
            Size::Fixed(size) => size.to_string(),
            Size::Any => "any".to_owned(),
        };
        let sides: Vec<String> = self.shape.iter().map(side).collect();
        Err(format!("[{}]", sides.join(", ")))
    }

    fn sizes(&self, batch: usize) -> impl Iterator<Item = usize> {
        self.shape.iter().map(move |size| match *size {
            Size::Batch => batch,
            Size::Fixed(size) => size,
            Size::Any => 1,
        })
    }

    pub(super) fn draw(&self, batch: usize, generator: &mut Pcg64) -> Tensor {
        let shape: Vec<usize> = self.sizes(batch).collect();
        let values = self.fill.draw(&shape, generator);
        if self.dtype.is_text() {
            let word = |at: &f64| WORDS[*at as usize % WORDS.len()];
            let words: Vec<&str> = values.iter().map(word).collect();
            return Tensor::of_texts(shape, &words).expect("one short word for each place");
        }
        Tensor::of_f64(self.dtype, shape, &values)
    }

    /// Bytes of the input for a request of `batch` items; `None` beyond what is made.
    fn bytes(&self, batch: usize) -> Option<usize> {
        let mut sizes = self.sizes(batch);
        let each = if self.dtype.is_text() { WORD_BYTES } else { self.dtype.bytes() };
        let bytes = sizes.try_fold(each, usize::checked_mul)?;
        (bytes <= LIMIT).then_some(bytes)
    }
}

/// Items that synthetic inputs are judged on when the spec says nothing.
pub const JUDGED_ITEMS: u64 = 16;

impl TensorInputs {
    /// The same with every text cut and padded to `length` tokens; other inputs have no length to
    /// choose.
    pub fn cut_to(&self, length: Option<usize>) -> Self {
        let mut out = self.clone();
        if let Origin::Texts(file) = &mut out.origin {
            file.length = length;
        }
        out
    }

    /// Items to judge on: all that are asked for, or `count` synthetic ones. Tokenizer and
    /// configuration of pictures are those that lie with `model`.
    pub fn items(&self, model: Beside<'_>, count: u64, seed: u64) -> Result<Vec<Item>, InputError> {
        match &self.origin {
            Origin::Recorded(file) => {
                Ok(Recorded::open(file, &self.inputs, &self.outputs)?.items(file))
            }
            Origin::Texts(file) => Ok(texts::items(file, &self.inputs, model)?),
            Origin::Pictures(file) => {
                Ok(Pictures::open(file, &self.inputs, model, Look::Bytes)?.items()?)
            }
            Origin::Synthetic => {
                self.affordable(1)?;
                let mut generator = Pcg64::seed_from_u64(seed);
                let mut draw = || {
                    let drawn =
                        self.inputs.iter().map(|p| (p.name.clone(), p.draw(1, &mut generator)));
                    Item { inputs: drawn.collect(), ..Item::default() }
                };
                Ok((0..count).map(|_| draw()).collect())
            }
        }
    }

    /// As [`TensorInputs::items`], with the items that belong to each of them: other texts where the
    /// data has pairs of texts, none elsewhere.
    pub fn pairs(
        &self,
        model: Beside<'_>,
        count: u64,
        seed: u64,
    ) -> Result<(Vec<Item>, Vec<Vec<Item>>), InputError> {
        match &self.origin {
            Origin::Texts(file) => Ok(texts::paired(file, &self.inputs, model)?),
            _ => Ok((self.items(model, count, seed)?, Vec::new())),
        }
    }

    /// How many of `items`, made of these inputs, are `texts` that lost tokens; `None` where none
    /// did.
    pub fn cut_note<'i>(
        &self,
        items: impl IntoIterator<Item = &'i Item>,
        texts: &str,
    ) -> Option<String> {
        let Origin::Texts(file) = &self.origin else { return None };
        let most = file.length.map_or(file.most, |length| length.min(file.most));
        texts::cut_note(items, most, texts)
    }

    pub(super) fn affordable(&self, batch: usize) -> Result<(), RecordedError> {
        match self.inputs.iter().find(|port| port.bytes(batch).is_none()) {
            Some(port) => Err(RecordedError::Large { input: port.name.clone() }),
            None => Ok(()),
        }
    }
}

/// Why inputs cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    #[error(transparent)]
    Recorded(#[from] RecordedError),
    #[error(transparent)]
    Texts(#[from] texts::TextsError),
    #[error(transparent)]
    Pictures(#[from] PicturesError),
}

/// A model, for what lies with it.
#[derive(Debug, Clone, Copy)]
pub struct Beside<'a> {
    pub kind: Kind,
    /// As for an artifact: a folder, a GGUF file or a graph.
    pub path: &'a Path,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::draw::Requests;
    use super::*;

    /// No model: for inputs that ask none.
    pub fn nowhere() -> Beside<'static> {
        Beside { kind: Kind::Onnx, path: Path::new("") }
    }

    pub fn input(name: &str, dtype: ElementType, shape: &[Size]) -> InputPort {
        let fill = Fill::of(name, dtype, None);
        InputPort { name: name.to_owned(), dtype, shape: shape.to_vec(), fill }
    }

    fn synthetic(inputs: Vec<InputPort>) -> TensorInputs {
        TensorInputs { inputs, outputs: Vec::new(), origin: Origin::Synthetic }
    }

    #[test]
    fn one_seed_gives_every_variant_the_same_fresh_requests() {
        use ElementType::{Bool, F32, I64};
        let inputs = synthetic(vec![
            input("x", F32, &[Size::Batch, Size::Fixed(3)]),
            input("attention_mask", I64, &[Size::Batch, Size::Fixed(2)]),
            input("flag", Bool, &[]),
        ]);
        let draw = |seed| {
            let mut requests = Requests::open(&inputs, nowhere(), 4, seed).unwrap();
            let mut draw = || requests.draw(&|| 0).unwrap().inputs;
            (draw(), draw())
        };
        let (first, second) = draw(3);
        assert_eq!((&first, &second), (&draw(3).0, &draw(3).1));
        assert!(first != second && first != draw(4).0);
        let shapes: Vec<_> = first.iter().map(|(_, tensor)| tensor.shape.clone()).collect();
        assert_eq!(shapes, [vec![4, 3], vec![4, 2], vec![]]);
        assert_eq!(first[1].1.to_f64(), [1.0; 8]);
    }

    #[test]
    fn numbers_follow_the_rule_of_their_input() {
        use ElementType::{F32, I32, I64, String, U8};
        let of = |name: &str, dtype, rows| Fill::of(name, dtype, rows);
        assert_eq!(of("input_ids", I64, Some(512)), Fill::Rows(512));
        assert_eq!(of("token_type_ids", I64, Some(2)), Fill::Rows(2));
        assert_eq!(of("token_type_ids", I64, None), Fill::Zeros);
        assert_eq!(of("position_ids", I32, None), Fill::Steps);
        assert_eq!(of("attention_mask", F32, None), Fill::Normal);
        assert_eq!(of("image", U8, None), Fill::Below(256));
        assert_eq!(of("n", I64, None), Fill::Below(2));
        assert_eq!(of("mask", String, None), Fill::Words);
        assert!(WORDS.iter().all(|word| word.len() + 4 <= WORD_BYTES));
        let mut generator = Pcg64::seed_from_u64(1);
        let drawn = input("words", String, &[Size::Batch, Size::Fixed(50)]).draw(2, &mut generator);
        let texts = drawn.texts().unwrap();
        assert_eq!((drawn.shape.as_slice(), texts.len()), (&[2, 50][..], 100));
        assert!(texts.iter().all(|text| WORDS.contains(text)) && texts.contains(&"fox"));
        let ids = Fill::Rows(7).draw(&[1000], &mut generator);
        assert!(ids.iter().all(|&id| (0.0..7.0).contains(&id)) && ids.contains(&6.0));
        assert_eq!(Fill::Steps.draw(&[2, 3], &mut generator), [0.0, 1.0, 2.0, 0.0, 1.0, 2.0]);
        let numbers = Fill::Normal.draw(&[20_000], &mut generator);
        let mean = numbers.iter().sum::<f64>() / 20_000.0;
        let square = numbers.iter().map(|x| x * x).sum::<f64>() / 20_000.0;
        // Four standard errors.
        assert!(mean.abs() < 4.0 / 20_000_f64.sqrt(), "{mean}");
        assert!((square - 1.0).abs() < 4.0 * (2.0 / 20_000_f64).sqrt(), "{square}");
    }

    #[test]
    fn an_input_beyond_any_memory_is_refused_before_it_is_made() {
        let huge = input("x", ElementType::F32, &[Size::Fixed(usize::MAX / 2), Size::Batch]);
        let inputs = synthetic(vec![huge]);
        assert!(matches!(
            inputs.items(nowhere(), 1, 0),
            Err(InputError::Recorded(RecordedError::Large { .. }))
        ));
        assert!(Requests::open(&inputs, nowhere(), 2, 0).is_err());
    }
}
