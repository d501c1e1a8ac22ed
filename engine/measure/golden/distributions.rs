//! Special functions and the distributions behind intervals.

use serde_json::Value;

use super::{ESTIMATOR, Parity, SPECIAL, number, parity};
use crate::measure::beta::incomplete_beta;
use crate::measure::estimate::{normal_cdf, normal_quantile, t_quantile, t_two_sided_p};

pub(super) fn parities(all: &Value) -> Vec<Parity> {
    vec![
        parity(all, "t_quantiles", ("Student t quantile", "scipy t.ppf", SPECIAL), |case| {
            let found = t_quantile(number(&case[0]), number(&case[1]));
            vec![(Some(found), case[2].as_f64())]
        }),
        parity(all, "t_two_sided_p", ("Student t probability", "scipy t.sf", ESTIMATOR), |case| {
            let found = t_two_sided_p(number(&case[0]), number(&case[1]));
            vec![(Some(found), case[2].as_f64())]
        }),
        parity(all, "normals", ("normal distribution", "scipy norm", SPECIAL), |case| {
            let (z, p) = (number(&case[0]), number(&case[1]));
            vec![(Some(normal_cdf(z)), Some(p)), (Some(normal_quantile(p)), case[2].as_f64())]
        }),
        parity(
            all,
            "incomplete_betas",
            ("incomplete beta function", "scipy betainc", SPECIAL),
            |case| {
                let found = incomplete_beta(number(&case[0]), number(&case[1]), number(&case[2]));
                vec![(Some(found), case[3].as_f64())]
            },
        ),
    ]
}
