//! Filling parameters from tensors. Names and shapes are compared first, and values are read last.

use std::collections::{HashMap, HashSet};

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, Tensor, TensorData, bf16, f16};
use collimate_nn::{LoadError, WeightType};

use super::weights::Weights;

/// Number of unused tensors that a warning names; further ones are counted.
const TOLD: usize = 4;

/// Fields that hold a table of token embeddings.
const TOKEN_TABLES: [&str; 2] = ["embed_tokens", "word_embeddings"];

/// Tensor of each parameter, by the parameter's path.
#[derive(Debug, Default)]
pub(crate) struct Found {
    names: HashMap<String, String>,
    /// Paths of matrices that the file stores transposed.
    transposed: HashSet<String>,
}

impl Weights {
    /// Finds the tensor of every parameter and compares the shapes. `names` gives the names that a
    /// parameter's tensor may have, the preferred name first. Stops at the first parameter without
    /// a tensor, so a configuration that asks for more than the file holds costs no more than the
    /// file.
    pub(crate) fn find(
        &self,
        parameters: impl IntoIterator<Item = (String, Vec<usize>)>,
        names: impl Fn(&str) -> Vec<String>,
    ) -> Result<Found, LoadError> {
        self.find_stored(parameters, names, |_| false)
    }

    /// Works as [`Self::find`] for a file that stores the matrices of some paths transposed.
    pub(crate) fn find_stored(
        &self,
        parameters: impl IntoIterator<Item = (String, Vec<usize>)>,
        names: impl Fn(&str) -> Vec<String>,
        is_transposed: impl Fn(&str) -> bool,
    ) -> Result<Found, LoadError> {
        let mut found = Found::default();
        for (path, mut expected) in parameters {
            if is_transposed(&path) {
                expected.reverse();
                found.transposed.insert(path.clone());
            }
            let names = names(&path);
            let Some(name) = names.iter().find(|name| self.contains(name)) else {
                return Err(match self.missing(&names[0]) {
                    LoadError::MissingTensor { path, .. } => LoadError::MissingTensor {
                        path,
                        name: names.join(" or "),
                    },
                    stand_in => stand_in,
                });
            };
            if let Some(error) = self.unread(name) {
                return Err(error);
            }
            let (_, entry) = &self.tensors[name];
            if entry.shape != expected {
                return Err(LoadError::Shape {
                    path: self.path.clone(),
                    name: name.clone(),
                    found: entry.shape.clone(),
                    expected,
                });
            }
            found.names.insert(path, name.clone());
        }
        Ok(found)
    }

    /// Refuses tensors that no parameter takes, unless `known` classifies them as buffers or as
    /// [`LeftOut::Told`]. One warning names the latter.
    pub(crate) fn left_out(
        &self,
        found: &[&Found],
        known: impl Fn(&str) -> Option<LeftOut>,
    ) -> Result<(), LoadError> {
        let taken: HashSet<&str> = found
            .iter()
            .flat_map(|found| found.names.values().map(String::as_str))
            .collect();
        let mut told = Vec::new();
        for name in self
            .tensors
            .keys()
            .filter(|name| !taken.contains(name.as_str()))
        {
            match known(name) {
                Some(LeftOut::Buffer) => {}
                Some(LeftOut::Told) => told.push(name.as_str()),
                None => {
                    return Err(LoadError::Invalid {
                        path: self.path.clone(),
                        message: format!(
                            "tensor {name} has no place in the model that config.json describes: \
                             take both files from one checkpoint"
                        ),
                    });
                }
            }
        }
        if !told.is_empty() {
            let more = told.len().saturating_sub(TOLD);
            let more = match more {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            tracing::warn!(
                "{}: tensors that the model does not use and does not save: {}{more}",
                self.path.display(),
                told[..told.len().min(TOLD)].join(", ")
            );
        }
        Ok(())
    }

    /// Fills every parameter of `model` with the tensor found for it, as f32.
    pub(crate) fn fill<M: Module>(&self, model: M, found: &Found) -> Result<M, LoadError> {
        self.fill_as(model, found, WeightType::F32)
    }

    /// Works as [`Self::fill`], and holds the matrices in a number type.
    pub(crate) fn fill_as<M: Module>(
        &self,
        model: M,
        found: &Found,
        held: WeightType,
    ) -> Result<M, LoadError> {
        let mut filler = Filler {
            weights: self,
            found,
            held,
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

/// Reason for which a tensor is left out of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeftOut {
    /// The tensor follows from the configuration.
    Buffer,
    /// The tensor holds learned values; a warning names it.
    Told,
}

struct Filler<'a> {
    weights: &'a Weights,
    found: &'a Found,
    held: WeightType,
    /// Names from the root, each with the type of the module that has the field.
    path: Vec<(String, String)>,
    error: Option<LoadError>,
}

impl Filler<'_> {
    /// Returns the number type of a parameter in memory.
    fn type_of<const D: usize>(&self, name: &str, device: &Device) -> Result<DType, LoadError> {
        let mut fields = self
            .path
            .iter()
            .rev()
            .map(|(name, of)| (name.as_str(), of.as_str()));
        let is_matrix = match (fields.next(), fields.next()) {
            (Some(("weight", "Struct:Linear")), _) => D == 2,
            (Some(("weight", "Struct:Embedding")), Some((field, _))) => {
                D == 2 && TOKEN_TABLES.contains(&field)
            }
            _ => false,
        };
        if !is_matrix {
            return Ok(DType::F32);
        }
        let holds = |dtype| device.supports_dtype(dtype);
        match (self.held, self.weights.stored_type(name)) {
            (WeightType::Stored, Some(dtype)) if holds(dtype) => Ok(dtype),
            (WeightType::Bf16, _) if !holds(DType::BF16) => Err(LoadError::Invalid {
                path: self.weights.path.clone(),
                message: "this device does not hold weights of bf16: hold them as f32".to_owned(),
            }),
            (WeightType::Bf16, _) => Ok(DType::BF16),
            _ => Ok(DType::F32),
        }
    }

    /// Reads a tensor in a number type.
    fn tensor<const D: usize>(
        &self,
        path: &str,
        name: &str,
        dims: [usize; D],
        device: &Device,
    ) -> Result<Tensor<D>, LoadError> {
        let transposed = self.found.transposed.contains(path);
        let dtype = self.type_of::<D>(name, device)?;
        let weights = self.weights;
        let data = match (dtype, transposed) {
            (DType::BF16, false) => TensorData::new(weights.each(name, bf16::from_f32)?, dims),
            (DType::F16, false) => TensorData::new(weights.each(name, f16::from_f32)?, dims),
            (_, false) => TensorData::new(weights.values(name)?, dims),
            (dtype, true) => TensorData::new(weights.transposed(name)?, dims).convert_dtype(dtype),
        };
        Ok(Tensor::from_data(data, (device, dtype)))
    }
}

impl ModuleMapper for Filler<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.push((name.to_owned(), container.to_owned()));
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.error.is_some() {
            return param;
        }
        let names: Vec<&str> = self.path.iter().map(|(name, _)| name.as_str()).collect();
        let path = names.join(".");
        let name = self.found.names.get(&path).unwrap_or(&path);
        param.map(|old| {
            let (dims, device, trains) = (old.dims(), old.device(), old.is_require_grad());
            // Before the values are read, so that no parameter is in memory twice.
            drop(old);
            match self.tensor(&path, name, dims, &device) {
                // A matrix of 16 bits is frozen.
                Ok(values) => {
                    let trains = trains && values.dtype() == DType::F32;
                    values.set_require_grad(trains)
                }
                Err(error) => {
                    self.error = Some(error);
                    Tensor::zeros(dims, &device)
                }
            }
        })
    }
}
