//! A model folder and the folders that it stands on: an adapter names its base model, which may be
//! an adapter too.

use std::path::{Path, PathBuf};

use collimate_data::{DataError, adapter_base};
use collimate_nn::LoadError;

use super::adapter::Adapter;

/// Largest number of nested adapters. A longer chain is taken for a circle.
const MOST: usize = 16;

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

/// Returns `dir`, its base model, and so on.
fn folders(dir: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let mut folders = vec![dir.to_owned()];
    while let Some(last) = folders.last() {
        match adapter_base(last).map_err(unreadable)? {
            None => break,
            Some(_) if folders.len() > MOST => {
                return Err(LoadError::Invalid {
                    path: dir.to_owned(),
                    message: "more than 16 nested adapters, perhaps a circle: correct \
                              base_model_name_or_path"
                        .to_owned(),
                });
            }
            Some(base) => folders.push(base),
        }
    }
    Ok(folders)
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
