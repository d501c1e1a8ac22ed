//! Calibration: running a graph on data and looking at what its tensors hold.

use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;

use super::PassError;
use super::observe::{BINS, Extremes, Histogram, LEVELS, Range};
use super::samples::Samples;
use crate::backend::Session;
use crate::data::{ElementType, Tensor};
use crate::model::onnx::ModelProto;
use crate::model::onnx::proto::ValueInfoProto;

/// How the range of a tensor is found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    MinMax,
    Entropy,
    Percentile(f64),
}

/// What calibration found.
#[derive(Debug, Default, PartialEq)]
pub struct Found {
    pub ranges: IndexMap<String, Range>,
    /// Tensors whose elements are no 32-bit floats.
    pub other: HashSet<String>,
    /// Tensors that had two dimensions in every run.
    pub matrices: HashSet<String>,
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
    let mut others = HashSet::new();
    for at in 0..samples.count {
        each(session, samples, at, names, &mut |name, tensor| {
            if tensor.dtype == ElementType::F32 {
                extremes.entry(name.to_owned()).or_default().add(&floats(tensor));
            } else {
                found.other.insert(name.to_owned());
            }
            let of = if tensor.shape.len() == 2 { &mut found.matrices } else { &mut others };
            of.insert(name.to_owned());
        })?;
        progress((at + 1) as f64 / total);
    }
    found.matrices.retain(|name| !others.contains(name));
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
    let inputs = samples.draw(at)?;
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
    use crate::model::Signature;

    /// Gives its input, and a tensor of another type.
    struct Echo(Signature);

    impl Session for Echo {
        fn signature(&self) -> &Signature {
            &self.0
        }

        fn give(&mut self, _: &[(String, Tensor)]) -> Result<(), BackendError> {
            unreachable!("calibration runs whole")
        }

        fn execute(&mut self) -> Result<(), BackendError> {
            unreachable!("calibration runs whole")
        }

        fn take(&mut self) -> Result<Vec<(String, Tensor)>, BackendError> {
            unreachable!("calibration runs whole")
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
            Ok(vec![("x".to_owned(), Tensor::of_f32(vec![values[at].len()], values[at]))])
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
        assert!(found.matrices.is_empty(), "{:?}", found.matrices);
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
}
