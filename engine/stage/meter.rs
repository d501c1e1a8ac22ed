//! Energy around the requests that count, read by the process that measures.
//!
//! Counters are read while the input of each request is made, outside of what is timed; which of
//! these readings opens the window is known at the end, when it is clear which requests were
//! warm-up.

use crate::machine::{EnergyCounters, EnergyReading};
use crate::measure::{Energy, Timeline};

pub(super) struct Meter {
    counters: Result<EnergyCounters, String>,
    readings: Vec<Result<EnergyReading, String>>,
}

impl Meter {
    /// Looks for the counters of this machine.
    pub fn start() -> Self {
        Self::with(EnergyCounters::of_machine())
    }

    fn with(counters: Result<EnergyCounters, String>) -> Self {
        Self { counters, readings: Vec::new() }
    }

    /// Reads before a request; `now` is the instant on the clock of the launch.
    pub fn note(&mut self, now: u64) {
        if let Ok(counters) = &self.counters {
            self.readings.push(counters.read(now));
        }
    }

    /// Energy from before the first of `requests` that counts until `now`. [`Meter::note`] was
    /// called once before the first call and once before each request.
    pub fn end(self, now: u64, requests: &[Timeline]) -> Energy {
        match self.window(now, requests) {
            Ok((zones, window)) => Energy::Counted { zones: zones.into_iter().collect(), window },
            Err(why) => Energy::Unmeasured(why),
        }
    }

    /// Of requests that are prepared beforehand and may overlap: nothing was read between them.
    pub fn none(self) -> Energy {
        let apart = "requests of this scenario do not come one after the other";
        Energy::Unmeasured(self.counters.err().unwrap_or_else(|| apart.into()))
    }

    fn window(self, now: u64, requests: &[Timeline]) -> Result<(Vec<(String, f64)>, u64), String> {
        let counters = self.counters?;
        let first = requests.iter().position(|request| !request.warmup);
        let first = first.ok_or("no request counted")?;
        if self.readings.len() != requests.len() + 1 {
            return Err("requests do not come one after the other".into());
        }
        let from = self.readings[first + 1].clone()?;
        let to = counters.read(now)?;
        Ok((counters.between(&from, &to)?, to.at - from.at))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_window_begins_with_the_first_request_that_counts() {
        let root = std::env::temp_dir().join(format!("engine-meter-{}", std::process::id()));
        let zone = root.join("intel-rapl:0");
        fs::create_dir_all(&zone).unwrap();
        fs::write(zone.join("name"), "package-0").unwrap();
        fs::write(zone.join("max_energy_range_uj"), "262143328850").unwrap();
        let set = |micro: u64| fs::write(zone.join("energy_uj"), micro.to_string()).unwrap();
        set(0);
        let warm = |warmup| Timeline { warmup, ..Timeline::default() };
        let requests = [warm(true), warm(false), warm(false)];
        let mut meter = Meter::with(EnergyCounters::open(&root));
        for (i, micro) in [0, 5_000_000, 9_000_000, 12_000_000].into_iter().enumerate() {
            set(micro);
            meter.note(i as u64 * 1_000_000_000);
        }
        set(15_500_000);
        let found = meter.end(4_000_000_000, &requests);
        let mut late = Meter::with(EnergyCounters::open(&root));
        late.note(0);
        let other = late.end(1, &requests);
        fs::remove_dir_all(&root).unwrap();
        let zones = [("package-0".to_owned(), 6.5)].into_iter().collect();
        assert_eq!(found, Energy::Counted { zones, window: 2_000_000_000 });
        assert!(matches!(other, Energy::Unmeasured(why) if why.contains("one after the other")));
        let none = Meter::with(EnergyCounters::open(&root)).end(1, &requests);
        assert!(matches!(none, Energy::Unmeasured(why) if why.contains("no energy counters")));
    }
}
