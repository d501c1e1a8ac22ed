//! Several threads that begin the same loop at the same instant.

use std::sync::Barrier;
use std::time::{Duration, Instant};

/// How long a rate is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Time of one repetition, about.
    pub repetition: Duration,
    pub repetitions: u32,
}

/// Turns per second of all threads together in the best repetition.
///
/// `prepare` runs once in each thread and returns that thread's loop, which is told how many turns
/// to do. A repetition lasts from the first thread's start to the last one's end.
pub fn turns_per_second<L: FnMut(u64)>(
    threads: u32,
    effort: Effort,
    prepare: impl Fn() -> L + Sync,
) -> f64 {
    let turns = calibrate(effort.repetition, &mut prepare());
    let threads = threads as usize;
    let barrier = Barrier::new(threads);
    let spans: Vec<Vec<(Instant, Instant)>> = std::thread::scope(|scope| {
        let work = || {
            let mut body = prepare();
            (0..effort.repetitions)
                .map(|_| {
                    barrier.wait();
                    let begin = Instant::now();
                    body(turns);
                    (begin, Instant::now())
                })
                .collect::<Vec<_>>()
        };
        let started: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        started.into_iter().map(|t| t.join().expect("a loop of arithmetic ends")).collect()
    });
    let seconds = |repetition: usize| {
        let begin = spans.iter().map(|own| own[repetition].0).min()?;
        let end = spans.iter().map(|own| own[repetition].1).max()?;
        Some(end.duration_since(begin).as_secs_f64())
    };
    let best = (0..effort.repetitions as usize).filter_map(seconds).fold(f64::INFINITY, f64::min);
    (turns * threads as u64) as f64 / best.max(1e-9)
}

/// Turns that take about `time` on one thread.
fn calibrate(time: Duration, body: &mut impl FnMut(u64)) -> u64 {
    let mut turns = 1_u64;
    loop {
        let begin = Instant::now();
        body(turns);
        let took = begin.elapsed();
        if took * 4 >= time {
            let scale = time.as_secs_f64() / took.as_secs_f64().max(1e-9);
            return ((turns as f64 * scale) as u64).max(1);
        }
        turns = turns.saturating_mul(4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_threads_do_more_turns_of_a_loop_that_sleeps() {
        let effort = Effort { repetition: Duration::from_millis(8), repetitions: 3 };
        let sleep =
            || |turns: u64| std::thread::sleep(Duration::from_micros(100 * turns.min(1000)));
        let one = turns_per_second(1, effort, sleep);
        let four = turns_per_second(4, effort, sleep);
        assert!(one > 0.0 && one <= 10_000.0, "{one}");
        assert!(four > one * 1.5, "{one} {four}");
    }
}
