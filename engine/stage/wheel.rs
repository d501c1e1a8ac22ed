//! The pinned wheel of ONNX Runtime, fetched through the user's own Python package client, so
//! that the mirrors, proxies and certificates they have configured are used.
//!
//! Nothing of the wheel is run and no file of it but three is unpacked. The client checks the
//! pinned SHA-256, and so do we.

use std::fs;
use std::io::{BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::runtime::{LIBRARY_FILE, Pin};
use crate::base::Digest;
use crate::base::text::inert;
use crate::data::{Archive, ArchiveError};

/// Largest library in bytes; the one of release 1.31 has 28 MiB.
const LARGEST_LIBRARY: u64 = 1 << 30;

/// Largest license text in bytes.
const LARGEST_TEXT: u64 = 16 << 20;

/// Files beside the library: its license asks for them.
const TEXTS: &[(&str, &str)] = &[
    ("onnxruntime/LICENSE", "LICENSE"),
    ("onnxruntime/ThirdPartyNotices.txt", "ThirdPartyNotices.txt"),
];

/// Bytes kept of the end of what the client says.
const TAIL: usize = 16 << 10;

#[derive(Debug, thiserror::Error)]
pub enum WheelError {
    #[error("ONNX Runtime is fetched through Python, and there is no `python3` on `PATH`")]
    NoPython,
    #[error("ONNX Runtime is fetched through Python's package client, and `python3` has none: {0}")]
    NoClient(String),
    #[error("`python3` cannot be started")]
    Start { source: std::io::Error },
    #[error("fetching ONNX Runtime failed: {said}")]
    Client { said: String, pin: Box<Pin> },
    #[error("the wheel that was fetched is not the pinned one: SHA-256 {found} instead of {wheel}")]
    Other { found: String, wheel: Digest },
    #[error("the package client ended well and left no wheel")]
    NoWheel,
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error("cannot {action} `{path}`", path = .path.display())]
    File { action: &'static str, path: PathBuf, source: std::io::Error },
}

impl WheelError {
    /// The one thing that mends it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoPython | Self::Start { .. } => {
                "install Python 3 with pip, or name a copy of the library: `--ort-library PATH`"
                    .into()
            }
            Self::NoClient(_) => "python3 -m ensurepip".into(),
            Self::Client { pin, .. } => format!(
                "where there is a network: `{}`; then here: `PIP_FIND_LINKS=wheels engine run …`",
                by_hand(pin)
            ),
            Self::Other { .. } => "python3 -m pip cache remove onnxruntime".into(),
            Self::NoWheel | Self::Archive(_) | Self::File { .. } => return None,
        })
    }
}

/// The command that fetches the wheel into the folder `wheels`.
fn by_hand(pin: &Pin) -> String {
    format!(
        "python3 -m pip download {} -d wheels onnxruntime=={}",
        arguments(pin).join(" "),
        pin.version
    )
}

/// What makes the client choose the pinned wheel and no other.
fn arguments(pin: &Pin) -> Vec<&str> {
    let platform = ["--platform", &pin.platform];
    let fixed = ["--no-deps", "--only-binary=:all:", "--implementation", "cp"];
    fixed.into_iter().chain(["--python-version", "3.12"]).chain(platform).collect()
}

/// Fetches the wheel that `pin` names and leaves its library and licenses in the empty folder
/// `out`. `progress` is told the share of the phases: fetching, comparing, unpacking.
pub fn fetch(pin: &Pin, out: &Path, progress: &dyn Fn(f64)) -> Result<(), WheelError> {
    let folder = out.join("download");
    let file = |action, path: &Path| {
        let path = path.to_owned();
        move |source| WheelError::File { action, path, source }
    };
    fs::create_dir(&folder).map_err(file("create", &folder))?;
    progress(0.05);
    download(pin, &folder)?;
    progress(0.7);
    let wheel = only_wheel(&folder).map_err(file("read", &folder))?.ok_or(WheelError::NoWheel)?;
    let found = Digest::of_file(&wheel).map_err(file("read", &wheel))?;
    if found != pin.wheel {
        return Err(WheelError::Other { found: found.hex(), wheel: pin.wheel });
    }
    progress(0.8);
    unpack(&wheel, pin, out)?;
    fs::remove_dir_all(&folder).map_err(file("remove", &folder))?;
    progress(1.0);
    Ok(())
}

fn download(pin: &Pin, folder: &Path) -> Result<(), WheelError> {
    let requirements = folder.join("requirements.txt");
    let text = format!("onnxruntime=={} --hash=sha256:{}\n", pin.version, pin.wheel);
    fs::write(&requirements, text).map_err(|source| WheelError::File {
        action: "write",
        path: requirements.clone(),
        source,
    })?;
    let mut command = Command::new("python3");
    command.args(["-m", "pip", "download", "--require-hashes", "--progress-bar", "off"]);
    command.args(arguments(pin)).arg("-d").arg(folder).arg("-r").arg(&requirements);
    // Nobody is there to answer, and what is current does not matter to a pinned version.
    command.env("PIP_NO_INPUT", "1").env("PIP_DISABLE_PIP_VERSION_CHECK", "1");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|source| match source.kind() {
        ErrorKind::NotFound => WheelError::NoPython,
        _ => WheelError::Start { source },
    })?;
    let said = child.stderr.take().map(tail).unwrap_or_default();
    let status = child.wait().map_err(|source| WheelError::Start { source })?;
    if status.success() {
        return Ok(());
    }
    if said.contains("No module named pip") {
        return Err(WheelError::NoClient("no module named `pip`".into()));
    }
    let said = match reason(&said) {
        Some(line) => line,
        None => format!("`python3 -m pip download` ended with {status}"),
    };
    Err(WheelError::Client { said, pin: Box::new(pin.clone()) })
}

/// The end of what a process writes, read until it closes its side.
fn tail(mut pipe: impl Read) -> String {
    let (mut kept, mut buffer) = (Vec::new(), [0; 8192]);
    while let Ok(count) = pipe.read(&mut buffer) {
        if count == 0 {
            break;
        }
        kept.extend_from_slice(&buffer[..count]);
        kept.drain(..kept.len().saturating_sub(TAIL));
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// The line that says what went wrong: the last error, or the last line. Credentials in
/// addresses are left out.
fn reason(said: &str) -> Option<String> {
    if said.contains("DO NOT MATCH THE HASHES") {
        let got = said.lines().find_map(|line| line.trim().strip_prefix("Got "));
        let got = got.map_or("another one".to_owned(), |got| inert(got.trim()));
        return Some(format!(
            "the package index gave a file with SHA-256 {got}, not the pinned one"
        ));
    }
    let lines = || said.lines().rev().map(str::trim).filter(|line| !line.is_empty());
    let line = lines().find(|line| line.starts_with("ERROR:")).or_else(|| lines().next())?;
    let line = inert(line.trim_start_matches("ERROR:").trim());
    Some(line.split(' ').map(without_credentials).collect::<Vec<_>>().join(" "))
}

/// `scheme://user:password@host` as `scheme://host`.
fn without_credentials(word: &str) -> String {
    let Some((scheme, rest)) = word.split_once("://") else { return word.to_owned() };
    let (host, path) = match rest.find('/') {
        Some(end) => rest.split_at(end),
        None => (rest, ""),
    };
    let host = host.rsplit('@').next().unwrap_or(host);
    format!("{scheme}://{host}{path}")
}

/// The wheel in `folder`; `None` unless there is exactly one.
fn only_wheel(folder: &Path) -> std::io::Result<Option<PathBuf>> {
    let mut wheels = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "whl") {
            wheels.push(path);
        }
    }
    Ok(if wheels.len() == 1 { wheels.pop() } else { None })
}

/// Unpacks the library and its licenses. Where they go is ours to say.
fn unpack(wheel: &Path, pin: &Pin, out: &Path) -> Result<(), WheelError> {
    let mut archive = Archive::open(wheel)?;
    let library = format!("onnxruntime/capi/libonnxruntime.so.{}", pin.version);
    let library = (library.as_str(), LIBRARY_FILE, LARGEST_LIBRARY);
    let texts = TEXTS.iter().map(|(entry, name)| (*entry, *name, LARGEST_TEXT));
    for (entry, name, limit) in std::iter::once(library).chain(texts) {
        let path = out.join(name);
        let failed = |source| WheelError::File { action: "write", path: path.clone(), source };
        let mut file = BufWriter::new(fs::File::create(&path).map_err(failed)?);
        archive.copy(entry, limit, &mut file)?;
        file.flush().map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin(wheel: &[u8]) -> Pin {
        let wheel = Digest::of_bytes(wheel);
        Pin { version: "1.2.3".into(), platform: "manylinux_2_28_x86_64".into(), wheel }
    }

    #[test]
    fn three_files_of_a_wheel_are_unpacked_and_no_other() {
        let path = crate::data::archive_of(
            "wheel",
            &[
                ("onnxruntime/capi/libonnxruntime.so.1.2.3", b"library"),
                ("onnxruntime/LICENSE", b"license"),
                ("onnxruntime/ThirdPartyNotices.txt", b"notices"),
                ("../escaped", b"no"),
                ("onnxruntime/__init__.py", b"import os"),
            ],
        );
        let out = path.with_extension("out");
        fs::create_dir(&out).unwrap();
        unpack(&path, &pin(b""), &out).unwrap();
        let mut names: Vec<_> =
            fs::read_dir(&out).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["LICENSE", "ThirdPartyNotices.txt", LIBRARY_FILE]);
        assert_eq!(fs::read(out.join(LIBRARY_FILE)).unwrap(), b"library");
        let other = Pin { version: "9.9.9".into(), ..pin(b"") };
        let error = unpack(&path, &other, &out).unwrap_err().to_string();
        assert!(
            error.contains("has no entry `onnxruntime/capi/libonnxruntime.so.9.9.9`"),
            "{error}"
        );
        fs::remove_dir_all(out).unwrap();
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn the_reason_is_the_last_error_without_credentials() {
        let said =
            "WARNING: Retrying\nERROR: cannot reach https://me:secret@mirror.example/simple/\n\n";
        assert_eq!(reason(said).unwrap(), "cannot reach https://mirror.example/simple/");
        assert_eq!(reason("a\nlast\n").unwrap(), "last");
        assert_eq!(reason("\n \n"), None);
        let said =
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES\n Expected sha256 aa\n Got        bb\n";
        assert!(reason(said).unwrap().contains("SHA-256 bb"));
    }

    #[test]
    fn what_a_person_is_told_to_run_names_the_pinned_wheel() {
        let command = by_hand(&pin(b"w"));
        for part in ["onnxruntime==1.2.3", "--no-deps", "manylinux_2_28_x86_64", "-d wheels"] {
            assert!(command.contains(part), "{command}");
        }
    }
}
