//! What data sets give: texts, pictures and recorded tensors as inputs of graphs.

use std::path::PathBuf;

use super::StepIndex;
use super::expand::Builder;
use super::graph::Graph;
use crate::base::text::inert;
use crate::base::{Digest, Problem};
use crate::data::{Document, Excluded, TextChoice, Texts, is_idx};
use crate::model::Kind;
use crate::spec::Task;
use crate::stage::{LoadItems, Stage, find_file};
use crate::task::{
    Extract, Item, Looked, Origin, PictureFile, Pictures, Recorded, RecordedFile, Size,
    TensorInputs, TextFile,
};

/// Items that a note names.
const NAMED: usize = 5;

impl Builder<'_> {
    /// The absolute path of a data set; `None` with a problem when there is nothing.
    pub(super) fn data_file(&mut self, name: &str) -> Option<PathBuf> {
        match find_file(&self.loaded.spec.data[name].source, &self.around.roots) {
            Ok(path) => Some(std::path::absolute(&path).unwrap_or(path)),
            Err(error) => {
                self.missing(&format!("/data/{name}/source"), &error);
                None
            }
        }
    }

    /// Remembers items of a data set, of whichever kind they are.
    fn remember(&mut self, name: &str, items: impl Iterator<Item = Digest>) {
        self.items.entry(name.to_owned()).or_default().extend(items);
    }

    /// Inputs from a data set, of whatever kind it is; `None` with a problem when they cannot be
    /// used. Texts have each their own length.
    pub(super) fn inputs_of(&mut self, name: &str, graph: &Graph) -> Option<TensorInputs> {
        let task = self.loaded.spec.model.task?;
        let source = &self.loaded.spec.data[name].source;
        let suffix = source.rsplit_once('.').map_or("", |(_, suffix)| suffix);
        if task == Task::Tensor || matches!(suffix, "npz" | "npy" | "pb") {
            return self.recorded(name, graph);
        }
        let origin = match graph.takes_texts() {
            true => Origin::Texts(self.text_file(name, graph)?),
            false => Origin::Pictures(self.picture_file(name)?),
        };
        let (inputs, outputs) = (graph.ports(&|_| Size::Any), graph.outputs());
        Some(TensorInputs { inputs, outputs, origin })
    }

    /// The file of a data set of texts, with its digest; `None` with a problem when it cannot be
    /// read. It is read once.
    pub(super) fn texts(&mut self, name: &str) -> Option<(PathBuf, Digest)> {
        if let Some(known) = self.texts.get(name) {
            return Some(known.clone());
        }
        let path = self.data_file(name)?;
        let data = &self.loaded.spec.data[name];
        let choice = TextChoice {
            field: &data.field,
            pair: data.pair.as_deref(),
            split: data.split.as_deref(),
            take: data.take,
            seed: data.seed,
        };
        match Texts::choose(&path, &choice) {
            Ok(texts) => {
                let digest = |text: &Document| Digest::of_bytes(text.text.as_bytes());
                self.remember(name, texts.documents.iter().map(digest));
                let found = (path, texts.digest);
                self.texts.insert(name.to_owned(), found.clone());
                Some(found)
            }
            Err(error) => {
                let pointer = format!("/data/{name}/source");
                self.told_once("plan/bad-data", &pointer, error.to_string());
                None
            }
        }
    }

    fn text_file(&mut self, name: &str, graph: &Graph) -> Option<TextFile> {
        let (path, digest) = self.texts(name)?;
        let data = &self.loaded.spec.data[name];
        Some(TextFile {
            path,
            digest,
            field: data.field.clone(),
            pair: data.pair.clone(),
            split: data.split.clone(),
            take: data.take,
            seed: data.seed,
            length: None,
            most: graph.longest(),
        })
    }

    /// The file of a data set of pictures; `None` with a problem when none can be used. Pictures
    /// are looked at once.
    pub(super) fn picture_file(&mut self, name: &str) -> Option<PictureFile> {
        if let Some((file, _)) = self.pictures.get(name) {
            return Some(file.clone());
        }
        let path = self.data_file(name)?;
        let data = &self.loaded.spec.data[name];
        let written = |key: &str| self.loaded.locator.is_written(&format!("/data/{name}/{key}"));
        let labels = match &data.labels {
            None => None,
            Some(labels) => match find_file(labels, &self.around.roots) {
                Ok(path) => Some(std::path::absolute(&path).unwrap_or(path)),
                Err(error) => {
                    self.missing(&format!("/data/{name}/labels"), &error);
                    return None;
                }
            },
        };
        if labels.is_some() && !is_idx(&path) {
            let what = format!("`data.{name}` is no idx file, whose labels another file has");
            let problem = self.told_once("plan/bad-data", &format!("/data/{name}/labels"), what);
            if let Some(problem) = problem {
                problem.hint = Some("name the column of classes as `label`".into());
            }
            return None;
        }
        let mut file = PictureFile {
            labels,
            split: data.split.clone(),
            image: data.image.clone().unwrap_or_else(|| "image".to_owned()),
            label: data.label.clone(),
            // The usual name of a caption is another than that of a text.
            field: written("field").then(|| data.field.clone()),
            take: data.take,
            seed: data.seed,
            ..PictureFile::at(path)
        };
        match Pictures::look(&mut file) {
            Ok(looked) => {
                self.tell_of(name, &looked);
                self.remember(name, looked.items.iter().copied());
                self.pictures.insert(name.to_owned(), (file.clone(), looked));
                Some(file)
            }
            Err(error) => {
                let pointer = format!("/data/{name}/source");
                self.told_once("plan/bad-data", &pointer, crate::base::chain(&error));
                None
            }
        }
    }

    /// Says which pictures are left out and which classes have none.
    fn tell_of(&mut self, name: &str, looked: &Looked) {
        self.left_out(name, "picture", &looked.excluded);
        if !looked.empty_labels.is_empty() {
            let labels: Vec<String> =
                looked.empty_labels.iter().take(NAMED).map(|label| inert(label)).collect();
            self.notes.push(format!("data set `{name}`: no picture of {}", labels.join(", ")));
        }
    }

    /// Says which items, each a `noun`, are left out and why.
    fn left_out(&mut self, name: &str, noun: &str, excluded: &[Excluded]) {
        let count = excluded.len();
        if count == 0 {
            return;
        }
        let one = |e: &Excluded| format!("`{}` {}", inert(&e.name), inert(&e.why));
        let named: Vec<String> = excluded.iter().take(NAMED).map(one).collect();
        let (s, more) = (if count == 1 { "" } else { "s" }, if count > NAMED { "; …" } else { "" });
        let named = named.join("; ");
        self.note(format!("data set `{name}`: {count} {noun}{s} left out: {named}{more}"));
    }

    /// A note, once.
    fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Recorded inputs of a data set; `None` with a problem when they cannot be used. They are read
    /// once for all graphs with the same inputs and outputs.
    fn recorded(&mut self, name: &str, graph: &Graph) -> Option<TensorInputs> {
        let data = &self.loaded.spec.data[name];
        let pointer = format!("/data/{name}/source");
        let (inputs, outputs) = (graph.ports(&|_| Size::Any), graph.outputs());
        let mut known = self.recorded.get(name).into_iter().flatten();
        let same = |known: &&TensorInputs| known.inputs == inputs && known.outputs == outputs;
        if let Some(known) = known.find(same) {
            return Some(known.clone());
        }
        let path = self.data_file(name)?;
        let samples = data.samples.map(|samples| samples as usize);
        let split = data.split.clone();
        let what = Extract { split: split.as_deref(), samples };
        let mut recorded = match Recorded::extract(&path, what, &inputs, &outputs) {
            Ok(recorded) => recorded,
            Err(error) => {
                let what = crate::base::chain(&error);
                self.told_once("plan/bad-data", &pointer, what);
                return None;
            }
        };
        self.expected.insert(name.to_owned(), recorded.has_expected());
        let (digest, take, seed) = (recorded.digest, data.take, data.seed);
        self.left_out(name, "file", &recorded.excluded);
        for note in std::mem::take(&mut recorded.notes) {
            self.note(format!("data set `{name}`: {note}"));
        }
        let file = RecordedFile { path, digest, split, samples, take, seed };
        let items = recorded.items(&file);
        self.remember(name, items.iter().map(Item::digest));
        let found = TensorInputs { inputs, outputs, origin: Origin::Recorded(file) };
        self.recorded.entry(name.to_owned()).or_default().push(found.clone());
        Some(found)
    }

    /// The step that leaves items to calibrate on; `None` with a problem when there can be none.
    pub(super) fn items_step(
        &mut self,
        name: &str,
        graph: &Graph,
        source: StepIndex,
    ) -> Option<StepIndex> {
        let inputs = self.inputs_of(name, graph)?;
        let load = LoadItems { data: name.to_owned(), inputs };
        let needs = if load.inputs.origin.asks_the_model() { vec![source] } else { Vec::new() };
        let equal = |step: &super::Step| step.stage == Stage::LoadItems(load.clone());
        if let Some(step) = self.steps.iter().position(equal) {
            return Some(step);
        }
        let id = self.free_id(&format!("data/{name}"));
        Some(self.push(id, Stage::LoadItems(load), needs, Kind::Checkpoint))
    }

    pub(super) fn told_once(
        &mut self,
        code: &'static str,
        pointer: &str,
        what: String,
    ) -> Option<&mut Problem> {
        let known = |problem: &Problem| problem.code == code && problem.what == what;
        if self.problems.iter().any(known) {
            return None;
        }
        Some(self.problem(code, pointer, what))
    }
}
