//! Ids of an answer as the text that follows its prompt.
//!
//! Many tokenizers treat the beginning of a text specially. A normaliser puts a space before it
//! (`Prepend`, `Metaspace`, `add_prefix_space`) or strips a space. An answer begins in the middle
//! of a text. It is therefore encoded together with its prompt, and the ids are split at the
//! border.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokenizers::{
    Encoding, Model, NormalizerWrapper, OffsetType, PreTokenizer, PreTokenizerWrapper, Tokenizer,
};

use crate::error::DataError;

/// Ids of an answer that follows a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Continuation {
    /// Ids of the answer.
    pub(super) ids: Vec<u32>,
    /// If true, a token of the joint text covers characters on both sides of the border. Then no
    /// ids of the answer alone equal the ids in the joint text.
    pub(super) crossed: bool,
    /// If true, the prompt has other ids in the joint text than alone.
    pub(super) respelled: bool,
    /// If true, the chat template renders the prompt differently when an answer follows.
    pub(super) rewritten: bool,
}

impl Continuation {
    /// Makes a continuation of ids that do not depend on a prompt.
    pub(super) fn alone(ids: Vec<u32>) -> Self {
        Self {
            ids,
            crossed: false,
            respelled: false,
            rewritten: false,
        }
    }
}

/// The parts of a tokenizer without their special treatment of the beginning of a text.
#[derive(Debug, Clone)]
pub(super) struct MidText {
    normalizer: Option<NormalizerWrapper>,
    pre_tokenizer: Option<PreTokenizerWrapper>,
}

impl MidText {
    pub(super) fn of(tokenizer: &Tokenizer) -> Result<Self, DataError> {
        Ok(Self {
            normalizer: edit(tokenizer.get_normalizer(), normalizer)?,
            pre_tokenizer: edit(tokenizer.get_pre_tokenizer(), |value| {
                Some(pre_tokenizer(value))
            })?,
        })
    }

    /// Returns the ids of `answer` after `prompt`. The prompt is not empty, and `prompt_ids` are
    /// its ids alone.
    pub(super) fn encode(
        &self,
        tokenizer: &Tokenizer,
        prompt: &str,
        prompt_ids: &[u32],
        answer: &str,
    ) -> Result<Continuation, DataError> {
        if answer.is_empty() {
            return Ok(Continuation::alone(Vec::new()));
        }
        let joined = format!("{prompt}{answer}");
        let joint = encode(
            tokenizer,
            tokenizer.get_normalizer(),
            tokenizer.get_pre_tokenizer(),
            &joined,
            OffsetType::Byte,
        )?;
        if let Some(at) = border(&joint, &joined, prompt.len()) {
            let (before, behind) = joint.get_ids().split_at(at);
            return Ok(Continuation {
                respelled: before != prompt_ids,
                ..Continuation::alone(behind.to_vec())
            });
        }
        let alone = encode(
            tokenizer,
            self.normalizer.as_ref(),
            self.pre_tokenizer.as_ref(),
            answer,
            OffsetType::None,
        )?;
        Ok(Continuation {
            crossed: true,
            ..Continuation::alone(alone.get_ids().to_vec())
        })
    }
}

/// Returns the index of the first token after byte `at`, or `None` if a token covers both sides.
fn border(joint: &Encoding, joined: &str, at: usize) -> Option<usize> {
    let offsets = joint.get_offsets();
    let first = offsets
        .iter()
        .position(|&(start, _)| start >= at)
        .unwrap_or(offsets.len());
    let (before, behind) = offsets.split_at(first);
    let apart =
        before.iter().all(|&(_, end)| end <= at) && behind.iter().all(|&(start, _)| start >= at);
    // A normaliser may compose one character of both sides (e and an accent). The character has the
    // offsets of the first side only, so the text after the border begins with a gap.
    let text = &joined[at..];
    let begin = behind.first().map_or(joined.len(), |&(start, _)| start);
    let gap = text.get(..begin.saturating_sub(at)).unwrap_or(text);
    let whole = gap.chars().all(|c| c.is_whitespace() || c.is_control());
    (apart && whole).then_some(first)
}

/// Returns the ids of a text, with offsets that no post-processor has trimmed.
fn encode(
    tokenizer: &Tokenizer,
    normalizer: Option<&NormalizerWrapper>,
    pre_tokenizer: Option<&PreTokenizerWrapper>,
    text: &str,
    offsets: OffsetType,
) -> Result<Encoding, DataError> {
    let mut parts = tokenizer
        .get_added_vocabulary()
        .extract_and_normalize(normalizer, text);
    let encoding = match pre_tokenizer {
        Some(pre_tokenizer) => pre_tokenizer.pre_tokenize(&mut parts),
        None => Ok(()),
    }
    .and_then(|()| {
        tokenizer
            .get_model()
            .tokenize_in_pretokenized(&mut parts, None)
    })
    .and_then(|()| parts.into_encoding(None, 0, offsets));
    encoding.map_err(|error| DataError::Tokenize(error.to_string()))
}

/// Applies a change to the JSON form of a part of a tokenizer.
fn edit<T: Serialize + DeserializeOwned + Clone>(
    part: Option<&T>,
    change: impl Fn(Value) -> Option<Value>,
) -> Result<Option<T>, DataError> {
    let Some(part) = part else { return Ok(None) };
    let wrong = |error: serde_json::Error| DataError::Tokenize(error.to_string());
    let before = serde_json::to_value(part).map_err(wrong)?;
    match change(before.clone()) {
        // Some parts cannot read their own JSON, so an unchanged part is kept.
        Some(after) if after == before => Ok(Some(part.clone())),
        Some(after) => serde_json::from_value(after).map(Some).map_err(wrong),
        None => Ok(None),
    }
}

/// Makes a normaliser that neither adds nor strips anything at the beginning. Returns `None` if it
/// would then do nothing.
fn normalizer(mut value: Value) -> Option<Value> {
    match value["type"].as_str() {
        Some("Prepend") => return None,
        Some("Strip") => value["strip_left"] = Value::Bool(false),
        Some("Replace") => {
            let pattern = value["pattern"]["Regex"].as_str();
            if pattern
                .is_some_and(|pattern| pattern.starts_with(['^']) || pattern.starts_with("\\A"))
            {
                return None;
            }
        }
        Some("Sequence") => {
            if let Some(parts) = value["normalizers"].as_array_mut() {
                *parts = std::mem::take(parts)
                    .into_iter()
                    .filter_map(normalizer)
                    .collect();
            }
        }
        _ => {}
    }
    Some(value)
}

/// Makes a pre-tokenizer that puts no space before the first word.
fn pre_tokenizer(mut value: Value) -> Value {
    match value["type"].as_str() {
        Some("Metaspace") => {
            value["prepend_scheme"] = "never".into();
            if value.get("add_prefix_space").is_some() {
                value["add_prefix_space"] = Value::Bool(false);
            }
        }
        Some("ByteLevel") => value["add_prefix_space"] = Value::Bool(false),
        Some("Sequence") => {
            if let Some(parts) = value["pretokenizers"].as_array_mut() {
                *parts = std::mem::take(parts)
                    .into_iter()
                    .map(pre_tokenizer)
                    .collect();
            }
        }
        _ => {}
    }
    value
}
