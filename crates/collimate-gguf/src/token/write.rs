//! Metadata of a tokenizer with a `tokenizer.json`.

use std::collections::HashMap;

use serde_json::Value;

use super::read::SPACE;
use super::rules::{Spaces, rule, space_prefix};
use super::scores;
use super::special::{self, Names};
use super::vocab::{Algorithm, Kind, PREFIX, filler};
use crate::family::Json;
use crate::{GgufError, MetadataArray, MetadataValue};

/// Name of the file with the vocabulary.
pub(crate) const TOKENIZER: &str = "tokenizer.json";

/// Files that describe a tokenizer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tokens<'a> {
    /// `tokenizer.json`.
    pub(crate) tokenizer: &'a Value,
    /// `tokenizer_config.json`.
    pub(crate) settings: Json<'a>,
    /// `generation_config.json`.
    pub(crate) generation: Option<Json<'a>>,
    /// `config.json`.
    pub(crate) config: Json<'a>,
    /// `chat_template.jinja`.
    pub(crate) template: Option<&'a str>,
    /// Number of rows of the embeddings.
    pub(crate) rows: usize,
}

/// Metadata in the making.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) metadata: Vec<(String, MetadataValue)>,
    /// Names of things that the GGUF file does not contain.
    pub(crate) left_out: Vec<String>,
}

impl Written {
    pub(crate) fn set(&mut self, name: &str, value: MetadataValue) {
        self.metadata.push((format!("{PREFIX}{name}"), value));
    }

    pub(crate) fn text(&mut self, name: &str, text: &str) {
        self.set(name, MetadataValue::String(text.to_owned()));
    }

    pub(crate) fn truth(&mut self, name: &str, truth: bool) {
        self.set(name, MetadataValue::Bool(truth));
    }
}

/// The vocabulary in the order of the ids.
#[derive(Debug)]
pub(crate) struct List {
    pub(crate) tokens: Vec<String>,
    pub(crate) kinds: Vec<Kind>,
}

pub(crate) fn wrong(key: &str, message: impl Into<String>) -> GgufError {
    GgufError::folder(TOKENIZER, key, message)
}

/// Returns the metadata of the tokenizer.
pub(crate) fn metadata(tokens: &Tokens<'_>) -> Result<Written, GgufError> {
    let model = &tokens.tokenizer["model"];
    if model["type"] != "BPE" {
        let message = format!("is {}, but only BPE is written", model["type"]);
        return Err(wrong("model.type", message));
    }
    for key in ["dropout", "continuing_subword_prefix", "end_of_word_suffix"] {
        let neutral = model[key].is_null() || model[key] == "" || model[key] == 0.0;
        if !neutral {
            let message = format!("is {}, which llama.cpp does not compute", model[key]);
            return Err(wrong(&format!("model.{key}"), message));
        }
    }
    let algorithm = match model["byte_fallback"] == true {
        true => Algorithm::Pieces,
        false => Algorithm::Bytes,
    };
    let mut written = Written::default();
    let list = list(tokens, algorithm, &mut written)?;
    let pairs = pairs(model)?;
    match algorithm {
        Algorithm::Bytes => {
            let rule = rule(tokens.tokenizer)?;
            written.text("model", "gpt2");
            written.text("pre", rule.names[0]);
            let merges = joined(&pairs)?;
            written.set(
                "merges",
                MetadataValue::Array(MetadataArray::String(merges)),
            );
            written.truth("add_space_prefix", false);
        }
        Algorithm::Pieces => {
            written.text("model", "llama");
            written.text("pre", "default");
            let scores = scores::scores(&list, &pairs)?;
            written.set("scores", MetadataValue::Array(MetadataArray::F32(scores)));
            let spaces = space_prefix(tokens.tokenizer)?;
            written.truth("add_space_prefix", spaces != Spaces::None);
            if spaces == Spaces::First {
                let rule = "the rule that no space stands before a text behind a special token";
                written.left_out.push(rule.to_owned());
            }
        }
    }
    let kinds = list.kinds.iter().map(|kind| kind.code()).collect();
    written.set(
        "token_type",
        MetadataValue::Array(MetadataArray::I32(kinds)),
    );
    let texts = list.tokens.iter().enumerate();
    let names: Names<'_> = texts.map(|(id, text)| (text.as_str(), id)).collect();
    special::add(tokens, &names, &mut written)?;
    let texts = MetadataArray::String(list.tokens);
    written.set("tokens", MetadataValue::Array(texts));
    Ok(written)
}

/// Reads the vocabulary. Rows without a token get a filler.
fn list(
    tokens: &Tokens<'_>,
    algorithm: Algorithm,
    written: &mut Written,
) -> Result<List, GgufError> {
    let rows = tokens.rows;
    let model = &tokens.tokenizer["model"];
    let vocab = model["vocab"].as_object();
    let vocab = vocab.ok_or_else(|| wrong("model.vocab", "is not an object with ids"))?;
    let mut texts: Vec<Option<(&str, Kind)>> = vec![None; rows];
    let added = added(tokens, algorithm)?;
    for (text, id) in vocab {
        let id = id.as_u64().and_then(|id| usize::try_from(id).ok());
        let id = id.ok_or_else(|| wrong("model.vocab", format!("has no id for {text:?}")))?;
        if added.contains_key(&id) {
            continue;
        }
        let kind = match algorithm {
            Algorithm::Pieces if is_byte(text) => Kind::Byte,
            Algorithm::Pieces if model["unk_token"] == text.as_str() => Kind::Unknown,
            _ => Kind::Normal,
        };
        match texts.get_mut(id) {
            Some(place @ None) => *place = Some((text, kind)),
            Some(Some((earlier, _))) => {
                let message = format!("gives the id {id} to {earlier:?} and to {text:?}");
                return Err(wrong("model.vocab", message));
            }
            None => {
                let message = format!("gives {text:?} the id {id}, but the model has {rows} rows");
                return Err(wrong("model.vocab", message));
            }
        }
    }
    for (id, (text, kind)) in &added {
        match texts.get_mut(*id) {
            Some(place) => *place = Some((text, *kind)),
            // No row of the embeddings belongs to the token, so no text can contain the token.
            None => written
                .left_out
                .push(format!("the token {text:?} with the id {id}")),
        }
    }
    written.left_out.sort();
    let mut list = List {
        tokens: Vec::with_capacity(rows),
        kinds: Vec::with_capacity(rows),
    };
    for (id, place) in texts.into_iter().enumerate() {
        let (text, kind) = match place {
            None => (filler(id), Kind::Unused),
            // The file holds texts that users write, with spaces in place of marks.
            Some((text, Kind::UserDefined)) if algorithm == Algorithm::Pieces => {
                (text.replace(SPACE, " "), Kind::UserDefined)
            }
            Some((text, kind)) => (text.to_owned(), kind),
        };
        list.tokens.push(text);
        list.kinds.push(kind);
    }
    Ok(list)
}

/// Returns text and kind of each added token by id.
fn added<'a>(
    tokens: &Tokens<'a>,
    algorithm: Algorithm,
) -> Result<HashMap<usize, (&'a str, Kind)>, GgufError> {
    const KEY: &str = "added_tokens";
    let tokenizer = tokens.tokenizer;
    let unknown = tokenizer["model"]["unk_token"].as_str();
    let mut added = HashMap::new();
    for token in tokenizer[KEY].as_array().into_iter().flatten() {
        let id = token["id"].as_u64().and_then(|id| usize::try_from(id).ok());
        let (Some(id), Some(text)) = (id, token["content"].as_str()) else {
            return Err(wrong(
                KEY,
                format!("holds {token}, which lacks an id or a text"),
            ));
        };
        for key in ["single_word", "lstrip", "rstrip"] {
            if token[key] == true {
                let message = format!("has {key} for {text:?}, which llama.cpp does not compute");
                return Err(wrong(KEY, message));
            }
        }
        let changes = !matches!(tokenizer["normalizer"]["type"].as_str(), None | Some("NFC"));
        if token["normalized"] == true && changes {
            let message =
                format!("finds {text:?} in the normalized text, llama.cpp in the raw text");
            return Err(wrong(KEY, message));
        }
        let kind = match token["special"] == true || looks_special(text) {
            true if algorithm == Algorithm::Pieces && unknown == Some(text) => Kind::Unknown,
            true => Kind::Control,
            false => Kind::UserDefined,
        };
        added.insert(id, (text, kind));
    }
    Ok(added)
}

/// Returns true for a text that llama.cpp's converter takes as a control token in any case.
fn looks_special(text: &str) -> bool {
    let within = |begin: &str, end: &str| text.starts_with(begin) && text.ends_with(end);
    matches!(text, "<pad>" | "<mask>" | "<2mass>" | "[@BOS@]")
        || within("<|", "|>")
        || within("<\u{ff5c}", "\u{ff5c}>")
        || within("<unused", ">")
}

/// Returns true for the token of a byte, such as `<0x0A>`.
fn is_byte(text: &str) -> bool {
    let digits = text
        .strip_prefix("<0x")
        .and_then(|rest| rest.strip_suffix('>'));
    digits.is_some_and(|digits| {
        digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
    })
}

/// Reads the merges: pairs, or texts with a space between the two parts.
fn pairs(model: &Value) -> Result<Vec<(&str, &str)>, GgufError> {
    const KEY: &str = "model.merges";
    let merges = model["merges"].as_array();
    let merges = merges.ok_or_else(|| wrong(KEY, "is not a list"))?;
    let mut pairs = Vec::with_capacity(merges.len());
    for merge in merges {
        let pair = match (merge.as_str(), merge.as_array().map(Vec::as_slice)) {
            (Some(text), _) => text.split_once(' '),
            (None, Some([left, right])) => left.as_str().zip(right.as_str()),
            _ => None,
        };
        pairs.push(pair.ok_or_else(|| wrong(KEY, format!("holds {merge}, not two texts")))?);
    }
    Ok(pairs)
}

/// Returns the merges as texts with a space between the two parts.
fn joined(pairs: &[(&str, &str)]) -> Result<Vec<String>, GgufError> {
    let join = |(left, right): &(&str, &str)| match left.contains(' ') || right.contains(' ') {
        true => {
            let message = format!("joins {left:?} and {right:?}, which contain spaces");
            Err(wrong("model.merges", message))
        }
        false => Ok(format!("{left} {right}")),
    };
    pairs.iter().map(join).collect()
}
