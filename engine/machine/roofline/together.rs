//! Several threads that begin the same loop at the same instant.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use crate::machine::thread_time;

/// How long a rate is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Time of one repetition, about.
    pub repetition: Duration,
    pub repetitions: u32,
}

/// What the best repetition reached.
#[derive(Debug, Clone, Copy)]
pub struct Best {
    /// Turns per second of all threads together.
    pub rate: f64,
    /// Share of the repetition for which its threads were on a processor: below 1 where something
    /// else ran there meanwhile.
    pub occupied: f64,
}

impl Best {
    /// The same with `work` per turn.
    pub fn times(self, work: f64) -> Self {
        Self { rate: self.rate * work, ..self }
    }
}

/// The best of several repetitions of a loop.
///
/// `prepare` runs once in each thread and returns that thread's loop, which is told how many turns
/// to do. A repetition lasts from the first thread's start to the last one's end.
pub fn best<L: FnMut(u64)>(threads: u32, effort: Effort, prepare: impl Fn() -> L + Sync) -> Best {
    let turns = calibrate(effort.repetition, &mut prepare());
    let threads = threads as usize;
    let barrier = Barrier::new(threads);
    let spans: Vec<Vec<Span>> = std::thread::scope(|scope| {
        let work = || {
            let mut body = prepare();
            (0..effort.repetitions)
                .map(|_| {
                    barrier.wait();
                    let (begin, before) = (Instant::now(), thread_time());
                    body(turns);
                    Span { begin, end: Instant::now(), busy: thread_time() - before }
                })
                .collect::<Vec<_>>()
        };
        let started: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        started.into_iter().map(|t| t.join().expect("a loop of arithmetic ends")).collect()
    });
    let repetition = |index: usize| {
        let begin = spans.iter().map(|own| own[index].begin).min()?;
        let end = spans.iter().map(|own| own[index].end).max()?;
        let busy: f64 = spans.iter().map(|own| own[index].busy).sum();
        let seconds = end.duration_since(begin).as_secs_f64().max(1e-9);
        let rate = (turns * threads as u64) as f64 / seconds;
        Some(Best { rate, occupied: (busy / seconds / threads as f64).min(1.0) })
    };
    let all = (0..effort.repetitions as usize).filter_map(repetition);
    all.max_by(|a, b| a.rate.total_cmp(&b.rate)).unwrap_or(Best { rate: 0.0, occupied: 0.0 })
}

/// One repetition of one thread.
struct Span {
    begin: Instant,
    end: Instant,
    /// Processor seconds of the thread.
    busy: f64,
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
        let (one, four) = (best(1, effort, sleep), best(4, effort, sleep));
        assert!(one.rate > 0.0 && one.rate <= 10_000.0, "{one:?}");
        assert!(four.rate > one.rate * 1.5, "{one:?} {four:?}");
        assert!(one.occupied < 0.9, "a thread that sleeps is not on a processor: {one:?}");
    }
}
