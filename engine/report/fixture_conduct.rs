//! How the settings of the fixture were measured: the baseline twice under the first of them.

use rand::RngExt as _;
use rand_pcg::Pcg64Mcg;

use super::fixture::axes;
use crate::measure::repetition::{Repetition, SettledBy, Weights};
use crate::record::{Cell, Conduct, Launch, Outcome};

/// One entry for each of the two settings of `cells`.
pub fn conduct(cells: &[Cell]) -> Vec<Conduct> {
    let repetition = |requests, settled_by, launch| {
        let weights = Weights { request: 0.29, launch, sd_requests: 0.024, sd_launches: 0.021 };
        Some(Repetition { requests, settled_by, pilot: 5, weights: Some(weights) })
    };
    let entry = |prompt, repetition, again, not_again: Option<&str>| Conduct {
        scenario: "single_stream".into(),
        axes: axes(prompt),
        repetition,
        baseline: "fp32".into(),
        again,
        not_again: not_again.map(str::to_owned),
        not_kept: None,
    };
    let first = repetition(4, SettledBy::Weights, 1.6);
    let later = repetition(5, SettledBy::Most, 9.4);
    let why = "`bench.design.noise_floor` is `auto`: seen at the first setting";
    vec![
        entry(32, first, again(&cells[0].launches, 0.015), None),
        entry(128, later, Vec::new(), Some(why)),
    ]
}

/// The same launches once more, each faster or slower by a factor of about `1 + spread`.
pub fn again(launches: &[Launch], spread: f64) -> Vec<Launch> {
    let mut rng = Pcg64Mcg::new(5);
    let mut stirred = |launch: &Launch| {
        let mut launch = launch.clone();
        launch.position = 3;
        let factor = 1.0 + spread * (rng.random::<f64>() * 2.0 - 1.0);
        if let Outcome::Measured(seen) = &mut launch.outcome {
            for request in &mut seen.requests {
                let first = request.tokens[0];
                let later = |at: u64| first + ((at - first) as f64 * factor) as u64;
                request.tokens.iter_mut().for_each(|at| *at = later(*at));
            }
        }
        launch
    };
    launches.iter().map(&mut stirred).collect()
}
