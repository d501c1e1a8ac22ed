//! A model as hubs lay it out: a folder with `config.json`, safetensors and a tokenizer.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use indexmap::{IndexMap, IndexSet};
use serde_json::Value;

use super::safetensors::{Header, TensorInfo, read_index};
use super::{Configuration, LlamaConfig, ModelError, bounded, fields, shown};

/// A folder whose headers and configuration agree. No weight has been read.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    pub dir: PathBuf,
    /// `eos_token_ids` are those of `generation_config.json` where it names some.
    pub config: Configuration,
    /// Exactly the tensors that the configuration demands, in the order of
    /// [`Configuration::tensors`], each with its file; F32, F16 or BF16.
    pub tensors: IndexMap<String, (PathBuf, TensorInfo)>,
    /// `tokenizer.json`, if the folder has one.
    pub tokenizer: Option<PathBuf>,
    /// Everything that belongs to the identity of the model, configuration first.
    pub files: Vec<PathBuf>,
    /// The weights were drawn, not trained.
    pub random_weights: bool,
}

/// Most bytes of a JSON file beside the weights.
const JSON_LIMIT: u64 = 1 << 20;
const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// Files beside configuration and weights that belong to a checkpoint's identity.
pub const SIDECARS: &[&str] = &[
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "preprocessor_config.json",
    "modules.json",
    "sentence_bert_config.json",
    "1_Pooling/config.json",
];
const CONVERT: &str = "convert the weights to safetensors with the model's own tools, on a machine \
    where running code from these files does no harm";

impl Checkpoint {
    pub fn open(dir: &Path) -> Result<Self, ModelError> {
        let folder = Folder::open(dir)?;
        let config_file = folder.file("config.json")?.ok_or_else(|| folder.without_config())?;
        let json = read_json(&config_file)?;
        let beside = |name: &str| folder.json(name);
        // A configuration that cannot be read is told of before weights that are missing.
        Configuration::from_json(&config_file, &json, &|_| false, &beside)?;
        let mut files = vec![config_file.clone()];

        let weights = folder.weights()?;
        files.extend(weights.iter().cloned());
        let mut stored = IndexMap::new();
        for file in weights.iter().filter(|file| !file.ends_with(INDEX)) {
            for (name, info) in Header::read(file)?.tensors {
                if let Some((other, _)) = stored.insert(name.clone(), (file.clone(), info)) {
                    let other = other.display();
                    let what = format!("holds tensor `{}`, and so does `{other}`", shown(&name));
                    return Err(layout(file, what));
                }
            }
        }
        folder.check_index(&stored)?;
        let named = |name: &str| stored.contains_key(name);
        let mut config = Configuration::from_json(&config_file, &json, &named, &beside)?;
        let tensors = demanded(dir, &config, stored)?;

        for name in SIDECARS {
            files.extend(folder.file(name)?);
        }
        let generation = files.iter().find(|file| file.ends_with("generation_config.json"));
        if let (Some(file), Configuration::Llama(config)) = (generation, &mut config) {
            generation_config(config, file)?;
        }
        let tokenizer = files.iter().find(|file| file.ends_with("tokenizer.json")).cloned();
        let random_weights = json.get(super::random::MARK).is_some();
        Ok(Self { dir: dir.to_owned(), config, tensors, tokenizer, files, random_weights })
    }

    /// Number of weights; a tied output projection counts once.
    pub fn parameters(&self) -> u64 {
        self.config.parameters()
    }

    /// The configuration of a decoder, which `what` takes only.
    pub fn decoder(&self, what: &'static str) -> Result<&LlamaConfig, ModelError> {
        match &self.config {
            Configuration::Llama(config) => Ok(config),
            Configuration::Networks(networks) => Err(ModelError::NoDecoder {
                path: self.dir.clone(),
                family: networks.family.to_owned(),
                what,
            }),
        }
    }

    /// Bytes of weights by storage type, such as `bf16`, in order of first appearance.
    pub fn weight_bytes(&self) -> IndexMap<String, u64> {
        let mut out = IndexMap::new();
        for (_, info) in self.tensors.values() {
            *out.entry(info.dtype.to_ascii_lowercase()).or_default() += info.bytes();
        }
        out
    }

    /// The type of most weights: `f32`, `f16` or `bf16`.
    pub fn dtype(&self) -> &'static str {
        let elements = |dtype: &str| -> u64 {
            let infos = self.tensors.values().map(|(_, info)| info);
            infos
                .filter(|info| info.dtype.eq_ignore_ascii_case(dtype))
                .map(TensorInfo::elements)
                .sum()
        };
        ["f32", "f16", "bf16"].into_iter().max_by_key(|dtype| elements(dtype)).expect("three types")
    }
}

impl Configuration {
    /// The configuration in `folder`, whose weights may lie elsewhere.
    pub fn of_folder(folder: &Path) -> Result<Self, ModelError> {
        let inside = Folder::open(folder)?;
        let file = inside.file("config.json")?.ok_or_else(|| {
            layout(folder, "has no `config.json`, which says how text becomes tokens".to_owned())
        })?;
        let mut config =
            Self::from_json(&file, &read_json(&file)?, &|_| false, &|name| inside.json(name))?;
        if let (Self::Llama(config), Some(file)) =
            (&mut config, inside.file("generation_config.json")?)
        {
            generation_config(config, &file)?;
        }
        Ok(config)
    }
}

impl LlamaConfig {
    /// The configuration of a decoder in `folder`, whose weights may lie elsewhere.
    pub fn of_folder(folder: &Path) -> Result<Self, ModelError> {
        match Configuration::of_folder(folder)? {
            Configuration::Llama(config) => Ok(config),
            Configuration::Networks(networks) => Err(ModelError::NoDecoder {
                path: folder.to_owned(),
                family: networks.family.to_owned(),
                what: "continuing texts",
            }),
        }
    }
}

/// Tokens that end a text, where `generation_config.json` names some.
fn generation_config(config: &mut LlamaConfig, file: &Path) -> Result<(), ModelError> {
    if let Some(value) = read_json(file)?.get("eos_token_id").filter(|v| !v.is_null()) {
        config.eos_token_ids = fields::token_ids(value).ok_or_else(|| ModelError::Config {
            path: file.to_owned(),
            field: "eos_token_id".to_owned(),
            what: "must be a token id or a list of at most 64".to_owned(),
        })?;
    }
    Ok(())
}

/// The tensors that `config` demands out of `stored`, or everything that is wrong with them.
fn demanded(
    dir: &Path,
    config: &Configuration,
    mut stored: IndexMap<String, (PathBuf, TensorInfo)>,
) -> Result<IndexMap<String, (PathBuf, TensorInfo)>, ModelError> {
    let shapes =
        stored.iter().map(|(name, (_, info))| (name.clone(), info.shape.clone())).collect();
    let mut wrong = config.compare(&shapes);
    let mut tensors = IndexMap::with_capacity(stored.len());
    for (name, _) in config.tensors() {
        let Some((file, info)) = stored.swap_remove(&name) else { continue };
        if !matches!(info.dtype.as_str(), "F32" | "F16" | "BF16") {
            wrong.push(format!(
                "`{name}` is stored as {}, supported are F32, F16, BF16",
                info.dtype
            ));
        }
        tensors.insert(name, (file, info));
    }
    if wrong.is_empty() {
        return Ok(tensors);
    }
    Err(ModelError::Tensors { path: dir.to_owned(), wrong })
}

/// A folder that files may be taken from.
pub(crate) struct Folder<'a> {
    dir: &'a Path,
    /// `dir` without links, and the folder that a hub's cache keeps contents in.
    roots: Vec<PathBuf>,
}

impl<'a> Folder<'a> {
    pub fn open(dir: &'a Path) -> Result<Self, ModelError> {
        let real = dir.canonicalize().map_err(ModelError::read(dir))?;
        if !real.is_dir() {
            return Err(layout(dir, "is not a folder"));
        }
        // In a hub's cache, `snapshots/<revision>/model.safetensors` links to `blobs/<digest>`, and
        // so do files in folders further down.
        let snapshots = real.ancestors().skip(1).find(|folder| folder.ends_with("snapshots"));
        let blobs = snapshots.and_then(|s| s.parent()?.join("blobs").canonicalize().ok());
        Ok(Self { dir, roots: std::iter::once(real).chain(blobs).collect() })
    }

    /// The regular file `name`, if it exists. A link may stay in the folder or lead into the
    /// cache's blobs and nowhere else.
    pub fn file(&self, name: &str) -> Result<Option<PathBuf>, ModelError> {
        let path = self.dir.join(name);
        match path.symlink_metadata() {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(ModelError::Read { path, source }),
            Ok(_) => {}
        }
        let real = path.canonicalize().map_err(ModelError::read(&path))?;
        if !self.roots.iter().any(|root| real.starts_with(root)) {
            return Err(layout(&path, "is a link that leaves its folder"));
        }
        if real.is_file() { Ok(Some(path)) } else { Err(layout(&path, "is not a regular file")) }
    }

    /// The content of the JSON file `name`, if it exists.
    fn json(&self, name: &str) -> Result<Option<Value>, ModelError> {
        self.file(name)?.map(|file| read_json(&file)).transpose()
    }

    /// The files of weights, the index of a split checkpoint first.
    fn weights(&self) -> Result<Vec<PathBuf>, ModelError> {
        if let Some(single) = self.file(SINGLE)? {
            return Ok(vec![single]);
        }
        let Some(index) = self.file(INDEX)? else { return Err(self.without_weights()) };
        let shards: IndexSet<String> = read_index(&index)?.into_values().collect();
        let mut files = vec![index];
        for shard in shards {
            let file = self.file(&shard)?;
            let missing =
                || layout(self.dir, format!("lacks `{}`, which its index names", shown(&shard)));
            files.push(file.ok_or_else(missing)?);
        }
        Ok(files)
    }

    /// Every tensor of the index must lie in the shard that the index names.
    fn check_index(
        &self,
        stored: &IndexMap<String, (PathBuf, TensorInfo)>,
    ) -> Result<(), ModelError> {
        if self.file(SINGLE)?.is_some() {
            return Ok(());
        }
        let Some(index) = self.file(INDEX)? else { return Ok(()) };
        for (name, shard) in read_index(&index)? {
            if !stored.get(&name).is_some_and(|(file, _)| file.ends_with(&shard)) {
                let what = format!("names tensor `{}` in `{shard}`, which lacks it", shown(&name));
                return Err(layout(&index, what));
            }
        }
        Ok(())
    }

    /// Names of files directly in the folder; empty when it cannot be listed.
    fn names(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.dir) else { return Vec::new() };
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    fn without_config(&self) -> ModelError {
        let has_gguf = self
            .names()
            .iter()
            .any(|name| Path::new(name).extension().is_some_and(|e| e == "gguf"));
        let advice = has_gguf.then_some("the folder holds a `.gguf` file: name that file instead");
        ModelError::Layout {
            path: self.dir.to_owned(),
            what: "has no `config.json`".to_owned(),
            advice,
        }
    }

    fn without_weights(&self) -> ModelError {
        const PICKLED: &[&str] = &["bin", "pt", "pth", "ckpt", "pkl", "pickle", "joblib"];
        let pickled = self.names().into_iter().find(|name| {
            let name = name.strip_suffix(".index.json").unwrap_or(name);
            name.rsplit_once('.').is_some_and(|(_, suffix)| PICKLED.contains(&suffix))
        });
        let path = self.dir.to_owned();
        match pickled {
            Some(name) => ModelError::Layout {
                path,
                what: format!(
                    "has only pickled weights (`{}`), which run code when loaded",
                    shown(&name)
                ),
                advice: Some(CONVERT),
            },
            None => layout(self.dir, format!("has neither `{SINGLE}` nor `{INDEX}`")),
        }
    }
}

fn layout(path: &Path, what: impl Into<String>) -> ModelError {
    ModelError::Layout { path: path.to_owned(), what: what.into(), advice: None }
}

fn read_json(path: &Path) -> Result<Value, ModelError> {
    let text = bounded::read_text(path, JSON_LIMIT)?;
    serde_json::from_str(&text).map_err(|e| layout(path, format!("is not JSON: {e}")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::model::hostile::folder;
    use crate::model::{RandomModel, Writer};

    fn tiny(name: &str) -> PathBuf {
        let dir = folder(name);
        RandomModel::parse("random://llama-tiny?seed=1").unwrap().generate(&dir).unwrap();
        dir
    }

    /// Moves the first `moved` tensors of the single file into a second one.
    fn split(dir: &Path, moved: usize) {
        let source = Checkpoint::open(dir).unwrap();
        let bytes = std::fs::read(dir.join(SINGLE)).unwrap();
        let mut map = serde_json::Map::new();
        for (i, file) in ["a.safetensors", "b.safetensors"].into_iter().enumerate() {
            let range = if i == 0 { 0..moved } else { moved..source.tensors.len() };
            let part = &source.tensors[range];
            let header: Vec<_> = part
                .iter()
                .map(|(name, (_, info))| (name.clone(), info.dtype.clone(), info.shape.clone()))
                .collect();
            let mut writer = Writer::new(Vec::new(), &header).unwrap();
            for (name, (_, info)) in part {
                writer.append(&bytes[info.start as usize..info.end as usize]).unwrap();
                map.insert(name.clone(), file.into());
            }
            std::fs::write(dir.join(file), writer.finish().unwrap()).unwrap();
        }
        std::fs::remove_file(dir.join(SINGLE)).unwrap();
        let index = serde_json::json!({"metadata": {"total_size": 1}, "weight_map": map});
        std::fs::write(dir.join(INDEX), index.to_string()).unwrap();
    }

    fn refusal(dir: &Path) -> String {
        let text = Checkpoint::open(dir).unwrap_err().to_string();
        std::fs::remove_dir_all(dir).unwrap();
        text
    }

    #[test]
    fn a_split_checkpoint_holds_the_same_tensors_as_the_single_file() {
        let dir = tiny("split");
        let single = Checkpoint::open(&dir).unwrap();
        split(&dir, 7);
        let parts = Checkpoint::open(&dir).unwrap();
        assert_eq!(
            parts.tensors.keys().collect::<Vec<_>>(),
            single.tensors.keys().collect::<Vec<_>>()
        );
        assert_eq!(parts.weight_bytes(), single.weight_bytes());
        assert_eq!(parts.files.len(), single.files.len() + 2);
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn an_index_cannot_name_files_elsewhere() {
        for hostile in
            ["../b.safetensors", "/etc/passwd", "x/b.safetensors", "b.bin", "", "..\\b.safetensors"]
        {
            let dir = tiny("index_elsewhere");
            split(&dir, 3);
            let text = std::fs::read_to_string(dir.join(INDEX)).unwrap();
            let hostile = serde_json::to_string(hostile).unwrap();
            std::fs::write(dir.join(INDEX), text.replace("\"b.safetensors\"", &hostile)).unwrap();
            let told = refusal(&dir);
            assert!(told.contains("not a plain name"), "{told}");
        }
    }

    #[test]
    fn an_index_that_does_not_match_its_shards_is_refused() {
        let swap = |from: &str, to: &str, name: &str| {
            let dir = tiny(name);
            split(&dir, 3);
            let text = std::fs::read_to_string(dir.join(INDEX)).unwrap();
            assert!(text.contains(from));
            std::fs::write(dir.join(INDEX), text.replacen(from, to, 1)).unwrap();
            refusal(&dir)
        };
        assert!(swap("a.safetensors", "b.safetensors", "swap").contains("which lacks it"));
        assert!(swap("b.safetensors", "c.safetensors", "gone").contains("lacks `c.safetensors`"));
        assert!(swap("model.norm.weight", "lm_head.weight", "twice_or_gone").contains("lacks it"));
        let dir = tiny("duplicate");
        split(&dir, 3);
        std::fs::copy(dir.join("a.safetensors"), dir.join("b.safetensors")).unwrap();
        assert!(refusal(&dir).contains("and so does"));
    }

    #[test]
    fn missing_and_misshapen_tensors_are_listed_by_name() {
        let dir = tiny("misshapen");
        let text = std::fs::read_to_string(dir.join("config.json")).unwrap();
        let wider = text.replace("\"intermediate_size\": 128", "\"intermediate_size\": 96");
        assert_ne!(text, wider);
        std::fs::write(dir.join("config.json"), wider).unwrap();
        assert!(Checkpoint::open(&dir).unwrap_err().to_string().contains("expected [96, 64]"));
        let deeper = text.replace("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 4");
        std::fs::write(dir.join("config.json"), deeper).unwrap();
        let told = refusal(&dir);
        assert!(told.contains("`model.layers.2.input_layernorm.weight` is missing"), "{told}");
        assert!(told.contains("and 8 more"), "{told}");
    }

    #[test]
    fn foreign_tensors_are_refused() {
        let dir = tiny("foreign");
        let text = std::fs::read_to_string(dir.join("config.json")).unwrap();
        let fewer = text.replace("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1");
        std::fs::write(dir.join("config.json"), fewer).unwrap();
        assert!(refusal(&dir).contains("is not part of a Llama"));
    }

    #[test]
    fn links_may_stay_in_the_folder_or_lead_into_the_caches_blobs() {
        let root = folder("hub");
        let (blobs, snapshot) = (root.join("m/blobs"), root.join("m/snapshots/0a"));
        std::fs::create_dir_all(&blobs).unwrap();
        std::fs::create_dir_all(&snapshot).unwrap();
        RandomModel::parse("random://llama-tiny").unwrap().generate(&blobs).unwrap();
        symlink("../../blobs/config.json", snapshot.join("config.json")).unwrap();
        symlink("../../blobs/model.safetensors", snapshot.join(SINGLE)).unwrap();
        Checkpoint::open(&snapshot).unwrap();

        let outside = root.join("outside.safetensors");
        std::fs::rename(blobs.join(SINGLE), &outside).unwrap();
        for target in ["../../../outside.safetensors", outside.to_str().unwrap()] {
            std::fs::remove_file(snapshot.join(SINGLE)).unwrap();
            symlink(target, snapshot.join(SINGLE)).unwrap();
            let told = Checkpoint::open(&snapshot).unwrap_err().to_string();
            assert!(told.contains("leaves its folder"), "{told}");
        }
        std::fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_folder_of_pickles_gets_advice() {
        let dir = tiny("pickles");
        std::fs::rename(dir.join(SINGLE), dir.join("pytorch_model.bin")).unwrap();
        let error = Checkpoint::open(&dir).unwrap_err();
        assert!(error.to_string().contains("only pickled weights"), "{error}");
        assert!(error.hint().unwrap().contains("safetensors"));
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn the_generation_configuration_names_the_end_tokens() {
        let dir = tiny("generation");
        std::fs::write(dir.join("generation_config.json"), r#"{"eos_token_id": [7, 9]}"#).unwrap();
        assert_eq!(Checkpoint::open(&dir).unwrap().config.decoder().unwrap().eos_token_ids, [7, 9]);
        std::fs::write(dir.join("generation_config.json"), r#"{"eos_token_id": "x"}"#).unwrap();
        assert!(refusal(&dir).contains("eos_token_id"));
    }
}
