//! Writing of named weights as safetensors.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;

use burn::module::{ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;
use collimate_nn::{Adaptable, Adapters, Linear, SaveError, SaveOptions};

use super::shards::{prepare_weights, write_shards};
use super::tensors::{Written, write_tensors};
use super::weights::SINGLE;

/// Prepares a folder for saving: creates it and removes partial files of a killed save.
pub(crate) fn prepare(dir: &Path) -> Result<(), SaveError> {
    let fail = |source| SaveError::Io {
        path: dir.to_owned(),
        source,
    };
    std::fs::create_dir_all(dir).map_err(fail)?;
    collimate_files::remove_unfinished(dir).map_err(|error| fail(error.source))?;
    Ok(())
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

/// Writes every parameter whose path `rename` maps to a name, and `extra`, in the order of the
/// names, as `model.safetensors` or as shards with an index. Adapters are folded into the weights,
/// one layer at a time.
pub(crate) fn save_weights<M: Adaptable, S: Into<Stored>>(
    model: &M,
    dir: &Path,
    options: &SaveOptions,
    rename: impl Fn(&str) -> Option<S>,
    extra: Vec<Written>,
) -> Result<(), SaveError> {
    prepare(dir)?;
    let mut tensors = collected(model, rename);
    tensors.extend(extra);
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    let shards = prepare_weights(dir, &tensors, options)?;
    match shards {
        None => write_tensors(&dir.join(SINGLE), &tensors, options.dtype),
        Some(shards) => write_shards(dir, &tensors, &shards, options.dtype),
    }
}

/// Returns the parameters of a model under their names in files, with adapters folded in.
pub(crate) fn collected<M: Adaptable, S: Into<Stored>>(
    model: &M,
    rename: impl Fn(&str) -> Option<S>,
) -> Vec<Written> {
    let mut layers = Layers::default();
    // Cloned, because only a model that may change gives out its layers. The tensors are shared.
    for (_, linear) in model.clone().linears_mut() {
        if let Some(lora) = &linear.lora {
            layers.own.extend([lora.a.id, lora.b.id]);
            layers.adapted.insert(linear.weight.id, linear.clone());
        }
    }
    let mut collector = Collector {
        rename,
        layers,
        path: Vec::new(),
        found: Vec::new(),
    };
    model.visit(&mut collector);
    collector.found
}

/// The layers with adapters.
#[derive(Default)]
struct Layers {
    /// Each layer by the parameter of its weight.
    adapted: HashMap<ParamId, Linear>,
    /// The adapters' own parameters, which are not written.
    own: HashSet<ParamId>,
}

struct Collector<F> {
    rename: F,
    layers: Layers,
    path: Vec<String>,
    found: Vec<Written>,
}

impl<S: Into<Stored>, F: Fn(&str) -> Option<S>> ModuleVisitor for Collector<F> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.layers.own.contains(&param.id) {
            return;
        }
        let Some(stored) = (self.rename)(&self.path.join(".")) else {
            return;
        };
        let Stored { name, transposed } = stored.into();
        let turned = move |matrix: Tensor<2>| match transposed {
            true => matrix.swap_dims(0, 1),
            false => matrix,
        };
        self.found
            .push(match self.layers.adapted.remove(&param.id) {
                Some(linear) => {
                    let mut shape = linear.weight.dims().to_vec();
                    if transposed {
                        shape.reverse();
                    }
                    Written::lazy(name, shape, move || turned(linear.folded(Adapters::On).0))
                }
                None => match transposed {
                    true => Written::of(name, param.val().swap_dims(0, 1)),
                    false => Written::of(name, param.val()),
                },
            });
    }
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

/// Returns the error of a file that the system does not write.
pub(super) fn unwritten(path: &Path, source: io::Error) -> SaveError {
    SaveError::Io {
        path: path.to_owned(),
        source,
    }
}
