//! Who else used the processors: processes that are not ours, and what they took.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;

use serde::{Deserialize, Serialize};

use crate::base::text::inert;
use crate::machine::usage::ticks_per_second;

/// A process at one instant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    pub pid: u32,
    /// Ticks from the start of the machine to its own; numbers of processes come back.
    pub started: u64,
    pub parent: u32,
    /// What it calls itself, made inert: anybody may call a process anything.
    pub name: String,
    /// Processor seconds of its own.
    pub seconds: f64,
    /// Processor seconds of the children it has waited for.
    #[serde(default)]
    pub ended: f64,
}

/// A process that is not ours, and how much it used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hog {
    pub name: String,
    pub pid: u32,
    /// Processors kept busy on average over the window, children that ended in it included.
    pub cores: f64,
}

/// Named at most.
const MOST_HOGS: usize = 4;
/// Nobody is named for less, in processors.
const LEAST_HOG: f64 = 0.02;
/// Generations of processes that are followed; real trees are shallow.
const DEEPEST: u32 = 64;

/// The processes in `looks`, one entry per look in order of time, that used most of a window of
/// `seconds`, the greediest first.
///
/// A process that is there in two looks has used the difference, one that came after the first
/// look all it has. Children that came and went count with the parent that waited for them, apart
/// from those that a look has seen.
pub fn hogs(looks: &[&[Process]], seconds: f64) -> Vec<Hog> {
    let [first, .., _] = looks else { return Vec::new() };
    let begin: HashMap<_, &Process> = first.iter().map(|p| (key(p), p)).collect();
    let family = Family::of(looks);
    let before =
        |p: &Process| begin.get(&key(p)).map_or((0.0, 0.0), |old| (old.seconds, old.ended));
    let mut out: Vec<Hog> = family
        .seen
        .values()
        .map(|known| {
            let process = known.process;
            let (own, ended) = before(process);
            let of_children = (process.ended - ended - family.waited_for(known)).max(0.0);
            let used = (process.seconds - own).max(0.0) + of_children;
            Hog { name: process.name.clone(), pid: process.pid, cores: used / seconds.max(1e-9) }
        })
        .filter(|hog| hog.cores >= LEAST_HOG)
        .collect();
    out.sort_by(|a, b| b.cores.total_cmp(&a.cores).then(a.pid.cmp(&b.pid)));
    out.truncate(MOST_HOGS);
    out
}

/// What tells processes apart.
fn key(process: &Process) -> (u32, u64) {
    (process.pid, process.started)
}

/// A process as it was seen last, and in which look.
#[derive(Clone, Copy)]
struct Seen<'a> {
    process: &'a Process,
    look: usize,
}

/// All processes of a window, with the children that ended in it.
struct Family<'a> {
    seen: HashMap<(u32, u64), Seen<'a>>,
    /// By the number of their parent.
    ended: HashMap<u32, Vec<Seen<'a>>>,
}

impl<'a> Family<'a> {
    fn of(looks: &[&'a [Process]]) -> Self {
        let mut seen = HashMap::new();
        for (look, all) in looks.iter().enumerate() {
            seen.extend(all.iter().map(|process| (key(process), Seen { process, look })));
        }
        let mut ended: HashMap<u32, Vec<Seen<'_>>> = HashMap::new();
        for known in seen.values().filter(|known| known.look + 1 < looks.len()) {
            ended.entry(known.process.parent).or_default().push(*known);
        }
        Self { seen, ended }
    }

    /// What a process was credited with, when it was seen last, for ended children that are named
    /// themselves: all they ever used, which may lie long before the window.
    fn waited_for(&self, parent: &Seen<'_>) -> f64 {
        let before = |child: &&Seen<'_>| child.look < parent.look;
        self.children(parent).filter(before).map(|child| self.total(child, DEEPEST)).sum()
    }

    /// What whoever waits for an ended process is credited with at least: what it and its children
    /// used, those too that it waited for after it was seen last.
    fn total(&self, ended: &Seen<'_>, deepest: u32) -> f64 {
        // A number that came back could make a circle.
        let Some(deeper) = deepest.checked_sub(1) else { return 0.0 };
        let later = |child: &&Seen<'_>| child.look >= ended.look;
        let later = self.children(ended).filter(later).map(|child| self.total(child, deeper));
        ended.process.seconds + ended.process.ended + later.sum::<f64>()
    }

    fn children(&self, parent: &Seen<'_>) -> impl Iterator<Item = &Seen<'a>> {
        self.ended.get(&parent.process.pid).into_iter().flatten()
    }
}

/// Every process that is neither `own` nor descends from it. `None` where the kernel shows none.
pub fn look(own: u32) -> Option<Vec<Process>> {
    let all = running();
    (!all.is_empty()).then(|| foreign(all, own))
}

/// Every process that can be seen from here, those that only wait to be collected too.
pub fn running() -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    // One that cannot be read has most likely ended just now.
    numbers.filter_map(process).collect()
}

/// Process `pid`; `None` where it cannot be seen from here.
pub fn process(pid: u32) -> Option<Process> {
    // The kernel gives the whole line at once, and it is shorter than this.
    let mut buffer = [0; 2048];
    let length = File::open(format!("/proc/{pid}/stat")).ok()?.read(&mut buffer).ok()?;
    parse(&String::from_utf8_lossy(&buffer[..length]), ticks_per_second())
}

/// What a process calls itself, made inert; `None` where it cannot be seen from here.
pub fn name_of(pid: u32) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(inert(text.trim_end_matches('\n')))
}

/// Whether `pid` is `ancestor` or descends from it.
pub fn family(pid: u32, ancestor: u32) -> bool {
    descends(pid, ancestor, |pid| Some(process(pid)?.parent))
}

/// Follows `parent` from `pid` until it meets `ancestor`.
fn descends(mut pid: u32, ancestor: u32, parent: impl Fn(u32) -> Option<u32>) -> bool {
    // A table that changed while it was read could be a circle.
    for _ in 0..DEEPEST {
        if pid == ancestor {
            return true;
        }
        match parent(pid) {
            Some(next) if next != 0 => pid = next,
            _ => return false,
        }
    }
    false
}

/// One process from the text of its `stat`.
fn parse(stat: &str, ticks_per_second: f64) -> Option<Process> {
    // The name may contain anything, brackets and spaces included.
    let (head, rest) = stat.rsplit_once(") ")?;
    let (pid, name) = head.split_once(" (")?;
    let fields: Vec<&str> = rest.split(' ').take(20).collect();
    // state ppid … utime(11) stime cutime cstime … starttime(19)
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let ticks = |at: usize| Some(number(at)? as f64 / ticks_per_second);
    Some(Process {
        pid: pid.parse().ok()?,
        started: number(19)?,
        parent: fields.get(1)?.parse().ok()?,
        name: inert(name),
        seconds: ticks(11)? + ticks(12)?,
        ended: ticks(13)? + ticks(14)?,
    })
}

/// `all` without `own` and its descendants.
fn foreign(mut all: Vec<Process>, own: u32) -> Vec<Process> {
    let parents: HashMap<u32, u32> = all.iter().map(|p| (p.pid, p.parent)).collect();
    all.retain(|process| !descends(process.pid, own, |pid| parents.get(&pid).copied()));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, parent: u32, name: &str, seconds: f64, ended: f64) -> Process {
        Process { pid, started: u64::from(pid), parent, name: name.into(), seconds, ended }
    }

    #[test]
    fn a_line_of_the_kernel_is_read_whatever_the_process_calls_itself() {
        let line = "41 (evil) (\u{1b}[2J) R 7 41 41 0 -1 4194304 100 0 0 0 250 50 30 20 20 0 1 0 \
                    98765 1000 200 18446744073709551615";
        let found = parse(line, 100.0).expect("it is well formed");
        assert_eq!(found.name, "evil) (\\u{1b}[2J");
        assert_eq!((found.pid, found.parent, found.started), (41, 7, 98_765));
        assert_eq!((found.seconds, found.ended), (3.0, 0.5));
        assert_eq!(parse("41 (short) R 7", 100.0), None);
        assert_eq!(parse("", 100.0), None);
    }

    #[test]
    fn the_greediest_comes_first_and_little_is_nobody() {
        let first = [process(5, 1, "idle", 9.0, 0.0), process(6, 1, "hog", 100.0, 0.0)];
        let last = [process(5, 1, "idle", 9.01, 0.0), process(6, 1, "hog", 101.5, 0.0)];
        let found = hogs(&[&first, &last], 2.0);
        assert_eq!(found, [Hog { name: "hog".into(), pid: 6, cores: 0.75 }]);
    }

    #[test]
    fn children_that_came_and_went_count_with_their_parent_once() {
        let first = [process(5, 1, "make", 1.0, 10.0)];
        let middle = [process(5, 1, "make", 1.0, 11.0), process(9, 5, "cc", 0.5, 0.0)];
        // Another second of children nobody saw, and the half of `cc`.
        let last = [process(5, 1, "make", 1.0, 12.5)];
        let found = hogs(&[&first, &middle, &last], 1.0);
        let told: Vec<_> = found.iter().map(|hog| (hog.name.as_str(), hog.cores)).collect();
        assert_eq!(told, [("make", 2.0), ("cc", 0.5)]);
    }

    /// A shell waits for a build, the build for a compiler that began long before the window.
    #[test]
    fn what_descendants_used_before_the_window_is_nobodys() {
        let (shell, build, compiler) = (
            process(5, 1, "sh", 1.0, 0.0),
            process(6, 5, "make", 2.0, 30.0),
            process(7, 6, "cc", 600.0, 0.0),
        );
        let first = [shell.clone(), build.clone(), compiler.clone()];
        let middle = [shell.clone(), build.clone(), Process { seconds: 600.5, ..compiler }];
        // The compiler used another quarter of a second that no look saw.
        let last = [Process { ended: 2.0 + 30.0 + 600.75, ..shell.clone() }];
        let told = |looks: &[&[Process]]| -> Vec<(String, f64)> {
            hogs(looks, 1.0).into_iter().map(|hog| (hog.name, hog.cores)).collect()
        };
        let expected = [("cc".to_owned(), 0.5), ("sh".to_owned(), 0.25)];
        assert_eq!(told(&[&first, &middle, &last]), expected);
        // The build is there for one more look, and has waited for its compiler by then.
        let later = [shell, Process { ended: 30.0 + 600.75, ..build }];
        let expected = [("cc".to_owned(), 0.5), ("make".to_owned(), 0.25)];
        assert_eq!(told(&[&first, &middle, &later, &last]), expected);
    }

    #[test]
    fn a_number_that_came_back_is_another_process() {
        let first = [process(5, 1, "old", 50.0, 0.0)];
        let new = Process { started: 77, ..process(5, 1, "new", 0.4, 0.0) };
        let found = hogs(&[&first, &[new]], 1.0);
        assert_eq!(found, [Hog { name: "new".into(), pid: 5, cores: 0.4 }]);
    }

    #[test]
    fn own_descendants_are_not_foreign() {
        let all = vec![
            process(1, 0, "init", 0.0, 0.0),
            process(10, 1, "engine", 0.0, 0.0),
            process(11, 10, "cell", 0.0, 0.0),
            process(12, 11, "cell", 0.0, 0.0),
            process(13, 1, "other", 0.0, 0.0),
        ];
        let left: Vec<u32> = foreign(all, 10).iter().map(|p| p.pid).collect();
        assert_eq!(left, [1, 13]);
        let circle = vec![process(3, 4, "a", 0.0, 0.0), process(4, 3, "b", 0.0, 0.0)];
        assert_eq!(foreign(circle, 10).len(), 2);
    }

    #[test]
    fn this_machine_shows_processes_and_none_of_them_is_this_one() {
        let found = look(std::process::id()).expect("the kernel shows processes");
        assert!(found.iter().all(|process| process.pid != std::process::id()));
        let own = std::process::id();
        assert!(family(own, own) && name_of(own).is_some());
        assert!(!family(1, own));
    }
}
