//! Graphs over rows of measurements.

use engine::data::{Tensor, read_npz};

use super::{Bench, Checked, Row, distance, run, top};

/// Boosted trees with recorded inputs and outputs.
pub fn trees(bench: &Bench) -> Checked {
    let mut rows = Vec::new();
    for name in ["lgbm_classifier_tensor", "lgbm_regressor_tensor", "xgboost_classifier_tree"] {
        let graph = format!("tree-models/{name}/model.onnx");
        let recorded = bench.path(&format!("tree-models/{name}/io.npz"));
        let arrays = read_npz(&recorded).map_err(|error| error.to_string())?;
        let (inputs, outputs): (Vec<_>, Vec<_>) =
            arrays.into_iter().partition(|(name, _)| name == "input");
        let mut session = bench.open(&graph)?;
        let found = session.run(&inputs).map_err(|error| error.to_string())?;
        for (name, expected) in &outputs {
            let own = found.iter().find(|(own, _)| own == name);
            let own = own.map_or_else(Vec::new, |(_, tensor)| tensor.to_f64());
            let differs = distance(&own, &expected.to_f64());
            let shown = format!("differs by {differs:.1e}");
            let compared = format!("recorded `{name}`");
            rows.push(Row::new(&graph, &compared, (shown, "≤ 1e-6"), differs <= 1e-6));
        }
    }
    Ok(rows)
}

/// The first flower of each kind in Fisher's table, in one batch and alone.
pub fn iris(bench: &Bench) -> Checked {
    let graph = "iris-mlp/Network.onnx";
    let flowers = [[5.1_f32, 3.5, 1.4, 0.2], [7.0, 3.2, 4.7, 1.4], [6.3, 3.3, 6.0, 2.5]];
    let mut session = bench.open(graph)?;
    let input = Tensor::of_f32(vec![3, 4], flowers.as_flattened());
    let together = run(session.as_mut(), &[("input", input)])?[0].to_f64();
    let kinds: Vec<usize> = together.chunks_exact(3).map(top).collect();
    let mut alone = Vec::new();
    for flower in flowers {
        let input = Tensor::of_f32(vec![1, 4], &flower);
        alone.extend(run(session.as_mut(), &[("input", input)])?[0].to_f64());
    }
    let differs = distance(&together, &alone);
    let found = format!("{kinds:?}, {differs:.1e}");
    let holds = kinds == [0, 1, 2] && differs <= 1e-5;
    let compared = "kinds of 3 flowers; in a batch and alone";
    Ok(vec![Row::new(graph, compared, (found, "none given; [0, 1, 2], ≤ 1e-5"), holds)])
}
