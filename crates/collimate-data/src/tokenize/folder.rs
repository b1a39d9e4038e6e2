//! Reading of tokenizer folders.

use std::path::Path;

use serde_json::{Value, json};
use tokenizers::Tokenizer;

use super::adapter::tokenizer_folder;
use super::around::{Around, put_around};
use super::files::{CONFIG, SPECIAL, TOKENIZER, inside, object};
use super::folder_tokens::{end_tokens, known, model_vocabulary, special_ids};
use super::save::kept;
use super::template::sources::Named;
use super::template::{ChatFallback, ChatOptions, ChatTemplate};
use super::text_tokenizer::{TextTokenizer, bare};
use crate::error::DataError;

/// Settings that replace those of the folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenizerOptions {
    /// Token at the start of a sequence.
    pub bos_token: Option<String>,
    /// Token at the end of a sequence.
    pub eos_token: Option<String>,
    /// Pad token, for folders that name none or that use EOS as pad token.
    pub pad_token: Option<String>,
    /// Chat template: Jinja source, or the name of one of the folder's templates.
    pub chat_template: Option<String>,
    /// Treatment of conversations without a chat template.
    pub chat_fallback: ChatFallback,
    /// Variables of the chat template other than the messages.
    pub chat: ChatOptions,
}

impl TextTokenizer {
    /// Reads `tokenizer.json` with its special tokens and chat template from a folder.
    ///
    /// BOS is the token that the tokenizer itself writes before a text, whatever the folder calls
    /// its tokens. EOS is `eos_token` of `tokenizer_config.json`, else of
    /// `special_tokens_map.json`. If neither file names one, EOS is the token that the tokenizer
    /// writes after a text, else `sep_token`. The last resort is an end token of the model's files.
    /// Further end tokens come from `generation_config.json` and `config.json`. A pad token that
    /// equals EOS counts as no pad token.
    ///
    /// Chat templates come from `chat_template.jinja` with `additional_chat_templates/`, else from
    /// `chat_template` of `tokenizer_config.json` (one text, or several with names), else from
    /// `chat_template.json`. Of several templates, conversations are rendered with `default`, or
    /// with `tool_use` if [`ChatOptions::tools`] are given. All templates are kept when the
    /// tokenizer is saved. A template that does not compile causes an error only when a
    /// conversation is rendered.
    ///
    /// A folder with a PEFT adapter and without a tokenizer has the tokenizer of its base model. The
    /// path may be a GGUF file instead of a folder.
    ///
    /// # Errors
    /// [`DataError::Tokenizer`] for a folder without `tokenizer.json`, or with files that cannot be
    /// understood. [`DataError::SpecialTokens`] if there is no EOS, or if a token is not in the
    /// vocabulary.
    pub fn from_folder(dir: impl AsRef<Path>) -> Result<Self, DataError> {
        Self::from_folder_with(dir, &TokenizerOptions::default())
    }

    /// Reads a folder like [`from_folder`](Self::from_folder), with some of its settings replaced.
    ///
    /// # Errors
    /// As [`from_folder`](Self::from_folder).
    pub fn from_folder_with(
        dir: impl AsRef<Path>,
        options: &TokenizerOptions,
    ) -> Result<Self, DataError> {
        let dir = &tokenizer_folder(dir.as_ref())?;
        let path = dir.join(TOKENIZER);
        let tokenizer = match (path.is_file(), inside(&path)?) {
            (true, _) => Tokenizer::from_file(&path),
            (false, Some(json)) => Tokenizer::from_bytes(json.to_string()),
            (false, None) => {
                let what = match dir.is_dir() {
                    true => no_tokenizer(dir),
                    false => "no such folder: check the path".to_owned(),
                };
                return Err(DataError::Tokenizer {
                    path: dir.to_owned(),
                    what,
                });
            }
        };
        let tokenizer = tokenizer.map_err(|e| DataError::Tokenizer {
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
                    "{}: {key} of {CONFIG} disagrees with {TOKENIZER}: {TOKENIZER} is used, as in \
                     Transformers",
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
                    names if names.is_empty() => "the folder has none".to_owned(),
                    names => format!("the folder has {names}"),
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

/// Files of tokenizers that are not supported, in the order in which the error names them.
const OTHER_FORMATS: [&str; 7] = [
    "tokenizer.model",
    "sentencepiece.bpe.model",
    "spiece.model",
    "spm.model",
    "merges.txt",
    "vocab.json",
    "vocab.txt",
];

/// Returns the error text of a folder without `tokenizer.json`, with advice for the files found
/// there.
///
/// The other formats describe only a part of a tokenizer. Its normaliser, its special tokens and
/// the treatment of spaces are code of a class of transformers and differ from model to model.
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
