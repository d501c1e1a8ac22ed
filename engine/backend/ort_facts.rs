//! What a library of ONNX Runtime is: its version, its build, and the providers that really open.
//!
//! A library is foreign code: it is opened in a process of its own, never in the one that plans.

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use ort::AsPointer;
use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::SessionBuilder;
use serde::{Deserialize, Serialize};

use super::onnxruntime::ID;
use super::ort_environment::{environment, environment_of};
use super::ort_providers::{built_in, register as register_all};
use super::{BackendError, OpenOptions};

/// A library of ONNX Runtime, looked at from inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuntimeFacts {
    /// Such as `1.31.1`.
    pub version: String,
    /// What the library says about its own build.
    pub build: String,
    /// Providers the library was built with, in its order of preference. One that cannot open a
    /// session on this machine has the reason.
    pub providers: Vec<(String, Result<(), String>)>,
}

/// An ONNX model whose graph hands its one input on: opset 13, IR version 7, `y = Identity(x)` on
/// one float. Small enough to be written out, so that no writer is needed to try a provider.
const IDENTITY: &[u8] = b"\x08\x07\x3a\x2f\
    \x0a\x10\x0a\x01x\x12\x01y\x22\x08Identity\
    \x12\x01g\
    \x5a\x0b\x0a\x01x\x12\x06\x0a\x04\x08\x01\x12\x00\
    \x62\x0b\x0a\x01y\x12\x06\x0a\x04\x08\x01\x12\x00\
    \x42\x04\x0a\x00\x10\x0d";

/// The version of the library at `library`, after opening it.
pub fn version(library: &Path) -> Result<String, BackendError> {
    environment(library)?;
    loaded_version(library)
}

/// Opens the library at `library` and tries every provider it was built with.
pub fn describe(library: &Path) -> Result<RuntimeFacts, BackendError> {
    let environment = environment(library)?;
    let mut providers = Vec::new();
    for name in available(library)? {
        let opens = try_provider(environment, &name).map_err(|error| first_line(&error));
        providers.push((name, opens));
    }
    Ok(RuntimeFacts {
        version: loaded_version(library)?,
        build: ort::info().trim_start_matches("ORT Build Info: ").to_owned(),
        providers,
    })
}

/// Opens a session with one node where `how` says: the device, its driver and the libraries of its
/// provider are there, or the error says what is not.
pub fn probe(how: &OpenOptions) -> Result<(), BackendError> {
    built_in(&how.placement)?;
    let failed = |error: ort::Error| BackendError::Device {
        device: how.placement.device,
        why: error.to_string().trim().to_owned(),
    };
    let builder = Session::builder(environment_of(how)?).map_err(failed)?;
    let mut builder = register_all(builder, &how.placement, None)?;
    builder.commit_from_memory(IDENTITY).map(drop).map_err(failed)
}

fn fault(library: &Path, why: impl Into<String>) -> BackendError {
    BackendError::Runtime { backend: ID, library: library.display().to_string(), why: why.into() }
}

fn first_line(error: &ort::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().trim().to_owned()
}

/// Asks the library for its version by its one exported symbol; it is open already.
fn loaded_version(library: &Path) -> Result<String, BackendError> {
    let path = CString::new(library.as_os_str().as_bytes())
        .map_err(|_| fault(library, "its path holds a zero byte"))?;
    // SAFETY: the library has been opened before, so no initializer runs; the symbol is the entry
    // point every ONNX Runtime exports, with the type its C header gives it, and the text it leads
    // to is constant.
    unsafe {
        let handle = libc::dlopen(path.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD);
        if handle.is_null() {
            return Err(fault(library, "it is not open"));
        }
        let symbol = libc::dlsym(handle, c"OrtGetApiBase".as_ptr());
        if symbol.is_null() {
            return Err(fault(library, "it does not export `OrtGetApiBase`"));
        }
        let base = std::mem::transmute::<
            *mut libc::c_void,
            unsafe extern "C" fn() -> *const ort::sys::OrtApiBase,
        >(symbol)();
        let text = CStr::from_ptr(((*base).GetVersionString)());
        Ok(text.to_string_lossy().into_owned())
    }
}

/// Names of the providers the library was built with.
fn available(library: &Path) -> Result<Vec<String>, BackendError> {
    let api = ort::api();
    let mut names: *mut *mut std::ffi::c_char = ptr::null_mut();
    let mut count = 0;
    // SAFETY: both pointers are to locals; on success the library has made `count` strings that
    // end with zero, which are copied before they are given back.
    unsafe {
        let status = (api.GetAvailableProviders)(&raw mut names, &raw mut count);
        ort::Error::result_from_status(status)
            .map_err(|error| fault(library, first_line(&error)))?;
        let found = (0..count.max(0) as usize)
            .map(|i| CStr::from_ptr(*names.add(i)).to_string_lossy().into_owned())
            .collect();
        let status = (api.ReleaseAvailableProviders)(names, count);
        ort::Error::result_from_status(status)
            .map_err(|error| fault(library, first_line(&error)))?;
        Ok(found)
    }
}

/// Opens a session over a tiny graph with provider `name`, whose absence is an error.
fn try_provider(environment: &Environment, name: &str) -> ort::Result<()> {
    let mut builder = Session::builder(environment)?;
    match name {
        // Always there, and nothing to register.
        "CPUExecutionProvider" => {}
        "CUDAExecutionProvider" => register_cuda(&mut builder)?,
        "TensorrtExecutionProvider" => register_tensorrt(&mut builder)?,
        other => register(&mut builder, other)?,
    }
    builder.commit_from_memory(IDENTITY).map(drop)
}

/// Registers a provider by its name alone, without options.
fn register(builder: &mut SessionBuilder, name: &str) -> ort::Result<()> {
    let name = CString::new(name).map_err(|_| ort::Error::new("its name holds a zero byte"))?;
    // SAFETY: the builder and the name outlive the call, and no options are passed.
    unsafe {
        let append = ort::api().SessionOptionsAppendExecutionProvider;
        let status = append(builder.ptr_mut(), name.as_ptr(), ptr::null(), ptr::null(), 0);
        ort::Error::result_from_status(status)
    }
}

/// CUDA is registered by a function of its own, with options of a type of its own.
fn register_cuda(builder: &mut SessionBuilder) -> ort::Result<()> {
    let api = ort::api();
    let mut options = ptr::null_mut();
    // SAFETY: the options are made, used and released here and nowhere else.
    unsafe {
        ort::Error::result_from_status((api.CreateCUDAProviderOptions)(&raw mut options))?;
        let append = api.SessionOptionsAppendExecutionProvider_CUDA_V2;
        let status = append(builder.ptr_mut(), options);
        (api.ReleaseCUDAProviderOptions)(options);
        ort::Error::result_from_status(status)
    }
}

/// So is TensorRT.
fn register_tensorrt(builder: &mut SessionBuilder) -> ort::Result<()> {
    let api = ort::api();
    let mut options = ptr::null_mut();
    // SAFETY: the options are made, used and released here and nowhere else.
    unsafe {
        ort::Error::result_from_status((api.CreateTensorRTProviderOptions)(&raw mut options))?;
        let append = api.SessionOptionsAppendExecutionProvider_TensorRT_V2;
        let status = append(builder.ptr_mut(), options);
        (api.ReleaseTensorRTProviderOptions)(options);
        ort::Error::result_from_status(status)
    }
}
