//! Rules for the benchmark: how many cells there are, and bounds that leave something between them.

use std::collections::HashSet;
use std::fmt::Display;
use std::hash::Hash;

use indexmap::IndexMap;

use super::MAX_CELLS;
use super::check::{Rules, id};
use super::locate::{below, dotted};
use super::scenarios::{self, Scenario};
use super::types::{Bench, Guard, Matrix};
use crate::base::Nanos;

const SHORTEST_SOAK: Nanos = Nanos::seconds(5);

pub(crate) fn check(rules: &mut Rules<'_>, bench: &Bench) {
    rules.matrix(bench);
    scenarios::check(rules, bench);
    rules.design(bench);
    rules.profile(bench);
    rules.guard(bench);
    rules.soak(bench);
}

impl Rules<'_> {
    fn matrix(&mut self, bench: &Bench) {
        let m = &bench.matrix;
        let threads: Vec<String> = m
            .threads
            .iter()
            .map(|t| serde_json::to_value(t).map_or_else(|_| String::new(), |v| v.to_string()))
            .collect();
        self.duplicates("/bench/matrix/part", &m.part);
        self.duplicates("/bench/matrix/batch", m.batch.sizes());
        if let Some(search) = m.batch.search() {
            self.batch_search(search);
        }
        let tokens = [("prompt_tokens", &m.prompt_tokens), ("new_tokens", &m.new_tokens)];
        for (axis, values) in tokens {
            self.duplicates(&below("/bench/matrix", axis), values.as_deref().unwrap_or_default());
        }
        for (name, values) in &m.dims {
            self.duplicates(&below("/bench/matrix/dims", name), values);
        }
        self.duplicates("/bench/matrix/threads", &threads);
        let measured: Vec<&str> = bench.measure.iter().flatten().map(|name| id(*name)).collect();
        self.duplicates("/bench/measure", &measured);
        let mut axes = vec![m.batch.sizes().len()];
        axes.extend((!m.part.is_empty()).then_some(m.part.len()));
        axes.extend(tokens.iter().filter_map(|(_, values)| values.as_ref().map(Vec::len)));
        axes.extend(m.dims.values().map(Vec::len));
        axes.push(m.threads.len());
        let settings: usize = bench.scenarios().iter().map(Scenario::settings).sum();
        axes.extend((settings > 1).then_some(settings));
        let variants = self.spec.variants.len() as u64;
        let cells = axes.iter().fold(variants, |n, axis| n.saturating_mul(*axis as u64));
        if cells > MAX_CELLS {
            let what = format!(
                "a spec has at most {MAX_CELLS} cells, found {cells}: {variants} variants × {}",
                axes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" × ")
            );
            self.report("spec/limit", "/bench/matrix", what).hint =
                Some("ask for fewer values".into());
        }
    }

    pub(super) fn duplicates<T: Hash + Eq + Display>(&mut self, here: &str, values: &[T]) {
        let mut seen = HashSet::new();
        if let Some(i) = values.iter().position(|value| !seen.insert(value)) {
            let shown = values[i].to_string();
            let what = format!("`{}` is given twice in {}", shown.trim_matches('"'), dotted(here));
            self.report("spec/duplicate-value", &below(here, i), what).hint =
                Some("remove one".into());
        }
    }

    fn design(&mut self, bench: &Bench) {
        let design = &bench.design;
        self.bounds("/bench/design/blocks", design.blocks.min, design.blocks.max);
        self.bounds("/bench/design/requests", design.requests.min, design.requests.max);
        self.positive("/bench/design/max_time", design.max_time.0 > 0);
        self.positive("/bench/design/stop/half_width", design.stop.half_width.0 > 0.0);
        self.positive("/bench/limits/time", bench.limits.time.0 > 0);
        self.positive("/bench/limits/memory", bench.limits.memory.is_none_or(|m| m.0 > 0));
        let task = self.spec.model.task;
        let decides = bench.deciding(task);
        if !bench.measured(task).contains(&decides) {
            let written = "/bench/design/stop/metric";
            let (pointer, by_default) = if self.locator.is_written(written) {
                (written, "")
            } else {
                ("/bench/measure", " by default")
            };
            let what = format!(
                "{} is `{}`{by_default}, which `bench.measure` leaves out",
                dotted(written),
                id(decides)
            );
            self.report("spec/unmeasured", pointer, what).hint =
                Some(format!("measure `{}`, or let another metric decide", id(decides)));
        }
    }

    /// Nothing can be asked of a guard that is off, and half of the blocks must be left.
    fn guard(&mut self, bench: &Bench) {
        let guard = &bench.guard;
        let pointer = "/bench/guard/max_invalid";
        // The default may stand there: a resolved spec writes it out.
        if !guard.enabled && guard.max_invalid != Guard::default().max_invalid {
            let what = format!("{} says something of a guard that is not enabled", dotted(pointer));
            self.report("spec/unused", pointer, what).hint =
                Some("leave it out, or enable the guard".into());
        }
        if guard.max_invalid.0 > 0.5 {
            let what = format!("{} is {}, more than 50%", dotted(pointer), guard.max_invalid);
            self.report("spec/out-of-range", pointer, what).hint = Some(
                "where most blocks are disturbed the machine must change, not the rule".into(),
            );
        }
    }

    /// Fewer readings than a short soak has tell nothing, and a share is one of something.
    fn soak(&mut self, bench: &Bench) {
        let Some(soak) = &bench.soak else { return };
        let [here, duration, rate, load] =
            ["", "/duration", "/rate", "/load"].map(|key| format!("/bench/soak{key}"));
        if soak.duration < SHORTEST_SOAK {
            let what = format!("{} must be at least {SHORTEST_SOAK}", dotted(&duration));
            self.report("spec/out-of-range", &duration, what);
            return;
        }
        if let Some(share) = soak.load.filter(|share| !(0.01..=1.0).contains(&share.0)) {
            let what = format!("{} is {share}, not between 1% and 100%", dotted(&load));
            self.report("spec/out-of-range", &load, what).hint =
                Some("beyond the largest rate the server only falls behind: `80%` is usual".into());
            return;
        }
        let searches = |scenario: &Scenario| matches!(scenario, Scenario::Server(load) if load.search.is_some());
        match (soak.rate, soak.load) {
            (Some(_), Some(_)) => {
                let what = format!("{} has both `rate` and `load`", dotted(&here));
                let place = self.locator.place_of_key(&load);
                let problem = self.report("spec/contradiction", &load, what);
                problem.at = place;
                problem.hint = Some("keep one of them".into());
            }
            (Some(asked), None) => {
                if let Some(why) = soak.unfit(asked) {
                    let what = format!("{} makes no soak: {why}", dotted(&rate));
                    self.report("spec/out-of-range", &rate, what).hint =
                        Some("change `rate` or `duration`".into());
                }
            }
            (None, Some(_)) if !bench.scenarios().iter().any(searches) => {
                let what = format!(
                    "{} is a share of the largest rate, which no scenario searches for",
                    dotted(&load)
                );
                let place = self.locator.place_of_key(&load);
                let problem = self.report("spec/contradiction", &load, what);
                problem.at = place;
                problem.hint = Some(
                    "add `{server: {search: {p99_latency: 50ms}}}` to `bench.scenarios`, or give `rate`"
                        .into(),
                );
            }
            (None, _) => {}
        }
    }

    /// What is profiled must be among what is measured.
    fn profile(&mut self, bench: &Bench) {
        let cells = bench.profile.iter().flat_map(|profile| &profile.cells);
        for (i, cell) in cells.enumerate() {
            let here = below("/bench/profile/cells", i);
            if let Some(variant) = &cell.variant {
                self.variant(&below(&here, "variant"), variant);
            }
            let m = &bench.matrix;
            self.part(&below(&here, "part"), cell.part.as_deref(), &m.part);
            self.batch(&below(&here, "batch"), cell.batch, &m.batch);
            self.axes_of(&here, (cell.prompt_tokens, cell.new_tokens, &cell.dims), m);
        }
    }

    /// The part at `pointer` must be one of the matrix's, where it lists some.
    pub(super) fn part(&mut self, pointer: &str, wanted: Option<&str>, parts: &[String]) {
        let Some(wanted) = wanted.filter(|wanted| !parts.iter().any(|part| part == wanted)) else {
            return;
        };
        // Without a list all parts of the model are measured, and the plan knows them.
        if !parts.is_empty() {
            let what =
                format!("{} is `{wanted}`, which `bench.matrix` does not have", dotted(pointer));
            let note =
                super::words::allowed_note(&parts.iter().map(String::as_str).collect::<Vec<_>>());
            self.report("spec/bad-reference", pointer, what).notes.push(note);
        }
    }

    /// Axes of one task: those that the task does not have are told elsewhere, and what is left to
    /// defaults is known once the task is.
    pub(super) fn axes_of(
        &mut self,
        here: &str,
        (prompt, new, dims): (Option<u32>, Option<u32>, &IndexMap<String, u32>),
        matrix: &Matrix,
    ) {
        let tokens = [
            ("prompt_tokens", prompt, &matrix.prompt_tokens),
            ("new_tokens", new, &matrix.new_tokens),
        ];
        for (axis, wanted, values) in tokens {
            if let Some(values) = values {
                self.axis(&below(here, axis), wanted, values);
            }
        }
        for (name, size) in dims {
            let values = matrix.dims.get(name).map_or(&[][..], Vec::as_slice);
            self.axis(&below(&below(here, "dims"), name), Some(*size), values);
        }
    }

    /// The value at `pointer` must be one of the matrix's `values`.
    pub(super) fn axis(&mut self, pointer: &str, wanted: Option<u32>, values: &[u32]) {
        let Some(wanted) = wanted.filter(|wanted| !values.contains(wanted)) else { return };
        let what = format!("{} is {wanted}, which `bench.matrix` does not have", dotted(pointer));
        let measured: Vec<String> = values.iter().take(20).map(u32::to_string).collect();
        let note = match measured.as_slice() {
            [] => "the matrix does not have this axis".to_owned(),
            measured => format!("allowed: {}", measured.join(", ")),
        };
        self.report("spec/bad-reference", pointer, what).notes.push(note);
    }

    pub(super) fn positive(&mut self, pointer: &str, holds: bool) {
        if !holds {
            let what = format!("{} must be more than 0", dotted(pointer));
            self.report("spec/out-of-range", pointer, what);
        }
    }

    /// `min` and `max` of the map at `here`, either of which may be a default.
    fn bounds(&mut self, here: &str, min: u32, max: u32) {
        if min <= max {
            return;
        }
        let (least, most) = (below(here, "min"), below(here, "max"));
        let default =
            |pointer: &str| if self.locator.is_written(pointer) { "" } else { " by default" };
        if self.locator.is_written(&least) {
            let what = format!(
                "{} is {min}, more than `max`, which is {max}{}",
                dotted(&least),
                default(&most)
            );
            self.report("spec/out-of-range", &least, what);
        } else {
            let what =
                format!("{} is {max}, less than `min`, which is {min} by default", dotted(&most));
            self.report("spec/out-of-range", &most, what);
        }
    }
}
