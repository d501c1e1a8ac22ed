//! `search`: the largest rate of arrivals under which every variant keeps its bounds.

use super::{Bench, Setting};
use crate::measure::slo::Slo;
use crate::scenario::{Arrivals, Load, Positive};

#[derive(Debug, Clone, PartialEq)]
pub struct RateSearch {
    /// What a probe launches; the scenario of its setting is that of the probe.
    pub bench: Bench,
    pub slo: Slo,
    /// Requests of one launch that count.
    pub requests: u32,
    pub arrivals: Arrivals,
}

impl RateSearch {
    pub fn id(&self) -> String {
        format!("rates/{}", self.bench.setting.id())
    }

    pub fn label(&self) -> String {
        format!("largest rate, {}", self.bench.setting)
    }

    /// The setting of a probe; one stream without a rate.
    pub fn setting(&self, rate: Option<Positive>) -> Setting {
        let (arrivals, requests) = (self.arrivals, self.requests);
        let load = match rate {
            None => Load::SingleStream,
            Some(rate) => Load::Server { rate, arrivals, requests },
        };
        Setting { load, ..self.bench.setting.clone() }
    }
}
