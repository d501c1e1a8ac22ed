//! A quality metric of a spec as what the judge is asked for.

use serde_json::Value;

use super::judge::{Against, MetricRequest};
use crate::spec;

/// What `metric` of a spec asks for when the model has the task `task`: one request, or one for
/// each depth of `recall`. Where items are pictures, a recall is also asked in each direction alone.
pub fn requests(metric: &spec::QualityMetric, task: &str) -> Vec<MetricRequest> {
    let params = &metric.0.params;
    let expected = params.get("against").and_then(Value::as_str) == Some("expected");
    let request = |id: String| MetricRequest {
        metric: id,
        positions: params.get("positions").and_then(Value::as_u64),
        against: if expected { Against::Expected } else { Against::Reference },
    };
    let directions = |id: String| match id.split_once('@') {
        Some(("recall", k)) if task == super::ZERO_SHOT => {
            let alone = ["text", "image"].map(|end| format!("recall_to_{end}@{k}"));
            [vec![id.clone()], alone.to_vec()].concat()
        }
        _ => vec![id],
    };
    metric.judged().into_iter().flat_map(directions).map(request).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(metric: Value, task: &str) -> Vec<String> {
        let metric: spec::QualityMetric = serde_json::from_value(metric).unwrap();
        requests(&metric, task).into_iter().map(|request| request.metric).collect()
    }

    #[test]
    fn a_metric_of_the_spec_is_what_reports_call_it() {
        let labelled = "image_classification";
        assert_eq!(asked(json!({"accuracy": {"data": "d"}}), labelled), ["top1"]);
        assert_eq!(asked(json!({"cosine": {}}), labelled), ["cosine"]);
        let recall = json!({"recall": {"data": "d", "at": [1, 10]}});
        assert_eq!(asked(recall.clone(), "embedding"), ["recall@1", "recall@10"]);
        assert_eq!(asked(json!({"recall": {"data": "d"}}), "embedding"), ["recall@1", "recall@5"]);
        assert_eq!(
            asked(recall, "zero_shot_image_classification")[..3],
            ["recall@1", "recall_to_text@1", "recall_to_image@1"]
        );
    }

    #[test]
    fn parameters_travel_with_the_request() {
        let metric =
            json!({"top1_agreement": {"data": "d", "positions": 7, "against": "expected"}});
        let metric: spec::QualityMetric = serde_json::from_value(metric).unwrap();
        let found = requests(&metric, "tensor");
        assert_eq!((found[0].positions, found[0].against), (Some(7), Against::Expected));
    }
}
