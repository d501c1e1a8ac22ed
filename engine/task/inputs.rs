//! Inputs of a graph by its signature: seeded numbers that are valid, or recorded ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::pictures::{Pictures, PicturesError};
use super::recorded::{Item, Recorded, RecordedError};
use super::texts;
use crate::base::Digest;
use crate::data::{ElementType, Tensor};
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

/// Where inputs come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Origin {
    /// Made by the rules of the ports.
    Synthetic,
    Recorded(RecordedFile),
    /// Made from texts by the tokenizer that lies beside the model.
    Texts(TextFile),
    /// Made from pictures as the configuration beside the model says.
    Pictures(PictureFile),
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

/// Where recorded tensors are, and which of them are used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedFile {
    pub path: PathBuf,
    pub digest: Digest,
    pub take: Option<u64>,
    pub seed: Option<u64>,
}

impl RecordedFile {
    /// What it holds and which part of it is used, for keys: not where it lies.
    pub fn facts(&self) -> Value {
        json!({"digest": self.digest, "take": self.take, "seed": self.seed})
    }
}

/// Texts, and how they become inputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextFile {
    pub path: PathBuf,
    pub digest: Digest,
    /// Of each JSON line.
    pub field: String,
    pub take: Option<u64>,
    pub seed: Option<u64>,
    /// Every text is cut and padded to this many tokens; each has its own length where absent.
    pub length: Option<usize>,
    /// Most tokens of a text.
    pub most: usize,
}

/// Pictures, and which of them are used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PictureFile {
    pub path: PathBuf,
    pub digest: Digest,
    /// Of each JSON line or row: the picture, its class and its text.
    pub image: String,
    pub label: Option<String>,
    pub field: Option<String>,
    pub take: Option<u64>,
    pub seed: Option<u64>,
    /// Names of pictures that were found to be of no use, so that nobody has to find out again.
    pub left_out: Vec<String>,
}

/// The package that turns texts into tokens, with its version.
pub fn tokenizer_version() -> [(String, String); 1] {
    [("tokenizers".to_owned(), env!("ENGINE_TOKENIZERS_VERSION").to_owned())]
}

impl Origin {
    /// What decides the inputs, for keys: not where it lies. Null for synthetic ones.
    pub fn facts(&self) -> Value {
        match self {
            Self::Synthetic => Value::Null,
            Self::Recorded(file) => file.facts(),
            Self::Texts(file) => json!({
                "texts": file.digest, "field": file.field, "take": file.take, "seed": file.seed,
                "length": file.length, "most": file.most,
            }),
            Self::Pictures(file) => json!({
                "pictures": file.digest, "image": file.image, "label": file.label,
                "field": file.field, "take": file.take, "seed": file.seed,
            }),
        }
    }

    /// Versions of the packages that turn the data into inputs, for keys.
    pub fn versions(&self) -> BTreeMap<String, String> {
        let one = match self {
            Self::Synthetic | Self::Recorded(_) => None,
            Self::Texts(_) => Some(tokenizer_version()),
            Self::Pictures(_) => {
                Some([("image".to_owned(), env!("ENGINE_IMAGE_VERSION").to_owned())])
            }
        };
        one.into_iter().flatten().collect()
    }

    pub fn is_synthetic(&self) -> bool {
        *self == Self::Synthetic
    }

    /// Whether what lies beside the model decides the inputs.
    pub fn asks_the_model(&self) -> bool {
        matches!(self, Self::Texts(_) | Self::Pictures(_))
    }
}

/// The rule of an input's synthetic numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fill {
    /// From the normal distribution with mean 0 and deviation 1.
    Normal,
    /// Whole numbers from 0, each equally likely, below the rows of the table they look up.
    Rows(u64),
    /// Whole numbers from 0 below this, each equally likely.
    Below(u64),
    Ones,
    Zeros,
    /// 0, 1, 2, … along the last dimension.
    Steps,
    /// True or false, each equally likely.
    Coin,
    /// One of a few words, each equally likely.
    Words,
}

/// What synthetic texts are.
const WORDS: [&str; 16] = [
    "the", "fox", "and", "goose", "went", "home", "early", "one", "morning", "to", "see", "rain",
    "on", "green", "hills", "again",
];

/// Bytes of the longest of them, and of a length before it.
const WORD_BYTES: usize = 4 + 7;

impl Fill {
    /// The rule for input `name` of type `dtype`; `rows` of the smallest table it looks up, where
    /// that is known. Names decide only about whole numbers that are not looked up: a mask hides
    /// nothing, types are 0, positions count, anything else is 0 or 1.
    pub fn of(name: &str, dtype: ElementType, rows: Option<u64>) -> Self {
        let lower = name.to_ascii_lowercase();
        let has = |part: &str| lower.contains(part);
        match (dtype, rows) {
            (ElementType::Bool, _) => Self::Coin,
            (ElementType::String, _) => Self::Words,
            (dtype, _) if dtype.is_float() => Self::Normal,
            (ElementType::U8, None) => Self::Below(256),
            (ElementType::I8 | ElementType::U8, Some(rows)) => Self::Rows(rows.clamp(1, 128)),
            (_, Some(rows)) => Self::Rows(rows.max(1)),
            _ if has("mask") => Self::Ones,
            _ if has("type") || has("segment") => Self::Zeros,
            _ if has("position") => Self::Steps,
            _ => Self::Below(2),
        }
    }

    /// In words, for the notes of a report.
    pub fn words(self) -> String {
        match self {
            Self::Normal => "normal numbers of mean 0 and deviation 1".into(),
            Self::Rows(rows) => {
                format!("whole numbers below {rows}, the rows of the smallest table looked up")
            }
            Self::Below(end) => format!("whole numbers below {end}"),
            Self::Ones => "ones".into(),
            Self::Zeros => "zeros".into(),
            Self::Steps => "0, 1, 2, … along the last dimension".into(),
            Self::Coin => "true or false".into(),
            Self::Words => format!("words out of {}, such as `{}`", WORDS.len(), WORDS[1]),
        }
    }

    /// Numbers, or of words their places in the list.
    fn draw(self, shape: &[usize], generator: &mut Pcg64) -> Vec<f64> {
        let count = shape.iter().product();
        match self {
            Self::Normal => (0..count).map(|_| normal(generator)).collect(),
            Self::Rows(end) | Self::Below(end) => {
                (0..count).map(|_| generator.random_range(0..end.max(1)) as f64).collect()
            }
            Self::Ones => vec![1.0; count],
            Self::Zeros => vec![0.0; count],
            Self::Steps => {
                let last = shape.last().copied().unwrap_or(1).max(1);
                (0..count).map(|at| (at % last) as f64).collect()
            }
            Self::Coin => {
                (0..count).map(|_| f64::from(u8::from(generator.random::<bool>()))).collect()
            }
            Self::Words => {
                (0..count).map(|_| generator.random_range(0..WORDS.len()) as f64).collect()
            }
        }
    }
}

/// Box and Muller's transformation of two uniform numbers.
fn normal(generator: &mut Pcg64) -> f64 {
    let (a, b): (f64, f64) = (generator.random(), generator.random());
    (-2.0 * (1.0 - a).ln()).sqrt() * (std::f64::consts::TAU * b).cos()
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

    fn draw(&self, batch: usize, generator: &mut Pcg64) -> Tensor {
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
            Origin::Pictures(file) => Ok(Pictures::open(file, &self.inputs, model)?.items()?),
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

    fn affordable(&self, batch: usize) -> Result<(), RecordedError> {
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

/// An endless, seeded sequence of requests. The same seed gives the same inputs to every variant.
pub struct Requests<'a> {
    ports: &'a [InputPort],
    from: Pool,
    batch: usize,
    generator: Pcg64,
}

/// A model, for what lies with it.
#[derive(Debug, Clone, Copy)]
pub struct Beside<'a> {
    pub kind: Kind,
    /// As for an artifact: a folder, a GGUF file or a graph.
    pub path: &'a Path,
}

/// What requests are drawn from, with replacement.
enum Pool {
    /// Rules of the ports.
    Rules,
    Items(Vec<Item>),
    /// Decoded for every request, because that is part of what is measured.
    Pictures(Box<Pictures>),
}

/// The inputs of a request, and what making them took.
#[derive(Debug, Default)]
pub struct Drawn {
    pub inputs: Named,
    /// Nanoseconds spent on reading and decoding pictures.
    pub decode: Option<u64>,
    /// Nanoseconds spent on turning pictures into tensors.
    pub preprocess: Option<u64>,
}

impl<'a> Requests<'a> {
    /// Requests of `batch` items; `model` as for [`TensorInputs::items`].
    pub fn open(
        inputs: &'a TensorInputs,
        model: Beside<'_>,
        batch: usize,
        seed: u64,
    ) -> Result<Self, InputError> {
        let from = match &inputs.origin {
            Origin::Synthetic => {
                inputs.affordable(batch)?;
                Pool::Rules
            }
            Origin::Pictures(file) => {
                let pictures = Pictures::open(file, &inputs.inputs, model)?;
                if batch > 1 && !pictures.are_alike() {
                    return Err(PicturesError::Unlike.into());
                }
                Pool::Pictures(Box::new(pictures))
            }
            _ => Pool::Items(inputs.items(model, 0, 0)?),
        };
        if let Pool::Items(items) = &from
            && batch > 1
        {
            side_by_side(&inputs.inputs, items)?;
        }
        let generator = Pcg64::seed_from_u64(seed);
        Ok(Self { ports: &inputs.inputs, from, batch, generator })
    }

    /// The inputs of the next request. `now` is a clock in nanoseconds.
    pub fn draw(&mut self, now: &dyn Fn() -> u64) -> Result<Drawn, InputError> {
        let (batch, generator) = (self.batch, &mut self.generator);
        match &mut self.from {
            Pool::Rules => {
                let drawn = self.ports.iter().map(|p| (p.name.clone(), p.draw(batch, generator)));
                Ok(Drawn { inputs: drawn.collect(), ..Drawn::default() })
            }
            Pool::Items(items) => {
                let chosen: Vec<&Item> =
                    (0..batch).map(|_| &items[generator.random_range(0..items.len())]).collect();
                Ok(Drawn { inputs: joined(self.ports, &chosen), ..Drawn::default() })
            }
            Pool::Pictures(pictures) => {
                let mut drawn = Drawn { decode: Some(0), preprocess: Some(0), ..Drawn::default() };
                let mut chosen = Vec::with_capacity(batch);
                for _ in 0..batch {
                    let at = generator.random_range(0..pictures.count());
                    let begin = now();
                    let picture = pictures.decode(at)?;
                    let decoded = now();
                    let inputs = pictures.tensors(&picture)?;
                    let done = now();
                    drawn.decode = drawn.decode.map(|sum| sum + (decoded - begin));
                    drawn.preprocess = drawn.preprocess.map(|sum| sum + (done - decoded));
                    chosen.push(Item { inputs, ..Item::default() });
                }
                drawn.inputs = joined(self.ports, &chosen.iter().collect::<Vec<_>>());
                Ok(drawn)
            }
        }
    }
}

/// Batched inputs of the items one after the other, the others as in the first item.
fn joined(ports: &[InputPort], chosen: &[&Item]) -> Named {
    let mut out = chosen[0].inputs.clone();
    for (at, port) in ports.iter().enumerate().filter(|(_, port)| port.is_batched()) {
        for item in &chosen[1..] {
            out[at].1.bytes.extend_from_slice(&item.inputs[at].1.bytes);
        }
        debug_assert_eq!(port.name, out[at].0);
        out[at].1.shape[0] *= chosen.len();
    }
    out
}

/// Items of one request must agree in everything but the contents of batched inputs.
fn side_by_side(ports: &[InputPort], items: &[Item]) -> Result<(), RecordedError> {
    let first = &items[0];
    for (number, item) in items.iter().enumerate() {
        for (at, port) in ports.iter().enumerate() {
            let (a, b) = (&first.inputs[at].1, &item.inputs[at].1);
            let fits = match (port.has_inner_batch(), port.is_batched()) {
                (true, _) => false,
                (false, true) => a.shape == b.shape,
                (false, false) => a == b,
            };
            if !fits {
                let input = port.name.clone();
                return Err(RecordedError::Unlike { input, item: number });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
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
