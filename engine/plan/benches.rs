//! Settings of the matrix as steps, and what is profiled.

use super::expand::{Builder, Surroundings};
use super::{StepIndex, VariantPlan};
use crate::measure::search::Bound;
use crate::measure::slo::{Slo, look_confidence, looks};
use crate::measure::warmup::allowed;
use crate::model::Kind;
use crate::scenario::{Arrivals, Load, Positive, StreamRules};
use crate::spec::{
    ArrivalLaw, Bench as BenchSpec, Objective, OpProfile, Scenario, ServerLoad, Soak, Task,
    Threads, USUAL_REQUESTS, Warmup,
};
use crate::stage::{
    Bench, Pace, ProfileStage, RateSearch, Roofline, Search, Setting, SoakStage, Stage, Work,
};
use crate::task::TensorInputs;

impl Builder<'_> {
    /// Finds settings that can never give a number.
    pub(super) fn possible(&mut self, bench: &BenchSpec) {
        use crate::spec::MetricName::{DecodeTps, Itl, Tpot};
        let metric = bench.deciding(Some(Task::TextGeneration));
        let (prompts, new) = (&bench.matrix.prompt_tokens, &bench.matrix.new_tokens);
        let (prompts, new) =
            (prompts.as_deref().unwrap_or_default(), new.as_deref().unwrap_or_default());
        let longest_new = new.iter().max().copied().unwrap_or(0);
        for (index, &new) in new.iter().enumerate() {
            if new < 2 && matches!(metric, DecodeTps | Itl | Tpot) {
                let pointer = format!("/bench/matrix/new_tokens/{index}");
                let what =
                    "one new token has no decode speed, and `bench.design.stop.metric` asks for it";
                self.problem("plan/unmeasurable", &pointer, what.into());
            }
        }
        let Some(context) = self.context else { return };
        let why = match self.window {
            Some(window) if window <= context => {
                ", its sliding window: attention within a window is not computed"
            }
            _ => "",
        };
        for (index, &prompt) in prompts.iter().enumerate() {
            let needed = u64::from(prompt) + u64::from(longest_new);
            if needed > context {
                let pointer = format!("/bench/matrix/prompt_tokens/{index}");
                let what = format!(
                    "{prompt} prompt tokens and {longest_new} new ones do not fit the model's context of {context}{why}"
                );
                self.problem("plan/too-long", &pointer, what);
            }
        }
    }

    pub(super) fn benches(
        &mut self,
        bench: &BenchSpec,
        runs: &[(Setting, Option<TensorInputs>)],
        source: StepIndex,
        random: bool,
    ) {
        // Random weights come without a tokenizer: their prompts are synthetic.
        let data = bench.data.clone().filter(|_| !random);
        let is_text = !self.loaded.spec.model.task.is_some_and(Task::runs_tensors);
        let tokens = match data.as_ref().filter(|_| is_text) {
            Some(name) => match self.tokens(name, source) {
                Some(step) => Some(step),
                None => return,
            },
            None => None,
        };
        let requests = &bench.design.requests;
        let launches = u64::from(bench.design.blocks.min) * self.built.len() as u64;
        let (warmup, detect) = match requests.warmup {
            Warmup::Count(count) => (count, None),
            Warmup::Detect => (1, Some(allowed(bench.design.max_time.0, launches))),
        };
        let rules = StreamRules {
            warmup,
            detect,
            min: requests.min,
            max: requests.max,
            min_time: requests.min_time.0,
        };
        let runtime = self.built.values().any(VariantPlan::needs_runtime).then(|| self.runtime());
        let mut devices: Vec<StepIndex> = self.built.values().filter_map(|v| v.device).collect();
        devices.sort_unstable();
        devices.dedup();
        let variants: Vec<String> = self.loaded.spec.variants.keys().cloned().collect();
        let mut searches: Vec<(Search, Vec<StepIndex>)> = Vec::new();
        let mut rates: Vec<(RateSearch, Vec<StepIndex>)> = Vec::new();
        for (setting, inputs) in runs {
            let stage = Bench {
                setting: setting.clone(),
                variants: variants.clone(),
                data: data.clone(),
                inputs: inputs.clone(),
                rules,
                slo: None,
            };
            let part = setting.part.as_deref();
            let mut needs: Vec<StepIndex> = self.built.values().map(|v| v.artifact(part)).collect();
            needs.sort_unstable();
            needs.dedup();
            needs.extend(tokens);
            needs.extend(runtime);
            needs.extend(&devices);
            for (load, slo) in loads(bench) {
                let setting = Setting { load, ..setting.clone() };
                let id = format!("bench/{}", setting.id());
                let under = Bench { setting, slo, ..stage.clone() };
                self.push(id, Stage::Bench(under), needs.clone(), Kind::Checkpoint);
            }
            let searched = rate_searches(bench).map(|(slo, requests, arrivals)| RateSearch {
                bench: stage.clone(),
                slo,
                requests,
                arrivals,
            });
            rates.extend(searched.map(|search| (search, needs.clone())));
            let search = bench.matrix.batch.search();
            if let Some((search, (quantile, time))) = search.and_then(|s| Some((s, s.bound()?))) {
                let bound = Bound { quantile, seconds: time.as_secs() };
                let search = Search { bench: stage, bound, max: search.max };
                searches.push((search, needs));
            }
        }
        // After all blocks: a search may take long, and nothing else waits for it.
        for (search, needs) in searches {
            self.push(search.id(), Stage::Search(search), needs, Kind::Checkpoint);
        }
        let mut first_rates = None;
        for (search, needs) in rates {
            let id = search.id();
            let step = self.push(id, Stage::RateSearch(search), needs, Kind::Checkpoint);
            first_rates.get_or_insert(step);
        }
        self.soaks(bench, runs, data.as_deref(), (tokens, first_rates));
        if let Some(asked) = &bench.profile {
            self.profiles(asked, runs, data.as_deref(), tokens);
        }
    }

    /// One step for every variant, under the first setting, whose search for a rate is `rates`.
    fn soaks(
        &mut self,
        bench: &BenchSpec,
        runs: &[(Setting, Option<TensorInputs>)],
        data: Option<&str>,
        (tokens, rates): (Option<StepIndex>, Option<StepIndex>),
    ) {
        let (Some(asked), Some((setting, inputs))) = (&bench.soak, runs.first()) else { return };
        let pace = pace(bench, asked);
        let rates = rates.filter(|_| matches!(pace, Pace::Share(..)));
        let variants: Vec<String> = self.loaded.spec.variants.keys().cloned().collect();
        for variant in variants {
            let planned = self.built[&variant].clone();
            let artifact = planned.artifact(setting.part.as_deref());
            let mut needs: Vec<StepIndex> = [artifact].into_iter().chain(tokens).collect();
            if planned.needs_runtime() {
                needs.push(self.runtime());
            }
            needs.extend(planned.device);
            needs.extend(rates);
            let id = format!("soak/{variant}/{}", setting.id());
            let stage = SoakStage {
                variant,
                setting: setting.clone(),
                data: data.map(str::to_owned),
                inputs: inputs.clone(),
                duration: asked.duration.0,
                pace,
            };
            self.push(id, Stage::Soak(stage), needs, Kind::Checkpoint);
        }
    }

    /// Peak rates first, then one step for every cell that is asked for.
    fn profiles(
        &mut self,
        asked: &OpProfile,
        runs: &[(Setting, Option<TensorInputs>)],
        data: Option<&str>,
        tokens: Option<StepIndex>,
    ) {
        let first = runs.first().map(|(setting, _)| setting);
        let variants = self.loaded.spec.variants.keys();
        let cells: Vec<(String, &Setting, &Option<TensorInputs>)> = variants
            .flat_map(|name| runs.iter().map(move |(s, inputs)| (name.clone(), s, inputs)))
            .filter(|(name, setting, _)| is_asked(asked, first, name, setting))
            .collect();
        if asked.roofline {
            let mut counts: Vec<u32> =
                cells.iter().map(|(_, setting, _)| setting.threads).collect();
            counts.sort_unstable();
            counts.dedup();
            for threads in counts {
                let stage = Stage::Roofline(Roofline { threads });
                let id = format!("profile/roofline-t{threads}");
                self.push(id, stage, Vec::new(), Kind::Checkpoint);
            }
        }
        for (variant, setting, inputs) in cells {
            let planned = self.built[&variant].clone();
            let artifact = planned.artifact(setting.part.as_deref());
            let mut needs: Vec<StepIndex> = [artifact].into_iter().chain(tokens).collect();
            if planned.needs_runtime() {
                needs.push(self.runtime());
            }
            needs.extend(planned.device);
            let id = format!("profile/{variant}/{}", setting.id());
            let stage = ProfileStage {
                backend: planned.runner,
                variant,
                setting: setting.clone(),
                data: data.map(str::to_owned),
                inputs: inputs.clone(),
                ops: asked.ops,
                roofline: asked.roofline,
            };
            self.push(id, Stage::Profile(stage), needs, Kind::Checkpoint);
        }
    }
}

/// Whether `bench.profile` asks for a cell; without `cells` it asks for all variants under the
/// first setting.
fn is_asked(asked: &OpProfile, first: Option<&Setting>, variant: &str, setting: &Setting) -> bool {
    if asked.cells.is_empty() {
        return first == Some(setting);
    }
    let fits = |wanted: Option<u32>, found: u32| wanted.is_none_or(|wanted| wanted == found);
    asked.cells.iter().any(|cell| {
        cell.variant.as_deref().is_none_or(|wanted| wanted == variant)
            && cell.part.as_ref().is_none_or(|part| setting.part.as_ref() == Some(part))
            && fits(cell.batch, setting.batch)
            && match &setting.work {
                Work::Tokens { prompt_tokens, new_tokens } => {
                    fits(cell.prompt_tokens, *prompt_tokens) && fits(cell.new_tokens, *new_tokens)
                }
                Work::Run { dims } => cell.dims.iter().all(|(name, size)| {
                    dims.iter().any(|(known, found)| (known, found) == (name, size))
                }),
            }
    })
}

/// The scenarios that are measured in blocks, with what their requests are held to.
pub(super) fn loads(bench: &BenchSpec) -> Vec<(Load, Option<Slo>)> {
    let mut out = Vec::new();
    for scenario in bench.scenarios() {
        match scenario {
            Scenario::SingleStream => out.push((Load::SingleStream, None)),
            Scenario::MultiStream(load) => {
                out.push((Load::MultiStream { samples: load.samples }, None));
            }
            Scenario::Offline(load) => out.push((Load::Offline { samples: load.samples }, None)),
            Scenario::Concurrency(load) => {
                let users = load.users.iter();
                out.extend(users.map(|&users| (Load::Concurrency { users }, None)));
            }
            Scenario::Server(load) => {
                let slo = load.slo.as_ref().and_then(slo_of);
                let requests = load.requests.unwrap_or(USUAL_REQUESTS);
                // The schema lets only numbers above 0 through.
                let rates = load.rate.iter().filter_map(|rate| Positive::new(*rate));
                let arrivals = arrivals(load);
                out.extend(rates.map(|rate| (Load::Server { rate, arrivals, requests }, slo)));
            }
        }
    }
    if out.is_empty() {
        // Rates that are searched for alone: what is measured beside them is one stream.
        out.push((Load::SingleStream, None));
    }
    out
}

/// What rates are searched for under: bounds, requests of a launch and the law of arrivals.
fn rate_searches(bench: &BenchSpec) -> impl Iterator<Item = (Slo, u32, Arrivals)> {
    bench.scenarios().iter().filter_map(|scenario| {
        let Scenario::Server(load) = scenario else { return None };
        let slo = slo_of(load.search.as_ref()?)?;
        let usual = || looks(slo.share, look_confidence(0.95))[0];
        Some((slo, load.requests.unwrap_or_else(usual), arrivals(load)))
    })
}

/// The bounds of an objective that `check` has found sound; they share one share of the requests.
fn slo_of(objective: &Objective) -> Option<Slo> {
    let bounds = objective.bounds();
    let (_, share, _) = bounds.first()?;
    let of = |what: &str| {
        let own = bounds.iter().find(|(key, ..)| key.ends_with(what));
        own.map(|(.., time)| time.as_secs())
    };
    Some(Slo { share: *share, latency: of("latency"), ttft: of("ttft"), tpot: of("tpot") })
}

/// Arrivals follow the law of scenario `server`, where there is one.
fn pace(bench: &BenchSpec, asked: &Soak) -> Pace {
    let server = bench.scenarios().iter().find_map(|scenario| match scenario {
        Scenario::Server(load) => Some(arrivals(load)),
        _ => None,
    });
    let law = server.unwrap_or_default();
    // The schema lets only numbers above 0 through.
    let above = |number: Option<f64>| number.and_then(Positive::new);
    match (above(asked.rate), above(asked.load.map(|share| share.0))) {
        (Some(rate), _) => Pace::Rate(rate, law),
        (None, Some(share)) => Pace::Share(share, law),
        (None, None) => Pace::Closed,
    }
}

fn arrivals(load: &ServerLoad) -> Arrivals {
    match load.arrivals {
        ArrivalLaw::Poisson => Arrivals::Poisson,
        ArrivalLaw::Constant => Arrivals::Constant,
        ArrivalLaw::Gamma => load.shape.and_then(Positive::new).map_or(
            // Without a shape `check` does not let it through.
            Arrivals::Poisson,
            Arrivals::Gamma,
        ),
    }
}

/// How many threads that is on this machine.
pub(super) fn threads(asked: Threads, around: &Surroundings) -> u32 {
    match asked {
        Threads::Physical => around.physical_cores,
        Threads::Logical => around.logical_cores,
        Threads::Count(n) => n,
    }
}

/// The matrix of text generation with machine properties resolved; equal settings appear once.
pub(super) fn tokens_of(bench: &BenchSpec, around: &Surroundings) -> Vec<Setting> {
    let matrix = &bench.matrix;
    let (prompts, new) = (matrix.prompt_tokens.as_deref(), matrix.new_tokens.as_deref());
    let mut out = Vec::new();
    for &batch in matrix.batch.sizes() {
        for &prompt_tokens in prompts.unwrap_or_default() {
            for &new_tokens in new.unwrap_or_default() {
                for &asked in &matrix.threads {
                    let threads = threads(asked, around);
                    let setting = Setting::tokens(batch, prompt_tokens, new_tokens, threads);
                    if !out.contains(&setting) {
                        out.push(setting);
                    }
                }
            }
        }
    }
    out
}
