//! Collects the spans of model families: a `tracing` subscriber of its own, installed around each
//! call of a generator that was opened to be profiled, and nowhere else. Without it a span costs
//! one comparison with an atomic.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::operators::{Arithmetic, OpEvent, Work, settle_own};
use crate::model::family::TARGET;

/// Events kept at most; later ones are counted as lost.
const MOST: usize = 400_000;

/// Everything that was collected since opening. Clones share it.
#[derive(Clone)]
pub struct Spans {
    begin: Instant,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// The call under way; calls are counted from 0.
    calls: u32,
    events: Vec<OpEvent>,
    lost: usize,
}

impl Spans {
    pub fn new() -> Self {
        Self { begin: Instant::now(), state: Arc::default() }
    }

    /// Runs one call and collects its spans. The same thread must do the work that is looked at;
    /// helpers that it waits for are part of its time.
    pub fn around<T>(&self, call: impl FnOnce() -> T) -> T {
        let result = tracing::subscriber::with_default(self.clone(), call);
        self.state().calls += 1;
        result
    }

    /// Takes what was collected, in order of start; an error says how many events were lost.
    pub fn take(&self) -> Result<Vec<OpEvent>, String> {
        let mut state = self.state();
        if state.lost > 0 {
            return Err(format!("{} events more than the {MOST} that are kept", state.lost));
        }
        let mut events = std::mem::take(&mut state.events);
        settle_own(&mut events);
        Ok(events)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Subscriber for Spans {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && metadata.target() == TARGET
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut fields = Fields::default();
        span.record(&mut fields);
        let mut state = self.state();
        let number = if state.events.len() < MOST {
            let call = state.calls;
            state.events.push(fields.event(call));
            state.events.len()
        } else {
            state.lost += 1;
            MOST + 1
        };
        Id::from_u64(number as u64)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, id: &Id) {
        let now = self.now();
        if let Some(event) = self.state().events.get_mut(id.into_u64() as usize - 1) {
            event.start = now;
        }
    }

    fn exit(&self, id: &Id) {
        let now = self.now();
        if let Some(event) = self.state().events.get_mut(id.into_u64() as usize - 1) {
            event.nanos = now.saturating_sub(event.start);
        }
    }
}

/// The fields of a span.
#[derive(Default)]
struct Fields {
    operator: String,
    layer: Option<u32>,
    operations: u64,
    bytes: u64,
    weights: u64,
    int8: bool,
}

impl Fields {
    fn event(self, call: u32) -> OpEvent {
        let name = match self.layer {
            Some(layer) => format!("layer.{layer}.{}", self.operator),
            None => self.operator.clone(),
        };
        let work = (self.bytes > 0).then_some(Work {
            operations: self.operations,
            bytes: Some(self.bytes),
            weights: (self.weights > 0).then_some(self.weights),
            arithmetic: if self.int8 { Arithmetic::Int8 } else { Arithmetic::F32 },
        });
        OpEvent {
            call,
            name,
            operator: self.operator,
            layer: self.layer,
            start: 0,
            nanos: 0,
            own: 0,
            provider: None,
            work,
        }
    }
}

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "layer" => self.layer = u32::try_from(value).ok(),
            "operations" => self.operations = value,
            "bytes" => self.bytes = value,
            "weights" => self.weights = value,
            _ => {}
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        if field.name() == "int8" {
            self.int8 = value;
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "operator" {
            value.clone_into(&mut self.operator);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}
