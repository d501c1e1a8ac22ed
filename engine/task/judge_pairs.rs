//! Quality of embeddings of texts: whether each finds the text that belongs to it.

use super::inputs::{InputError, TensorInputs};
use super::judge::{JudgeError, Judged, MetricRequest};
use super::judge_matching::{Vectors, embedded};
use super::recorded::Item;
use super::retrieval::{Pairs, judge_retrieval};
use super::texts;
use super::{Beside, Origin};
use crate::backend::Session;

/// Texts that belong to others, and the item that each belongs to.
#[derive(Debug, Default)]
struct Partners {
    items: Vec<Item>,
    texts: Vec<String>,
    owners: Vec<usize>,
}

impl Partners {
    fn of(inputs: &TensorInputs, model: Beside<'_>, items: &[Item]) -> Result<Self, InputError> {
        let Origin::Texts(file) = &inputs.origin else { return Ok(Self::default()) };
        let mut out = Self::default();
        for (owner, item) in items.iter().enumerate() {
            out.texts.extend(item.pairs.iter().cloned());
            out.owners.extend(item.pairs.iter().map(|_| owner));
        }
        out.items = texts::made(&out.texts, file, &inputs.inputs, model)?;
        Ok(out)
    }
}

/// Judges one model against another under metrics of retrieval: each of `items`, which are texts,
/// looks for its pairs, and each of those for its item. `reference` is `None` when the variant is
/// its own. Also gives what became of the pairs, where that has to be told. `progress` is told the
/// share that is done.
pub fn judge_pairs(
    variant: &mut dyn Session,
    reference: Option<&mut dyn Session>,
    (inputs, model): (&TensorInputs, Beside<'_>),
    items: &[Item],
    metrics: &[MetricRequest],
    progress: &dyn Fn(f64),
) -> Result<(Vec<Judged>, Option<String>), JudgeError> {
    let partners = Partners::of(inputs, model, items)?;
    let sides = 1 + usize::from(reference.is_some());
    let total = (sides * (items.len() + partners.items.len())).max(1) as f64;
    let mut count = 0;
    let mut done = || {
        count += 1;
        progress(f64::from(count) / total);
    };
    let mut vectors = |session: &mut dyn Session| -> Result<[Vectors; 2], JudgeError> {
        let of = |items: &[Item]| items.iter().map(|item| item.inputs.clone()).collect::<Vec<_>>();
        let (own, others) = (of(items), of(&partners.items));
        Ok([
            Vectors::of(session, own.iter(), &mut done)?,
            Vectors::of(session, others.iter(), &mut done)?,
        ])
    };
    let own = vectors(variant)?;
    let other = reference.map(vectors).transpose()?;
    let asked: Vec<String> = items.iter().map(|item| item.texts.concat()).collect();
    let pairs = Pairs { owners: &partners.owners, texts: &partners.texts, items: Some(&asked) };
    let ids: Vec<&str> = metrics.iter().map(|metric| metric.metric.as_str()).collect();
    let (a, b) = (embedded(&own)?, other.as_ref().map(embedded).transpose()?);
    let found = judge_retrieval(&ids, &a, b.as_ref(), &pairs)?;
    let judged = ids.into_iter().zip(found);
    let judged =
        judged.map(|(id, documents)| Judged { metric: id.to_owned(), documents }).collect();
    Ok((judged, inputs.cut_note(&partners.items, "texts that belong to others")))
}
