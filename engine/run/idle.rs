//! What the machine takes while nothing of a run is at work, so that its energy has a floor.

use std::time::{Duration, Instant};

use super::Interrupt;
use super::alone::Alone;
use super::execute::{Conditions, RunError};
use super::session::Session;
use crate::machine::EnergyCounters;
use crate::record::IdlePower;
use crate::spec::{Bench, MetricName, Task};

/// How long the machine is watched.
const WATCHED: Duration = Duration::from_secs(10);

/// Longest sleep before somebody may stop the run.
const STEP: Duration = Duration::from_millis(100);

/// Watches the idle machine where the run asks for energy, once for all of its stretches; it takes
/// ten seconds only where there are counters.
pub(super) fn idle_power(
    bench: &Bench,
    task: Option<Task>,
    session: &mut Session,
    conditions: &Conditions<'_>,
) -> Result<(), RunError> {
    let asked = bench.measured(task);
    let is_asked =
        asked.contains(&MetricName::Energy) || asked.contains(&MetricName::EnergyPerToken);
    if !is_asked || session.idle.is_some() {
        return Ok(());
    }
    let found = match EnergyCounters::of_machine() {
        Err(why) => IdlePower::Unmeasured(why),
        Ok(counters) => {
            let _alone = Alone::wait(conditions)?;
            watched(&counters, WATCHED, &conditions.launcher.interrupt)?
        }
    };
    Ok(session.record_idle(found)?)
}

fn watched(
    counters: &EnergyCounters,
    time: Duration,
    interrupt: &Interrupt,
) -> Result<IdlePower, RunError> {
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
    fn a_machine_whose_counters_stand_still_has_a_reason() {
        let root = std::env::temp_dir().join(format!("engine-idle-{}", std::process::id()));
        let zone = root.join("intel-rapl:0");
        std::fs::create_dir_all(&zone).unwrap();
        for (file, text) in
            [("name", "package-0"), ("max_energy_range_uj", "262143328850"), ("energy_uj", "5")]
        {
            std::fs::write(zone.join(file), text).unwrap();
        }
        let counters = EnergyCounters::open(&root).unwrap();
        let still = watched(&counters, Duration::from_millis(110), &Interrupt::never()).unwrap();
        std::fs::remove_dir_all(&root).unwrap();
        assert!(matches!(still, IdlePower::Unmeasured(why) if why.contains("did not move")));
    }
}
