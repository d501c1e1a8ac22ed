//! Values that depend on each other.

use serde_json::Value;

use super::{ESTIMATOR, Parity, parity, runs};
use crate::measure::autocorrelation::effective_size;

pub(super) fn parities(all: &Value) -> Vec<Parity> {
    vec![parity(
        all,
        "effective_sizes",
        ("independent values, Geyer", "numpy correlate", ESTIMATOR),
        |case| vec![(Some(effective_size(&runs(&case["runs"]))), case["effective"].as_f64())],
    )]
}
