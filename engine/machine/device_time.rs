//! Time on a GPU between two events on its own clock. The only door to cudarc.
//!
//! Device time is told beside the wall clock's and never in its place: it leaves out what the host
//! does before and after. It has been compiled, and has never run on a GPU.

use std::sync::Arc;

use cudarc::driver::sys::CUevent_flags;
use cudarc::driver::{CudaContext, CudaEvent, CudaStream, DriverError};

/// Two events on the default stream of one GPU, recorded around what is timed.
pub struct DeviceTimer {
    stream: Arc<CudaStream>,
    begin: CudaEvent,
    end: CudaEvent,
}

#[derive(Debug, thiserror::Error)]
pub enum DeviceTimeError {
    #[error("no CUDA driver library found")]
    NoDriver,
    #[error("the CUDA driver does not answer")]
    Driver(#[source] DriverError),
}

impl From<DriverError> for DeviceTimeError {
    fn from(error: DriverError) -> Self {
        Self::Driver(error)
    }
}

impl DeviceTimer {
    /// Opens the GPU of this number in the primary context that other users of the driver in this
    /// process share.
    pub fn open(index: usize) -> Result<Self, DeviceTimeError> {
        // SAFETY: only asks whether the library can be opened; the driver's has no side effects.
        if !unsafe { cudarc::driver::sys::is_culib_present() } {
            return Err(DeviceTimeError::NoDriver);
        }
        let context = CudaContext::new(index)?;
        // Without this flag events keep no time.
        let event = || context.new_event(Some(CUevent_flags::CU_EVENT_BLOCKING_SYNC));
        let (begin, end) = (event()?, event()?);
        Ok(Self { stream: context.default_stream(), begin, end })
    }

    /// What `work` returns, and the nanoseconds that what it put on the default stream took there,
    /// rounded to the half microsecond or so that events resolve. Waits until the stream has
    /// reached the second event.
    pub fn time<T>(&self, work: impl FnOnce() -> T) -> Result<(T, u64), DeviceTimeError> {
        self.begin.record(&self.stream)?;
        let out = work();
        self.end.record(&self.stream)?;
        let millis = self.begin.elapsed_ms(&self.end)?;
        Ok((out, (f64::from(millis) * 1e6).round() as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_a_gpu_says_so_and_does_not_die() {
        if let Ok(timer) = DeviceTimer::open(0) {
            let (value, nanos) = timer.time(|| 7).expect("an empty stream reaches its events");
            assert!(value == 7 && nanos < 1_000_000_000);
            return;
        }
        let why = DeviceTimer::open(0).err().map(|error| error.to_string());
        assert!(why.is_some_and(|why| why.contains("CUDA driver")));
    }
}
