//! Graphs over sound and bytes, against counts and scores that were recorded with them.

use engine::backend::Session;
use engine::data::{Audio, Tensor, read_npz};

use super::{Bench, Checked, Row, count, run, share, top};

/// Samples per window at 16 kHz, and how many of the window before are given again.
const WINDOW: usize = 512;
const CONTEXT: usize = 64;

/// Exports of one voice detector.
pub const SILERO: [&str; 3] = [
    "silero-vad/silero_vad.onnx",
    "silero-vad/silero_vad_16k_op15.onnx",
    "silero-vad/silero_vad_half.onnx",
];

/// Three exports of one voice detector over a minute of speech, with their state carried along.
/// Counted are all whole windows before the last.
pub fn silero(bench: &Bench) -> Checked {
    let samples = samples(bench)?;
    let mut rows = Vec::new();
    for (graph, expected) in SILERO.into_iter().zip(["0.7743", "0.7743", "0.7769"]) {
        let speech = speech(bench.open(graph)?.as_mut(), &samples)?;
        let share = format!("{:.4}", share(&speech));
        let holds = share == expected;
        let compared = format!("share of {} windows with speech", speech.len());
        rows.push(Row::new(graph, &compared, (share, expected), holds));
    }
    Ok(rows)
}

/// Of which windows the detector says speech.
pub fn speech(session: &mut dyn Session, samples: &[f32]) -> Result<Vec<bool>, String> {
    let mut speech = Vec::new();
    windows_of(session, samples, |_, probability| speech.push(probability >= 0.5))?;
    Ok(speech)
}

/// What the detector is given window by window.
pub fn inputs(
    session: &mut dyn Session,
    samples: &[f32],
) -> Result<Vec<Vec<(String, Tensor)>>, String> {
    let mut items = Vec::new();
    windows_of(session, samples, |inputs, _| {
        items.push(inputs.iter().map(|(name, t)| ((*name).to_owned(), t.clone())).collect());
    })?;
    Ok(items)
}

/// Runs the detector over a sound and shows each window's inputs and probability of speech.
fn windows_of(
    session: &mut dyn Session,
    samples: &[f32],
    mut see: impl FnMut(&[(&str, Tensor)], f64),
) -> Result<(), String> {
    let has_rate = session.signature().inputs.iter().any(|port| port.name == "sr");
    let mut state = Tensor::of_f32(vec![2, 1, 128], &[0.0; 256]);
    let mut given = vec![0.0_f32; CONTEXT];
    for start in (0..samples.len().saturating_sub(WINDOW)).step_by(WINDOW) {
        given.drain(..given.len() - CONTEXT);
        given.extend(&samples[start..start + WINDOW]);
        let input = Tensor::of_f32(vec![1, CONTEXT + WINDOW], &given);
        let mut inputs = vec![("input", input), ("state", state)];
        if has_rate {
            inputs.push(("sr", Tensor::of_i64(vec![], &[16_000])));
        }
        let outputs = run(session, &inputs)?;
        let [probability, next] = outputs.try_into().map_err(|_| "two outputs expected")?;
        see(&inputs, probability.to_f64()[0]);
        state = next;
    }
    Ok(())
}

/// The recording that the detector is tried on.
pub fn samples(bench: &Bench) -> Result<Vec<f32>, String> {
    let audio = Audio::decode(&bench.bytes("silero-vad/test.wav")?);
    Ok(audio.map_err(|error| format!("test.wav {error}"))?.samples)
}

/// Kinds of files, with the score that the authors' own program gave each.
pub fn magika(bench: &Bench) -> Checked {
    let graph = MAGIKA;
    let files = files(bench)?;
    let (right, differs) = files_right(bench.open(graph)?.as_mut(), &files)?;
    let shown = format!("{} of {}, {differs:.1e}", count(&right), right.len());
    let holds = right == [true; 68] && differs <= 1e-3;
    let compared = "labels, and distance of scores";
    Ok(vec![Row::new(graph, compared, (shown, "68 of 68, ≤ 1e-3"), holds)])
}

pub const MAGIKA: &str = "magika-v3.3/model.onnx";

/// The files that magika is judged on.
pub struct Files {
    pub bytes: Tensor,
    labels: Vec<f64>,
    scores: Vec<f64>,
}

pub fn files(bench: &Bench) -> Result<Files, String> {
    let arrays =
        read_npz(&bench.path("magika-v3.3/eval.npz")).map_err(|error| error.to_string())?;
    let array = |wanted: &str| {
        let found = arrays.iter().find(|(name, _)| name == wanted);
        found.map(|(_, tensor)| tensor.clone()).ok_or(format!("eval.npz has no `{wanted}`"))
    };
    let (labels, scores) = (array("label")?.to_f64(), array("score")?.to_f64());
    Ok(Files { bytes: array("bytes")?, labels, scores })
}

/// Which files are right, and the largest distance of a score.
pub fn files_right(session: &mut dyn Session, files: &Files) -> Result<(Vec<bool>, f64), String> {
    let found = run(session, &[("bytes", files.bytes.clone())])?[0].to_f64();
    let (mut right, mut differs) = (Vec::new(), 0.0_f64);
    for ((row, label), score) in found.chunks_exact(214).zip(&files.labels).zip(&files.scores) {
        let best = top(row);
        right.push(best as f64 == *label);
        differs = differs.max((row[best] - score).abs());
    }
    Ok((right, differs))
}
