//! E-divisive: change points of a series without assuming a distribution.

use rand_pcg::Pcg64;

use super::design::shuffle;

/// A change of the distribution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChangePoint {
    /// The first value after the change, counted from 0.
    pub at: usize,
    /// Share of permutations with a divergence as large, itself included.
    pub p_value: f64,
}

/// Permutations of one test; the smallest p-value is 1 ÷ 200.
const PERMUTATIONS: u32 = 199;

/// The stream of random numbers that permutations use.
const STREAM: u128 = 0x6564_6976_6973;

/// Change points in ascending order.
///
/// Hierarchical divisive estimation with the energy statistic of exponent 1 (Matteson & James
/// 2014, JASA 109:334–345): the split of a segment into two that maximizes
/// `Q = m·k/(m+k) · (2·mean|x−y| − mean|x−x'| − mean|y−y'|)` is accepted while a permutation of
/// values within the segments found so far reaches it in fewer than `alpha` of 199 permutations
/// from a fixed seed; the first that is not significant ends the search. Segments have at least
/// `least` values (at least 2). The right part of a split always reaches to the end of its segment,
/// as in use for benchmarks (Daly et al. 2020, ICPE 67–75). Quadratic in the number of values, times
/// the permutations: meant for up to some hundreds. Empty where a value is not finite.
pub fn change_points(values: &[f64], least: usize, alpha: f64) -> Vec<ChangePoint> {
    let least = least.max(2);
    if values.iter().any(|v| !v.is_finite()) {
        return Vec::new();
    }
    let mut rng = Pcg64::new(0, STREAM);
    let mut segments = vec![Segment::of(values, 0, values.len(), least)];
    let mut found: Vec<ChangePoint> = Vec::new();
    loop {
        let (index, split) = match best(&segments) {
            Some((index, split)) if split.divergence > 0.0 => (index, split),
            _ => break,
        };
        let reached = (0..PERMUTATIONS).filter(|_| {
            let most = segments.iter().map(|segment| {
                let mut part = values[segment.from..segment.to].to_vec();
                shuffle(&mut part, &mut rng);
                best_split(&part, least).map_or(0.0, |split| split.divergence)
            });
            most.fold(0.0, f64::max) >= split.divergence
        });
        let p_value = f64::from(reached.count() as u32 + 1) / f64::from(PERMUTATIONS + 1);
        if p_value >= alpha {
            break;
        }
        let Segment { from, to, .. } = segments[index];
        let at = from + split.at;
        found.push(ChangePoint { at, p_value });
        segments[index] = Segment::of(values, from, at, least);
        segments.push(Segment::of(values, at, to, least));
    }
    found.sort_by_key(|change| change.at);
    found
}

struct Segment {
    from: usize,
    to: usize,
    split: Option<Split>,
}

impl Segment {
    fn of(values: &[f64], from: usize, to: usize, least: usize) -> Self {
        Self { from, to, split: best_split(&values[from..to], least) }
    }
}

#[derive(Clone, Copy)]
struct Split {
    at: usize,
    divergence: f64,
}

fn best(segments: &[Segment]) -> Option<(usize, Split)> {
    let splits = segments.iter().enumerate().filter_map(|(i, s)| Some((i, s.split?)));
    splits.max_by(|a, b| a.1.divergence.total_cmp(&b.1.divergence))
}

/// The split with the largest scaled divergence, by sums of distances to the left and to the right.
fn best_split(values: &[f64], least: usize) -> Option<Split> {
    let n = values.len();
    if n < 2 * least {
        return None;
    }
    let mut left = vec![0.0; n];
    let mut right = vec![0.0; n];
    for i in 0..n {
        for j in 0..i {
            let distance = (values[i] - values[j]).abs();
            left[i] += distance;
            right[j] += distance;
        }
    }
    let all: f64 = left.iter().sum();
    let (mut within_left, mut within_right) = (0.0, all);
    let mut best: Option<Split> = None;
    for at in 1..n {
        within_left += left[at - 1];
        within_right -= right[at - 1];
        if at < least || n - at < least {
            continue;
        }
        let (m, k) = (at as f64, (n - at) as f64);
        let between = all - within_left - within_right;
        let energy = 2.0 * between / (m * k)
            - 2.0 * within_left / (m * (m - 1.0))
            - 2.0 * within_right / (k * (k - 1.0));
        let divergence = m * k / (m + k) * energy;
        if best.is_none_or(|known| divergence > known.divergence) {
            best = Some(Split { at, divergence });
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, prop_assert, proptest};
    use rand::Rng as _;

    use super::*;

    fn places(found: &[ChangePoint]) -> Vec<usize> {
        found.iter().map(|change| change.at).collect()
    }

    #[test]
    fn two_steps_are_found_and_noise_is_not() {
        let mut rng = Pcg64::new(1, 1);
        let mut noise = || (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        let level = |i: usize| if (20..45).contains(&i) { 3.0 } else { 1.0 };
        let values: Vec<f64> = (0..70).map(|i| level(i) + noise()).collect();
        assert_eq!(places(&change_points(&values, 5, 0.01)), [20, 45]);
        let steady: Vec<f64> = (0..70).map(|_| noise()).collect();
        assert!(change_points(&steady, 5, 0.01).is_empty());
    }

    #[test]
    fn noise_alone_passes_for_a_change_as_seldom_as_asked() {
        let mut rng = Pcg64::new(2, 2);
        let series = || (0..24).map(|_| rng.next_u64() as f64).collect::<Vec<f64>>();
        let all: Vec<Vec<f64>> = std::iter::repeat_with(series).take(150).collect();
        let alarms = all.iter().filter(|v| !change_points(v, 3, 0.05).is_empty()).count();
        assert!((1..=15).contains(&alarms), "{alarms} of 150 at 5 %");
    }

    #[test]
    fn too_few_equal_or_broken_values_have_no_change() {
        assert!(change_points(&[1.0, 1.0, 5.0], 2, 0.01).is_empty());
        assert!(change_points(&[1.0; 30], 5, 0.01).is_empty());
        assert!(change_points(&[f64::INFINITY; 30], 5, 0.01).is_empty());
        assert!(change_points(&[], 5, 0.01).is_empty());
    }

    /// The statistic as it is printed, pair by pair.
    fn by_definition(x: &[f64], y: &[f64]) -> f64 {
        let sum = |a: &[f64], b: &[f64]| {
            a.iter().flat_map(|i| b.iter().map(move |j| (i - j).abs())).sum::<f64>()
        };
        let (m, k) = (x.len() as f64, y.len() as f64);
        let energy =
            2.0 * sum(x, y) / (m * k) - sum(x, x) / (m * (m - 1.0)) - sum(y, y) / (k * (k - 1.0));
        m * k / (m + k) * energy
    }

    proptest! {
        #[test]
        fn running_sums_give_the_statistic(values in prop::collection::vec(0.0..9.0, 6..30)) {
            let split = best_split(&values, 3).unwrap();
            let at = |at: usize| by_definition(&values[..at], &values[at..]);
            prop_assert!((at(split.at) - split.divergence).abs() < 1e-9);
            for other in 3..=values.len() - 3 {
                prop_assert!(at(other) <= split.divergence + 1e-9);
            }
        }
    }
}
