//! Calibration: running a graph on data and looking at what its tensors hold.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use indexmap::IndexMap;

use super::PassError;
use super::observe::{BINS, Extremes, Histogram, LEVELS, Range};
use crate::backend::Session;
use crate::data::{ElementType, TOKENS_FILE, Tensor, TokenFile};
use crate::model::Signature;
use crate::model::onnx::ModelProto;
use crate::model::onnx::proto::ValueInfoProto;
use crate::model::signature::{Dim, Port};

/// Longest text of one run where the model says nothing: intermediate tensors are all kept at once.
const LONGEST: usize = 2048;

/// The inputs of one run, by name.
pub type Sample = Vec<(String, Tensor)>;

/// How the range of a tensor is found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    MinMax,
    Entropy,
    Percentile(f64),
}

/// What a graph is run on, one run at a time.
pub struct Samples {
    pub count: usize,
    make: Box<dyn Fn(usize) -> Sample>,
}

/// What calibration found.
#[derive(Debug, Default, PartialEq)]
pub struct Found {
    pub ranges: IndexMap<String, Range>,
    /// Tensors whose elements are no 32-bit floats.
    pub other: HashSet<String>,
}

impl Samples {
    pub fn new(count: usize, make: impl Fn(usize) -> Sample + 'static) -> Self {
        Self { count, make: Box::new(make) }
    }

    /// Inputs for `signature` from the data set in `folder`, at most `take` of them. Texts are cut
    /// to `context` tokens.
    pub fn open(
        folder: &Path,
        signature: &Signature,
        take: Option<usize>,
        context: Option<u64>,
    ) -> Result<Self, PassError> {
        if !folder.join(TOKENS_FILE).is_file() {
            return Err(PassError::Calibration("it is no data set of texts".to_owned()));
        }
        let longest = context.map_or(LONGEST, |n| (n as usize).min(LONGEST));
        let file = TokenFile::read(folder).map_err(PassError::Calibration)?;
        let mut texts: Vec<Vec<u32>> = file.with_bos();
        texts.retain(|tokens| !tokens.is_empty());
        texts.truncate(take.unwrap_or(usize::MAX));
        for tokens in &mut texts {
            tokens.truncate(longest);
        }
        if texts.is_empty() {
            return Err(PassError::Calibration("it has no tokens".to_owned()));
        }
        let ports = signature.inputs.clone();
        // Once before anything runs, so that an input that texts cannot give is told at once.
        for port in &ports {
            if of_text(port, &texts[0]).is_none() {
                let what = format!("the graph wants `{port}`, which no text gives");
                return Err(PassError::Calibration(what));
            }
        }
        Ok(Self::new(texts.len(), move |at| {
            let tensors =
                ports.iter().filter_map(|p| Some((p.name.clone(), of_text(p, &texts[at])?)));
            tensors.collect()
        }))
    }
}

/// The input `port` of a language model that reads `tokens` as one sequence from the beginning.
fn of_text(port: &Port, tokens: &[u32]) -> Option<Tensor> {
    let length = tokens.len();
    let numbers = |shape: Vec<usize>, values: Vec<i64>| match port.dtype.as_str() {
        "i64" => Some(Tensor::of_i64(shape, &values)),
        "i32" => {
            let bytes = values.iter().flat_map(|&v| (v as i32).to_le_bytes()).collect();
            Tensor::new(ElementType::I32, shape, bytes)
        }
        _ => None,
    };
    match port.name.as_str() {
        "input_ids" => numbers(vec![1, length], tokens.iter().map(|&t| i64::from(t)).collect()),
        "attention_mask" => numbers(vec![1, length], vec![1; length]),
        "token_type_ids" => numbers(vec![1, length], vec![0; length]),
        "position_ids" => numbers(vec![1, length], (0..length as i64).collect()),
        "past_lengths" => numbers(vec![1], vec![0]),
        "num_logits_to_keep" => numbers(vec![1], vec![length as i64]),
        name if name.starts_with("past") => {
            let size = |dim: &Dim| match dim {
                Dim::Fixed(size) => *size as usize,
                Dim::Named(name) if name == "capacity" => length,
                Dim::Named(name) if name.contains("batch") => 1,
                Dim::Named(_) => 0,
            };
            let dtype = ElementType::ALL.into_iter().find(|dtype| dtype.name() == port.dtype)?;
            let shape: Vec<usize> = port.shape.iter().map(size).collect();
            let bytes = shape.iter().product::<usize>() * dtype.bytes();
            Tensor::new(dtype, shape, vec![0; bytes])
        }
        _ => None,
    }
}

/// Declares `names` as outputs of the graph, so that a run gives their values.
pub fn watch<'a>(proto: &mut ModelProto, names: impl Iterator<Item = &'a str>) {
    let graph = proto.graph.as_mut().expect("a model that was read has a graph");
    for name in names {
        if !graph.is_output(name) && !graph.is_input(name) {
            let name = Some(name.to_owned());
            graph.output.push(ValueInfoProto { name, ..ValueInfoProto::default() });
        }
    }
}

/// Runs `session` on `samples` and finds the range of every tensor in `names`, which are outputs
/// or inputs of it.
pub fn ranges(
    session: &mut dyn Session,
    samples: &Samples,
    names: &HashSet<String>,
    rule: Rule,
    progress: &dyn Fn(f64),
) -> Result<Found, PassError> {
    let passes = if rule == Rule::MinMax { 1 } else { 2 };
    let total = (passes * samples.count) as f64;
    let mut found = Found::default();
    let mut extremes: IndexMap<String, Extremes> = IndexMap::new();
    for at in 0..samples.count {
        each(session, samples, at, names, &mut |name, tensor| {
            if tensor.dtype == ElementType::F32 {
                extremes.entry(name.to_owned()).or_default().add(&floats(tensor));
            } else {
                found.other.insert(name.to_owned());
            }
        })?;
        progress((at + 1) as f64 / total);
    }
    for (name, extremes) in &extremes {
        if extremes.not_finite {
            let what = format!("`{name}` takes values that are not finite");
            return Err(PassError::Calibration(what));
        }
        found.ranges.extend(extremes.range().map(|range| (name.clone(), range)));
    }
    if rule == Rule::MinMax {
        return Ok(found);
    }
    let mut histograms: HashMap<String, Histogram> = found
        .ranges
        .iter()
        .map(|(name, range)| (name.clone(), Histogram::new(*range, BINS)))
        .collect();
    for at in 0..samples.count {
        each(session, samples, at, names, &mut |name, tensor| {
            if let Some(histogram) = histograms.get_mut(name) {
                histogram.add(&floats(tensor));
            }
        })?;
        progress((samples.count + at + 1) as f64 / total);
    }
    for (name, range) in &mut found.ranges {
        let histogram = &histograms[name];
        *range = match rule {
            Rule::Percentile(share) => histogram.percentile(share),
            Rule::Entropy | Rule::MinMax => histogram.entropy(LEVELS),
        };
    }
    Ok(found)
}

fn each(
    session: &mut dyn Session,
    samples: &Samples,
    at: usize,
    names: &HashSet<String>,
    look: &mut dyn FnMut(&str, &Tensor),
) -> Result<(), PassError> {
    let inputs = (samples.make)(at);
    let outputs = session.run(&inputs)?;
    for (name, tensor) in inputs.iter().chain(&outputs) {
        if names.contains(name) {
            look(name, tensor);
        }
    }
    Ok(())
}

fn floats(tensor: &Tensor) -> Vec<f32> {
    let (whole, _) = tensor.bytes.as_chunks::<4>();
    whole.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::BackendError;

    /// Gives its input, and a tensor of another type.
    struct Echo(Signature);

    impl Session for Echo {
        fn signature(&self) -> &Signature {
            &self.0
        }

        fn run(
            &mut self,
            inputs: &[(String, Tensor)],
        ) -> Result<Vec<(String, Tensor)>, BackendError> {
            let x = inputs[0].1.clone();
            let half = x.to_f64().iter().map(|v| *v as f32 / 2.0).collect::<Vec<_>>();
            let shape = x.shape.clone();
            Ok(vec![
                ("half".to_owned(), Tensor::of_f32(shape, &half)),
                ("places".to_owned(), Tensor::of_i64(vec![1], &[7])),
                ("unasked".to_owned(), x),
            ])
        }
    }

    fn found(rule: Rule, values: &'static [&'static [f32]]) -> Result<Found, PassError> {
        let mut session = Echo(Signature { inputs: Vec::new(), outputs: Vec::new() });
        let samples = Samples::new(values.len(), |at| {
            vec![("x".to_owned(), Tensor::of_f32(vec![values[at].len()], values[at]))]
        });
        let names = ["x", "half", "places"].map(str::to_owned).into_iter().collect();
        ranges(&mut session, &samples, &names, rule, &|_| {})
    }

    #[test]
    fn ranges_cover_all_runs_and_other_types_are_told_apart() {
        let found = found(Rule::MinMax, &[&[1.0, 2.0], &[-4.0, 0.5]]).unwrap();
        assert_eq!(found.ranges["x"], Range { min: -4.0, max: 2.0 });
        assert_eq!(found.ranges["half"], Range { min: -2.0, max: 1.0 });
        assert_eq!(found.other, HashSet::from(["places".to_owned()]));
        assert!(!found.ranges.contains_key("unasked"));
    }

    #[test]
    fn histograms_see_every_run_and_what_is_no_number_is_an_error() {
        let values: &[&[f32]] = &[&[0.0, 1.0, 2.0, 3.0], &[3.0, 2.0, 1.0, 0.0]];
        let found_ranges = found(Rule::Percentile(100.0), values).unwrap().ranges;
        assert_eq!(found_ranges["x"], Range { min: 0.0, max: 3.0 });
        let told = found(Rule::MinMax, &[&[f32::NAN]]).unwrap_err().to_string();
        assert!(told.contains("`x`") && told.contains("not finite"), "{told}");
    }

    #[test]
    fn a_text_gives_the_inputs_of_a_language_model_and_no_others() {
        let named = |name: &str| Dim::Named(name.to_owned());
        let port = |name: &str, dtype: &str, shape: Vec<Dim>| Port {
            name: name.to_owned(),
            dtype: dtype.to_owned(),
            shape,
        };
        let made = |p: &Port| of_text(p, &[5, 6, 7]);
        let ids = made(&port("input_ids", "i64", Vec::new())).unwrap();
        assert_eq!((ids.shape.as_slice(), ids.to_f64()), (&[1, 3][..], vec![5.0, 6.0, 7.0]));
        let shape = vec![named("batch"), Dim::Fixed(2), named("capacity"), Dim::Fixed(4)];
        let past = made(&port("past_key_values.0.key", "f32", shape)).unwrap();
        assert_eq!(past.shape, [1, 2, 3, 4]);
        let shape = vec![named("batch"), Dim::Fixed(2), named("past"), Dim::Fixed(4)];
        assert_eq!(made(&port("past_0", "f32", shape)).unwrap().shape, [1, 2, 0, 4]);
        assert_eq!(made(&port("pixels", "f32", Vec::new())), None);
        assert_eq!(made(&port("input_ids", "f32", Vec::new())), None);
    }
}
