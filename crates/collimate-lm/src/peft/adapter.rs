//! An adapter's tensors, and their way into a model.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use collimate_nn::{Adaptable, Linear, LoadError, Lora};

use super::config::Options;
use super::{CONFIG, PREFIX, TENSORS};
use crate::hf::{JsonConfig, Weights};

const DOWN: &str = ".lora_A.weight";
const UP: &str = ".lora_B.weight";

/// An adapter in a folder of PEFT. Values are read when the adapter is applied.
pub(crate) struct Adapter {
    json: JsonConfig,
    options: Options,
    weights: Weights,
    /// Paths of the layers with an adapter.
    layers: BTreeSet<String>,
    /// Tensors that replace those of the base model: name in the model, and name in the file.
    pub(crate) whole: BTreeMap<String, String>,
}

impl Adapter {
    /// Reads the options and the names of the tensors in a folder.
    pub(super) fn read(dir: &Path) -> Result<Self, LoadError> {
        let json = JsonConfig::read_file(dir.join(CONFIG))?;
        let options = Options::read(&json)?;
        let path = dir.join(TENSORS);
        if !path.exists() && dir.join("adapter_model.bin").exists() {
            return Err(json.unsupported(
                "adapter_model.bin".to_owned(),
                "adapter_model.safetensors: load the adapter with PEFT and save it again",
            ));
        }
        if !path.exists() {
            return Err(LoadError::Invalid {
                path,
                message: "is missing: copy the whole folder of the adapter".to_owned(),
            });
        }
        let weights = Weights::read(&path)?;
        let (mut layers, mut whole) = (BTreeSet::new(), BTreeMap::new());
        let mut ups = BTreeSet::new();
        for name in weights.names() {
            let wrong = |what: &str| LoadError::Invalid {
                path: path.clone(),
                message: format!("tensor {name} {what}"),
            };
            let inner = name.strip_prefix(PREFIX).ok_or_else(|| {
                wrong("has a name that does not begin with base_model.model.: save the adapter with PEFT")
            })?;
            if let Some(layer) = inner.strip_suffix(DOWN) {
                layers.insert(layer.to_owned());
            } else if let Some(layer) = inner.strip_suffix(UP) {
                ups.insert(layer.to_owned());
            } else if inner.contains(".lora_") {
                return Err(wrong(
                    "is not a LoRA matrix of a linear layer: only linear layers are supported",
                ));
            } else {
                let plain = inner.replace(".modules_to_save.", ".");
                whole.insert(plain, name.to_owned());
            }
        }
        if let Some(layer) = layers.symmetric_difference(&ups).next() {
            return Err(LoadError::Invalid {
                path,
                message: format!("{layer} has only one of lora_A and lora_B: copy the file again"),
            });
        }
        Ok(Self {
            json,
            options,
            weights,
            layers,
            whole,
        })
    }

    /// Replaces tensors of the base model by the adapter's whole tensors.
    pub(crate) fn replace(&self, base: &mut Weights) {
        base.overlay(&self.weights, &self.whole);
    }

    /// Folds the adapter into the layers of a model. `names` gives the paths that a layer may have
    /// in the file.
    pub(crate) fn apply<M: Adaptable>(
        &self,
        mut model: M,
        names: impl Fn(&str) -> Vec<String>,
    ) -> Result<M, LoadError> {
        let mut left: BTreeSet<&String> = self.layers.iter().collect();
        for (path, linear) in model.linears_mut() {
            let names = names(&path);
            let here = names.iter().find(|name| self.layers.contains(*name));
            let module = here.unwrap_or(&path);
            let wanted = self.options.lora.of_layer(module);
            match (here, wanted.map_err(|error| self.json.invalid(error))?) {
                (None, None) => {}
                (None, Some(_)) if !self.options.complete => {}
                (None, Some(_)) => {
                    return Err(self.weights.missing(&format!("{PREFIX}{path}{DOWN}")));
                }
                (Some(layer), None) => {
                    return Err(self.json.invalid(format!(
                        "target_modules leaves out {layer}, which has tensors in {TENSORS}: take \
                         both files from one adapter"
                    )));
                }
                (Some(layer), Some((rank, scale))) => {
                    let lora = self.lora(layer, rank, scale, linear)?;
                    linear.lora = Some(lora);
                    *linear = linear.clone().merged();
                    left.remove(layer);
                }
            }
        }
        match left.first() {
            None => Ok(model),
            Some(layer) => Err(LoadError::Invalid {
                path: self.file(),
                message: format!(
                    "the adapter of {layer} has no place in the base model: check \
                     base_model_name_or_path in {CONFIG}"
                ),
            }),
        }
    }

    /// Reads the adapter of one layer.
    fn lora(
        &self,
        layer: &str,
        rank: usize,
        scale: f64,
        linear: &Linear,
    ) -> Result<Lora, LoadError> {
        let [out, input] = linear.weight.dims();
        let device = linear.weight.val().device();
        let read = |name: &str, shape: [usize; 2]| {
            self.matrix(&format!("{PREFIX}{layer}{name}"), shape, &device)
        };
        Ok(Lora {
            a: read(DOWN, [rank, input])?,
            b: read(UP, [out, rank])?,
            scale,
            dropout: 0.0,
        })
    }

    fn matrix(
        &self,
        name: &str,
        shape: [usize; 2],
        device: &Device,
    ) -> Result<Param<Tensor<2>>, LoadError> {
        let found = self.weights.shape(name).unwrap_or_default();
        if found != shape {
            return Err(LoadError::Invalid {
                path: self.file(),
                message: format!(
                    "tensor {name} has shape {found:?}, but r and the base model require {shape:?}: \
                     use {CONFIG}, {TENSORS} and a base model of the same adapter"
                ),
            });
        }
        let values = self.weights.values(name)?;
        let tensor = Tensor::from_data(TensorData::new(values, shape), device);
        Ok(Param::from_tensor(tensor))
    }

    fn file(&self) -> PathBuf {
        self.json.path.with_file_name(TENSORS)
    }
}
