//! Remarks about launches with a known truth. Whole sessions are simulated in `prove`, at full size.

use super::summary::still_warming;
use crate::prove::draws::Draws;

const LAUNCHES: u64 = 2000;

/// Share of launches that pass for warming up; request `i` takes `slower(i)` times a noisy time.
fn warming(requests: u32, slower: fn(f64) -> f64) -> f64 {
    let hits = (0..LAUNCHES).filter(|seed| {
        let mut draws = Draws::new(1, *seed);
        let time = |i| slower(f64::from(i)) * (0.1 * draws.normal()).exp();
        still_warming(&(0..requests).map(time).collect::<Vec<f64>>())
    });
    hits.count() as f64 / LAUNCHES as f64
}

#[test]
fn steady_noise_rarely_passes_for_a_warming_launch() {
    for requests in [9, 10, 12, 20, 40] {
        let found = warming(requests, |_| 1.0);
        assert!(found <= 0.05, "{requests} requests: {found}");
    }
    // The control: requests that begin a half slower and settle within ten.
    let found = warming(30, |i| 1.0 + 0.5 * (-i / 5.0).exp());
    assert!(found > 0.5, "a launch that warms up: {found}");
}
