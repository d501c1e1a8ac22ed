//! Verdicts in sentences a reader can quote.

use std::fmt::Write as _;

use super::format;
use super::judged::thresholds;
use super::page::{in_points, metric_name};
use super::view::{EffectSheet, Finding, Glance, Headline, Reading, Setting, Terms};
use crate::measure::compare::Comparison;
use crate::measure::modes::Mode;
use crate::measure::verdict::{self, Verdict};
use crate::measure::{Better, Estimate, Metric, Unit, metric};

/// One sentence per variant, by the least favourable of its settings.
pub fn glance(headline: &[Headline], settings: &[Setting], terms: &Terms) -> Vec<Glance> {
    let mut out: Vec<Glance> = Vec::new();
    for row in headline {
        if out.iter().any(|glance| glance.variant == row.variant) {
            continue;
        }
        let rows: Vec<&Headline> = headline.iter().filter(|r| r.variant == row.variant).collect();
        let finding =
            rows.iter().map(|r| r.finding).min_by_key(|f| f.rank()).unwrap_or(row.finding);
        out.push(Glance {
            variant: row.variant.clone(),
            finding,
            sentence: sentence(&rows, settings, terms, finding),
        });
    }
    out
}

fn sentence(rows: &[&Headline], settings: &[Setting], terms: &Terms, finding: Finding) -> String {
    let first = rows[0];
    if first.finding == Finding::Baseline {
        return baseline(rows, settings, terms);
    }
    let mut parts = vec![speed(rows, settings, terms)];
    if let Reading::Known(quality) = &first.quality {
        parts.push(quality_words(quality));
    } else if let Reading::Unmeasured(why) = &first.quality {
        parts.push(format!("quality unmeasured ({why})"));
    }
    let memory = rows.iter().filter_map(|row| row.memory.known());
    if let Some(worst) = memory.max_by(|a, b| a.high.total_cmp(&b.high)) {
        parts.push(format!("peak memory {} {}", format::times(worst), format::times_bounds(worst)));
    }
    if let Some(ratio) = first.size.known().and_then(|size| size.ratio) {
        parts.push(share(ratio, "smaller on disk", "larger on disk", "of the same size on disk"));
    }
    let mut text = parts.join("; ");
    if rows.len() > 1 && finding != Finding::Failed {
        let same = rows.iter().all(|row| row.finding == finding);
        text.push_str(if same {
            ""
        } else {
            ". The verdict is that of its least favourable setting"
        });
    }
    let told = rows.iter().flat_map(|row| {
        row.remarks.iter().map(move |remark| format!("{}: {remark}", place(row, settings)))
    });
    for remark in first.costs.iter().cloned().chain(told.take(MOST_REMARKS)) {
        let _ = write!(text, ". {remark}");
    }
    text.push('.');
    text
}

type Told<'a> = (&'a Headline, &'a Estimate);

fn baseline(rows: &[&Headline], settings: &[Setting], terms: &Terms) -> String {
    let unit = metric(terms.primary).map_or(Unit::Plain, |metric| metric.unit);
    let known: Vec<Told> = rows.iter().filter_map(|row| Some((*row, row.value.known()?))).collect();
    let told =
        |(row, value): &Told| format!("{}{}", format::measured(value, unit), at(row, settings));
    match known.as_slice() {
        [] => "the baseline; its own numbers are missing.".into(),
        [only] => format!("the baseline: {}.", told(only)),
        many => {
            let (low, high) = ends(many, |value| value.point);
            format!("the baseline: {} to {}.", told(low), told(high))
        }
    }
}

/// The entries with the smallest and the largest `of`.
fn ends<'a, 'b>(
    many: &'b [Told<'a>],
    of: impl Fn(&Estimate) -> f64,
) -> (&'b Told<'a>, &'b Told<'a>) {
    let mut ends = (&many[0], &many[0]);
    for entry in many {
        if of(entry.1) < of(ends.0.1) {
            ends.0 = entry;
        }
        if of(entry.1) > of(ends.1.1) {
            ends.1 = entry;
        }
    }
    ends
}

/// Remarks in a sentence; the verdict table has them all.
const MOST_REMARKS: usize = 4;

/// Where a remark belongs, to begin a sentence with.
fn place(row: &Headline, settings: &[Setting]) -> String {
    let at = at(row, settings);
    if at.is_empty() { "Note".into() } else { at.replacen(" at", "At", 1) }
}

fn at(row: &Headline, settings: &[Setting]) -> String {
    match row.setting.and_then(|i| settings.get(i)) {
        Some(setting) if settings.len() > 1 => format!(" at {}", setting.short),
        _ => String::new(),
    }
}

/// The least favourable speed-up, then the best one.
fn speed(rows: &[&Headline], settings: &[Setting], terms: &Terms) -> String {
    let known: Vec<Told> =
        rows.iter().filter_map(|row| Some((*row, &row.speedup.known()?.estimate))).collect();
    let number = |e: &Estimate| format!("{} {}", format::times(e), format::times_bounds(e));
    let Some(first) = known.first() else {
        let why = rows.iter().find_map(|row| match &row.speedup {
            Reading::Unmeasured(why) => Some(why.as_str()),
            Reading::Known(_) => None,
        });
        return format!("no speed-up: {}", why.unwrap_or("unmeasured"));
    };
    let (does, versus) = (verb(terms.primary), &terms.baseline);
    let (worst, best) = if known.len() > 1 { ends(&known, |e| e.low) } else { (first, first) };
    let mut text =
        format!("{does} {} as fast as {versus}{}", number(worst.1), at(worst.0, settings));
    if known.len() > 1 {
        let _ = write!(text, ", {}{}", number(best.1), at(best.0, settings));
    }
    text
}

/// What a variant does "1.6× as fast as" the baseline.
fn verb(primary: &str) -> &'static str {
    match primary {
        "decode_tps" => "decodes",
        "prefill_tps" => "prefills",
        "ttft" => "reaches the first token",
        "itl" => "emits tokens",
        "e2e" => "answers",
        "load" => "loads",
        "first_call" => "answers its first call",
        "latency" | "throughput" => "runs",
        _ => "uses its resources",
    }
}

fn quality_words(quality: &super::view::QualityChange) -> String {
    let loss = &quality.loss;
    match quality.metric {
        "perplexity" => {
            let word = if loss.low > 0.0 {
                "worsens perplexity by"
            } else if loss.high < 0.0 {
                "changes perplexity for the better by"
            } else {
                "keeps perplexity within the noise:"
            };
            format!("{word} {} {}", format::change(loss), format::change_bounds(loss))
        }
        "top1_agreement" => {
            format!(
                "disagrees on the top token at {} {} of positions",
                format::change(loss).trim_start_matches('+'),
                format::change_bounds(loss)
            )
        }
        id if in_points(id) => {
            let name = metric_name(id);
            let told = |by: &Estimate| {
                format!("{} {}", format::change_in_points(by), format::points_bounds(by))
            };
            match loss {
                loss if loss.low > 0.0 => format!("loses {} of {name}", told(loss)),
                loss if loss.high < 0.0 => {
                    format!("gains {} of {name}", told(&loss.mapped(|loss| -loss)))
                }
                _ => format!("keeps {name} within the noise: a loss of {}", told(loss)),
            }
        }
        "kl" => format!("diverges by {}", format::measured(loss, Unit::Nats)),
        "cosine" => format!(
            "turns its outputs by {} {} (1 − cosine)",
            format::change(loss).trim_start_matches('+'),
            format::change_bounds(loss)
        ),
        "cosine_p01" => format!(
            "turns the outputs of one item in a hundred by {} {} or more (1 − cosine)",
            format::change(loss).trim_start_matches('+'),
            format::change_bounds(loss)
        ),
        "snr" => format!(
            "adds noise of {} {} of the signal's power",
            format::change(loss).trim_start_matches('+'),
            format::change_bounds(loss)
        ),
        "max_abs_error" => {
            format!("strays by {} at most within an item", format::measured(loss, Unit::Plain))
        }
        _ => format!("strays by {}", format::measured(loss, Unit::Plain)),
    }
}

/// `46 % smaller`, from a ratio to the baseline.
pub fn share(ratio: f64, less: &str, more: &str, same: &str) -> String {
    let change = (ratio - 1.0).abs();
    match ratio {
        _ if change < 0.0005 => same.to_owned(),
        r if r < 1.0 => format!("{} {less}", format::percent_rough(change)),
        r if r < 2.0 => format!("{} {more}", format::percent_rough(change)),
        r => format!("{} {more}", format::ratio(r)),
    }
}

/// The smallest speed-up this comparison could have found, as a change.
pub fn detectable(mde: f64) -> String {
    if mde.is_finite() && mde < 100.0 {
        format::percent_rough(mde - 1.0)
    } else {
        "unbounded".into()
    }
}

/// A forecast of more than this many times the blocks a run may take helps nobody.
const FARTHEST: u32 = 10;

/// Why a verdict is not `improved`, where a number says it.
pub fn shortfall(
    finding: Finding,
    found: &Comparison,
    failed_launches: usize,
    terms: &Terms,
) -> Option<String> {
    match finding {
        Finding::Judged(Verdict::Inconclusive) if failed_launches > 0 => {
            Some("inconclusive at best, because launches failed".into())
        }
        // One that something else holds back is not decided by more blocks.
        Finding::Judged(Verdict::Inconclusive)
            if verdict::judge(&found.estimate, &thresholds(terms)) == Verdict::Inconclusive =>
        {
            Some(forecast(found, terms))
        }
        Finding::Judged(Verdict::LikelyImproved | Verdict::FasterSizeUnclear) => {
            Some(format!("the interval crosses {}", format::ratio(terms.improved_from)))
        }
        _ => None,
    }
}

/// Why a difference is not claimed although its interval would.
pub fn hidden(floor: f64) -> String {
    let floor = format::percent_rough(floor - 1.0);
    format!("within the noise floor: the baseline differs from itself by up to {floor}")
}

/// What it would take to settle an inconclusive comparison.
fn forecast(found: &Comparison, terms: &Terms) -> String {
    let most = terms.most_blocks.saturating_mul(FARTHEST);
    let thresholds = thresholds(terms);
    match verdict::blocks_to_decide(&found.estimate, &thresholds, found.blocks, most) {
        Some(needed) => format!(
            "about {} blocks in all would decide, if the difference stays as it is ({} measured)",
            format::count(u64::from(needed)),
            format::count(u64::from(found.blocks))
        ),
        None => format!(
            "more than {} blocks would be needed: blocks differ by {} (standard deviation of the log ratio), and the difference lies near a threshold or is small beside that; a quieter machine or longer requests would help",
            format::count(u64::from(most)),
            spread(found.sd_log)
        ),
    }
}

/// That slow requests make the speed-up.
pub fn contamination(effects: &EffectSheet) -> Option<String> {
    let quick = effects.contaminated.as_ref()?;
    Some(format!(
        "contaminated: slow requests move the speed-up; by the quick quarter of requests it is {} {}",
        format::times(quick),
        format::times_bounds(quick)
    ))
}

/// That launches fall into two groups, so that their middle stands for neither.
pub fn two_modes(effects: &EffectSheet, metric: &Metric) -> Option<String> {
    let [low, high] = effects.modes?;
    let told = |mode: Mode| {
        let value = format::exact(mode.median, metric.unit);
        format!("{} at {value}", format::percent_rough(mode.share))
    };
    Some(format!("two kinds of launches: {}, {}", told(low), told(high)))
}

/// A standard deviation on the log scale, as a change or, where it is large, as a factor.
fn spread(sd_log: f64) -> String {
    let factor = sd_log.exp();
    if factor < 2.0 {
        format!("±{}", format::percent_rough(factor - 1.0))
    } else if factor < 1e6 {
        format!("a factor of {}", format::significant(factor, 2))
    } else {
        "orders of magnitude".into()
    }
}

/// Which way is good, as an arrow with a word for screen readers.
pub fn direction(better: Better) -> &'static str {
    match better {
        Better::Lower => "lower is better",
        Better::Higher => "higher is better",
    }
}
