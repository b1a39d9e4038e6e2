//! Hugging Face folders in and out.

use std::fs;
use std::path::Path;

use collimate_core::atomic_write;
use serde_json::{Map, Value, json};
use tokenizers::Tokenizer;

use super::length::MAX_LENGTH;
use super::template::{ChatFallback, ChatTemplate};
use super::text_tokenizer::{SpecialTokenIds, TextTokenizer};
use crate::error::DataError;

/// What the user says better than the folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenizerOptions {
    /// Another token at the start of a sequence.
    pub bos_token: Option<String>,
    /// Another token at the end of a sequence.
    pub eos_token: Option<String>,
    /// Another pad token, for folders that name none, or their EOS.
    pub pad_token: Option<String>,
    /// Another chat template.
    pub chat_template: Option<String>,
    /// What to do with conversations without a chat template.
    pub chat_fallback: ChatFallback,
}

/// What is kept of `tokenizer_config.json`: the class and its own settings are not, since the
/// folder is saved for the class that reads `tokenizer.json` alone.
const KEPT: [&str; 14] = [
    "bos_token",
    "eos_token",
    "pad_token",
    "unk_token",
    "cls_token",
    "sep_token",
    "mask_token",
    "additional_special_tokens",
    "add_bos_token",
    "clean_up_tokenization_spaces",
    MAX_LENGTH,
    "padding_side",
    "truncation_side",
    "model_input_names",
];

const TOKENIZER: &str = "tokenizer.json";
const CONFIG: &str = "tokenizer_config.json";
const SPECIAL: &str = "special_tokens_map.json";
const TEMPLATE: &str = "chat_template.jinja";

impl TextTokenizer {
    /// Reads `tokenizer.json` with its special tokens and chat template from a folder.
    ///
    /// Special tokens come from `tokenizer_config.json`, else from `special_tokens_map.json`. Where
    /// there is no `bos_token` or `eos_token`, `cls_token` and `sep_token` take their place; a folder
    /// that says `"add_bos_token": false` has no BOS. A pad token that is the EOS token counts as none.
    ///
    /// # Errors
    /// [`DataError::Tokenizer`] for a folder without `tokenizer.json`, or whose files cannot be
    /// understood; [`DataError::SpecialTokens`] if there is no EOS, or if a token is not in the vocabulary.
    pub fn from_folder(dir: impl AsRef<Path>) -> Result<Self, DataError> {
        Self::from_folder_with(dir, &TokenizerOptions::default())
    }

    /// [`from_folder`](Self::from_folder) with some of the folder's settings replaced.
    ///
    /// # Errors
    /// As [`from_folder`](Self::from_folder).
    pub fn from_folder_with(
        dir: impl AsRef<Path>,
        options: &TokenizerOptions,
    ) -> Result<Self, DataError> {
        let dir = dir.as_ref();
        let path = dir.join(TOKENIZER);
        if !path.is_file() {
            let what = if dir.is_dir() {
                format!("no {TOKENIZER} in this folder: save the tokenizer in its fast format")
            } else {
                "no such folder: check the path".to_owned()
            };
            return Err(DataError::Tokenizer {
                path: dir.to_owned(),
                what,
            });
        }
        let tokenizer = Tokenizer::from_file(&path).map_err(|e| DataError::Tokenizer {
            path,
            what: format!("not a tokenizer: {e}"),
        })?;
        let folder = object(&dir.join(CONFIG))?;
        let fallback = object(&dir.join(SPECIAL))?;
        let mut config = Map::new();
        for name in KEPT {
            // `"bos_token": null` in the first file says that there is none.
            let value = folder.get(name).or_else(|| fallback.get(name));
            let Some(value) = value.filter(|value| !value.is_null()) else {
                continue;
            };
            let content = value.get("content").filter(|_| name.ends_with("_token"));
            config.insert(name.to_owned(), content.unwrap_or(value).clone());
        }
        let replaced = [
            ("bos_token", &options.bos_token),
            ("eos_token", &options.eos_token),
            ("pad_token", &options.pad_token),
        ];
        for (name, token) in replaced {
            if let Some(token) = token {
                config.insert(name.to_owned(), json!(token));
            }
        }
        if options.bos_token.is_some() {
            config.remove("add_bos_token");
        }
        let special = special_ids(dir, &tokenizer, &config)?;
        let source = match &options.chat_template {
            Some(template) => Some(template.clone()),
            None => template_source(dir, &folder)?,
        };
        let template = source.as_deref().map(ChatTemplate::new).transpose()?;
        let tokenizer =
            Self::from_parts(tokenizer, special, template, options.chat_fallback, config)?;
        Ok(Self {
            folder: Some(dir.to_owned()),
            ..tokenizer
        })
    }

    /// Writes `tokenizer.json`, `tokenizer_config.json` and `special_tokens_map.json`, which
    /// `transformers` opens as a `PreTrainedTokenizerFast`. The folder is created where it is missing.
    /// Each file is replaced in one step: it is the old one or the new one, never a part.
    ///
    /// # Errors
    /// [`DataError::Io`] if a file cannot be written.
    pub fn save(&self, dir: impl AsRef<Path>) -> Result<(), DataError> {
        let dir = dir.as_ref();
        fs::create_dir_all(dir).map_err(|e| io(dir, "cannot be created", e))?;
        let path = dir.join(TOKENIZER);
        let text = self
            .tokenizer
            .to_string(true)
            .map_err(|e| DataError::Tokenize(e.to_string()))?;
        replace(&path, &text)?;
        let mut config = self.config.clone();
        config.insert(
            "tokenizer_class".to_owned(),
            json!("PreTrainedTokenizerFast"),
        );
        config
            .entry("clean_up_tokenization_spaces")
            .or_insert(json!(false));
        if let Some(template) = &self.template {
            config.insert("chat_template".to_owned(), json!(template.source()));
        }
        let special: Map<String, Value> = self
            .config
            .iter()
            .filter(|(name, value)| name.ends_with("_token") && value.is_string())
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        write_json(&dir.join(CONFIG), &Value::Object(config))?;
        write_json(&dir.join(SPECIAL), &Value::Object(special))
    }
}

fn special_ids(
    dir: &Path,
    tokenizer: &Tokenizer,
    config: &Map<String, Value>,
) -> Result<SpecialTokenIds, DataError> {
    let id = |names: [&str; 2]| -> Result<Option<u32>, DataError> {
        let named = names
            .iter()
            .find_map(|name| Some((name, config.get(*name)?.as_str()?)));
        let Some((name, token)) = named else {
            return Ok(None);
        };
        tokenizer.token_to_id(token).map(Some).ok_or_else(|| {
            DataError::SpecialTokens(format!(
                "{}: {name} is {token:?}, which is not in the vocabulary: name a token that is",
                dir.display()
            ))
        })
    };
    let adds_bos = config
        .get("add_bos_token")
        .and_then(Value::as_bool)
        .unwrap_or(true);
    Ok(SpecialTokenIds {
        bos: if adds_bos { id(["bos_token", "cls_token"])? } else { None },
        eos: id(["eos_token", "sep_token"])?.ok_or_else(|| {
            DataError::SpecialTokens(format!(
                "{}: neither eos_token nor sep_token is named in {CONFIG} or {SPECIAL}: name one, since every sequence ends with it",
                dir.display()
            ))
        })?,
        pad: id(["pad_token", "pad_token"])?,
    })
}

/// The template in its own file, or in the configuration: a text, or a list with one named `default`.
fn template_source(dir: &Path, folder: &Map<String, Value>) -> Result<Option<String>, DataError> {
    let path = dir.join(TEMPLATE);
    if path.is_file() {
        return fs::read_to_string(&path)
            .map(Some)
            .map_err(|e| io(&path, "cannot be read", e));
    }
    Ok(match folder.get("chat_template") {
        Some(Value::String(template)) => Some(template.clone()),
        Some(Value::Array(named)) => named
            .iter()
            .find(|entry| entry.get("name").and_then(Value::as_str) == Some("default"))
            .and_then(|entry| entry.get("template")?.as_str().map(str::to_owned)),
        _ => None,
    })
}

/// The JSON object in a file, empty if there is no such file.
fn object(path: &Path) -> Result<Map<String, Value>, DataError> {
    if !path.is_file() {
        return Ok(Map::new());
    }
    let bytes = fs::read(path).map_err(|e| io(path, "cannot be read", e))?;
    serde_json::from_slice(&bytes).map_err(|e| DataError::Tokenizer {
        path: path.to_owned(),
        what: format!("not a JSON object: {e}"),
    })
}

fn write_json(path: &Path, value: &Value) -> Result<(), DataError> {
    replace(path, &format!("{value:#}\n"))
}

fn replace(path: &Path, text: &str) -> Result<(), DataError> {
    atomic_write(path, text.as_bytes()).map_err(|e| io(path, "cannot be written", e))
}

fn io(path: &Path, what: &str, source: std::io::Error) -> DataError {
    DataError::Io {
        path: path.to_owned(),
        what: what.to_owned(),
        source,
    }
}
