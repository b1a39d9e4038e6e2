//! Special tokens that a tokenizer itself puts around a text.

use serde_json::json;
use tokenizers::{PostProcessorWrapper, Tokenizer};

use crate::error::DataError;

/// Tokens that the post-processor of a tokenizer writes before and after a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Around {
    pub(super) before: Vec<u32>,
    pub(super) behind: Vec<u32>,
}

/// Texts to try. A small vocabulary may encode most of them as nothing.
const PROBES: [&str; 5] = ["a", "e", "the", "0", "."];

impl Around {
    /// Finds the tokens that a tokenizer writes, whatever its configuration calls them.
    ///
    /// The special tokens frame a text that the tokenizer can encode. If it encodes none of the
    /// probes, all tokens of an empty text count as tokens before a text.
    pub(super) fn of(tokenizer: &Tokenizer) -> Result<Self, DataError> {
        let encode = |text: &str| {
            tokenizer
                .encode(text, true)
                .map_err(|error| DataError::Tokenize(error.to_string()))
        };
        let frame = |probe: &str| {
            let encoding = encode(probe).ok()?;
            let (ids, mask) = (encoding.get_ids(), encoding.get_special_tokens_mask());
            let first = mask.iter().position(|&special| special == 0)?;
            let last = mask.iter().rposition(|&special| special == 0)?;
            Some(Self {
                before: ids[..first].to_vec(),
                behind: ids[last + 1..].to_vec(),
            })
        };
        if let Some(around) = PROBES.into_iter().find_map(frame) {
            return Ok(around);
        }
        let words = (0..64).filter_map(|id| tokenizer.id_to_token(id));
        if let Some(around) = words.into_iter().find_map(|word| frame(&word)) {
            return Ok(around);
        }
        Ok(Self {
            before: encode("")?.get_ids().to_vec(),
            behind: Vec::new(),
        })
    }
}

/// Makes a tokenizer put `before` before every text and `behind` after it.
pub(super) fn put_around(
    tokenizer: &mut Tokenizer,
    before: Option<u32>,
    behind: Option<u32>,
) -> Result<(), DataError> {
    let name = |id: u32| {
        tokenizer.id_to_token(id).ok_or_else(|| {
            DataError::SpecialTokens(format!("id {id} is not in the vocabulary of the tokenizer"))
        })
    };
    let before = before.map(|id| Ok((name(id)?, id))).transpose()?;
    let behind = behind.map(|id| Ok((name(id)?, id))).transpose()?;
    if before.is_none() && behind.is_none() {
        tokenizer.with_post_processor(None::<PostProcessorWrapper>);
        return Ok(());
    }
    let special = |token: &Option<(String, u32)>, type_id: u32| {
        let piece = token
            .as_ref()
            .map(|(name, _)| json!({"SpecialToken": {"id": name, "type_id": type_id}}));
        piece.into_iter()
    };
    let sequence = |name: &str, type_id: u32| json!({"Sequence": {"id": name, "type_id": type_id}});
    let one = |name: &str, type_id: u32| {
        special(&before, type_id)
            .chain([sequence(name, type_id)])
            .chain(special(&behind, type_id))
            .collect::<Vec<_>>()
    };
    let tokens: serde_json::Map<String, serde_json::Value> = [&before, &behind]
        .into_iter()
        .flatten()
        .map(|(name, id)| {
            let entry = json!({"id": name, "ids": [id], "tokens": [name]});
            (name.clone(), entry)
        })
        .collect();
    let pair: Vec<_> = one("A", 0).into_iter().chain(one("B", 1)).collect();
    let template = json!({
        "type": "TemplateProcessing",
        "single": one("A", 0),
        "pair": pair,
        "special_tokens": tokens,
    });
    let processor: PostProcessorWrapper = serde_json::from_value(template)
        .map_err(|error| DataError::SpecialTokens(error.to_string()))?;
    tokenizer.with_post_processor(Some(processor));
    Ok(())
}
