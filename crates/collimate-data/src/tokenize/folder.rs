//! Folders of a tokenizer, read.

use std::path::Path;

use serde_json::{Value, json};
use tokenizers::Tokenizer;

use super::around::{Around, put_around};
use super::files::{CONFIG, SPECIAL, TOKENIZER, object};
use super::folder_tokens::{end_tokens, known, model_vocabulary, special_ids};
use super::save::kept;
use super::template::sources::Named;
use super::template::{ChatFallback, ChatOptions, ChatTemplate};
use super::text_tokenizer::{TextTokenizer, bare};
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

impl TextTokenizer {
    /// Reads `tokenizer.json` with its special tokens and chat template from a folder.
    ///
    /// BOS is the token that the tokenizer itself writes before a text, whatever the folder calls
    /// its tokens. EOS is `eos_token` of `tokenizer_config.json`, else of `special_tokens_map.json`;
    /// where neither names one, it is the token that the tokenizer writes behind a text, else
    /// `sep_token`. Further end tokens come from `generation_config.json` and `config.json`.
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
            let what = match dir.is_dir() {
                true => no_tokenizer(dir),
                false => "no such folder: check the path".to_owned(),
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
            (Some(name), None) if !name.contains('{') => {
                let there = match named.names() {
                    names if names.is_empty() => "it has none".to_owned(),
                    names => format!("it has {names}"),
                };
                return Err(DataError::ChatTemplate(format!(
                    "{} has no template named {name:?}: {there}",
                    dir.display()
                )));
            }
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
        let ids = tokenizer.tokenizer.get_vocab(true).into_values().max();
        let known = model_vocabulary(dir)?.filter(|&known| ids.is_some_and(|id| id >= known));
        Self {
            folder: Some(dir.to_owned()),
            known,
            named,
            ..tokenizer
        }
        .with_chat_options(options.chat.clone())
    }
}

/// Files of tokenizers that are not read, in the order in which they are named.
const OTHER_FORMATS: [&str; 7] = [
    "tokenizer.model",
    "sentencepiece.bpe.model",
    "spiece.model",
    "spm.model",
    "merges.txt",
    "vocab.json",
    "vocab.txt",
];

/// Returns the error of a folder without `tokenizer.json`, which says what to do with the files there.
///
/// The other formats say only part of a tokenizer: its normaliser, its special tokens and the treatment
/// of spaces are code of a class of transformers, which differs from model to model.
fn no_tokenizer(dir: &Path) -> String {
    let found = OTHER_FORMATS
        .into_iter()
        .find(|name| dir.join(name).exists());
    let there = found.map_or_else(String::new, |name| format!(", only {name}"));
    let shown = dir.display();
    format!(
        "no {TOKENIZER} in this folder{there}: write one in Python with \
         `AutoTokenizer.from_pretrained({shown:?}).save_pretrained({shown:?})`",
        shown = shown.to_string()
    )
}
