//! Quality of graphs: how far outputs lie from those of the reference, item by item.
//!
//! Errors and cosine are taken over all floating outputs of an item together. Items count equally,
//! whatever their size: each is one document of the record.

use super::classify::{best_classes, judge_classes};
use super::inputs::Named;
use super::judge::{Against, JudgeError, Judged, MetricRequest};
use super::recorded::Item;
use super::rows::Rows;
use crate::backend::{BackendError, Session};
use crate::data::{ElementType, Tensor};
use crate::measure::MOST_DECIBELS;
use crate::model::Signature;
use crate::record::DocumentScore;

/// Judges `variant` on `items` against `reference`, or against recorded outputs where a metric
/// asks for them. `progress` is told the share that is done.
///
/// `reference` is `None` when the variant is its own reference: it then runs once and agrees with
/// itself. `classes` are the names of the classes whose scores come out, where those are known.
pub fn judge_tensors(
    variant: &mut dyn Session,
    mut reference: Option<&mut dyn Session>,
    items: &[Item],
    classes: &[String],
    metrics: &[MetricRequest],
    progress: &dyn Fn(f64),
) -> Result<Vec<Judged>, JudgeError> {
    let mut scores: Vec<Vec<DocumentScore>> = vec![Vec::new(); metrics.len()];
    let compared = metrics.iter().any(|metric| metric.against == Against::Reference);
    for (number, item) in items.iter().enumerate() {
        let own = run(variant, &item.inputs)?;
        let other = match &mut reference {
            Some(reference) if compared => Some(run(*reference, &item.inputs)?),
            _ => None,
        };
        for (metric, all) in metrics.iter().zip(&mut scores) {
            if best_classes(&metric.metric).is_some() {
                let right = [right_classes(item, number, classes)?];
                let scores = |of: &Named| class_scores(of, number, classes, &metric.metric);
                let (a, b) = (scores(&own)?, other.as_ref().map(scores).transpose()?);
                let rows = |scores| Rows::new(scores, a.len()).ok_or(JudgeError::NoItems);
                let b = match &b {
                    Some(b) => Some(Rows::new(b, b.len()).ok_or(JudgeError::NoItems)?),
                    None => None,
                };
                let judged = judge_classes(&metric.metric, rows(&a)?, b, &right);
                all.extend(judged.map_err(|error| error.of_item(number))?);
                continue;
            }
            let against = match metric.against {
                Against::Reference => other.as_ref().unwrap_or(&own),
                Against::Expected => &item.expected,
            };
            let pairs = paired(&own, against, number)?;
            all.push(score(&metric.metric, &pairs, number)?);
        }
        progress((number + 1) as f64 / items.len() as f64);
    }
    if scores.iter().any(Vec::is_empty) {
        return Err(JudgeError::NoItems);
    }
    let ids = metrics.iter().map(|m| m.metric.clone());
    Ok(ids.zip(scores).map(|(metric, documents)| Judged { metric, documents }).collect())
}

/// The only floating output of item number `item`, as one row of numbers; `metric` asks for it.
pub(super) fn only_row(outputs: &Named, item: usize, metric: &str) -> Result<Vec<f32>, JudgeError> {
    let mut floats = outputs.iter().filter(|(_, tensor)| tensor.dtype.is_float());
    let (name, tensor) =
        floats.next().ok_or_else(|| JudgeError::NoFloats { metric: metric.to_owned() })?;
    let unlike = |what: String| JudgeError::Outputs { output: name.clone(), item, what };
    if let Some((other, _)) = floats.next() {
        return Err(unlike(format!("`{other}` may be what is asked for as well")));
    }
    if tensor.shape.iter().filter(|&&side| side != 1).count() > 1 {
        return Err(unlike(format!("{:?} is no row of numbers", tensor.shape)));
    }
    Ok(tensor.to_f64().into_iter().map(|value| value as f32).collect())
}

/// Class scores of item number `item`, as many as there are `classes` where those have names.
fn class_scores(
    outputs: &Named,
    item: usize,
    classes: &[String],
    metric: &str,
) -> Result<Vec<f32>, JudgeError> {
    let scores = only_row(outputs, item, metric)?;
    if classes.is_empty() || classes.len() == scores.len() {
        return Ok(scores);
    }
    let what = format!("there are {} scores for {} named classes", scores.len(), classes.len());
    Err(JudgeError::Item { item, what })
}

/// The numbers of an item's class: wherever its name stands among the model's classes, or the name
/// itself if it is a number. A model that names no classes leaves no other way to know.
fn right_classes(item: &Item, number: usize, classes: &[String]) -> Result<Vec<usize>, JudgeError> {
    let fault = |what: String| JudgeError::Item { item: number, what };
    let Some(label) = &item.label else { return Err(fault("it has no class".to_owned())) };
    let named: Vec<usize> = (0..classes.len()).filter(|&class| classes[class] == *label).collect();
    if !named.is_empty() {
        return Ok(named);
    }
    label.parse().map(|class| vec![class]).map_err(|_| {
        let label = crate::base::text::inert(label);
        fault(match classes.len() {
            0 => format!(
                "its class is `{label}`, and the model names no classes: `id2label` of `config.json` beside it would, or labels that are numbers"
            ),
            count => format!("its class `{label}` is none of the model's {count}"),
        })
    })
}

/// How far rows of the variant lie from those of the reference, for a metric of outputs: `cosine`,
/// `snr`, `max_abs_error`, `mean_abs_error` or `top1_agreement`, one document for each row.
/// `reference` is `None` when the variant is its own.
pub fn judge_rows(
    metric: &str,
    variant: Rows<'_>,
    reference: Option<Rows<'_>>,
) -> Result<Vec<DocumentScore>, JudgeError> {
    let reference = reference.unwrap_or(variant);
    if reference.width() != variant.width() {
        let (variant, reference) = (variant.width(), reference.width());
        return Err(JudgeError::RowWidths { variant, reference });
    }
    if reference.len() != variant.len() {
        return Err(JudgeError::Items { outputs: variant.len(), items: reference.len() });
    }
    if variant.is_empty() {
        return Err(JudgeError::NoItems);
    }
    let wide = |row: &[f32]| -> Vec<f64> { row.iter().copied().map(f64::from).collect() };
    let score = |item| {
        let (own, other) = (wide(variant.row(item)), wide(reference.row(item)));
        if metric != "top1_agreement" {
            return distance(metric, &own, &other, item);
        }
        if own.iter().chain(&other).any(|value| value.is_nan()) {
            return Err(JudgeError::OutputNotFinite { item });
        }
        let same = f64::from(u8::from(largest(&own) == largest(&other)));
        Ok(DocumentScore { positions: 1, sum: same, reference_sum: 1.0 })
    };
    (0..variant.len()).map(score).collect()
}

/// Runs with inputs in the element types that this graph takes: a variant may take halves where
/// the reference takes floats.
fn run(session: &mut dyn Session, inputs: &Named) -> Result<Named, BackendError> {
    let inputs = in_types_of(session.signature(), inputs.clone());
    session.run(&inputs)
}

/// `inputs` with floating numbers in the types of `signature`.
pub fn in_types_of(signature: &Signature, inputs: Named) -> Named {
    let convert = |(name, tensor): (String, Tensor)| {
        let port = signature.inputs.iter().find(|port| port.name == name);
        let wanted = port.and_then(|port| ElementType::parse(&port.dtype));
        let tensor = match wanted {
            Some(to) if to != tensor.dtype && to.is_float() && tensor.dtype.is_float() => {
                Tensor::of_f64(to, tensor.shape.clone(), &tensor.to_f64())
            }
            _ => tensor,
        };
        (name, tensor)
    };
    inputs.into_iter().map(convert).collect()
}

/// Outputs of the variant beside those they are compared with, in the order of the latter.
fn paired<'a>(
    own: &'a Named,
    others: &'a Named,
    item: usize,
) -> Result<Vec<(&'a Tensor, &'a Tensor)>, JudgeError> {
    if others.is_empty() {
        return Err(JudgeError::NothingExpected { item });
    }
    let pair = |(name, other): &'a (String, Tensor)| {
        let found = own.iter().find(|(known, _)| known == name).map(|(_, tensor)| tensor);
        let unlike = |what: String| JudgeError::Outputs { output: name.clone(), item, what };
        let own = found.ok_or_else(|| unlike("the variant has no such output".into()))?;
        // Recordings often drop dimensions of 1, which change no number.
        let sides = |tensor: &'a Tensor| tensor.shape.iter().filter(|&&side| side != 1);
        if !sides(own).eq(sides(other)) {
            return Err(unlike(format!("shapes are {:?} and {:?}", own.shape, other.shape)));
        }
        Ok((own, other))
    };
    others.iter().map(pair).collect()
}

fn score(
    metric: &str,
    pairs: &[(&Tensor, &Tensor)],
    item: usize,
) -> Result<DocumentScore, JudgeError> {
    if metric == "top1_agreement" {
        let (own, other) = pairs[0];
        return agreement(own, other, item);
    }
    let floats = pairs.iter().filter(|(_, other)| other.dtype.is_float());
    let (mut own, mut other) = (Vec::new(), Vec::new());
    for (a, b) in floats {
        own.extend(a.to_f64());
        other.extend(b.to_f64());
    }
    if other.is_empty() {
        return Err(JudgeError::NoFloats { metric: metric.to_owned() });
    }
    distance(metric, &own, &other, item)
}

/// The score of one item, whose outputs are `own` and, of what they are compared with, `other`.
fn distance(
    metric: &str,
    own: &[f64],
    other: &[f64],
    item: usize,
) -> Result<DocumentScore, JudgeError> {
    if !own.iter().chain(other).all(|value| value.is_finite()) {
        return Err(JudgeError::OutputNotFinite { item });
    }
    let errors = || own.iter().zip(other).map(|(a, b)| (a - b).abs());
    let (sum, reference_sum) = match metric {
        "cosine" => (cosine(own, other), 1.0),
        "snr" => (snr(own, other), MOST_DECIBELS),
        "max_abs_error" => (errors().fold(0.0, f64::max), 0.0),
        "mean_abs_error" => (errors().sum::<f64>() / own.len() as f64, 0.0),
        _ => return Err(JudgeError::Foreign { metric: metric.to_owned() }),
    };
    Ok(DocumentScore { positions: 1, sum, reference_sum })
}

/// Cosine of the angle between two vectors. Equal vectors, zeros too, have exactly 1; a vector of
/// zeros and another one have 0.
fn cosine(a: &[f64], b: &[f64]) -> f64 {
    if a == b {
        return 1.0;
    }
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let length = (dot(a, a) * dot(b, b)).sqrt();
    if length > 0.0 { (dot(a, b) / length).clamp(-1.0, 1.0) } else { 0.0 }
}

/// 10 log10 of the power of `reference` over that of the differences from it, in dB, between the
/// negative of [`MOST_DECIBELS`] and it.
fn snr(own: &[f64], reference: &[f64]) -> f64 {
    let noise: f64 = own.iter().zip(reference).map(|(a, b)| (a - b).powi(2)).sum();
    if noise == 0.0 {
        return MOST_DECIBELS;
    }
    let signal: f64 = reference.iter().map(|b| b * b).sum();
    (10.0 * (signal / noise).log10()).clamp(-MOST_DECIBELS, MOST_DECIBELS)
}

/// Rows along the last dimension that is not 1 whose largest number stands at the same place; elements that are
/// equal, where they are whole numbers or texts.
fn agreement(own: &Tensor, other: &Tensor, item: usize) -> Result<DocumentScore, JudgeError> {
    let (a, b) = (own.to_f64(), other.to_f64());
    let (rows, same) = if own.dtype.is_text() || other.dtype.is_text() {
        let same = match (own.texts(), other.texts()) {
            (Some(a), Some(b)) => a.iter().zip(&b).filter(|(a, b)| a == b).count(),
            // A number is no text.
            _ => 0,
        };
        (b.len(), same)
    } else if other.dtype.is_float() {
        if a.iter().chain(&b).any(|value| value.is_nan()) {
            return Err(JudgeError::OutputNotFinite { item });
        }
        let longer = if own.shape.len() > other.shape.len() { own } else { other };
        // Classes of a convolutional head stand before dimensions of one element.
        let classes = longer.shape.iter().rev().copied().find(|&dim| dim != 1);
        let width = classes.unwrap_or(1).max(1);
        let pairs = || a.chunks_exact(width).zip(b.chunks_exact(width));
        (pairs().count(), pairs().filter(|(a, b)| largest(a) == largest(b)).count())
    } else {
        (a.len(), a.iter().zip(&b).filter(|(a, b)| a == b).count())
    };
    let positions = u32::try_from(rows).unwrap_or(u32::MAX);
    Ok(DocumentScore { positions, sum: same as f64, reference_sum: rows as f64 })
}

/// Place of the largest number; the first of equals.
fn largest(row: &[f64]) -> usize {
    let mut best = 0;
    for (at, value) in row.iter().enumerate() {
        if *value > row[best] {
            best = at;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::super::dimensions::tests::signature;
    use super::*;

    /// Multiplies its input by a factor and adds a number to the first element.
    struct Linear {
        signature: Signature,
        factor: f64,
        offset: f64,
    }

    impl Session for Linear {
        fn signature(&self) -> &Signature {
            &self.signature
        }

        fn give(&mut self, _: &[(String, Tensor)]) -> Result<(), BackendError> {
            unreachable!("judging runs whole")
        }

        fn execute(&mut self) -> Result<(), BackendError> {
            unreachable!("judging runs whole")
        }

        fn take(&mut self) -> Result<Named, BackendError> {
            unreachable!("judging runs whole")
        }

        fn run(&mut self, inputs: &[(String, Tensor)]) -> Result<Named, BackendError> {
            let (name, x) = &inputs[0];
            assert_eq!(
                (name.as_str(), x.dtype.name()),
                ("x", self.signature.inputs[0].dtype.as_str())
            );
            let mut values: Vec<f64> = x.to_f64().iter().map(|v| v * self.factor).collect();
            values[0] += self.offset;
            let class = Tensor::of_i64(vec![1], &[i64::from(self.offset > 0.0)]);
            let y = Tensor::of_f64(ElementType::F32, x.shape.clone(), &values);
            Ok(vec![("y".to_owned(), y), ("class".to_owned(), class)])
        }
    }

    fn linear(dtype: &str, factor: f64, offset: f64) -> Linear {
        Linear { signature: signature(&[&format!("x: batch,2 {dtype}")]), factor, offset }
    }

    fn items() -> Vec<Item> {
        let item = |values: &[f32], expected: Option<&[f32]>| Item {
            inputs: vec![("x".to_owned(), Tensor::of_f32(vec![1, 2], values))],
            expected: expected
                .map(|y| ("y".to_owned(), Tensor::of_f32(vec![1, 2], y)))
                .into_iter()
                .collect(),
            ..Item::default()
        };
        vec![item(&[3.0, 4.0], Some(&[3.0, 4.5])), item(&[1.0, 0.0], Some(&[1.0, 0.0]))]
    }

    fn request(metric: &str, against: Against) -> MetricRequest {
        MetricRequest { metric: metric.to_owned(), positions: None, against }
    }

    fn sums(judged: &Judged) -> Vec<f64> {
        judged.documents.iter().map(|d| d.sum).collect()
    }

    const ALL: [&str; 5] = ["cosine", "max_abs_error", "mean_abs_error", "top1_agreement", "snr"];

    #[test]
    fn classes_before_dimensions_of_one_element_are_still_compared() {
        let head = |values: [f32; 3]| Tensor::of_f32(vec![1, 3, 1, 1], &values);
        let score = |own, other| agreement(&head(own), &head(other), 0).unwrap();
        let (same, other) = (score([0.0, 2.0, 1.0], [0.1, 0.9, 0.2]), [0.9, 0.1, 0.2]);
        assert_eq!((same.positions, same.sum), (1, 1.0));
        assert_eq!(score([0.0, 2.0, 1.0], other).sum, 0.0);
    }

    #[test]
    fn scores_are_the_hand_computed_ones() {
        let metrics = ALL.map(|metric| request(metric, Against::Reference));
        // 2·(3, 4) + (3, 0) = (9, 8) beside (3, 4); 2·(1, 0) + (3, 0) = (5, 0) beside (1, 0). The
        // variant takes halves.
        let (mut variant, mut reference) = (linear("f16", 2.0, 3.0), linear("f32", 1.0, 0.0));
        let out =
            judge_tensors(&mut variant, Some(&mut reference), &items(), &[], &metrics, &|_| {})
                .unwrap();
        let cosine = (9.0 * 3.0 + 8.0 * 4.0) / ((81.0_f64 + 64.0).sqrt() * 5.0);
        assert!((sums(&out[0])[0] - cosine).abs() < 1e-12 && sums(&out[0])[1] == 1.0);
        assert_eq!(sums(&out[1]), [6.0, 4.0]);
        assert_eq!(sums(&out[2]), [5.0, 2.0]);
        assert_eq!(sums(&out[3]), [0.0, 1.0]);
        assert!(out.iter().flat_map(|j| &j.documents).all(|d| d.positions == 1));
    }

    #[test]
    fn a_variant_agrees_with_itself_and_not_with_what_was_recorded_otherwise() {
        let metrics = [
            request("max_abs_error", Against::Reference),
            request("max_abs_error", Against::Expected),
            request("cosine", Against::Reference),
        ];
        let mut variant = linear("f32", 1.0, 0.0);
        let out = judge_tensors(&mut variant, None, &items(), &[], &metrics, &|_| {}).unwrap();
        assert_eq!(sums(&out[0]), [0.0, 0.0]);
        assert_eq!(sums(&out[1]), [0.5, 0.0]);
        assert_eq!(sums(&out[2]), [1.0, 1.0]);
        let bare = [Item { expected: Vec::new(), ..items()[0].clone() }];
        let missing = judge_tensors(&mut variant, None, &bare, &[], &metrics, &|_| {});
        assert!(matches!(missing, Err(JudgeError::NothingExpected { item: 0 })));
    }

    #[test]
    fn whole_numbers_and_texts_agree_when_equal_and_have_no_cosine() {
        let (a, b) = (Tensor::of_i64(vec![3], &[1, 2, 3]), Tensor::of_i64(vec![3], &[1, 0, 3]));
        let found = score("top1_agreement", &[(&a, &b)], 0).unwrap();
        assert_eq!((found.positions, found.sum, found.reference_sum), (3, 2.0, 3.0));
        assert!(matches!(score("cosine", &[(&a, &b)], 0), Err(JudgeError::NoFloats { .. })));
        let texts = |texts: [&str; 3]| Tensor::of_texts(vec![3], &texts).unwrap();
        let (c, d) = (texts(["fox", "", "hill"]), texts(["fox", "goose", "hill"]));
        let found = score("top1_agreement", &[(&c, &d)], 0).unwrap();
        assert_eq!((found.positions, found.sum, found.reference_sum), (3, 2.0, 3.0));
        for (own, other) in [(&a, &d), (&d, &a)] {
            assert_eq!(score("top1_agreement", &[(own, other)], 0).unwrap().sum, 0.0);
        }
        assert!(matches!(score("cosine", &[(&c, &d)], 0), Err(JudgeError::NoFloats { .. })));
        assert_eq!(cosine(&[0.0, 0.0], &[0.0, 0.0]), 1.0);
        assert_eq!(cosine(&[0.0, 0.0], &[1.0, 0.0]), 0.0);
    }

    #[test]
    fn signal_to_noise_is_in_decibels_between_its_bounds() {
        // A difference of 0.5 beside a vector of length 5: 10 log10(25 / 0.25) = 20.
        assert!((snr(&[3.0, 4.5], &[3.0, 4.0]) - 20.0).abs() < 1e-12);
        assert!((snr(&[0.0, 10.0], &[0.0, 1.0]) + 20.0 * 9.0_f64.log10()).abs() < 1e-12);
        assert_eq!(snr(&[3.0, 4.0], &[3.0, 4.0]), MOST_DECIBELS);
        assert_eq!(snr(&[0.0], &[0.0]), MOST_DECIBELS);
        assert_eq!(snr(&[1.0], &[0.0]), -MOST_DECIBELS);
        assert_eq!(snr(&[1.0 + 1e-12], &[1.0]), MOST_DECIBELS);
        let one = Tensor::of_f32(vec![1], &[1.0]);
        let found = score("snr", &[(&one, &one)], 0).unwrap();
        assert_eq!((found.sum, found.reference_sum), (MOST_DECIBELS, MOST_DECIBELS));
    }

    #[test]
    fn rows_are_compared_one_by_one() {
        let rows = |values| Rows::new(values, 2).unwrap();
        let (own, other) = ([3.0, 4.0, 1.0, 0.0], [3.0, 4.5, 0.0, 1.0]);
        let found = |metric: &str| -> Vec<f64> {
            let scores = judge_rows(metric, rows(&own), Some(rows(&other))).unwrap();
            assert!(scores.iter().all(|score| score.positions == 1));
            scores.iter().map(|score| score.sum).collect()
        };
        assert_eq!(found("max_abs_error"), [0.5, 1.0]);
        assert_eq!(found("mean_abs_error"), [0.25, 1.0]);
        assert_eq!(found("top1_agreement"), [1.0, 0.0]);
        assert!(found("cosine")[0] > 0.99 && found("cosine")[1] == 0.0);
        let alone = judge_rows("snr", rows(&own), None).unwrap();
        assert_eq!((alone[0].sum, alone[0].reference_sum), (MOST_DECIBELS, MOST_DECIBELS));
        let told =
            |metric, own, other| judge_rows(metric, own, Some(other)).unwrap_err().to_string();
        assert!(told("top1", rows(&own), rows(&other)).contains("`top1`"));
        let wide = Rows::new(&own, 4).unwrap();
        assert!(told("cosine", rows(&own), wide).contains("2 and 4"));
        assert!(told("cosine", rows(&own), rows(&other[..2])).contains("2 rows"));
        let bad = [0.0, 1.0, f32::NAN, 0.0];
        for metric in ["cosine", "top1_agreement"] {
            assert!(told(metric, rows(&own), rows(&bad)).contains("item 1"));
        }
    }

    #[test]
    fn an_output_that_is_no_row_of_numbers_is_told_with_the_metric_that_asks_for_it() {
        let whole = vec![("class".to_owned(), Tensor::of_i64(vec![1], &[3]))];
        let told = only_row(&whole, 0, "recall@5").unwrap_err().to_string();
        assert!(told.starts_with("`recall@5` needs an output of floating numbers"), "{told}");
        let row = vec![("y".to_owned(), Tensor::of_f32(vec![1, 2], &[1.0, 2.0]))];
        assert_eq!(only_row(&row, 0, "top1").unwrap(), [1.0, 2.0]);
    }

    #[test]
    fn outputs_that_are_not_numbers_or_not_alike_are_errors() {
        let one = |values: &[f32]| Tensor::of_f32(vec![values.len()], values);
        let (good, bad) = (one(&[1.0]), one(&[f32::NAN]));
        for metric in ALL {
            let result = score(metric, &[(&bad, &good)], 7);
            assert!(matches!(result, Err(JudgeError::OutputNotFinite { item: 7 })), "{metric}");
        }
        let named = |tensor: Tensor| vec![("y".to_owned(), tensor)];
        let told = |own, other| paired(&named(own), &named(other), 2).unwrap_err().to_string();
        let text = told(one(&[1.0]), one(&[1.0, 2.0]));
        assert!(text.contains("`y`") && text.contains("[1] and [2]"), "{text}");
        assert!(paired(&named(Tensor::of_f32(vec![1, 1], &[1.0])), &named(one(&[1.0])), 0).is_ok());
        let foreign = vec![("z".to_owned(), one(&[1.0]))];
        assert!(paired(&named(one(&[1.0])), &foreign, 0).is_err());
    }
}
