//! How many independent values a run of dependent ones is worth.
//!
//! Requests of one process follow each other: a slow one is often followed by a slow one. Counting
//! them all as independent makes intervals too narrow by the root of what this file computes.

/// Lags looked at: dependence that reaches further is not told from drift.
const MOST_LAGS: usize = 500;

/// Number of independent values that the `runs` together are worth: at least 1 each, at most as
/// many as there are. Each run is in the order in which its values came.
///
/// `n / (1 + 2·Σρ_k)` with autocovariances pooled over the runs, each around its own mean, and the
/// sum cut by the initial positive sequence: pairs `ρ_2m + ρ_2m+1` are added while they are
/// positive (C. J. Geyer, Statistical Science 7 (1992) 473-483, section 3.3). Values without any
/// spread, and fewer than four in the longest run, show no dependence and count in full.
pub fn effective_size(runs: &[Vec<f64>]) -> f64 {
    let all: usize = runs.iter().map(Vec::len).sum();
    let longest = runs.iter().map(Vec::len).max().unwrap_or(0);
    let centred: Vec<Vec<f64>> = runs.iter().map(|run| centred(run)).collect();
    let covariance = |lag: usize| -> f64 {
        let products =
            |run: &Vec<f64>| run.iter().zip(run.iter().skip(lag)).map(|(a, b)| a * b).sum::<f64>();
        centred.iter().map(products).sum::<f64>() / all.max(1) as f64
    };
    let variance = covariance(0);
    if longest < 4 || variance.is_nan() || variance <= 0.0 {
        return all as f64;
    }
    // Twice the sum of pairs counts lag 0 twice: 1 + 2·Σρ is that minus 1.
    let mut sum = -1.0;
    for m in 0..=(MOST_LAGS.min(longest / 2) / 2) {
        let pair = (covariance(2 * m) + covariance(2 * m + 1)) / variance;
        if pair <= 0.0 {
            break;
        }
        sum += 2.0 * pair;
    }
    let runs = runs.iter().filter(|run| !run.is_empty()).count();
    (all as f64 / sum.max(1.0)).clamp(runs as f64, all as f64)
}

/// Distances from the mean of the run.
fn centred(run: &[f64]) -> Vec<f64> {
    let mean = run.iter().sum::<f64>() / run.len().max(1) as f64;
    run.iter().map(|x| x - mean).collect()
}

/// An autoregressive run for tests: each value keeps `rho` of the one before.
#[cfg(test)]
pub(super) fn ar1(seed: u64, n: usize, rho: f64) -> Vec<f64> {
    use rand::RngExt as _;
    let mut rng = rand_pcg::Pcg64::new(seed.into(), 0x0061_7231);
    let mut noise = || (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
    let mut x = noise() / (1.0 - rho * rho).sqrt();
    let step = |_| {
        x = rho * x + noise();
        x
    };
    (0..n).map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_autoregressive_run_is_worth_what_theory_says() {
        for (rho, share) in [(0.0, 1.0), (0.5, 1.0 / 3.0), (0.8, 1.0 / 9.0)] {
            let runs: Vec<_> = (0..40).map(|seed| ar1(seed, 1_000, rho)).collect();
            let found = effective_size(&runs) / 40_000.0;
            assert!((found / share - 1.0).abs() < 0.2, "{rho}: {found}, not {share}");
        }
    }

    #[test]
    fn nothing_counts_more_than_once_or_less_than_its_run() {
        let alternating: Vec<f64> = (0..100).map(|i| f64::from(i % 2)).collect();
        assert_eq!(effective_size(&[alternating]), 100.0);
        assert_eq!(effective_size(&[vec![3.0; 50]]), 50.0);
        assert_eq!(effective_size(&[vec![1.0, 2.0], vec![5.0]]), 3.0);
        assert_eq!(effective_size(&[]), 0.0);
        let climbing: Vec<f64> = (0..100).map(f64::from).collect();
        let found = effective_size(&[climbing.clone(), climbing]);
        assert!((2.0..10.0).contains(&found), "{found}");
    }

    #[test]
    fn a_difference_between_runs_is_no_dependence_within_them() {
        let mut runs = vec![ar1(1, 400, 0.0), ar1(2, 400, 0.0)];
        let before = effective_size(&runs);
        runs[1].iter_mut().for_each(|x| *x += 100.0);
        assert!((effective_size(&runs) / before - 1.0).abs() < 1e-9);
    }
}
