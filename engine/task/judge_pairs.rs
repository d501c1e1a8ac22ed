//! Quality of embeddings of texts: whether each finds the text that belongs to it.

use super::judge::{JudgeError, Judged, MetricRequest};
use super::judge_matching::{Vectors, embedded};
use super::recorded::Item;
use super::retrieval::{Pairs, judge_retrieval};
use crate::backend::Session;

/// Judges one model against another under metrics of retrieval: each of `items`, which are texts,
/// looks for those of `others` that belong to it, and each of those for its item. `reference` is
/// `None` when the variant is its own. `progress` is told the share that is done.
pub fn judge_pairs(
    variant: &mut dyn Session,
    reference: Option<&mut dyn Session>,
    items: &[Item],
    others: &[Vec<Item>],
    metrics: &[MetricRequest],
    progress: &dyn Fn(f64),
) -> Result<Vec<Judged>, JudgeError> {
    let partners = || others.iter().flatten();
    let sides = 1 + usize::from(reference.is_some());
    let total = (sides * (items.len() + partners().count())).max(1) as f64;
    let mut count = 0;
    let mut done = || {
        count += 1;
        progress(f64::from(count) / total);
    };
    let mut vectors = |session: &mut dyn Session| -> Result<[Vectors; 2], JudgeError> {
        Ok([
            Vectors::of(session, items.iter().map(|item| &item.inputs), metrics, &mut done)?,
            Vectors::of(session, partners().map(|item| &item.inputs), metrics, &mut done)?,
        ])
    };
    let own = vectors(variant)?;
    let other = reference.map(vectors).transpose()?;
    let said = |item: &Item| item.texts.concat();
    let (asked, texts): (Vec<String>, Vec<String>) =
        (items.iter().map(said).collect(), partners().map(said).collect());
    let owners: Vec<usize> =
        others.iter().enumerate().flat_map(|(owner, own)| vec![owner; own.len()]).collect();
    let pairs = Pairs { owners: &owners, texts: &texts, items: Some(&asked) };
    let ids: Vec<&str> = metrics.iter().map(|metric| metric.metric.as_str()).collect();
    let (a, b) = (embedded(&own)?, other.as_ref().map(embedded).transpose()?);
    let found = judge_retrieval(&ids, &a, b.as_ref(), &pairs)?;
    let judged = ids.into_iter().zip(found);
    Ok(judged.map(|(id, documents)| Judged { metric: id.to_owned(), documents }).collect())
}
