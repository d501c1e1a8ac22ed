//! Graphs with labels in eight bits, judged on the same items as in floats.
//!
//! Static ones are calibrated on items that are not judged. Where a pass refuses a graph, the row
//! says with which words.

use std::fmt::Display;

use engine::backend::Session;
use engine::data::{ElementType, ItemFile, Tensor};
use engine::model::onnx::GRAPH_FILE;
use engine::model::{Kind, facts};
use engine::pass::{PassJob, pass};
use serde_json::{Value, json};

use super::support::Folder;
use super::{Bench, Checked, Row, signals, vision};

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

/// The only reasons for which a pass may refuse one of these graphs.
const NOTHING_TO_DO: [&str; 2] =
    ["would change nothing", "no convolution or matrix product that could be quantized"];

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

/// One row per way: `judge` gives the items that are right, of all.
fn judged(
    bench: &Bench,
    graph: &str,
    ways: &[Way],
    calibration: &[Item],
    most_lost: f64,
    judge: &dyn Fn(&mut dyn Session) -> Result<(u32, u32), String>,
) -> Checked {
    let (reference, all) = judge(bench.open(graph)?.as_mut())?;
    let mut rows = Vec::new();
    for way in ways {
        let compared = format!("INT8 {}, against floats", way.name);
        let row = match bench.in_eight_bits(graph, &way.stages, calibration) {
            Err(why) => {
                let holds = NOTHING_TO_DO.iter().any(|reason| why.contains(reason));
                Row::new(graph, &compared, (why, "refused: nothing to quantize"), holds)
            }
            Ok((mut session, share)) => {
                let (right, _) = judge(session.as_mut())?;
                let lost = f64::from(reference.abs_diff(right)) / f64::from(all);
                let found =
                    format!("{right} for {reference} of {all}, {:.0} % of weights", 100.0 * share);
                let expected = format!("≤ {:.0} % of items move", 100.0 * most_lost);
                Row::new(graph, &compared, (found, expected), lost <= most_lost)
            }
        };
        rows.push(row);
    }
    Ok(rows)
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
    rows.extend(judged(bench, vision::MNIST, &[dynamic(), static_()], &calibration, 0.01, &|s| {
        Ok((vision::digits_right(s, rest)?, rest.len() as u32))
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
    rows.extend(judged(
        bench,
        vision::RESNET,
        &[dynamic(), static_()],
        &calibration,
        0.02,
        &|s| Ok((vision::cifar_right(s, &judged_input, &labels)?, labels.len() as u32)),
    )?);

    // Fifteen photographs are too few to keep some back: calibration sees what is judged.
    let photos = vision::photos(bench, ElementType::F32)?;
    let calibration: Vec<Item> =
        photos.iter().map(|(input, _)| item("data_0", input.clone())).collect();
    let ways = [dynamic(), static_()];
    rows.extend(judged(bench, vision::SQUEEZENET, &ways, &calibration, 0.14, &|s| {
        Ok((vision::photos_right(s, &photos)?.0, photos.len() as u32))
    })?);

    let files = signals::files(bench)?;
    let calibration = [item("bytes", files.bytes.clone())];
    rows.extend(judged(
        bench,
        signals::MAGIKA,
        &[dynamic(), static_()],
        &calibration,
        0.03,
        &|s| Ok((signals::files_right(s, &files)?.0, files.labels.len() as u32)),
    )?);

    let sound = signals::samples(&bench.bytes("silero-vad/test.wav")?)?;
    for graph in ["silero-vad/silero_vad.onnx", "silero-vad/silero_vad_16k_op15.onnx"] {
        let calibration = signals::inputs(bench.open(graph)?.as_mut(), &sound[..16_000])?;
        rows.extend(judged(bench, graph, &ways, &calibration, 0.02, &|s| {
            signals::speech(s, &sound)
        })?);
    }
    Ok(rows)
}
