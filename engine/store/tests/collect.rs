//! What `gc` takes and what it must leave.

use std::fs;
use std::time::{Duration, SystemTime};

use super::*;

fn at_once() -> Policy {
    Policy { grace: Duration::ZERO, ..Policy::default() }
}

fn age_all(store: &Store, by: Duration) {
    for room in ["objects", "actions"] {
        for (_, path) in store.named(room).unwrap() {
            fs::File::open(path).unwrap().set_modified(SystemTime::now() - by).unwrap();
        }
    }
}

#[test]
fn gc_takes_the_unreferenced_and_the_old_but_never_the_fresh_or_the_pinned() {
    let dir = Scratch::new();
    let store = Store::open(&dir).unwrap();
    let old = seal(&store, &recipe(8), "old").unwrap();
    let day = Duration::from_secs(24 * 3600);
    age_all(&store, 3 * day);
    let kept = seal(&store, &recipe(4), "kept").unwrap();
    let orphan = seal(&store, &recipe(2), "orphan").unwrap();
    files::remove_tree(&store.action_path(&recipe(2).key())).unwrap();

    let policy = Policy { max_age: Some(2 * day), ..Policy::default() };
    let told = store.gc(&Policy { dry_run: true, ..policy }).unwrap();
    assert_eq!((told.artifacts.as_slice(), told.actions), (&[old.digest][..], 1));
    assert!(old.path.exists(), "a dry run removed something");

    let run = store.begin_run("live").unwrap();
    hit(&store, &recipe(8));
    age_all(&store, 3 * day);
    let by_other = Store::open(&dir).unwrap();
    let taken = by_other.gc(&policy).unwrap();
    assert!(taken.artifacts.contains(&orphan.digest) && taken.artifacts.contains(&kept.digest));
    assert!(old.path.exists() && !kept.path.exists() && !orphan.path.exists());
    assert_eq!(hit(&store, &recipe(8)), old);
    store.end_run(run).unwrap();

    age_all(&store, 3 * day);
    assert_eq!(store.gc(&policy).unwrap().artifacts, [old.digest]);
    let usage = store.du().unwrap();
    assert!(usage.kinds.is_empty() && usage.temporary == 0, "{usage:?}");
    assert_eq!(store.verify().unwrap(), []);
}

#[test]
fn gc_by_size_takes_what_was_not_used_for_longest() {
    let dir = Scratch::new();
    let store = Store::open(&dir).unwrap();
    let content = "x".repeat(10_000);
    let sealed: Vec<_> =
        (0..3).map(|i| seal(&store, &recipe(i), &format!("{i}{content}")).unwrap()).collect();
    for (hours, i) in [(3, 0), (5, 1), (4, 2)] {
        let then = SystemTime::now() - Duration::from_secs(3600 * hours);
        for path in
            [store.object_path(&sealed[i].digest), store.action_path(&recipe(i as u32).key())]
        {
            fs::File::open(path).unwrap().set_modified(then).unwrap();
        }
    }
    assert_eq!(store.du().unwrap().kinds["checkpoint"].artifacts, 3);
    let taken = store.gc(&Policy { max_bytes: Some(25_000), ..at_once() }).unwrap();
    assert_eq!(taken.artifacts, [sealed[1].digest]);
    hit(&store, &recipe(2));
    let taken = store.gc(&Policy { max_bytes: Some(15_000), ..at_once() }).unwrap();
    assert_eq!(taken.artifacts, [sealed[0].digest]);
    assert!(matches!(miss(&store, &recipe(1)), Reason::RecipeChanged { .. }));
}

#[test]
fn gc_beside_live_writers_takes_nothing_they_use() {
    let dir = Scratch::new();
    let store = Store::open(&dir).unwrap();
    let run = store.begin_run("live").unwrap();
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|i| {
                let store = &store;
                scope.spawn(move || {
                    for round in 0..10 {
                        let recipe = recipe(100 * i + round);
                        let stored = seal(store, &recipe, &format!("{}", round % 3)).unwrap();
                        assert!(stored.path.join("weights").exists());
                        assert_eq!(hit(store, &recipe).digest, stored.digest);
                    }
                })
            })
            .collect();
        let policy = Policy { max_bytes: Some(0), ..at_once() };
        while writers.iter().any(|writer| !writer.is_finished()) {
            Store::open(&dir).unwrap().gc(&policy).unwrap();
        }
    });
    assert_eq!(store.verify().unwrap(), []);
    store.end_run(run).unwrap();
}

#[test]
fn gc_sweeps_what_the_dead_left_and_nothing_of_the_living() {
    let dir = Scratch::new();
    let store = Store::open(&dir).unwrap();
    let stored = seal(&store, &recipe(8), "abc").unwrap();
    let working = store.begin().unwrap();
    let left = store.tmp().join(format!("{}-{}-00", files::place(), u32::MAX));
    files::create_folder(&left.join("files"), 0o700).unwrap();
    let pins = dir.join("runs/dead/pins");
    files::create_folder(&pins, 0o700).unwrap();
    files::mark(&pins.join(stored.digest.hex())).unwrap();

    let all = Policy { max_bytes: Some(0), ..at_once() };
    let told = store.gc(&Policy { dry_run: true, ..all }).unwrap();
    assert!(left.exists() && pins.exists() && stored.path.exists());
    let taken = store.gc(&all).unwrap();
    assert_eq!((&taken, taken.temporary), (&told, 1));
    assert_eq!(taken.artifacts, [stored.digest], "a dead run's pin protects nothing");
    assert!(working.path().exists() && !left.exists() && !pins.exists());
}
