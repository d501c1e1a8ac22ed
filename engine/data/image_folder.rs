//! A folder of pictures: the folders in it are the labels, or splits with the labels below.
//!
//! `cat/1.png` has label `cat`. With a split named, the same is read below the folder of that name,
//! and the labels are those of all splits, so that their numbers do not depend on the split. A
//! folder with pictures and no folders is a set without labels. Hidden files are not looked at.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::images::{Excluded, ImagesError, Listing, MAX_ITEMS, Row};
use crate::base::text::inert;

/// Endings of pictures, in any case.
const SUFFIXES: &[&str] = &["png", "jpg", "jpeg"];

/// What a folder holds, sorted by name, without what is hidden.
struct Entries {
    folders: Vec<(String, PathBuf)>,
    files: Vec<(String, PathBuf)>,
    /// Names that are not UTF-8, as well as they can be shown.
    unnamed: Vec<String>,
}

pub(super) fn list_folder(root: &Path, split: Option<&str>) -> Result<Listing, ImagesError> {
    let mut listing = Listing::default();
    let top = entries(root)?;
    let (base, prefix, labels) = match split {
        None => {
            let labels = top.folders.iter().map(|(name, _)| name.clone()).collect();
            (top, String::new(), labels)
        }
        Some(split) => {
            let mut labels = BTreeSet::new();
            for (_, folder) in &top.folders {
                labels.extend(entries(folder)?.folders.into_iter().map(|(name, _)| name));
            }
            let Some((_, folder)) = top.folders.iter().find(|(name, _)| name == split) else {
                let found: Vec<String> =
                    top.folders.iter().take(10).map(|(name, _)| format!("`{name}`")).collect();
                let found = if found.is_empty() { "none".into() } else { found.join(", ") };
                let (path, split) = (root.display().to_string(), inert(split));
                return Err(ImagesError::Split { path, split, found });
            };
            (entries(folder)?, format!("{split}/"), labels)
        }
    };
    listing.labels = labels;
    let is_flat = base.folders.is_empty();
    if is_flat {
        add(&mut listing, base, &prefix, None);
    } else {
        // Beside folders of labels, a list or a licence is no item; a picture is one without label.
        let lost = base.files.into_iter().filter(|(name, _)| is_picture(name));
        let why = "lies outside of the folders of labels";
        listing.excluded.extend(
            lost.map(|(name, _)| Excluded { name: format!("{prefix}{name}"), why: why.into() }),
        );
        for (label, folder) in base.folders {
            let inside = entries(&folder)?;
            if let Some((inner, _)) = inside.folders.first() {
                let (path, inner) = (folder.display().to_string(), inert(inner));
                return Err(ImagesError::Nested { path, inner });
            }
            add(&mut listing, inside, &format!("{prefix}{label}/"), Some(&label));
            if listing.rows.len() > MAX_ITEMS {
                return Err(ImagesError::Many { path: root.display().to_string() });
            }
        }
    }
    Ok(listing)
}

/// Adds the files of one folder; what is no picture is named.
fn add(listing: &mut Listing, inside: Entries, prefix: &str, label: Option<&str>) {
    for (name, path) in inside.files {
        let full = format!("{prefix}{name}");
        if is_picture(&name) {
            let label = label.map(str::to_owned);
            listing.rows.push(Row { name: full, path, label, captions: Vec::new() });
        } else {
            let why = "is no .png, .jpg or .jpeg file".to_owned();
            listing.excluded.push(Excluded { name: full, why });
        }
    }
    for name in inside.unnamed {
        let why = "has a name that is not UTF-8".to_owned();
        listing.excluded.push(Excluded { name: format!("{prefix}{name}"), why });
    }
}

fn is_picture(name: &str) -> bool {
    let suffix = name.rsplit_once('.').map(|(_, suffix)| suffix.to_ascii_lowercase());
    suffix.is_some_and(|suffix| SUFFIXES.contains(&suffix.as_str()))
}

fn entries(folder: &Path) -> Result<Entries, ImagesError> {
    let failed = |source| ImagesError::Read { path: folder.display().to_string(), source };
    let mut out = Entries { folders: Vec::new(), files: Vec::new(), unnamed: Vec::new() };
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        let Ok(name) = entry.file_name().into_string() else {
            out.unnamed.push(inert(&entry.file_name().to_string_lossy()));
            continue;
        };
        if name.starts_with('.') {
            continue;
        }
        match path.is_dir() {
            true => out.folders.push((name, path)),
            false => out.files.push((name, path)),
        }
    }
    out.folders.sort();
    out.files.sort();
    out.unnamed.sort();
    Ok(out)
}

/// The parts of a path that stays below its folder, joined by `/`; `None` for any other.
pub(super) fn inner_name(path: &str) -> Option<String> {
    let mut parts = Vec::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(part) => parts.push(part.to_str()?),
            Component::CurDir => {}
            _ => return None,
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::super::images::tests::{names, tree};
    use super::super::images::{ImageColumns, Images, Look};
    use super::super::picture::tests::png;
    use super::*;

    fn list(root: &Path, split: Option<&str>) -> Result<Images, ImagesError> {
        Images::list(root, split, &ImageColumns::default(), Look::Bytes)
    }

    #[test]
    fn folders_are_labels_and_everything_else_is_named() {
        let red = png(2, 2, [255, 0, 0]);
        let root = tree(&[
            ("dog/b.PNG", &red),
            ("cat/a.png", &red),
            ("cat/notes.txt", b"x"),
            ("cat/.hidden.png", b"x"),
            ("bird/.keep", b""),
            ("lost.jpg", &red),
            ("LICENSE", b"x"),
        ]);
        let listed = list(&root, None).unwrap();
        assert_eq!(listed.labels, ["bird", "cat", "dog"]);
        assert_eq!(listed.empty_labels, ["bird"]);
        assert_eq!(names(&listed), ["cat/a.png", "dog/b.PNG"]);
        let labels: Vec<_> = listed.items.iter().map(|item| item.label).collect();
        assert_eq!(labels, [Some(1), Some(2)]);
        let left: Vec<&str> = listed.excluded.iter().map(|out| out.name.as_str()).collect();
        assert_eq!(left, ["lost.jpg", "cat/notes.txt"]);
        assert_eq!(listed.items[0].picture().unwrap().rgb()[..3], [255, 0, 0]);
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_split_keeps_the_numbers_of_the_labels_of_all_splits() {
        let red = png(2, 2, [255, 0, 0]);
        let files =
            [("train/cat/a.png", &*red), ("train/dog/b.png", &red), ("heldout/dog/c.png", &red)];
        let root = tree(&files);
        let held = list(&root, Some("heldout")).unwrap();
        assert_eq!(names(&held), ["heldout/dog/c.png"]);
        assert_eq!((held.labels.len(), held.items[0].label), (2, Some(1)));
        assert_eq!(held.empty_labels, ["cat"]);
        assert_ne!(held.digest, list(&root, Some("train")).unwrap().digest);
        let told = list(&root, Some("test")).unwrap_err().to_string();
        assert!(told.contains("no split `test`; found: `heldout`, `train`"), "{told}");
        assert!(list(&root, Some("..")).is_err() && list(&root, Some("train/cat")).is_err());
        let nested = list(&root, None).unwrap_err();
        assert!(nested.to_string().contains("holds the folder `dog`"), "{nested}");
        assert!(nested.hint().is_some());
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn pictures_without_folders_have_no_label_and_nothing_at_all_is_an_error() {
        let red = png(2, 2, [255, 0, 0]);
        let root = tree(&[("b.png", &red), ("a.jpg", &red), ("c.webp", b"x")]);
        let flat = list(&root, None).unwrap();
        assert_eq!(names(&flat), ["a.jpg", "b.png"]);
        assert!(flat.labels.is_empty() && flat.items.iter().all(|item| item.label.is_none()));
        assert_eq!(flat.excluded[0].name, "c.webp");
        fs::remove_dir_all(root).unwrap();
        let empty = tree(&[]);
        assert!(matches!(list(&empty, None), Err(ImagesError::Empty { .. })));
        fs::create_dir(empty.join("cat")).unwrap();
        assert!(matches!(list(&empty, None), Err(ImagesError::Empty { .. })));
        fs::remove_dir_all(&empty).unwrap();
        assert!(matches!(list(&empty, None), Err(ImagesError::Read { .. })));
    }

    #[test]
    fn only_names_below_the_folder_are_inner() {
        assert_eq!(inner_name("./a/b.png").as_deref(), Some("a/b.png"));
        for outside in ["", ".", "../a.png", "/etc/a.png", "a/../../b.png"] {
            assert_eq!(inner_name(outside), None, "{outside}");
        }
    }
}
