//! What the machine takes while nothing of a run is at work, so that its energy has a floor.

use std::path::Path;
use std::time::{Duration, Instant};

use super::Interrupt;
use super::execute::RunError;
use crate::machine::{EnergyCounters, POWERCAP};
use crate::record::IdlePower;
use crate::spec::{Bench, MetricName, Task};

/// How long the machine is watched.
const WATCHED: Duration = Duration::from_secs(10);

/// Longest sleep before somebody may stop the run.
const STEP: Duration = Duration::from_millis(100);

/// Power of the idle machine, where the run asks for energy; it takes ten seconds only where there
/// are counters.
pub(super) fn idle_power(
    bench: &Bench,
    task: Option<Task>,
    interrupt: &Interrupt,
) -> Result<Option<IdlePower>, RunError> {
    let asked = bench.measured(task);
    if !asked.contains(&MetricName::Energy) && !asked.contains(&MetricName::EnergyPerToken) {
        return Ok(None);
    }
    watched(Path::new(POWERCAP), WATCHED, interrupt).map(Some)
}

fn watched(root: &Path, time: Duration, interrupt: &Interrupt) -> Result<IdlePower, RunError> {
    let counters = match EnergyCounters::open(root) {
        Ok(counters) => counters,
        Err(why) => return Ok(IdlePower::Unmeasured(why)),
    };
    let begin = Instant::now();
    let now = || u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let from = counters.read(now());
    while begin.elapsed() < time {
        if interrupt.requested() {
            return Err(RunError::Interrupted);
        }
        std::thread::sleep(STEP.min(time));
    }
    let found = from.and_then(|from| {
        let to = counters.read(now())?;
        let seconds = (to.at - from.at) as f64 / 1e9;
        let zones = counters.between(&from, &to)?.into_iter();
        Ok(IdlePower::Watts(zones.map(|(zone, joules)| (zone, joules / seconds)).collect()))
    });
    Ok(found.unwrap_or_else(IdlePower::Unmeasured))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_counters_is_not_waited_for_and_a_still_one_has_a_reason() {
        let root = std::env::temp_dir().join(format!("engine-idle-{}", std::process::id()));
        let long = Duration::from_secs(3600);
        let none = watched(&root, long, &Interrupt::never()).unwrap();
        assert!(matches!(none, IdlePower::Unmeasured(why) if why.contains("no energy counters")));
        let zone = root.join("intel-rapl:0");
        std::fs::create_dir_all(&zone).unwrap();
        for (file, text) in
            [("name", "package-0"), ("max_energy_range_uj", "262143328850"), ("energy_uj", "5")]
        {
            std::fs::write(zone.join(file), text).unwrap();
        }
        let still = watched(&root, Duration::from_millis(110), &Interrupt::never()).unwrap();
        std::fs::remove_dir_all(&root).unwrap();
        assert!(matches!(still, IdlePower::Unmeasured(why) if why.contains("did not move")));
    }
}
