//! Test 16: energy counters with a known course are read to the joule, or not at all.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{Effort, Holds, Proof, Row, Table};
use crate::machine::{EnergyCounters, EnergyReading};

pub(super) const COUNTERS: Proof = Proof {
    id: "energy_counters",
    claim: "Energy counters are read to the joule, also when they have gone round, and what they cannot tell is a reason and never 0.",
    method: "Files like those that Linux shows, with courses whose joules are known: two packages and memory, counters that went round, counters that do not move, windows too short and too long, and counters that only root may read. Bar: exact.",
    run: counters,
};

/// Counters like those of Linux, in a folder of their own that vanishes with them.
struct Tree(PathBuf);

const SECOND: u64 = 1_000_000_000;

/// Range of a usual package, in microjoules.
const RANGE: u64 = 262_143_328_850;

impl Tree {
    fn make() -> std::io::Result<Self> {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let root =
            std::env::temp_dir().join(format!("engine-prove-{}-{number}", std::process::id()));
        let tree = Self(root);
        for (folder, name) in [
            ("intel-rapl:0", "package-0"),
            ("intel-rapl:1", "package-1"),
            ("intel-rapl:0:0", "dram"),
        ] {
            let zone = tree.0.join(folder);
            std::fs::create_dir_all(&zone)?;
            std::fs::write(zone.join("name"), name)?;
            std::fs::write(zone.join("max_energy_range_uj"), RANGE.to_string())?;
            std::fs::write(zone.join("energy_uj"), "0")?;
        }
        Ok(tree)
    }

    /// Sets both packages and the memory of the first, in microjoules.
    fn read(
        &self,
        counters: &EnergyCounters,
        at: u64,
        micro: [u64; 3],
    ) -> Result<EnergyReading, String> {
        for (folder, micro) in ["intel-rapl:0", "intel-rapl:1", "intel-rapl:0:0"].iter().zip(micro)
        {
            let path = self.0.join(folder).join("energy_uj");
            std::fs::write(path, micro.to_string()).map_err(|error| error.to_string())?;
        }
        counters.read(at)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A counter's reading before and after, and what must come out.
struct Case {
    what: &'static str,
    seconds: f64,
    from: [u64; 3],
    to: [u64; 3],
    expected: Result<f64, &'static str>,
}

const CASES: &[Case] = &[
    Case {
        what: "two packages and memory",
        seconds: 2.0,
        from: [5_000_000, 1_000_000, 0],
        to: [105_000_000, 91_000_000, 7_500_000],
        expected: Ok(197.5),
    },
    Case {
        what: "one package went round",
        seconds: 2.0,
        from: [RANGE - 40_000_000, 10, 10],
        to: [60_000_000, 50_000_010, 10],
        expected: Ok(150.0),
    },
    Case {
        what: "every counter went round",
        seconds: 10.0,
        from: [RANGE - 1, RANGE - 2, RANGE - 3],
        to: [999_999, 999_998, 999_997],
        expected: Ok(3.0),
    },
    Case {
        what: "a package that does not move",
        seconds: 2.0,
        from: [5, 5, 5],
        to: [5, 9_000_005, 5],
        expected: Err("did not move"),
    },
    Case {
        what: "fewer ticks than tell anything",
        seconds: 0.04,
        from: [0, 0, 0],
        to: [9_000_000, 9_000_000, 1],
        expected: Err("too short"),
    },
    Case {
        what: "long enough to go round twice",
        seconds: 600.0,
        from: [0, 0, 0],
        to: [9_000_000, 9_000_000, 1],
        expected: Err("more than once"),
    },
];

/// Known courses of counters, read through the files that Linux would show.
fn counters(_: Effort) -> Table {
    let mut table = Table { columns: vec!["course", "known", "found"], ..Table::default() };
    let tree = match Tree::make() {
        Ok(tree) => tree,
        Err(error) => return failed(table, &error.to_string()),
    };
    let counters = match EnergyCounters::open(&tree.0) {
        Ok(counters) => counters,
        Err(why) => return failed(table, &why),
    };
    for case in CASES {
        let found = difference(&tree, &counters, case);
        let kept = match (&found, case.expected) {
            (Ok(found), Ok(known)) => (found - known).abs() <= 1e-9 * known,
            (Err(why), Err(part)) => why.contains(part),
            _ => false,
        };
        let known = match case.expected {
            Ok(joules) => format!("{joules} J"),
            Err(part) => format!("unmeasured: {part}"),
        };
        let found = match found {
            Ok(joules) => format!("{joules} J"),
            Err(why) => format!("unmeasured: {why}"),
        };
        table
            .rows
            .push(Row { cells: vec![case.what.into(), known, found], verdict: Holds::of(kept) });
    }
    let barred = EnergyCounters::open_through(&tree.0, |path: &Path| {
        let counter = path.ends_with("energy_uj");
        if counter {
            Err(ErrorKind::PermissionDenied.into())
        } else {
            std::fs::read_to_string(path)
        }
    });
    let (kept, found) = match barred {
        Err(why) => (why.contains("only root may"), format!("unmeasured: {why}")),
        Ok(_) => (false, "a reading".into()),
    };
    let cells = vec![
        "counters that only root may read".into(),
        "unmeasured: may not be read".into(),
        found,
    ];
    table.rows.push(Row { cells, verdict: Holds::of(kept) });
    table.remarks.push("Going round is counted with the range that the kernel tells; what is left open is at most one step of the counter, about 61 µJ.".into());
    table
}

fn difference(tree: &Tree, counters: &EnergyCounters, case: &Case) -> Result<f64, String> {
    let from = tree.read(counters, 7 * SECOND, case.from)?;
    let window = (case.seconds * SECOND as f64) as u64;
    let to = tree.read(counters, 7 * SECOND + window, case.to)?;
    Ok(counters.between(&from, &to)?.iter().map(|(_, joules)| joules).sum())
}

fn failed(mut table: Table, why: &str) -> Table {
    let cells = vec!["a folder with counters".into(), "can be made".into(), why.to_owned()];
    table.rows.push(Row { cells, verdict: Holds::No });
    table
}
