//! Graphs over sound and bytes, against counts and scores that were recorded with them.

use engine::backend::Session;
use engine::data::{Tensor, read_npz};

use super::{Bench, Checked, Row, run, top};

/// Samples per window at 16 kHz, and how many of the window before are given again.
const WINDOW: usize = 512;
const CONTEXT: usize = 64;

/// Three exports of one voice detector over a minute of speech, with their state carried along.
/// Counted are all whole windows before the last.
pub fn silero(bench: &Bench) -> Checked {
    let samples = samples(&bench.bytes("silero-vad/test.wav")?)?;
    let exports = [
        ("silero-vad/silero_vad.onnx", "0.7743"),
        ("silero-vad/silero_vad_16k_op15.onnx", "0.7743"),
        ("silero-vad/silero_vad_half.onnx", "0.7769"),
    ];
    let mut rows = Vec::new();
    for (graph, expected) in exports {
        let (speech, windows) = speech(bench.open(graph)?.as_mut(), &samples)?;
        let share = format!("{:.4}", f64::from(speech) / f64::from(windows));
        let holds = share == expected;
        let compared = format!("share of {windows} windows with speech");
        rows.push(Row::new(graph, &compared, (share, expected), holds));
    }
    Ok(rows)
}

/// Windows of which the detector says speech, and all of them.
pub fn speech(session: &mut dyn Session, samples: &[f32]) -> Result<(u32, u32), String> {
    let (mut windows, mut speech) = (0, 0);
    windows_of(session, samples, &mut |_, probability| {
        windows += 1;
        speech += u32::from(probability >= 0.5);
    })?;
    Ok((speech, windows))
}

/// What the detector is given window by window.
pub fn inputs(
    session: &mut dyn Session,
    samples: &[f32],
) -> Result<Vec<Vec<(String, Tensor)>>, String> {
    let mut items = Vec::new();
    windows_of(session, samples, &mut |inputs, _| {
        items.push(inputs.iter().map(|(name, t)| ((*name).to_owned(), t.clone())).collect());
    })?;
    Ok(items)
}

/// Runs the detector over a sound and shows each window's inputs and probability of speech.
fn windows_of(
    session: &mut dyn Session,
    samples: &[f32],
    see: &mut dyn FnMut(&[(&str, Tensor)], f64),
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

/// The samples of a mono WAV file of 16 bits, from -1 to 1.
pub fn samples(wav: &[u8]) -> Result<Vec<f32>, String> {
    let at = wav.windows(4).position(|name| name == b"data").ok_or("test.wav holds no sound")?;
    let (pairs, _) = wav[at + 8..].as_chunks::<2>();
    Ok(pairs.iter().map(|pair| f32::from(i16::from_le_bytes(*pair)) / 32768.0).collect())
}

/// Kinds of files, with the score that the authors' own program gave each.
pub fn magika(bench: &Bench) -> Checked {
    let graph = MAGIKA;
    let files = files(bench)?;
    let (right, differs) = files_right(bench.open(graph)?.as_mut(), &files)?;
    let shown = format!("{right} of {}, {differs:.1e}", files.labels.len());
    let holds = right == 68 && files.labels.len() == 68 && differs <= 1e-3;
    let compared = "labels, and distance of scores";
    Ok(vec![Row::new(graph, compared, (shown, "68 of 68, ≤ 1e-3"), holds)])
}

pub const MAGIKA: &str = "magika-v3.3/model.onnx";

/// The files that magika is judged on.
pub struct Files {
    pub bytes: Tensor,
    pub labels: Vec<f64>,
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

/// How many are right, and the largest distance of a score.
pub fn files_right(session: &mut dyn Session, files: &Files) -> Result<(u32, f64), String> {
    let found = run(session, &[("bytes", files.bytes.clone())])?[0].to_f64();
    let (mut right, mut differs) = (0, 0.0_f64);
    for ((row, label), score) in found.chunks_exact(214).zip(&files.labels).zip(&files.scores) {
        let best = top(row);
        right += u32::from(best as f64 == *label);
        differs = differs.max((row[best] - score).abs());
    }
    Ok((right, differs))
}
