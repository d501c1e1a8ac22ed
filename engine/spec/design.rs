//! Rules for the design of a measurement: no two of its parts may contradict each other.

use super::check::{Rules, id};
use super::device::Device;
use super::locate::{below, dotted};
use super::scenarios::Scenario;
use super::types::{Bench, MetricName, Residency};

pub(crate) fn check(rules: &mut Rules<'_>, bench: &Bench) {
    rules.positive("/bench/design/budget", bench.design.budget.is_none_or(|b| b.0 > 0));
    rules.longer_than_a_launch(bench);
    rules.nothing_to_decide(bench);
    if bench.design.residency == Residency::Keep {
        rules.residents(bench);
    }
}

impl Rules<'_> {
    /// Requests that must take longer than a launch may end in nothing but timeouts.
    fn longer_than_a_launch(&mut self, bench: &Bench) {
        let (wanted, allowed) = (bench.design.requests.min_time, bench.limits.time);
        if wanted < allowed || allowed.0 == 0 {
            return;
        }
        let written = "/bench/design/requests/min_time";
        let pointer = if self.locator.is_written(written) { written } else { "/bench/limits/time" };
        let what = format!(
            "requests go on for {wanted} by {}, and a launch is ended after {allowed} by {}",
            dotted(written),
            dotted("/bench/limits/time")
        );
        self.report("spec/contradiction", pointer, what).hint =
            Some("give launches more time, or requests less".into());
    }

    fn nothing_to_decide(&mut self, bench: &Bench) {
        let pointer = "/bench/design/stop/early_decision";
        if bench.design.stop.early_decision && self.spec.variants.len() < 2 {
            let what = format!(
                "{} waits for verdicts, and a spec with one variant has none",
                dotted(pointer)
            );
            self.report("spec/contradiction", pointer, what).hint =
                Some("leave it out, or add a variant to compare".into());
        }
    }

    /// What does not go with processes that stay and take turns, one after the other on a CPU.
    fn residents(&mut self, bench: &Bench) {
        let here = "/bench/design/residency";
        let keep = format!("{}: keep", dotted(here).trim_matches('`'));
        let spec = self.spec;
        if spec.variants.len() < 2 {
            let what = format!("`{keep}` lets variants take turns, and this spec has one");
            self.report("spec/contradiction", here, what).hint =
                Some("leave it out, or add a variant to compare".into());
        }
        for (name, variant) in &spec.variants {
            if matches!(variant.device, Device::Cuda(_)) {
                let pointer = below(&below("/variants", name), "device");
                let what = format!(
                    "{} is a GPU, whose memory a process that stays keeps while it is stopped, and `{keep}` cannot see whether all fit",
                    dotted(&pointer)
                );
                self.report("spec/contradiction", &pointer, what).hint =
                    Some("write `residency: fresh`".into());
            }
        }
        for (i, scenario) in bench.scenarios.iter().enumerate() {
            if *scenario != Scenario::SingleStream {
                let pointer = below("/bench/scenarios", i);
                let what = format!(
                    "`{}` is not made in bursts, and `{keep}` makes nothing else",
                    scenario.id()
                );
                self.report("spec/contradiction", &pointer, what).hint =
                    Some("leave it out, or write `residency: fresh`".into());
            }
        }
        if bench.matrix.batch.search().is_some() {
            let pointer = "/bench/matrix/batch/search";
            let what = format!(
                "{} probes sizes in fresh processes, and `{keep}` would have nothing to keep",
                dotted(pointer)
            );
            let place = self.locator.place_of_key(pointer);
            let problem = self.report("spec/contradiction", pointer, what);
            problem.at = place;
            problem.hint = Some("list the sizes, or write `residency: fresh`".into());
        }
        if let Some(metric @ (MetricName::Load | MetricName::FirstCall)) = bench.design.stop.metric
        {
            let pointer = "/bench/design/stop/metric";
            let what = format!(
                "{} is `{}`, which a process shows once, and `{keep}` makes as few processes as it can",
                dotted(pointer),
                id(metric)
            );
            self.report("spec/contradiction", pointer, what).hint =
                Some("decide by another metric, or write `residency: fresh`".into());
        }
    }
}
