//! Quality of models that compare pictures with texts: classes told in words, and retrieval.

use super::classify::{best_classes, judge_classes};
use super::inputs::{Beside, InputPort, Named, TensorInputs};
use super::judge::{JudgeError, Judged, MetricRequest};
use super::judge_tensors::{in_types_of, only_row};
use super::origin::Origin;
use super::pictures::Pictures;
use super::retrieval::{Embedded, Pairs, judge_retrieval, nearness};
use super::rows::Rows;
use super::texts;
use super::tokenizer::Tokens;
use crate::backend::Session;
use crate::data::Look;

/// The two parts of a model.
pub struct Side<'a> {
    pub image: &'a mut dyn Session,
    pub text: &'a mut dyn Session,
}

/// What is judged on, with the model that each part's inputs are made for.
pub struct Matter<'a> {
    pub images: (&'a TensorInputs, Beside<'a>),
    /// Inputs of the text part, and most tokens of a text.
    pub texts: (&'a [InputPort], usize, Beside<'a>),
    /// What a class is called in words, with `{label}` for its name.
    pub prompt: Option<&'a str>,
}

/// Embeddings of one side, row by row.
pub(super) struct Vectors {
    values: Vec<f32>,
    width: usize,
}

impl Vectors {
    /// One run for each of `inputs`, which `metrics` ask for.
    pub(super) fn of<'i>(
        session: &mut dyn Session,
        inputs: impl Iterator<Item = &'i Named>,
        metrics: &[MetricRequest],
        done: &mut dyn FnMut(),
    ) -> Result<Self, JudgeError> {
        let mut out = Self { values: Vec::new(), width: 0 };
        let metric = metrics.first().map_or("", |request| request.metric.as_str());
        for (item, given) in inputs.enumerate() {
            let given = in_types_of(session.signature(), given.clone());
            let row = only_row(&session.run(&given)?, item, metric)?;
            if item > 0 && row.len() != out.width {
                let what = format!("it has {} numbers, the first item {}", row.len(), out.width);
                return Err(JudgeError::Item { item, what });
            }
            out.width = row.len();
            out.values.extend(row);
            done();
        }
        Ok(out)
    }

    fn rows(&self) -> Result<Rows<'_>, JudgeError> {
        Rows::new(&self.values, self.width).ok_or(JudgeError::NoItems)
    }
}

pub(super) fn embedded([images, texts]: &[Vectors; 2]) -> Result<Embedded<'_>, JudgeError> {
    Ok(Embedded { items: images.rows()?, texts: texts.rows()? })
}

/// Judges one model against another under metrics that need both of its parts. `reference` is
/// `None` when the variant is its own. Also gives what became of the texts, where that has to be
/// told. `progress` is told the share that is done.
pub fn judge_matching(
    variant: Side<'_>,
    reference: Option<Side<'_>>,
    matter: &Matter<'_>,
    metrics: &[MetricRequest],
    progress: &dyn Fn(f64),
) -> Result<(Vec<Judged>, Option<String>), JudgeError> {
    let (images, beside) = matter.images;
    let Origin::Pictures(file) = &images.origin else { return Err(JudgeError::NoItems) };
    let pictures = Pictures::open(file, &images.inputs, beside, Look::Bytes)
        .map_err(super::InputError::from)?;
    let items = pictures.items().map_err(super::InputError::from)?;

    // What is compared with pictures: classes in words, or what was said of each picture.
    let mut owners = Vec::new();
    let words: Vec<String> = if let Some(prompt) = matter.prompt {
        pictures.labels().iter().map(|label| prompt.replace("{label}", label)).collect()
    } else {
        let said = items.iter().enumerate();
        let said = said.flat_map(|(item, known)| known.texts.iter().map(move |text| (item, text)));
        said.map(|(item, text)| {
            owners.push(item);
            text.clone()
        })
        .collect()
    };
    let (ports, longest, beside) = matter.texts;
    let tokens = Tokens::open(beside.kind, beside.path)
        .map_err(|error| super::InputError::from(texts::TextsError::from(error)))?;
    let texts = words.iter().map(|text| texts::item(text, None, longest, ports, &tokens));
    let texts: Vec<_> = texts.collect::<Result<_, _>>().map_err(super::InputError::from)?;

    let sides = 1 + usize::from(reference.is_some());
    let total = (sides * (items.len() + texts.len())).max(1) as f64;
    let mut count = 0;
    let mut done = || {
        count += 1;
        progress(f64::from(count) / total);
    };
    let mut vectors = |side: Side<'_>| -> Result<[Vectors; 2], JudgeError> {
        Ok([
            Vectors::of(side.image, items.iter().map(|item| &item.inputs), metrics, &mut done)?,
            Vectors::of(side.text, texts.iter().map(|item| &item.inputs), metrics, &mut done)?,
        ])
    };
    let own = vectors(variant)?;
    let other = reference.map(vectors).transpose()?;
    let other = other.as_ref();

    let by_class = |id: &str| {
        if matter.prompt.is_none() {
            return Err(JudgeError::Foreign { metric: id.to_owned() });
        }
        let right = items.iter().enumerate().map(|(item, known)| {
            let missing = || JudgeError::Item { item, what: "it has no class".to_owned() };
            known.class.map(|class| vec![class]).ok_or_else(missing)
        });
        let right: Vec<Vec<usize>> = right.collect::<Result<_, _>>()?;
        let scores = |[images, texts]: &[Vectors; 2]| nearness(images.rows()?, texts.rows()?);
        let (a, b) = (scores(&own)?, other.map(scores).transpose()?);
        let rows = |values| Rows::new(values, words.len()).ok_or(JudgeError::NoItems);
        let b = b.as_deref().map(rows).transpose()?;
        judge_classes(id, rows(&a)?, b, &right)
    };
    let mut judged = Vec::new();
    for request in metrics {
        let id = request.metric.as_str();
        let documents = if best_classes(id).is_some() {
            by_class(id)?
        } else {
            let (a, b) = (embedded(&own)?, other.map(embedded).transpose()?);
            let pairs = Pairs { owners: &owners, texts: &words, items: None };
            let mut all = judge_retrieval(&[id], &a, b.as_ref(), &pairs)?;
            all.pop().ok_or(JudgeError::NoItems)?
        };
        judged.push(Judged { metric: request.metric.clone(), documents });
    }
    Ok((judged, texts::cut_note(&texts, longest, "texts")))
}
