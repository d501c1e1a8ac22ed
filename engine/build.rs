//! Hands the versions of the libraries that decide what artifacts and numbers look like to the
//! program, so that they can be part of every key and record.

use std::process::Command;
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
    println!("cargo:rustc-env=ENGINE_COMMIT={}", commit(&root));
    let target = env::var("TARGET").unwrap_or_default();
    println!("cargo:rustc-env=ENGINE_TARGET={target}");
    // The vector extensions the kernels were compiled for: two builds of one version differ in them.
    let features = env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    println!("cargo:rustc-env=ENGINE_TARGET_FEATURES={features}");
}

/// The commit that is checked out, for the page of proofs; `unknown` outside a repository. Never
/// part of a key: what is not committed yet would pass for the commit before.
fn commit(root: &str) -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(root).args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        (output.status.success() && !text.is_empty()).then_some(text)
    };
    // Grows with every commit and checkout.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        let log = Path::new(root).join(log);
        if log.exists() {
            println!("cargo:rerun-if-changed={}", log.display());
        }
    }
    git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".to_owned())
}
