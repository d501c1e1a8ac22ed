//! Damage of any kind is noticed, set aside and made good.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use super::*;

/// Every way to spoil a file: flip, cut, empty, zero, replace, delete.
fn spoil(path: &Path, way: usize) {
    let mut bytes = fs::read(path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    let middle = bytes.len() / 2;
    match way {
        0 => bytes[middle] ^= 1,
        1 => bytes.truncate(middle),
        2 => bytes.clear(),
        3 => bytes.fill(0),
        4 => {
            fs::remove_file(path).unwrap();
            bytes.reverse();
            bytes[0] = b'x';
        }
        _ => return fs::remove_file(path).unwrap(),
    }
    fs::write(path, bytes).unwrap();
}

#[test]
fn every_damage_to_every_file_is_noticed_quarantined_and_rebuilt() {
    for way in 0..6 {
        for name in ["files/weights", "files/sub/config.json", "manifest.json", "", "record"] {
            let dir = Scratch::new();
            let store = Store::open(&dir).unwrap();
            let stored = seal(&store, &recipe(8), "a longer content").unwrap();
            hit(&store, &recipe(8));
            let object = store.object_path(&stored.digest);
            match name {
                "" => fs::write(object.join(format!("files/extra{way}")), "x").unwrap(),
                "record" => spoil(&store.action_path(&recipe(8).key()), way),
                name => spoil(&object.join(name), way),
            }
            let faults = store.verify().unwrap().len();
            let deleted_record = (name, way) == ("record", 5);
            assert_eq!(faults, usize::from(!deleted_record), "{name} {way}");
            let reason = miss(&store, &recipe(8));
            assert_eq!(matches!(reason, Reason::Corrupt { .. }), !deleted_record, "{reason}");
            let kept = if deleted_record { 0 } else { 2 };
            assert_eq!(count(&dir.join("quarantine")), kept, "{name} {way}");
            assert_eq!(seal(&store, &recipe(8), "a longer content").unwrap().path, stored.path);
            hit(&store, &recipe(8));
            assert_eq!(store.verify().unwrap(), []);
        }
    }
}

#[test]
fn sealing_over_a_damaged_artifact_replaces_it() {
    let dir = Scratch::new();
    let store = Store::open(&dir).unwrap();
    let stored = seal(&store, &recipe(8), "content").unwrap();
    spoil(&stored.path.join("weights"), 0);
    seal(&store, &recipe(4), "content").unwrap();
    assert_eq!(fs::read_to_string(stored.path.join("weights")).unwrap(), "content");
    assert_eq!(count(&dir.join("quarantine")), 2);
}

#[test]
fn the_policy_decides_how_closely_a_file_is_looked_at() {
    let dir = Scratch::new();
    let store = Store::open(&dir).unwrap();
    let stored = seal(&store, &recipe(8), "content").unwrap();
    spoil(&stored.path.join("weights"), 0);
    let unchecked = Store::open(&dir).unwrap().verifying(Verify::Never);
    hit(&unchecked, &recipe(8));
    assert!(matches!(store.peek("spec/q", &recipe(8)).unwrap(), Lookup::Hit(_)), "sizes only");
    spoil(&stored.path.join("weights"), 1);
    let peeked = store.peek("spec/q", &recipe(8)).unwrap();
    assert!(matches!(peeked, Lookup::Miss(Reason::Corrupt { .. })));
    assert_eq!(count(&dir.join("quarantine")), 0, "peek changed something");
    let always = Store::open(&dir).unwrap().verifying(Verify::Always);
    assert!(matches!(miss(&always, &recipe(8)), Reason::Corrupt { .. }));
}

#[test]
fn clocks_and_times_of_files_decide_nothing() {
    let dir = Scratch::new();
    let store = Store::open(&dir).unwrap();
    let stored = seal(&store, &recipe(8), "abc").unwrap();
    for then in [SystemTime::UNIX_EPOCH, SystemTime::now() + Duration::from_secs(86_400)] {
        fs::File::open(stored.path.join("weights")).unwrap().set_modified(then).unwrap();
        assert_eq!(hit(&store, &recipe(8)), stored);
    }
    let path = stored.path.join("weights");
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    spoil(&path, 0);
    fs::File::open(&path).unwrap().set_modified(before).unwrap();
    assert!(matches!(miss(&store, &recipe(8)), Reason::Corrupt { .. }), "hidden by its mtime");
}
