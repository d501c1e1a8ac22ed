//! Whatever operation fails or is the last one, finished work stays whole.

use std::fs;

use super::*;
use crate::base::files::seam::{Fault as Injected, watch};

#[test]
fn everything_is_on_disk_before_the_record_that_leads_to_it() {
    let dir = Scratch::new();
    let store = Store::open(&dir).unwrap();
    let (stored, trace) = watch(Injected::None, || seal(&store, &recipe(8), "abc").unwrap());
    let object = store.object_path(&stored.digest);
    let record = store.action_path(&recipe(8).key());
    let at = |operation: &str, wanted: &dyn Fn(&Path) -> bool| {
        trace.iter().rposition(|(o, path)| *o == operation && wanted(path)).unwrap()
    };
    let order = [
        at("sync", &|p| p.ends_with("files/weights"))
            .max(at("sync", &|p| p.ends_with("sub/config.json"))),
        at("sync folder", &|p| p.ends_with("files")),
        at("sync", &|p| p.ends_with("manifest.json")),
        at("rename", &|p| p == object),
        at("sync folder", &|p| Some(p) == object.parent()),
        at("sync", &|p| p == record),
        at("rename", &|p| p == record),
        at("sync folder", &|p| Some(p) == record.parent()),
    ];
    assert!(order.is_sorted(), "{order:?} of {trace:?}");
}

#[test]
fn a_death_at_any_operation_leaves_a_store_that_goes_on() {
    let mut at = 0;
    loop {
        let dir = Scratch::new();
        let store = Store::open(&dir).unwrap();
        seal(&store, &recipe(2), "earlier work").unwrap();
        let died = Injected::From { at };
        let (result, trace) = watch(died, || seal(&store, &recipe(8), "abc"));
        let is_through = trace.len() <= at;
        let after = Store::open(&dir).unwrap();
        assert_eq!(after.verify().unwrap(), [], "death at {at}");
        hit(&after, &recipe(2));
        match after.lookup("spec/q", &recipe(8)).unwrap() {
            Lookup::Hit(stored) => {
                assert_eq!(fs::read_to_string(stored.path.join("weights")).unwrap(), "abc");
            }
            Lookup::Miss(reason) => assert!(result.is_err(), "lost at {at}: {reason}"),
        }
        seal(&after, &recipe(8), "abc").unwrap();
        hit(&after, &recipe(8));
        if is_through {
            break;
        }
        at += 1;
    }
    assert!(at > 15, "only {at} operations were seen");
}

#[test]
fn one_failed_operation_names_itself_and_publishes_no_damage() {
    let operations = {
        let dir = Scratch::new();
        let store = Store::open(&dir).unwrap();
        watch(Injected::None, || seal(&store, &recipe(8), "abc").unwrap()).1.len()
    };
    let codes = [libc::ENOSPC, libc::EIO, libc::EACCES, libc::EMFILE, libc::EDQUOT];
    for at in 0..operations {
        for code in codes {
            let dir = Scratch::new();
            let store = Store::open(&dir).unwrap();
            let fault = Injected::Once { at, code };
            let (result, trace) = watch(fault, || seal(&store, &recipe(8), "abc"));
            if let Err(error) = result {
                let (operation, path) = &trace[at];
                let expected = format!("cannot {operation} `{}`", path.display());
                assert_eq!(error.to_string(), expected);
                let full = [libc::ENOSPC, libc::EDQUOT].contains(&code);
                assert_eq!(error.is_full(), full);
                assert_eq!(count(&store.tmp()), 0, "left behind by `{expected}`");
            }
            assert_eq!(store.verify().unwrap(), []);
            seal(&store, &recipe(8), "abc").unwrap();
            hit(&store, &recipe(8));
        }
    }
}
