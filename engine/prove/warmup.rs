//! Warm-up: launches whose course is known, classified by what the report uses.

use super::draws::Draws;
use super::repeat::{Rate, repeat};
use super::{Effort, Holds, Proof, Row, Table};
use crate::measure::steady::{Class, classify};
use crate::measure::truncation::mser;

pub(super) const CLASSES: Proof = Proof {
    id: "warm_up_classes",
    claim: "A launch that warms up, slows down or finds no steady state is known as such, and its steady state begins where it is said to begin.",
    method: "Traces of request times with noise of 0.5, 1, 2 or 5 % and one stray of 1.2 to 3 times the level in a hundred; what changes, changes by 8 to 30 standard deviations and by 5 % at least. Bars: at most 5 % wrong classes, and at most 5 % of those right begin over max(2, 5 % of the requests) off. An exponential has no sharp end: any request at which between two and a half standard deviations are left is one. Shown without a bar: fewer requests, noise that depends on the request before (AR(1), 0.4), and where MSER-5 alone would cut.",
    run: classes,
};

/// What happens in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Flat,
    Often,
    Exponential,
    Step,
    Slower,
    Period,
    Falling,
}

const SHAPES: [(Shape, &str); 7] = [
    (Shape::Flat, "flat"),
    (Shape::Often, "flat, every 2nd to 7th request slower"),
    (Shape::Exponential, "warm-up, exponential"),
    (Shape::Step, "warm-up, one step"),
    (Shape::Slower, "slow-down, one step"),
    (Shape::Period, "a long period, half of it 0.2 to 0.3 of the launch"),
    (Shape::Falling, "no plateau, a straight fall"),
];

/// Request times with their truth: the class, and the first and the last request at which the
/// steady state may be said to begin.
struct Trace {
    times: Vec<f64>,
    class: Class,
    start: (usize, usize),
}

fn trace(shape: Shape, n: usize, rho: f64, noise: &mut Draws) -> Trace {
    let sd = noise.one_of(&[0.005, 0.01, 0.02, 0.05]);
    let size = (noise.between(8.0, 30.0) * sd).max(0.05);
    let length = n as f64;
    let part = |share: f64| ((share * length) as usize).max(3);
    let early = part(noise.between(0.1, 0.45));
    let middle = part(noise.between(0.3, 0.6));
    let every = 2 + (noise.uniform() * 5.99) as usize;
    let half = noise.between(0.2, 0.3) * length;
    let phase = noise.uniform() * half;
    let matters = sd.max(0.01);
    let fade = early as f64 / (size / matters).ln();
    let excess = |i: usize| {
        let t = i as f64;
        match shape {
            Shape::Flat => 0.0,
            Shape::Often => {
                if i % every == 1 {
                    size
                } else {
                    0.0
                }
            }
            Shape::Exponential => size * (-t / fade).exp(),
            Shape::Step => {
                if i < early {
                    size
                } else {
                    0.0
                }
            }
            Shape::Slower => {
                if i < middle {
                    0.0
                } else {
                    size
                }
            }
            Shape::Period => {
                if (((t + phase) / half) as usize).is_multiple_of(2) {
                    size
                } else {
                    0.0
                }
            }
            Shape::Falling => size * (1.0 - t / length),
        }
    };
    let (class, start) = match shape {
        Shape::Flat | Shape::Often => (Class::Flat, (0, 0)),
        Shape::Exponential => {
            let left = |most: f64| (0..n).find(|i| excess(*i) < most * matters).unwrap_or(n);
            (Class::WarmUp, (left(2.0), left(0.5)))
        }
        Shape::Step => (Class::WarmUp, (early, early)),
        Shape::Slower => (Class::SlowDown, (middle, middle)),
        Shape::Period | Shape::Falling => (Class::NoSteadyState, (0, 0)),
    };
    let wandering = noise.wandering(n, rho);
    let time = |(i, e): (usize, f64)| {
        let stray = if noise.uniform() < 0.01 { noise.between(1.2, 3.0) } else { 1.0 };
        (1.0 + excess(i)) * (sd * e).exp() * stray
    };
    Trace { times: wandering.into_iter().enumerate().map(time).collect(), class, start }
}

/// How far outside of the truth a start lies, in requests.
fn off(start: usize, (first, last): (usize, usize)) -> usize {
    first.saturating_sub(start).max(start.saturating_sub(last))
}

/// Of traces the wrong classes and the starts of MSER that are off, of those of the right class the
/// starts that are off.
struct Tally {
    wrong: Rate,
    off: Rate,
    cut_off: Rate,
}

fn tally(shape: Shape, n: usize, rho: f64, traces: u64) -> Tally {
    let allowed = (n / 20).max(2);
    let found = repeat(traces, |seed| {
        let trace = trace(shape, n, rho, &mut Draws::new(9_600 + n as u64, seed));
        let course = classify(&trace.times);
        let is_off = |start| off(start, trace.start) > allowed;
        let right = course.class == trace.class;
        (right, is_off(course.start), is_off(mser(&trace.times)))
    });
    Tally {
        wrong: Rate::of(found.iter().map(|found| !found.0)),
        off: Rate::of(found.iter().filter(|found| found.0).map(|found| found.1)),
        cut_off: Rate::of(found.iter().map(|found| found.2)),
    }
}

fn classes(effort: Effort) -> Table {
    let traces = match effort {
        Effort::Quick => 100,
        Effort::Full => 2000,
    };
    let columns =
        vec!["course", "requests", "noise", "traces", "wrong class", "start off", "MSER off"];
    let mut table = Table { columns, ..Table::default() };
    for (n, rho, judged) in
        [(40, 0.0, true), (100, 0.0, true), (200, 0.0, true), (20, 0.0, false), (100, 0.4, false)]
    {
        for (shape, name) in SHAPES {
            // Half a period of twenty requests is four: nobody could call that a level.
            if n == 20 && shape == Shape::Period {
                continue;
            }
            let Tally { wrong, off, cut_off } = tally(shape, n, rho, traces);
            let holds = wrong.stays_within(0.05, effort) && off.stays_within(0.05, effort);
            table.rows.push(Row {
                cells: vec![
                    name.into(),
                    n.to_string(),
                    if rho > 0.0 { format!("AR(1) {rho}") } else { "independent".into() },
                    traces.to_string(),
                    wrong.text(),
                    off.text(),
                    cut_off.text(),
                ],
                verdict: if judged { Holds::of(holds) } else { Holds::Shown },
            });
        }
    }
    table.remarks.push("MSER always answers. It cuts half of a slow-down's fast part and something of steady noise, and one stray moves it, which is why the report finds changes of the level first.".into());
    table
}
