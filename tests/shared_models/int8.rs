//! Graphs with labels in eight bits, judged on the same items as in floats, item by item: what is
//! lost and gained does not cancel out.
//!
//! Static ones are calibrated on items that are not judged, but where a comment says otherwise.

use std::fmt::{self, Display, Formatter};

use engine::backend::Session;
use engine::data::{ElementType, ItemFile, Tensor};
use engine::model::onnx::GRAPH_FILE;
use engine::model::{Kind, facts};
use engine::pass::{PassJob, pass};
use serde_json::{Value, json};

use super::support::Folder;
use super::{Bench, Checked, Row, count, signals, vision};

/// Inputs by name, in the form in which calibration reads them.
type Item = Vec<(String, Tensor)>;

impl Bench {
    /// Opens a graph after the quantize pass, and the share of its weights in eight bits.
    fn in_eight_bits(
        &self,
        graph: &str,
        stages: &[(&str, Value)],
        calibration: &[Item],
    ) -> Result<(Box<dyn Session>, f64), String> {
        let shown = |error: &dyn Display| {
            error.to_string().replace(&self.path("").display().to_string(), "")
        };
        let data = Folder::new();
        let items = calibration.iter().map(Vec::as_slice);
        ItemFile::write(data.path(), items).map_err(|error| shown(&error))?;
        let folders: Vec<Folder> = stages.iter().map(|_| Folder::new()).collect();
        let mut file = self.path(graph);
        for ((name, params), out) in stages.iter().zip(&folders) {
            let job = PassJob {
                input: &file,
                kind: Kind::Onnx,
                params,
                out: out.path(),
                data: Some(data.path()),
                runtime: Some(&self.library),
                progress: &|_| {},
            };
            let pass = pass(name, params).ok_or("no such pass")?;
            pass.apply(&job).map_err(|error| shown(&error))?;
            file = out.join(GRAPH_FILE);
        }
        let share = facts(&file).map_err(|error| shown(&error))?.quantized_share;
        Ok((self.open_file(&file)?, share))
    }
}

/// Only products with constant matrices become dynamic ones, and some graphs have convolutions only.
const NO_PRODUCT: &str = "would change nothing; convolutions need method `static`";

/// Graphs that a way refuses, with a part of the reason that it gives. All of the first detector
/// lies within branches.
const REFUSED: &[(&str, &str, &str)] = &[
    (vision::MNIST, "dynamic", NO_PRODUCT),
    (vision::SQUEEZENET, "dynamic", NO_PRODUCT),
    (signals::SILERO[0], "dynamic", NO_PRODUCT),
    (signals::SILERO[0], "static", "no convolution or matrix product that could be quantized"),
    (signals::SILERO[1], "dynamic", NO_PRODUCT),
];

/// How a graph is quantized, and what comes of it.
struct Way {
    name: &'static str,
    stages: Vec<(&'static str, Value)>,
}

fn dynamic() -> Way {
    let params = json!({"method": "dynamic", "weights": "int8"});
    Way { name: "dynamic", stages: vec![("quantize", params)] }
}

/// Normalisations are folded into convolutions first, which otherwise stay in floats.
fn static_() -> Way {
    let params = json!({"method": "static", "data": "d", "calibrate": "percentile"});
    let folded = json!({"level": "basic"});
    Way { name: "static", stages: vec![("fuse", folded), ("quantize", params)] }
}

/// Which items are right.
type Judge<'a> = dyn Fn(&mut dyn Session) -> Result<Vec<bool>, String> + 'a;

/// One row per way: `judge` tells which items are right. The share that is right may change by
/// `most_lost`; items that were right and are wrong, or the other way round, may be `most_moved`.
fn judged(
    bench: &Bench,
    graph: &str,
    calibration: &[Item],
    (most_lost, most_moved): (f64, f64),
    judge: &Judge<'_>,
) -> Checked {
    let reference = judge(bench.open(graph)?.as_mut())?;
    let mut rows = Vec::new();
    for way in [dynamic(), static_()] {
        let compared = format!("INT8 {}, against floats", way.name);
        let refused = REFUSED.iter().find(|(of, by, _)| (*of, *by) == (graph, way.name));
        let opened = bench.in_eight_bits(graph, &way.stages, calibration);
        rows.push(match (opened, refused) {
            (Err(why), Some((.., reason))) => {
                let holds = why.contains(reason);
                Row::new(graph, &compared, (why, format!("refused: {reason}")), holds)
            }
            (Err(why), None) => Row::new(graph, &compared, (why, "a graph in INT8"), false),
            (Ok(_), Some((.., reason))) => {
                Row::new(graph, &compared, ("a graph", format!("refused: {reason}")), false)
            }
            (Ok((mut session, share)), None) => {
                let moved = Moved::of(&reference, &judge(session.as_mut())?);
                let found = format!("{moved}, {:.0} % of weights", 100.0 * share);
                let (lost, all) = (100.0 * most_lost, 100.0 * most_moved);
                let expected = format!("≤ {lost:.0} % fewer or more, ≤ {all:.0} % move");
                let holds = moved.difference() <= most_lost && moved.share() <= most_moved;
                Row::new(graph, &compared, (found, expected), holds)
            }
        });
    }
    Ok(rows)
}

/// Items whose answer is another one than in floats.
struct Moved {
    reference: usize,
    all: usize,
    gained: usize,
    lost: usize,
}

impl Moved {
    fn of(reference: &[bool], found: &[bool]) -> Self {
        assert_eq!(reference.len(), found.len(), "the same items are judged");
        let pairs = || reference.iter().zip(found);
        Self {
            reference: count(reference),
            all: reference.len(),
            gained: pairs().filter(|(before, after)| **after && !**before).count(),
            lost: pairs().filter(|(before, after)| **before && !**after).count(),
        }
    }

    fn share(&self) -> f64 {
        (self.gained + self.lost) as f64 / self.all as f64
    }

    /// By how much the share of right items differs.
    fn difference(&self) -> f64 {
        self.gained.abs_diff(self.lost) as f64 / self.all as f64
    }
}

impl Display for Moved {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { reference, all, gained, lost } = self;
        let right = reference + gained - lost;
        write!(f, "{right} for {reference} of {all} ({gained} gained, {lost} lost)")
    }
}

fn item(name: &str, tensor: Tensor) -> Item {
    vec![(name.to_owned(), tensor)]
}

pub fn all(bench: &Bench) -> Checked {
    let mut rows = Vec::new();

    let digits = vision::digits(bench)?;
    let (calibration, rest) = digits.split_at(200);
    let calibration: Vec<Item> =
        calibration.iter().map(|(input, _)| item("Input3", input.clone())).collect();
    rows.extend(judged(bench, vision::MNIST, &calibration, (0.01, 0.01), &|s| {
        vision::digits_right(s, rest)
    })?);

    let (input, labels) = vision::cifar(bench)?;
    // Every tenth picture calibrates, the others are judged.
    let values: Vec<f32> = input.to_f64().iter().map(|v| *v as f32).collect();
    let size = 3 * 32 * 32;
    let chosen = |calibrates: bool| {
        let all = values.chunks_exact(size).zip(&labels).enumerate();
        all.filter(move |(at, _)| (at % 10 == 0) == calibrates).map(|(_, pair)| pair)
    };
    let calibration: Vec<Item> = chosen(true)
        .map(|(pixels, _)| item("input", Tensor::of_f32(vec![1, 3, 32, 32], pixels)))
        .collect();
    let (pixels, labels): (Vec<&[f32]>, Vec<usize>) =
        chosen(false).map(|(pixels, label)| (pixels, *label)).unzip();
    let judged_input = Tensor::of_f32(vec![labels.len(), 3, 32, 32], &pixels.concat());
    rows.extend(judged(bench, vision::RESNET, &calibration, (0.02, 0.03), &|s| {
        vision::cifar_right(s, &judged_input, &labels)
    })?);

    // Fifteen photographs are too few to keep some back: calibration sees what is judged.
    let photos = vision::photos(bench, ElementType::F32)?;
    let calibration: Vec<Item> =
        photos.iter().map(|(input, _)| item("data_0", input.clone())).collect();
    rows.extend(judged(bench, vision::SQUEEZENET, &calibration, (0.14, 0.14), &|s| {
        vision::photos_right(s, &photos, 1)
    })?);

    // All files are one batch: calibration sees what is judged here too.
    let files = signals::files(bench)?;
    let calibration = [item("bytes", files.bytes.clone())];
    rows.extend(judged(bench, signals::MAGIKA, &calibration, (0.03, 0.03), &|s| {
        Ok(signals::files_right(s, &files)?.0)
    })?);

    let sound = signals::samples(bench)?;
    for graph in [signals::SILERO[0], signals::SILERO[1]] {
        let calibration = signals::inputs(bench.open(graph)?.as_mut(), &sound[..16_000])?;
        rows.extend(judged(bench, graph, &calibration, (0.02, 0.02), &|s| {
            Ok(signals::speech(s, &sound)?.split_off(calibration.len()))
        })?);
    }
    Ok(rows)
}
