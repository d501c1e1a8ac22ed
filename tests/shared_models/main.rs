//! Every ONNX graph of the shared data runs through the library's own backend, and what comes out
//! is what its authors, its data set or its neighbours in the folder say.
//!
//! `cargo test --test shared_models -- --nocapture` prints one line per graph. A graph that the
//! runtime itself refuses must fail here with the runtime's reason, and a graph without a line
//! fails the test.

#[path = "../support/mod.rs"]
mod support;

mod conformance;
mod int8;
mod pictures;
mod signals;
mod tables;
mod transformers;
mod vision;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use engine::backend::{OpenOptions, Session, backend};
use engine::data::Tensor;
use engine::model::Kind;

/// What one graph did.
pub struct Row {
    /// Its path below the shared data.
    graph: String,
    compared: String,
    found: String,
    expected: String,
    verdict: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Holds,
    /// Neither this library nor the stock runtime opens it.
    Refused,
    Fails,
}

impl Row {
    pub fn new(
        graph: &str,
        compared: &str,
        (found, expected): (impl ToString, impl ToString),
        holds: bool,
    ) -> Self {
        Self {
            graph: graph.to_owned(),
            compared: compared.to_owned(),
            found: found.to_string(),
            expected: expected.to_string(),
            verdict: if holds { Verdict::Holds } else { Verdict::Fails },
        }
    }

    /// The same, where what holds is that it does not run.
    pub fn unless_failed(self, verdict: Verdict) -> Self {
        match self.verdict {
            Verdict::Fails => self,
            _ => Self { verdict, ..self },
        }
    }

    fn line(&self) -> String {
        let Self { graph, compared, found, expected, verdict } = self;
        let verdict = match verdict {
            Verdict::Holds => "holds",
            Verdict::Refused => "refused by the runtime",
            Verdict::Fails => "FAILS",
        };
        format!("| {graph} | {compared} | {found} | {expected} | {verdict} |")
    }
}

/// What a check found, or why it could not look.
pub type Checked = Result<Vec<Row>, String>;

/// The shared data and the runtime that its graphs run on.
pub struct Bench {
    data: PathBuf,
    library: PathBuf,
}

impl Bench {
    /// `None` with the reason printed where one of both is missing.
    fn find() -> Option<Self> {
        let data = Path::new(support::PROJECT).join("../shared/data");
        if !data.is_dir() {
            eprintln!("skipped: no folder {}", data.display());
            return None;
        }
        Some(Self { data, library: support::ort_library()? })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.data.join(name)
    }

    pub fn bytes(&self, name: &str) -> Result<Vec<u8>, String> {
        std::fs::read(self.path(name)).map_err(|error| format!("{name}: {error}"))
    }

    pub fn text(&self, name: &str) -> Result<String, String> {
        std::fs::read_to_string(self.path(name)).map_err(|error| format!("{name}: {error}"))
    }

    /// Opens a graph as a variant of a spec is opened.
    pub fn open(&self, graph: &str) -> Result<Box<dyn Session>, String> {
        self.open_file(&self.path(graph))
    }

    fn open_file(&self, file: &Path) -> Result<Box<dyn Session>, String> {
        let how = OpenOptions { runtime: Some(self.library.clone()), ..OpenOptions::default() };
        let backend = backend("onnxruntime").expect("it is in the list of backends");
        let opened = backend.session(file, Kind::Onnx, &how);
        // Where the data lies is of no interest to who reads the table.
        let folder = self.path("").display().to_string();
        opened.map_err(|error| error.to_string().replace(&folder, "").trim().to_owned())
    }

    /// Paths below the shared data of everything that `is_wanted`, in order.
    pub fn find_files(&self, below: &str, is_wanted: impl Fn(&Path) -> bool) -> Vec<String> {
        let files = support::files(&self.path(below)).into_iter().filter(|file| is_wanted(file));
        let relative = |file: PathBuf| {
            let path = file.strip_prefix(&self.data).expect("it was found below");
            path.to_str().expect("names are ASCII").to_owned()
        };
        let mut found: Vec<String> = files.map(relative).collect();
        found.sort();
        found
    }
}

/// Whether a file's name ends so.
pub fn has_suffix(path: &Path, suffix: &str) -> bool {
    path.extension().is_some_and(|found| found == suffix)
}

/// One run of a session whose inputs are given in any order; outputs in the order of the graph.
pub fn run(session: &mut dyn Session, inputs: &[(&str, Tensor)]) -> Result<Vec<Tensor>, String> {
    let named: Vec<(String, Tensor)> =
        inputs.iter().map(|(name, tensor)| ((*name).to_owned(), tensor.clone())).collect();
    let outputs = session.run(&named).map_err(|error| error.to_string())?;
    Ok(outputs.into_iter().map(|(_, tensor)| tensor).collect())
}

/// The largest difference between two rows of numbers; infinite when one is longer or when one of
/// two numbers is none or has no end, unless they are equal.
pub fn distance(found: &[f64], expected: &[f64]) -> f64 {
    if found.len() != expected.len() {
        return f64::INFINITY;
    }
    found.iter().zip(expected).fold(0.0, |largest: f64, (f, e)| match (f - e).abs() {
        difference if difference.is_finite() => largest.max(difference),
        _ if f == e => largest,
        _ => f64::INFINITY,
    })
}

/// How many of these are true, and their share of all.
pub fn count(of: &[bool]) -> usize {
    of.iter().filter(|is| **is).count()
}

pub fn share(of: &[bool]) -> f64 {
    count(of) as f64 / of.len() as f64
}

/// Index of the largest number.
pub fn top(row: &[f64]) -> usize {
    ranked(row).first().copied().unwrap_or_default()
}

/// Indices by falling value; equals keep their order.
pub fn ranked(row: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..row.len()).collect();
    order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
    order
}

#[test]
fn every_graph_of_the_shared_data_gives_what_is_expected_of_it() {
    let Some(bench) = Bench::find() else { return };
    let checks: [fn(&Bench) -> Checked; 15] = [
        conformance::light,
        conformance::simple,
        signals::silero,
        signals::magika,
        tables::trees,
        tables::iris,
        transformers::bert,
        transformers::gpt2,
        vision::mnist,
        vision::resnet,
        vision::squeezenet,
        vision::super_resolution,
        vision::detectors,
        vision::style,
        int8::all,
    ];
    let (mut rows, mut faults) = (Vec::new(), Vec::new());
    for check in checks {
        match check(&bench) {
            Ok(found) => rows.extend(found),
            Err(why) => faults.push(why),
        }
    }
    println!("| graph | compared | found | expected | |\n|---|---|---|---|---|");
    for row in &rows {
        println!("{}", row.line());
        if row.verdict == Verdict::Fails {
            faults.push(row.line());
        }
    }
    let seen: BTreeSet<&str> = rows.iter().map(|row| row.graph.as_str()).collect();
    for graph in bench.find_files("", |file| has_suffix(file, "onnx")) {
        if !seen.contains(graph.as_str()) {
            faults.push(format!("{graph}: no check is about it"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
