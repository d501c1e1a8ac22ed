//! Profiles read: time by operator and layer, held against the time of their calls and against
//! the limits.

use indexmap::IndexMap;

use super::advice;
use super::evidence::Evidence;
use super::view::{Bound, Limit, LoadRow, PhaseSheet, ProfileSheet, Reading};
use crate::machine::PeakRates;
use crate::record::{OpGroup, Phase, Profile, Record};

/// Below this share of either limit, neither explains the time.
const LEAST_REACHED: f64 = 0.25;

/// Time whose work is not known, as a share of a row, up to which the row is classified without it.
const SMALL_UNKNOWN: f64 = 0.05;

/// Rows of operators and of layers; what is beyond is one row.
const MOST_ROWS: usize = 24;
const MOST_LAYERS: usize = 130;

/// Names shown of a row's operators.
const MOST_NAMES: usize = 4;

pub fn sheets(record: &Record, evidence: &Evidence<'_>) -> Vec<ProfileSheet> {
    record.profiles.iter().map(|profile| sheet(record, evidence, profile)).collect()
}

fn sheet(record: &Record, evidence: &Evidence<'_>, profile: &Profile) -> ProfileSheet {
    let timed = record.variants.get(&profile.variant).and_then(|v| v.artifact.as_ref());
    let threads = profile.axes.get("threads").and_then(serde_json::Value::as_f64);
    let peaks = profile.peaks.as_ref();
    ProfileSheet {
        variant: profile.variant.clone(),
        backend: profile.backend.clone(),
        setting: evidence.settings.iter().position(|cell| cell.axes == profile.axes),
        unprofiled: profile.unprofiled.clone(),
        other_artifact: match (profile.artifact, timed) {
            (Some(profiled), Some(timed)) => profiled != timed.digest,
            _ => false,
        },
        peak_memory: profile.peak_memory,
        peaks: match (peaks, &profile.unmeasured_peaks) {
            (Some(peaks), _) => Reading::Known(peaks.clone()),
            (None, Some(why)) => Reading::Unmeasured(why.clone()),
            (None, None) => Reading::Unmeasured("not asked for".into()),
        },
        trace: profile.trace.clone(),
        phases: profile
            .phases
            .iter()
            .filter(|phase| !phase.latencies.is_empty() && !phase.watched.is_empty())
            .map(|phase| phase_sheet(phase, peaks, threads))
            .collect(),
    }
}

fn phase_sheet(phase: &Phase, peaks: Option<&PeakRates>, threads: Option<f64>) -> PhaseSheet {
    let mean = |times: &[u64]| times.iter().map(|&n| n as f64).sum::<f64>() / times.len() as f64;
    let calls = phase.watched.len();
    let latency = mean(&phase.latencies);
    let inside: f64 =
        phase.groups.iter().map(|group| group.nanos as f64).sum::<f64>() / calls as f64;
    let watched = mean(&phase.watched);
    let scale = Scale { calls: calls as f64, watched };
    let mut types = sums(&phase.groups, |group| (group.operator.clone(), group.arithmetic.clone()));
    types.sort_by(|_, a, _, b| b.nanos().total_cmp(&a.nanos()));
    let mut by_layer: Vec<&OpGroup> = phase.groups.iter().collect();
    by_layer.sort_by_key(|group| group.layer.map_or(u64::MAX, u64::from));
    let has_layers = by_layer.iter().any(|group| group.layer.is_some());
    let layers = sums(by_layer.into_iter().filter(|_| has_layers), |group| {
        let name = group.layer.map_or("outside layers".to_owned(), |n| format!("layer {n}"));
        (name, None)
    });
    let mut sheet = PhaseSheet {
        name: phase.name.clone(),
        calls,
        latency: latency / 1e9,
        watched: watched / 1e9,
        in_operators: inside / 1e9,
        residual: if watched > 0.0 { 1.0 - inside / watched } else { 0.0 },
        utilisation: phase
            .cpu_time
            .zip(threads)
            .filter(|(_, threads)| latency > 0.0 && *threads > 0.0)
            .map(|(cpu, threads)| cpu as f64 / (latency * phase.latencies.len() as f64) / threads),
        operators: rows(types, MOST_ROWS, peaks, scale),
        layers: rows(layers, MOST_LAYERS, peaks, scale),
        findings: Vec::new(),
        advice: Vec::new(),
    };
    sheet.findings = advice::findings(&sheet);
    sheet.advice = advice::advice(&sheet, peaks);
    sheet
}

#[derive(Clone, Copy)]
struct Scale {
    calls: f64,
    /// Mean nanoseconds of a watched call.
    watched: f64,
}

/// What groups with the same name add up to.
#[derive(Default)]
struct Sum<'a> {
    groups: Vec<&'a OpGroup>,
}

/// Name and arithmetic of a row.
type Name = (String, Option<String>);

/// Groups by `name`, in the order in which names come.
fn sums<'a>(
    groups: impl IntoIterator<Item = &'a OpGroup>,
    name: impl Fn(&OpGroup) -> Name,
) -> IndexMap<Name, Sum<'a>> {
    let mut out: IndexMap<Name, Sum<'a>> = IndexMap::new();
    for group in groups {
        out.entry(name(group)).or_default().groups.push(group);
    }
    out
}

/// One row for each of the first `most` sums, and one for what is beyond.
fn rows(
    mut sums: IndexMap<Name, Sum<'_>>,
    most: usize,
    peaks: Option<&PeakRates>,
    scale: Scale,
) -> Vec<LoadRow> {
    let beyond = sums.split_off(most.min(sums.len()));
    let mut out: Vec<LoadRow> = sums
        .into_iter()
        .map(|((name, arithmetic), sum)| sum.row(name, arithmetic, peaks, scale))
        .collect();
    if !beyond.is_empty() {
        let name = format!("{} others", beyond.len());
        let groups = beyond.into_values().flat_map(|sum| sum.groups).collect();
        out.push(Sum { groups }.row(name, None, peaks, scale));
    }
    out
}

impl Sum<'_> {
    fn nanos(&self) -> f64 {
        self.groups.iter().map(|group| group.nanos as f64).sum()
    }

    fn row(
        &self,
        name: String,
        arithmetic: Option<String>,
        peaks: Option<&PeakRates>,
        scale: Scale,
    ) -> LoadRow {
        let total = |of: fn(&OpGroup) -> Option<u64>| {
            let sum: Option<f64> =
                self.groups.iter().map(|group| of(group).map(|n| n as f64)).sum();
            sum.map(|sum| sum / scale.calls)
        };
        let nanos = self.nanos();
        let seconds = nanos / scale.calls / 1e9;
        let operations = total(|group| group.operations);
        let bytes = total(|group| group.bytes);
        let weights: f64 = self.groups.iter().filter_map(|g| g.weights).map(|n| n as f64).sum();
        let events: f64 = self.groups.iter().map(|group| group.events as f64).sum();
        let mut heaviest = self.groups.clone();
        heaviest.sort_by_key(|group| std::cmp::Reverse(group.nanos));
        LoadRow {
            name,
            arithmetic,
            events: events / scale.calls,
            seconds,
            share: if scale.watched > 0.0 { nanos / scale.calls / scale.watched } else { 0.0 },
            operations,
            bytes,
            weights: (weights > 0.0).then_some(weights / scale.calls),
            intensity: operations
                .zip(bytes)
                .filter(|(_, bytes)| *bytes > 0.0)
                .map(|(operations, bytes)| operations / bytes),
            limit: self.limit(peaks, scale, seconds),
            nodes: heaviest
                .iter()
                .filter_map(|group| group.nodes.first())
                .take(MOST_NAMES)
                .cloned()
                .collect(),
        }
    }

    fn limit(&self, peaks: Option<&PeakRates>, scale: Scale, seconds: f64) -> Reading<Limit> {
        let missing = |why: &str| Reading::Unmeasured(why.to_owned());
        let Some(peaks) = peaks else { return missing("no peak rates") };
        let Some(memory_rate) = peaks.memory_bytes else { return missing("no memory rate") };
        let (mut compute, mut memory, mut attainable, mut unknown) = (0.0, 0.0, 0.0, 0.0);
        for group in &self.groups {
            let (Some(operations), Some(bytes)) = (group.operations, group.bytes) else {
                unknown += group.nanos as f64;
                continue;
            };
            let own = if operations == 0 {
                0.0
            } else {
                match rate(peaks, group.arithmetic.as_deref()) {
                    Some(rate) => operations as f64 / rate,
                    None => return missing("no peak rate of its arithmetic"),
                }
            };
            let moving = bytes as f64 / memory_rate;
            compute += own / scale.calls;
            memory += moving / scale.calls;
            attainable += f64::max(own, moving) / scale.calls;
        }
        if unknown > SMALL_UNKNOWN * self.nanos() {
            return missing("work not known");
        }
        if seconds <= 0.0 {
            return missing("too short for the clock");
        }
        let bound = if compute.max(memory) < LEAST_REACHED * seconds {
            Bound::Overhead
        } else if compute >= memory {
            Bound::Compute
        } else {
            Bound::Memory
        };
        Reading::Known(Limit { attainable, reached: attainable / seconds, bound })
    }
}

/// Operations per second at most in `arithmetic`.
pub fn rate(peaks: &PeakRates, arithmetic: Option<&str>) -> Option<f64> {
    match arithmetic? {
        "int8" => peaks.int8_ops,
        "bf16" => peaks.bf16_flops,
        "f32" => peaks.f32_flops,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{peaks, profiled};

    /// Two watched calls of 10 ms; rates of 1000, 500, 250 G op/s and 50 GB/s.
    fn sheet() -> PhaseSheet {
        let record = profiled();
        let profile = &record.profiles[0];
        phase_sheet(&profile.phases[1], profile.peaks.as_ref(), Some(2.0))
    }

    #[test]
    fn operators_add_up_to_the_call_with_the_residual() {
        let sheet = sheet();
        assert_eq!((sheet.calls, sheet.watched, sheet.latency), (2, 0.010, 0.008));
        assert!((sheet.in_operators - 0.009).abs() < 1e-12, "{}", sheet.in_operators);
        assert!((sheet.residual - 0.1).abs() < 1e-12);
        assert!((sheet.utilisation.unwrap() - 0.9).abs() < 1e-12);
        for rows in [&sheet.operators, &sheet.layers] {
            let told: f64 = rows.iter().map(|row| row.seconds).sum();
            assert!((told - sheet.in_operators).abs() < 1e-12, "{told}");
        }
        let names: Vec<&str> = sheet.operators.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["MatMulNBits", "MatMul", "LayerNorm", "Reshape"]);
        let names: Vec<&str> = sheet.layers.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["layer 0", "layer 1", "outside layers"]);
    }

    #[test]
    fn classes_follow_from_both_limits() {
        let sheet = sheet();
        let limit = |name: &str| {
            let row = sheet.operators.iter().find(|row| row.name == name).unwrap();
            *row.limit.known().unwrap()
        };
        // 200 MB per call at 50 GB/s are 4 of 5 ms; 0.4 G operations are 0.4 ms.
        let packed = limit("MatMulNBits");
        assert_eq!(packed.bound, Bound::Memory);
        assert!((packed.attainable - 0.004).abs() < 1e-9 && (packed.reached - 0.8).abs() < 1e-9);
        // 0.5 G operations in f32 at 250 G op/s are 2 of 2.5 ms.
        let dense = limit("MatMul");
        assert_eq!(dense.bound, Bound::Compute);
        assert!((dense.reached - 0.8).abs() < 1e-9, "{dense:?}");
        assert_eq!(limit("LayerNorm").bound, Bound::Overhead);
        assert_eq!(limit("Reshape").bound, Bound::Overhead);
    }

    #[test]
    fn without_rates_or_work_nothing_is_classified() {
        let record = profiled();
        let mut phase = record.profiles[0].phases[1].clone();
        let bare = phase_sheet(&phase, None, None);
        assert!(bare.operators.iter().all(|row| row.limit.known().is_none()));
        assert!(bare.advice.is_empty() && bare.utilisation.is_none());
        phase.groups[0].bytes = None;
        let mut peaks = peaks();
        peaks.f32_flops = None;
        let partly = phase_sheet(&phase, Some(&peaks), None);
        let gaps: Vec<_> = partly.operators.iter().map(|row| row.limit.known().is_none()).collect();
        assert_eq!(gaps, [true, true, true, false], "bytes unknown, f32 unknown twice, only moved");
    }

    #[test]
    fn advice_comes_in_order_of_gain_and_never_promises_more_than_the_share() {
        let sheet = sheet();
        let gains: Vec<f64> = sheet.advice.iter().map(|advice| advice.gain).collect();
        assert!(gains.windows(2).all(|pair| pair[0] >= pair[1]), "{gains:?}");
        assert!(gains.iter().all(|gain| (0.0..=1.0).contains(gain)), "{gains:?}");
        // 0.5 G operations take 2 ms at the f32 rate and 0.5 ms at that of int8, and 10 M weights
        // of one byte 0.2 ms.
        let quantize = sheet.advice.iter().find(|a| a.text.starts_with("Quantize")).unwrap();
        assert!((quantize.gain - 0.25 * (1.0 - 0.5 / 2.0)).abs() < 1e-9, "{}", quantize.gain);
        let told = sheet.findings.join("\n");
        assert!(told.contains("still multiplies stored weights in f32: /lm_head/MatMul"), "{told}");
    }

    #[test]
    fn many_operators_end_in_one_row_that_keeps_their_time() {
        let record = profiled();
        let mut phase = record.profiles[0].phases[1].clone();
        let template = phase.groups.pop().unwrap();
        for index in 0..100 {
            phase.groups.push(OpGroup { operator: format!("Op{index}"), ..template.clone() });
        }
        let sheet = phase_sheet(&phase, None, None);
        assert_eq!(sheet.operators.len(), MOST_ROWS + 1);
        let told: f64 = sheet.operators.iter().map(|row| row.seconds).sum();
        assert!((told - sheet.in_operators).abs() < 1e-12);
    }
}
