//! Settings and inputs of a graph, from its signature, the matrix and recorded files.

use super::benches::threads;
use super::expand::Builder;
use super::graph::{Graph, Graphs};
use crate::base::suggest::closest;
use crate::model::signature::{Dim, Port};
use crate::scenario::Load;
use crate::spec::{Bench as BenchSpec, Matrix};
use crate::stage::{Setting, Work};
use crate::task::{Origin, TensorInputs, usual_size};

/// `{height: [224], width: [224]}` for these dimensions.
fn dims_line(names: &[&str], inputs: &[Port]) -> String {
    let plain = |name: &str| {
        let mut chars = name.chars();
        chars.next().is_some_and(|c| c.is_ascii_alphabetic())
            && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
            && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
                .contains(&name.to_ascii_lowercase().as_str())
    };
    let one = |name: &&str| {
        let key =
            if plain(name) { (*name).to_owned() } else { serde_json::json!(name).to_string() };
        format!("{key}: [{}]", usual_size(name, inputs))
    };
    format!("{{{}}}", names.iter().map(one).collect::<Vec<_>>().join(", "))
}

impl Builder<'_> {
    /// Settings of the matrix with the inputs of each, and problems for what cannot be made.
    pub(super) fn runs(&mut self, graphs: &Graphs) -> Vec<(Setting, TensorInputs)> {
        let Some(bench) = &self.loaded.spec.bench else { return Vec::new() };
        let mut out: Vec<(Setting, TensorInputs)> = Vec::new();
        self.known_parts(graphs, bench);
        self.known_dimensions(graphs, &bench.matrix);
        for (part, graph) in graphs {
            if bench.matrix.part.is_empty() || bench.matrix.part.contains(part) {
                let part = Some(part.as_str()).filter(|part| !part.is_empty());
                self.runs_of(part, graph, bench, &mut out);
            }
        }
        out
    }

    fn runs_of(
        &mut self,
        part: Option<&str>,
        graph: &Graph,
        bench: &BenchSpec,
        out: &mut Vec<(Setting, TensorInputs)>,
    ) {
        self.batches(graph, &bench.matrix);
        // Random weights come without a tokenizer.
        let random = self.loaded.spec.model.source.starts_with("random://");
        let data = bench.data.as_ref().filter(|_| !(random && graph.takes_texts()));
        let given = match data {
            Some(name) => match self.inputs_of(name, graph) {
                Some(inputs) => Some(inputs),
                None => return,
            },
            None => None,
        };
        let recorded = given.as_ref().is_some_and(|i| !matches!(i.origin, Origin::Texts(_)));
        if !self.dimensions(graph, &bench.matrix, recorded) {
            return;
        }
        let mut combinations: Vec<Vec<(String, u32)>> = vec![Vec::new()];
        for (name, sizes) in graph.dims_of(&bench.matrix) {
            if graph.length() == Some(&Dim::Named(name.to_owned()))
                && let Some(context) = graph.context
                && let Some(size) = sizes.iter().find(|size| **size as usize > context)
            {
                let what =
                    format!("{size} tokens do not fit the model's longest text of {context}");
                self.problem("plan/too-long", &dim_pointer(name), what);
                return;
            }
            combinations = combinations
                .iter()
                .flat_map(|begin| {
                    sizes
                        .iter()
                        .map(|size| [begin.clone(), vec![(name.to_owned(), *size)]].concat())
                })
                .collect();
        }
        for &batch in bench.matrix.batch.sizes() {
            for dims in &combinations {
                for &asked in &bench.matrix.threads {
                    let (dims, threads) = (dims.clone(), threads(asked, self.around));
                    let inputs = match &given {
                        None => graph.synthetic(&dims),
                        Some(inputs) => inputs.cut_to(graph.tokens(&dims)),
                    };
                    let setting = Setting {
                        part: part.map(str::to_owned),
                        batch,
                        work: Work::Run { dims },
                        threads,
                        load: Load::SingleStream,
                    };
                    if out.iter().all(|(known, _)| *known != setting) {
                        out.push((setting, inputs));
                    }
                }
            }
        }
    }

    /// What a quality metric is judged on: recorded inputs, or synthetic ones with the first size
    /// of each dimension of the matrix.
    pub(super) fn judged_inputs(
        &mut self,
        data: Option<&str>,
        graph: &Graph,
    ) -> Option<TensorInputs> {
        if let Some(name) = data {
            return self.inputs_of(name, graph);
        }
        let matrix =
            self.loaded.spec.bench.as_ref().map_or_else(Matrix::default, |b| b.matrix.clone());
        // With a matrix the benchmark tells of it.
        let told = self.loaded.spec.bench.as_ref().is_some_and(|bench| bench.data.is_none());
        let missing = graph.missing(&matrix);
        if let [(name, input), ..] = missing.as_slice() {
            if !told {
                let what = format!(
                    "input `{input}` leaves `{name}` open, and without a size there are no synthetic inputs to judge on"
                );
                self.problem("plan/missing-dimension", "/quality/metrics", what).hint =
                    Some("name a data set of recorded inputs".into());
            }
            return None;
        }
        let sizes = graph.dims_of(&matrix).into_iter();
        let dims: Vec<(String, u32)> =
            sizes.map(|(name, sizes)| (name.to_owned(), sizes[0])).collect();
        Some(graph.synthetic(&dims))
    }

    /// Without a free batch dimension every request is one item.
    fn batches(&mut self, graph: &Graph, matrix: &Matrix) {
        if !graph.free.batch.is_empty() {
            return;
        }
        let inputs: Vec<String> =
            graph.signature.inputs.iter().map(|port| format!("`{port}`")).collect();
        if matrix.batch.search().is_some() {
            let what = "the graph has no free batch dimension, so there is no batch to search for";
            let problem = self.told_once("plan/fixed-batch", "/bench/matrix/batch", what.into());
            if let Some(problem) = problem {
                problem.hint = Some("write `[1]`".into());
            }
        }
        let sizes = matrix.batch.sizes().iter().enumerate();
        for (index, batch) in sizes.filter(|(_, batch)| **batch != 1) {
            let what = format!(
                "the graph has no free batch dimension, so a batch of {batch} cannot be given: {}",
                inputs.join(", ")
            );
            let pointer = format!("/bench/matrix/batch/{index}");
            self.problem("plan/fixed-batch", &pointer, what).hint = Some("write `[1]`".into());
        }
    }

    /// The matrix, gates and profiles name parts that the model has.
    fn known_parts(&mut self, graphs: &Graphs, bench: &BenchSpec) {
        let asked = bench.matrix.part.iter().enumerate();
        let asked = asked.map(|(at, part)| (format!("/bench/matrix/part/{at}"), Some(part)));
        let gates = self.loaded.spec.gates.iter().enumerate();
        let gates = gates.map(|(at, gate)| (format!("/gates/{at}/on/part"), gate.on.part.as_ref()));
        let cells = bench.profile.iter().flat_map(|profile| &profile.cells).enumerate();
        let cells =
            cells.map(|(at, cell)| (format!("/bench/profile/cells/{at}/part"), cell.part.as_ref()));
        let known: Vec<&str> = graphs.keys().map(String::as_str).collect();
        for (pointer, part) in asked.chain(gates).chain(cells) {
            if let Some(part) = part {
                self.known_part(&pointer, part, &known);
            }
        }
    }

    /// Tells of a part that the model does not have; true if it has it.
    pub(super) fn known_part(&mut self, pointer: &str, part: &str, known: &[&str]) -> bool {
        if !part.is_empty() && known.contains(&part) {
            return true;
        }
        let what = match known {
            [""] => format!("the model has no parts, so no part `{part}`"),
            known => format!("the model has no part `{part}`, only {}", known.join(", ")),
        };
        let hint = closest(part, known.iter().copied()).filter(|part| !part.is_empty());
        self.problem("plan/unknown-part", pointer, what).hint =
            hint.map(|part| format!("did you mean `{part}`?"));
        false
    }

    /// Every size of the matrix is of a free dimension of some part.
    fn known_dimensions(&mut self, graphs: &Graphs, matrix: &Matrix) {
        let free = || graphs.values().flat_map(|graph| &graph.free.others);
        let mut known: Vec<&str> = free().map(|free| free.name.as_str()).collect();
        known.dedup();
        for name in matrix.dims.keys() {
            let (what, hint) = if graphs.values().any(|graph| graph.free.batch.contains(name)) {
                (
                    format!("`{name}` is the graph's batch dimension"),
                    Some("write it as `batch`".to_owned()),
                )
            } else if !known.contains(&name.as_str()) {
                let hint = closest(name, known.iter().copied());
                (
                    format!("the graph has no free dimension `{name}`"),
                    hint.map(|name| format!("did you mean `{name}`?")),
                )
            } else {
                continue;
            };
            let problem = self.problem("plan/unknown-dimension", &dim_pointer(name), what);
            problem.hint = hint;
            problem.notes.push(match known.as_slice() {
                [] => "every dimension but the batch is fixed".to_owned(),
                names => format!("free dimensions: {}", names.join(", ")),
            });
        }
    }

    /// Every free dimension has a size from one place.
    fn dimensions(&mut self, graph: &Graph, matrix: &Matrix, recorded: bool) -> bool {
        let before = self.problems.len();
        let given = graph.dims_of(matrix);
        if let Some(name) = given.keys().next().filter(|_| recorded) {
            let what = format!("recorded inputs have their own size of `{name}`");
            let problem = self.problem("plan/unknown-dimension", &dim_pointer(name), what);
            problem.hint = Some("leave it out, or `bench.data`".to_owned());
            let names: Vec<&str> =
                graph.free.others.iter().map(|free| free.name.as_str()).collect();
            problem.notes.push(format!("free dimensions: {}", names.join(", ")));
        }
        let missing = graph.missing(matrix);
        if let [(name, input), ..] = missing.as_slice()
            && !recorded
        {
            let what = match missing.len() {
                1 => format!("input `{input}` leaves `{name}` open, and nothing gives it a size"),
                n => format!(
                    "input `{input}` leaves `{name}` open, and nothing gives it a size; so do {} more",
                    n - 1
                ),
            };
            let names: Vec<&str> = missing.iter().map(|(name, _)| name.as_str()).collect();
            let line = format!("write `dims: {}`", dims_line(&names, &graph.signature.inputs));
            let problem = self.problem("plan/missing-dimension", "/bench/matrix", what);
            problem.hint = Some(line);
            problem.notes.push(format!("inputs: {}", graph.signature_inputs()));
        }
        self.problems.len() == before
    }
}

fn dim_pointer(name: &str) -> String {
    format!("/bench/matrix/dims/{}", name.replace('~', "~0").replace('/', "~1"))
}
