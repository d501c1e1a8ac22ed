//! Facts about the store as a whole.

mod collect;
mod crash;
mod damage;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::*;
use crate::base::files::seam::Scratch;

fn recipe(bits: u32) -> Recipe {
    let facts = json!({"pass": "quantize", "params": {"bits": bits}});
    Recipe { facts, inputs: Vec::new(), epoch: 1, versions: [("half".into(), "2".into())].into() }
}

fn seal(store: &Store, recipe: &Recipe, content: &str) -> Result<Stored, StoreError> {
    let workspace = store.begin()?;
    fs::write(workspace.path().join("weights"), content).unwrap();
    fs::create_dir(workspace.path().join("sub")).unwrap();
    fs::write(workspace.path().join("sub/config.json"), "{}").unwrap();
    store.seal(workspace, recipe, "spec/q", "checkpoint", json!({"note": 1}))
}

fn hit(store: &Store, recipe: &Recipe) -> Stored {
    match store.lookup("spec/q", recipe).unwrap() {
        Lookup::Hit(stored) => stored,
        Lookup::Miss(reason) => panic!("missed: {reason}"),
    }
}

fn miss(store: &Store, recipe: &Recipe) -> Reason {
    match store.lookup("spec/q", recipe).unwrap() {
        Lookup::Hit(stored) => panic!("hit {stored:?}"),
        Lookup::Miss(reason) => reason,
    }
}

fn count(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

#[test]
fn what_was_sealed_is_found_and_misses_name_their_reason() {
    let dir = Scratch::new();
    let store = Store::open(&dir).unwrap();
    assert_eq!(miss(&store, &recipe(8)), Reason::First);
    let stored = seal(&store, &recipe(8), "abc").unwrap();
    assert_eq!(hit(&store, &recipe(8)), stored);
    assert_eq!((stored.bytes, stored.kind.as_str()), (5, "checkpoint"));
    assert_eq!(fs::read_to_string(stored.path.join("weights")).unwrap(), "abc");
    let mode = fs::metadata(stored.path.join("weights")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o444);
    assert_eq!(count(&store.tmp()), 0);

    let words = miss(&store, &recipe(4)).to_string();
    assert_eq!(words, "`params.bits` changed from 8 to 4");
    let mut with_input = recipe(8);
    with_input.inputs.push(Input { step: "load".into(), digest: stored.digest });
    assert_eq!(miss(&store, &with_input), Reason::InputChanged { step: "load".into() });
    let mut reordered = recipe(8);
    reordered.facts = json!({"params": {"bits": 8}, "pass": "quantize"});
    assert_eq!(hit(&store, &reordered), stored);
    assert_eq!(store.verify().unwrap(), []);

    files::remove_tree(&store.object_path(&stored.digest)).unwrap();
    assert!(matches!(miss(&store, &recipe(8)), Reason::OutputMissing { .. }));
    files::remove_tree(&store.action_path(&recipe(8).key())).unwrap();
    assert!(matches!(miss(&store, &recipe(8)), Reason::OutputMissing { .. }));
}

#[test]
fn observations_are_small_artifacts() {
    let dir = Scratch::new();
    let store = Store::open(&dir).unwrap();
    let workspace = store.begin().unwrap();
    workspace.write_json("judged.json", &json!({"perplexity": 12.25})).unwrap();
    store.seal(workspace, &recipe(8), "spec/q", "observation", json!(null)).unwrap();
    assert_eq!(hit(&store, &recipe(8)).read_json("judged.json").unwrap()["perplexity"], 12.25);
}

#[test]
fn only_plain_files_can_be_sealed() {
    let dir = Scratch::new();
    let store = Store::open(&dir).unwrap();
    let try_seal = |workspace| store.seal(workspace, &recipe(8), "spec/q", "k", json!(null));
    let empty = try_seal(store.begin().unwrap()).unwrap_err();
    assert_eq!(empty.to_string(), "`spec/q` made no files, so there is nothing to store");
    let workspace = store.begin().unwrap();
    std::os::unix::fs::symlink("/etc/passwd", workspace.path().join("link")).unwrap();
    assert!(matches!(try_seal(workspace), Err(StoreError::NotPlain { .. })));
    assert_eq!((count(&store.tmp()), miss(&store, &recipe(8))), (0, Reason::First));
}

#[test]
fn eight_writers_of_the_same_content_all_succeed() {
    let dir = Scratch::new();
    for round in 0..5 {
        let content = format!("round {round}");
        let sealed: Vec<_> = std::thread::scope(|scope| {
            let write = || seal(&Store::open(&dir).unwrap(), &recipe(round), &content).unwrap();
            let writers: Vec<_> = (0..8).map(|_| scope.spawn(write)).collect();
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        assert!(sealed.iter().all(|stored| stored.digest == sealed[0].digest));
    }
    let store = Store::open(&dir).unwrap();
    assert_eq!((store.named("objects").unwrap().len(), count(&store.tmp())), (5, 0));
    assert_eq!(store.verify().unwrap(), []);
}
