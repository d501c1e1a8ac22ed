//! How each kind of number came about, in words; tables refer to these by their ids.

use serde::Serialize;

use super::shown::metric_name;
use crate::measure::stop::working_level;
use crate::report::format;
use crate::report::view::Terms;

#[derive(Serialize)]
pub struct Method {
    pub id: &'static str,
    pub text: String,
}

/// How each kind of number came about; tables refer to these by their ids.
pub(super) fn methods(terms: &Terms) -> Vec<Method> {
    let level = format::percent(terms.confidence);
    let working = format::percent(working_level(terms.confidence));
    let correction = if terms.holm {
        "Holm's correction over all variants and settings widens these intervals, so that several comparisons do not find a difference by luck"
    } else {
        "No correction for several comparisons was asked for"
    };
    let margin = format::percent(terms.equivalence);
    let from = format::ratio(terms.improved_from);
    let method = |id, text: String| Method { id, text };
    vec![
        method("speed-up", format!("Geometric mean of the ratios to {}, paired inside blocks: a block launches every variant once, in a fresh process and in random order, and its value is the median over the requests of the launch. Above 1 is better, whichever way the metric points. Student t interval over the log ratios; under 15 blocks or with much skew the wider of that and the exact signed-rank (Hodges-Lehmann) interval. Computed at {working} so that it covers as often as {level} although the run decides itself when to stop. {correction}; metrics other than {} are exploration and are not corrected.", terms.baseline, metric_name(terms.primary))),
        method("own-value", format!("Mean over blocks with its {level} Student t interval. It moves with the state of the machine, which the paired speed-up mostly does not.")),
        method("quality", format!("Ratio of sums over the scored positions with its {level} interval; documents are the independent units (clusters), and variant and reference are paired document by document.")),
        method("memory", format!("Geometric mean of the paired ratios of peak resident memory, {working} interval. Below 1 is less memory.")),
        method("quantiles", format!("Samples of all launches pooled, Hyndman-Fan type 7; {level} bounds from order statistics. The bounds treat samples as independent and are too narrow where launches differ. n/a where too few samples exist for an interval.")),
        method("verdict", format!("On the interval, never on the point. Improved: lower bound at least {from}. Regressed: upper bound below 1/(1 + {margin}). Equivalent: the interval lies within {margin} of 1. Likely improved, size unclear, below threshold: better than 1, but the interval crosses {from} or stays below it. Otherwise inconclusive. A variant that failed in some blocks is at best inconclusive. A gate passes only when the whole interval keeps its bound; each gate is judged at its own level, without correction.")),
        method("detectable", "The smallest speed-up these blocks would have found in four runs out of five, given the noise they met.".into()),
    ]
}
