//! Transformers with random weights: nothing is recorded, so two ways to one result are compared.

use engine::data::{ElementType, Tensor};

use super::{Bench, Checked, Row, distance, run};

/// A sequence alone, and padded in a batch with a longer one. Two hidden values after normalization
/// leave this graph two results; the rows begin with tokens that lead to one each.
pub fn bert(bench: &Bench) -> Checked {
    let graph = "tiny-random-transformers/bert/model.onnx";
    let mut session = bench.open(graph)?;
    let mut logits = |shape: [usize; 2], ids: &[i64], mask: &[i64]| {
        let ids = Tensor::of_i64(shape.to_vec(), ids);
        let mask = Tensor::of_i64(shape.to_vec(), mask);
        let outputs = run(session.as_mut(), &[("input_ids", ids), ("attention_mask", mask)])?;
        Ok::<_, String>(outputs[0].to_f64())
    };
    let mut alone = logits([1, 4], &[2, 17, 99, 3], &[1; 4])?;
    alone.extend(logits([1, 6], &[10, 40, 41, 7, 8, 3], &[1; 6])?);
    let together = logits(
        [2, 6],
        &[2, 17, 99, 3, 0, 0, 10, 40, 41, 7, 8, 3],
        &[1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1],
    )?;
    let differs = distance(&together, &alone);
    let apart = distance(&alone[..2], &alone[2..]);
    let holds = together.len() == 4 && differs <= 1e-6 && apart > 1e-3;
    let found = format!("differ by {differs:.1e} (the rows by {apart:.1e})");
    let compared = "logits of a padded batch and of its rows alone";
    Ok(vec![Row::new(graph, compared, (found, "none given; ≤ 1e-6"), holds)])
}

/// Layers, heads and their width in the decoder.
const LAYERS: usize = 5;
const HEADS: usize = 4;
const WIDTH: usize = 8;

/// A prompt at once, and token by token over the tensors that came out before. That these matter
/// is seen from the last token over a past of zeros.
pub fn gpt2(bench: &Bench) -> Checked {
    let graph = "tiny-random-transformers/gpt2-past/past.onnx";
    let mut session = bench.open(graph)?;
    let tokens = [98, 5, 321, 7, 44];
    let mut step = |tokens: &[i32], past: Vec<Tensor>| {
        let done = past[0].shape[3];
        let total = done + tokens.len();
        let positions: Vec<i32> = (done..total).map(|position| position as i32).collect();
        let names: Vec<String> = (0..LAYERS).map(|layer| format!("past_{layer}")).collect();
        let mut inputs = vec![
            ("input_ids", row(tokens)),
            ("position_ids", row(&positions)),
            ("attention_mask", row(&vec![1; total])),
        ];
        inputs.extend(names.iter().map(String::as_str).zip(past));
        let mut outputs = run(session.as_mut(), &inputs)?;
        let present = outputs.split_off(1);
        let logits = outputs[0].to_f64();
        let vocab = logits.len() / tokens.len();
        Ok::<_, String>((logits[logits.len() - vocab..].to_vec(), present))
    };
    let zeros = |positions: usize| {
        let values = vec![0.0; 2 * HEADS * positions * WIDTH];
        vec![Tensor::of_f32(vec![2, 1, HEADS, positions, WIDTH], &values); LAYERS]
    };
    let (at_once, _) = step(&tokens, zeros(0))?;
    let (mut one_by_one, mut past) = (Vec::new(), zeros(0));
    for token in tokens {
        (one_by_one, past) = step(&[token], past)?;
    }
    let (without, _) = step(&tokens[4..], zeros(4))?;
    let differs = distance(&one_by_one, &at_once);
    let apart = distance(&without, &at_once);
    let holds = at_once.len() == 1000
        && differs <= 1e-5
        && apart > 1e-3
        && past.iter().all(|tensor| tensor.shape == [2, 1, HEADS, tokens.len(), WIDTH]);
    let found = format!("differ by {differs:.1e} (over zeros by {apart:.1e})");
    let compared = "logits after 5 tokens at once and one by one";
    Ok(vec![Row::new(graph, compared, (found, "none given; ≤ 1e-5"), holds)])
}

fn row(values: &[i32]) -> Tensor {
    let values_f64: Vec<f64> = values.iter().map(|&value| f64::from(value)).collect();
    Tensor::of_f64(ElementType::I32, vec![1, values.len()], &values_f64)
}
