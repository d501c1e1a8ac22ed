//! Rules of synthetic numbers and texts.

use rand::RngExt;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

use crate::data::ElementType;

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
pub(super) const WORDS: [&str; 16] = [
    "the", "fox", "and", "goose", "went", "home", "early", "one", "morning", "to", "see", "rain",
    "on", "green", "hills", "again",
];

/// Bytes of the longest of them, and of a length before it.
pub(super) const WORD_BYTES: usize = 4 + 7;

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
    pub(super) fn draw(self, shape: &[usize], generator: &mut Pcg64) -> Vec<f64> {
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
