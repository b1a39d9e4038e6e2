//! An answer's ids as the text that follows its prompt.
//!
//! Many tokenizers treat the beginning of a text in their own way: a normaliser puts a space before
//! it (`Prepend`, `Metaspace`, `add_prefix_space`) or strips one off. An answer begins in the middle
//! of a text, so it is encoded together with its prompt and cut off at the border.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokenizers::{
    Encoding, Model, NormalizerWrapper, OffsetType, PreTokenizer, PreTokenizerWrapper, Tokenizer,
};

use crate::error::DataError;

/// An answer after its prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Continuation {
    /// Ids of the answer.
    pub(super) ids: Vec<u32>,
    /// True if a token of the joint text covers characters on both sides of the border. No ids of
    /// the answer alone are those of the joint text then.
    pub(super) crossed: bool,
    /// True if the joint text writes the prompt with other ids than the prompt alone has.
    pub(super) respelled: bool,
    /// True if the chat template writes the prompt otherwise where an answer follows.
    pub(super) rewritten: bool,
}

impl Continuation {
    /// Ids that no prompt has a part in.
    pub(super) fn alone(ids: Vec<u32>) -> Self {
        Self {
            ids,
            crossed: false,
            respelled: false,
            rewritten: false,
        }
    }
}

/// The parts of a tokenizer without what they do at the beginning of a text only.
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

    /// Ids of `answer` where it follows `prompt`, which is not empty and has the ids `prompt_ids`
    /// alone.
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

/// The first token behind byte `at`; `None` if a token lies on both sides.
fn border(joint: &Encoding, joined: &str, at: usize) -> Option<usize> {
    let offsets = joint.get_offsets();
    let first = offsets
        .iter()
        .position(|&(start, _)| start >= at)
        .unwrap_or(offsets.len());
    let (before, behind) = offsets.split_at(first);
    let apart =
        before.iter().all(|&(_, end)| end <= at) && behind.iter().all(|&(start, _)| start >= at);
    // A character that a normaliser composes of both sides (e and an accent) has the offsets of the
    // first side only: the text behind the border then begins with a gap.
    let text = &joined[at..];
    let begin = behind.first().map_or(joined.len(), |&(start, _)| start);
    let gap = text.get(..begin.saturating_sub(at)).unwrap_or(text);
    let whole = gap.chars().all(|c| c.is_whitespace() || c.is_control());
    (apart && whole).then_some(first)
}

/// Ids of a text, with offsets that no post-processor has trimmed.
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

/// A part of a tokenizer after a change of its JSON form.
fn edit<T: Serialize + DeserializeOwned + Clone>(
    part: Option<&T>,
    change: impl Fn(Value) -> Option<Value>,
) -> Result<Option<T>, DataError> {
    let Some(part) = part else { return Ok(None) };
    let wrong = |error: serde_json::Error| DataError::Tokenize(error.to_string());
    let before = serde_json::to_value(part).map_err(wrong)?;
    match change(before.clone()) {
        // Some parts do not read what they write: an unchanged one is kept.
        Some(after) if after == before => Ok(Some(part.clone())),
        Some(after) => serde_json::from_value(after).map(Some).map_err(wrong),
        None => Ok(None),
    }
}

/// A normaliser that neither adds nor strips anything at the beginning; `None` if it does nothing
/// else.
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

/// A pre-tokenizer that puts no space before the first word.
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
