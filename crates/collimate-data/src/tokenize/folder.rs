//! Hugging Face folders in and out.

use std::fs;
use std::path::Path;

use collimate_files::atomic_write;
use serde_json::{Map, Value, json};
use tokenizers::Tokenizer;

use super::around::{Around, put_around};
use super::template::sources::Named;
use super::template::{ChatFallback, ChatOptions, ChatTemplate};
use super::text_tokenizer::{SpecialTokenIds, TextTokenizer, bare};
use crate::error::DataError;

/// Settings that replace those of the folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenizerOptions {
    /// Another token at the start of a sequence.
    pub bos_token: Option<String>,
    /// Another token at the end of a sequence.
    pub eos_token: Option<String>,
    /// Another pad token, for folders that name none, or their EOS.
    pub pad_token: Option<String>,
    /// Another chat template: Jinja, or the name of one of the folder's templates.
    pub chat_template: Option<String>,
    /// Treatment of conversations without a chat template.
    pub chat_fallback: ChatFallback,
    /// What the chat template is given beside the messages.
    pub chat: ChatOptions,
}

/// Keys of `tokenizer_config.json` that name the class that read the folder, or its files. A saved
/// folder is for the class that reads `tokenizer.json` alone.
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

/// Keys of `special_tokens_map.json` that count where `tokenizer_config.json` has none.
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

const TOKENIZER: &str = "tokenizer.json";
const CONFIG: &str = "tokenizer_config.json";
const SPECIAL: &str = "special_tokens_map.json";
const GENERATION: &str = "generation_config.json";
const MODEL: &str = "config.json";

impl TextTokenizer {
    /// Reads `tokenizer.json` with its special tokens and chat template from a folder.
    ///
    /// BOS is the token that the tokenizer itself writes before a text, whatever the folder calls
    /// its tokens. EOS is `eos_token` of `tokenizer_config.json`, else of `special_tokens_map.json`;
    /// where neither names one, it is the token that the tokenizer writes behind a text, else
    /// `sep_token`. Further end tokens come from `generation_config.json`, else from `config.json`.
    /// A pad token that is the EOS token counts as none.
    ///
    /// Chat templates are `chat_template.jinja` with `additional_chat_templates/`, else `chat_template` of
    /// `tokenizer_config.json` (one text, or several with names), else that of `chat_template.json`.
    /// Of several, conversations are rendered with `default`, or with `tool_use` where
    /// [`ChatOptions::tools`] are given; all are kept when the tokenizer is saved. A template that does
    /// not compile is refused when a conversation is rendered.
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
        let mut tokenizer = bare(tokenizer)?;
        let folder = object(&dir.join(CONFIG))?;
        let mut config = kept(&folder, &object(&dir.join(SPECIAL))?);
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
        let mut around = Around::of(&tokenizer)?;
        if let Some(token) = &options.bos_token {
            config.remove("add_bos_token");
            let bos = known(dir, &tokenizer, "bos_token", token)?;
            put_around(&mut tokenizer, Some(bos), around.behind.first().copied())?;
            around.before = vec![bos];
        }
        for (key, side) in [
            ("add_bos_token", &around.before),
            ("add_eos_token", &around.behind),
        ] {
            let says = config.get(key).and_then(Value::as_bool);
            if says.is_some_and(|adds| adds == side.is_empty()) {
                tracing::warn!(
                    "{}: {key} of {CONFIG} disagrees with {TOKENIZER}: {TOKENIZER} counts, as in \
                     transformers",
                    dir.display()
                );
            }
        }
        let special = special_ids(dir, &tokenizer, &config, &around)?;
        let named = Named::of_folder(dir, &folder)?;
        let by_name = options
            .chat_template
            .as_deref()
            .and_then(|name| named.get(name));
        if (options.chat_template.is_none() || by_name.is_some())
            && let Some(list) = named.listed()
        {
            config.insert("chat_template".to_owned(), list);
        }
        let (template, named) = match (&options.chat_template, by_name) {
            (Some(_), Some(source)) => (
                Some(ChatTemplate::of_folder(source, None)),
                Named::default(),
            ),
            (Some(source), None) => (Some(ChatTemplate::new(source)?), Named::default()),
            (None, _) => (named.pick(false, None), named),
        };
        let fallback = options.chat_fallback;
        let mut tokenizer = Self::from_parts(tokenizer, special, template, fallback, config)?;
        for id in end_tokens(dir)? {
            if !tokenizer.ends.contains(&id) {
                tokenizer.ends.push(id);
            }
        }
        Self {
            folder: Some(dir.to_owned()),
            named,
            ..tokenizer
        }
        .with_chat_options(options.chat.clone())
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
        if let Some(template) = &self.template
            && !config.contains_key("chat_template")
        {
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

/// Everything that a saved folder repeats: all of `tokenizer_config.json` but the class and the
/// template, tokens as texts.
fn kept(folder: &Map<String, Value>, special: &Map<String, Value>) -> Map<String, Value> {
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
        // `"bos_token": null` says that there is none.
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

/// The id of a token that the folder or the user names.
fn known(dir: &Path, tokenizer: &Tokenizer, name: &str, token: &str) -> Result<u32, DataError> {
    tokenizer.token_to_id(token).ok_or_else(|| {
        DataError::SpecialTokens(format!(
            "{}: {name} is {token:?}, which is not in the vocabulary: name a token that is",
            dir.display()
        ))
    })
}

fn special_ids(
    dir: &Path,
    tokenizer: &Tokenizer,
    config: &Map<String, Value>,
    around: &Around,
) -> Result<SpecialTokenIds, DataError> {
    let id = |name: &str| -> Result<Option<u32>, DataError> {
        let token = config.get(name).and_then(Value::as_str);
        token
            .map(|token| known(dir, tokenizer, name, token))
            .transpose()
    };
    for (ids, side) in [(&around.before, "before"), (&around.behind, "behind")] {
        if ids.len() > 1 {
            return Err(DataError::SpecialTokens(format!(
                "{}: the tokenizer writes {} tokens {side} a text (ids {ids:?}): tokenizers that \
                 write at most one on each side are supported",
                dir.display(),
                ids.len()
            )));
        }
    }
    let behind = around.behind.last().copied();
    let eos = match (id("eos_token")?, behind) {
        (Some(eos), Some(behind)) if eos != behind => {
            let token = tokenizer.id_to_token(behind).unwrap_or_default();
            tracing::warn!(
                "{}: the tokenizer ends every text with {token:?}, and eos_token is another: \
                 answers end with eos_token",
                dir.display()
            );
            Some(eos)
        }
        (Some(id), _) | (None, Some(id)) => Some(id),
        (None, None) => id("sep_token")?,
    };
    let eos = eos.ok_or_else(|| {
        DataError::SpecialTokens(format!(
            "{}: neither eos_token nor sep_token is named in {CONFIG} or {SPECIAL}: name one, since every sequence ends with it",
            dir.display()
        ))
    })?;
    Ok(SpecialTokenIds {
        bos: around.before.first().copied(),
        eos,
        pad: id("pad_token")?,
    })
}

/// The tokens that end an answer as the model's files name them: one id or a list.
fn end_tokens(dir: &Path) -> Result<Vec<u32>, DataError> {
    for file in [GENERATION, MODEL] {
        let path = dir.join(file);
        let config = object(&path)?;
        let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        let ids: Vec<u32> = match config.get("eos_token_id") {
            Some(Value::Array(list)) => list.iter().filter_map(id).collect(),
            Some(value) => id(value).into_iter().collect(),
            None => Vec::new(),
        };
        if !ids.is_empty() {
            return Ok(ids);
        }
    }
    Ok(Vec::new())
}

/// The JSON object in a file, empty if there is no such file.
pub(super) fn object(path: &Path) -> Result<Map<String, Value>, DataError> {
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
    atomic_write(path, text.as_bytes()).map_err(|e| io(path, "cannot be written", e.source))
}

pub(super) fn io(path: &Path, what: &str, source: std::io::Error) -> DataError {
    DataError::Io {
        path: path.to_owned(),
        what: what.to_owned(),
        source,
    }
}
