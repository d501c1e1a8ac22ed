//! Writing a graph: weights first, one after the other into a data file, the graph last.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use prost::Message;

use super::proto::{ModelProto, StringStringEntryProto, TensorProto};
use super::{EXTERNAL, GRAPH_FILE, OnnxModel, Stored, element_type, type_code};
use crate::data::ElementType;
use crate::model::ModelError;

/// Name of the file that new weights are written into.
pub const WEIGHTS_FILE: &str = "model.onnx.data";

/// Weights start at multiples of this, so that they can be mapped into memory page by page.
const ALIGNMENT: u64 = 4096;

/// Weights of at most this many bytes stay inside the graph.
const INLINE: usize = 1024;

/// Bytes copied at a time.
const CHUNK: usize = 4 << 20;

/// Writes an artifact's folder: `model.onnx` and, where weights are large, `model.onnx.data`.
pub struct GraphWriter {
    folder: PathBuf,
    data: Option<BufWriter<File>>,
    written: u64,
}

impl GraphWriter {
    /// Begins a graph in the empty folder `folder`.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), data: None, written: 0 }
    }

    /// Adds a weight whose bytes `fill` writes, exactly as many as type and shape demand, and
    /// returns its initializer.
    pub fn weight<E: From<ModelError>>(
        &mut self,
        name: &str,
        dtype: ElementType,
        shape: &[u64],
        fill: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E>,
    ) -> Result<TensorProto, E> {
        let elements: u64 = shape.iter().product();
        let bytes = elements * dtype.bytes() as u64;
        let mut tensor = TensorProto {
            name: Some(name.to_owned()),
            dims: shape.iter().map(|&dim| dim as i64).collect(),
            data_type: Some(type_code(dtype)),
            ..TensorProto::default()
        };
        if bytes as usize <= INLINE {
            let mut raw = Vec::with_capacity(bytes as usize);
            fill(&mut |part: &[u8]| {
                raw.extend_from_slice(part);
                Ok(())
            })?;
            assert_eq!(raw.len() as u64, bytes, "weight `{name}` has another size than its shape");
            tensor.raw_data = Some(raw);
            return Ok(tensor);
        }
        let start = self.begin()?;
        let (mut given, path) = (0, self.folder.join(WEIGHTS_FILE));
        let file = self.data.as_mut().expect("begin() has opened it");
        fill(&mut |part: &[u8]| {
            given += part.len() as u64;
            file.write_all(part).map_err(ModelError::write(&path)).map_err(E::from)
        })?;
        assert_eq!(given, bytes, "weight `{name}` has another size than its shape");
        self.written += bytes;
        tensor.data_location = Some(EXTERNAL);
        tensor.external_data = location(WEIGHTS_FILE, start, bytes);
        Ok(tensor)
    }

    /// Adds the weights of `model` that are still in their files to `proto`, which came from it:
    /// data files of which most is still used are copied whole, which the file system may do
    /// without copying a byte, other weights one by one. Then writes the graph.
    ///
    /// Files are never hard links: readers of ONNX refuse them, because a link may lead to what
    /// its maker could not read.
    pub fn finish_from(
        mut self,
        mut proto: ModelProto,
        model: &OnnxModel,
        progress: &dyn Fn(f64),
    ) -> Result<(), ModelError> {
        let kept = self.copy_files(&proto, model)?;
        let graph = proto.graph.as_mut().expect("a model that was read has a graph");
        let left = |tensor: &TensorProto| {
            tensor.data_location == Some(EXTERNAL) && tensor.external_data.is_empty()
        };
        let total: u64 = graph
            .initializer
            .iter()
            .filter(|tensor| left(tensor))
            .filter_map(|tensor| model.weights.get(tensor.name.as_deref()?))
            .map(|stored| stored.bytes)
            .sum();
        let mut done = 0;
        for tensor in graph.initializer.iter_mut().filter(|tensor| left(tensor)) {
            let name = tensor.name.clone().unwrap_or_default();
            let stored = &model.weights[&name];
            if let Some((_, as_name)) = kept.iter().find(|(file, _)| *file == stored.file) {
                tensor.external_data = location(as_name, stored.offset, stored.bytes);
            } else {
                let start = self.begin()?;
                self.copy(stored)?;
                tensor.external_data = location(WEIGHTS_FILE, start, stored.bytes);
            }
            done += stored.bytes;
            progress(done as f64 / total.max(1) as f64);
        }
        self.finish(&proto)
    }

    /// Writes the graph, whose weights are all inline or were added before.
    pub fn finish(mut self, proto: &ModelProto) -> Result<(), ModelError> {
        if let Some(mut data) = self.data.take() {
            data.flush().map_err(ModelError::write(&self.folder.join(WEIGHTS_FILE)))?;
        }
        let path = self.folder.join(GRAPH_FILE);
        std::fs::write(&path, proto.encode_to_vec()).map_err(ModelError::write(&path))
    }

    /// Copies data files of `model` of which at least nine tenths are still used: the file and its
    /// name here.
    fn copy_files(
        &self,
        proto: &ModelProto,
        model: &OnnxModel,
    ) -> Result<Vec<(PathBuf, String)>, ModelError> {
        let mut used: indexmap::IndexMap<&Path, u64> = indexmap::IndexMap::new();
        let graph = proto.graph.as_ref().expect("a model that was read has a graph");
        for tensor in &graph.initializer {
            let left = tensor.data_location == Some(EXTERNAL) && tensor.external_data.is_empty();
            if left && let Some(stored) = model.weights.get(tensor.name.as_deref().unwrap_or("")) {
                *used.entry(&stored.file).or_default() += stored.bytes;
            }
        }
        let mut kept = Vec::new();
        for (file, used) in used {
            let size = std::fs::metadata(file).map_err(ModelError::read(file))?.len();
            if *file == model.path || (used as f64) < 0.9 * size as f64 {
                continue;
            }
            let name = format!("kept-{}.data", kept.len());
            std::fs::copy(file, self.folder.join(&name)).map_err(ModelError::read(file))?;
            kept.push((file.to_owned(), name));
        }
        Ok(kept)
    }

    /// Opens the data file if need be, pads it and gives the place where the next weight starts.
    fn begin(&mut self) -> Result<u64, ModelError> {
        let path = self.folder.join(WEIGHTS_FILE);
        let file = if let Some(file) = &mut self.data {
            file
        } else {
            let file = File::create(&path).map_err(ModelError::write(&path))?;
            self.data.insert(BufWriter::with_capacity(1 << 20, file))
        };
        let padding = self.written.next_multiple_of(ALIGNMENT) - self.written;
        file.write_all(&vec![0; padding as usize]).map_err(ModelError::write(&path))?;
        self.written += padding;
        Ok(self.written)
    }

    fn copy(&mut self, stored: &Stored) -> Result<(), ModelError> {
        let file = File::open(&stored.file).map_err(ModelError::read(&stored.file))?;
        let path = self.folder.join(WEIGHTS_FILE);
        let out = self.data.as_mut().expect("begin() has opened it");
        let mut buffer = vec![0; CHUNK.min(stored.bytes as usize)];
        let mut done = 0;
        while done < stored.bytes {
            let part = (stored.bytes - done).min(CHUNK as u64) as usize;
            file.read_exact_at(&mut buffer[..part], stored.offset + done)
                .map_err(ModelError::read(&stored.file))?;
            out.write_all(&buffer[..part]).map_err(ModelError::write(&path))?;
            done += part as u64;
        }
        self.written += stored.bytes;
        Ok(())
    }
}

impl OnnxModel {
    /// The bytes of an initializer of the main graph, little-endian and row by row; `None` when
    /// there is no such initializer or its elements are not numbers.
    pub fn bytes_of(&self, name: &str) -> Result<Option<Vec<u8>>, ModelError> {
        if let Some(stored) = self.weights.get(name) {
            let file = File::open(&stored.file).map_err(ModelError::read(&stored.file))?;
            let mut bytes = vec![0; stored.bytes as usize];
            file.read_exact_at(&mut bytes, stored.offset)
                .map_err(ModelError::read(&stored.file))?;
            return Ok(Some(bytes));
        }
        let tensor = self.graph().initializer.iter().find(|t| t.name.as_deref() == Some(name));
        Ok(tensor.and_then(inline_bytes))
    }
}

/// The bytes of a tensor of numbers that is stored inside the graph.
pub fn inline_bytes(tensor: &TensorProto) -> Option<Vec<u8>> {
    if let Some(raw) = &tensor.raw_data {
        return Some(raw.clone());
    }
    let narrow = |bytes: usize| {
        tensor
            .int32_data
            .iter()
            .flat_map(move |v| v.to_le_bytes().into_iter().take(bytes))
            .collect()
    };
    Some(match element_type(tensor.data_type?)? {
        ElementType::F32 => tensor.float_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ElementType::F64 => tensor.double_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ElementType::I64 => tensor.int64_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ElementType::U64 => tensor.uint64_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ElementType::U32 => {
            tensor.uint64_data.iter().flat_map(|&v| (v as u32).to_le_bytes()).collect()
        }
        ElementType::I32 => narrow(4),
        ElementType::I16 | ElementType::U16 | ElementType::F16 | ElementType::Bf16 => narrow(2),
        ElementType::I8 | ElementType::U8 | ElementType::Bool => narrow(1),
        ElementType::String => return None,
    })
}

fn location(file: &str, offset: u64, bytes: u64) -> Vec<StringStringEntryProto> {
    let entry = |key: &str, value: String| StringStringEntryProto {
        key: Some(key.to_owned()),
        value: Some(value),
    };
    vec![
        entry("location", file.to_owned()),
        entry("offset", offset.to_string()),
        entry("length", bytes.to_string()),
    ]
}
