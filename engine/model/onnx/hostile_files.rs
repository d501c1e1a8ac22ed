//! Graphs whose data files are not what they say, or lie where no graph may look.

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::OnnxModel;
use super::fixture::{outside, raw, refusal, spoilt};
use super::proto::TensorProto;
use crate::model::hostile::folder;

/// A folder with a graph whose initializer `scale` is `tensor`, and `weights.bin` of 64 bytes.
fn beside(tensor: TensorProto) -> (PathBuf, PathBuf) {
    let root = folder("onnx_data");
    let dir = root.join("graph");
    fs::create_dir(&dir).unwrap();
    let path = dir.join("model.onnx");
    fs::write(&path, spoilt(|_, graph| graph.initializer[2] = tensor)).unwrap();
    fs::write(dir.join("weights.bin"), (0_u8..64).collect::<Vec<u8>>()).unwrap();
    (root, path)
}

fn scale(entries: &[(&str, &str)]) -> TensorProto {
    outside("scale", &[4], entries)
}

#[test]
fn data_files_that_do_not_fit_are_refused() {
    let at = |offset: &str, length: &str| {
        scale(&[("location", "weights.bin"), ("offset", offset), ("length", length)])
    };
    let file = |location: &str| scale(&[("location", location)]);
    let cases: Vec<(&str, TensorProto)> = vec![
        ("no entries", scale(&[])),
        ("no location", scale(&[("offset", "0")])),
        ("an empty location", file("")),
        ("only dots", file("./.")),
        ("a missing file", file("gone.bin")),
        ("a missing folder", file("gone/weights.bin")),
        ("a file as folder", file("weights.bin/x")),
        ("the folder above", file("../outside.bin")),
        ("above from within", file("sub/../../outside.bin")),
        ("an absolute path", file("/etc/passwd")),
        ("a path of another system", file("\\\\host\\share")),
        ("a name with NUL", file("weights.bin\0.txt")),
        ("a name with escapes", file("\x1b[2J.bin")),
        ("a name of many bytes", file(&"n".repeat(5000))),
        ("an address in memory", file("*/_ORT_MEM_ADDR_/*")),
        ("a link out of the folder", file("link_out.bin")),
        ("a link to a folder above", file("link_up/outside.bin")),
        ("a link to nothing", file("link_nowhere.bin")),
        ("a link to itself", file("link_self.bin")),
        ("a link to a device", file("link_zero.bin")),
        ("a pipe", file("pipe")),
        ("a folder", file("sub")),
        ("an offset of words", at("here", "16")),
        ("a negative offset", at("-1", "16")),
        ("an offset of 2^64", at("18446744073709551616", "16")),
        ("an offset that overflows", at("18446744073709551615", "16")),
        ("an offset behind the end", at("49", "16")),
        ("a length of words", at("0", "many")),
        ("another length", at("0", "20")),
        ("a length of 2^63", at("0", "9223372036854775808")),
        ("a file too short", outside("scale", &[17], &[("location", "weights.bin")])),
        ("a shape beyond all", outside("scale", &[1 << 60], &[("location", "weights.bin")])),
        ("a negative shape", outside("scale", &[-4], &[("location", "weights.bin")])),
        ("texts", TensorProto { data_type: Some(8), ..scale(&[("location", "weights.bin")]) }),
        (
            "an unknown type",
            TensorProto { data_type: Some(77), ..scale(&[("location", "weights.bin")]) },
        ),
        (
            "elements in both places",
            TensorProto { float_data: vec![1.0; 4], ..scale(&[("location", "weights.bin")]) },
        ),
        (
            "many elements in both places",
            TensorProto {
                raw_data: raw("", &[400]).raw_data,
                ..outside("scale", &[400], &[("location", "weights.bin")])
            },
        ),
    ];
    let told: String = cases
        .into_iter()
        .map(|(name, tensor)| {
            let (root, path) = beside(tensor);
            let dir = path.parent().unwrap();
            fs::create_dir(dir.join("sub")).unwrap();
            fs::write(root.join("outside.bin"), [0; 64]).unwrap();
            symlink("../outside.bin", dir.join("link_out.bin")).unwrap();
            symlink("..", dir.join("link_up")).unwrap();
            symlink("gone", dir.join("link_nowhere.bin")).unwrap();
            symlink("link_self.bin", dir.join("link_self.bin")).unwrap();
            symlink("/dev/zero", dir.join("link_zero.bin")).unwrap();
            let pipe = CString::new(dir.join("pipe").to_str().unwrap()).unwrap();
            // SAFETY: the name ends with NUL and lives until the call returns.
            assert_eq!(unsafe { libc::mkfifo(pipe.as_ptr(), 0o600) }, 0);
            let told = refusal(name, &path);
            fs::remove_dir_all(root).unwrap();
            told
        })
        .collect();
    insta::assert_snapshot!(told);
}

#[test]
fn the_graph_itself_must_be_a_file() {
    let (root, path) = beside(scale(&[("location", "weights.bin")]));
    OnnxModel::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert!(refusal("nothing", &path).contains("cannot read"));
    let pipe = CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: the name ends with NUL and lives until the call returns.
    assert_eq!(unsafe { libc::mkfifo(pipe.as_ptr(), 0o600) }, 0);
    assert!(refusal("a pipe", &path).contains("not a regular file"));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(refusal("a folder", &path).contains("not a regular file"));
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn offset_and_length_may_be_left_out_and_files_may_lie_further_down() {
    let read = |tensor: TensorProto| {
        let (root, path) = beside(tensor);
        let dir = path.parent().unwrap().to_owned();
        fs::create_dir(dir.join("sub")).unwrap();
        symlink("../weights.bin", dir.join("sub/w.bin")).unwrap();
        let model = OnnxModel::read(&path).unwrap();
        let bytes = model.bytes_of("scale").unwrap().unwrap();
        let files: Vec<PathBuf> =
            model.files.iter().map(|file| file.strip_prefix(&dir).unwrap().to_owned()).collect();
        fs::remove_dir_all(root).unwrap();
        assert_eq!(model.weights["scale"].bytes, 16);
        let tensor = &model.graph().initializer[2];
        assert_eq!((tensor.data_location, tensor.external_data.len()), (Some(1), 0));
        (bytes[0], files)
    };
    let graph = Path::new("model.onnx").to_owned();
    let (first, files) = read(scale(&[("location", "./weights.bin"), ("checksum", "00")]));
    assert_eq!((first, files), (0, vec![graph.clone(), "weights.bin".into()]));
    let (first, files) = read(scale(&[("location", "sub//w.bin"), ("offset", "48")]));
    assert_eq!((first, files), (48, vec![graph.clone(), "sub/w.bin".into()]));
    let (first, _) = read(scale(&[("location", "weights.bin"), ("length", "0")]));
    assert_eq!(first, 0);
    let nibbles = TensorProto {
        dims: vec![31],
        data_type: Some(21),
        ..scale(&[("location", "weights.bin"), ("length", "16")])
    };
    assert_eq!(read(nibbles).0, 0);
}

#[test]
fn data_files_may_be_links_into_the_blobs_of_a_hubs_cache() {
    let root = folder("onnx_hub");
    let (blobs, snapshot) = (root.join("m/blobs"), root.join("m/snapshots/0a/onnx"));
    fs::create_dir_all(&blobs).unwrap();
    fs::create_dir_all(&snapshot).unwrap();
    let tensor = scale(&[("location", "model.onnx_data")]);
    fs::write(blobs.join("aa"), spoilt(|_, graph| graph.initializer[2] = tensor)).unwrap();
    fs::write(blobs.join("bb"), [0; 16]).unwrap();
    symlink("../../../blobs/aa", snapshot.join("model.onnx")).unwrap();
    symlink("../../../blobs/bb", snapshot.join("model.onnx_data")).unwrap();
    let model = OnnxModel::read(&snapshot.join("model.onnx")).unwrap();
    assert_eq!(model.files[1], snapshot.join("model.onnx_data"));
    fs::remove_dir_all(root).unwrap();
}
