//! Whether a launch reached a steady state, and from which request on: looked at afterwards, over
//! all of its requests.

use std::sync::OnceLock;

use super::quantile::median;
use super::{Observed, pelt, segments, summary};

/// How the times of a launch's requests went, in the order in which they were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// One level throughout, passing disturbances aside.
    Flat,
    /// Slower first, then one level.
    WarmUp,
    /// Faster first, then one level: the steady state is the slowest.
    SlowDown,
    /// The level still changes in the last third.
    NoSteadyState,
    /// Too few requests to tell.
    Unverified,
}

/// What was found about one launch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Course {
    pub class: Class,
    /// The request, counted from 0, at which the steady state begins; 0 where there was nothing
    /// before it, and where there is none.
    pub start: usize,
    /// Highest level divided by lowest, at least 1: by how much the value of such a launch depends
    /// on when it is taken.
    pub movement: f64,
}

/// What is computed once of the requests of a launch: its [`Course`], and the value of the metric
/// that was asked for first. It adds nothing to what it belongs to: two of them are always equal,
/// and a copy, whose requests may be changed, starts without one.
#[derive(Debug, Default)]
pub struct Remembered {
    course: OnceLock<Course>,
    value: OnceLock<(String, Option<f64>)>,
}

impl Remembered {
    /// What `compute` gives for `metric`, from memory where that was the first one.
    pub(super) fn value(&self, metric: &str, compute: impl Fn() -> Option<f64>) -> Option<f64> {
        let (known, value) = self.value.get_or_init(|| (metric.to_owned(), compute()));
        if known == metric { *value } else { compute() }
    }
}

impl Clone for Remembered {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Remembered {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// How a launch went: [`classify`] on the end-to-end times of all its requests after the first
/// call, warm-up included. `start` counts requests of the record. [`Class::Unverified`] under load,
/// where a time tells as much about the requests before it as about the process.
pub fn course(observed: &Observed) -> Course {
    *observed.course.course.get_or_init(|| {
        if observed.sending.is_some() {
            return classify(&[]);
        }
        joined(&[observed])
    })
}

/// How a process went that made `bursts` one after the other: as [`course`], over [`times`].
pub fn course_of(bursts: &[&Observed]) -> Course {
    if let [observed] = bursts { course(observed) } else { joined(bursts) }
}

fn joined(bursts: &[&Observed]) -> Course {
    let (places, times): (Vec<usize>, Vec<f64>) = times(bursts).into_iter().unzip();
    let course = classify(&times);
    Course { start: places.get(course.start).copied().unwrap_or(0), ..course }
}

/// End-to-end seconds of the requests of a process with their places. Those with which bursts
/// after the first begin and which do not count are left out: others have had the caches before.
pub fn times(bursts: &[&Observed]) -> Vec<(usize, f64)> {
    let own = bursts.iter().enumerate().flat_map(|(part, seen)| {
        seen.requests.iter().filter(move |request| part == 0 || !request.warmup)
    });
    own.enumerate().filter_map(|(i, request)| Some((i, summary::whole_time(request)?))).collect()
}

/// The first request that counts: after what was flagged as warm-up when it was made, and after
/// what turns out to be warm-up afterwards.
pub fn counted_from(observed: &Observed) -> usize {
    match course(observed) {
        Course { class: Class::WarmUp, start, .. } => start,
        _ => 0,
    }
}

/// Requests below which nothing is said.
pub const LEAST: usize = 11;

/// From so many requests on changes are found by PELT.
const PELT_FROM: usize = 60;

/// Requests of the shortest segment, for PELT and below.
const SHORTEST: (usize, usize) = (5, 3);

/// Differences of levels below this share do not matter.
const MATTERS: f64 = 0.01;

/// Standard deviation below which noise is not believed, as a share of the level.
const FLOOR: f64 = 1e-3;

/// Classifies `times`, one per request, in any unit.
///
/// Strays are first replaced by the median around them (Hampel 1974; for this question only: no
/// number that is reported leaves a request out because of its value). Then changes of the level
/// are found: from 60 requests on by PELT with penalty `15 · ln n` and segments of at least five,
/// below that by the best of all segmentations that explain most of the variance (`segments`).
/// Neighbours whose levels differ by less than 1 %, or by less than one standard deviation of a
/// single request, are one. What is left gives the class as in Barrett, Bolz-Tereick, Killick,
/// Mount & Tratt 2017 (Virtual machine warmup blows hot and cold, PACMPL 1, OOPSLA), with a third
/// in place of their last quarter; values, or a last level, that a straight line describes better
/// have no steady state either. A passing disturbance between two equal levels is no warm-up.
/// [`Class::Unverified`] for fewer than eleven times, or where one is not finite.
pub fn classify(times: &[f64]) -> Course {
    let n = times.len();
    let Some(middle) = median(times).filter(|middle| *middle > 0.0 && n >= LEAST) else {
        return Course { class: Class::Unverified, start: 0, movement: 1.0 };
    };
    let scaled: Vec<f64> = times.iter().map(|time| time / middle).collect();
    let clean = without_strays(&scaled);
    let starts = if n >= PELT_FROM {
        pelt::changes(&clean, pelt::latency_penalty(n), SHORTEST.0, FLOOR)
    } else {
        segments::changes(&clean, SHORTEST.1, FLOOR)
    };
    let levels = levels(&clean, &starts);
    let (class, start) = judge(&clean, &levels);
    let third = n / 3;
    let ends = [level_of(&clean[..third]), level_of(&clean[n - third..])];
    let of_levels = levels.iter().map(|level| level.height);
    let (low, high) = if levels.len() > 1 { bounds(of_levels) } else { bounds(ends.into_iter()) };
    let moves = !matches!(class, Class::Flat) && low > 0.0;
    Course { class, start, movement: if moves { high / low } else { 1.0 } }
}

fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, 0.0), |(low, high), v| (low.min(v), high.max(v)))
}

/// Replaces what lies over three robust standard deviations from the median of the values around
/// it: up to five on either side, and as many on both, so that a short transient at the start is
/// not taken for strays. Where over a tenth of the values are strays they are what the series is
/// like, and stay.
fn without_strays(values: &[f64]) -> Vec<f64> {
    let mut strays = 0;
    let mut around = |i: usize| {
        let middle = i.clamp(1, values.len() - 2);
        let reach = middle.min(values.len() - 1 - middle).min(5);
        let (level, spread) = level_and_spread(&values[middle - reach..=middle + reach]);
        let stray = (values[i] - level).abs() > 3.0 * spread;
        strays += usize::from(stray);
        if stray { level } else { values[i] }
    };
    let clean: Vec<f64> = (0..values.len()).map(&mut around).collect();
    if strays > (values.len() / 10).max(2) { values.to_vec() } else { clean }
}

/// Median, and the standard deviation that the median absolute deviation stands for.
fn level_and_spread(values: &[f64]) -> (f64, f64) {
    let level = level_of(values);
    let distances: Vec<f64> = values.iter().map(|v| (v - level).abs()).collect();
    (level, (1.4826 * median(&distances).unwrap_or(0.0)).max(FLOOR * level))
}

fn level_of(values: &[f64]) -> f64 {
    median(values).unwrap_or(1.0)
}

/// A stretch of one level.
#[derive(Debug, Clone, Copy)]
struct Level {
    start: usize,
    end: usize,
    height: f64,
}

/// Segments between changes, neighbours that hardly differ put together.
fn levels(values: &[f64], starts: &[usize]) -> Vec<Level> {
    let mut edges = vec![0];
    edges.extend(starts);
    let ends = edges[1..].iter().copied().chain([values.len()]);
    let mut out: Vec<Level> = Vec::new();
    for (start, end) in edges.iter().copied().zip(ends) {
        let (level, spread) = level_and_spread(&values[start..end]);
        match out.last_mut() {
            Some(known) if (known.height - level).abs() <= spread.max(MATTERS * level) => {
                known.end = end;
                known.height = level_of(&values[known.start..end]);
            }
            _ => out.push(Level { start, end, height: level }),
        }
    }
    out
}

fn judge(values: &[f64], levels: &[Level]) -> (Class, usize) {
    let n = values.len();
    if is_line(values, levels) {
        return (Class::NoSteadyState, 0);
    }
    let [first, .., last] = levels else { return (Class::Flat, 0) };
    let tail = &values[last.start..];
    if last.start * 3 > n * 2 || is_line(tail, &levels[levels.len() - 1..]) {
        return (Class::NoSteadyState, 0);
    }
    let within = level_and_spread(tail).1.max(MATTERS * last.height);
    if first.height > last.height + within {
        let slower = levels.iter().take_while(|level| level.height > last.height + within);
        let end = slower.last().map_or(0, |level| level.end);
        return (Class::WarmUp, settled(values, last.height + within, end));
    }
    if first.height < last.height - within {
        return (Class::SlowDown, last.start);
    }
    (Class::Flat, 0)
}

/// Requests from which on a straight line is looked for.
const LINE_FROM: usize = 12;

/// Whether a straight line describes the values better than levels do, explains most of their
/// variance, and rises or falls by what matters.
fn is_line(values: &[f64], levels: &[Level]) -> bool {
    let n = values.len() as f64;
    if values.len() < LINE_FROM {
        return false;
    }
    let mean = values.iter().sum::<f64>() / n;
    let middle = (n - 1.0) / 2.0;
    let (mut times, mut both, mut all) = (0.0, 0.0, 0.0);
    for (i, value) in values.iter().enumerate() {
        let t = i as f64 - middle;
        times += t * t;
        both += t * (value - mean);
        all += (value - mean).powi(2);
    }
    let least = n * FLOOR * FLOOR;
    let line = (all - both * both / times).max(least);
    let begin = levels[0].start;
    let steps: f64 = levels.iter().map(|l| squares(&values[l.start - begin..l.end - begin])).sum();
    let penalty = segments::PENALTY * (levels.len() as f64 - 2.0);
    let rise = (both / times * n).abs();
    let spread = (line / n).sqrt();
    n * (all.max(least) / line).ln() >= n.max(segments::PENALTY)
        && n * (line / steps.max(least)).ln() < penalty
        && rise > spread.max(MATTERS * mean)
}

fn squares(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    values.iter().map(|v| (v - mean).powi(2)).sum()
}

/// The first request from `from` on around which the median lies below `bound`: a segment that
/// begins while the last of a transient fades is entered where it has faded.
fn settled(values: &[f64], bound: f64, from: usize) -> usize {
    let reach = (values.len() / 40).max(2);
    let around = |i: &usize| {
        let window = &values[i.saturating_sub(reach)..(i + reach + 1).min(values.len())];
        median(window).is_none_or(|level| level <= bound)
    };
    (from..values.len() * 2 / 3).find(around).unwrap_or(from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A deterministic disturbance of about one per cent.
    fn noise(i: usize) -> f64 {
        1.0 + 0.004 * ((i * 7 % 11) as f64 - 5.0) / 2.0
    }

    fn class(n: usize, shape: impl Fn(usize) -> f64) -> (Class, usize) {
        let times: Vec<f64> = (0..n).map(|i| shape(i) * noise(i)).collect();
        let course = classify(&times);
        (course.class, course.start)
    }

    #[test]
    fn each_shape_has_its_class() {
        for n in [30, 90] {
            let from = n / 3;
            assert_eq!(class(n, |_| 1.0), (Class::Flat, 0));
            assert_eq!(class(n, |i| if i < from { 1.5 } else { 1.0 }), (Class::WarmUp, from));
            assert_eq!(class(n, |i| if i < from { 1.0 } else { 1.5 }), (Class::SlowDown, from));
            let late = |i| if i < n * 5 / 6 { 1.0 } else { 1.5 };
            assert_eq!(class(n, late), (Class::NoSteadyState, 0));
            let falling = |i| 2.0 - i as f64 / n as f64;
            assert_eq!(class(n, falling), (Class::NoSteadyState, 0));
            let passing = |i: usize| if (from..2 * from - 2).contains(&i) { 1.5 } else { 1.0 };
            assert_eq!(class(n, passing), (Class::Flat, 0));
            let often = |i| if i % 5 == 3 { 1.6 } else { 1.0 };
            assert_eq!(class(n, often), (Class::Flat, 0));
        }
    }

    #[test]
    fn one_slow_request_is_no_warm_up_and_few_requests_tell_nothing() {
        assert_eq!(class(40, |i| if i == 9 { 4.0 } else { 1.0 }), (Class::Flat, 0));
        assert_eq!(class(40, |i| if i == 0 { 4.0 } else { 1.0 }), (Class::Flat, 0));
        assert_eq!(class(LEAST - 1, |i| if i < 4 { 4.0 } else { 1.0 }).0, Class::Unverified);
        assert_eq!(classify(&[f64::NAN; 40]).class, Class::Unverified);
        assert_eq!(classify(&[0.0; 40]).class, Class::Unverified);
        assert_eq!(classify(&[2.0; 40]).class, Class::Flat);
    }

    #[test]
    fn half_a_per_cent_does_not_matter_and_movement_is_told() {
        assert_eq!(class(40, |i| if i < 15 { 1.005 } else { 1.0 }), (Class::Flat, 0));
        let times: Vec<f64> = (0..40).map(|i| if i < 34 { 1.0 } else { 1.2 } * noise(i)).collect();
        let movement = classify(&times).movement;
        assert!((movement - 1.2).abs() < 0.02, "{movement}");
        assert_eq!(classify(&[1.0; 40]).movement, 1.0);
    }

    proptest! {
        #[test]
        fn units_do_not_matter(times in prop::collection::vec(0.5..2.0, 12..80), by in 0_u32..30) {
            let scaled: Vec<f64> = times.iter().map(|t| t * f64::from(1 << by)).collect();
            prop_assert_eq!(classify(&times), classify(&scaled));
        }

        #[test]
        fn the_start_leaves_a_third_of_the_requests(
            times in prop::collection::vec(0.5..2.0, 12..80),
            slow in 1.0..4.0,
        ) {
            let cut = times.len() / 3;
            let times: Vec<f64> =
                times.iter().enumerate().map(|(i, t)| if i < cut { t * slow } else { *t }).collect();
            let course = classify(&times);
            prop_assert!(course.start * 3 <= times.len() * 2, "{course:?}");
            prop_assert!(course.movement >= 1.0);
        }
    }
}
