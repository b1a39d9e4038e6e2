//! Reference log-probabilities on disk, tied to their model and pairs.

use std::collections::HashMap;
use std::path::Path;

use collimate_data::TokenizedPair;
use collimate_files::{FileError, atomic_write};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};

use crate::DirectError;
use crate::logps::PairLogp;

const CHOSEN: &str = "reference_chosen_logps";
const REJECTED: &str = "reference_rejected_logps";
const MODEL: &str = "model";
const PAIRS: &str = "pairs";

/// Returns the blake3 hash of tokenised pairs, in hex; it depends on all ids and their order.
pub fn pairs_hash(pairs: &[TokenizedPair]) -> String {
    let mut hasher = blake3::Hasher::new();
    for pair in pairs {
        for ids in [&pair.prompt, &pair.chosen, &pair.rejected] {
            hasher.update(&(ids.len() as u64).to_le_bytes());
            for id in ids {
                hasher.update(&id.to_le_bytes());
            }
        }
    }
    hasher.finalize().to_hex().to_string()
}

/// Returns a hash of pairs to learn from: [`pairs_hash`], and the margins and weights if there are any.
pub fn training_hash(pairs: &[TokenizedPair]) -> String {
    let hash = pairs_hash(pairs);
    let has_numbers = |pair: &TokenizedPair| pair.margin.is_some() || pair.weight.is_some();
    if !pairs.iter().any(has_numbers) {
        return hash;
    }
    let numbers = pairs.iter().map(|pair| (pair.margin, pair.weight));
    let numbers: Vec<_> = numbers.collect();
    collimate_train::hash_json(&(hash, numbers))
}

/// Writes log-probabilities as a safetensors file (`reference_chosen_logps`,
/// `reference_rejected_logps`, f32). The metadata hold the hashes of the model
/// ([`collimate_train::model_hash`]) and of the pairs. The file is written completely or not at
/// all.
///
/// # Errors
/// A number of log-probabilities that differs from the number of pairs, or a file that cannot be
/// written.
pub fn save_reference_logps(
    path: &Path,
    model_hash: &str,
    pairs: &[TokenizedPair],
    logps: &[PairLogp],
) -> Result<(), DirectError> {
    if logps.len() != pairs.len() {
        return Err(DirectError::ReferenceCount {
            part: "given",
            given: logps.len(),
            pairs: pairs.len(),
        });
    }
    let bytes = |side: fn(&PairLogp) -> f32| -> Vec<u8> {
        logps.iter().flat_map(|l| side(l).to_le_bytes()).collect()
    };
    let broken = |error: safetensors::SafeTensorError| DirectError::ReferenceFile {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let (chosen, rejected) = (bytes(|l| l.chosen), bytes(|l| l.rejected));
    let view = |data| TensorView::new(Dtype::F32, vec![logps.len()], data).map_err(broken);
    let tensors = [(CHOSEN, view(&chosen)?), (REJECTED, view(&rejected)?)];
    let metadata = HashMap::from([
        (MODEL.to_owned(), model_hash.to_owned()),
        (PAIRS.to_owned(), pairs_hash(pairs)),
    ]);
    let file = serialize(tensors, Some(metadata)).map_err(broken)?;
    atomic_write(path, &file).map_err(|FileError { path, source }| DirectError::Io { path, source })
}

/// Reads log-probabilities that [`save_reference_logps`] wrote.
///
/// # Errors
/// A file that cannot be read or has another format; a file that belongs to another model or to
/// other pairs (other texts, another order, another truncation).
pub fn load_reference_logps(
    path: &Path,
    model_hash: &str,
    pairs: &[TokenizedPair],
) -> Result<Vec<PairLogp>, DirectError> {
    let bytes = std::fs::read(path).map_err(|source| DirectError::Io {
        path: path.to_owned(),
        source,
    })?;
    let refuse = |reason: String| DirectError::ReferenceFile {
        path: path.to_owned(),
        reason,
    };
    let unreadable = |error: safetensors::SafeTensorError| {
        refuse(format!(
            "not a file of reference log-probabilities: {error}"
        ))
    };
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(unreadable)?;
    for (key, now, what) in [
        (MODEL, model_hash.to_owned(), "another reference model"),
        (
            PAIRS,
            pairs_hash(pairs),
            "other pairs, another order or another truncation",
        ),
    ] {
        let before = header.metadata().as_ref().and_then(|m| m.get(key));
        if before != Some(&now) {
            return Err(refuse(format!(
                "computed with {what} ({key} is {} in the file, {} now): compute the file again",
                before.map_or("missing", |hash| &hash[..hash.len().min(8)]),
                &now[..now.len().min(8)],
            )));
        }
    }
    let tensors = SafeTensors::deserialize(&bytes).map_err(unreadable)?;
    let column = |name| -> Result<Vec<f32>, DirectError> {
        let tensor = tensors.tensor(name).map_err(unreadable)?;
        if tensor.dtype() != Dtype::F32 || tensor.shape() != [pairs.len()] {
            return Err(refuse(format!(
                "{name} is not {} numbers in f32",
                pairs.len()
            )));
        }
        let number = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        Ok(tensor.data().chunks_exact(4).map(number).collect())
    };
    let (chosen, rejected) = (column(CHOSEN)?, column(REJECTED)?);
    let rows = chosen.into_iter().zip(rejected);
    Ok(rows
        .map(|(chosen, rejected)| PairLogp { chosen, rejected })
        .collect())
}
