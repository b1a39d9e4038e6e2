//! Indexes of weights that are split over several files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use collimate_files::FileError;
use serde::Deserialize;

use crate::{HubError, path};

/// Largest size of an index in bytes. An index has about 100 bytes per tensor.
const MOST_BYTES: u64 = 64 << 20;

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// Returns true for the name of an index of safetensors files.
pub(crate) fn is_index(name: &str) -> bool {
    name.ends_with(".safetensors.index.json")
}

/// Reads the paths of the shards that the index `name` lists. `at` is the place of the index on the
/// disk. The shards are next to the index.
pub(crate) fn shards(name: &str, at: &Path) -> Result<BTreeSet<String>, HubError> {
    let fail = |source| {
        HubError::File(FileError {
            path: at.to_owned(),
            source,
        })
    };
    let wrong = |problem: String| HubError::Content {
        path: at.to_owned(),
        problem,
    };
    let file = File::open(at).map_err(fail)?;
    if file.metadata().map_err(fail)?.len() > MOST_BYTES {
        return Err(wrong("the index has more than 64 MiB".into()));
    }
    let reader = BufReader::new(file.take(MOST_BYTES));
    let index: Index = serde_json::from_reader(reader)
        .map_err(|error| wrong(format!("not an index of safetensors files: {error}")))?;
    let folder = name.rsplit_once('/').map(|(folder, _)| folder);
    let shards: BTreeSet<String> = index
        .weight_map
        .into_values()
        .map(|shard| match folder {
            Some(folder) => format!("{folder}/{shard}"),
            None => shard,
        })
        .collect();
    if shards.is_empty() {
        return Err(wrong("the index lists no file".into()));
    }
    shards.iter().try_for_each(|shard| path::check(shard))?;
    Ok(shards)
}
