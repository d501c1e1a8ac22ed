//! What this process holds at one moment.

use super::usage::rollup;

/// Memory in bytes and open descriptors; `None` where the kernel does not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Resident pages, shared ones included.
    pub resident: Option<u64>,
    /// The same with shared pages divided among those who share them.
    pub proportional: Option<u64>,
    /// Open file descriptors.
    pub descriptors: Option<u64>,
}

/// Reads them from `/proc/self`. The kernel walks the page tables for it, which takes up to some
/// milliseconds for a process of gigabytes: never to be called inside a timed region.
pub fn holdings() -> Holdings {
    let field = rollup();
    let status = || procfs::process::Process::myself().ok()?.status().ok()?.vmrss;
    // The listing itself is open while it is read.
    let descriptors = std::fs::read_dir("/proc/self/fd").ok();
    Holdings {
        resident: field("Rss:").or_else(|| status().map(|kib| kib * 1024)),
        proportional: field("Pss:"),
        descriptors: descriptors.map(|entries| (entries.count() as u64).saturating_sub(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_taken_and_files_that_are_opened_show() {
        let before = holdings();
        let size = 64 << 20;
        let buffer = vec![1_u8; size];
        let files: Vec<_> = (0..50).map(|_| std::fs::File::open("/proc/self/stat")).collect();
        assert!(files.iter().all(Result::is_ok));
        let after = holdings();
        std::hint::black_box(&buffer);
        // Other tests of the same process take and give back beside this one.
        let grown = after.resident.unwrap().saturating_sub(before.resident.unwrap());
        assert!(grown > 16 << 20, "{grown}");
        assert!(after.descriptors.unwrap() > before.descriptors.unwrap() + 25);
    }
}
