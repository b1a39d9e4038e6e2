//! Special tokens named by a folder.

use std::path::Path;

use serde_json::{Map, Value};
use tokenizers::Tokenizer;

use super::around::Around;
use super::files::{CONFIG, GENERATION, MODEL, SPECIAL, object};
use super::special::SpecialTokenIds;
use crate::error::DataError;

const KEY: &str = "eos_token_id";

/// Returns the id of a token that the folder or the user names.
pub(super) fn known(
    dir: &Path,
    tokenizer: &Tokenizer,
    name: &str,
    token: &str,
) -> Result<u32, DataError> {
    tokenizer.token_to_id(token).ok_or_else(|| {
        DataError::SpecialTokens(format!(
            "{}: {name} is {token:?}, which is not in the vocabulary: name a token that is",
            dir.display()
        ))
    })
}

pub(super) fn special_ids(
    dir: &Path,
    tokenizer: &Tokenizer,
    config: &Map<String, Value>,
    around: &Around,
) -> Result<SpecialTokenIds, DataError> {
    let id = |name: &str| -> Result<Option<u32>, DataError> {
        let token = config.get(name).and_then(Value::as_str);
        token
            .map(|token| known(dir, tokenizer, name, token))
            .transpose()
    };
    for (ids, side) in [(&around.before, "before"), (&around.behind, "behind")] {
        if ids.len() > 1 {
            return Err(DataError::SpecialTokens(format!(
                "{}: the tokenizer writes {} tokens {side} a text (ids {ids:?}): only tokenizers \
                 that write at most one token on each side are supported",
                dir.display(),
                ids.len()
            )));
        }
    }
    let behind = around.behind.last().copied();
    let eos = match (id("eos_token")?, behind) {
        (Some(eos), Some(behind)) if eos != behind => {
            let token = tokenizer.id_to_token(behind).unwrap_or_default();
            tracing::warn!(
                "{}: the tokenizer ends every text with {token:?}, but eos_token is different: \
                 answers end with eos_token",
                dir.display()
            );
            Some(eos)
        }
        (Some(id), _) | (None, Some(id)) => Some(id),
        (None, None) => id("sep_token")?,
    };
    // GPT-2's tokenizer files name no token, but the model's files do.
    let of_model = || -> Result<Option<u32>, DataError> {
        let mut ends = end_tokens(dir)?.into_iter();
        Ok(ends.find(|&end| tokenizer.id_to_token(end).is_some()))
    };
    let eos = match eos {
        Some(eos) => Some(eos),
        None => of_model()?,
    };
    let eos = eos.ok_or_else(|| {
        DataError::SpecialTokens(format!(
            "{}: no token that ends a text is named: add {{\"eos_token\": \"…\"}} to {CONFIG} or \
             {SPECIAL}, or eos_token_id to {MODEL}",
            dir.display()
        ))
    })?;
    Ok(SpecialTokenIds {
        bos: around.before.first().copied(),
        eos,
        pad: id("pad_token")?,
    })
}

/// Returns the tokens that end an answer according to the model's files. Each file has one id or a
/// list.
pub(super) fn end_tokens(dir: &Path) -> Result<Vec<u32>, DataError> {
    let mut ends = Vec::new();
    for file in [GENERATION, MODEL] {
        let path = dir.join(file);
        let config = object(&path)?;
        let text = config.get("text_config").and_then(Value::as_object);
        let own = config.get(KEY).filter(|value| !value.is_null());
        let id = |value: &Value| {
            let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
            id.ok_or_else(|| DataError::Tokenizer {
                path: path.clone(),
                what: format!("{KEY} has {value}: a token id is a whole number"),
            })
        };
        match own.or_else(|| text?.get(KEY)) {
            None | Some(Value::Null) => {}
            Some(Value::Array(list)) => {
                for value in list {
                    ends.push(id(value)?);
                }
            }
            // A negative number means that there is no such token.
            Some(value) if value.as_i64().is_some_and(|id| id < 0) => {}
            Some(value) => ends.push(id(value)?),
        }
    }
    Ok(ends)
}

/// Returns the size of the vocabulary of the model next to the tokenizer, if its file gives the
/// size.
pub(super) fn model_vocabulary(dir: &Path) -> Result<Option<u32>, DataError> {
    let config = object(&dir.join(MODEL))?;
    let of = |value: &Value| u32::try_from(value.get("vocab_size")?.as_u64()?).ok();
    let text = config.get("text_config").and_then(of);
    let own = config.get("vocab_size").and_then(Value::as_u64);
    Ok(own.and_then(|size| u32::try_from(size).ok()).or(text))
}
