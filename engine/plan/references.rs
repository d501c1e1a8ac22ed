//! Stored runs that gates compare with: found, read and held to what the gates ask of them.

use std::path::{Path, PathBuf};

use super::expand::Builder;
use crate::base::{Digest, chain};
use crate::measure::{Metric, metric};
use crate::record::{Record, Reference};
use crate::spec::{Gate, gated_metric};
use crate::stage::find_file;

/// Folders and files that a pattern may look at.
const MOST_LOOKED_AT: usize = 10_000;

impl Builder<'_> {
    /// The numbers of every stored run that a gate names; problems where there are none.
    pub(super) fn references(&mut self) -> Vec<Reference> {
        let spec = &self.loaded.spec;
        let mut sources: Vec<&str> =
            spec.gates.iter().filter_map(|g| g.against.as_deref()).collect();
        sources.sort_unstable();
        sources.dedup();
        let mut out = Vec::new();
        for source in sources {
            let gates = spec.gates.iter().enumerate();
            let gates: Vec<(usize, &Gate)> =
                gates.filter(|(_, gate)| gate.against.as_deref() == Some(source)).collect();
            let first = format!("/gates/{}/against", gates[0].0);
            let (record, digest) = match self.stored(source) {
                Ok(found) => found,
                Err(Unfound { code, what, note }) => {
                    let problem = self.problem(code, &first, what);
                    problem.notes.extend(note);
                    continue;
                }
            };
            let wanted: Vec<(&str, &str)> = gates
                .iter()
                .map(|(_, gate)| (gate.on.variant.as_str(), gated_metric(gate.metric)))
                .collect();
            let reference = Reference::of(&record, source, digest, &wanted);
            for (index, gate) in gates {
                self.answered(index, gate, &record, &reference);
            }
            out.push(reference);
        }
        out
    }

    /// The run that `source` names, and the digest of its record.
    fn stored(&self, source: &str) -> Result<(Record, Digest), Unfound> {
        let roots = &self.around.roots;
        if source.contains('*') {
            return newest(source, roots);
        }
        let path = find_file(source, roots).map_err(|error| Unfound {
            code: "plan/missing-file",
            what: error.to_string(),
            note: Some(
                "a result folder or its `record.json`; `*` stands for the newest run".into(),
            ),
        })?;
        read(&path).map_err(|what| Unfound { code: "plan/bad-record", what, note: None })
    }

    /// The stored run must have numbers for what the gate judges.
    fn answered(&mut self, index: usize, gate: &Gate, record: &Record, found: &Reference) {
        let (variant, name) = (&gate.on.variant, gated_metric(gate.metric));
        let pointer = format!("/gates/{index}/against");
        let run = &record.run.id;
        if !record.variants.contains_key(variant) {
            let what = format!("run `{run}` has no variant `{variant}`");
            let known: Vec<&str> = record.variants.keys().map(String::as_str).collect();
            let note = format!("its variants: {}", known.join(", "));
            self.problem("plan/bad-reference", &pointer, what).notes.push(note);
            return;
        }
        let timed = metric(name).is_some_and(Metric::is_timed);
        let scores = metric(name).map_or(name, Metric::scores);
        let has = match name {
            "model_size" => found.bytes.contains_key(variant),
            _ if timed => found.cells.iter().any(|cell| cell.variant == *variant),
            _ => found.quality.iter().any(|q| q.variant == *variant && q.metric == scores),
        };
        if !has {
            let what = format!("run `{run}` has not measured `{name}` of `{variant}`");
            self.problem("plan/bad-reference", &pointer, what);
        }
    }
}

struct Unfound {
    code: &'static str,
    what: String,
    note: Option<String>,
}

fn read(path: &Path) -> Result<(Record, Digest), String> {
    let bytes = Record::bytes(path).map_err(|error| chain(&error))?;
    let record = Record::parse(&bytes, path).map_err(|error| chain(&error))?;
    Ok((record, Digest::of_bytes(&bytes)))
}

/// The newest complete run among the paths that fit `pattern`, whose `*` stands for any part of a
/// name. Names of runs begin with their time, so the last name is the newest.
fn newest(pattern: &str, roots: &[PathBuf]) -> Result<(Record, Digest), Unfound> {
    let plain = pattern.strip_prefix("file://").unwrap_or(pattern);
    let found = match Path::new(plain).is_absolute() {
        true => matching(Path::new("/"), plain.trim_start_matches('/')),
        false => roots
            .iter()
            .map(|root| matching(root, plain))
            .find(|f| !f.is_empty())
            .unwrap_or_default(),
    };
    let mut why = None;
    for path in found.iter().rev() {
        match read(path) {
            Ok((record, _)) if record.run.interrupted => {}
            Ok(found) => return Ok(found),
            Err(what) => why = why.or(Some(what)),
        }
    }
    Err(Unfound {
        code: if why.is_some() { "plan/bad-record" } else { "plan/missing-file" },
        what: why.unwrap_or_else(|| format!("no complete run fits `{pattern}`")),
        note: Some(
            "`*` stands for the newest complete run whose folder has a `record.json`".into(),
        ),
    })
}

/// Paths below `root` that fit `pattern` and may be runs, in the order of their names.
fn matching(root: &Path, pattern: &str) -> Vec<PathBuf> {
    let mut paths = vec![root.to_owned()];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        let mut next = Vec::new();
        for folder in &paths {
            if !part.contains('*') {
                next.push(folder.join(part));
                continue;
            }
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
            let mut names: Vec<String> = names.filter(|name| fits(name, part)).collect();
            names.sort_unstable();
            next.extend(names.into_iter().map(|name| folder.join(name)));
            next.truncate(MOST_LOOKED_AT);
        }
        paths = next;
    }
    let is_run = |path: &PathBuf| path.is_file() || path.join("record.json").is_file();
    paths.retain(is_run);
    paths.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
    paths
}

/// Whether `*` in `pattern` can stand for what is left of `name`.
fn fits(name: &str, pattern: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    for piece in pieces {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_part_of_a_name() {
        for (name, pattern, yes) in [
            ("20261125T1", "*", true),
            ("20261125T1", "2026*", true),
            ("20261125T1", "2026*T1", true),
            ("20261125T1", "2026*T", false),
            ("20261125T1", "*11*25*", true),
            ("aba", "ab*ba", false),
            ("abc", "abc", true),
            ("abcd", "abc", false),
        ] {
            assert_eq!(fits(name, pattern), yes, "{name} {pattern}");
        }
    }
}
