//! What this process has used so far, as the kernel counts it.

use std::path::Path;

use super::watch::{counter, groups};

/// Highest resident set size of this process since its start or the last reset, in bytes.
pub fn peak_memory() -> Option<u64> {
    let status = procfs::process::Process::myself().ok()?.status().ok()?;
    status.vmhwm.map(|kib| kib * 1024)
}

/// Clears the high-water mark of the resident set; false where the kernel does not allow it.
pub fn reset_peak_memory() -> bool {
    std::fs::write("/proc/self/clear_refs", "5").is_ok()
}

/// The resident set of this process now, by what stands behind it, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResidentKinds {
    /// Without a file: heaps, stacks, private copies.
    pub anonymous: u64,
    /// Backed by files or shared memory.
    pub mapped: u64,
    /// All of it, a page that several processes share counted by its share; `None` where the
    /// kernel does not tell.
    pub proportional: Option<u64>,
}

/// Of which kind the resident set is. Adding up shared pages takes milliseconds: for between
/// measurements only.
pub fn resident_kinds() -> Option<ResidentKinds> {
    let status = procfs::process::Process::myself().ok()?.status().ok()?;
    Some(ResidentKinds {
        anonymous: status.rssanon? * 1024,
        mapped: (status.rssfile? + status.rssshmem.unwrap_or(0)) * 1024,
        proportional: rollup()("Pss:"),
    })
}

/// Reads what the kernel sums up over all mappings of this process: bytes by name, such as `Pss:`.
pub(super) fn rollup() -> impl Fn(&str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    move |name| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
    }
}

/// What the kernel counts for `who`: this process, or the children it has waited for.
pub(super) fn used(who: libc::c_int) -> Option<libc::rusage> {
    // SAFETY: `rusage` is plain data that the call fills in completely on success.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        (libc::getrusage(who, &raw mut usage) == 0).then_some(usage)
    }
}

/// Processor time, user and system, in nanoseconds.
pub(super) fn processor_time(usage: &libc::rusage) -> u64 {
    let nanos = |t: libc::timeval| t.tv_sec as u64 * 1_000_000_000 + t.tv_usec as u64 * 1000;
    nanos(usage.ru_utime) + nanos(usage.ru_stime)
}

/// Processor time of this process, user and system, in nanoseconds.
pub fn cpu_time() -> Option<u64> {
    used(libc::RUSAGE_SELF).map(|usage| processor_time(&usage))
}

/// Processor seconds of the calling thread so far.
pub fn thread_time() -> f64 {
    // SAFETY: the call fills in plain data; its clock exists on every Linux.
    let time = unsafe {
        let mut time: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time);
        time
    };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Ticks of the kernel's clock, in which it accounts for processor time, per second.
pub(super) fn ticks_per_second() -> f64 {
    // SAFETY: asks for a constant of the system.
    unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1) as f64
}

/// Processor seconds of all threads of process `pid` so far; `None` once it is gone.
pub fn process_time(pid: u32) -> Option<f64> {
    // SAFETY: the calls fill in plain data and touch nothing of the process.
    unsafe {
        let mut clock: libc::clockid_t = 0;
        let mut time: libc::timespec = std::mem::zeroed();
        let is_read = libc::clock_getcpuclockid(pid as libc::pid_t, &raw mut clock) == 0
            && libc::clock_gettime(clock, &raw mut time) == 0;
        is_read.then(|| time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
    }
}

/// Page faults of process `pid` that had to read from a disk.
pub fn disk_faults(pid: u32) -> Option<u64> {
    Some(procfs::process::Process::new(pid as i32).ok()?.stat().ok()?.majflt)
}

/// Resident set of process `pid` now, in bytes.
pub fn resident_memory(pid: u32) -> Option<u64> {
    let status = procfs::process::Process::new(pid as i32).ok()?.status().ok()?;
    status.vmrss.map(|kib| kib * 1024)
}

/// Processes the kernel has killed for want of memory since it started; 0 where it does not tell.
pub fn kernel_kills() -> u64 {
    let text = std::fs::read_to_string("/proc/vmstat").unwrap_or_default();
    counter(&text, "oom_kill").unwrap_or(0)
}

/// Memory of the machine, or what the control groups around this process allow where that is less,
/// in bytes.
pub fn total_memory() -> Option<u64> {
    use procfs::Current;
    let machine = procfs::Meminfo::current().ok()?.mem_total;
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limit = least_limit(Path::new("/sys/fs/cgroup"), &own);
    Some(limit.map_or(machine, |limit| limit.min(machine)))
}

/// The least memory that a group below `root` allows; `own` is `/proc/self/cgroup`.
fn least_limit(root: &Path, own: &str) -> Option<u64> {
    // The root itself is looked at in any case: a container often sees its own group there.
    let folders = groups(own, "memory").into_iter().chain([String::new()]);
    // The file of version 2, and that of version 1; without a limit neither is a number that is less
    // than the machine has.
    let files = folders.flat_map(|folder| {
        ["memory.max", "memory.limit_in_bytes"].map(|file| root.join(&folder).join(file))
    });
    let limits = files.filter_map(|file| std::fs::read_to_string(file).ok()?.trim().parse().ok());
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filled_buffer_raises_the_peak_by_its_size() {
        let size = 64 << 20;
        let before = peak_memory().unwrap();
        let buffer = vec![1_u8; size];
        std::hint::black_box(&buffer);
        let grown = peak_memory().unwrap().saturating_sub(before);
        // Other tests run beside this one in the same process, so only the lower side is sure.
        assert!(grown >= size as u64 * 9 / 10 || before > size as u64, "{grown}");
    }

    #[test]
    fn the_resident_set_has_kinds_and_a_filled_buffer_is_anonymous() {
        let size = 64 << 20;
        let buffer = vec![1_u8; size];
        std::hint::black_box(&buffer);
        let kinds = resident_kinds().unwrap();
        assert!(kinds.anonymous > size as u64 * 9 / 10 && kinds.mapped > 0, "{kinds:?}");
        assert!(kinds.proportional.is_none_or(|bytes| bytes > size as u64 * 9 / 10), "{kinds:?}");
    }

    #[test]
    fn the_least_limit_of_the_groups_around_counts() {
        let scratch = crate::base::files::seam::Scratch::new();
        let put = |file: &str, text: &str| {
            let file = scratch.join(file);
            std::fs::create_dir_all(file.parent().expect("in a folder")).expect("writable");
            std::fs::write(file, text).expect("writable");
        };
        let second = "0::/user.slice/run-1.scope\n";
        assert_eq!(least_limit(&scratch, second), None);
        put("user.slice/run-1.scope/memory.max", "max\n");
        put("user.slice/memory.max", "3000\n");
        assert_eq!(least_limit(&scratch, second), Some(3000), "that of the group around it");
        put("user.slice/run-1.scope/memory.max", "2000\n");
        assert_eq!(least_limit(&scratch, second), Some(2000));
        assert_eq!(least_limit(&scratch, "0::/system.slice\n"), None, "others do not");
        let first = "4:memory:/jobs/7\n2:cpu,cpuacct:/jobs\n0::/\n";
        put("memory/memory.limit_in_bytes", "9223372036854771712\n");
        put("memory/jobs/memory.limit_in_bytes", "4000\n");
        put("memory/jobs/7/memory.limit_in_bytes", "5000\n");
        assert_eq!(least_limit(&scratch, first), Some(4000));
        put("memory.max", "1000\n");
        assert_eq!(least_limit(&scratch, ""), Some(1000), "a container sees its own as the root");
    }

    #[test]
    fn the_machine_has_memory() {
        assert!(total_memory().unwrap() > 64 << 20);
        assert!(cpu_time().is_some());
    }

    #[test]
    fn another_process_is_read_like_this_one_and_one_that_is_gone_is_not() {
        let own = std::process::id();
        let (before, whole) = (process_time(own).unwrap(), cpu_time().unwrap() as f64 / 1e9);
        assert!(before <= whole + 0.02 && disk_faults(own).is_some());
        assert!(resident_memory(own).unwrap() > 1 << 20);
        // Above the largest number that the kernel gives.
        let gone = (1 << 22) + 1;
        let found = (process_time(gone), disk_faults(gone), resident_memory(gone));
        assert_eq!(found, (None, None, None));
    }
}
