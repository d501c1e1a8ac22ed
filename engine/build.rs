//! Hands the versions of the libraries that decide what artifacts and numbers look like to the
//! program, so that they can be part of every key and record.

use std::{env, fs, path::Path};

fn main() {
    let root = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let lock = Path::new(&root).join("Cargo.lock");
    println!("cargo:rerun-if-changed={}", lock.display());
    println!("cargo:rerun-if-changed=engine/build.rs");
    let text = fs::read_to_string(&lock).unwrap_or_default();
    for (name, variable) in [
        ("candle-core", "ENGINE_CANDLE_VERSION"),
        ("image", "ENGINE_IMAGE_VERSION"),
        ("ort", "ENGINE_ORT_VERSION"),
        ("tokenizers", "ENGINE_TOKENIZERS_VERSION"),
    ] {
        let version = text
            .split("[[package]]")
            .find(|entry| entry.contains(&format!("name = \"{name}\"\n")))
            .and_then(|entry| entry.split("version = \"").nth(1)?.split('"').next())
            .unwrap_or("unknown");
        println!("cargo:rustc-env={variable}={version}");
    }
    let target = env::var("TARGET").unwrap_or_default();
    println!("cargo:rustc-env=ENGINE_TARGET={target}");
    // The vector extensions the kernels were compiled for: two builds of one version differ in them.
    let features = env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    println!("cargo:rustc-env=ENGINE_TARGET_FEATURES={features}");
}
