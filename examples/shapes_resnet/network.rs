//! The weights and the forward pass, in training and after it, and the files that Hugging Face's
//! `ResNetForImageClassification` reads.

use std::error::Error;
use std::fs;
use std::path::Path;

use candle_core::{Device, Result, Tensor, Var};
use indexmap::IndexMap;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use safetensors::tensor::{Dtype, TensorView};

use crate::config::{DEVIATION, MEAN, config, preprocessor};
use crate::ops::{BatchNorm, MaxPool, Moments, Unfold};
use crate::pictures::{SEED, SIDE, classes};

/// Channels behind the first convolution, and of each stage of one block.
pub const STEM: usize = 24;
pub const WIDTHS: [usize; 3] = [32, 64, 128];

const NORM_EPS: f32 = 1e-5;
/// Share of a batch in the running statistics, as in PyTorch.
const MOMENTUM: f32 = 0.1;

const EMBEDDER: &str = "resnet.embedder.embedder";
const CLASSIFIER: &str = "classifier.1";

/// Names of all classes, sorted: the order of the scores.
pub fn labels() -> Vec<String> {
    let mut labels = classes();
    labels.sort();
    labels
}

/// A convolution and its norm.
struct Unit {
    at: String,
    inputs: usize,
    outputs: usize,
    side: usize,
}

/// All convolutions with their norms, in the order of the network.
fn units() -> Vec<Unit> {
    let mut units = vec![Unit { at: EMBEDDER.to_owned(), inputs: 3, outputs: STEM, side: 7 }];
    let mut inputs = STEM;
    for (stage, outputs) in WIDTHS.into_iter().enumerate() {
        let at = |part: &str| format!("resnet.encoder.stages.{stage}.layers.0.{part}");
        units.push(Unit { at: at("shortcut"), inputs, outputs, side: 1 });
        units.push(Unit { at: at("layer.0"), inputs, outputs, side: 3 });
        units.push(Unit { at: at("layer.1"), inputs: outputs, outputs, side: 3 });
        inputs = outputs;
    }
    units
}

/// Statistics of a batch by the names of the norms that saw them.
pub type Seen = Vec<(String, Moments)>;

pub struct ResNet {
    weights: IndexMap<String, Var>,
    /// Running statistics of each norm.
    running: IndexMap<String, Moments>,
    /// Batches that the running statistics have seen.
    batches: i64,
}

impl ResNet {
    /// Draws fresh weights that keep the size of what passes a convolution and ReLU (He and
    /// others, 2015).
    pub fn new() -> Result<Self> {
        let mut rng = Pcg64::seed_from_u64(SEED);
        let (mut weights, mut running) = (IndexMap::new(), IndexMap::new());
        let mut add = |name: String, dims: &[usize], values: Vec<f32>| -> Result<()> {
            let var = Var::from_tensor(&Tensor::from_vec(values, dims, &Device::Cpu)?)?;
            weights.insert(name, var);
            Ok(())
        };
        let mut normals = |count: usize, deviation: f64| -> Vec<f32> {
            (0..count).map(|_| (normal(&mut rng) * deviation) as f32).collect()
        };
        for Unit { at, inputs, outputs, side } in units() {
            let fan = inputs * side * side;
            let kernel = normals(outputs * fan, (2.0 / fan as f64).sqrt());
            add(format!("{at}.convolution.weight"), &[outputs, inputs, side, side], kernel)?;
            add(format!("{at}.normalization.weight"), &[outputs], vec![1.0; outputs])?;
            add(format!("{at}.normalization.bias"), &[outputs], vec![0.0; outputs])?;
            let (mean, variance) = (vec![0.0; outputs], vec![1.0; outputs]);
            running.insert(format!("{at}.normalization"), Moments { count: 0.0, mean, variance });
        }
        let (last, count) = (WIDTHS[WIDTHS.len() - 1], labels().len());
        let matrix = normals(count * last, (last as f64).sqrt().recip());
        add(format!("{CLASSIFIER}.weight"), &[count, last], matrix)?;
        add(format!("{CLASSIFIER}.bias"), &[count], vec![0.0; count])?;
        Ok(Self { weights, running, batches: 0 })
    }

    /// Reads what [`ResNet::save`] wrote.
    pub fn open(folder: &Path) -> std::result::Result<Self, Box<dyn Error + Send + Sync>> {
        let path = folder.join("model.safetensors");
        let tensors = candle_core::safetensors::load(path, &Device::Cpu)?;
        let stored =
            |name: &str| tensors.get(name).ok_or_else(|| format!("the weights lack `{name}`"));
        let mut network = Self::new()?;
        for (name, var) in &network.weights {
            var.set(stored(name)?)?;
        }
        for (name, moments) in &mut network.running {
            moments.mean = stored(&format!("{name}.running_mean"))?.to_vec1()?;
            moments.variance = stored(&format!("{name}.running_var"))?.to_vec1()?;
            network.batches = stored(&format!("{name}.num_batches_tracked"))?.to_scalar()?;
        }
        Ok(network)
    }

    pub fn vars(&self) -> Vec<Var> {
        self.weights.values().cloned().collect()
    }

    pub fn parameters(&self) -> usize {
        self.weights.values().map(|var| var.elem_count()).sum()
    }

    fn weight(&self, at: &str, part: &str) -> &Tensor {
        self.weights[&format!("{at}.{part}")].as_tensor()
    }

    /// A score for each class, a row per picture. In training norms use the statistics of the
    /// batch and leave them in `seen`; without it they use the running ones.
    pub fn scores(&self, pictures: &[Vec<u8>], mut seen: Option<&mut Seen>) -> Result<Tensor> {
        let values: Vec<f32> = pictures.iter().flat_map(|picture| normalized(picture)).collect();
        let x = Tensor::from_vec(values, (pictures.len(), SIDE, SIDE, 3), &Device::Cpu)?;
        let x = self.unit(EMBEDDER, &x, [7, 2], true, &mut seen)?;
        let mut x = x.apply_op1(MaxPool)?;
        for stage in 0..WIDTHS.len() {
            let at = |part: &str| format!("resnet.encoder.stages.{stage}.layers.0.{part}");
            let stride = if stage == 0 { 1 } else { 2 };
            let inner = self.unit(&at("layer.0"), &x, [3, stride], true, &mut seen)?;
            let inner = self.unit(&at("layer.1"), &inner, [3, 1], false, &mut seen)?;
            let shortcut = self.unit(&at("shortcut"), &x, [1, stride], false, &mut seen)?;
            x = (inner + shortcut)?.relu()?;
        }
        let pooled = x.flatten(1, 2)?.mean(1)?;
        let scores = pooled.matmul(&self.weight(CLASSIFIER, "weight").t()?)?;
        scores.broadcast_add(self.weight(CLASSIFIER, "bias"))
    }

    fn unit(
        &self,
        at: &str,
        x: &Tensor,
        [side, stride]: [usize; 2],
        rectifies: bool,
        seen: &mut Option<&mut Seen>,
    ) -> Result<Tensor> {
        let (pictures, height, width, _) = x.dims4()?;
        let unfold = Unfold { side, stride };
        let kernel = self.weight(at, "convolution.weight").permute((0, 2, 3, 1))?;
        let kernel = kernel.flatten_from(1)?;
        let x = x.apply_op1(unfold)?.matmul(&kernel.t()?)?;
        let name = format!("{at}.normalization");
        let (w, b) = (self.weight(&name, "weight"), self.weight(&name, "bias"));
        let y = if let Some(seen) = seen {
            seen.push((name, Moments::of(&x)?));
            x.apply_op3(w, b, BatchNorm { eps: NORM_EPS, rectifies })?
        } else {
            let running = &self.running[&name];
            let scale = Tensor::new(running.scales(NORM_EPS), &Device::Cpu)?;
            let mean = Tensor::new(running.mean.as_slice(), &Device::Cpu)?;
            let y = x.broadcast_sub(&mean)?.broadcast_mul(&(scale * w)?)?.broadcast_add(b)?;
            if rectifies { y.relu()? } else { y }
        };
        y.reshape((pictures, unfold.places(height), unfold.places(width), ()))
    }

    /// Moves the running statistics towards those of a batch. The variance is the one that divides
    /// by one less than the number of values, as PyTorch keeps it.
    pub fn remember(&mut self, seen: Seen) {
        for (name, Moments { count, mean, variance }) in seen {
            let running = self.running.get_mut(&name).expect("norms have running statistics");
            let towards = |old: &mut [f32], new: &[f32], factor: f32| {
                for (old, new) in old.iter_mut().zip(new) {
                    *old += MOMENTUM * (new * factor - *old);
                }
            };
            towards(&mut running.mean, &mean, 1.0);
            towards(&mut running.variance, &variance, count / (count - 1.0));
        }
        self.batches += 1;
    }

    /// Writes `model.safetensors` with Hugging Face's names, and the two configuration files.
    pub fn save(&self, folder: &Path) -> std::result::Result<(), Box<dyn Error + Send + Sync>> {
        fs::create_dir_all(folder)?;
        let bytes = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let mut tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
        for (name, var) in &self.weights {
            let values = var.as_tensor().flatten_all()?.to_vec1::<f32>()?;
            tensors.push((name.clone(), Dtype::F32, var.dims().to_vec(), bytes(&values)));
        }
        for (name, Moments { mean, variance, .. }) in &self.running {
            for (part, values) in [("running_mean", mean), ("running_var", variance)] {
                let name = format!("{name}.{part}");
                tensors.push((name, Dtype::F32, vec![values.len()], bytes(values)));
            }
            let count = self.batches.to_le_bytes().to_vec();
            tensors.push((format!("{name}.num_batches_tracked"), Dtype::I64, Vec::new(), count));
        }
        let views = tensors
            .iter()
            .map(|(name, dtype, dims, bytes)| {
                Ok((name, TensorView::new(*dtype, dims.clone(), bytes)?))
            })
            .collect::<std::result::Result<Vec<_>, safetensors::SafeTensorError>>()?;
        let metadata = [("format".to_owned(), "pt".to_owned())].into();
        let file = safetensors::serialize(views, Some(metadata))?;
        fs::write(folder.join("model.safetensors"), file)?;
        for (name, value) in
            [("config.json", config()), ("preprocessor_config.json", preprocessor())]
        {
            fs::write(folder.join(name), format!("{value:#}\n"))?;
        }
        Ok(())
    }
}

fn normalized(picture: &[u8]) -> impl Iterator<Item = f32> {
    picture.iter().enumerate().map(|(at, light)| {
        let (mean, deviation) = (MEAN[at % 3] as f32, DEVIATION[at % 3] as f32);
        (f32::from(*light) / 255.0 - mean) / deviation
    })
}

/// One standard normal number by the Box-Muller transform.
fn normal(rng: &mut Pcg64) -> f64 {
    let mut uniform = || ((rng.next_u64() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    let (u, v) = (uniform(), uniform());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}
