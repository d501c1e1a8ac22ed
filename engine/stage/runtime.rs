//! `load` of a runtime: the shared library that a backend opens at run time.
//!
//! A library is an artifact like any other: it has a digest, and the digest joins the key of every
//! step that runs it. One that the spec or `--ort-library` names is read where it is; otherwise the
//! pinned one is fetched once and kept in the store. What the dynamic linker would find by itself
//! is never used.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Job;
use crate::backend::onnxruntime;
use crate::base::Digest;
use crate::store::Recipe;

/// Name of the library in the store.
pub const LIBRARY_FILE: &str = "libonnxruntime.so";

/// Kind of such an artifact in the store.
pub const RUNTIME_KIND: &str = "runtime";

/// The release of ONNX Runtime that this engine is tested with.
const VERSION: &str = "1.31.1";

/// Tags and SHA-256 of that release's official wheels by processor, as the package index lists
/// them. The C library inside is the same for every Python version.
const WHEELS: &[(&str, &str, &str)] = &[
    (
        "x86_64",
        "manylinux_2_28_x86_64",
        "1f3dea47f2f0e5117c2404cea7d21fd253ae7836a3bf167a501cdfbb2600d536",
    ),
    (
        "aarch64",
        "manylinux_2_28_aarch64",
        "0b9a492176886992e0e875f06bc0367e333f5fff11711a2d642e18b02f3009cc",
    ),
];

/// One wheel, named so exactly that no other can take its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    pub version: String,
    /// The platform tag of the wheel.
    pub platform: String,
    /// SHA-256 of the wheel.
    pub wheel: Digest,
}

impl Pin {
    /// The wheel for the platform this engine was built for, if there is one.
    pub fn here() -> Option<Self> {
        let supported = cfg!(all(target_os = "linux", target_env = "gnu"));
        let own = |(processor, ..): &&(&str, &str, &str)| *processor == std::env::consts::ARCH;
        let (_, platform, wheel) = WHEELS.iter().find(own).filter(|_| supported)?;
        Some(Self {
            version: VERSION.to_owned(),
            platform: (*platform).to_owned(),
            wheel: Digest::parse(wheel).expect("a constant of 64 hex digits"),
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadRuntime {
    /// A library outside the store, absolute; the pinned one when absent.
    pub library: Option<PathBuf>,
    /// That library as the spec writes it.
    pub written: Option<String>,
}

impl LoadRuntime {
    /// Id of the step in every plan that needs it.
    pub const STEP: &str = "runtime/onnxruntime";

    /// Name of the runtime; also the id of the backend that opens it.
    pub fn name(&self) -> &'static str {
        onnxruntime::ID
    }

    pub fn label(&self) -> String {
        match &self.written {
            Some(written) => format!("load {} {written}", self.name()),
            None => format!("load {} {VERSION}", self.name()),
        }
    }

    /// The wheel that is fetched, unless a library is named or no wheel fits this platform.
    pub fn pin(&self) -> Option<Pin> {
        if self.library.is_some() { None } else { Pin::here() }
    }

    /// The recipe of the pinned library; one outside the store is only read.
    pub fn recipe(&self) -> Option<Recipe> {
        let pin = self.pin()?;
        Some(Recipe {
            facts: json!({
                "stage": "load",
                "runtime": self.name(),
                "version": pin.version,
                "platform": pin.platform,
                "wheel": pin.wheel,
            }),
            inputs: Vec::new(),
            epoch: 1,
            versions: BTreeMap::new(),
        })
    }

    /// The work of fetching what `pin` names.
    pub fn job(&self, pin: Pin, out: PathBuf) -> Job {
        Job::FetchRuntime { pin, out }
    }

    /// Where the library comes from, for records: the wheel, or the source as it is written.
    pub fn origin(&self) -> String {
        match (&self.written, self.pin()) {
            (Some(written), _) => written.clone(),
            (None, Some(pin)) => format!("wheel with SHA-256 {}", pin.wheel),
            (None, None) => "none for this platform".into(),
        }
    }

    /// Why there is nothing to fetch, and what can be done.
    pub fn unsupported() -> String {
        format!(
            "there is no wheel of ONNX Runtime {VERSION} for {} {}; name a library that you have built: `--ort-library PATH`",
            std::env::consts::OS,
            std::env::consts::ARCH
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pin_of_this_platform_is_whole_and_decides_the_key() {
        let pinned = LoadRuntime { library: None, written: None };
        let Some(pin) = Pin::here() else {
            assert!(pinned.recipe().is_none());
            return;
        };
        assert!(pin.platform.ends_with(std::env::consts::ARCH));
        let recipe = pinned.recipe().expect("a pinned wheel has a recipe");
        let mut other = recipe.clone();
        other.facts["wheel"] = json!(Digest::of_bytes(b"another wheel"));
        assert_ne!(recipe.key(), other.key());
        let library = Some(PathBuf::from("/lib/libonnxruntime.so"));
        let named = LoadRuntime { library, written: Some("file://lib/libonnxruntime.so".into()) };
        assert_eq!((named.pin(), named.recipe()), (None, None));
        assert!(named.label().contains("file://lib"), "{}", named.label());
    }
}
