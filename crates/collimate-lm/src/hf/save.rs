//! Writing of named weights as safetensors.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use collimate_nn::SaveError;
use safetensors::tensor::{Dtype, TensorView};

use super::weights::{INDEX, SINGLE};

/// Prepares a folder for saving: creates it and removes partial files of a killed save. Refuses a
/// folder with an index, because the index would name other weights than those about to be written.
pub(crate) fn prepare(dir: &Path) -> Result<(), SaveError> {
    let fail = |source| SaveError::Io {
        path: dir.to_owned(),
        source,
    };
    std::fs::create_dir_all(dir).map_err(fail)?;
    collimate_files::remove_unfinished(dir).map_err(|error| fail(error.source))?;
    if dir.join(INDEX).exists() {
        let message = format!(
            "the folder holds {INDEX}, which names other weights: remove index and shards, or \
             save into another folder"
        );
        return Err(SaveError::Serialize {
            path: dir.join(SINGLE),
            message,
        });
    }
    Ok(())
}

/// A tensor that is written besides the model's parameters.
pub(crate) struct ExtraTensor {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

/// Name and layout of a stored parameter.
pub(crate) struct Stored {
    pub(crate) name: String,
    /// If true, the matrix is written transposed.
    pub(crate) transposed: bool,
}

impl From<String> for Stored {
    fn from(name: String) -> Self {
        Self {
            name,
            transposed: false,
        }
    }
}

/// Writes every parameter whose path `rename` maps to a name, and `extra`, as
/// `dir/model.safetensors` in f32, in the order of their names.
pub(crate) fn save_weights<M: Module, S: Into<Stored>>(
    model: &M,
    dir: &Path,
    rename: impl Fn(&str) -> Option<S>,
    extra: Vec<ExtraTensor>,
) -> Result<(), SaveError> {
    struct Collector<F> {
        rename: F,
        path: Vec<String>,
        found: Vec<ExtraTensor>,
    }
    impl<S: Into<Stored>, F: Fn(&str) -> Option<S>> ModuleVisitor for Collector<F> {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.push(name.to_owned());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(stored) = (self.rename)(&self.path.join(".")) {
                let stored = stored.into();
                let tensor = match stored.transposed {
                    true => param.val().swap_dims(0, 1),
                    false => param.val(),
                };
                self.found.push(ExtraTensor {
                    name: stored.name,
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
    // Transformers refuses a file that does not name the framework of its layout.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let file =
        safetensors::serialize(views, Some(metadata)).map_err(|error| fail(error.to_string()))?;
    write_file(path, &file)
}

/// Writes a file through a temporary file beside it, so that it appears complete or not at all.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), SaveError> {
    let fail = |source| SaveError::Io {
        path: path.to_owned(),
        source,
    };
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(fail)?;
    }
    collimate_files::atomic_write(path, bytes).map_err(|error| fail(error.source))
}
