//! Watches the machine around every launch, and leaves out blocks that something outside disturbed.
//!
//! What a block met is judged by pure rules (`machine::watch`); here counters are read at the right
//! moments, and what follows is written down. A block is left out whole, for all variants at once,
//! and only for a cause from outside: never for the values that were measured in it.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::progress::Progress;
use super::session::{Session, SessionError};
use crate::machine::watch::{
    Canary, CanaryLoop, GpuSource, Level, Readings, Snapshot, Sources, Unseen, Usual, judge_block,
    most_left_out,
};
use crate::machine::{Driver, thread_time};
use crate::record::{Cause, Disturbed, Launch};
use crate::spec;
use crate::stage::Setting;

/// Watches while launches run.
pub struct Guard {
    sources: Mutex<Sources>,
    canary: Option<CanaryLoop>,
    max_invalid: f64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The last whole look, and when it was.
    last: Option<(Instant, Snapshot)>,
    /// The block before which the canary was last heard.
    heard: Option<usize>,
}

/// Time between two looks while something is measured.
const PERIOD: Duration = Duration::from_millis(500);
/// Looking for other processes waits this long at least, and this many times what it took: it
/// reads a file of every process, and may take a quarter of a per cent of one processor.
const LOOK_PERIOD: Duration = Duration::from_secs(2);
const LOOK_FACTOR: f64 = 400.0;
/// The look after one launch is the look before the next one if that begins this soon.
const FRESH: Duration = Duration::from_millis(100);

impl Guard {
    /// `gpus` are the numbers of those that launches use. `None` where the spec wants no guard.
    pub fn open(spec: &spec::Guard, gpus: &[u32]) -> Option<Self> {
        spec.enabled.then(|| Self {
            sources: Mutex::new(sources(gpus)),
            canary: spec.canary.then(CanaryLoop::new),
            max_invalid: spec.max_invalid.0,
            state: Mutex::default(),
        })
    }

    /// Carries out `work`, the launch of a block, and says what the machine did meanwhile. Without
    /// a guard nothing is said.
    pub fn around<T>(
        guard: Option<&Self>,
        block: usize,
        work: impl FnOnce() -> T,
    ) -> (T, Option<Readings>) {
        let Some(guard) = guard else { return (work(), None) };
        let canary = guard.hear(block);
        let (out, mut readings) = guard.watch(work);
        readings.canary = canary;
        (out, Some(readings))
    }

    /// The canary's song, once before each block: nothing is measured then.
    fn hear(&self, block: usize) -> Option<Canary> {
        let canary = self.canary.as_ref()?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.heard == Some(block) {
            return None;
        }
        state.heard = Some(block);
        Some(canary.sing())
    }

    fn watch<T>(&self, work: impl FnOnce() -> T) -> (T, Readings) {
        let begin = thread_time();
        let first = self.before();
        let (stop, stopped) = mpsc::channel();
        // The sender moves in, so that the sampler is told to stop however `work` ends.
        let (out, (between, spent)) = thread::scope(move |scope| {
            let sampler = scope.spawn(move || self.sample(&stopped));
            let out = work();
            drop::<mpsc::Sender<()>>(stop);
            (out, sampler.join().unwrap_or_default())
        });
        let mut snapshots = vec![first];
        snapshots.extend(between);
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        snapshots.push(sources.whole());
        let mut readings = Readings::of(&snapshots, sources.cores());
        let last = snapshots.pop().map(|last| (Instant::now(), last));
        self.state.lock().unwrap_or_else(PoisonError::into_inner).last = last;
        readings.cost = Some(spent + (thread_time() - begin));
        (out, readings)
    }

    /// The counters now, or those of a moment ago.
    fn before(&self) -> Snapshot {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.last.take() {
            Some((when, last)) if when.elapsed() < FRESH => last,
            _ => self.sources.lock().unwrap_or_else(PoisonError::into_inner).whole(),
        }
    }

    /// Looks now and then until told to stop; returns what it saw and its processor seconds.
    fn sample(&self, stopped: &Receiver<()>) -> (Vec<Snapshot>, f64) {
        // SAFETY: on Linux this is the priority of the calling thread alone, and lowering one's own
        // is always allowed.
        unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 19) };
        let mut seen = Vec::new();
        let mut next_look = Instant::now() + LOOK_PERIOD;
        while stopped.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
            let looks = Instant::now() >= next_look;
            let begin = thread_time();
            let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
            seen.push(sources.between(looks));
            if looks {
                let took = Duration::from_secs_f64((thread_time() - begin) * LOOK_FACTOR);
                next_look = Instant::now() + took.max(LOOK_PERIOD);
            }
        }
        (seen, thread_time())
    }
}

/// What cannot be watched here, for the record.
pub fn unseen(gpus: &[u32]) -> Vec<Unseen> {
    sources(gpus).unmeasured().to_vec()
}

fn sources(gpus: &[u32]) -> Sources {
    let driver = || Driver::open(gpus).map(|driver| Box::new(driver) as Box<dyn GpuSource>);
    Sources::open((!gpus.is_empty()).then(driver))
}

/// Looks back at a finished block of a setting. One that something outside disturbed is written
/// down with its causes; it is left out unless as many as `max_invalid` allows already are, of at
/// least `planned` blocks.
pub fn examine(
    guard: Option<&Guard>,
    session: &mut Session,
    setting: &Setting,
    block: u32,
    planned: u32,
    progress: &Progress,
) -> Result<(), SessionError> {
    let Some(guard) = guard else { return Ok(()) };
    let Some(mut disturbed) = disturbed(session, setting, block) else { return Ok(()) };
    let of_setting = session.disturbed.iter().filter(|(known, _)| known == setting);
    let left_out = of_setting.filter(|(_, known)| known.left_out).count() as u32;
    let own = session.launches.iter().filter(|known| known.setting == *setting);
    let mut blocks: Vec<u32> = own.map(|known| known.launch.block).collect();
    blocks.sort_unstable();
    blocks.dedup();
    let counted = (blocks.len() as u32).saturating_sub(left_out + 1);
    disturbed.left_out = left_out < most_left_out(guard.max_invalid, counted.max(planned));
    let what = if disturbed.left_out { "left out" } else { "kept, as too many were left out" };
    let causes: Vec<String> = disturbed
        .causes
        .iter()
        .map(|cause| format!("{} during {}", cause.finding.detail, cause.variant))
        .collect();
    progress.line(&format!("  block {block} {what}: {}", causes.join("; ")));
    session.record_disturbed(setting.clone(), disturbed)
}

/// What is wrong with a block, if something outside disturbed it.
fn disturbed(session: &Session, setting: &Setting, block: u32) -> Option<Disturbed> {
    let of = |launch: &Launch| launch.conditions.clone();
    let launches: Vec<(&str, u32, Readings)> = session
        .launches
        .iter()
        .filter(|known| known.setting == *setting)
        .filter_map(|known| Some((known.variant.as_str(), known.launch.block, of(&known.launch)?)))
        .collect();
    let is_out = |block: u32| {
        let known = session.disturbed.iter().filter(|(known, _)| known == setting);
        known.clone().any(|(_, known)| known.block == block && known.left_out)
    };
    let earlier: Vec<&(&str, u32, Readings)> =
        launches.iter().filter(|(_, at, _)| *at < block && !is_out(*at)).collect();
    let own: Vec<&(&str, u32, Readings)> =
        launches.iter().filter(|(_, at, _)| *at == block).collect();
    let judged: Vec<(&Readings, Usual)> = own
        .iter()
        .map(|(variant, _, readings)| {
            let same = earlier.iter().filter(|(name, ..)| name == variant);
            let usual = Usual::of(same.map(|(.., r)| r), earlier.iter().map(|(.., r)| r));
            (readings, usual)
        })
        .collect();
    let causes: Vec<Cause> = judge_block(&judged)
        .into_iter()
        .filter(|(_, finding)| finding.level == Level::Invalidate)
        .map(|(at, finding)| Cause { variant: own[at].0.to_owned(), finding })
        .collect();
    (!causes.is_empty()).then_some(Disturbed { block, causes, left_out: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_read_and_its_cost_is_known() {
        let spec = spec::Guard::default();
        let guard = Guard::open(&spec, &[]).expect("it is enabled");
        let sleep = || thread::sleep(Duration::from_millis(30));
        let ((), first) = Guard::around(Some(&guard), 0, sleep);
        let ((), second) = Guard::around(Some(&guard), 0, sleep);
        let (first, second) = (first.expect("readings"), second.expect("readings"));
        assert!(first.seconds >= 0.03 && second.seconds >= 0.03);
        assert!(first.canary.is_some(), "the canary is heard before a block");
        assert!(second.canary.is_none(), "and only then");
        assert!(first.cost.is_some_and(|seconds| seconds > 0.0));
        let off = spec::Guard { enabled: false, ..spec };
        assert!(Guard::open(&off, &[]).is_none());
        assert_eq!(Guard::around(None, 0, || 7), (7, None));
    }

    #[test]
    #[should_panic(expected = "the work died")]
    fn a_panic_inside_a_window_does_not_wait_for_ever() {
        let guard = Guard::open(&spec::Guard::default(), &[]).expect("it is enabled");
        let die = |message: &str| -> u32 { panic!("{message}") };
        Guard::around(Some(&guard), 0, || die("the work died"));
    }

    /// Takes two seconds and a whole processor, so it is left out unless it is asked for:
    /// `cargo test --lib a_busy_neighbour -- --ignored`.
    #[test]
    #[ignore = "keeps a processor busy for two seconds"]
    fn a_busy_neighbour_is_seen_and_named() {
        // A neighbour is nobody's child: the shell between starts it and ends.
        let pid = std::process::Command::new("sh")
            .args(["-c", "(while :; do :; done) >/dev/null 2>&1 & echo $!"])
            .output()
            .expect("there is a shell");
        let pid: u32 = String::from_utf8_lossy(&pid.stdout).trim().parse().expect("a number");
        let guard = Guard::open(&spec::Guard::default(), &[]).expect("it is enabled");
        let ((), readings) =
            Guard::around(Some(&guard), 0, || thread::sleep(Duration::from_secs(2)));
        // SAFETY: ends the process that was just started.
        unsafe { libc::kill(pid as libc::pid_t, libc::SIGKILL) };
        let readings = readings.expect("readings");
        println!("{readings:#?}");
        assert!(readings.hogs.iter().any(|hog| hog.pid == pid), "{readings:#?}");
        let found = judge_block(&[(&readings, Usual::default())]);
        let foreign =
            found.iter().find(|(_, f)| f.signal == crate::machine::watch::Signal::Foreign);
        let (_, foreign) = foreign.expect("a finding");
        assert!(foreign.detail.contains(&format!("(pid {pid})")), "{}", foreign.detail);
    }
}
