//! How quality has moved between two runs, document by document where both judged the same ones.

use serde::Serialize;

use crate::measure::compare::ratio_change;
use crate::measure::estimate::ratio_of_sums;
use crate::measure::proportion::paired_difference;
use crate::measure::{Better, Estimate, Metric, metric};
use crate::record::{DocumentScore, Quality, Record};
use crate::report::quality;
use crate::report::view::{QualityRow, Reading, Terms, Tone};

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
    /// Worse by more than `compare.accuracy` of the later run allows: the whole interval says so.
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

/// Rows that either run has: those of `after` in its order, then those that only `before` has.
pub fn shifts(before: &Record, after: &Record, rules: &Terms) -> Vec<QualityShift> {
    let level = rules.confidence;
    let (old, new) = (quality::judged(before, level), quality::judged(after, level));
    let mut out = Vec::new();
    for (at, row) in &new {
        let Some(known) = metric(&row.metric) else { continue };
        let like = counterpart(&after.quality, *at, &before.quality);
        let loss = match like {
            Some(like) => paired_loss(&before.quality[like], &after.quality[*at], known, level),
            None => unmatched(),
        };
        let was = like.and_then(|like| made_from(&old, like, known)).map(|row| &row.value);
        out.push(shift(row, known, (was, Some(&row.value)), loss, rules));
    }
    for (at, row) in &old {
        let Some(known) = metric(&row.metric) else { continue };
        let like = counterpart(&before.quality, *at, &after.quality);
        if like.and_then(|like| made_from(&new, like, known)).is_none() {
            out.push(shift(row, known, (Some(&row.value), None), unmatched(), rules));
        }
    }
    // What is its own reference never moves.
    out.retain(|row| row.before.known().is_some() || row.after.known().is_some());
    out
}

/// The row of `metric` among those that were made from the scores at `at`.
fn made_from<'a>(
    rows: &'a [(usize, QualityRow)],
    at: usize,
    metric: &Metric,
) -> Option<&'a QualityRow> {
    rows.iter().find(|(from, row)| *from == at && row.metric == metric.id).map(|(_, row)| row)
}

fn unmatched() -> Reading<Estimate> {
    Reading::Unmeasured("not judged in both runs".into())
}

fn shift(
    row: &QualityRow,
    metric: &'static Metric,
    (before, after): (Option<&Reading<Estimate>>, Option<&Reading<Estimate>>),
    loss: Reading<Estimate>,
    rules: &Terms,
) -> QualityShift {
    let value = |reading: Option<&Reading<Estimate>>| {
        reading.cloned().unwrap_or_else(|| Reading::Unmeasured("not judged".into()))
    };
    QualityShift {
        variant: row.variant.clone(),
        metric: metric.id,
        data: row.place(),
        before: value(before),
        after: value(after),
        moved: match loss.known() {
            None => Moved::Unmeasured,
            Some(e) if in_shares(metric) && e.low > rules.accuracy_margin => Moved::Regressed,
            Some(e) if e.low > 0.0 => Moved::Worse,
            Some(e) if e.high < 0.0 => Moved::Better,
            Some(_) => Moved::NotSeen,
        },
        loss,
    }
}

/// The scores among `others` that answer the question which those at `at` answer: of the same
/// variant and metric, on the same data and part, against the same reference where the numbers are
/// distances from it. Of several such, the first belongs to the first, the second to the second.
pub fn counterpart(own: &[Quality], at: usize, others: &[Quality]) -> Option<usize> {
    let question = |q: &Quality| {
        let compares = !metric(&q.metric).is_some_and(in_shares);
        let reference = compares.then(|| q.reference.clone());
        (q.variant.clone(), q.metric.clone(), q.data.clone(), q.part.clone(), reference)
    };
    let asked = question(&own[at]);
    let earlier = own[..at].iter().filter(|q| question(q) == asked).count();
    let alike = others.iter().enumerate().filter(|(_, q)| question(q) == asked);
    alike.map(|(i, _)| i).nth(earlier)
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
    if metric.id != metric.scores() {
        return percentile_lost(before, after, level)
            .map_or_else(Reading::Unmeasured, Reading::Known);
    }
    let sums = |q: &Quality| q.documents.iter().map(|d| d.sum).collect::<Vec<f64>>();
    let (b, a) = (sums(before), sums(after));
    let n: Vec<f64> = after.documents.iter().map(|d| f64::from(d.positions)).collect();
    let found = if metric.id == "perplexity" {
        ratio_change(&a, &b, &n, level).map(|ratio| ratio.mapped(|ratio| ratio - 1.0))
    } else if metric.counts_right_answers() {
        points_lost(&before.documents, &after.documents, level)
    } else {
        let sign = if metric.better == Better::Lower { 1.0 } else { -1.0 };
        let worse: Vec<f64> = a.iter().zip(&b).map(|(a, b)| sign * (a - b)).collect();
        ratio_of_sums(&worse, &n, level)
    };
    found.map_or_else(|| Reading::Unmeasured("too few documents".into()), Reading::Known)
}

/// A percentile of either run at half the error allowed, so that both hold at once (Bonferroni): of
/// the difference of two percentiles on the same items no interval is known.
fn percentile_lost(before: &Quality, after: &Quality, level: f64) -> Result<Estimate, String> {
    let both = f64::midpoint(1.0, level);
    let old = quality::first_percentile(&before.documents, both)?;
    let new = quality::first_percentile(&after.documents, both)?;
    Ok(Estimate {
        point: old.point - new.point,
        low: old.low - new.high,
        high: old.high - new.low,
        level,
        ..new
    })
}

fn points_lost(before: &[DocumentScore], after: &[DocumentScore], level: f64) -> Option<Estimate> {
    let lost = |(b, a): (&DocumentScore, &DocumentScore)| (b.sum - a.sum) / f64::from(a.positions);
    let each: Vec<f64> = before.iter().zip(after).map(lost).collect();
    let sum = |sign: f64| each.iter().map(|lost| (sign * lost).max(0.0)).sum::<f64>();
    let sane = each.iter().all(|lost| lost.is_finite());
    sane.then(|| paired_difference(sum(1.0), sum(-1.0), each.len(), level)).flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::report::fixture::{digest, record};
    use crate::report::fixture_classes;
    use crate::report::terms::terms;

    fn shifts(before: &Record, after: &Record) -> Vec<QualityShift> {
        super::shifts(before, after, &terms(after))
    }

    #[test]
    fn equal_scores_show_no_difference_and_a_real_loss_is_a_regression() {
        let before = record();
        let same = shifts(&before, &before);
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
        let rows = shifts(&before, &after);
        let row = rows.iter().find(|r| r.variant == "q8" && r.metric == "perplexity").unwrap();
        let loss = row.loss.known().unwrap();
        assert!((loss.point - 0.05_f64.exp_m1()).abs() < 1e-9, "{loss:?}");
        assert_eq!(row.moved, Moved::Regressed);
        let back = shifts(&after, &before);
        assert!(back.iter().any(|r| r.moved == Moved::Better));
    }

    #[test]
    fn other_documents_are_not_paired() {
        let (before, mut after) = (record(), record());
        after.quality[0].documents.pop();
        let rows = shifts(&before, &after);
        let row = rows.iter().find(|r| r.variant == "fp32" && r.metric == "perplexity").unwrap();
        assert!(
            matches!(&row.loss, Reading::Unmeasured(why) if why == "judged on other documents")
        );
    }

    /// Scores of eight hundred items of `q8` against `reference`; of `part`, the last of which are
    /// `off`.
    fn cosine(part: Option<&str>, reference: &str, off: f64) -> Quality {
        let item = |i: u32| {
            let sum = 1.0 - 1e-4 * f64::from(i % 7) - if i.is_multiple_of(20) { off } else { 0.0 };
            DocumentScore { positions: 1, sum, reference_sum: 1.0 }
        };
        Quality {
            variant: "q8".into(),
            reference: reference.into(),
            metric: "cosine".into(),
            data: "heldout".into(),
            part: part.map(str::to_owned),
            artifact: Some(digest("q8")),
            documents: (0..800).map(item).collect(),
            unmeasured: None,
        }
    }

    #[test]
    fn every_part_and_judge_of_a_data_set_is_paired_with_itself() {
        let (mut before, mut after) = (record(), record());
        before.quality = vec![
            cosine(Some("image"), "fp32", 0.0),
            cosine(Some("text"), "fp32", 0.2),
            cosine(None, "fp32", 0.3),
            cosine(None, "recorded outputs", 0.4),
        ];
        after.quality = before.quality.clone();
        after.quality.rotate_left(1);
        let rows = shifts(&before, &after);
        assert_eq!(rows.len(), 8, "the mean and the first percentile of each");
        for row in &rows {
            let loss = row.loss.known().unwrap_or_else(|| panic!("{row:?}"));
            assert_eq!((loss.point, row.moved), (0.0, Moved::NotSeen), "{row:?}");
            assert_eq!(row.before.known().unwrap().point, row.after.known().unwrap().point);
        }
        assert_eq!(rows[0].data, "heldout, text");
        after.quality.retain(|q| q.part.as_deref() != Some("image"));
        let rows = shifts(&before, &after);
        let gone: Vec<_> = rows.iter().filter(|row| row.after.known().is_none()).collect();
        assert_eq!(gone.len(), 2, "told although only the earlier run has it");
        assert!(gone.iter().all(|row| row.data == "heldout, image"));
    }

    #[test]
    fn a_first_percentile_falls_although_the_mean_hardly_does() {
        let (mut before, mut after) = (record(), record());
        before.quality = vec![cosine(None, "fp32", 0.0)];
        after.quality = vec![cosine(None, "fp32", 0.1)];
        let rows = shifts(&before, &after);
        let row = rows.iter().find(|row| row.metric == "cosine_p01").unwrap();
        let loss = row.loss.known().unwrap();
        assert!(loss.low > 0.09 && loss.high < 0.11 && row.moved == Moved::Worse, "{loss:?}");
        let few = fixture_classes::record();
        let rows = shifts(&few, &few);
        let row = rows.iter().find(|r| r.metric == "cosine_p01" && r.variant == "int8").unwrap();
        assert!(matches!(&row.loss, Reading::Unmeasured(why) if why == "400 items, need 437"));
    }

    #[test]
    fn what_may_be_lost_is_what_the_spec_of_the_later_run_says() {
        let (before, mut after) = (record(), record());
        for d in after
            .quality
            .iter_mut()
            .filter(|q| q.metric == "perplexity")
            .flat_map(|q| &mut q.documents)
        {
            d.sum += 0.02 * f64::from(d.positions);
        }
        let moved = |after: &Record| {
            let rows = shifts(&before, after);
            rows.iter().find(|r| r.variant == "q8" && r.metric == "perplexity").unwrap().moved
        };
        assert_eq!(moved(&after), Moved::Regressed, "2 %, and 1 % is allowed");
        after.spec["compare"]["accuracy"] = json!("3%");
        assert_eq!(moved(&after), Moved::Worse);
    }
}
