//! How each kind of number came about, in words; tables refer to these by their ids.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;

use super::shown::{in_points, metric_name};
use crate::measure::Method as Interval;
use crate::measure::bootstrap::RESAMPLES;
use crate::measure::stop::working_level;
use crate::report::format;
use crate::report::view::Study;

#[derive(Serialize)]
pub struct Method {
    pub id: &'static str,
    pub text: String,
}

/// What the numbers of the verdict table are, in one line.
pub(super) fn legend(study: &Study) -> String {
    let terms = &study.terms;
    let known = || study.headline.iter().filter_map(|row| row.speedup.known());
    let mut text = format!("[ ]: {} interval", format::percent(terms.confidence));
    let blocks = known().map(|found| found.blocks);
    if let (Some(least), Some(most)) = (blocks.clone().min(), blocks.max()) {
        let span = if least == most { most.to_string() } else { format!("{least} to {most}") };
        let _ = write!(
            text,
            "; speed-ups over {}, above 1× is better, paired over {span} blocks",
            terms.baseline
        );
        let comparisons = known().count();
        if terms.holm && comparisons > 1 {
            let _ = write!(text, ", widened for {comparisons} comparisons (Holm)");
        }
    }
    if study.headline.iter().any(|row| row.memory.known().is_some()) {
        let _ = write!(text, "; memory and size as multiples of {}", terms.baseline);
    }
    let margins = study.headline.iter().flat_map(|row| [&row.memory_margin, &row.quality_margin]);
    let shares = study
        .headline
        .iter()
        .any(|row| row.quality.known().is_some_and(|change| in_points(change.metric)));
    if margins.flatten().next().is_some() {
        let _ = write!(
            text,
            "; ✓ keeps, ✕ breaks, ? leaves open what is allowed: memory {}, loss {}",
            format::ratio(1.0 + terms.memory_margin),
            if shares {
                format::points(terms.accuracy_margin)
            } else {
                format::percent(terms.accuracy_margin)
            }
        );
    }
    text.push('.');
    text
}

/// How each kind of number came about; tables refer to these by their ids.
pub(super) fn methods(study: &Study) -> Vec<Method> {
    let terms = &study.terms;
    let level = format::percent(terms.confidence);
    let working = format::percent(working_level(terms.confidence));
    let correction = if terms.holm {
        "Holm's correction over all variants and settings widens these intervals, so that several comparisons do not find a difference by luck"
    } else {
        "No correction for several comparisons was asked for"
    };
    let resident = match study.spec.pointer("/bench/design/residency").and_then(Value::as_str) {
        Some("keep") => {
            "Where variants were kept resident, which stands beside the setting, a launch is a burst of a process that stays, and the log ratios of all its blocks are averaged: the process is the unit, and fails with any of its bursts. "
        }
        _ => "",
    };
    let margin = format::percent(terms.equivalence);
    let from = format::ratio(terms.improved_from);
    let method = |id, text: String| Method { id, text };
    vec![
        method("speed-up", format!("Geometric mean of the ratios to {}, paired inside blocks: a block launches every variant once, in a fresh process and in random order, and its value is the median over the requests of the launch. {resident}Above 1 is better, whichever way the metric points. Student t interval over the log ratios; under 15 blocks or with much skew the wider of that and the exact signed-rank (Hodges-Lehmann) interval. Computed at {working} so that it covers as often as {level} although the run decides itself when to stop. {correction}; metrics other than {} are exploration and are not corrected.", terms.baseline, metric_name(terms.primary))),
        method("own-value", format!("Median over blocks with bounds of {level} from order statistics; of fewer than six blocks the mean with its Student t interval. It moves with the state of the machine, which the paired speed-up mostly does not.")),
        method("quality", quality(study)),
        method("memory", format!("Geometric mean of the paired ratios of peak resident memory, variant ÷ baseline, {working} interval; size on disk likewise, exact. Below 1 is less.")),
        method("quantiles", format!("Of the samples of all launches, Hyndman-Fan type 7. The launch is the independent unit of the {level} bounds. By launch: the quantile of each launch, Student t over launches (sectioning), where every launch holds enough samples of its own. Resampled: launches drawn with replacement as a whole, never narrower than order statistics. Ranks: order statistics, with a single launch, or with few that are shown to be nearly alike. Samples count as what they are worth, given how those of a launch follow each other (worth). Coarse: fewer than 50 of those beyond the quantile. n/a where samples or launches are too few for bounds at all.")),
        method("verdict", format!("On the interval, never on the point. Improved: lower bound at least {from}. Regressed: upper bound below 1/(1 + {margin}). Equivalent: the interval lies within {margin} of 1. Likely improved, size unclear, below threshold: better than 1, but the interval crosses {from} or stays below it. Otherwise inconclusive. A variant that failed in some blocks is at best inconclusive. The blocks that would decide an inconclusive comparison are a forecast: the difference stays as it is and the interval narrows with the root of the blocks. A gate passes only when the whole interval keeps its bound. A gate on the ratio or the loss of {} is decided on the interval of the speed-up shown here, corrected as that is; a gate on another metric at that metric's own level, without correction.", metric_name(terms.primary))),
        method("noise-floor", format!("{} is launched once more in each block, as a variant of its own that the orders place like any other. Its speed-up over itself, {working} interval, is what a comparison finds where there is nothing to find. An effect no farther from 1 than the farther end of that interval is inconclusive at best where it would be called better or worse, and a gate stays undecided where a ratio of 1 would be judged otherwise. A setting without a floor of its own takes the largest that was seen in the same scenario, for the same part of the model.", terms.baseline)),
        method("detectable", "The smallest speed-up these blocks would have found in four runs out of five, given the noise they met.".into()),
        method("margins", format!("What the spec allows, beside the verdict and without changing it: ✓ kept, ✕ broken, ? open. Peak memory: the one-sided {level} upper bound of the paired ratio is at most {}. Quality: the upper bound of the loss is at most {} for shares of right answers and {} for any other metric that has a scale. Outputs are the same where none of those judged is off by more than {}; others are only said to differ (•). Divergence and mean errors have no scale to be held to: write a gate.", format::ratio(1.0 + terms.memory_margin), format::points(terms.accuracy_margin), format::percent(terms.accuracy_margin), super::super::margins::scientific(terms.same))),
        method("effects", format!("Of {}, in other words than its ratio; no verdict follows from them. Better in: share of blocks in which the variant is better, ties by halves, with Wilson's {working} interval. d_z: mean of the paired log ratios by their standard deviation. p of no difference, two-sided, paired: t; Wilcoxon's signed ranks; all patterns of signs (up to 16 blocks). Outliers among the requests of each launch: beyond 1.5 (mild) and 3 (severe) interquartile ranges, and beyond 3.5 deviations from the median on their own side (double MAD); labelled, never left out. Launches that fail: share with the exact (Clopper-Pearson) {level} interval. Contaminated: the speed-up by the quick quarter of requests differs from that by medians by more than the half-width of the interval and more than chance. Two kinds of launches: the dip test of their medians at 1 %. Differs too: exploratory metrics at a false discovery rate of 10 % (Benjamini-Hochberg).", metric_name(terms.primary))),
    ]
}

/// What the intervals of this run's quality are; of every kind where there are none.
fn quality(study: &Study) -> String {
    let level = format::percent(study.terms.confidence);
    let rows = study.quality.iter().flat_map(|row| [row.value.known(), row.loss.known()]);
    let seen: Vec<Interval> = rows.flatten().map(|estimate| estimate.method).collect();
    let none = !seen.iter().any(|method| *method != Interval::Exact);
    let any = |kinds: &[Interval]| kinds.iter().any(|kind| seen.contains(kind));
    let mut parts = Vec::new();
    if none || any(&[Interval::ClusterRatio]) {
        parts.push(format!("Ratio of sums over the scored positions with its {level} interval; documents are the independent units (clusters), and variant and reference are paired document by document."));
    }
    if any(&[Interval::Wilson]) {
        parts.push(format!("Shares of items have Wilson's {level} score interval."));
    }
    if any(&[Interval::PairedScore]) {
        parts.push(format!("What is lost of a share of right answers is counted in percentage points (pp) of the reference's, with Tango's {level} score interval for paired shares: only items on which the two differ move it. Beside it, and deciding nothing, stand Newcombe's interval (method 10) and McNemar's exact p of gaining answers as often as losing them."));
    }
    if any(&[Interval::Bca]) {
        parts.push(format!("Means of other numbers are taken over items, which count equally, with the {level} interval of the bias-corrected and accelerated bootstrap over items, {} resamples with a fixed seed.", format::count(RESAMPLES as u64)));
    }
    if any(&[Interval::OrderStatistic]) {
        parts.push(format!("Percentiles over items have {level} bounds from order statistics."));
    }
    parts.join(" ")
}
