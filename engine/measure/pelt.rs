//! PELT: where mean or variance of a series change, exactly, for a penalty per change.

/// The penalty per change that is used for latencies: `15 · ln n`.
///
/// Far above the usual criteria (BIC: `3 · ln n` for a change of mean and variance), because
/// latencies are neither Gaussian nor independent (Barrett, Bolz-Tereick, Killick, Mount & Tratt
/// 2017, Virtual machine warmup blows hot and cold, PACMPL 1, OOPSLA).
pub fn latency_penalty(n: usize) -> f64 {
    15.0 * (n.max(2) as f64).ln()
}

/// Starts of the segments after the first, ascending: the segmentation that minimizes
/// `Σ cost(segment) + penalty · changes` among those whose segments have at least `least` values.
///
/// The cost of a segment of `m` values with variance `s²` (divisor `m`) is `m · (ln s² + 1)`, twice
/// the negative log-likelihood of a Gaussian with its own mean and variance. Algorithm: pruned
/// exact linear time (Killick, Fearnhead & Eckley 2012, JASA 107:1590–1598). `floor` is the
/// smallest standard deviation that counts, in the unit of the values: equal readings of a coarse
/// clock would otherwise be worth infinitely much. Empty where there are fewer than `2 · least`
/// values or one is not finite.
pub fn changes(values: &[f64], penalty: f64, least: usize, floor: f64) -> Vec<usize> {
    let (n, least) = (values.len(), least.max(1));
    if n < 2 * least || values.iter().any(|v| !v.is_finite()) {
        return Vec::new();
    }
    let sums = Sums::of(values, floor);
    // best[t]: cost of the best segmentation of the first t values; last[t]: its last start.
    let mut best = vec![f64::INFINITY; n + 1];
    let mut last = vec![0; n + 1];
    best[0] = -penalty;
    // Starts that may still be the last one, and from which end on they no longer are: a start
    // that is beaten at `t` may serve ends before `t + least`, where `t` itself cannot.
    let mut starts: Vec<(usize, usize)> = Vec::new();
    for t in least..=n {
        if best[t - least].is_finite() {
            starts.push((t - least, usize::MAX));
        }
        starts.retain(|(_, until)| t < *until);
        for (start, _) in &starts {
            let cost = best[*start] + sums.cost(*start, t) + penalty;
            if cost < best[t] {
                best[t] = cost;
                last[t] = *start;
            }
        }
        for (start, until) in &mut starts {
            if *until == usize::MAX && best[*start] + sums.cost(*start, t) >= best[t] {
                *until = t + least;
            }
        }
    }
    let mut out = Vec::new();
    let mut t = last[n];
    while t > 0 {
        out.push(t);
        t = last[t];
    }
    out.reverse();
    out
}

/// Running sums around the mean of all values, so that any segment costs two subtractions.
struct Sums {
    first: Vec<f64>,
    second: Vec<f64>,
    floor: f64,
}

impl Sums {
    fn of(values: &[f64], floor: f64) -> Self {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let (mut first, mut second) = (vec![0.0], vec![0.0]);
        let (mut a, mut b) = (0.0, 0.0);
        for value in values {
            a += value - mean;
            b += (value - mean).powi(2);
            first.push(a);
            second.push(b);
        }
        Self { first, second, floor: floor.powi(2).max(f64::MIN_POSITIVE) }
    }

    fn cost(&self, from: usize, to: usize) -> f64 {
        let m = (to - from) as f64;
        let mean = (self.first[to] - self.first[from]) / m;
        let variance = (self.second[to] - self.second[from]) / m - mean * mean;
        m * (variance.max(self.floor).ln() + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The best segmentation by trying every last segment, without pruning.
    fn by_trying_all(values: &[f64], penalty: f64, least: usize, floor: f64) -> f64 {
        let sums = Sums::of(values, floor);
        let mut best = vec![f64::INFINITY; values.len() + 1];
        best[0] = -penalty;
        for t in least..=values.len() {
            for start in 0..=t - least {
                best[t] = best[t].min(best[start] + sums.cost(start, t) + penalty);
            }
        }
        best[values.len()]
    }

    fn cost_of(values: &[f64], changes: &[usize], penalty: f64, floor: f64) -> f64 {
        let sums = Sums::of(values, floor);
        let mut starts = vec![0];
        starts.extend(changes);
        let ends = starts[1..].iter().copied().chain([values.len()]);
        let costs: f64 = starts.iter().zip(ends).map(|(from, to)| sums.cost(*from, to)).sum();
        costs + penalty * changes.len() as f64
    }

    #[test]
    fn steps_of_mean_and_of_variance_are_found_where_they_are() {
        let wave = |i: usize| ((i * 7 % 11) as f64 - 5.0) / 50.0;
        let mean: Vec<f64> = (0..80).map(|i| wave(i) + if i < 30 { 2.0 } else { 1.0 }).collect();
        assert_eq!(changes(&mean, latency_penalty(80), 5, 1e-3), [30]);
        let spread: Vec<f64> = (0..120).map(|i| wave(i) * if i < 60 { 1.0 } else { 9.0 }).collect();
        let found = changes(&spread, latency_penalty(120), 5, 1e-3);
        assert!(found.len() == 1 && found[0].abs_diff(60) <= 3, "{found:?}");
        let steady: Vec<f64> = (0..200).map(wave).collect();
        assert!(changes(&steady, latency_penalty(200), 5, 1e-3).is_empty());
    }

    #[test]
    fn too_few_equal_or_broken_values_have_no_change() {
        assert!(changes(&[1.0, 9.0, 1.0], 1.0, 2, 1e-3).is_empty());
        assert!(changes(&[1.0; 50], latency_penalty(50), 5, 1e-3).is_empty());
        assert!(changes(&[f64::NAN; 50], latency_penalty(50), 5, 1e-3).is_empty());
        assert!(changes(&[], 1.0, 5, 1e-3).is_empty());
    }

    proptest! {
        #[test]
        fn pruning_loses_nothing(
            values in prop::collection::vec(0.0..4.0, 4..60),
            penalty in 0.5..30.0,
            least in 1_usize..6,
        ) {
            let found = changes(&values, penalty, least, 0.05);
            if values.len() >= 2 * least {
                let best = by_trying_all(&values, penalty, least, 0.05);
                let reached = cost_of(&values, &found, penalty, 0.05);
                prop_assert!((reached - best).abs() <= 1e-6 * best.abs().max(1.0), "{reached} {best}");
            }
            let mut edges = vec![0];
            edges.extend(&found);
            edges.push(values.len());
            prop_assert!(found.is_empty() || edges.windows(2).all(|w| w[1] - w[0] >= least));
        }
    }
}
