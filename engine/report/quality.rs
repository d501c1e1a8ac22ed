//! Quality rows: what documents and items say together, paired with the reference one by one.
//!
//! Three kinds of intervals. Sums over the positions of documents are ratios with documents as
//! clusters. Shares of items that were answered rightly have score intervals, also of what was lost
//! against the reference. Means of any other number of an item, of whose distribution nothing is
//! known, are bootstrapped over items; a percentile of it has order statistics as its bounds.

use super::terms;
use super::view::{Margin, PairedShares, QualityChange, QualityRow, Reading};
use crate::measure::bootstrap::mean_bca;
use crate::measure::estimate::{exact, ratio_of_sums};
use crate::measure::mcnemar::mcnemar;
use crate::measure::newcombe::{Paired, newcombe};
use crate::measure::proportion::{paired_difference, wilson};
use crate::measure::quantile::quantile;
use crate::measure::{Estimate, MOST_DECIBELS, Method, Metric, metric};
use crate::record::{DocumentScore, Quality, Record};

/// Under this number of items resamples say too little: Student's t then.
const FEW_ITEMS: usize = 10;

pub fn rows(record: &Record, level: f64) -> Vec<QualityRow> {
    judged(record, level).into_iter().map(|(_, row)| row).collect()
}

/// Every row with the index of the scores in the record that it was made from.
pub fn judged(record: &Record, level: f64) -> Vec<(usize, QualityRow)> {
    let gates = terms::gates(&record.spec);
    let asked = |quality: &Quality| {
        let mut gates = gates.iter();
        gates.any(|gate| gate.metric == "cosine_p01" && gate.variant == quality.variant)
    };
    let mut out = Vec::new();
    for (at, quality) in record.quality.iter().enumerate() {
        out.push((at, row(record, quality, &quality.metric, level)));
        let judged = quality.unmeasured.is_none() && !record.model.random_weights;
        let enough = judged && first_percentile(&quality.documents, level).is_ok();
        if quality.metric == "cosine" && (enough || asked(quality)) {
            out.push((at, row(record, quality, "cosine_p01", level)));
        }
    }
    out
}

/// `id` is the metric of `quality`, or one that is derived from the same scores.
fn row(record: &Record, quality: &Quality, id: &str, level: f64) -> QualityRow {
    let timed = record.variants.get(&quality.variant).and_then(|v| v.artifact.as_ref());
    let (value, loss) = readings(record, quality, id, level);
    let is_paired = quality.variant != quality.reference
        && metric(id).is_some_and(Metric::counts_right_answers);
    QualityRow {
        variant: quality.variant.clone(),
        reference: quality.reference.clone(),
        metric: id.to_owned(),
        data: quality.data.clone(),
        part: quality.part.clone(),
        paired: loss.known().filter(|_| is_paired).and_then(|_| paired(&quality.documents, level)),
        value,
        loss,
        largest: Some(id)
            .filter(|id| *id == "max_abs_error")
            .and_then(|_| values(&quality.documents).into_iter().reduce(f64::max)),
        margin: None,
        documents: quality.documents.len(),
        positions: quality.documents.iter().map(|d| u64::from(d.positions)).sum(),
        artifact: quality.artifact.map(|digest| digest.short()),
        other_artifact: match (quality.artifact, timed) {
            (Some(judged), Some(timed)) => judged != timed.digest,
            _ => false,
        },
    }
}

fn readings(
    record: &Record,
    quality: &Quality,
    id: &str,
    level: f64,
) -> (Reading<Estimate>, Reading<Estimate>) {
    let missing = |why: String| (Reading::Unmeasured(why.clone()), Reading::Unmeasured(why));
    let documents = &quality.documents;
    if let Some(why) = &quality.unmeasured {
        return missing(why.clone());
    }
    if record.model.random_weights {
        return missing("random weights".into());
    }
    let Some(known) = metric(id) else {
        return missing(format!("this engine does not know the metric {id}"));
    };
    let itself = quality.variant == quality.reference;
    let single = documents.iter().all(|d| d.positions == 1);
    let found = match id {
        "perplexity" | "kl" => mean(documents, level, |own, _| own),
        // One position each: a share of items like any other, unless it holds by definition.
        "top1_agreement" if single && itself => {
            mean(documents, level, |own, _| own).map(|all| exact(all.point))
        }
        "top1_agreement" if single => share(documents, level),
        "top1_agreement" => mean(documents, level, |own, _| own),
        _ if known.counts_right_answers() => share(documents, level),
        "cosine_p01" => match first_percentile(documents, level) {
            Ok(found) => Some(found),
            Err(why) => return missing(why),
        },
        _ if documents.len() < FEW_ITEMS => mean(documents, level, |own, _| own),
        _ => mean_bca(&values(documents), level),
    };
    let Some(found) = found else {
        return missing(format!("{} documents give no interval", documents.len()));
    };
    let loss = match id {
        _ if itself => Some(exact(0.0)),
        _ if known.counts_right_answers() => points_lost(documents, level),
        "perplexity" => mean(documents, level, |own, reference| own - reference)
            .map(|nats| nats.mapped(f64::exp_m1)),
        "top1_agreement" | "cosine" | "cosine_p01" => Some(found.mapped(|share| 1.0 - share)),
        // Decibels back to a share of the signal's power.
        "snr" => Some(found.mapped(|db| match db {
            db if db >= MOST_DECIBELS => 0.0,
            db => 10_f64.powf(-db / 10.0),
        })),
        _ => Some(found),
    };
    let value = if id == "perplexity" { found.mapped(f64::exp) } else { found };
    let loss = loss.map_or_else(|| Reading::Unmeasured("no interval".into()), Reading::Known);
    (Reading::Known(value), loss)
}

/// Mean per position of a quantity of each document, with documents as clusters.
fn mean(documents: &[DocumentScore], level: f64, of: impl Fn(f64, f64) -> f64) -> Option<Estimate> {
    let sums: Vec<f64> = documents.iter().map(|d| of(d.sum, d.reference_sum)).collect();
    let positions: Vec<f64> = documents.iter().map(|d| f64::from(d.positions)).collect();
    ratio_of_sums(&sums, &positions, level)
}

/// The number of each item; not a number for one without positions.
fn values(documents: &[DocumentScore]) -> Vec<f64> {
    documents.iter().map(|d| d.sum / f64::from(d.positions)).collect()
}

/// First percentile over items, with bounds from order statistics, or how many items those need.
pub fn first_percentile(documents: &[DocumentScore], level: f64) -> Result<Estimate, String> {
    let values = values(documents);
    let found = quantile(&values, 0.01, level).ok_or("no item has a number")?;
    let (low, high) =
        found.bounds.ok_or_else(|| format!("{} items, need {}", found.n, found.need))?;
    let n = u32::try_from(found.n).unwrap_or(u32::MAX);
    Ok(Estimate { point: found.point, low, high, level, n, method: Method::OrderStatistic })
}

/// Share of right answers over items, which count equally.
fn share(documents: &[DocumentScore], level: f64) -> Option<Estimate> {
    wilson(values(documents).iter().sum(), documents.len(), level)
}

/// Share of right answers of the reference minus that of the variant.
fn points_lost(documents: &[DocumentScore], level: f64) -> Option<Estimate> {
    let lost = |d: &DocumentScore| (d.reference_sum - d.sum) / f64::from(d.positions);
    let sum = |sign: f64| documents.iter().map(|d| (sign * lost(d)).max(0.0)).sum::<f64>();
    let sane = documents.iter().all(|d| lost(d).is_finite());
    sane.then(|| paired_difference(sum(1.0), sum(-1.0), documents.len(), level)).flatten()
}

/// What stands beside the points lost, of items that are right or wrong as a whole.
fn paired(documents: &[DocumentScore], level: f64) -> Option<PairedShares> {
    let whole = |d: &DocumentScore| {
        d.positions == 1 && [d.sum, d.reference_sum].iter().all(|sum| *sum == 0.0 || *sum == 1.0)
    };
    let count = |own: f64, reference: f64| {
        documents.iter().filter(|d| d.sum == own && d.reference_sum == reference).count()
    };
    let (gained, lost) = (count(1.0, 0.0), count(0.0, 1.0));
    // What is lost is the share of the reference minus that of the variant.
    let counts = Paired {
        both: count(1.0, 1.0) as f64,
        better: lost as f64,
        worse: gained as f64,
        neither: count(0.0, 0.0) as f64,
    };
    let newcombe = newcombe(counts, level).filter(|_| documents.iter().all(whole))?;
    Some(PairedShares { newcombe, mcnemar_p: mcnemar(gained as u64, lost as u64) })
}

/// The change shown in the verdict table: the first metric that was measured, in the order of the
/// spec; perplexity, KL, agreement and errors all answer the same question there. With the margin
/// that stands beside it.
pub fn headline(rows: &[QualityRow], variant: &str) -> (Reading<QualityChange>, Option<Margin>) {
    let mut why = None;
    for row in rows.iter().filter(|row| row.variant == variant) {
        match (&row.loss, metric(&row.metric)) {
            (Reading::Known(loss), Some(metric)) => {
                let change = QualityChange { metric: metric.id, data: row.place(), loss: *loss };
                return (Reading::Known(change), row.margin.clone());
            }
            (Reading::Unmeasured(reason), _) => {
                why.get_or_insert_with(|| reason.clone());
            }
            (Reading::Known(_), None) => {}
        }
    }
    (Reading::Unmeasured(why.unwrap_or_else(|| "not asked for".into())), None)
}
