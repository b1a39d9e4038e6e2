//! Folders with a PEFT adapter, which name the folder of their base model.

use std::path::{Path, PathBuf};

use collimate_hub::{Hub, RepoKind, RepoName, Wanted};

use super::files::{TOKENIZER, object};
use crate::error::DataError;

const ADAPTER: &str = "adapter_config.json";
const BASE: &str = "base_model_name_or_path";

/// Returns the folder of the base model if `dir` holds a PEFT adapter and no model of its own.
///
/// `base_model_name_or_path` of `adapter_config.json` is a path as seen from the current folder, a
/// path as seen from the folder of the adapter, or the name of a model in the local cache of a hub.
///
/// # Errors
/// [`DataError::Tokenizer`] if `adapter_config.json` cannot be understood, or if there is no folder
/// with that name.
pub fn adapter_base(dir: &Path) -> Result<Option<PathBuf>, DataError> {
    let path = dir.join(ADAPTER);
    let has = |name: &str| dir.join(name).exists();
    let own = has("model.safetensors") || has("model.safetensors.index.json");
    if own || !path.is_file() {
        return Ok(None);
    }
    let wrong = |what: String| DataError::Tokenizer {
        path: path.clone(),
        what,
    };
    let config = object(&path)?;
    let name = config.get(BASE).and_then(|name| name.as_str());
    let name = name.filter(|name| !name.is_empty()).ok_or_else(|| {
        wrong(format!(
            "{BASE} is missing: write the folder of the base model there"
        ))
    })?;
    let found = [PathBuf::from(name), dir.join(name)].into_iter();
    let revision = config.get("revision").and_then(|name| name.as_str());
    let found = found.chain(cached(name, revision));
    match found.into_iter().find(|base| base.exists()) {
        Some(base) if same(&base, dir) => Err(wrong(format!(
            "{BASE} is the adapter's own folder: write the folder of the base model there"
        ))),
        Some(base) => Ok(Some(base)),
        None => Err(wrong(format!(
            "the base model {name} is neither a folder nor in the cache of a hub: fetch it, or \
             write its folder as {BASE}"
        ))),
    }
}

/// Largest number of nested adapters. A longer chain is taken for a circle.
const MOST: usize = 16;

/// Returns `dir`, the folder of its base model if `dir` holds an adapter, and so on. The last folder
/// holds a model of its own.
///
/// # Errors
/// As [`adapter_base`], and for a chain of more than 16 adapters, which may be a circle.
pub fn adapter_chain(dir: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut chain = vec![dir.to_owned()];
    while let Some(base) = chain.last().map_or(Ok(None), |last| adapter_base(last))? {
        if chain.len() > MOST {
            return Err(DataError::Tokenizer {
                path: dir.join(ADAPTER),
                what: format!("more than {MOST} nested adapters, perhaps a circle: correct {BASE}"),
            });
        }
        chain.push(base);
    }
    Ok(chain)
}

/// Returns the folder with the tokenizer of a model: `dir`, or the base model under an adapter
/// without a tokenizer.
pub(super) fn tokenizer_folder(dir: &Path) -> Result<PathBuf, DataError> {
    let has = |dir: &PathBuf| dir.join(TOKENIZER).is_file();
    let dir = dir.to_owned();
    if has(&dir) {
        return Ok(dir);
    }
    let chain = adapter_chain(&dir)?;
    let found = chain.iter().find(|dir| has(dir)).or(chain.last());
    Ok(found.cloned().unwrap_or(dir))
}

/// Returns the folder of a model in the local cache of a hub.
fn cached(name: &str, revision: Option<&str>) -> Option<PathBuf> {
    let mut name = RepoName::parse(RepoKind::Model, name).ok()?;
    if let Some(revision) = revision {
        name = name.at(revision).ok()?;
    }
    let wanted = Wanted::new().require("config.json");
    Hub::from_env().ok()?.cached(&name, &wanted).ok().flatten()
}

fn same(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}
