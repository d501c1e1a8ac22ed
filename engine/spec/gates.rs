//! Rules for gates: each asks one question, of numbers that will exist.

use std::collections::HashSet;

use super::check::{Rules, id};
use super::locate::{below, dotted};
use super::quality;
use super::scalar::shortened;
use super::types::{Bench, Gate, GateMetric, NumberBounds, QualityMetric};

pub(crate) fn check(rules: &mut Rules<'_>) {
    let spec = rules.spec;
    let mut names = HashSet::new();
    for (i, gate) in spec.gates.iter().enumerate() {
        let here = below("/gates", i);
        if !names.insert(gate.name.as_str()) {
            let pointer = below(&here, "name");
            let what = format!(
                "{} is `{}`, like that of a gate before",
                dotted(&pointer),
                shortened(&gate.name)
            );
            rules.report("spec/duplicate-value", &pointer, what).hint =
                Some("reports and `--set` find gates by name".into());
        }
        rules.variant(&format!("{here}/on/variant"), &gate.on.variant);
        let measured = is_measured(rules, gate, &here);
        question(rules, gate, &here);
        history(rules, gate, &here);
        if measured && metric(gate.metric).1 {
            settings(rules, gate, &here);
        } else if measured && gate.on.part.is_some() {
            let pointer = format!("{here}/on/part");
            let what = format!(
                "{} is about timings, and `{}` is judged",
                dotted(&pointer),
                metric(gate.metric).0
            );
            rules.report("spec/pointless-gate", &pointer, what).hint =
                Some("leave it out: every part must pass".into());
        }
    }
}

/// The id of a metric, and whether it is one of performance rather than quality.
pub(crate) fn metric(metric: GateMetric) -> (&'static str, bool) {
    use super::types::MetricName as M;
    match metric {
        GateMetric::Load => (id(M::Load), true),
        GateMetric::FirstCall => (id(M::FirstCall), true),
        GateMetric::Ttft => (id(M::Ttft), true),
        GateMetric::Itl => (id(M::Itl), true),
        GateMetric::PrefillTps => (id(M::PrefillTps), true),
        GateMetric::DecodeTps => (id(M::DecodeTps), true),
        GateMetric::E2e => (id(M::E2e), true),
        GateMetric::Latency => (id(M::Latency), true),
        GateMetric::Throughput => (id(M::Throughput), true),
        GateMetric::Tpot => (id(M::Tpot), true),
        GateMetric::OutputTps => (id(M::OutputTps), true),
        GateMetric::Decode => (id(M::Decode), true),
        GateMetric::Preprocess => (id(M::Preprocess), true),
        GateMetric::PeakMemory => (id(M::PeakMemory), true),
        GateMetric::SteadyMemory => (id(M::SteadyMemory), true),
        GateMetric::Energy => (id(M::Energy), true),
        GateMetric::EnergyPerToken => (id(M::EnergyPerToken), true),
        GateMetric::ModelSize => (id(M::ModelSize), true),
        GateMetric::Perplexity => ("perplexity", false),
        GateMetric::Kl => ("kl", false),
        GateMetric::Top1Agreement => ("top1_agreement", false),
        GateMetric::Cosine => ("cosine", false),
        GateMetric::CosineP01 => ("cosine_p01", false),
        GateMetric::Snr => ("snr", false),
        GateMetric::MaxAbsError => ("max_abs_error", false),
        GateMetric::MeanAbsError => ("mean_abs_error", false),
        GateMetric::Top1 | GateMetric::Accuracy => ("top1", false),
        GateMetric::Top5 => ("top5", false),
        GateMetric::RecallAt1 => ("recall@1", false),
        GateMetric::RecallAt5 => ("recall@5", false),
        GateMetric::RecallAt10 => ("recall@10", false),
    }
}

/// The id under which records keep a gate's metric.
pub fn gated_metric(gate: GateMetric) -> &'static str {
    metric(gate).0
}

fn is_measured(rules: &mut Rules<'_>, gate: &Gate, here: &str) -> bool {
    let spec = rules.spec;
    let (name, performance) = metric(gate.metric);
    let measured: Option<Vec<String>> = if performance {
        let task = spec.model.task;
        let ids =
            |bench: &Bench| bench.measured(task).into_iter().map(id).map(str::to_owned).collect();
        spec.bench.as_ref().map(ids)
    } else {
        spec.quality.as_ref().map(|q| q.metrics.iter().flat_map(QualityMetric::gated).collect())
    };
    let (section, list) =
        if performance { ("bench", "bench.measure") } else { ("quality", "quality.metrics") };
    let pointer = below(here, "metric");
    let path = dotted(&pointer);
    let (what, hint) = match &measured {
        Some(ids) if ids.iter().any(|id| id == name) => return true,
        Some(_) => (
            format!("{path} is `{name}`, which is not measured"),
            format!("add `{}` to `{list}`", quality::asked_by(name)),
        ),
        None => (
            format!("{path} is `{name}`, but this spec has no `{section}`"),
            format!("add `{section}`"),
        ),
    };
    let problem = rules.report("spec/unmeasured", &pointer, what);
    problem.hint = Some(hint);
    problem.notes.extend(measured.map(|ids| format!("measured: {}", ids.join(", "))));
    false
}

/// Exactly one of `ratio`, `loss` and `value`, and one that can be answered.
fn question(rules: &mut Rules<'_>, gate: &Gate, here: &str) {
    let mut asked = Vec::new();
    asked.extend(gate.ratio.is_some().then_some("ratio"));
    asked.extend(gate.loss.is_some().then_some("loss"));
    asked.extend(gate.value.is_some().then_some("value"));
    let (name, performance) = metric(gate.metric);
    match asked.as_slice() {
        [] => {
            let what = format!("{} has no bound", dotted(here));
            rules.report("spec/missing-key", here, what).hint =
                Some("give one of `ratio`, `loss` and `value`".into());
        }
        ["value"] => {}
        [relative] => {
            let spec = rules.spec;
            let first = || spec.variants.keys().next().map(String::as_str);
            let baseline = spec.compare.baseline.as_deref().or_else(first);
            let reference = spec.quality.as_ref().and_then(|q| q.reference.as_deref());
            let against = if performance { baseline } else { reference.or(baseline) };
            // With a stored run the baseline of this one is no part of the question.
            let own = gate.against.is_none();
            if own && against == Some(gate.on.variant.as_str()) {
                let path = dotted(&below(here, relative));
                let what = format!("{path} compares `{}` with itself", gate.on.variant);
                rules.report("spec/pointless-gate", &format!("{here}/on/variant"), what).hint =
                    Some("name another variant, or bound its `value`".into());
            } else if own
                && matches!(
                    gate.metric,
                    GateMetric::Kl | GateMetric::MaxAbsError | GateMetric::MeanAbsError
                )
            {
                let pointer = below(here, relative);
                let what = format!(
                    "{} is relative to `{name}` of the reference, which is 0",
                    dotted(&pointer)
                );
                rules.report("spec/pointless-gate", &pointer, what).hint =
                    Some("bound its `value`".into());
            } else if *relative == "ratio" && quality::in_points(name) {
                let pointer = below(here, relative);
                let what = format!("{} divides shares of right answers", dotted(&pointer));
                rules.report("spec/pointless-gate", &pointer, what).hint =
                    Some("bound its `loss`, in percentage points".into());
            }
        }
        [_, second, ..] => {
            let what =
                format!("{} must have one bound, found `{}`", dotted(here), asked.join("`, `"));
            let place = rules.locator.place_of_key(&below(here, second));
            let problem = rules.report("spec/one-key", &below(here, second), what);
            problem.at = place;
            problem.hint = Some("write one gate for each".into());
        }
    }
    for (key, bounds) in [("ratio", &gate.ratio), ("value", &gate.value)] {
        if let Some(NumberBounds { min: Some(min), max: Some(max) }) = bounds
            && min > max
        {
            let pointer = format!("{here}/{key}/min");
            let what = format!("{} is {min}, more than `max`, which is {max}", dotted(&pointer));
            rules.report("spec/out-of-range", &pointer, what);
        }
    }
}

/// What a comparison with a stored run can answer.
fn history(rules: &mut Rules<'_>, gate: &Gate, here: &str) {
    let (name, performance) = metric(gate.metric);
    if gate.against.is_none() {
        if gate.paired {
            let pointer = below(here, "paired");
            let what = format!("{} says how to compare with `against`", dotted(&pointer));
            rules.report("spec/pointless-gate", &pointer, what).hint =
                Some("add `against`, or leave it out: runs are paired in themselves".into());
        }
        return;
    }
    let pointer = below(here, "against");
    if gate.value.is_some() {
        let what = format!("{} has nothing to do with a bound on a `value`", dotted(&pointer));
        rules.report("spec/pointless-gate", &pointer, what).hint =
            Some("bound the `ratio` or the `loss`".into());
    } else if !performance && name != "perplexity" && !quality::in_points(name) {
        let what = format!("{} compares `{name}`, which is a distance already", dotted(&pointer));
        rules.report("spec/pointless-gate", &pointer, what).hint =
            Some("leave it out and bound its `value`: the distance to the reference".into());
    }
    if !gate.paired {
        return;
    }
    let pointer = below(here, "paired");
    let first = rules.spec.variants.keys().next();
    let baseline = rules.spec.compare.baseline.as_ref().or(first);
    if !performance || name == "model_size" {
        let what = format!("{} is about timings, and `{name}` is judged", dotted(&pointer));
        rules.report("spec/pointless-gate", &pointer, what).hint = Some("leave it out".into());
    } else if baseline == Some(&gate.on.variant) {
        let what = format!("{} needs another variant than the baseline", dotted(&pointer));
        rules.report("spec/pointless-gate", &pointer, what).hint =
            Some("leave it out: the baseline's own value is compared then".into());
    }
}

/// The setting a gate looks at must be one that is measured.
fn settings(rules: &mut Rules<'_>, gate: &Gate, here: &str) {
    let Some(bench) = &rules.spec.bench else { return };
    let m = &bench.matrix;
    let on = &gate.on;
    rules.part(&format!("{here}/on/part"), on.part.as_deref(), &m.part);
    rules.batch(&format!("{here}/on/batch"), on.batch, &m.batch);
    rules.axes_of(&below(here, "on"), (on.prompt_tokens, on.new_tokens, &on.dims), m);
    rules.load_of(&below(here, "on"), on, bench);
}
