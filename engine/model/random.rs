//! Models with true architectures and drawn weights: `random://llama-3.2-1b?seed=7&layers=4`.
//!
//! They have the speed and size of the model they are named after and nothing of its quality, and
//! they need no download. The catalogue holds numbers from public model cards. No tokenizer is
//! written: prompts for such a model are synthetic token ids.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::thread;

use half::{bf16, f16};
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::Rng as _;
use serde_json::{Value, json};

use super::family::{Family, families};
use super::signature::Dim;
use super::{Architecture, Configuration, LlamaConfig, ModelError, RopeScaling, Writer};
use crate::base::Digest;
use crate::base::suggest::closest;

/// Key of `config.json` that marks drawn weights.
pub const MARK: &str = "engine_random_weights";
/// Key of GGUF metadata that does the same.
pub const GGUF_MARK: &str = "engine.random_weights";

/// Name of the recipe below, with its version: the same seed means the same weights under it.
const GENERATOR: &str = "pcg64mcg-sum4/1";
const DEVIATION: f32 = 0.02;
/// Weights drawn from one generator; changing it changes all weights.
const CHUNK: u64 = 1 << 20;

const PREFIX: &str = "random://";

/// An entry of the catalogue with the seed of its weights.
#[derive(Debug, Clone, PartialEq)]
pub struct RandomModel {
    pub name: &'static str,
    pub seed: u64,
    config: Configuration,
    /// Its `config.json`.
    json: Value,
}

/// hidden, inner, layers, heads, key heads, head size, vocabulary, context.
type Sizes = [usize; 8];

struct Entry {
    name: &'static str,
    architecture: Architecture,
    sizes: Sizes,
    eps: f64,
    rope_theta: f64,
    /// Factor of the `llama3` rule, if the model uses it.
    scaling: Option<f64>,
    /// Sliding window, if the model has one.
    window: Option<usize>,
    tied: bool,
    dtype: &'static str,
    /// First token and last token of a text.
    ends: (u32, u32),
}

const CATALOG: &[Entry] = &[
    Entry {
        name: "llama-3.2-1b",
        architecture: Architecture::Llama,
        sizes: [2048, 8192, 16, 32, 8, 64, 128_256, 131_072],
        eps: 1e-5,
        rope_theta: 500_000.0,
        scaling: Some(32.0),
        window: None,
        tied: true,
        dtype: "bfloat16",
        ends: (128_000, 128_001),
    },
    Entry {
        name: "llama-3.2-3b",
        architecture: Architecture::Llama,
        sizes: [3072, 8192, 28, 24, 8, 128, 128_256, 131_072],
        eps: 1e-5,
        rope_theta: 500_000.0,
        scaling: Some(32.0),
        window: None,
        tied: true,
        dtype: "bfloat16",
        ends: (128_000, 128_001),
    },
    Entry {
        name: "llama-3.1-8b",
        architecture: Architecture::Llama,
        sizes: [4096, 14_336, 32, 32, 8, 128, 128_256, 131_072],
        eps: 1e-5,
        rope_theta: 500_000.0,
        scaling: Some(8.0),
        window: None,
        tied: false,
        dtype: "bfloat16",
        ends: (128_000, 128_001),
    },
    Entry {
        name: "tinyllama-1.1b",
        architecture: Architecture::Llama,
        sizes: [2048, 5632, 22, 32, 4, 64, 32_000, 2048],
        eps: 1e-5,
        rope_theta: 10_000.0,
        scaling: None,
        window: None,
        tied: false,
        dtype: "bfloat16",
        ends: (1, 2),
    },
    Entry {
        name: "smollm2-135m",
        architecture: Architecture::Llama,
        sizes: [576, 1536, 30, 9, 3, 64, 49_152, 8192],
        eps: 1e-5,
        rope_theta: 100_000.0,
        scaling: None,
        window: None,
        tied: true,
        dtype: "bfloat16",
        ends: (0, 0),
    },
    Entry {
        name: "qwen2-0.5b",
        architecture: Architecture::Qwen2,
        sizes: [896, 4864, 24, 14, 2, 64, 151_936, 131_072],
        eps: 1e-6,
        rope_theta: 1_000_000.0,
        scaling: None,
        window: None,
        tied: true,
        dtype: "bfloat16",
        ends: (151_643, 151_643),
    },
    // Version 0.3.
    Entry {
        name: "mistral-7b",
        architecture: Architecture::Mistral,
        sizes: [4096, 14_336, 32, 32, 8, 128, 32_768, 32_768],
        eps: 1e-5,
        rope_theta: 1_000_000.0,
        scaling: None,
        window: None,
        tied: false,
        dtype: "bfloat16",
        ends: (1, 2),
    },
    // No published models: small enough for tests.
    Entry {
        name: "llama-tiny",
        architecture: Architecture::Llama,
        sizes: [64, 128, 2, 4, 2, 16, 256, 512],
        eps: 1e-5,
        rope_theta: 10_000.0,
        scaling: None,
        window: None,
        tied: true,
        dtype: "float32",
        ends: (1, 2),
    },
    Entry {
        name: "qwen2-tiny",
        architecture: Architecture::Qwen2,
        sizes: [64, 128, 2, 4, 2, 16, 256, 512],
        eps: 1e-6,
        rope_theta: 1_000_000.0,
        scaling: None,
        window: None,
        tied: true,
        dtype: "float32",
        ends: (1, 2),
    },
    Entry {
        name: "mistral-tiny",
        architecture: Architecture::Mistral,
        sizes: [64, 128, 2, 4, 2, 16, 256, 512],
        eps: 1e-5,
        rope_theta: 10_000.0,
        scaling: None,
        window: Some(128),
        tied: false,
        dtype: "float32",
        ends: (1, 2),
    },
];

impl Entry {
    fn config(&self) -> LlamaConfig {
        let [hidden, inner, layers, heads, key_heads, head_dim, vocab, context] = self.sizes;
        LlamaConfig {
            architecture: self.architecture,
            qkv_bias: self.architecture == Architecture::Qwen2,
            output_bias: false,
            sliding_window: self.window,
            hidden_size: hidden,
            intermediate_size: inner,
            num_hidden_layers: layers,
            num_attention_heads: heads,
            num_key_value_heads: key_heads,
            head_dim,
            vocab_size: vocab,
            max_position_embeddings: context,
            rms_norm_eps: self.eps,
            rope_theta: self.rope_theta,
            rope_scaling: self.scaling.map_or(RopeScaling::None, |factor| RopeScaling::Llama3 {
                factor,
                low_freq_factor: 1.0,
                high_freq_factor: 4.0,
                original_max_position_embeddings: 8192,
            }),
            tie_word_embeddings: self.tied,
            torch_dtype: Some(self.dtype.to_owned()),
            bos_token_id: Some(self.ends.0),
            eos_token_ids: vec![self.ends.1],
        }
    }
}

impl RandomModel {
    /// Whether a model source asks for drawn weights.
    pub fn is(source: &str) -> bool {
        source.starts_with(PREFIX)
    }

    /// Reads `random://NAME?seed=N&layers=K`. The seed is 0 and the layers are the model's own
    /// where they are not given.
    pub fn parse(uri: &str) -> Result<Self, ModelError> {
        let fault = |what: String| ModelError::Random { uri: super::shown(uri), what };
        let rest = uri.strip_prefix(PREFIX).ok_or_else(|| fault(format!("expected `{PREFIX}`")))?;
        let (name, query) = rest.split_once('?').unwrap_or((rest, ""));
        let name = names().find(|known| *known == name).ok_or_else(|| {
            let known = names().collect::<Vec<_>>().join(", ");
            let guess = closest(name, names())
                .map_or_else(String::new, |guess| format!(", did you mean `{guess}`?"));
            fault(format!("`{}` is unknown{guess} (known: {known})", super::shown(name)))
        })?;
        let (mut seed, mut layers) = (None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let slot = match key {
                "seed" => &mut seed,
                "layers" => &mut layers,
                other => {
                    let guess = closest(other, ["seed", "layers"]).unwrap_or("seed` or `layers");
                    let other = super::shown(other);
                    return Err(fault(format!("`{other}` is unknown, did you mean `{guess}`?")));
                }
            };
            let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
            let number = value.parse::<u64>().ok().filter(|_| digits);
            let number = number.ok_or_else(|| {
                fault(format!("`{key}` must be a whole number, found `{}`", super::shown(value)))
            })?;
            if slot.replace(number).is_some() {
                return Err(fault(format!("`{key}` is given twice")));
            }
        }
        let mut json = described(name);
        if let Some(layers) = layers
            && !set_layers(&mut json, layers)
        {
            return Err(fault("`layers` is no number of this model's configuration".to_owned()));
        }
        let path = Path::new(name);
        let config = Configuration::from_json(path, &json, &|_| false, &|_| Ok(None));
        let config = config.map_err(|error| match error {
            ModelError::Config { field, what, .. } if layers.is_some() => {
                let field = if field == "num_hidden_layers" { "layers" } else { &field };
                fault(format!("`{field}` {what}"))
            }
            other => other,
        })?;
        Ok(Self { name, seed: seed.unwrap_or(0), config, json })
    }

    pub fn config(&self) -> &Configuration {
        &self.config
    }

    /// Writes `config.json` and `model.safetensors` into the folder `dir`.
    ///
    /// The bytes depend on name, seed and layers alone, not on the number of threads. Memory
    /// stays at a few MiB per thread whatever the size of the model.
    pub fn generate(&self, dir: &Path) -> Result<(), ModelError> {
        let mut json = self.json.clone();
        json[MARK] = json!({"name": self.name, "seed": self.seed, "generator": GENERATOR});
        let path = dir.join("config.json");
        std::fs::write(&path, format!("{json:#}\n")).map_err(ModelError::write(&path))?;

        if let Some(pictures) = self.preprocessor() {
            let path = dir.join("preprocessor_config.json");
            std::fs::write(&path, format!("{pictures:#}\n")).map_err(ModelError::write(&path))?;
        }
        let path = dir.join("model.safetensors");
        let file = File::create(&path).map_err(ModelError::write(&path))?;
        let out = BufWriter::with_capacity(1 << 20, file);
        let dtype = Element::of(&self.json);
        let tensors = self.config.tensors();
        let header: Vec<_> = tensors
            .iter()
            .map(|(name, shape)| (name.clone(), dtype.name().to_owned(), shape.clone()))
            .collect();
        let mut writer = Writer::new(out, &header)?;
        let chunks: Vec<Chunk<'_>> =
            tensors.iter().flat_map(|(name, shape)| chunks(name, shape)).collect();
        let threads = thread::available_parallelism().map_or(1, usize::from).min(16);
        let mut buffers = vec![Vec::new(); threads];
        for wave in chunks.chunks(threads) {
            thread::scope(|scope| {
                for (chunk, buffer) in wave.iter().zip(&mut buffers) {
                    scope.spawn(|| self.draw(chunk, dtype, buffer));
                }
            });
            for (_, buffer) in wave.iter().zip(&buffers) {
                writer.append(buffer)?;
            }
        }
        writer.finish()?;
        Ok(())
    }

    /// How pictures become inputs, for a model that sees some: scaled to its size, each channel
    /// from -1 to 1.
    fn preprocessor(&self) -> Option<Value> {
        let parts = self.config.networks()?.parts.values();
        let mut ports = parts.flat_map(|network| &network.inputs);
        let pixels = ports.find(|port| port.name == "pixel_values")?;
        let [_, _, Dim::Fixed(height), Dim::Fixed(width)] = pixels.shape[..] else { return None };
        Some(json!({
            "image_processor_type": "ViTImageProcessor",
            "do_resize": true, "size": {"height": height, "width": width}, "resample": 2,
            "do_rescale": true, "rescale_factor": 1.0 / 255.0,
            "do_normalize": true, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
        }))
    }

    fn draw(&self, chunk: &Chunk<'_>, dtype: Element, out: &mut Vec<u8>) {
        out.clear();
        out.resize(chunk.len * dtype.bytes(), 0);
        if chunk.is_norm {
            dtype.fill(out, || 1.0);
        } else {
            let mut draw = Normal::new(&format!("{}/{}/{}", self.seed, chunk.tensor, chunk.index));
            dtype.fill(out, || draw.next());
        }
    }
}

/// Makes the model `name` of the catalogue in the folder `dir`.
pub fn generate(name: &str, seed: u64, dir: &Path) -> Result<(), ModelError> {
    RandomModel::parse(&format!("{PREFIX}{name}?seed={seed}"))?.generate(dir)
}

/// Names in the catalogue, in its order.
pub fn names() -> impl Iterator<Item = &'static str> {
    let networks = families().flat_map(Family::catalog);
    CATALOG.iter().map(|entry| entry.name).chain(networks.map(|(name, _)| name))
}

/// The `config.json` of a name of the catalogue.
fn described(name: &str) -> Value {
    if let Some(entry) = CATALOG.iter().find(|entry| entry.name == name) {
        return entry.config().to_json();
    }
    let mut networks = families().flat_map(Family::catalog);
    networks.find(|(known, _)| *known == name).map_or(Value::Null, |(_, json)| json)
}

/// Gives the model, or each of its towers, this many layers; false where it has no such number.
fn set_layers(json: &mut Value, layers: u64) -> bool {
    let mut found = false;
    for at in
        ["/num_hidden_layers", "/vision_config/num_hidden_layers", "/text_config/num_hidden_layers"]
    {
        if let Some(value) = json.pointer_mut(at) {
            *value = json!(layers);
            found = true;
        }
    }
    found
}

/// A run of neighbouring weights of one tensor.
struct Chunk<'a> {
    tensor: &'a str,
    index: u64,
    len: usize,
    /// Norms and variances are 1: drawn ones would blow the activations up or down layer by layer.
    is_norm: bool,
}

fn chunks<'a>(tensor: &'a str, shape: &[u64]) -> impl Iterator<Item = Chunk<'a>> + use<'a> {
    let elements: u64 = shape.iter().product();
    let drawn = [".bias", ".running_mean", "class_embedding"];
    let is_norm = shape.len() == 1 && !drawn.iter().any(|end| tensor.ends_with(end));
    (0..elements.div_ceil(CHUNK)).map(move |index| Chunk {
        tensor,
        index,
        len: CHUNK.min(elements - index * CHUNK) as usize,
        is_norm,
    })
}

/// Nearly normal values: a sum of four uniform 16-bit numbers, cut out of one draw. The sum ends
/// at 3.46 deviations, which weights of this size do as well.
struct Normal(Pcg64Mcg);

impl Normal {
    fn new(label: &str) -> Self {
        let digest = Digest::of_bytes(label.as_bytes()).hex();
        Self(Pcg64Mcg::new(u128::from_str_radix(&digest[..32], 16).expect("hex digits")))
    }

    #[inline]
    fn next(&mut self) -> f32 {
        /// Deviation of the sum: the square root of 4 (2^32 - 1) / 12.
        const SUM_DEVIATION: f32 = 37_837.227;
        let bits = self.0.next_u64();
        let sum = (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
        (sum as f32 - 131_070.0) * (DEVIATION / SUM_DEVIATION)
    }
}

#[derive(Debug, Clone, Copy)]
enum Element {
    F32,
    F16,
    BF16,
}

impl Element {
    fn of(json: &Value) -> Self {
        match json["torch_dtype"].as_str() {
            Some("bfloat16") => Self::BF16,
            Some("float16") => Self::F16,
            _ => Self::F32,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
        }
    }

    fn bytes(self) -> usize {
        if matches!(self, Self::F32) { 4 } else { 2 }
    }

    fn fill(self, out: &mut [u8], mut next: impl FnMut() -> f32) {
        fn each<const N: usize>(out: &mut [u8], mut bytes: impl FnMut() -> [u8; N]) {
            for word in out.as_chunks_mut().0 {
                *word = bytes();
            }
        }
        match self {
            Self::F32 => each(out, || next().to_le_bytes()),
            Self::F16 => each(out, || f16::from_f32(next()).to_le_bytes()),
            Self::BF16 => each(out, || bf16::from_f32(next()).to_le_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Checkpoint;
    use crate::model::hostile::folder;

    /// Published numbers of parameters, from the models' pages on the hub.
    #[test]
    fn the_catalogue_has_the_sizes_of_the_published_models() {
        let published = [
            ("llama-3.2-1b", 1_235_814_400),
            ("llama-3.2-3b", 3_212_749_824),
            ("llama-3.1-8b", 8_030_261_248),
            ("tinyllama-1.1b", 1_100_048_384),
            ("smollm2-135m", 134_515_008),
            ("qwen2-0.5b", 494_032_768),
            ("mistral-7b", 7_248_023_552),
        ];
        for (name, parameters) in published {
            let model = RandomModel::parse(&format!("random://{name}")).unwrap();
            assert_eq!(model.config().parameters(), parameters, "{name}");
        }
        for name in names() {
            let model = RandomModel::parse(&format!("random://{name}")).unwrap();
            if let Some(decoder) = model.config().decoder() {
                decoder.check().unwrap();
            }
        }
    }

    #[test]
    fn a_seed_means_the_same_weights_every_time() {
        let weights = |uri: &str| {
            let dir = folder("seed");
            RandomModel::parse(uri).unwrap().generate(&dir).unwrap();
            let bytes = std::fs::read(dir.join("model.safetensors")).unwrap();
            std::fs::remove_dir_all(dir).unwrap();
            bytes
        };
        let one = weights("random://llama-tiny?seed=1");
        // The digest is part of the promise: a change of it is a new version of the generator.
        assert_eq!(Digest::of_bytes(&one).short(), "30f9c4b1fe01");
        assert_eq!(one, weights("random://llama-tiny?seed=1"));
        assert_ne!(one, weights("random://llama-tiny?seed=2"));
        assert!(weights("random://llama-tiny?layers=1").len() < one.len());
    }

    #[test]
    fn a_generated_model_opens_and_is_marked() {
        let dir = folder("marked");
        generate("llama-tiny", 3, &dir).unwrap();
        let checkpoint = Checkpoint::open(&dir).unwrap();
        assert!(checkpoint.random_weights);
        assert_eq!(checkpoint.dtype(), "f32");
        assert_eq!(checkpoint.parameters(), 90_432);
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn biases_are_drawn_and_norms_are_not() {
        let dir = folder("biases");
        generate("qwen2-tiny", 3, &dir).unwrap();
        let bytes = std::fs::read(dir.join("model.safetensors")).unwrap();
        let (mut biases, mut norms) = (0, 0);
        for (name, (_, info)) in &Checkpoint::open(&dir).unwrap().tensors {
            let bytes = &bytes[info.start as usize..info.end as usize];
            let (values, _) = bytes.as_chunks::<4>();
            let values: Vec<f32> = values.iter().map(|b| f32::from_le_bytes(*b)).collect();
            if name.contains("_proj.bias") {
                biases += 1;
                assert!(values.iter().all(|value| value.abs() < 0.07), "{name}");
                assert!(values.iter().any(|value| value.abs() > 0.01), "{name}");
            } else if name.contains("norm") {
                norms += 1;
                assert!(values.iter().all(|value| *value == 1.0), "{name}");
            }
        }
        assert_eq!((biases, norms), (6, 5));
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn drawn_values_have_the_mean_and_deviation_of_the_recipe() {
        let mut draw = Normal::new("test");
        let values: Vec<f64> = (0..200_000).map(|_| f64::from(draw.next())).collect();
        let mean = values.iter().sum::<f64>() / 200_000.0;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 200_000.0;
        // Five standard errors of each.
        assert!(mean.abs() < 0.02 * 5.0 / 200_000_f64.sqrt(), "{mean}");
        assert!((variance.sqrt() / 0.02 - 1.0).abs() < 5.0 / 400_000_f64.sqrt(), "{variance}");
        let within = values.iter().filter(|v| v.abs() < 0.02).count() as f64 / 200_000.0;
        assert!((within - 0.683).abs() < 0.02, "{within}");
    }

    #[test]
    fn typos_in_a_source_are_told() {
        let told = |uri: &str| RandomModel::parse(uri).unwrap_err().to_string();
        assert!(told("random://llama-3.2-1c").contains("did you mean `llama-3.2-1b`"));
        assert!(told("random://gpt-17").contains("known: llama-3.2-1b"));
        assert!(told("random://llama-tiny?sed=1").contains("did you mean `seed`"));
        assert!(told("random://llama-tiny?seed=x").contains("whole number"));
        assert!(told("random://llama-tiny?seed=+1").contains("whole number"));
        assert!(told("random://llama-tiny?seed=1&seed=2").contains("twice"));
        assert!(
            told("random://llama-tiny?layers=0").contains("`layers` must be an integer from 1 to")
        );
        assert!(
            told("random://llama-tiny?layers=99999999999")
                .contains("`layers` must be an integer from 1 to")
        );
        assert!(told("hf://x").contains("random://"));
    }
}
