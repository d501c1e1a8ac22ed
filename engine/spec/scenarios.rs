//! `bench.scenarios`: the order and pace of requests, and what of them contradicts itself.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::check::Rules;
use super::locate::{below, dotted};
use super::types::{
    ArrivalLaw, Bench, GateTarget, Objective, SampleLoad, ScenarioName, ServerLoad, Task,
    USUAL_REQUESTS, UserLoad,
};
use super::words::allowed_note;
use crate::base::Nanos;

const HERE: &str = "/bench/scenarios";

/// Requests per scheduled request that come before those that count.
const EARLY: f64 = 1.1;

/// One scenario: `single_stream`, or a map with its name as the one key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "a spec has a handful")]
pub enum Scenario {
    SingleStream,
    MultiStream(SampleLoad),
    Offline(SampleLoad),
    Concurrency(UserLoad),
    Server(ServerLoad),
}

impl Scenario {
    pub fn id(&self) -> &'static str {
        match self {
            Self::SingleStream => "single_stream",
            Self::MultiStream(_) => "multi_stream",
            Self::Offline(_) => "offline",
            Self::Concurrency(_) => "concurrency",
            Self::Server(_) => "server",
        }
    }

    /// Settings that it makes of one combination of the matrix. A search measures none in blocks.
    pub fn settings(&self) -> usize {
        match self {
            Self::SingleStream | Self::MultiStream(_) | Self::Offline(_) => 1,
            Self::Concurrency(load) => load.users.len(),
            Self::Server(load) => load.rate.len(),
        }
    }
}

impl JsonSchema for Scenario {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Scenario".into()
    }

    /// Keywords about texts do not touch maps, and the other way round.
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let samples = generator.subschema_for::<SampleLoad>();
        let users = generator.subschema_for::<UserLoad>();
        let server = generator.subschema_for::<ServerLoad>();
        json_schema!({
            "title": "scenario",
            "description": "`single_stream` makes one request after the other. `{multi_stream: {samples: 8}}` makes queries of several samples, `{offline: {samples: 512}}` hands over all at once, `{concurrency: {users: [1, 4]}}` has users who ask again when they are answered, `{server: {rate: [5]}}` has arrivals on a schedule.",
            "type": ["string", "object"],
            "pattern": "^single_stream$",
            "properties": {
                "multi_stream": samples,
                "offline": samples,
                "concurrency": users,
                "server": server,
            },
            "additionalProperties": false,
            "minProperties": 1,
            "maxProperties": 1,
        })
    }
}

impl ScenarioName {
    pub fn id(self) -> &'static str {
        match self {
            Self::SingleStream => "single_stream",
            Self::MultiStream => "multi_stream",
            Self::Offline => "offline",
            Self::Concurrency => "concurrency",
            Self::Server => "server",
        }
    }
}

/// A bound of an [`Objective`]: its key, of how many requests, and the time.
pub type ObjectiveBound = (&'static str, f64, Nanos);

impl Objective {
    /// The bounds that are given, in the order of the schema.
    pub fn bounds(&self) -> Vec<ObjectiveBound> {
        let all = [
            ("p99_latency", 0.99, self.p99_latency),
            ("p99_ttft", 0.99, self.p99_ttft),
            ("p99_tpot", 0.99, self.p99_tpot),
            ("p90_latency", 0.9, self.p90_latency),
            ("p90_ttft", 0.9, self.p90_ttft),
            ("p90_tpot", 0.9, self.p90_tpot),
            ("p50_latency", 0.5, self.p50_latency),
        ];
        all.into_iter().filter_map(|(key, share, time)| Some((key, share, time?))).collect()
    }
}

impl Bench {
    /// What is followed: `single_stream` where nothing is said.
    pub fn scenarios(&self) -> &[Scenario] {
        const USUAL: &[Scenario] = &[Scenario::SingleStream];
        if self.scenarios.is_empty() { USUAL } else { &self.scenarios }
    }

    /// Whether one request after the other is measured too.
    ///
    /// It is where nothing else is measured in blocks, beside a search for a rate.
    pub fn streams(&self) -> bool {
        let all = self.scenarios();
        all.contains(&Scenario::SingleStream) || all.iter().all(|s| s.settings() == 0)
    }

    /// Whether a scenario puts load on the server.
    pub fn loads(&self) -> bool {
        self.scenarios().iter().any(|scenario| *scenario != Scenario::SingleStream)
    }
}

/// What contradicts itself, whatever the task.
pub(super) fn check(rules: &mut Rules<'_>, bench: &Bench) {
    rules.scenarios(bench);
}

impl Rules<'_> {
    fn scenarios(&mut self, bench: &Bench) {
        let mut seen: Vec<&'static str> = Vec::new();
        for (i, scenario) in bench.scenarios.iter().enumerate() {
            let here = below(HERE, i);
            let inside = below(&here, scenario.id());
            if seen.contains(&scenario.id()) {
                let what = format!("`{}` is given twice in {}", scenario.id(), dotted(HERE));
                self.report("spec/duplicate-value", &here, what).hint =
                    Some("list its values in one".into());
            }
            seen.push(scenario.id());
            match scenario {
                Scenario::SingleStream => {}
                Scenario::MultiStream(load) | Scenario::Offline(load) => {
                    self.whole_requests(&below(&inside, "samples"), load.samples, bench);
                }
                Scenario::Concurrency(load) => {
                    self.duplicates(&below(&inside, "users"), &load.users);
                }
                Scenario::Server(load) => self.server(&inside, load, bench),
            }
        }
        let search = "/bench/matrix/batch/search";
        if bench.matrix.batch.search().is_some() && !bench.streams() {
            let what = format!(
                "{} probes `single_stream`, which `bench.scenarios` leaves out",
                dotted(search)
            );
            let place = self.locator.place_of_key(search);
            let problem = self.report("spec/contradiction", search, what);
            problem.at = place;
            problem.hint = Some("add `single_stream`, or list the sizes".into());
        }
    }

    /// A request holds a whole batch, so samples must come in whole requests.
    fn whole_requests(&mut self, pointer: &str, samples: u32, bench: &Bench) {
        let odd = bench.matrix.batch.sizes().iter().find(|batch| !samples.is_multiple_of(**batch));
        if let Some(batch) = odd {
            let what = format!(
                "{} is {samples}, which is no whole number of requests with a batch of {batch}",
                dotted(pointer)
            );
            self.report("spec/contradiction", pointer, what).hint =
                Some(format!("write {}", samples.next_multiple_of((*batch).max(1))));
        }
    }

    fn server(&mut self, here: &str, load: &ServerLoad, bench: &Bench) {
        match (load.rate.as_slice(), &load.search) {
            ([], None) => {
                let what = format!("{} has neither `rate` nor `search`", dotted(here));
                self.report("spec/missing-key", here, what).hint =
                    Some("give rates such as `rate: [5, 10]`, or `search`".into());
            }
            ([_, ..], Some(_)) => {
                let pointer = below(here, "search");
                let what = format!("{} has both `rate` and `search`", dotted(here));
                let place = self.locator.place_of_key(&pointer);
                let problem = self.report("spec/contradiction", &pointer, what);
                problem.at = place;
                problem.hint = Some("keep one of them".into());
            }
            _ => {}
        }
        if let (Some(_), Some(_)) = (&load.search, &load.slo) {
            let pointer = below(here, "slo");
            let what = format!("{} has bounds in both `search` and `slo`", dotted(here));
            let place = self.locator.place_of_key(&pointer);
            let problem = self.report("spec/contradiction", &pointer, what);
            problem.at = place;
            problem.hint = Some("keep those of `search`".into());
        }
        for (key, objective) in [("search", &load.search), ("slo", &load.slo)] {
            if let Some(objective) = objective {
                self.objective(&below(here, key), objective);
            }
        }
        match (load.arrivals, load.shape) {
            (ArrivalLaw::Gamma, None) => {
                let what = format!("{} has no `shape`", dotted(here));
                self.report("spec/missing-key", &below(here, "arrivals"), what).hint =
                    Some("add one, such as `shape: 0.25` for bursts".into());
            }
            (ArrivalLaw::Poisson | ArrivalLaw::Constant, Some(_)) => {
                let pointer = below(here, "shape");
                let what = format!("{} is of `arrivals: gamma` only", dotted(&pointer));
                self.report("spec/contradiction", &pointer, what).hint =
                    Some("remove it, or write `arrivals: gamma`".into());
            }
            _ => {}
        }
        let rates: Vec<String> = load.rate.iter().map(ToString::to_string).collect();
        self.duplicates(&below(here, "rate"), &rates);
        let requests = load.requests.unwrap_or(USUAL_REQUESTS);
        for (i, rate) in load.rate.iter().enumerate() {
            let time = Nanos((f64::from(requests) * EARLY / rate * 1e9) as u64);
            if time > bench.limits.time {
                let pointer = below(&below(here, "rate"), i);
                let what = format!(
                    "{requests} requests at {rate} per second take {time}, longer than the {} that a launch may take",
                    bench.limits.time
                );
                self.report("spec/contradiction", &pointer, what).hint =
                    Some("ask for fewer `requests`, or raise `bench.limits.time`".into());
            }
        }
    }

    /// Bounds on one share of the requests, each of which can decide.
    fn objective(&mut self, here: &str, objective: &Objective) {
        let bounds = objective.bounds();
        let Some((first, share, _)) = bounds.first().copied() else {
            let what = format!("{} has no bound", dotted(here));
            self.report("spec/missing-key", here, what).hint =
                Some("give `p99_latency`, or another bound".into());
            return;
        };
        for (key, own, time) in &bounds {
            let pointer = below(here, key);
            self.positive(&pointer, time.0 > 0);
            if *own != share {
                let what = format!(
                    "{} holds another share of the requests to it than `{first}`",
                    dotted(&pointer)
                );
                let place = self.locator.place_of_key(&pointer);
                let problem = self.report("spec/contradiction", &pointer, what);
                problem.at = place;
                problem.hint = Some("give all bounds for one share, such as `p99_`".into());
            }
        }
        let latency = bounds.iter().find(|(key, ..)| key.ends_with("latency"));
        let ttft = bounds.iter().find(|(key, ..)| key.ends_with("ttft"));
        if let (Some((outer, a, most)), Some((key, b, own))) = (latency, ttft)
            && a == b
            && own >= most
        {
            let pointer = below(here, key);
            let what = format!(
                "{} is {own}, no less than `{outer}`, which is {most}: it can never decide",
                dotted(&pointer)
            );
            self.report("spec/contradiction", &pointer, what).hint = Some("leave it out".into());
        }
    }

    /// The load that a gate looks at must be one that is measured.
    pub(super) fn load_of(&mut self, here: &str, on: &GateTarget, bench: &Bench) {
        let all = bench.scenarios();
        if let Some(wanted) = on.scenario {
            let known: Vec<&str> =
                all.iter().filter(|s| s.settings() > 0).map(Scenario::id).collect();
            if !known.contains(&wanted.id()) {
                let pointer = below(here, "scenario");
                let what = format!(
                    "{} is `{}`, which `bench.scenarios` does not measure",
                    dotted(&pointer),
                    wanted.id()
                );
                let note = allowed_note(&known);
                self.report("spec/bad-reference", &pointer, what).notes.push(note);
            }
        }
        let users = all.iter().filter_map(|scenario| match scenario {
            Scenario::Concurrency(load) => Some(load.users.iter().map(|n| f64::from(*n))),
            _ => None,
        });
        let users: Vec<f64> = users.flatten().collect();
        let rates = all.iter().filter_map(|scenario| match scenario {
            Scenario::Server(load) => Some(load.rate.iter().copied()),
            _ => None,
        });
        let rates: Vec<f64> = rates.flatten().collect();
        let axes = [
            ("users", on.users.map(f64::from), users, ScenarioName::Concurrency),
            ("rate", on.rate, rates, ScenarioName::Server),
        ];
        for (axis, wanted, values, owner) in axes {
            let Some(wanted) = wanted else { continue };
            let pointer = below(here, axis);
            if !values.contains(&wanted) {
                let what = format!(
                    "{} is {wanted}, which `bench.scenarios` does not have",
                    dotted(&pointer)
                );
                let shown: Vec<String> = values.iter().take(20).map(f64::to_string).collect();
                let note = match shown.as_slice() {
                    [] => format!("`{}` is not measured", owner.id()),
                    shown => format!("allowed: {}", shown.join(", ")),
                };
                self.report("spec/bad-reference", &pointer, what).notes.push(note);
            } else if on.scenario.is_some_and(|scenario| scenario != owner) {
                let what = format!("{} is about `{}`", dotted(&pointer), owner.id());
                self.report("spec/contradiction", &pointer, what).hint =
                    Some(format!("write `scenario: {}`, or leave it out", owner.id()));
            }
        }
    }

    /// Bounds on tokens are for tasks that generate some, and more than one.
    pub(super) fn objectives_of(&mut self, task: Task, bench: &Bench) {
        for (i, scenario) in bench.scenarios.iter().enumerate() {
            let Scenario::Server(load) = scenario else { continue };
            let here = below(&below(HERE, i), "server");
            for (key, objective) in [("search", &load.search), ("slo", &load.slo)] {
                for (name, ..) in objective.iter().flat_map(Objective::bounds) {
                    let pointer = below(&below(&here, key), name);
                    if !name.ends_with("latency") && task != Task::TextGeneration {
                        let what = format!(
                            "{} is about tokens, and task `{}`, which this model has, makes none",
                            dotted(&pointer),
                            task.id()
                        );
                        let place = self.locator.place_of_key(&pointer);
                        let problem = self.report("spec/wrong-task", &pointer, what);
                        problem.at = place;
                        problem.hint = Some("bound the latency".into());
                    }
                    let single = bench.matrix.new_tokens.iter().flatten().any(|n| *n == 1);
                    if name.ends_with("tpot") && single {
                        let what = format!(
                            "{} bounds the time per token after the first, and `bench.matrix.new_tokens` has 1",
                            dotted(&pointer)
                        );
                        self.report("spec/contradiction", &pointer, what).hint =
                            Some("leave it out, or generate more tokens".into());
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_scenario_is_its_name_or_a_map_with_it() {
        let of = |value: Value| serde_json::from_value::<Scenario>(value);
        assert_eq!(of(json!("single_stream")).unwrap(), Scenario::SingleStream);
        let text = json!({"server": {"rate": [5.0, 10.0], "arrivals": "poisson",
            "slo": {"p99_latency": "50ms"}}});
        let server = of(text.clone()).unwrap();
        assert_eq!(serde_json::to_value(&server).unwrap(), text);
        assert_eq!((server.id(), server.settings()), ("server", 2));
        for wrong in [json!("server"), json!({}), json!({"offline": {}}), json!({"offlin": {}})] {
            assert!(of(wrong).is_err());
        }
    }
}
