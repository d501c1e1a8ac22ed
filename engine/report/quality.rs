//! Quality rows: ratios of sums over documents, paired with the reference document by document.

use super::view::{QualityChange, QualityRow, Reading};
use crate::measure::estimate::{exact, ratio_of_sums};
use crate::measure::{Estimate, MOST_DECIBELS, metric};
use crate::record::{DocumentScore, Quality, Record};

pub fn rows(record: &Record, level: f64) -> Vec<QualityRow> {
    record.quality.iter().map(|quality| row(record, quality, level)).collect()
}

fn row(record: &Record, quality: &Quality, level: f64) -> QualityRow {
    let timed = record.variants.get(&quality.variant).and_then(|v| v.artifact.as_ref());
    let (value, loss) = readings(record, quality, level);
    QualityRow {
        variant: quality.variant.clone(),
        reference: quality.reference.clone(),
        metric: quality.metric.clone(),
        data: quality.data.clone(),
        value,
        loss,
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
    level: f64,
) -> (Reading<Estimate>, Reading<Estimate>) {
    let missing = |why: String| (Reading::Unmeasured(why.clone()), Reading::Unmeasured(why));
    if let Some(why) = &quality.unmeasured {
        return missing(why.clone());
    }
    if record.model.random_weights {
        return missing("random weights".into());
    }
    if metric(&quality.metric).is_none() {
        return missing(format!("this engine does not know the metric {}", quality.metric));
    }
    let Some(mean) = mean(quality, level, |sum, _| sum) else {
        return missing(format!("{} documents give no interval", quality.documents.len()));
    };
    let itself = quality.variant == quality.reference;
    let loss = match quality.metric.as_str() {
        _ if itself => Some(exact(0.0)),
        "perplexity" => self::mean(quality, level, |own, reference| own - reference)
            .map(|nats| mapped(nats, f64::exp_m1)),
        "top1_agreement" | "cosine" => Some(mapped(mean, |agreement| 1.0 - agreement)),
        // Decibels back to a share of the signal's power.
        "snr" => Some(mapped(mean, |db| match db {
            db if db >= MOST_DECIBELS => 0.0,
            db => 10_f64.powf(-db / 10.0),
        })),
        _ => Some(mean),
    };
    let value = if quality.metric == "perplexity" { mapped(mean, f64::exp) } else { mean };
    let loss = loss.map_or_else(|| Reading::Unmeasured("no interval".into()), Reading::Known);
    (Reading::Known(value), loss)
}

/// Mean per position of a quantity of each document, with documents as clusters.
fn mean(quality: &Quality, level: f64, of: impl Fn(f64, f64) -> f64) -> Option<Estimate> {
    let documents = &quality.documents;
    let sums: Vec<f64> =
        documents.iter().map(|d: &DocumentScore| of(d.sum, d.reference_sum)).collect();
    let positions: Vec<f64> = documents.iter().map(|d| f64::from(d.positions)).collect();
    ratio_of_sums(&sums, &positions, level)
}

/// An estimate seen through a monotone function; the bounds keep their order.
fn mapped(estimate: Estimate, through: impl Fn(f64) -> f64) -> Estimate {
    let (a, b) = (through(estimate.low), through(estimate.high));
    Estimate { point: through(estimate.point), low: a.min(b), high: a.max(b), ..estimate }
}

/// The change shown in the verdict table: the first metric that was measured, in the order of the
/// spec; perplexity, KL, agreement and errors all answer the same question there.
pub fn headline(rows: &[QualityRow], variant: &str) -> Reading<QualityChange> {
    let mut why = None;
    for row in rows.iter().filter(|row| row.variant == variant) {
        match (&row.loss, metric(&row.metric)) {
            (Reading::Known(loss), Some(metric)) => {
                return Reading::Known(QualityChange {
                    metric: metric.id,
                    data: row.data.clone(),
                    loss: *loss,
                });
            }
            (Reading::Unmeasured(reason), _) => {
                why.get_or_insert_with(|| reason.clone());
            }
            (Reading::Known(_), None) => {}
        }
    }
    Reading::Unmeasured(why.unwrap_or_else(|| "not asked for".into()))
}
