//! How quality has moved between two runs, document by document where both judged the same ones.

use serde::Serialize;

use crate::measure::compare::ratio_change;
use crate::measure::estimate::ratio_of_sums;
use crate::measure::proportion::paired_difference;
use crate::measure::{Better, Estimate, Metric, metric};
use crate::record::{DocumentScore, Quality, Record};
use crate::report::quality;
use crate::report::view::{Reading, Tone};

/// A loss of this much is a regression: one per cent of perplexity, one point of right answers.
const TOLERATED: f64 = 0.01;

/// One quality metric of one variant in both runs.
#[derive(Debug, Clone, Serialize)]
pub struct QualityShift {
    pub variant: String,
    pub metric: &'static str,
    pub data: String,
    pub before: Reading<Estimate>,
    pub after: Reading<Estimate>,
    /// Movement in the bad direction: of perplexity as a share of what it was, of shares of right
    /// answers in points, of everything else in its own unit.
    pub loss: Reading<Estimate>,
    pub moved: Moved,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Moved {
    /// Worse by more than is tolerated: the whole interval says so.
    Regressed,
    Worse,
    Better,
    /// The interval holds "no difference".
    NotSeen,
    Unmeasured,
}

impl Moved {
    pub fn label(self) -> &'static str {
        match self {
            Self::Regressed => "regressed",
            Self::Worse => "worse",
            Self::Better => "better",
            Self::NotSeen => "no difference seen",
            Self::Unmeasured => "unmeasured",
        }
    }

    pub fn tone(self) -> Tone {
        match self {
            Self::Regressed => Tone::Bad,
            Self::Better => Tone::Good,
            Self::NotSeen => Tone::Plain,
            Self::Worse | Self::Unmeasured => Tone::Unsure,
        }
    }
}

/// Rows that either run has, in the order of `after`.
pub fn shifts(before: &Record, after: &Record, level: f64) -> Vec<QualityShift> {
    let old = quality::rows(before, level);
    let gone = || Reading::Unmeasured("not judged".into());
    let rows = quality::rows(after, level).into_iter().filter_map(|row| {
        let known = metric(&row.metric)?;
        let same =
            |q: &&Quality| q.variant == row.variant && q.metric == row.metric && q.data == row.data;
        let was = old.iter().find(|other| {
            other.variant == row.variant && other.metric == row.metric && other.data == row.data
        });
        let loss = match (before.quality.iter().find(same), after.quality.iter().find(same)) {
            (Some(b), Some(a)) => paired_loss(b, a, known, level),
            _ => Reading::Unmeasured("not judged in both runs".into()),
        };
        let moved = match loss.known() {
            None => Moved::Unmeasured,
            Some(e) if in_shares(known) && e.low > TOLERATED => Moved::Regressed,
            Some(e) if e.low > 0.0 => Moved::Worse,
            Some(e) if e.high < 0.0 => Moved::Better,
            Some(_) => Moved::NotSeen,
        };
        Some(QualityShift {
            before: was.map_or_else(gone, |row| row.value.clone()),
            after: row.value,
            variant: row.variant,
            metric: known.id,
            data: row.data,
            loss,
            moved,
        })
    });
    // What is its own reference never moves.
    rows.filter(|row| row.before.known().is_some() || row.after.known().is_some()).collect()
}

/// Losses of these are shares; those of others are in the metric's unit.
pub fn in_shares(metric: &Metric) -> bool {
    metric.id == "perplexity" || metric.counts_right_answers()
}

/// How much worse `after` is on the documents that `before` was judged on, paired one by one.
pub fn paired_loss(
    before: &Quality,
    after: &Quality,
    metric: &Metric,
    level: f64,
) -> Reading<Estimate> {
    if let Some(why) = before.unmeasured.as_ref().or(after.unmeasured.as_ref()) {
        return Reading::Unmeasured(why.clone());
    }
    let positions = |q: &Quality| q.documents.iter().map(|d| d.positions).collect::<Vec<_>>();
    if positions(before) != positions(after) {
        return Reading::Unmeasured("judged on other documents".into());
    }
    let sums = |q: &Quality| q.documents.iter().map(|d| d.sum).collect::<Vec<f64>>();
    let (b, a) = (sums(before), sums(after));
    let n: Vec<f64> = after.documents.iter().map(|d| f64::from(d.positions)).collect();
    let found = if metric.id == "perplexity" {
        ratio_change(&a, &b, &n, level).map(|e| shifted(e, -1.0))
    } else if metric.counts_right_answers() {
        points_lost(&before.documents, &after.documents, level)
    } else {
        let sign = if metric.better == Better::Lower { 1.0 } else { -1.0 };
        let worse: Vec<f64> = a.iter().zip(&b).map(|(a, b)| sign * (a - b)).collect();
        ratio_of_sums(&worse, &n, level)
    };
    found.map_or_else(|| Reading::Unmeasured("too few documents".into()), Reading::Known)
}

fn points_lost(before: &[DocumentScore], after: &[DocumentScore], level: f64) -> Option<Estimate> {
    let lost = |(b, a): (&DocumentScore, &DocumentScore)| (b.sum - a.sum) / f64::from(a.positions);
    let each: Vec<f64> = before.iter().zip(after).map(lost).collect();
    let sum = |sign: f64| each.iter().map(|lost| (sign * lost).max(0.0)).sum::<f64>();
    let sane = each.iter().all(|lost| lost.is_finite());
    sane.then(|| paired_difference(sum(1.0), sum(-1.0), each.len(), level)).flatten()
}

fn shifted(e: Estimate, by: f64) -> Estimate {
    Estimate { point: e.point + by, low: e.low + by, high: e.high + by, ..e }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::record;

    #[test]
    fn equal_scores_show_no_difference_and_a_real_loss_is_a_regression() {
        let before = record();
        let same = shifts(&before, &before, 0.95);
        assert!(same.iter().any(|row| row.metric == "perplexity"));
        for row in &same {
            let expected = if row.variant == "q4" && row.metric == "kl" {
                Moved::Unmeasured
            } else {
                Moved::NotSeen
            };
            assert_eq!(row.moved, expected, "{row:?}");
        }
        let mut after = record();
        for quality in after.quality.iter_mut().filter(|q| q.variant == "q8") {
            for d in &mut quality.documents {
                d.sum += if quality.metric == "perplexity" {
                    0.05 * f64::from(d.positions)
                } else {
                    0.0
                };
            }
        }
        let rows = shifts(&before, &after, 0.95);
        let row = rows.iter().find(|r| r.variant == "q8" && r.metric == "perplexity").unwrap();
        let loss = row.loss.known().unwrap();
        assert!((loss.point - 0.05_f64.exp_m1()).abs() < 1e-9, "{loss:?}");
        assert_eq!(row.moved, Moved::Regressed);
        let back = shifts(&after, &before, 0.95);
        assert!(back.iter().any(|r| r.moved == Moved::Better));
    }

    #[test]
    fn other_documents_are_not_paired() {
        let (before, mut after) = (record(), record());
        after.quality[0].documents.pop();
        let rows = shifts(&before, &after, 0.95);
        let row = rows.iter().find(|r| r.variant == "fp32" && r.metric == "perplexity").unwrap();
        assert!(
            matches!(&row.loss, Reading::Unmeasured(why) if why == "judged on other documents")
        );
    }
}
