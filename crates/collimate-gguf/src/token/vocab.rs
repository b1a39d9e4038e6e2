//! The vocabulary of a GGUF file.

use std::collections::HashMap;

use crate::{Gguf, GgufError, MetadataArray, MetadataValue};

/// Prefix of all values of the tokenizer.
pub(crate) const PREFIX: &str = "tokenizer.ggml.";
/// Key of the chat template.
pub(crate) const TEMPLATE: &str = "tokenizer.chat_template";
/// Key of the names of further chat templates.
pub(crate) const TEMPLATES: &str = "tokenizer.chat_templates";

/// Values that name tokens of formats for code completion, which a chat model does not use, or that
/// this module reads.
const KNOWN: &[&str] = &[
    "add_bos_token",
    "add_eos_token",
    "add_space_prefix",
    "bos_token_id",
    "cls_token_id",
    "eom_token_id",
    "eos_token_id",
    "eot_token_id",
    "fim_mid_token_id",
    "fim_pad_token_id",
    "fim_pre_token_id",
    "fim_rep_token_id",
    "fim_sep_token_id",
    "fim_suf_token_id",
    "mask_token_id",
    "merges",
    "middle_token_id",
    "model",
    "padding_token_id",
    "pre",
    "prefix_token_id",
    "scores",
    "seperator_token_id",
    "suffix_token_id",
    "token_type",
    "token_type_count",
    "tokens",
    "unknown_token_id",
];
/// Values that must be false.
const FALSE: &[&str] = &["add_sep_token", "remove_extra_whitespaces"];

/// Kind of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A piece of text that the model's rules form.
    Normal,
    /// The token for characters that the vocabulary cannot express.
    Unknown,
    /// A token that ends a turn, separates texts, and so on.
    Control,
    /// A text that is never split.
    UserDefined,
    /// A row of the embeddings without a text.
    Unused,
    /// A single byte, written as `<0x0A>`.
    Byte,
}

impl Kind {
    /// Returns the number of the kind in the format.
    pub(crate) fn code(self) -> i32 {
        match self {
            Self::Normal => 1,
            Self::Unknown => 2,
            Self::Control => 3,
            Self::UserDefined => 4,
            Self::Unused => 5,
            Self::Byte => 6,
        }
    }

    fn from_code(code: u64) -> Option<Self> {
        Some(match code {
            0 | 1 => Self::Normal,
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            5 => Self::Unused,
            6 => Self::Byte,
            _ => return None,
        })
    }
}

/// Algorithm of the tokenizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// Merges of byte pairs over words, as in GPT-2.
    Bytes,
    /// Merges by scores over the whole text, as in SentencePiece.
    Pieces,
}

/// The vocabulary and the texts of its special tokens.
#[derive(Debug)]
pub(crate) struct Vocabulary<'a> {
    pub(crate) gguf: &'a Gguf,
    pub(crate) algorithm: Algorithm,
    pub(crate) tokens: &'a [String],
    pub(crate) kinds: Vec<Kind>,
}

/// Returns the filler that llama.cpp's converter writes for a row without a token.
pub(crate) fn filler(id: usize) -> String {
    format!("[PAD{id}]")
}

impl<'a> Vocabulary<'a> {
    /// Reads the vocabulary, which must have one token for each of `rows` rows of the embeddings.
    pub(crate) fn read(gguf: &'a Gguf, rows: usize) -> Result<Self, GgufError> {
        let model = text(gguf, "model")?;
        let algorithm = match model {
            Some("gpt2") => Algorithm::Bytes,
            Some("llama") => Algorithm::Pieces,
            Some(other) => {
                let message = format!("is {other}, but the tokenizers gpt2 and llama are read");
                return Err(wrong(gguf, "model", message));
            }
            None => return Err(wrong(gguf, "model", "is missing")),
        };
        for (key, value) in gguf.metadata() {
            let Some(name) = key.strip_prefix(PREFIX) else {
                continue;
            };
            let off = FALSE.contains(&name) && value.as_bool() == Some(false);
            if !KNOWN.contains(&name) && !off {
                let message = "is not read: the value may change the tokens in a way that this \
                               crate does not know";
                return Err(wrong(gguf, name, message));
            }
        }
        let tokens = strings(gguf, "tokens")?;
        let tokens = tokens.ok_or_else(|| wrong(gguf, "tokens", "is missing"))?;
        if tokens.len() != rows {
            let message = format!(
                "has {} tokens, but the embeddings have {rows} rows",
                tokens.len()
            );
            return Err(wrong(gguf, "tokens", message));
        }
        let mut ids = HashMap::new();
        for (id, token) in tokens.iter().enumerate() {
            if let Some(earlier) = ids.insert(token.as_str(), id) {
                let message = format!("holds {token:?} twice, with the ids {earlier} and {id}");
                return Err(wrong(gguf, "tokens", message));
            }
        }
        let kinds = kinds(gguf, tokens.len())?;
        Ok(Self {
            gguf,
            algorithm,
            tokens,
            kinds,
        })
    }

    pub(crate) fn wrong(&self, name: &str, message: impl Into<String>) -> GgufError {
        wrong(self.gguf, name, message)
    }

    pub(crate) fn text(&self, name: &str) -> Result<Option<&'a str>, GgufError> {
        text(self.gguf, name)
    }

    pub(crate) fn strings(&self, name: &str) -> Result<Option<&'a [String]>, GgufError> {
        strings(self.gguf, name)
    }

    /// Returns one score for each token.
    pub(crate) fn scores(&self) -> Result<&'a [f32], GgufError> {
        match get(self.gguf, "scores").and_then(|value| value.as_array()) {
            Some(MetadataArray::F32(scores)) if scores.len() != self.tokens.len() => {
                let message = format!("has {} numbers for {}", scores.len(), self.tokens.len());
                Err(self.wrong("scores", format!("{message} tokens")))
            }
            Some(MetadataArray::F32(scores)) if scores.iter().all(|score| score.is_finite()) => {
                Ok(scores)
            }
            _ => Err(self.wrong("scores", "is not a list of finite numbers")),
        }
    }

    pub(crate) fn truth(&self, name: &str) -> Result<Option<bool>, GgufError> {
        match get(self.gguf, name).map(MetadataValue::as_bool) {
            None => Ok(None),
            Some(Some(truth)) => Ok(Some(truth)),
            Some(None) => Err(self.wrong(name, "is not a truth value")),
        }
    }

    /// Returns the id of a special token, such as `bos_token_id`. Without the value, the ids of
    /// SentencePiece apply as in llama.cpp.
    pub(crate) fn id(&self, name: &str) -> Result<Option<usize>, GgufError> {
        let Some(value) = get(self.gguf, name) else {
            let id = match (self.algorithm, name) {
                (Algorithm::Pieces, "unknown_token_id") => 0,
                (Algorithm::Pieces, "bos_token_id") => 1,
                (Algorithm::Pieces, "eos_token_id") => 2,
                _ => return Ok(None),
            };
            return Ok(Some(id).filter(|id| *id < self.tokens.len()));
        };
        let id = value.as_u64().and_then(|id| usize::try_from(id).ok());
        match id.filter(|id| *id < self.tokens.len()) {
            Some(id) => Ok(Some(id)),
            None => Err(self.wrong(name, "is not the id of a token")),
        }
    }

    /// Returns true if the tokenizer puts BOS before each text.
    pub(crate) fn adds_bos(&self, absent: bool) -> Result<bool, GgufError> {
        Ok(self.truth("add_bos_token")?.unwrap_or(absent))
    }

    /// Returns true if the tokenizer puts EOS behind each text.
    pub(crate) fn adds_eos(&self) -> Result<bool, GgufError> {
        Ok(self.truth("add_eos_token")?.unwrap_or(false))
    }
}

fn kinds(gguf: &Gguf, count: usize) -> Result<Vec<Kind>, GgufError> {
    const KEY: &str = "token_type";
    let Some(value) = get(gguf, KEY) else {
        return Ok(vec![Kind::Normal; count]);
    };
    let codes = value.as_array().and_then(MetadataArray::to_u64s);
    let codes = codes.ok_or_else(|| wrong(gguf, KEY, "is not a list of kinds"))?;
    if codes.len() != count {
        let message = format!("has {} kinds for {count} tokens", codes.len());
        return Err(wrong(gguf, KEY, message));
    }
    let kind = |code: u64| {
        Kind::from_code(code)
            .ok_or_else(|| wrong(gguf, KEY, format!("has the unknown kind {code}")))
    };
    codes.into_iter().map(kind).collect()
}

fn get<'a>(gguf: &'a Gguf, name: &str) -> Option<&'a MetadataValue> {
    gguf.get(&format!("{PREFIX}{name}"))
}

fn wrong(gguf: &Gguf, name: &str, message: impl Into<String>) -> GgufError {
    GgufError::metadata(gguf.path(), &format!("{PREFIX}{name}"), message)
}

fn text<'a>(gguf: &'a Gguf, name: &str) -> Result<Option<&'a str>, GgufError> {
    match get(gguf, name).map(MetadataValue::as_str) {
        None => Ok(None),
        Some(Some(text)) => Ok(Some(text)),
        Some(None) => Err(wrong(gguf, name, "is not a text")),
    }
}

fn strings<'a>(gguf: &'a Gguf, name: &str) -> Result<Option<&'a [String]>, GgufError> {
    let Some(value) = get(gguf, name) else {
        return Ok(None);
    };
    match value.as_array().and_then(MetadataArray::as_strings) {
        Some(list) => Ok(Some(list)),
        None => Err(wrong(gguf, name, "is not a list of texts")),
    }
}
