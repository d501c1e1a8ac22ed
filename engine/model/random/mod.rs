//! Models with true architectures and drawn weights: `random://llama-3.2-1b?seed=7&layers=4`.
//!
//! They have the speed and size of the model they are named after and nothing of its quality, and
//! they need no download. The catalogue holds numbers from public model cards. No tokenizer is
//! written: prompts for such a model are synthetic token ids.

mod catalog;
mod draw;

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::thread;

use serde_json::{Value, json};

pub use self::catalog::names;
use self::catalog::{described, set_layers};
use self::draw::{Chunk, Element, GENERATOR, chunks, draw};
use super::signature::Dim;
use super::{Configuration, ModelError, Writer};
use crate::base::suggest::closest;

/// Key of `config.json` that marks drawn weights.
pub const MARK: &str = "engine_random_weights";
/// Key of GGUF metadata that does the same.
pub const GGUF_MARK: &str = "engine.random_weights";

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
                    scope.spawn(|| draw(self.seed, chunk, dtype, buffer));
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
}

/// Makes the model `name` of the catalogue in the folder `dir`.
pub fn generate(name: &str, seed: u64, dir: &Path) -> Result<(), ModelError> {
    RandomModel::parse(&format!("{PREFIX}{name}?seed={seed}"))?.generate(dir)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Digest;
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
