//! Writing of tokenizer folders.

use std::fs;
use std::path::Path;

use collimate_files::atomic_write;
use serde_json::{Map, Value, json};

use super::files::{CONFIG, SPECIAL, TOKENIZER, io};
use super::text_tokenizer::TextTokenizer;
use crate::error::DataError;

/// Keys of `tokenizer_config.json` that name the class that read the folder, or the files of that
/// class. A saved folder is for the class that reads `tokenizer.json` alone.
const OF_THE_CLASS: [&str; 8] = [
    "tokenizer_class",
    "auto_map",
    "backend",
    "from_slow",
    "name_or_path",
    "special_tokens_map_file",
    "tokenizer_file",
    "vocab_file",
];

/// Keys of `special_tokens_map.json` that apply if `tokenizer_config.json` lacks them.
const OF_THE_MAP: [&str; 8] = [
    "bos_token",
    "eos_token",
    "pad_token",
    "unk_token",
    "cls_token",
    "sep_token",
    "mask_token",
    "additional_special_tokens",
];

impl TextTokenizer {
    /// Writes `tokenizer.json`, `tokenizer_config.json` and `special_tokens_map.json`, which
    /// `transformers` opens as a `PreTrainedTokenizerFast`. Creates the folder if it is missing.
    /// Each file is replaced atomically, so a reader sees the old file or the new file, never a
    /// part.
    ///
    /// # Errors
    /// [`DataError::Io`] if a file cannot be written.
    pub fn save(&self, dir: impl AsRef<Path>) -> Result<(), DataError> {
        let dir = dir.as_ref();
        fs::create_dir_all(dir).map_err(|e| io(dir, "cannot be created", e))?;
        let path = dir.join(TOKENIZER);
        replace(&path, &self.to_json()?)?;
        let special: Map<String, Value> = self
            .config
            .iter()
            .filter(|(name, value)| name.ends_with("_token") && value.is_string())
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        write_json(&dir.join(CONFIG), &self.config_json())?;
        write_json(&dir.join(SPECIAL), &Value::Object(special))
    }

    /// Returns the text of `tokenizer.json`.
    ///
    /// # Errors
    /// [`DataError::Tokenize`] if the tokenizer cannot be written.
    pub fn to_json(&self) -> Result<String, DataError> {
        let text = self.tokenizer.to_string(true);
        text.map_err(|e| DataError::Tokenize(e.to_string()))
    }

    /// Returns the content of `tokenizer_config.json`, which includes the chat template.
    pub fn config_json(&self) -> Value {
        let mut config = self.config.clone();
        config.insert(
            "tokenizer_class".to_owned(),
            json!("PreTrainedTokenizerFast"),
        );
        config
            .entry("clean_up_tokenization_spaces")
            .or_insert(json!(false));
        if let Some(template) = &self.template
            && !config.contains_key("chat_template")
        {
            config.insert("chat_template".to_owned(), json!(template.source()));
        }
        Value::Object(config)
    }
}

/// Returns everything that a saved folder repeats. This is all of `tokenizer_config.json` except
/// the class and the template, with tokens as texts.
pub(super) fn kept(
    folder: &Map<String, Value>,
    special: &Map<String, Value>,
) -> Map<String, Value> {
    let mut config = Map::new();
    let of_the_map = OF_THE_MAP
        .iter()
        .filter(|name| !folder.contains_key(**name))
        .filter_map(|name| Some((name.to_string(), special.get(*name)?.clone())));
    for (name, value) in folder
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()))
        .chain(of_the_map)
    {
        // `"bos_token": null` means that there is none.
        if value.is_null() || OF_THE_CLASS.contains(&name.as_str()) || name == "chat_template" {
            continue;
        }
        let content = value
            .get("content")
            .filter(|_| name.ends_with("_token"))
            .cloned();
        config.insert(name, content.unwrap_or(value));
    }
    config
}

fn write_json(path: &Path, value: &Value) -> Result<(), DataError> {
    replace(path, &format!("{value:#}\n"))
}

fn replace(path: &Path, text: &str) -> Result<(), DataError> {
    atomic_write(path, text.as_bytes()).map_err(|e| io(path, "cannot be written", e.source))
}
