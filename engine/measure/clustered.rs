//! Quantiles of samples that come from several launches.
//!
//! Samples of one process share its luck: where its memory lies, how fast the machine was just then.
//! Bounds that count them all as independent are too narrow. The launch is the independent unit,
//! so launches are either summed up one by one or resampled as a whole.

use std::cell::{OnceCell, RefCell};
use std::cmp::Ordering;
use std::collections::HashMap;

use rand::RngExt as _;
use rand_pcg::Pcg64Mcg;

use super::autocorrelation::effective_size;
use super::beta::beta_quantile;
use super::estimate::{Method, df, normal_cdf, t_quantile, two_sided};
use super::quantile::{self, Grade, grade, sorted, type_7};

/// Resamples of launches behind an interval.
pub const RESAMPLES: usize = 1_000;

/// A tail may be that of a few launches: so many must be expected beyond the quantile before
/// launches are resampled. With one, p95 over 20 launches covered 85 %, with two over 40 90 %
/// (`prove/stats.rs`).
const LAUNCHES_BEYOND: f64 = 4.0;

/// Fewer launches than that have bounds only where belonging to the same one inflates variances by
/// this factor at most, for all that can be said at the confidence [`SURE`].
///
/// An estimate would not do: of ten launches of sixty requests that differ half as much as requests
/// do, one in eight looks alike, and its bounds of the p95 then cover 77 %.
const MOST_INFLATED: f64 = 3.0;
const SURE: f64 = 0.95;

const SEED: u128 = 0x5eed_c105_7e25;

/// A quantile over launches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clustered {
    /// Of the pooled samples, Hyndman–Fan type 7.
    pub point: f64,
    pub bounds: Result<(f64, f64), Lacking>,
    /// How the bounds came about, or would have.
    pub method: Method,
    /// Independent samples that the pooled ones are worth for this quantile.
    pub effective: f64,
    pub grade: Grade,
}

/// What bounds at this level would need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lacking {
    /// Independent samples.
    Samples(usize),
    Launches(usize),
}

/// The `q`-quantile of the samples of `launches`, each in the order in which they came.
///
/// With one launch, order statistics at the number of independent samples. When every launch holds
/// enough of those for bounds of its own, *sectioning*: Student's t over the quantiles of the
/// launches, around that of all samples (S. Asmussen & P. W. Glynn, Stochastic Simulation (2007),
/// section III.5). Else a *cluster bootstrap*: launches drawn with replacement, the seed fixed,
/// percentiles spread for few launches (T. C. Hesterberg, The American Statistician 69 (2015)
/// 371-386), and never narrower than the order statistics; only with so many launches that four are
/// expected beyond the quantile. With fewer, order statistics at the number of independent samples
/// that is the least to be reckoned with, where launches are shown to be nearly alike. Independent
/// samples are counted on the indicators of being at most the quantile, whose correlation is what
/// its error depends on (P. Heidelberger & P. A. W. Lewis, Operations Research 32 (1984) 185-209).
/// `None` without finite samples.
pub fn quantile_of_launches(launches: &[Vec<f64>], q: f64, level: f64) -> Option<Clustered> {
    Launches::of(launches)?.quantile(q, level)
}

/// Samples of several launches, made ready for several quantiles.
pub struct Launches<'a> {
    filled: Vec<&'a Vec<f64>>,
    /// All samples in ascending order.
    pooled: Vec<f64>,
    /// Those of each launch in ascending order; launches in an order of their own, so that the same
    /// launches give the same bounds in any order.
    ordered: Vec<Vec<f64>>,
    /// For resampling, if that is asked for.
    ranked: OnceCell<Ranked>,
}

impl<'a> Launches<'a> {
    /// `None` without finite samples.
    pub fn of(launches: &'a [Vec<f64>]) -> Option<Self> {
        let filled: Vec<&Vec<f64>> = launches.iter().filter(|own| !own.is_empty()).collect();
        let pooled =
            sorted(&filled.iter().flat_map(|own| own.iter().copied()).collect::<Vec<_>>())?;
        let mut ordered: Vec<Vec<f64>> = filled.iter().filter_map(|own| sorted(own)).collect();
        ordered.sort_by(|x, y| x.partial_cmp(y).unwrap_or(Ordering::Equal));
        Some(Self { filled, pooled, ordered, ranked: OnceCell::new() })
    }

    /// As [`quantile_of_launches`].
    pub fn quantile(&self, q: f64, level: f64) -> Option<Clustered> {
        let (filled, pooled) = (&self.filled, self.pooled.as_slice());
        let upper = two_sided(level)?;
        let point = quantile::of_sorted(pooled, q, level)?.point;
        let below =
            |launch: &&Vec<f64>| launch.iter().map(|x| f64::from(u8::from(*x <= point))).collect();
        let indicators: Vec<Vec<f64>> = filled.iter().map(below).collect();
        let within = effective_size(&indicators);
        let spread = Spread::of(&indicators);
        let effective = within.min(pooled.len() as f64 / spread.inflation());
        let ranks = quantile::dependent_of_sorted(pooled, q, level, effective)?;
        let out = |bounds, method, effective| {
            Some(Clustered { point, bounds, method, effective, grade: grade(q, effective) })
        };
        let share = within / pooled.len() as f64;
        let enough =
            |launch: &&Vec<f64>| (launch.len() as f64 * share).floor() as usize >= ranks.need;
        if filled.len() > 1 && filled.iter().all(enough) {
            return out(
                Ok(sections(&self.ordered, q, point, upper)?),
                Method::Sectioning,
                effective,
            );
        }
        let Some(by_rank) = ranks.bounds else {
            return out(Err(Lacking::Samples(ranks.need)), Method::OrderStatistic, effective);
        };
        if filled.len() == 1 {
            return out(Ok(by_rank), Method::OrderStatistic, effective);
        }
        // A little less, because 1 − 0.95 is a little more than a twentieth.
        let fewest = (LAUNCHES_BEYOND / q.min(1.0 - q) - 1e-9).ceil() as usize;
        if filled.len() < fewest {
            let most = spread.most_inflation();
            let least = within.min(pooled.len() as f64 / most);
            let careful = quantile::dependent_of_sorted(pooled, q, level, least)?.bounds;
            return match careful.filter(|_| most <= MOST_INFLATED) {
                Some(bounds) => out(Ok(bounds), Method::OrderStatistic, least),
                None => out(Err(Lacking::Launches(fewest)), Method::ClusterBootstrap, effective),
            };
        }
        let ranked = self.ranked.get_or_init(|| Ranked::of(&self.ordered));
        let drawn = resampled(ranked, filled.len(), q, upper);
        let bounds = (drawn.0.min(by_rank.0), drawn.1.max(by_rank.1));
        out(Ok(bounds), Method::ClusterBootstrap, effective)
    }
}

/// Mean squares of a one-way analysis of variance of launches.
struct Spread {
    between: f64,
    within: f64,
    launches: usize,
    samples: usize,
}

impl Spread {
    fn of(launches: &[Vec<f64>]) -> Self {
        let samples = launches.iter().map(Vec::len).sum();
        let mut out = Self { between: 0.0, within: 0.0, launches: launches.len(), samples };
        if out.launches < 2 || samples <= out.launches {
            return out;
        }
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let whole = launches.iter().flatten().sum::<f64>() / samples as f64;
        let apart = |own: &Vec<f64>| own.len() as f64 * (mean(own) - whole).powi(2);
        let squares = |own: &Vec<f64>| {
            let middle = mean(own);
            own.iter().map(|x| (x - middle).powi(2)).sum::<f64>()
        };
        out.between = launches.iter().map(apart).sum::<f64>() / df(out.launches);
        out.within = launches.iter().map(squares).sum::<f64>() / (samples - out.launches) as f64;
        out
    }

    /// By how much belonging to the same launch inflates the variance of a mean: `1 + (m − 1)·ρ` with
    /// the intraclass correlation (L. Kish, Survey Sampling (1965), 5.4), which with `F` the ratio of
    /// the mean squares is `mF/(F + m − 1)`.
    fn inflation(&self) -> f64 {
        self.inflated(self.between)
    }

    /// The most that it may be: that of the upper bound of `F` at the confidence [`SURE`], as if
    /// launches were normal.
    fn most_inflation(&self) -> f64 {
        if self.between > 0.0 {
            self.inflated(self.between / least_ratio(self.launches, self.samples))
        } else {
            1.0
        }
    }

    fn inflated(&self, between: f64) -> f64 {
        let size = self.samples as f64 / self.launches as f64;
        let total = between + (size - 1.0) * self.within;
        if total > 0.0 { (size * between / total).max(1.0) } else { 1.0 }
    }
}

/// What the ratio of mean squares of launches that are alike is above, at the confidence [`SURE`]:
/// a quantile of the F distribution, which is that of a beta distribution as odds.
fn least_ratio(launches: usize, samples: usize) -> f64 {
    thread_local! {
        /// A report asks for the same few numbers ten thousand times.
        static KNOWN: RefCell<HashMap<(usize, usize), f64>> = RefCell::default();
    }
    KNOWN.with_borrow_mut(|known| {
        *known.entry((launches, samples)).or_insert_with(|| {
            let (between, within) = (df(launches), (samples - launches) as f64);
            let share = beta_quantile(1.0 - SURE, between / 2.0, within / 2.0);
            share / (1.0 - share) * within / between
        })
    })
}

fn sections(ordered: &[Vec<f64>], q: f64, point: f64, upper: f64) -> Option<(f64, f64)> {
    let each: Vec<f64> = ordered.iter().map(|launch| type_7(launch, q)).collect();
    let n = each.len();
    let squares: f64 = each.iter().map(|x| (x - point).powi(2)).sum();
    let half = t_quantile(upper, df(n)) * (squares / df(n) / n as f64).sqrt();
    half.is_finite().then_some((point - half, point + half))
}

/// Percentiles of the quantile over resamples of `b` whole launches.
fn resampled(ranked: &Ranked, b: usize, q: f64, upper: f64) -> (f64, f64) {
    let mut drawn: Vec<f64> = DRAWS.with_borrow_mut(|draws| {
        if draws.0 != b {
            *draws = (b, draw(b));
        }
        draws.1.chunks(b).map(|times| ranked.quantile(times, q)).collect()
    });
    let n = b as f64;
    let share = normal_cdf(-(n / (n - 1.0)).sqrt() * t_quantile(upper, n - 1.0));
    (nth(&mut drawn, share), nth(&mut drawn, 1.0 - share))
}

thread_local! {
    /// How often each of so many launches is in each resample. The seed is fixed, so it is always
    /// the same; a report asks for it ten thousand times in a row.
    static DRAWS: RefCell<(usize, Vec<usize>)> = const { RefCell::new((0, Vec::new())) };
}

fn draw(b: usize) -> Vec<usize> {
    let mut rng = Pcg64Mcg::new(SEED);
    let mut out = vec![0; RESAMPLES * b];
    for times in out.chunks_mut(b) {
        for _ in 0..b {
            times[rng.random_range(0..b)] += 1;
        }
    }
    out
}

/// Type 7 of values in any order, which it changes.
fn nth(values: &mut [f64], q: f64) -> f64 {
    let place = q * (values.len() - 1) as f64;
    let below = (place.floor() as usize).min(values.len() - 1);
    let (_, low, above) = values.select_nth_unstable_by(below, f64::total_cmp);
    let low = *low;
    let high = above.iter().copied().min_by(f64::total_cmp).unwrap_or(low);
    let share = place - below as f64;
    low * (1.0 - share) + high * share
}

/// Samples of several launches in ascending order.
struct Ranked {
    /// With the launch of each.
    samples: Vec<(f64, usize)>,
    /// How many of each launch come before every [`STRIDE`]th sample, and how many there are.
    before: Vec<Vec<usize>>,
}

/// Samples between two entries of [`Ranked::before`]: few to walk, and few to keep.
const STRIDE: usize = 64;

impl Ranked {
    fn of(launches: &[Vec<f64>]) -> Self {
        let mut samples: Vec<(f64, usize)> = Vec::new();
        for (launch, values) in launches.iter().enumerate() {
            samples.extend(values.iter().map(|x| (*x, launch)));
        }
        samples.sort_by(|x, y| x.0.total_cmp(&y.0));
        let mut passed = vec![0; launches.len()];
        let mut before = Vec::new();
        for stride in samples.chunks(STRIDE) {
            before.push(passed.clone());
            for (_, launch) in stride {
                passed[*launch] += 1;
            }
        }
        before.push(passed);
        Self { samples, before }
    }

    /// Type 7 of the sample that holds each launch so many `times`.
    fn quantile(&self, times: &[usize], q: f64) -> f64 {
        let all = self.before.last().map_or(0, |sizes| count(sizes, times));
        let place = q * (all - 1) as f64;
        let rank = (place.floor() as usize).min(all - 1);
        let share = place - rank as f64;
        let low = self.nth(times, rank);
        let high = self.nth(times, (rank + 1).min(all - 1));
        low * (1.0 - share) + high * share
    }

    /// The value at a rank from 0, where each stands as many `times` as its launch.
    fn nth(&self, times: &[usize], rank: usize) -> f64 {
        let stride = self.before.partition_point(|before| count(before, times) <= rank) - 1;
        let mut passed = count(&self.before[stride], times);
        for (value, launch) in &self.samples[stride * STRIDE..] {
            passed += times[*launch];
            if passed > rank {
                return *value;
            }
        }
        f64::NAN
    }
}

fn count(of_launches: &[usize], times: &[usize]) -> usize {
    of_launches.iter().zip(times).map(|(samples, times)| samples * times).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::autocorrelation::ar1;

    fn launches(count: u32, samples: usize, between: f64) -> Vec<Vec<f64>> {
        let luck = ar1(77, count as usize, 0.0);
        let run = |i: u32| ar1(u64::from(i) + 1, samples, 0.0);
        (0..count)
            .map(|i| run(i).iter().map(|x| 10.0 + x + between * luck[i as usize]).collect())
            .collect()
    }

    #[test]
    fn the_method_follows_from_what_each_launch_holds() {
        let method = |l: &[Vec<f64>], q| quantile_of_launches(l, q, 0.95).unwrap().method;
        assert_eq!(method(&launches(1, 40, 0.0), 0.5), Method::OrderStatistic);
        assert_eq!(method(&launches(10, 60, 0.0), 0.5), Method::Sectioning);
        assert_eq!(method(&launches(80, 20, 0.0), 0.95), Method::ClusterBootstrap);
        let few = quantile_of_launches(&launches(10, 20, 0.0), 0.99, 0.95).unwrap();
        assert_eq!(few.bounds, Err(Lacking::Samples(368)));
        let few = quantile_of_launches(&launches(4, 60, 0.0), 0.95, 0.95).unwrap();
        assert_eq!(few.bounds, Err(Lacking::Launches(80)), "four cannot show that they are alike");
        assert_eq!(quantile_of_launches(&[], 0.5, 0.95), None);
        assert_eq!(quantile_of_launches(&[vec![f64::NAN]], 0.5, 0.95), None);
    }

    #[test]
    fn few_launches_have_bounds_where_they_are_shown_to_be_alike() {
        let alike = quantile_of_launches(&launches(40, 30, 0.0), 0.95, 0.95).unwrap();
        assert_eq!(alike.method, Method::OrderStatistic);
        assert!(alike.bounds.is_ok() && alike.effective < 1200.0, "{alike:?}");
        let differing = quantile_of_launches(&launches(40, 30, 2.0), 0.95, 0.95).unwrap();
        assert_eq!(differing.bounds, Err(Lacking::Launches(80)));
    }

    #[test]
    fn inflation_follows_from_the_ratio_of_mean_squares() {
        // Means 1 and 3 of two each, squares within 2·0.5: F = 4/0.5 = 8 and 2·8/9.
        let found = Spread::of(&[vec![0.5, 1.5], vec![2.5, 3.5]]);
        assert!((found.inflation() - 16.0 / 9.0).abs() < 1e-12, "{}", found.inflation());
        // F of 1 and 2 degrees of freedom is below 0.005 in 5 %: 2·1600/1601 or so.
        assert!((1.99..2.0).contains(&found.most_inflation()), "{}", found.most_inflation());
        let equal = Spread::of(&[vec![1.0, 2.0, 3.0], vec![3.0, 1.0, 2.0]]);
        assert_eq!((equal.inflation(), equal.most_inflation()), (1.0, 1.0));
        // Tabled: F of 9 and 10 degrees of freedom is below 1/3.14 in 5 %, the upper 5 % of 10 and 9.
        assert!((least_ratio(10, 20) - 1.0 / 3.137).abs() < 1e-3, "{}", least_ratio(10, 20));
    }

    #[test]
    fn luck_of_launches_widens_the_bounds() {
        for (q, count) in [(0.5, 12), (0.95, 100)] {
            let width = |between| {
                let found = quantile_of_launches(&launches(count, 60, between), q, 0.95).unwrap();
                let (low, high) = found.bounds.unwrap();
                assert!(low < found.point && found.point < high);
                high - low
            };
            assert!(width(2.0) > 2.0 * width(0.0), "{q}: {} {}", width(2.0), width(0.0));
        }
    }

    #[test]
    fn the_order_of_launches_does_not_matter() {
        for q in [0.5, 0.95] {
            let forth = launches(9, 50, 1.0);
            let back: Vec<_> = forth.iter().rev().cloned().collect();
            let (a, b) =
                (quantile_of_launches(&forth, q, 0.95), quantile_of_launches(&back, q, 0.95));
            assert_eq!(a.unwrap().bounds, b.unwrap().bounds);
        }
    }

    #[test]
    fn a_resample_is_the_quantile_of_its_launches_together() {
        let few = [vec![1.0, 4.0, 6.0], vec![2.0, 3.0], vec![5.0, 7.0, 8.0, 9.0]];
        // Over several strides, with ties.
        let many = [500, 130, 64].map(|n| (0..n).map(|i| f64::from(i * i % 97)).collect());
        for all in [few, many] {
            resamples_are_their_launches(&all);
        }
    }

    fn resamples_are_their_launches(all: &[Vec<f64>; 3]) {
        let ranked = Ranked::of(all);
        for times in [[1, 1, 1], [2, 0, 1], [0, 3, 0], [0, 1, 2]] {
            let mut whole: Vec<f64> = Vec::new();
            for (launch, times) in all.iter().zip(times) {
                (0..times).for_each(|_| whole.extend(launch));
            }
            whole.sort_by(f64::total_cmp);
            for q in [0.1, 0.5, 0.77, 0.99] {
                let found = ranked.quantile(&times, q);
                assert!((found - type_7(&whole, q)).abs() < 1e-12, "{times:?} {q}");
            }
        }
    }
}
