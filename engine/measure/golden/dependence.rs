//! Values that depend on each other.

use serde_json::Value;

use super::{ESTIMATOR, Parity, numbers, parity, runs};
use crate::measure::autocorrelation::effective_size;
use crate::measure::block_length::block_length;

pub(super) fn parities(all: &Value) -> Vec<Parity> {
    vec![
        parity(
            all,
            "effective_sizes",
            ("independent values, Geyer", "numpy correlate", ESTIMATOR),
            |case| vec![(Some(effective_size(&runs(&case["runs"]))), case["effective"].as_f64())],
        ),
        parity(
            all,
            "block_lengths",
            ("block length, Politis-White", "arch optimal_block_length", ESTIMATOR),
            |case| {
                let found = block_length(&numbers(&case["values"]));
                vec![
                    (found.map(|f| f.stationary), case["stationary"].as_f64()),
                    (found.map(|f| f.circular), case["circular"].as_f64()),
                ]
            },
        ),
    ]
}
