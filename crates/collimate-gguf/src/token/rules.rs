//! Rules of a `tokenizer.json` that llama.cpp knows by name.

use serde_json::Value;

use super::pre;
use super::read::SPACE;
use super::write::wrong;
use crate::GgufError;

/// Returns the rule that splits words, for a tokenizer that merges bytes.
pub(crate) fn rule(tokenizer: &Value) -> Result<&'static pre::Pre, GgufError> {
    let steps = &tokenizer["pre_tokenizer"];
    let ignore_merges = tokenizer["model"]["ignore_merges"] == true;
    let rule = pre::described(steps, ignore_merges).ok_or_else(|| {
        let message = format!(
            "is {steps} with ignore_merges {ignore_merges}, but the splits of these tokenizers are \
             written: {}",
            pre::names()
        );
        wrong("pre_tokenizer", message)
    })?;
    let normalizer = &tokenizer["normalizer"];
    let composes = normalizer["type"] == "NFC" && rule.composes;
    match normalizer.is_null() || composes {
        true => Ok(rule),
        false => {
            let message = format!("is {normalizer}, which llama.cpp does not compute");
            Err(wrong("normalizer", message))
        }
    }
}

/// Place of the spaces that a tokenizer of pieces puts before texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spaces {
    None,
    /// Only before the first text, not behind special tokens.
    First,
    /// Before each text, as in llama.cpp.
    Each,
}

/// Returns the place of the spaces.
pub(crate) fn space_prefix(tokenizer: &Value) -> Result<Spaces, GgufError> {
    let normalizer = &tokenizer["normalizer"];
    let split = &tokenizer["pre_tokenizer"];
    let mark = |step: &Value| {
        step["type"] == "Replace" && step["pattern"]["String"] == " " && step["content"] == SPACE
    };
    let prepend = |step: &Value| step["type"] == "Prepend" && step["prepend"] == SPACE;
    // After the normalizer the text has no space to split at.
    let no_split =
        split.is_null() || (split["type"] == "Split" && split["pattern"]["String"] == " ");
    if no_split && mark(normalizer) {
        return Ok(Spaces::None);
    }
    if no_split && normalizer["type"] == "Sequence" {
        match normalizer["normalizers"].as_array().map(Vec::as_slice) {
            Some([first, second]) if prepend(first) && mark(second) => return Ok(Spaces::Each),
            Some([first]) if mark(first) => return Ok(Spaces::None),
            _ => (),
        }
    }
    let metaspace = split["type"] == "Metaspace" && split["replacement"] == SPACE;
    if normalizer.is_null() && metaspace && split["split"] == false {
        match split["prepend_scheme"].as_str() {
            Some("always") => return Ok(Spaces::Each),
            Some("first") => return Ok(Spaces::First),
            Some("never") => return Ok(Spaces::None),
            _ => (),
        }
    }
    let message = format!("is {normalizer}, with pre_tokenizer {split}, unlike SentencePiece");
    Err(wrong("normalizer", message))
}
