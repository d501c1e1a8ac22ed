//! Facts about publishing, with faults where they matter.

use std::error::Error as _;

use super::seam::{Fault, Scratch, watch};
use super::*;

fn count(dir: &Path) -> usize {
    fs::read_dir(dir).unwrap().count()
}

#[test]
fn a_taken_name_is_never_replaced() {
    let dir = Scratch::new();
    let target = dir.join("a");
    let publish =
        |text: &'static str| publish_file(&dir, &target, |f| f.write_all(text.as_bytes())).unwrap();
    assert_eq!(publish("one"), Published::New);
    assert_eq!(publish("two"), Published::Existed);
    assert_eq!(fs::read_to_string(&target).unwrap(), "one");
    assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o444);
    assert_eq!(count(&dir), 1, "temporary files stay behind");
}

#[test]
fn a_full_folder_is_never_replaced() {
    let dir = Scratch::new();
    for name in ["one", "two"] {
        create_folder(&dir.join(name), 0o700).unwrap();
        mark(&dir.join(name).join(name)).unwrap();
        freeze(&dir.join(name)).unwrap();
    }
    let target = dir.join("target");
    assert_eq!(publish_folder(&dir.join("one"), &target).unwrap(), Published::New);
    assert_eq!(publish_folder(&dir.join("two"), &target).unwrap(), Published::Existed);
    assert!(target.join("one").exists() && dir.join("two").exists());
    assert!(fs::rename(dir.join("two"), &target).is_err_and(|e| rename::is_taken(&e)), "fall-back");
}

#[test]
fn a_file_is_synced_before_its_name_appears_and_its_folder_after() {
    let dir = Scratch::new();
    let (done, trace) = watch(Fault::None, || {
        publish_file(&dir, &dir.join("a"), |f| f.write_all(b"x")).map(drop)?;
        replace_file(&dir.join("b"), b"x")
    });
    done.unwrap();
    let operations: Vec<_> = trace.iter().map(|(operation, _)| *operation).collect();
    let publish = ["create", "write", "make read-only", "sync", "rename", "sync folder"];
    assert_eq!(operations[..6], publish);
    assert_eq!(operations[6..], ["create", "write", "sync", "rename", "sync folder"]);
}

#[test]
fn a_failed_write_names_operation_and_path_and_leaves_nothing() {
    let dir = Scratch::new();
    let target = dir.join("a");
    for at in 0..5 {
        let full = Fault::Once { at, code: libc::ENOSPC };
        let (failed, _) = watch(full, || publish_file(&dir, &target, |_| Ok(())));
        let error = failed.unwrap_err();
        assert!(error.is_full() && error.source().is_some(), "{error}");
        assert_eq!(count(&dir), 0, "after failing at {}", error.operation);
    }
    let error = publish_file(&dir, &dir.join("x/y"), |_| Ok(())).unwrap_err();
    assert!(error.to_string().starts_with("cannot rename `"), "{error}");
    assert!(error.to_string().ends_with("x/y`"), "{error}");
}

#[test]
fn an_unfinished_line_is_ended_before_the_next_one() {
    let dir = Scratch::new();
    let path = dir.join("log");
    append_line(&path, b"one").unwrap();
    OpenOptions::new().append(true).open(&path).unwrap().write_all(b"tor").unwrap();
    append_line(&path, b"two").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntor\ntwo\n");
    assert!(append_line(&path, b"a\nb").is_err());
}

#[test]
fn long_files_are_refused_and_missing_ones_need_no_removing() {
    let dir = Scratch::new();
    let path = dir.join("a");
    replace_file(&path, b"12345").unwrap();
    assert_eq!(read_bounded(&path, 5).unwrap(), b"12345");
    assert!(read_bounded(&path, 4).is_err());
    remove_tree(&path).unwrap();
    remove_tree(&path).unwrap();
    assert!(read_bounded(&path, 4).is_err_and(|e| e.is_not_found()));
}
