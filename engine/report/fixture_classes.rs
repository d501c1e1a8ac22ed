//! A record of a classifier with a known truth: what INT8 loses, item by item.

use rand::RngExt as _;
use rand_pcg::Pcg64Mcg;
use serde_json::json;

use super::fixture::digest;
use super::fixture_tensor::record as tensor;
use crate::record::{DocumentScore, Quality, Record};

const ITEMS: usize = 400;

/// Metric, positions of an item, chance that the reference is right, chances that the variant loses
/// and gains an answer.
const SHARES: [(&str, u32, f64, f64, f64); 3] = [
    ("top1", 1, 0.90, 0.02, 0.10),
    ("top5", 1, 0.99, 0.002, 0.0),
    ("recall@5", 2, 0.80, 0.10, 0.05),
];

fn quality() -> Vec<Quality> {
    let mut rng = Pcg64Mcg::new(17);
    let mut out = Vec::new();
    for variant in ["fp32", "int8"] {
        let itself = variant == "fp32";
        let mut push = |metric: &str, documents: Vec<DocumentScore>| {
            out.push(Quality {
                variant: variant.into(),
                reference: "fp32".into(),
                metric: metric.into(),
                data: "heldout".into(),
                part: None,
                artifact: Some(digest(variant)),
                documents,
                unmeasured: None,
            });
        };
        for (metric, positions, right, lost, gained) in SHARES {
            // Both variants meet the same items.
            let mut truth = Pcg64Mcg::new(u128::from(positions) + u128::from(right.to_bits()));
            let documents = (0..ITEMS).map(|_| {
                let (mut sum, mut reference_sum) = (0.0, 0.0);
                for _ in 0..positions {
                    let reference = truth.random::<f64>() < right;
                    let turned = rng.random::<f64>() < if reference { lost } else { gained };
                    let own = reference != (turned && !itself);
                    sum += f64::from(u8::from(own));
                    reference_sum += f64::from(u8::from(reference));
                }
                DocumentScore { positions, sum, reference_sum }
            });
            push(metric, documents.collect());
        }
        let documents = (0..ITEMS).map(|_| {
            let off = if itself { 0.0 } else { 0.004 * rng.random::<f64>().powi(4) };
            DocumentScore { positions: 1, sum: 1.0 - off, reference_sum: 1.0 }
        });
        push("cosine", documents.collect());
    }
    out
}

pub fn record() -> Record {
    let mut record = tensor();
    record.run.name = "image_int8".into();
    record.run.why = "What does INT8 cost this classifier?".into();
    record.model.task = "image_classification".into();
    record.spec["model"]["task"] = json!("image_classification");
    record.spec["quality"] = json!({"metrics": [
        {"accuracy": {"data": "heldout"}},
        {"top5": {"data": "heldout"}},
        {"recall": {"data": "heldout", "at": [5]}},
        {"cosine": {"data": "heldout"}}
    ]});
    record.spec["gates"] = json!([
        {"name": "answers stay", "on": {"variant": "int8"}, "metric": "accuracy", "loss": {"max": "5%"}},
        {"name": "hardly any is lost", "on": {"variant": "int8"}, "metric": "top1", "loss": {"max": "0.1%"}},
        {"name": "still right", "on": {"variant": "int8"}, "metric": "top1", "value": {"min": 0.8}},
        {"name": "still found", "on": {"variant": "int8"}, "metric": "recall@5", "loss": {"max": "2%"}},
        {"name": "no item is far off", "on": {"variant": "int8"}, "metric": "cosine_p01", "loss": {"max": "1%"}}
    ]);
    record.quality = quality();
    record
}
