//! The signals that are watched, and from where on they matter.

use serde::{Deserialize, Serialize};

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    Steal,
    Foreign,
    Pressure,
    Throttled,
    Faults,
    Frequency,
    Thermal,
    Canary,
    GpuSlowdown,
    GpuClock,
    GpuTemperature,
    GpuForeign,
}

/// One signal and its thresholds. A value above one counts.
#[derive(Debug, Clone, Copy)]
pub struct Gauge {
    pub signal: Signal,
    /// For tables.
    pub name: &'static str,
    /// What the value is.
    pub about: &'static str,
    /// How it is written.
    pub unit: Unit,
    pub warn: Option<f64>,
    pub invalidate: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A fraction, shown in per cent.
    Share,
    Count,
    PerSecond,
    Degrees,
}

impl Unit {
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Share => format!("{:.1} %", value * 100.0),
            Self::Count => format!("{value:.0}"),
            Self::PerSecond => format!("{value:.1}/s"),
            Self::Degrees => format!("{value:.0} °C"),
        }
    }
}

const fn gauge(
    signal: Signal,
    name: &'static str,
    unit: Unit,
    warn: Option<f64>,
    invalidate: Option<f64>,
    about: &'static str,
) -> Gauge {
    Gauge { signal, name, about, unit, warn, invalidate }
}

/// Every signal. The thresholds are engineering defaults, not measurements.
pub const SIGNALS: &[Gauge] = &[
    gauge(
        Signal::Foreign,
        "foreign CPU",
        Unit::Share,
        Some(0.05),
        Some(0.25),
        "processor time of other processes, of the processors this one may use",
    ),
    gauge(
        Signal::Steal,
        "steal",
        Unit::Share,
        Some(0.01),
        Some(0.05),
        "time that the hypervisor gave to other machines, of the processors this one may use",
    ),
    gauge(
        Signal::Pressure,
        "CPU pressure",
        Unit::Share,
        Some(0.10),
        Some(0.40),
        "time in which some task waited for a processor; our own threads' waiting is not counted: judged only where foreign CPU is above its warning",
    ),
    gauge(
        Signal::Throttled,
        "quota used up",
        Unit::Count,
        None,
        Some(0.0),
        "periods in which the control group had used up its processor quota",
    ),
    gauge(
        Signal::Faults,
        "major faults and swap-in",
        Unit::PerSecond,
        Some(0.0),
        Some(100.0),
        "page faults of the measured process that read from a disk, beyond what is usual for the variant, and pages read back from swap",
    ),
    gauge(
        Signal::Frequency,
        "clock frequency",
        Unit::Share,
        Some(0.05),
        Some(0.15),
        "how far the clock was below the variant's median",
    ),
    gauge(
        Signal::Thermal,
        "thermal throttling",
        Unit::Count,
        None,
        Some(0.0),
        "times a processor was slowed down because it was hot",
    ),
    gauge(
        Signal::Canary,
        "canary",
        Unit::Share,
        Some(0.03),
        Some(0.10),
        "distance of a fixed loop's time, just before the block, from its median",
    ),
    gauge(
        Signal::GpuSlowdown,
        "GPU slowdown",
        Unit::Share,
        None,
        Some(0.02),
        "samples in which heat, power brake or hardware protection slowed the GPU down",
    ),
    gauge(
        Signal::GpuClock,
        "GPU clock",
        Unit::Share,
        Some(0.03),
        Some(0.10),
        "how far the GPU's clock was below the variant's median",
    ),
    gauge(
        Signal::GpuTemperature,
        "GPU start temperature",
        Unit::Degrees,
        Some(3.0),
        Some(10.0),
        "spread between the launches of a block",
    ),
    gauge(
        Signal::GpuForeign,
        "foreign GPU processes",
        Unit::Count,
        None,
        Some(0.0),
        "other processes on the GPU",
    ),
];

impl Signal {
    pub fn gauge(self) -> &'static Gauge {
        let found = SIGNALS.iter().find(|gauge| gauge.signal == self);
        found.expect("every signal has its gauge")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_has_one_gauge_whose_thresholds_are_in_order() {
        for (at, gauge) in SIGNALS.iter().enumerate() {
            assert!(SIGNALS[at + 1..].iter().all(|other| other.signal != gauge.signal));
            assert!(gauge.warn.is_some() || gauge.invalidate.is_some(), "{}", gauge.name);
            if let (Some(warn), Some(invalidate)) = (gauge.warn, gauge.invalidate) {
                assert!(warn < invalidate, "{}", gauge.name);
            }
            assert_eq!(gauge.signal.gauge().name, gauge.name);
        }
        let last = Signal::GpuForeign as usize;
        assert_eq!(SIGNALS.len(), last + 1, "a signal without a gauge");
    }
}
