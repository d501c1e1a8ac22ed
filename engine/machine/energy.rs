//! Energy that the processors have taken, by the counters that Linux shows below
//! `/sys/class/powercap` (RAPL).
//!
//! They count the whole package and its memory, whichever process works, in microjoules, move about
//! once a millisecond, and go round at a range that the kernel tells. Most machines let only root
//! read them. What cannot be read, does not move or may have gone round more than once is never 0:
//! it is `Err` with the reason.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Where Linux shows the counters.
const POWERCAP: &str = "/sys/class/powercap";

/// Shorter windows hold too few of the counters' steps, of about 1 ms each, for one per cent.
const SHORTEST: u64 = 100_000_000;

/// No counter of one package takes more than this many watts: a window in which such a load could
/// fill its range twice tells nothing.
const MOST_WATTS: f64 = 1000.0;

/// The counters of one machine.
#[derive(Debug, Clone)]
pub struct EnergyCounters {
    zones: Vec<Zone>,
    reader: Reader,
}

/// How the text of a file is had.
pub type Reader = fn(&Path) -> std::io::Result<String>;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Zone {
    name: String,
    counter: PathBuf,
    /// Microjoules at which it starts again from 0.
    range: u64,
}

/// All counters at one instant, in microjoules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnergyReading {
    /// Nanoseconds on the caller's clock.
    pub at: u64,
    counts: Vec<u64>,
}

impl EnergyCounters {
    /// The counters of this machine.
    ///
    /// # Errors
    /// As [`EnergyCounters::open`].
    pub fn of_machine() -> Result<Self, String> {
        Self::open(Path::new(POWERCAP))
    }

    /// The packages and their memory below `root`, a tree as Linux shows it.
    ///
    /// # Errors
    /// Why there are none, or none that may be read.
    pub fn open(root: &Path) -> Result<Self, String> {
        Self::open_through(root, |path| std::fs::read_to_string(path))
    }

    /// The same with another way to read files, for machines that nobody has at hand.
    ///
    /// # Errors
    /// As [`EnergyCounters::open`].
    pub fn open_through(root: &Path, reader: Reader) -> Result<Self, String> {
        let entries = std::fs::read_dir(root).map_err(|error| match error.kind() {
            ErrorKind::NotFound => "this machine shows no energy counters".to_owned(),
            ErrorKind::PermissionDenied => "energy counters may not be read".to_owned(),
            _ => format!("energy counters cannot be listed: {error}"),
        })?;
        let mut names: Vec<String> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort_unstable();
        let mut zones = Vec::new();
        // The same counters appear again as `intel-rapl-mmio`.
        for folder in names.iter().filter(|name| name.starts_with("intel-rapl:")) {
            let zone = root.join(folder);
            let Ok(name) = std::fs::read_to_string(zone.join("name")) else { continue };
            let name = name.trim();
            // Cores and graphics lie within the package, and `psys` around it.
            if !name.starts_with("package") && name != "dram" {
                continue;
            }
            let package = folder.split(':').nth(1).unwrap_or_default();
            let name = if name == "dram" { format!("dram-{package}") } else { name.to_owned() };
            let counter = zone.join("energy_uj");
            // Tried now, so that the reason is that of the first counter.
            read(reader, &counter, &name)?;
            let range = read(reader, &zone.join("max_energy_range_uj"), &name)?;
            if range == 0 {
                return Err(format!("the range of energy counter `{name}` is 0"));
            }
            zones.push(Zone { name, counter, range });
        }
        if zones.iter().any(|zone| zone.name.starts_with("package")) {
            Ok(Self { zones, reader })
        } else {
            Err("this machine has no energy counter of its processors".into())
        }
    }

    /// All counters now; `at` is the instant on the caller's clock.
    ///
    /// # Errors
    /// Why one of them cannot be read.
    pub fn read(&self, at: u64) -> Result<EnergyReading, String> {
        let counts = self.zones.iter().map(|zone| read(self.reader, &zone.counter, &zone.name));
        Ok(EnergyReading { at, counts: counts.collect::<Result<_, _>>()? })
    }

    /// Joules that each counter took between two readings, by the kernel's name of it, such as
    /// `package-0` or `dram-0`.
    ///
    /// # Errors
    /// Why the window tells nothing: too short, too long, or a package that did not move.
    pub fn between(
        &self,
        from: &EnergyReading,
        to: &EnergyReading,
    ) -> Result<Vec<(String, f64)>, String> {
        let window = to.at.saturating_sub(from.at);
        if window < SHORTEST {
            let ms = SHORTEST / 1_000_000;
            return Err(format!("counted requests took under {ms} ms, too short for the counter"));
        }
        let mut out = Vec::new();
        for ((zone, from), to) in self.zones.iter().zip(&from.counts).zip(&to.counts) {
            let range = zone.range as f64 / 1e6;
            if window as f64 / 1e9 > range / MOST_WATTS {
                return Err(format!("counter `{}` may have gone round more than once", zone.name));
            }
            let micro = match to.checked_sub(*from) {
                Some(difference) => difference,
                // Round once: the rest of the range, and what came after.
                None => zone.range.saturating_sub(*from) + to,
            };
            if micro == 0 && zone.name.starts_with("package") {
                return Err(format!("counter `{}` did not move", zone.name));
            }
            out.push((zone.name.clone(), micro as f64 / 1e6));
        }
        Ok(out)
    }
}

fn read(reader: Reader, path: &Path, zone: &str) -> Result<u64, String> {
    let text = reader(path).map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied => {
            format!("energy counter `{zone}` may not be read: only root may, on most systems")
        }
        _ => format!("energy counter `{zone}` cannot be read: {error}"),
    })?;
    let text = text.trim();
    text.parse().map_err(|_| format!("energy counter `{zone}` holds `{text}`, which is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let path =
            std::env::temp_dir().join(format!("engine-energy-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    const PACKAGE: (&str, &str, u64) = ("intel-rapl:0", "package-0", 262_143_328_850);

    fn set(root: &Path, folder: &str, micro: u64) {
        std::fs::write(root.join(folder).join("energy_uj"), format!("{micro}\n")).unwrap();
    }

    /// A tree like that of Linux, each counter at 0.
    fn tree(name: &str, zones: &[(&str, &str, u64)]) -> PathBuf {
        let root = folder(name);
        for (folder, name, range) in zones {
            let zone = root.join(folder);
            std::fs::create_dir_all(&zone).unwrap();
            std::fs::write(zone.join("name"), format!("{name}\n")).unwrap();
            std::fs::write(zone.join("max_energy_range_uj"), format!("{range}\n")).unwrap();
            set(&root, folder, 0);
        }
        root
    }

    #[test]
    fn packages_and_memory_count_and_what_lies_within_or_around_does_not() {
        let zones = [
            PACKAGE,
            ("intel-rapl:0:0", "core", 1000),
            ("intel-rapl:0:1", "dram", 65_712_999_613),
            ("intel-rapl:1", "psys", 1000),
            ("intel-rapl-mmio:0", "package-0", 1000),
        ];
        let root = tree("zones", &zones);
        let counters = EnergyCounters::open(&root).unwrap();
        let names: Vec<&str> = counters.zones.iter().map(|zone| zone.name.as_str()).collect();
        std::fs::remove_dir_all(&root).unwrap();
        assert_eq!(names, ["package-0", "dram-0"]);
    }

    #[test]
    fn what_cannot_be_had_is_a_reason_and_never_nothing() {
        let root = folder("none");
        let gone = EnergyCounters::open(&root.join("none")).unwrap_err();
        assert_eq!(gone, "this machine shows no energy counters");
        assert!(EnergyCounters::open(&root).unwrap_err().contains("no energy counter"));
        std::fs::remove_dir_all(&root).unwrap();
        let root = tree("reasons", &[PACKAGE]);
        let barred = EnergyCounters::open_through(&root, |path| match path.ends_with("name") {
            true => std::fs::read_to_string(path),
            false => Err(ErrorKind::PermissionDenied.into()),
        });
        assert!(barred.unwrap_err().contains("only root may"));
        let counters = EnergyCounters::open(&root).unwrap();
        let first = counters.read(0).unwrap();
        let why = |later: u64, micro: u64| {
            set(&root, "intel-rapl:0", micro);
            counters.between(&first, &counters.read(later).unwrap()).unwrap_err()
        };
        assert!(why(2_000_000_000, 0).contains("did not move"));
        assert!(why(50_000_000, 9_000_000).contains("too short"));
        assert!(why(400_000_000_000, 9_000_000).contains("more than once"));
        std::fs::write(root.join("intel-rapl:0/energy_uj"), "many").unwrap();
        assert!(counters.read(1).unwrap_err().contains("no number"));
        std::fs::remove_dir_all(&root).unwrap();
        assert!(counters.read(1).unwrap_err().contains("cannot be read"));
    }

    #[test]
    fn a_counter_that_went_round_once_is_counted_on() {
        let root = tree("round", &[PACKAGE]);
        let counters = EnergyCounters::open(&root).unwrap();
        set(&root, "intel-rapl:0", PACKAGE.2 - 1_000_000);
        let first = counters.read(0).unwrap();
        set(&root, "intel-rapl:0", 500_000);
        let found = counters.between(&first, &counters.read(1_000_000_000).unwrap()).unwrap();
        std::fs::remove_dir_all(&root).unwrap();
        assert_eq!(found, [("package-0".to_owned(), 1.5)]);
    }
}
