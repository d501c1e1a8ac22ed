//! Execution providers beyond the CPU's: registered so that whatever fails is an error, never a
//! silent fall-back.
//!
//! The only file that asks for Cargo features. A build without one gives [`Unavailable`], which
//! names the feature.

use ort::ep::ExecutionProviderDispatch;
use ort::session::builder::SessionBuilder;

use super::BackendError;
use super::device::{Device, Placement, TensorRt, Unavailable};
use super::onnxruntime::ID;

type Providers = Vec<ExecutionProviderDispatch>;

/// Whether this build knows the providers that `placement` asks for. That they open on this
/// machine is another question.
pub fn built_in(placement: &Placement) -> Result<(), Unavailable> {
    match (placement.device, placement.tensorrt) {
        (Device::Cuda(_), Some(_)) if !cfg!(feature = "tensorrt") => {
            Err(Unavailable { feature: "tensorrt" })
        }
        (Device::Cuda(_), None) if !cfg!(feature = "cuda") => Err(Unavailable { feature: "cuda" }),
        (Device::Cpu | Device::Mock(_) | Device::Cuda(_), _) => Ok(()),
    }
}

/// Registers what `placement` asks for. `arena` is whether the CPU's provider keeps freed memory,
/// where the graph says so.
pub fn register(
    mut builder: SessionBuilder,
    placement: &Placement,
    arena: Option<bool>,
) -> Result<SessionBuilder, BackendError> {
    let failed = |error: ort::Error| BackendError::Device {
        device: placement.device,
        why: error.to_string().trim().to_owned(),
    };
    let mut providers = accelerators(placement)?;
    if !placement.device.is_cpu() && !placement.fallback {
        if arena.is_some() {
            let why = "the graph sets the arena of the CPU's provider, which is not registered \
                       (`expect: {provider_fallback: allow}` registers it)";
            return Err(BackendError::Device { device: placement.device, why: why.to_owned() });
        }
        builder = builder.with_disable_cpu_fallback().map_err(|error| failed(error.into()))?;
    }
    if let Some(arena) = arena {
        providers.push(ort::ep::CPU::default().with_arena_allocator(arena).build());
    }
    let providers: Providers =
        providers.into_iter().map(ExecutionProviderDispatch::error_on_failure).collect();
    builder.with_execution_providers(providers).map_err(|error| failed(error.into()))
}

/// In the order in which they are offered nodes. Without fall-back there is one only.
fn accelerators(placement: &Placement) -> Result<Providers, BackendError> {
    let number = match placement.device {
        Device::Cpu => return Ok(Vec::new()),
        Device::Cuda(number) => i32::try_from(number).unwrap_or(i32::MAX),
        Device::Mock(_) => {
            let why = format!("backend `{ID}` does not know it");
            return Err(BackendError::Device { device: placement.device, why });
        }
    };
    let Some(options) = placement.tensorrt else { return Ok(vec![cuda(number)?]) };
    let mut out = vec![tensorrt(number, options, placement)?];
    if placement.fallback {
        out.push(cuda(number)?);
    }
    Ok(out)
}

#[cfg(feature = "cuda")]
#[expect(clippy::unnecessary_wraps, reason = "its twin fails")]
fn cuda(number: i32) -> Result<ExecutionProviderDispatch, Unavailable> {
    Ok(ort::ep::CUDA::default().with_device_id(number).build())
}

#[cfg(not(feature = "cuda"))]
fn cuda(_: i32) -> Result<ExecutionProviderDispatch, Unavailable> {
    Err(Unavailable { feature: "cuda" })
}

#[cfg(feature = "tensorrt")]
fn tensorrt(
    number: i32,
    options: TensorRt,
    placement: &Placement,
) -> Result<ExecutionProviderDispatch, BackendError> {
    let mut provider = ort::ep::TensorRT::default()
        .with_device_id(number)
        .with_fp16(options.fp16)
        .with_int8(options.int8);
    if let Some(folder) = placement.engines.as_ref().filter(|_| options.engine_cache) {
        std::fs::create_dir_all(folder).map_err(|error| BackendError::Device {
            device: placement.device,
            why: format!("cannot create `{}` for its engines: {error}", folder.display()),
        })?;
        let folder = folder.display().to_string();
        provider = provider
            .with_engine_cache(true)
            .with_engine_cache_path(&folder)
            .with_timing_cache(true)
            .with_timing_cache_path(&folder);
    }
    Ok(provider.build())
}

#[cfg(not(feature = "tensorrt"))]
fn tensorrt(_: i32, _: TensorRt, _: &Placement) -> Result<ExecutionProviderDispatch, Unavailable> {
    Err(Unavailable { feature: "tensorrt" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_build_lacks_is_named_and_never_a_panic() {
        let cuda = Placement { device: Device::Cuda(0), ..Placement::default() };
        let options = TensorRt { fp16: true, int8: false, engine_cache: true };
        let tensorrt = Placement { tensorrt: Some(options), ..cuda.clone() };
        for (placement, feature, here) in [
            (cuda, "cuda", cfg!(feature = "cuda")),
            (tensorrt, "tensorrt", cfg!(feature = "tensorrt")),
        ] {
            assert_eq!(built_in(&placement).is_ok(), here);
            let made = accelerators(&placement).map(|providers| providers.len());
            match made {
                Ok(count) => assert!(here && count == 1),
                Err(error) => {
                    let words = error.to_string();
                    assert!(!here && words.contains(&format!("--features {feature}")), "{words}");
                }
            }
        }
        assert_eq!(accelerators(&Placement::default()).unwrap().len(), 0);
        let mock = Placement { device: Device::Mock(0), ..Placement::default() };
        assert!(accelerators(&mock).is_err());
    }
}
