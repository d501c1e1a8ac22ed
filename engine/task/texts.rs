//! Texts as inputs of a network: token ids, and a mask of those that count.

use super::inputs::{Beside, InputPort, Named};
use super::origin::TextFile;
use super::recorded::Item;
use super::tokenizer::{TokenizerError, Tokens};
use crate::data::{DataError, Document, Tensor, Texts};

#[derive(Debug, thiserror::Error)]
pub enum TextsError {
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    #[error("`{0}` changed while it was used")]
    Changed(String),
    #[error(
        "input `{0}` is neither `input_ids` nor `attention_mask` nor `token_type_ids`, so texts cannot be given"
    )]
    Input(String),
}

/// The texts of `file`, one item each.
pub fn items(
    file: &TextFile,
    ports: &[InputPort],
    model: Beside<'_>,
) -> Result<Vec<Item>, TextsError> {
    let (documents, tokens) = opened(file, model)?;
    let item = |text: &Document| item(&text.text, file.length, file.most, ports, &tokens);
    documents.iter().map(item).collect()
}

/// The texts of `file`, one item each, and the texts that belong to each of them.
pub fn paired(
    file: &TextFile,
    ports: &[InputPort],
    model: Beside<'_>,
) -> Result<(Vec<Item>, Vec<Vec<Item>>), TextsError> {
    let (documents, tokens) = opened(file, model)?;
    let item = |text: &String| item(text, file.length, file.most, ports, &tokens);
    let pair = |text: &Document| {
        let others = text.pairs.iter().map(item).collect::<Result<_, _>>()?;
        Ok::<_, TextsError>((item(&text.text)?, others))
    };
    let pairs: Result<Vec<_>, _> = documents.iter().map(pair).collect();
    Ok(pairs?.into_iter().unzip())
}

/// What the file holds, if it is what was looked at before, and the model's tokenizer.
fn opened(file: &TextFile, model: Beside<'_>) -> Result<(Vec<Document>, Tokens), TextsError> {
    let texts = Texts::choose(&file.path, &file.choice())?;
    if texts.digest != file.digest {
        return Err(TextsError::Changed(file.path.display().to_string()));
    }
    Ok((texts.documents, Tokens::open(model.kind, model.path)?))
}

/// How many of `items`, which are `texts`, lost tokens because they have more than `most`.
pub fn cut_note<'i>(
    items: impl IntoIterator<Item = &'i Item>,
    most: usize,
    texts: &str,
) -> Option<String> {
    let (mut count, mut cut) = (0, 0);
    for item in items {
        count += 1;
        cut += usize::from(item.cut);
    }
    let (are, were) = if cut == 1 { ("is", "was") } else { ("are", "were") };
    (cut > 0)
        .then(|| format!("{cut} of {count} {texts} {are} longer than {most} tokens and {were} cut"))
}

/// One text as an item of `length` tokens, or of as many as it has, at most `most`.
pub fn item(
    text: &str,
    length: Option<usize>,
    most: usize,
    ports: &[InputPort],
    tokens: &Tokens,
) -> Result<Item, TextsError> {
    let (ids, cut) = tokens.encode_text(text, length.map_or(most, |length| length.min(most)))?;
    let length = length.unwrap_or(ids.len());
    let inputs = row(&ids, length, tokens.pad(), ports)?;
    Ok(Item { inputs, texts: vec![text.to_owned()], cut, ..Item::default() })
}

/// `ids` padded to `length` as (1, length), for every port by its name.
fn row(ids: &[u32], length: usize, pad: u32, ports: &[InputPort]) -> Result<Named, TextsError> {
    let values = |value: &dyn Fn(usize) -> i64| -> Vec<f64> {
        (0..length).map(|at| value(at) as f64).collect()
    };
    let port = |port: &InputPort| {
        let values = match port.name.as_str() {
            "input_ids" => values(&|at| i64::from(ids.get(at).copied().unwrap_or(pad))),
            "attention_mask" => values(&|at| i64::from(at < ids.len())),
            "token_type_ids" => values(&|_| 0),
            other => return Err(TextsError::Input(other.to_owned())),
        };
        Ok((port.name.clone(), Tensor::of_f64(port.dtype, vec![1, length], &values)))
    };
    ports.iter().map(port).collect()
}

#[cfg(test)]
mod tests {
    use super::super::inputs::{Size, tests::input};
    use super::*;
    use crate::data::ElementType;

    #[test]
    fn texts_that_are_cut_are_counted() {
        let items = [true, false, true].map(|cut| Item { cut, ..Item::default() });
        let note = cut_note(&items, 256, "texts").unwrap();
        assert_eq!(note, "2 of 3 texts are longer than 256 tokens and were cut");
        let note = cut_note(&items[..2], 8, "texts").unwrap();
        assert_eq!(note, "1 of 2 texts is longer than 8 tokens and was cut");
        assert_eq!(cut_note(&items[1..2], 8, "texts"), None);
    }

    #[test]
    fn a_text_is_padded_behind_and_the_mask_says_so() {
        let shape = [Size::Batch, Size::Fixed(4)];
        let ports = ["input_ids", "attention_mask", "token_type_ids"]
            .map(|name| input(name, ElementType::I64, &shape));
        let row_of = |ids: &[u32], length| -> Vec<Vec<f64>> {
            row(ids, length, 9, &ports).unwrap().iter().map(|(_, t)| t.to_f64()).collect()
        };
        assert_eq!(
            row_of(&[5, 6], 4),
            [[5.0, 6.0, 9.0, 9.0], [1.0, 1.0, 0.0, 0.0], [0.0; 4]].map(|r| r.to_vec())
        );
        assert_eq!(row_of(&[5, 6], 2)[1], [1.0, 1.0]);
        let foreign = [input("pixels", ElementType::F32, &shape)];
        assert!(
            matches!(row(&[1], 4, 0, &foreign), Err(TextsError::Input(name)) if name == "pixels")
        );
    }
}
