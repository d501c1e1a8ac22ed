//! Leaks: whether what a process holds keeps growing, from readings taken at regular times.

use super::quantile::median;
use super::trend::{autocorrelation_factor, mann_kendall, theil_sen};

/// How much growth matters, and how finely the readings tell it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Matters {
    /// Share of the baseline by which a day's growth matters; `None` where only `most` counts.
    pub share: Option<f64>,
    /// A day's growth that matters whatever the baseline is.
    pub most: f64,
    /// What may have been taken without a reading showing it yet: one step of the allocator.
    pub step: f64,
}

/// Memory in bytes: 5 % of the baseline or 64 MiB. The C library asks the kernel for memory in
/// steps of 128 KiB (`M_TOP_PAD`).
pub const MEMORY: Matters =
    Matters { share: Some(0.05), most: 64.0 * 1024.0 * 1024.0, step: 128.0 * 1024.0 };

/// Open descriptors: a process may usually have 1024.
pub const DESCRIPTORS: Matters = Matters { share: None, most: 1000.0, step: 1.0 };

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    Leak,
    Clean,
    /// Neither: a longer run may tell.
    Inconclusive,
}

/// What the readings say. Growth is in their unit per day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Leak {
    pub verdict: Verdict,
    pub growth: f64,
    pub low: f64,
    pub high: f64,
    /// Of the Mann–Kendall test with the variance corrected for autocorrelation.
    pub p_value: f64,
    /// The lower envelope at its beginning.
    pub baseline: f64,
    /// A day's growth from which on it is a leak.
    pub limit: f64,
    /// Windows behind the slope, and their length in seconds.
    pub windows: usize,
    pub window: f64,
}

/// Share of the time that is left out at its beginning, as warm-up.
const WARM_UP: f64 = 0.25;
/// Share of the time that the later half of the rest covers, over which a verdict of clean is given.
const LATER: f64 = (1.0 - WARM_UP) / 2.0;
/// Longest window of the lower envelope in seconds.
const WINDOW: f64 = 30.0;
/// Windows that the readings are divided into, where they are too short for windows of that length.
const WINDOWS: f64 = 20.0;
/// Fewest windows that tell anything.
const LEAST: usize = 12;
/// Confidence of the slope's interval.
pub const LEVEL: f64 = 0.98;
/// Largest p-value of a trend.
const SIGNIFICANT: f64 = 0.01;
const DAY: f64 = 86_400.0;

/// Judges `(seconds, amount)` readings in order of time.
///
/// The first quarter of the time is left out as warm-up. The rest is cut into windows of 30 s, or
/// of a twentieth of the time where that is shorter, and the smallest reading of each is kept, so
/// that what is taken and given back does not count. The growth is the Theil–Sen slope over those
/// minima with Sen's 98 % interval, projected to 24 hours; `trend` corrects for autocorrelation.
///
/// *Leak*: the lower bound is above 0, Mann–Kendall's p is below 0.01, the projection exceeds what
/// matters, and the later half of the windows alone grows as surely and as much: what has filled up
/// does not. *Clean*: over the later half, the upper bound, with one step of the allocator in that
/// time that no reading shows yet, stays below what matters. Otherwise, or with readings in fewer than twelve
/// windows, nothing is decided. `None` without readings or time, or where something is not finite.
pub fn leak(readings: &[(f64, f64)], matters: Matters) -> Option<Leak> {
    let ((begin, _), (end, _)) = (*readings.first()?, *readings.last()?);
    let sane = readings.iter().all(|(t, amount)| t.is_finite() && amount.is_finite());
    let time = end - begin;
    if !sane || time <= 0.0 {
        return None;
    }
    let (from, window) = windows(begin, time);
    let minima = envelope(readings, from, window);
    let baseline = median(&minima.iter().take(5).map(|m| m.1).collect::<Vec<_>>())?;
    let limit = matters.share.map_or(matters.most, |share| (share * baseline).min(matters.most));
    let Some(whole) = growth(&minima).filter(|_| minima.len() >= LEAST) else {
        let (verdict, window) = (Verdict::Inconclusive, window);
        let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
        let (growth, p_value, windows) = (0.0, 1.0, minima.len());
        return Some(Leak {
            verdict,
            growth,
            low,
            high,
            p_value,
            baseline,
            limit,
            windows,
            window,
        });
    };
    let later = growth(&minima[minima.len() / 2..])?;
    // What grows by a little less than one step over the later half may show nothing there at all.
    let hidden = matters.step / (LATER * time) * DAY;
    let grows = whole.low > 0.0 && whole.p_value < SIGNIFICANT && whole.point > limit;
    let verdict = if grows && later.low > 0.0 && later.point > limit {
        Verdict::Leak
    } else if later.high + hidden < limit {
        Verdict::Clean
    } else {
        Verdict::Inconclusive
    };
    let Growth { point, low, high, p_value } = whole;
    let windows = minima.len();
    Some(Leak { verdict, growth: point, low, high, p_value, baseline, limit, windows, window })
}

/// What [`leak`] computes the growth from: the smallest reading of every window after the warm-up,
/// with the window's middle.
pub fn lower_envelope(readings: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let (Some((begin, _)), Some((end, _))) = (readings.first(), readings.last()) else {
        return Vec::new();
    };
    let (from, window) = windows(*begin, end - begin);
    if window > 0.0 { envelope(readings, from, window) } else { Vec::new() }
}

/// Where the windows begin, and how long each is.
fn windows(begin: f64, time: f64) -> (f64, f64) {
    (begin + WARM_UP * time, (time / WINDOWS).min(WINDOW))
}

/// The smallest reading of every window from `from` on that has one, with the window's middle.
fn envelope(readings: &[(f64, f64)], from: f64, window: f64) -> Vec<(f64, f64)> {
    let mut out: Vec<(f64, f64)> = Vec::new();
    for (time, amount) in readings.iter().filter(|(time, _)| *time >= from) {
        let middle = from + (((time - from) / window).floor() + 0.5) * window;
        match out.last_mut() {
            Some(last) if last.0 == middle => last.1 = last.1.min(*amount),
            _ => out.push((middle, *amount)),
        }
    }
    // The last window may hold a single reading at its very beginning.
    if out.len() > LEAST {
        out.pop();
    }
    out
}

struct Growth {
    point: f64,
    low: f64,
    high: f64,
    p_value: f64,
}

/// Growth per day over minima.
fn growth(minima: &[(f64, f64)]) -> Option<Growth> {
    let amounts: Vec<f64> = minima.iter().map(|minimum| minimum.1).collect();
    let inflation = autocorrelation_factor(&amounts);
    let slope = theil_sen(minima, LEVEL, inflation)?;
    let trend = mann_kendall(&amounts, inflation)?;
    let (point, low, high) = (slope.point * DAY, slope.low * DAY, slope.high * DAY);
    Some(Growth { point, low, high, p_value: trend.p_value })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: f64 = 1024.0 * 1024.0;

    fn readings(seconds: u32, amount: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        (0..seconds).map(|t| (f64::from(t), amount(f64::from(t)))).collect()
    }

    fn verdict(seconds: u32, amount: impl Fn(f64) -> f64) -> Verdict {
        leak(&readings(seconds, amount), MEMORY).unwrap().verdict
    }

    #[test]
    fn each_shape_has_its_verdict() {
        let hour = 3600;
        assert_eq!(verdict(hour, |_| 200.0 * MIB), Verdict::Clean);
        assert_eq!(verdict(hour, |t| (200.0 + t / 60.0) * MIB), Verdict::Leak);
        assert_eq!(verdict(600, |t| (200.0 + t / 60.0) * MIB), Verdict::Leak);
        let saw_tooth = |t: f64| (200.0 + t % 20.0 * 3.0) * MIB;
        assert_eq!(verdict(hour, saw_tooth), Verdict::Clean);
        let steps = |t: f64| (200.0 + (t / 240.0).floor() * 2.0) * MIB;
        assert_eq!(verdict(hour, steps), Verdict::Leak);
        let filled = |t: f64| (200.0 + 50.0 * (1.0 - (-t / 300.0).exp())) * MIB;
        assert_ne!(verdict(hour, filled), Verdict::Leak);
        let shrinking = |t: f64| (200.0 - t / 600.0) * MIB;
        assert_eq!(verdict(hour, shrinking), Verdict::Clean);
    }

    #[test]
    fn a_short_run_is_never_clean_for_a_small_process() {
        // One step of 128 KiB in 225 s is 48 MiB in a day, which is 5 % of 960 MiB.
        assert_eq!(verdict(600, |_| 100.0 * MIB), Verdict::Inconclusive);
        assert_eq!(verdict(600, |_| 955.0 * MIB), Verdict::Inconclusive);
        assert_eq!(verdict(600, |_| 965.0 * MIB), Verdict::Clean);
        assert_eq!(verdict(3600, |_| 155.0 * MIB), Verdict::Inconclusive);
        assert_eq!(verdict(3600, |_| 165.0 * MIB), Verdict::Clean);
    }

    #[test]
    fn a_leak_that_the_later_half_hides_in_one_step_is_not_clean() {
        // 7.5 MiB a day, where 7 matter, is a step in 24 minutes; one came just before the later half.
        let (rate, hour, step) = (7.5 * MIB / DAY, 3600.0, 128.0 * 1024.0);
        let held = |t: f64| 140.0 * MIB + ((t - 0.62 * hour) * rate / step).ceil() * step;
        assert_eq!(held(0.63 * hour), held(hour - 1.0), "no step in the later half");
        assert_ne!(verdict(3600, held), Verdict::Clean);
    }

    #[test]
    fn descriptors_that_are_never_closed_are_a_leak() {
        let found = leak(&readings(600, |t| 20.0 + (t / 10.0).floor()), DESCRIPTORS).unwrap();
        assert_eq!(found.verdict, Verdict::Leak);
        assert!((found.growth - 8640.0).abs() < 100.0, "{}", found.growth);
        assert_eq!(leak(&readings(600, |_| 20.0), DESCRIPTORS).unwrap().verdict, Verdict::Clean);
    }

    #[test]
    fn too_little_tells_nothing() {
        assert_eq!(leak(&[], MEMORY), None);
        assert_eq!(leak(&[(1.0, 5.0)], MEMORY), None);
        assert_eq!(leak(&[(0.0, 5.0), (1.0, f64::NAN)], MEMORY), None);
        assert_eq!(verdict(8, |_| MIB), Verdict::Inconclusive);
    }

    proptest! {
        #[test]
        fn scale_and_a_later_start_change_nothing(
            noise in prop::collection::vec(0.0..9.0, 200),
            slope in -1.0..1.0,
            by in 1_u32..5,
            later in 0_u32..1000,
        ) {
            let at = |start: f64, scale: f64| -> Vec<(f64, f64)> {
                let point = |(i, e): (usize, &f64)| (start + i as f64, scale * (500.0 + e + slope * i as f64));
                noise.iter().enumerate().map(point).collect()
            };
            let scale = f64::from(1_u32 << by);
            let of = |scale: f64| Matters { share: Some(0.05), most: 40.0 * scale, step: 0.1 * scale };
            let plain = leak(&at(0.0, 1.0), of(1.0)).unwrap();
            let moved = leak(&at(f64::from(later), scale), of(scale)).unwrap();
            prop_assert_eq!(plain.verdict, moved.verdict);
            prop_assert!((plain.growth * scale - moved.growth).abs() <= 1e-6 * plain.growth.abs() * scale);
        }
    }
}
