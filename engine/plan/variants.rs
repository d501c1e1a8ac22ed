//! Variants as chains of steps.

use indexmap::IndexMap;

use super::expand::Builder;
use super::graph::{Graph, Graphs};
use super::{StepIndex, VariantPlan};
use crate::backend::{self, Backend, Runner};
use crate::model::Kind;
use crate::pass;
use crate::spec::{OneKey, PARTS_KEY, Task};
use crate::stage::{LoadTokens, Optimize, Stage};

impl Builder<'_> {
    /// Builds the steps of `name` after those of the variant it starts from: for a model of several
    /// parts one chain for each. `spec::check` has made sure that `from` has no cycles.
    pub(super) fn variant(
        &mut self,
        name: &str,
        source: StepIndex,
        graphs: &Graphs,
    ) -> VariantPlan {
        if let Some(done) = self.built.get(name) {
            return done.clone();
        }
        let variant = &self.loaded.spec.variants[name];
        let mut plan = match &variant.from {
            Some(from) => self.variant(from, source, graphs),
            None => VariantPlan {
                runner: Runner::default(),
                device: None,
                parts: match graphs.is_empty() {
                    true => IndexMap::from([(String::new(), source)]),
                    false => graphs.keys().map(|part| (part.clone(), source)).collect(),
                },
                recipe: Vec::new(),
            },
        };
        let sound = (variant.stages.iter().enumerate())
            .all(|(index, stage)| self.apply(name, index, &stage.0, &mut plan, source, graphs));
        let kinds: Vec<Kind> = plan.parts.values().map(|&step| self.kinds[step]).collect();
        let kind = kinds[0];
        let backend = match variant.backend {
            Some(crate::spec::Backend::Candle) => "candle",
            Some(crate::spec::Backend::Onnxruntime) => "onnxruntime",
            None => backend::opener(kind).map_or("", Backend::id),
        };
        plan.runner = Runner { backend: backend.to_owned(), placement: self.placement(variant) };
        let opens =
            |kind: &Kind| backend::backend(backend).is_some_and(|b| b.opens().contains(kind));
        let foreign = kinds.iter().find(|kind| !opens(kind));
        if let Some(foreign) = foreign.filter(|_| sound) {
            let what = format!("backend `{backend}` cannot open a {}", foreign.name());
            self.problem("plan/impossible-chain", &format!("/variants/{name}"), what);
        } else if sound {
            self.place(name, &mut plan);
        }
        self.built.insert(name.to_owned(), plan.clone());
        plan
    }

    /// Adds stage number `index` of variant `name` to the chains of the parts it is about; false
    /// with a problem when that cannot be.
    fn apply(
        &mut self,
        name: &str,
        index: usize,
        stage: &OneKey,
        plan: &mut VariantPlan,
        source: StepIndex,
        graphs: &Graphs,
    ) -> bool {
        let pointer = format!("/variants/{name}/stages/{index}");
        let mut params = stage.params.clone();
        let asked = params.as_object_mut().and_then(|params| params.remove(PARTS_KEY));
        let asked: Option<Vec<String>> = asked.and_then(|asked| serde_json::from_value(asked).ok());
        let known: Vec<&str> = plan.parts.keys().map(String::as_str).collect();
        let place = format!("{pointer}/{}/{PARTS_KEY}", stage.id);
        if !asked.iter().flatten().all(|part| self.known_part(&place, part, &known)) {
            return false;
        }
        let chosen: Vec<(String, StepIndex)> = plan
            .parts
            .iter()
            .filter(|(part, _)| asked.as_ref().is_none_or(|asked| asked.contains(part)))
            .map(|(part, step)| (part.clone(), *step))
            .collect();
        for (part, input) in chosen {
            let data = match params.get("data").and_then(serde_json::Value::as_str) {
                Some(data) => match self.calibration(data, &pointer, source, graphs.get(&part)) {
                    Some(step) => Some(step),
                    None => return false,
                },
                None => None,
            };
            match self.stage((name, &part), &stage.id, &params, input, data) {
                Ok(step) => {
                    plan.parts[&part] = step;
                }
                Err(why) => {
                    self.problem("plan/impossible-chain", &pointer, why);
                    return false;
                }
            }
        }
        let label = Optimize::label_of(&stage.id, &params);
        plan.recipe.push(match asked {
            Some(asked) => format!("{label} ({})", asked.join(", ")),
            None => label,
        });
        true
    }

    /// The step that loads the data set a stage calibrates with; `None` with a problem when there
    /// can be none.
    fn calibration(
        &mut self,
        data: &str,
        pointer: &str,
        source: StepIndex,
        graph: Option<&Graph>,
    ) -> Option<StepIndex> {
        if self.loaded.spec.model.task.is_some_and(Task::runs_tensors) {
            // A graph that cannot be read was told of.
            return self.items_step(data, graph?, source);
        }
        if self.loaded.spec.model.source.starts_with("random://") {
            let what = format!(
                "`{data}` holds texts, and a model with random weights has no tokenizer to read them with"
            );
            self.problem("plan/impossible-chain", pointer, what);
            return None;
        }
        self.tokens(data, source)
    }

    /// The step that applies a stage to what step `input` leaves, with the data set that step
    /// `data` loads; an equal one is used again.
    fn stage(
        &mut self,
        (variant, part): (&str, &str),
        id: &str,
        params: &serde_json::Value,
        input: StepIndex,
        data: Option<StepIndex>,
    ) -> Result<StepIndex, String> {
        let pass = pass::pass(id, params).ok_or_else(|| format!("there is no pass `{id}`"))?;
        let takes = self.kinds[input];
        let gives = pass.takes(takes)?;
        if let Some(networks) = self.networks.as_ref().filter(|_| takes == Kind::Checkpoint) {
            pass.takes_networks(networks, params)?;
        }
        let mut params = params.clone();
        if pass.takes_out_a_part() && !part.is_empty() {
            params["part"] = part.into();
        }
        let optimize = Optimize { pass: id.to_owned(), params: params.clone(), takes, gives };
        let stage = Stage::Optimize(optimize);
        let mut needs: Vec<StepIndex> = std::iter::once(input).chain(data).collect();
        if pass.runtime(&params) {
            needs.push(self.runtime());
        }
        let equal = self.steps.iter().position(|s| s.needs == needs && s.stage == stage);
        if let Some(step) = equal {
            return Ok(step);
        }
        let id = match part {
            "" => format!("{variant}/{id}"),
            part => format!("{variant}/{id}-{part}"),
        };
        let id = self.free_id(&id);
        Ok(self.push(id, stage, needs, gives))
    }

    pub(super) fn free_id(&self, wanted: &str) -> String {
        let taken = |id: &str| self.steps.iter().any(|step| step.id == id);
        if !taken(wanted) {
            return wanted.to_owned();
        }
        let mut number = 2;
        while taken(&format!("{wanted}-{number}")) {
            number += 1;
        }
        format!("{wanted}-{number}")
    }

    /// The step that tokenizes a data set; `None` with a problem when its file cannot be read.
    pub(super) fn tokens(&mut self, name: &str, source: StepIndex) -> Option<StepIndex> {
        let id = format!("data/{name}");
        if let Some(step) = self.steps.iter().position(|step| step.id == id) {
            return Some(step);
        }
        let (path, digest) = self.texts(name)?;
        let data = &self.loaded.spec.data[name];
        let load = LoadTokens {
            data: name.to_owned(),
            path,
            digest,
            field: data.field.clone(),
            split: data.split.clone(),
            take: data.take,
            seed: data.seed,
            tokens: data.tokens,
        };
        Some(self.push(id, Stage::LoadTokens(load), vec![source], Kind::Checkpoint))
    }
}
