//! Weights in several files of a given size, with an index.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use collimate_nn::{SaveError, SaveOptions, StoredType};
use serde_json::json;

use super::json::{JsonConfig, write_json};
use super::save::unwritten;
use super::tensors::{Written, write_tensors};
use super::weights::{INDEX, SINGLE, shards_of};

/// Decides on the files of a model and removes an earlier index. Returns the tensors of each shard,
/// or `None` if one file holds all tensors.
///
/// A folder with weights in the other form is refused, because a reader could take those weights.
/// Without its index, a half-written set of shards does not open.
pub(super) fn prepare_weights(
    dir: &Path,
    tensors: &[Written],
    options: &SaveOptions,
) -> Result<Option<Vec<Range<usize>>>, SaveError> {
    let (single, index) = (dir.join(SINGLE), dir.join(INDEX));
    let refuse = |found: &str, what: &str| {
        Err(SaveError::Serialize {
            path: single.clone(),
            message: format!(
                "the folder holds {found}, which {what}: remove it, or save into another folder"
            ),
        })
    };
    if dir.join("adapter_config.json").exists() {
        return refuse("adapter_config.json", "belongs to an adapter");
    }
    let shards = match options.shard_bytes {
        None => Vec::new(),
        Some(most) => split(tensors, most, options.dtype),
    };
    if shards.len() < 2 {
        return match index.exists() {
            true => refuse(INDEX, "names other weights"),
            false => Ok(None),
        };
    }
    if single.exists() {
        return refuse(SINGLE, "would be read instead of the shards");
    }
    if index.exists() {
        remove(dir)?;
    }
    remove_orphans(dir)?;
    Ok(Some(shards))
}

/// Removes shards of an earlier save that was killed. No index names them.
fn remove_orphans(dir: &Path) -> Result<(), SaveError> {
    let entries = std::fs::read_dir(dir).map_err(|source| unwritten(dir, source))?;
    for entry in entries {
        let entry = entry.map_err(|source| unwritten(dir, source))?;
        if entry.file_name().to_str().is_some_and(is_shard) {
            let path = entry.path();
            std::fs::remove_file(&path).map_err(|source| unwritten(&path, source))?;
        }
    }
    Ok(())
}

/// Returns true for a name such as `model-00001-of-00003.safetensors`.
fn is_shard(name: &str) -> bool {
    let number = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    name.strip_prefix("model-")
        .and_then(|name| name.strip_suffix(".safetensors"))
        .and_then(|name| name.split_once("-of-"))
        .is_some_and(|(one, all)| number(one) && number(all))
}

/// Removes the index and the shards that it names.
fn remove(dir: &Path) -> Result<(), SaveError> {
    let path = dir.join(INDEX);
    let old = JsonConfig::read_file(path.clone()).and_then(|index| shards_of(&index));
    let old: BTreeSet<String> = old.unwrap_or_default().into_values().collect();
    std::fs::remove_file(&path).map_err(|source| unwritten(&path, source))?;
    for shard in old {
        let path = dir.join(shard);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(unwritten(&path, error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Splits tensors, in their order, into shards of at most `most` bytes. A larger tensor is alone.
fn split(tensors: &[Written], most: u64, dtype: StoredType) -> Vec<Range<usize>> {
    let mut shards: Vec<Range<usize>> = Vec::new();
    let mut filled = 0;
    for (at, tensor) in tensors.iter().enumerate() {
        let size = tensor.bytes(dtype) as u64;
        match shards.last_mut() {
            Some(last) if filled + size <= most => {
                last.end = at + 1;
                filled += size;
            }
            _ => {
                shards.push(at..at + 1);
                filled = size;
            }
        }
    }
    shards
}

/// Writes the shards, and then the index that makes them a model.
pub(super) fn write_shards(
    dir: &Path,
    tensors: &[Written],
    shards: &[Range<usize>],
    dtype: StoredType,
) -> Result<(), SaveError> {
    let mut map = BTreeMap::new();
    for (number, range) in shards.iter().enumerate() {
        let name = format!("model-{:05}-of-{:05}.safetensors", number + 1, shards.len());
        let part = &tensors[range.clone()];
        write_tensors(&dir.join(&name), part, dtype)?;
        map.extend(
            part.iter()
                .map(|tensor| (tensor.name.clone(), name.clone())),
        );
    }
    let bytes: usize = tensors.iter().map(|tensor| tensor.bytes(dtype)).sum();
    let values: usize = tensors
        .iter()
        .map(|tensor| tensor.shape.iter().product::<usize>())
        .sum();
    write_json(
        &dir.join(INDEX),
        &json!({
            "metadata": {"total_parameters": values, "total_size": bytes},
            "weight_map": map,
        }),
    )
}
