//! Rules for the design of a measurement: no two of its parts may contradict each other.

use super::check::Rules;
use super::locate::dotted;
use super::types::Bench;

pub(crate) fn check(rules: &mut Rules<'_>, bench: &Bench) {
    rules.positive("/bench/design/budget", bench.design.budget.is_none_or(|b| b.0 > 0));
    rules.longer_than_a_launch(bench);
    rules.nothing_to_decide(bench);
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
}
