//! Watches the machine around every launch, and leaves out blocks that something outside disturbed.
//!
//! What a block met is judged by pure rules (`machine::watch`); here counters are read at the right
//! moments, and what follows is written down. A block is left out whole, for all variants at once,
//! and only for a cause from outside: never for the values that were measured in it.

use std::collections::BTreeSet;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::allowance::Allowance;
use super::progress::Progress;
use super::session::{Measured, Session, SessionError, SettingLog};
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
    canary: Option<CanaryLoop>,
    max_invalid: f64,
    state: Mutex<State>,
}

struct State {
    sources: Sources,
    /// The last look at all counters, and when it was.
    last: Option<(Instant, Snapshot)>,
    /// The block before which the canary could last be heard.
    heard: Option<(Setting, usize)>,
    looks: Allowance,
    songs: Allowance,
}

/// Time between two looks at clocks and GPUs while something is measured.
const PERIOD: Duration = Duration::from_millis(500);
/// Time between two looks at other processes, which cost more: a file of each is read.
const LOOK_PERIOD: Duration = Duration::from_secs(2);
/// Looks within one window that are kept; where it is longer, every second one goes and the others
/// come half as often, so that watching for a day takes no more room than for a quarter of an hour.
const MOST_LOOKS: usize = 2048;
/// Who else runs matters most at both ends of a window. There, so much may be spent ahead.
const AHEAD: Duration = LOOK_PERIOD;
/// The look after one launch is the look before the next one if that begins this soon.
const FRESH: Duration = Duration::from_millis(100);

impl Guard {
    /// `gpus` are the numbers of those that launches use. `None` where the spec wants no guard.
    pub fn open(spec: &spec::Guard, gpus: &[u32]) -> Option<Self> {
        let state = || State {
            sources: sources(gpus),
            last: None,
            heard: None,
            looks: Allowance::new(),
            songs: Allowance::new(),
        };
        spec.enabled.then(|| Self {
            canary: spec.canary.then(CanaryLoop::new),
            max_invalid: spec.max_invalid.0,
            state: Mutex::new(state()),
        })
    }

    /// Carries out `work`, the launch of a block, and says what the machine did meanwhile. Without
    /// a guard nothing is said.
    pub fn around<T>(
        guard: Option<&Self>,
        setting: &Setting,
        block: usize,
        work: impl FnOnce() -> T,
    ) -> (T, Option<Readings>) {
        let Some(guard) = guard else { return (work(), None) };
        let song = guard.hear(setting, block);
        let (out, mut readings) = guard.watch(work);
        (readings.canary, readings.song) = song.unzip();
        (out, Some(readings))
    }

    /// Counts what these processes use as ours too. They stay, so that the kernel does not add them
    /// to the children that were waited for; after their end it does.
    pub fn counts(&self, residents: Vec<u32>) {
        self.state().sources.residents = residents;
    }

    /// What cannot be watched here, for the record.
    pub fn unmeasured(&self) -> Vec<Unseen> {
        self.state().sources.unmeasured().to_vec()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The canary's song before a block, when nothing is measured, and its processor seconds. Where
    /// blocks are short it is heard before some of them only.
    fn hear(&self, setting: &Setting, block: usize) -> Option<(Canary, f64)> {
        let canary = self.canary.as_ref()?;
        let mut state = self.state();
        let before = state.heard.replace((setting.clone(), block));
        let is_new = before.is_none_or(|(known, last)| (&known, last) != (setting, block));
        let may = is_new && state.songs.allows(Duration::ZERO);
        may.then(|| state.songs.spend(|| canary.sing()))
    }

    fn watch<T>(&self, work: impl FnOnce() -> T) -> (T, Readings) {
        let (first, before) = self.state().before();
        let (stop, stopped) = mpsc::channel();
        // The sender moves in, so that the sampler is told to stop however `work` ends.
        let (out, (between, meanwhile)) = thread::scope(move |scope| {
            let sampler = scope.spawn(move || self.sample(&stopped));
            let out = work();
            drop::<mpsc::Sender<()>>(stop);
            (out, sampler.join().unwrap_or_default())
        });
        let mut snapshots = vec![first];
        snapshots.extend(between);
        let mut state = self.state();
        let (last, after) = state.look(AHEAD, Sources::whole);
        snapshots.push(last);
        let begin = thread_time();
        let mut readings = Readings::of(&snapshots, state.sources.cores());
        state.last = snapshots.pop().map(|last| (Instant::now(), last));
        readings.cost = Some(before + meanwhile + after + (thread_time() - begin));
        (out, readings)
    }

    /// Looks now and then until told to stop; returns what it saw and its processor seconds.
    fn sample(&self, stopped: &Receiver<()>) -> (Vec<Snapshot>, f64) {
        // SAFETY: on Linux this is the priority of the calling thread alone, and lowering one's own
        // is always allowed.
        unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 19) };
        let changes = self.state().sources.change_within();
        let mut period = if changes { PERIOD } else { LOOK_PERIOD };
        let mut look_period = LOOK_PERIOD;
        let mut seen = Vec::new();
        let mut next_look = Instant::now() + look_period;
        while stopped.recv_timeout(period) == Err(RecvTimeoutError::Timeout) {
            let mut state = self.state();
            if Instant::now() >= next_look && state.looks.allows(Duration::ZERO) {
                seen.push(state.look(Duration::ZERO, Sources::between).0);
                next_look = Instant::now() + look_period;
            } else if changes {
                seen.push(state.sources.between(false));
            }
            if seen.len() >= MOST_LOOKS {
                (period, look_period) = (2 * period, 2 * look_period);
                thin(&mut seen);
            }
        }
        (seen, thread_time())
    }
}

/// Drops every second look, of those with a list of processes and of the others alike.
fn thin(seen: &mut Vec<Snapshot>) {
    let mut odd = [false; 2];
    seen.retain(|look| {
        let odd = &mut odd[usize::from(look.processes.is_some())];
        *odd = !*odd;
        *odd
    });
}

impl State {
    /// The counters before a launch, or those of a moment ago, and what looking took.
    fn before(&mut self) -> (Snapshot, f64) {
        match self.last.take() {
            Some((when, last)) if when.elapsed() < FRESH => (last, 0.0),
            _ => self.look(AHEAD, Sources::whole),
        }
    }

    /// A look at the machine, at other processes too where that may be spent `ahead`, and its
    /// processor seconds. Only a look at other processes counts as spent: counters are read anyway.
    fn look(
        &mut self,
        ahead: Duration,
        look: fn(&mut Sources, bool) -> Snapshot,
    ) -> (Snapshot, f64) {
        if self.looks.allows(ahead) {
            return self.looks.spend(|| look(&mut self.sources, true));
        }
        let begin = thread_time();
        (look(&mut self.sources, false), thread_time() - begin)
    }
}

fn sources(gpus: &[u32]) -> Sources {
    let driver = || Driver::open(gpus).map(|driver| Box::new(driver) as Box<dyn GpuSource>);
    Sources::open((!gpus.is_empty()).then(driver))
}

/// Looks back at a block of a setting that is over, unless that was done before. One that something
/// outside disturbed is written down with its causes; it is left out unless as many as `max_invalid`
/// allows already are, of at least `planned` blocks.
pub fn examine(
    guard: Option<&Guard>,
    session: &mut Session,
    setting: &Setting,
    block: u32,
    planned: u32,
    progress: &Progress,
) -> Result<(), SessionError> {
    let Some(guard) = guard else { return Ok(()) };
    let log = session.of(setting);
    if log.disturbed.contains_key(&block) {
        return Ok(());
    }
    let causes = causes_of_block(log, block);
    if causes.is_empty() {
        return Ok(());
    }
    let left_out = log.disturbed.values().filter(|known| known.left_out).count() as u32;
    let blocks: BTreeSet<u32> = log.launches().map(|known| known.launch.block).collect();
    let counted = (blocks.len() as u32).saturating_sub(left_out + 1);
    let left_out = left_out < most_left_out(guard.max_invalid, counted.max(planned));
    let what = if left_out { "left out" } else { "kept, as too many were left out" };
    progress.line(&format!("  block {block} {what}: {}", worst(&causes)));
    let disturbed = Disturbed { block, causes, left_out };
    session.record_disturbed(setting.clone(), disturbed)
}

/// Launches of one probe that are made again at most, because something outside disturbed them.
pub const MOST_AGAIN: usize = 2;

/// Looks back at a launch of a probe: what disturbed it, if something outside did. It is left out
/// unless `again` launches of the probe, as many as may be, already were.
///
/// What is usual is that of launches that did the same, the earlier ones of the `probe`; the
/// canary's song is that of the whole `search`.
pub fn examine_probe<'a>(
    (variant, launch): (&str, &Launch),
    probe: impl Iterator<Item = &'a Launch> + Clone,
    search: impl Iterator<Item = &'a Launch> + Clone,
    again: usize,
    progress: &Progress,
) -> Option<Disturbed> {
    let readings = launch.conditions.as_ref()?;
    let usual = Usual::of(probe.filter_map(read), search.filter_map(read));
    let causes = causes(&[variant], &[(readings, usual)]);
    if causes.is_empty() {
        return None;
    }
    let left_out = again < MOST_AGAIN;
    let what = if left_out { "is made again" } else { "is kept, as too many were left out" };
    progress.line(&format!("  {variant}: a launch {what}: {}", worst(&causes)));
    Some(Disturbed { block: launch.block, causes, left_out })
}

fn read(launch: &Launch) -> Option<&Readings> {
    launch.conditions.as_ref()
}

fn read_settling(launch: &Launch) -> Option<&Readings> {
    launch.settling.as_ref()
}

/// What disturbed a block from outside.
fn causes_of_block(log: &SettingLog, block: u32) -> Vec<Cause> {
    let earlier = log.counted().map(Measured::named).filter(|(_, known)| known.block < block);
    let all =
        earlier.clone().flat_map(|(_, known)| read_settling(known).into_iter().chain(read(known)));
    let own = log.launches().map(Measured::named).filter(|(_, known)| known.block == block);
    let (names, windows): (Vec<&str>, Vec<(&Readings, Usual)>) = own
        .flat_map(|(name, launch)| {
            let (earlier, all) = (earlier.clone(), all.clone());
            // A load is other work than a burst.
            let windows: [fn(&Launch) -> Option<&Readings>; 2] = [read_settling, read];
            windows.into_iter().filter_map(move |window| {
                let same = earlier.clone().filter(|(other, _)| *other == name);
                let same = same.filter_map(|(_, known)| window(known));
                let usual = Usual::of(same, all.clone());
                let stays = launch.residence.is_some();
                let usual = if stays { usual.beside_others() } else { usual };
                Some((name, (window(launch)?, usual)))
            })
        })
        .unzip();
    causes(&names, &windows)
}

/// What disturbed launches that belong together from outside.
fn causes(names: &[&str], windows: &[(&Readings, Usual)]) -> Vec<Cause> {
    judge_block(windows)
        .into_iter()
        .filter(|(_, finding)| finding.level == Level::Invalidate)
        .map(|(at, finding)| Cause { variant: names[at].to_owned(), finding })
        .collect()
}

/// The cause that is furthest beyond its threshold, for the line of progress.
fn worst(causes: &[Cause]) -> String {
    let excess = |cause: &&Cause| {
        let most = cause.finding.signal.gauge().invalidate.filter(|most| *most > 0.0);
        cause.finding.value / most.unwrap_or(1.0)
    };
    let worst = causes.iter().max_by(|a, b| excess(a).total_cmp(&excess(b)));
    let Some(Cause { variant, finding }) = worst else { return String::new() };
    let more = match causes.len() - 1 {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    format!("{} during {variant}{more}", finding.detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::watch::{Finding, Signal};
    use crate::record::{Outcome, Residence};

    #[test]
    fn a_window_is_read_and_its_cost_is_known() {
        let spec = spec::Guard::default();
        let guard = Guard::open(&spec, &[]).expect("it is enabled");
        let sleep = || thread::sleep(Duration::from_millis(30));
        let setting = Setting::tokens(1, 8, 8, 1);
        let around = |block| Guard::around(Some(&guard), &setting, block, sleep).1;
        let (first, second, third) = (around(0), around(0), around(1));
        let (first, second) = (first.expect("readings"), second.expect("readings"));
        assert!(first.seconds >= 0.03 && second.seconds >= 0.03);
        assert!(first.canary.is_some(), "the canary is heard before a block");
        assert!(second.canary.is_none(), "and only then");
        assert!(third.expect("readings").canary.is_none(), "a song must be earned before another");
        assert!(first.cost.is_some_and(|seconds| seconds > 0.0));
        assert!(first.song.is_some_and(|seconds| seconds > 0.005) && second.song.is_none());
        let off = spec::Guard { enabled: false, ..spec };
        assert!(Guard::open(&off, &[]).is_none());
        assert_eq!(Guard::around(None, &setting, 0, || 7), (7, None));
    }

    #[test]
    fn long_windows_keep_half_of_the_looks_of_either_kind() {
        let look =
            |at| Snapshot { at, processes: (at % 4 == 0).then(Vec::new), ..Snapshot::default() };
        let mut seen: Vec<Snapshot> = (0..16).map(look).collect();
        thin(&mut seen);
        let listed = seen.iter().filter(|look| look.processes.is_some()).count();
        assert_eq!((seen.len(), listed), (8, 2));
        assert!(seen.is_sorted_by_key(|look| look.at));
    }

    #[test]
    fn reading_counters_owes_nothing() {
        let guard = Guard::open(&spec::Guard::default(), &[]).expect("it is enabled");
        let mut state = guard.state();
        state.looks.charge(1.0);
        let owed = state.looks;
        for _ in 0..5 {
            state.look(Duration::ZERO, Sources::whole);
        }
        assert!(state.looks == owed, "no process was listed");
    }

    #[test]
    fn the_worst_cause_is_told_and_the_others_are_counted() {
        let cause = |signal, value, detail: &str| {
            let finding =
                Finding { signal, level: Level::Invalidate, value, detail: detail.into() };
            Cause { variant: "q8".into(), finding }
        };
        let steal = cause(Signal::Steal, 0.06, "a neighbour took time");
        let foreign = cause(Signal::Foreign, 0.9, "others used nearly all");
        assert_eq!(worst(&[]), "");
        assert_eq!(worst(std::slice::from_ref(&steal)), "a neighbour took time during q8");
        let both = worst(&[steal.clone(), foreign, steal]);
        assert_eq!(both, "others used nearly all during q8, and 2 more");
    }

    #[test]
    fn a_disturbed_launch_of_a_probe_is_made_again_and_not_for_ever() {
        let launch = |foreign| {
            let (seconds, cores, busy) = (10.0, 2, Some(2.0));
            let conditions =
                Readings { seconds, cores, busy, foreign: Some(foreign), ..Readings::default() };
            let outcome = Outcome::Skipped { why: String::new() };
            let (pid, conditions) = (None, Some(conditions));
            let (residence, settling) = (None, None);
            let (block, position) = (7, 0);
            Launch {
                block,
                position,
                pid,
                started: 0,
                wall: 0,
                outcome,
                conditions,
                residence,
                settling,
            }
        };
        let progress = Progress::stderr(true);
        let look = |foreign, again| {
            let none = std::iter::empty;
            examine_probe(("q8", &launch(foreign)), none(), none(), again, &progress)
        };
        assert_eq!(look(0.0, 0), None);
        let first = look(1.5, 0).expect("others used most of the machine");
        assert!(first.left_out && first.block == 7 && first.causes[0].variant == "q8");
        assert!(!look(1.5, MOST_AGAIN).expect("still a cause").left_out);
    }

    #[test]
    fn faults_of_processes_that_stay_leave_no_block_out_and_what_disturbs_their_load_does() {
        let quiet = || Readings { seconds: 10.0, cores: 2, ..Readings::default() };
        let causes = |conditions: Readings, residence, settling| {
            let launch = Launch {
                block: 5,
                position: 0,
                pid: None,
                started: 0,
                wall: 0,
                outcome: Outcome::Skipped { why: String::new() },
                conditions: Some(conditions),
                residence,
                settling,
            };
            let (variant, artifact) = ("q8".into(), crate::base::Digest::of_bytes(b"artifact"));
            let (setting, runtime) = (Setting::tokens(1, 8, 8, 1), None);
            let mut log = SettingLog::default();
            log.keep(Measured { setting, variant, artifact, runtime, launch });
            let signals = causes_of_block(&log, 5).into_iter().map(|cause| cause.finding.signal);
            signals.collect::<Vec<_>>()
        };
        let kept = Some(Residence { round: 5, part: 0 });
        let faults = || Readings { faults: Some(1 << 20), ..quiet() };
        assert_eq!(causes(faults(), None, None), [Signal::Faults]);
        assert_eq!(causes(faults(), kept, Some(faults())), []);
        let swapped = Readings { swapped_in: Some(1 << 20), ..quiet() };
        assert_eq!(causes(swapped, kept, None), [Signal::Faults]);
        let disturbed = Readings { busy: Some(2.0), foreign: Some(1.5), ..quiet() };
        assert_eq!(causes(quiet(), kept, Some(disturbed)), [Signal::Foreign]);
    }

    #[test]
    #[should_panic(expected = "the work died")]
    fn a_panic_inside_a_window_does_not_wait_for_ever() {
        let guard = Guard::open(&spec::Guard::default(), &[]).expect("it is enabled");
        let die = |message: &str| -> u32 { panic!("{message}") };
        Guard::around(Some(&guard), &Setting::tokens(1, 8, 8, 1), 0, || die("the work died"));
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
        let setting = Setting::tokens(1, 8, 8, 1);
        let sleep = || thread::sleep(Duration::from_secs(2));
        let ((), readings) = Guard::around(Some(&guard), &setting, 0, sleep);
        // SAFETY: ends the process that was just started.
        unsafe { libc::kill(pid as libc::pid_t, libc::SIGKILL) };
        let readings = readings.expect("readings");
        println!("{readings:#?}");
        assert!(readings.hogs.iter().any(|hog| hog.pid == pid), "{readings:#?}");
        let found = judge_block(&[(&readings, Usual::default())]);
        let foreign = found.iter().find(|(_, f)| f.signal == Signal::Foreign);
        let (_, foreign) = foreign.expect("a finding");
        assert!(foreign.detail.contains(&format!("(pid {pid})")), "{}", foreign.detail);
    }
}
