//! A model folder and the folders that it stands on: an adapter names its base model, which may be
//! an adapter too.

use std::path::{Path, PathBuf};

use collimate_data::{DataError, adapter_base, adapter_chain};
use collimate_nn::LoadError;

use super::adapter::Adapter;

/// The folder of a model's weights, and the adapters over it, the innermost first.
pub(crate) struct Chain {
    pub(crate) base: PathBuf,
    pub(crate) adapters: Vec<Adapter>,
}

impl Chain {
    /// Follows `dir` to its base models, and reads the options of the adapters.
    pub(crate) fn open(dir: &Path) -> Result<Self, LoadError> {
        let mut folders = folders(dir)?;
        let base = folders.pop().unwrap_or_else(|| dir.to_owned());
        folders.reverse();
        let adapters = folders.iter().map(|dir| Adapter::read(dir));
        Ok(Self {
            base,
            adapters: adapters.collect::<Result<_, _>>()?,
        })
    }
}

/// Returns the folder with the model's own weights: `dir`, or the base model under its adapters.
pub(crate) fn root(dir: &Path) -> Result<PathBuf, LoadError> {
    Ok(folders(dir)?.pop().unwrap_or_else(|| dir.to_owned()))
}

/// Returns the base model under an adapter.
pub(super) fn base_of(dir: &Path) -> Result<Option<PathBuf>, LoadError> {
    adapter_base(dir).map_err(unreadable)
}

fn folders(dir: &Path) -> Result<Vec<PathBuf>, LoadError> {
    adapter_chain(dir).map_err(unreadable)
}

fn unreadable(error: DataError) -> LoadError {
    match error {
        DataError::Tokenizer { path, what } => LoadError::Invalid {
            path,
            message: what,
        },
        DataError::Io { path, source, .. } => LoadError::Io { path, source },
        other => LoadError::Invalid {
            path: PathBuf::new(),
            message: other.to_string(),
        },
    }
}
