//! Weights by name: safetensors in, safetensors out.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use collimate_nn::{LoadError, SaveError};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::config::JsonConfig;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// The tensors of a folder, converted to f32 when they are read.
pub(crate) struct WeightFile {
    path: PathBuf,
    tensors: HashMap<String, Entry>,
}

struct Entry {
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl WeightFile {
    /// Reads `model.safetensors`, or the shards that its index names.
    pub(crate) fn open(dir: &Path) -> Result<Self, LoadError> {
        if dir.join(INDEX).exists() && !dir.join(SINGLE).exists() {
            let index = JsonConfig::read_file(dir.join(INDEX))?;
            let map: BTreeMap<String, String> = index.require("weight_map")?;
            let mut shards: Vec<&String> = map.values().collect();
            shards.sort();
            shards.dedup();
            let mut tensors = HashMap::new();
            for shard in shards {
                tensors.extend(Self::read(&dir.join(shard))?.tensors);
            }
            return Ok(Self {
                path: index.path,
                tensors,
            });
        }
        Self::read(&dir.join(SINGLE))
    }

    /// Reads one safetensors file.
    pub(crate) fn read(path: &Path) -> Result<Self, LoadError> {
        let bytes = std::fs::read(path).map_err(|source| LoadError::Io {
            path: path.to_owned(),
            source,
        })?;
        let invalid = |message: String| LoadError::Invalid {
            path: path.to_owned(),
            message,
        };
        let file = SafeTensors::deserialize(&bytes).map_err(|error| {
            invalid(format!(
                "not a whole safetensors file ({error}): copy or download it again"
            ))
        })?;
        let mut tensors = HashMap::new();
        for (name, view) in file.tensors() {
            // Index buffers (BERT's position_ids) are integers that no parameter is made of.
            if let Some(values) = to_f32(&view) {
                let shape = view.shape().to_vec();
                tensors.insert(name, Entry { shape, values });
            }
        }
        Ok(Self {
            path: path.to_owned(),
            tensors,
        })
    }

    /// Whether a tensor of this name is there.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Refuses tensors that were not taken, but for those that `known` excuses.
    pub(crate) fn only(&self, known: impl Fn(&str) -> bool) -> Result<(), LoadError> {
        match self.tensors.keys().filter(|name| !known(name)).min() {
            None => Ok(()),
            Some(name) => Err(LoadError::Invalid {
                path: self.path.clone(),
                message: format!(
                    "tensor {name} has no place in the model that config.json describes: \
                     take both files from one checkpoint"
                ),
            }),
        }
    }

    /// Fills every parameter of `model`; `names` gives the tensor names that a parameter's path
    /// may have in the file, the preferred first.
    pub(crate) fn fill<M: Module>(
        &mut self,
        model: M,
        names: impl Fn(&str) -> Vec<String>,
    ) -> Result<M, LoadError> {
        let mut filler = Filler {
            file: self,
            names,
            path: Vec::new(),
            error: None,
        };
        let model = model.map(&mut filler);
        match filler.error {
            Some(error) => Err(error),
            None => Ok(model),
        }
    }
}

fn to_f32(view: &TensorView<'_>) -> Option<Vec<f32>> {
    let bytes = view.data();
    Some(match view.dtype() {
        Dtype::F32 => bytes
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect(),
        Dtype::F64 => bytes
            .chunks_exact(8)
            .map(|b| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32)
            .collect(),
        Dtype::BF16 => bytes
            .chunks_exact(2)
            .map(|b| burn::tensor::bf16::from_le_bytes([b[0], b[1]]).to_f32())
            .collect(),
        Dtype::F16 => bytes
            .chunks_exact(2)
            .map(|b| burn::tensor::f16::from_le_bytes([b[0], b[1]]).to_f32())
            .collect(),
        _ => return None,
    })
}

struct Filler<'a, F> {
    file: &'a mut WeightFile,
    names: F,
    path: Vec<String>,
    error: Option<LoadError>,
}

impl<F: Fn(&str) -> Vec<String>> ModuleMapper for Filler<'_, F> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.error.is_some() {
            return param;
        }
        let names = (self.names)(&self.path.join("."));
        let Some(entry) = names.iter().find_map(|name| self.file.tensors.remove(name)) else {
            self.error = Some(LoadError::MissingTensor {
                path: self.file.path.clone(),
                name: names.join(" or "),
            });
            return param;
        };
        let expected = param.val().dims();
        if entry.shape != expected {
            self.error = Some(LoadError::Shape {
                path: self.file.path.clone(),
                name: names[0].clone(),
                found: entry.shape,
                expected: expected.to_vec(),
            });
            return param;
        }
        param.map(|old| {
            let new = Tensor::from_data(TensorData::new(entry.values, expected), &old.device());
            new.set_require_grad(old.is_require_grad())
        })
    }
}

/// A tensor that is written beside the model's parameters.
pub(crate) struct ExtraTensor {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

/// Writes every parameter whose path `rename` maps to a name, and `extra`, as
/// `dir/model.safetensors` in f32, in the order of their names.
pub(crate) fn save_weights<M: Module>(
    model: &M,
    dir: &Path,
    rename: impl Fn(&str) -> Option<String>,
    extra: Vec<ExtraTensor>,
) -> Result<(), SaveError> {
    struct Collector<F> {
        rename: F,
        path: Vec<String>,
        found: Vec<ExtraTensor>,
    }
    impl<F: Fn(&str) -> Option<String>> ModuleVisitor for Collector<F> {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.push(name.to_owned());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(name) = (self.rename)(&self.path.join(".")) {
                let tensor = param.val();
                self.found.push(ExtraTensor {
                    name,
                    shape: tensor.dims().to_vec(),
                    values: tensor.into_data().iter::<f32>().collect(),
                });
            }
        }
    }
    let mut collector = Collector {
        rename,
        path: Vec::new(),
        found: extra,
    };
    model.visit(&mut collector);
    write_tensors(&dir.join(SINGLE), &collector.found)
}

/// Writes named f32 tensors as one safetensors file.
pub(crate) fn write_tensors(path: &Path, tensors: &[ExtraTensor]) -> Result<(), SaveError> {
    let fail = |message: String| SaveError::Serialize {
        path: path.to_owned(),
        message,
    };
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|t| t.values.iter().flat_map(|v| v.to_le_bytes()).collect())
        .collect();
    let mut views = BTreeMap::new();
    for (tensor, data) in tensors.iter().zip(&bytes) {
        let view = TensorView::new(Dtype::F32, tensor.shape.clone(), data)
            .map_err(|error| fail(error.to_string()))?;
        views.insert(tensor.name.clone(), view);
    }
    // Transformers refuses a file that does not say which framework's layout it has.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let file =
        safetensors::serialize(views, Some(metadata)).map_err(|error| fail(error.to_string()))?;
    write_file(path, &file)
}

/// Writes a file through a temporary neighbour: whole or not at all.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), SaveError> {
    let fail = |source| SaveError::Io {
        path: path.to_owned(),
        source,
    };
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(fail)?;
    }
    collimate_core::atomic_write(path, bytes).map_err(fail)
}
