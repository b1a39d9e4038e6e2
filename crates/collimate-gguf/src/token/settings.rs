//! `tokenizer_config.json` and `generation_config.json` of the tokenizer in a GGUF file.

use serde_json::{Map, Value, json};

use super::read::adds_bos_if_absent;
use super::vocab::{Kind, TEMPLATE, TEMPLATES, Vocabulary};
use crate::GgufError;

/// Tokens that end a turn, which many files do not name in the metadata.
const TURN_ENDS: [&str; 5] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "<|eom_id|>",
];

/// Returns `tokenizer_config.json`. `context` is the number of tokens that the model was made for.
pub(crate) fn config(vocabulary: &Vocabulary<'_>, context: &Value) -> Result<Value, GgufError> {
    let mut config = Map::new();
    let mut set = |name: &str, value: Value| config.insert(name.to_owned(), value);
    set("tokenizer_class", json!("PreTrainedTokenizerFast"));
    let names = [
        ("bos_token", "bos_token_id"),
        ("eos_token", "eos_token_id"),
        ("unk_token", "unknown_token_id"),
        ("pad_token", "padding_token_id"),
        ("sep_token", "seperator_token_id"),
        ("cls_token", "cls_token_id"),
        ("mask_token", "mask_token_id"),
    ];
    for (name, key) in names {
        if let Some(id) = vocabulary.id(key)? {
            set(name, json!(vocabulary.tokens[id]));
        }
    }
    let adds_bos = vocabulary.adds_bos(adds_bos_if_absent(vocabulary)?)?;
    set("add_bos_token", json!(adds_bos));
    set("add_eos_token", json!(vocabulary.adds_eos()?));
    set("clean_up_tokenization_spaces", json!(false));
    set("model_max_length", context.clone());
    if let Some(template) = template(vocabulary)? {
        set("chat_template", template);
    }
    Ok(config.into())
}

/// Returns the chat template: a text, or a list of texts with names.
fn template(vocabulary: &Vocabulary<'_>) -> Result<Option<Value>, GgufError> {
    let gguf = vocabulary.gguf;
    let text = |key: &str| match gguf.get(key).map(|value| value.as_str()) {
        None => Ok(None),
        Some(Some(text)) => Ok(Some(text)),
        Some(None) => Err(GgufError::metadata(gguf.path(), key, "is not a text")),
    };
    let main = text(TEMPLATE)?;
    let Some(names) = gguf.get(TEMPLATES) else {
        return Ok(main.map(Value::from));
    };
    let wrong = |message: &str| GgufError::metadata(gguf.path(), TEMPLATES, message);
    let names = names.as_array().and_then(|names| names.as_strings());
    let names = names.ok_or_else(|| wrong("is not a list of names"))?;
    let mut templates = Vec::new();
    if let Some(template) = main {
        templates.push(json!({"name": "default", "template": template}));
    }
    for name in names.iter().filter(|name| *name != "default") {
        let template = text(&format!("{TEMPLATE}.{name}"))?;
        let template = template.ok_or_else(|| wrong(&format!("names {name}, which is missing")))?;
        templates.push(json!({"name": name, "template": template}));
    }
    Ok(Some(templates.into()))
}

/// Returns the ids of the tokens that end a text, the one of the metadata first.
///
/// Tokens that the file names as the end of a turn or of a message count, and control tokens with
/// the usual texts if the chat template mentions them.
fn ends(vocabulary: &Vocabulary<'_>) -> Result<Vec<usize>, GgufError> {
    let mut ends = Vec::new();
    for key in ["eos_token_id", "eot_token_id", "eom_token_id"] {
        ends.extend(vocabulary.id(key)?);
    }
    let template = template(vocabulary)?.map(|template| template.to_string());
    let template = template.unwrap_or_default();
    let tokens = vocabulary.tokens.iter().zip(&vocabulary.kinds).enumerate();
    for (id, (token, kind)) in tokens {
        let ends_turn = TURN_ENDS.contains(&token.as_str()) && template.contains(token.as_str());
        if ends_turn && matches!(kind, Kind::Control | Kind::UserDefined) {
            ends.push(id);
        }
    }
    let mut distinct = Vec::new();
    for id in ends {
        if !distinct.contains(&id) {
            distinct.push(id);
        }
    }
    Ok(distinct)
}

/// Returns `generation_config.json`.
pub(crate) fn generation(vocabulary: &Vocabulary<'_>) -> Result<Value, GgufError> {
    let eos = match ends(vocabulary)?.as_slice() {
        [] => Value::Null,
        [id] => json!(id),
        ids => json!(ids),
    };
    Ok(json!({
        "bos_token_id": vocabulary.id("bos_token_id")?,
        "eos_token_id": eos,
        "pad_token_id": vocabulary.id("padding_token_id")?,
    }))
}
