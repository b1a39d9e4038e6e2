//! Metadata of special tokens and of the chat template.

use std::collections::HashMap;

use serde_json::Value;

use super::vocab::{TEMPLATE, TEMPLATES};
use super::write::{Tokens, Written, wrong};
use crate::family::Json;
use crate::{GgufError, MetadataArray, MetadataValue};

/// The id of each token.
pub(crate) type Names<'a> = HashMap<&'a str, usize>;

/// Adds the ids of special tokens, the marks around a text, and the chat template.
pub(crate) fn add(
    tokens: &Tokens<'_>,
    names: &Names<'_>,
    written: &mut Written,
) -> Result<(), GgufError> {
    let mut main = None;
    for (name, key) in [
        ("bos", "bos_token_id"),
        ("eos", "eos_token_id"),
        ("unk", "unknown_token_id"),
        ("sep", "seperator_token_id"),
        ("pad", "padding_token_id"),
        ("mask", "mask_token_id"),
    ] {
        if let Some(id) = id(tokens, names, name)? {
            written.set(key, number(id));
            main = main.or(Some(id).filter(|_| name == "eos"));
        }
    }
    if main.is_none() {
        let message = "is missing, so that llama.cpp would end texts at a token of its own choice";
        return Err(tokens.settings.wrong("eos_token", message));
    }
    ends(tokens, main, written)?;
    let (bos, eos) = around(tokens, names)?;
    let settings = tokens.settings;
    written.truth(
        "add_bos_token",
        settings.truth("add_bos_token")?.unwrap_or(bos),
    );
    written.truth(
        "add_eos_token",
        settings.truth("add_eos_token")?.unwrap_or(eos),
    );
    templates(tokens, written)
}

/// Converts an id, which is below the number of rows and so fits into 32 bits.
fn number(id: usize) -> MetadataValue {
    MetadataValue::U32(id as u32)
}

/// Returns the text of a token in `tokenizer_config.json`.
fn text<'a>(settings: &Json<'a>, key: &str) -> Result<Option<&'a str>, GgufError> {
    match settings.get(key) {
        Some(value) if value.is_object() => match value["content"].as_str() {
            Some(text) => Ok(Some(text)),
            None => Err(settings.wrong(key, "has no content")),
        },
        _ => settings.text(key),
    }
}

/// Returns the id of a special token: of the text in `tokenizer_config.json`, else the id in
/// `config.json`.
fn id(tokens: &Tokens<'_>, names: &Names<'_>, name: &str) -> Result<Option<usize>, GgufError> {
    let key = format!("{name}_token");
    if let Some(text) = text(&tokens.settings, &key)? {
        return match names.get(text) {
            Some(id) => Ok(Some(*id)),
            None => Err(tokens
                .settings
                .wrong(&key, format!("is {text:?}, which is not a token"))),
        };
    }
    let key = format!("{name}_token_id");
    Ok(ids(&tokens.config, &key, tokens.rows)?.first().copied())
}

/// Reads one id or a list of ids.
fn ids(json: &Json<'_>, key: &str, rows: usize) -> Result<Vec<usize>, GgufError> {
    let Some(value) = json.get(key) else {
        return Ok(Vec::new());
    };
    let list = value
        .as_array()
        .map_or(std::slice::from_ref(value), Vec::as_slice);
    let id = |value: &Value| {
        let id = value.as_u64().and_then(|id| usize::try_from(id).ok());
        let message = || format!("is {value}, not the id of a token");
        id.filter(|id| *id < rows)
            .ok_or_else(|| json.wrong(key, message()))
    };
    list.iter().map(id).collect()
}

/// Adds up to two more tokens that end a text. llama.cpp stops at them as at EOS.
fn ends(tokens: &Tokens<'_>, main: Option<usize>, written: &mut Written) -> Result<(), GgufError> {
    const KEY: &str = "eos_token_id";
    let mut ends = Vec::new();
    for json in [tokens.generation, Some(tokens.config)]
        .into_iter()
        .flatten()
    {
        ends.extend(ids(&json, KEY, tokens.rows)?);
    }
    let mut others = Vec::new();
    for id in ends {
        if Some(id) != main && !others.contains(&id) {
            others.push(id);
        }
    }
    let mut others = others.into_iter();
    for key in ["eot_token_id", "eom_token_id"] {
        if let Some(id) = others.next() {
            written.set(key, number(id));
        }
    }
    for id in others {
        written
            .left_out
            .push(format!("the end of a text with the token {id}"));
    }
    Ok(())
}

/// Returns true for BOS before a text, and for EOS behind, as `tokenizer.json` says.
fn around(tokens: &Tokens<'_>, names: &Names<'_>) -> Result<(bool, bool), GgufError> {
    let processor = &tokens.tokenizer["post_processor"];
    let list = processor["processors"].as_array().map(Vec::as_slice);
    let list = list.unwrap_or(std::slice::from_ref(processor));
    let mut around = (false, false);
    for processor in list {
        let single = match processor["type"].as_str() {
            // Only the positions of tokens in the text differ.
            None | Some("ByteLevel") => continue,
            Some("TemplateProcessing") => processor["single"].as_array().map(Vec::as_slice),
            Some(_) => None,
        };
        let bos = id(tokens, names, "bos")?;
        let eos = id(tokens, names, "eos")?;
        let is_text = |part: &Value| part["Sequence"]["id"] == "A";
        let is = |part: &Value, id: Option<usize>| {
            let text = part["SpecialToken"]["id"].as_str();
            id.is_some() && text.and_then(|text| names.get(text)).copied() == id
        };
        around = match single {
            Some([text]) if is_text(text) => (false, false),
            Some([first, text]) if is(first, bos) && is_text(text) => (true, false),
            Some([text, last]) if is_text(text) && is(last, eos) => (false, true),
            Some([first, text, last]) if is(first, bos) && is_text(text) && is(last, eos) => {
                (true, true)
            }
            _ => {
                let message = format!("is {processor}, but llama.cpp adds only BOS and EOS");
                return Err(wrong("post_processor", message));
            }
        };
    }
    Ok(around)
}

/// Adds the chat template, or several with names.
fn templates(tokens: &Tokens<'_>, written: &mut Written) -> Result<(), GgufError> {
    const KEY: &str = "chat_template";
    let mut add = |key: String, text: &str| {
        let value = MetadataValue::String(text.to_owned());
        written.metadata.push((key, value));
    };
    let settings = tokens.settings;
    match (tokens.template, settings.get(KEY)) {
        (Some(text), _) => add(TEMPLATE.to_owned(), text),
        (None, None) => (),
        (None, Some(Value::String(text))) => add(TEMPLATE.to_owned(), text),
        (None, Some(Value::Array(list))) => {
            let mut names = Vec::new();
            for entry in list {
                let (Some(name), Some(text)) = (entry["name"].as_str(), entry["template"].as_str())
                else {
                    let message = format!("holds {entry}, which lacks a name or a template");
                    return Err(settings.wrong(KEY, message));
                };
                if name == "default" {
                    add(TEMPLATE.to_owned(), text);
                } else {
                    add(format!("{TEMPLATE}.{name}"), text);
                    names.push(name.to_owned());
                }
            }
            let names = MetadataValue::Array(MetadataArray::String(names));
            written.metadata.push((TEMPLATES.to_owned(), names));
        }
        (None, Some(other)) => {
            let message = format!("is {other}, neither a text nor a list of texts with names");
            return Err(settings.wrong(KEY, message));
        }
    }
    Ok(())
}
