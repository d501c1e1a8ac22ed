//! Settings of the matrix as steps, and what is profiled.

use super::expand::{Builder, Surroundings};
use super::{StepIndex, VariantPlan};
use crate::measure::search::Bound;
use crate::measure::warmup::allowed;
use crate::model::Kind;
use crate::scenario::StreamRules;
use crate::spec::{Bench as BenchSpec, OpProfile, Task, Threads, Warmup};
use crate::stage::{Bench, ProfileStage, Roofline, Search, Setting, SoakStage, Stage, Work};
use crate::task::TensorInputs;

impl Builder<'_> {
    /// Finds settings that can never give a number.
    pub(super) fn possible(&mut self, bench: &BenchSpec) {
        use crate::spec::MetricName::{DecodeTps, Itl};
        let metric = bench.deciding(Some(Task::TextGeneration));
        let (prompts, new) = (&bench.matrix.prompt_tokens, &bench.matrix.new_tokens);
        let (prompts, new) =
            (prompts.as_deref().unwrap_or_default(), new.as_deref().unwrap_or_default());
        let longest_new = new.iter().max().copied().unwrap_or(0);
        for (index, &new) in new.iter().enumerate() {
            if new < 2 && matches!(metric, DecodeTps | Itl) {
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
        for (setting, inputs) in runs {
            let id = format!("bench/{}", setting.id());
            let stage = Bench {
                setting: setting.clone(),
                variants: variants.clone(),
                data: data.clone(),
                inputs: inputs.clone(),
                rules,
            };
            let part = setting.part.as_deref();
            let mut needs: Vec<StepIndex> = self.built.values().map(|v| v.artifact(part)).collect();
            needs.sort_unstable();
            needs.dedup();
            needs.extend(tokens);
            needs.extend(runtime);
            needs.extend(&devices);
            self.push(id, Stage::Bench(stage.clone()), needs.clone(), Kind::Checkpoint);
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
        self.soaks(bench, runs, data.as_deref(), tokens);
        if let Some(asked) = &bench.profile {
            self.profiles(asked, runs, data.as_deref(), tokens);
        }
    }

    /// One step for every variant, under the first setting.
    fn soaks(
        &mut self,
        bench: &BenchSpec,
        runs: &[(Setting, Option<TensorInputs>)],
        data: Option<&str>,
        tokens: Option<StepIndex>,
    ) {
        let (Some(asked), Some((setting, inputs))) = (&bench.soak, runs.first()) else { return };
        let variants: Vec<String> = self.loaded.spec.variants.keys().cloned().collect();
        for variant in variants {
            let planned = self.built[&variant].clone();
            let artifact = planned.artifact(setting.part.as_deref());
            let mut needs: Vec<StepIndex> = [artifact].into_iter().chain(tokens).collect();
            if planned.needs_runtime() {
                needs.push(self.runtime());
            }
            needs.extend(planned.device);
            let id = format!("soak/{variant}/{}", setting.id());
            let stage = SoakStage {
                variant,
                setting: setting.clone(),
                data: data.map(str::to_owned),
                inputs: inputs.clone(),
                duration: asked.duration.0,
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
