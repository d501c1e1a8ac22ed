//! From single events to groups by operator and layer, phase by phase.

use indexmap::IndexMap;

use crate::backend::OpEvent;
use crate::record::{OpGroup, Phase};

/// One call of a generator or session, in order since opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    pub phase: &'static str,
    /// False while warming up.
    pub counted: bool,
    /// Wall time by our clock.
    pub nanos: u64,
    pub cpu_time: Option<u64>,
}

/// Names kept of a group's operators.
const NAMES: usize = 8;

/// The phases that `calls` went through, each with its events in groups, and the times of `plain`
/// calls that nobody watched. Events of calls that do not count, or of none, are left out.
pub fn phases(events: &[OpEvent], calls: &[Call], plain: &[Call]) -> Vec<Phase> {
    let mut names: Vec<&'static str> = Vec::new();
    for call in calls.iter().filter(|call| call.counted) {
        if !names.contains(&call.phase) {
            names.push(call.phase);
        }
    }
    names.into_iter().map(|name| phase(name, events, calls, plain)).collect()
}

fn phase(name: &str, events: &[OpEvent], calls: &[Call], plain: &[Call]) -> Phase {
    let own = |call: &&Call| call.counted && call.phase == name;
    let belongs = |event: &&OpEvent| calls.get(event.call as usize).as_ref().is_some_and(own);
    let mut groups: IndexMap<Key<'_>, Sum<'_>> = IndexMap::new();
    for event in events.iter().filter(belongs) {
        let arithmetic = event.work.map(|work| work.arithmetic.name());
        let key = (event.operator.as_str(), event.layer, event.provider.as_deref(), arithmetic);
        groups.entry(key).or_default().add(event);
    }
    let mut groups: Vec<OpGroup> = groups.into_iter().map(|(key, sum)| sum.group(key)).collect();
    groups.sort_by(|a, b| {
        b.nanos.cmp(&a.nanos).then_with(|| (&a.operator, a.layer).cmp(&(&b.operator, b.layer)))
    });
    Phase {
        name: name.to_owned(),
        latencies: plain.iter().filter(own).map(|call| call.nanos).collect(),
        watched: calls.iter().filter(own).map(|call| call.nanos).collect(),
        cpu_time: plain.iter().filter(own).map(|call| call.cpu_time).sum(),
        groups,
    }
}

type Key<'a> = (&'a str, Option<u32>, Option<&'a str>, Option<&'static str>);

/// What the events of a group add up to.
struct Sum<'a> {
    events: u64,
    nanos: u64,
    operations: Option<u64>,
    bytes: Option<u64>,
    weights: u64,
    by_name: IndexMap<&'a str, u64>,
}

impl Default for Sum<'_> {
    fn default() -> Self {
        Self {
            events: 0,
            nanos: 0,
            operations: Some(0),
            bytes: Some(0),
            weights: 0,
            by_name: IndexMap::new(),
        }
    }
}

impl<'a> Sum<'a> {
    fn add(&mut self, event: &'a OpEvent) {
        let plus = |sum: Option<u64>, more: Option<u64>| Some(sum?.saturating_add(more?));
        self.events += 1;
        self.nanos = self.nanos.saturating_add(event.own);
        self.operations = plus(self.operations, event.work.map(|work| work.operations));
        self.bytes = plus(self.bytes, event.work.and_then(|work| work.bytes));
        let weights = event.work.and_then(|work| work.weights).unwrap_or(0);
        self.weights = self.weights.saturating_add(weights);
        *self.by_name.entry(&event.name).or_default() += event.own;
    }

    fn group(mut self, (operator, layer, provider, arithmetic): Key<'_>) -> OpGroup {
        self.by_name.sort_by(|a, x, b, y| y.cmp(x).then_with(|| a.cmp(b)));
        OpGroup {
            operator: operator.to_owned(),
            layer,
            provider: provider.map(str::to_owned),
            arithmetic: arithmetic.map(str::to_owned),
            events: self.events,
            nanos: self.nanos,
            operations: self.operations,
            bytes: self.bytes,
            weights: (self.weights > 0).then_some(self.weights),
            nodes: self.by_name.keys().take(NAMES).map(|name| (*name).to_owned()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Arithmetic, Work};

    fn event(call: u32, name: &str, layer: Option<u32>, own: u64, bytes: Option<u64>) -> OpEvent {
        let work = Work { operations: 10, bytes, weights: None, arithmetic: Arithmetic::F32 };
        OpEvent {
            call,
            name: name.into(),
            operator: "MatMul".into(),
            layer,
            start: 0,
            nanos: own,
            own,
            provider: None,
            work: Some(work),
        }
    }

    fn call(phase: &'static str, counted: bool, nanos: u64) -> Call {
        Call { phase, counted, nanos, cpu_time: Some(2 * nanos) }
    }

    #[test]
    fn events_are_summed_by_layer_in_the_phase_of_their_call() {
        let calls = [
            call("prefill", false, 900),
            call("prefill", true, 100),
            call("decode", true, 50),
            call("decode", true, 60),
        ];
        let events = [
            event(0, "warm", Some(0), 800, Some(1)),
            event(1, "a", Some(0), 70, Some(4)),
            event(2, "a", Some(0), 10, Some(4)),
            event(3, "b", Some(0), 30, Some(4)),
            event(3, "c", Some(1), 12, None),
            event(9, "no such call", None, 1000, Some(1)),
        ];
        let found = phases(&events, &calls, &calls[2..]);
        let [prefill, decode] = &found[..] else { panic!("{found:?}") };
        assert_eq!((prefill.name.as_str(), &prefill.latencies[..]), ("prefill", &[][..]));
        assert_eq!(prefill.watched, [100]);
        assert_eq!((prefill.groups.len(), prefill.groups[0].nanos), (1, 70));
        assert_eq!(decode.latencies, [50, 60]);
        assert_eq!(decode.cpu_time, Some(220));
        let [first, second] = &decode.groups[..] else { panic!("{decode:?}") };
        assert_eq!((first.events, first.nanos, first.bytes), (2, 40, Some(8)));
        assert_eq!(first.nodes, ["b", "a"], "heaviest first");
        assert_eq!((second.layer, second.bytes, second.operations), (Some(1), None, Some(10)));
    }

    #[test]
    fn a_missing_reading_is_missing_from_the_sum() {
        let mut calls = [call("run", true, 5), call("run", true, 6)];
        calls[1].cpu_time = None;
        let found = phases(&[], &calls, &calls);
        assert_eq!((found[0].cpu_time, found[0].groups.len()), (None, 0));
    }
}
