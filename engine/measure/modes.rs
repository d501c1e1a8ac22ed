//! Whether launches fall into two groups, so that no single middle describes them.
//!
//! A process may come up fast or slow for its whole life: by where its memory lies, or which cores
//! it got. The median then jumps between two values. Tested with the dip of Hartigan and Hartigan
//! and not with the largest gap: the largest gap of a few heavy-tailed values is always their last
//! one, while the dip asks how far the values are from any distribution with one top, and has the
//! same reference whatever that distribution is.

use serde::Serialize;

use super::quantile::{sorted, type_7};

/// One group of launches.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Mode {
    pub median: f64,
    /// Share of the launches in it.
    pub share: f64,
}

/// Fewer values than this cannot show two groups.
pub const LEAST: usize = 8;

/// Groups nearer to each other than this, as a change, are not told.
const NEAR: f64 = 0.01;

/// The two groups of `values`, the lower first; `None` where one is enough.
///
/// Two are told when the dip of the logarithms exceeds what one of a hundred uniform samples of
/// that size exceeds, and the medians of the groups differ by 1 % at least. The groups are cut where the
/// sum of squares within both is least. `None` with fewer than [`LEAST`] values too, and for
/// values that are not positive and finite.
pub fn modes(values: &[f64]) -> Option<[Mode; 2]> {
    let sorted = sorted(values).filter(|v| v.len() >= LEAST && v[0] > 0.0)?;
    let logs: Vec<f64> = sorted.iter().map(|v| v.ln()).collect();
    let n = logs.len();
    if dip(&logs) * (n as f64).sqrt() <= critical(n) {
        return None;
    }
    let cut = cut(&logs);
    let mode =
        |part: &[f64]| Mode { median: type_7(part, 0.5), share: part.len() as f64 / n as f64 };
    let found = [mode(&sorted[..cut]), mode(&sorted[cut..])];
    (found[1].median / found[0].median - 1.0 >= NEAR).then_some(found)
}

/// Number of values in the lower group: the cut with the least sum of squares within both.
fn cut(sorted: &[f64]) -> usize {
    let n = sorted.len();
    let total: f64 = sorted.iter().sum();
    let mut below = 0.0;
    let mut best = (f64::NEG_INFINITY, 1);
    for (i, x) in sorted[..n - 1].iter().enumerate() {
        below += x;
        let (low, high) = (i as f64 + 1.0, (n - i) as f64 - 1.0);
        // The sum of squares between the groups grows by what that within them loses.
        let between = low * high * (below / low - (total - below) / high).powi(2);
        if between > best.0 {
            best = (between, i + 1);
        }
    }
    best.1
}

/// The dip that one of a hundred uniform samples exceeds, times the root of their number, by 100,000
/// simulated samples of each number (20,000 from 500 on); linear in the logarithm between them.
const CRITICAL: &[(f64, f64)] = &[
    (8.0, 0.4889),
    (10.0, 0.5031),
    (12.0, 0.5125),
    (15.0, 0.5271),
    (20.0, 0.5395),
    (30.0, 0.5572),
    (50.0, 0.5722),
    (100.0, 0.5917),
    (200.0, 0.6020),
    (500.0, 0.6167),
    (1000.0, 0.6245),
];

fn critical(n: usize) -> f64 {
    let n = n as f64;
    let above = CRITICAL.partition_point(|(size, _)| *size < n);
    match (above.checked_sub(1).map(|i| CRITICAL[i]), CRITICAL.get(above)) {
        (Some((a, low)), Some((b, high))) => low + (high - low) * (n / a).ln() / (b / a).ln(),
        (None, Some((_, first))) => *first,
        (last, None) => last.map_or(f64::INFINITY, |(_, last)| last),
    }
}

/// The dip of values in ascending order: the largest distance of their distribution function from
/// the nearest one with a single top (J. A. Hartigan & P. M. Hartigan, Annals of Statistics 13
/// (1985) 70-84; the algorithm is AS 217, P. M. Hartigan, Applied Statistics 34 (1985) 320-325).
pub(super) fn dip(x: &[f64]) -> f64 {
    let n = x.len();
    if n < 2 || x[0] == x[n - 1] {
        return 0.5 / n.max(1) as f64;
    }
    let (minorant, majorant) = (minorant(x), majorant(x));
    let (mut low, mut high) = (0, n - 1);
    let mut dip: f64 = 1.0;
    loop {
        // Points where the convex minorant (from the top) and the concave majorant (from the
        // bottom) of the modal interval bend.
        let mut gcm = vec![high];
        while *gcm.last().expect("it begins with one") > low {
            gcm.push(minorant[gcm[gcm.len() - 1]]);
        }
        let mut lcm = vec![low];
        while *lcm.last().expect("it begins with one") < high {
            lcm.push(majorant[lcm[lcm.len() - 1]]);
        }
        let (distance, at_gcm, at_lcm) = farthest(x, &gcm, &lcm);
        if distance < dip {
            break;
        }
        let below = gcm[at_gcm..].windows(2).map(|w| bulge(x, w[1], w[0], 1.0)).fold(0.0, f64::max);
        let above =
            lcm[at_lcm..].windows(2).map(|w| bulge(x, w[0], w[1], -1.0)).fold(0.0, f64::max);
        dip = dip.max(below).max(above);
        if low == gcm[at_gcm] && high == lcm[at_lcm] {
            break;
        }
        (low, high) = (gcm[at_gcm], lcm[at_lcm]);
    }
    dip / (2 * n) as f64
}

/// For every place, the one before it on the greatest convex minorant that ends there.
fn minorant(x: &[f64]) -> Vec<usize> {
    let mut out = vec![0; x.len()];
    for j in 1..x.len() {
        let mut at = j - 1;
        while at != 0 {
            let before = out[at];
            let (span, last) = ((j - at) as f64, (at - before) as f64);
            if (x[j] - x[at]) * last < (x[at] - x[before]) * span {
                break;
            }
            at = before;
        }
        out[j] = at;
    }
    out
}

/// For every place, the one after it on the least concave majorant that begins there.
fn majorant(x: &[f64]) -> Vec<usize> {
    let end = x.len() - 1;
    let mut out = vec![end; x.len()];
    for k in (0..end).rev() {
        let mut at = k + 1;
        while at != end {
            let after = out[at];
            let (span, last) = ((at - k) as f64, (after - at) as f64);
            if (x[at] - x[k]) * last < (x[after] - x[at]) * span {
                break;
            }
            at = after;
        }
        out[k] = at;
    }
    out
}

/// The largest distance between minorant and majorant, in ranks, and the bends beside it.
fn farthest(x: &[f64], gcm: &[usize], lcm: &[usize]) -> (f64, usize, usize) {
    if gcm.len() == 2 && lcm.len() == 2 {
        return (1.0, 1, 1);
    }
    let (mut ix, mut iv) = (gcm.len() - 2, 1);
    let (mut distance, mut at_gcm, mut at_lcm) = (0.0, gcm.len() - 1, lcm.len() - 1);
    let step = |a: usize, b: usize| (b as f64 - a as f64, x[b] - x[a]);
    loop {
        let (g, l) = (gcm[ix], lcm[iv]);
        let found;
        if g > l {
            let bend = gcm[ix + 1];
            let ((ranks, width), (up, along)) = (step(bend, g), step(bend, l));
            found = up + 1.0 - along * ranks / width;
            iv += 1;
            if found >= distance {
                (distance, at_gcm, at_lcm) = (found, ix + 1, iv - 1);
            }
        } else {
            let bend = lcm[iv - 1];
            let ((ranks, width), (up, along)) = (step(bend, l), step(bend, g));
            found = along * ranks / width - (up - 1.0);
            if found >= distance {
                (distance, at_gcm, at_lcm) = (found, ix, iv);
            }
            ix = ix.saturating_sub(1);
        }
        iv = iv.min(lcm.len() - 1);
        if gcm[ix] == lcm[iv] {
            return (distance, at_gcm, at_lcm);
        }
    }
}

/// How far the ranks between two bends lie from the straight line through them, on one side.
fn bulge(x: &[f64], from: usize, to: usize, side: f64) -> f64 {
    let width = x[to] - x[from];
    if to - from <= 1 || width == 0.0 {
        return 1.0;
    }
    let slope = (to - from) as f64 / width;
    let off = |j: usize| side * ((j - from) as f64 - (x[j] - x[from]) * slope) + 1.0;
    (from..=to).map(off).fold(1.0, f64::max)
}

#[cfg(test)]
mod tests {
    use rand::RngExt as _;
    use rand_pcg::Pcg64Mcg;

    use super::*;

    #[test]
    fn two_groups_are_told_with_their_shares() {
        let mut values: Vec<f64> = (0..10).map(|i| 1.0 + 0.001 * f64::from(i)).collect();
        values.extend((0..6).map(|i| 1.3 + 0.001 * f64::from(i)));
        let [low, high] = modes(&values).unwrap();
        assert_eq!((low.share, high.share), (0.625, 0.375));
        assert!((low.median - 1.0045).abs() < 1e-9 && (high.median - 1.3025).abs() < 1e-9);
    }

    #[test]
    fn one_group_equal_values_and_nonsense_have_no_two_modes() {
        let one: Vec<f64> = (0..40).map(|i| 1.0 + 0.01 * f64::from(i)).collect();
        assert_eq!(modes(&one), None);
        assert_eq!(modes(&[1.0; 30]), None);
        assert_eq!(modes(&[1.0, 1.0, 1.0, 2.0, 2.0, 2.0]), None);
        assert_eq!(modes(&[0.0, 0.0, 0.0, 0.0, 2.0, 2.0, 2.0, 2.0, 2.0]), None);
        assert_eq!(modes(&[f64::NAN; 20]), None);
    }

    #[test]
    fn skewed_noise_passes_for_two_groups_in_about_one_of_a_hundred() {
        let mut rng = Pcg64Mcg::new(5);
        let mut told = 0;
        for _ in 0..1_000 {
            let values: Vec<f64> = (0..20).map(|_| 1.0 - rng.random::<f64>().ln()).collect();
            told += u32::from(modes(&values).is_some());
        }
        assert!(told <= 17, "{told} of 1000");
        // The control: two groups, each with noise, three times their width apart.
        let mut found = 0;
        for _ in 0..200 {
            let value = |i: i32, rng: &mut Pcg64Mcg| {
                1.0 + 0.05 * rng.random::<f64>() + if i % 3 == 0 { 0.15 } else { 0.0 }
            };
            let values: Vec<f64> = (0..30).map(|i| value(i, &mut rng)).collect();
            found += u32::from(modes(&values).is_some());
        }
        assert!(found >= 190, "{found} of 200");
    }
}
