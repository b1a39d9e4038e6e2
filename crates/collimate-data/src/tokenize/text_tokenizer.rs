//! A tokenizer with the special tokens and the chat template that belong to it.

use std::path::PathBuf;

use collimate_core::{Completion, Message, Prompt, Role};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokenizers::Tokenizer;

use super::template::{ChatFallback, ChatTemplate, no_template, plain_prompt};
use crate::error::DataError;

/// The special tokens that sequences are built with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpecialTokenIds {
    /// Begins a sequence (`[CLS]` in a BERT vocabulary); not every model has one.
    pub bos: Option<u32>,
    /// Ends a sequence (`[SEP]` in a BERT vocabulary).
    pub eos: u32,
    /// Fills rows where something else than this library pads; a tokenizer takes `eos` here as none.
    pub pad: Option<u32>,
}

/// Turns prompts and completions into token ids.
///
/// ```text
/// plain text   [BOS, if there is one] + ids(prompt) + ids(completion) + [EOS]
/// chat         ids(template(messages)) + ids(what the template adds for the answer) + [EOS, if that is not its end]
/// ```
/// Each part is tokenised alone, without the tokenizer's own post-processing, and joined by ids, so
/// a prompt has the same ids whatever follows it. Truncation and padding settings stored with the
/// tokenizer are switched off: a sentence encoder's file would otherwise pad every text.
/// Special tokens that are written out in a text are recognised, as in Hugging Face tokenizers.
///
/// # Examples
/// ```
/// use collimate_core::PreferencePair;
/// use collimate_data::{SpecialTokenIds, TextTokenizer, Truncation};
/// use tokenizers::{Tokenizer, models::wordlevel::WordLevel, pre_tokenizers::whitespace::WhitespaceSplit};
/// let words = ["<pad>", "<s>", "</s>", "<unk>", "two", "plus", "is", "four", "five"];
/// let vocab = words.iter().zip(0..).map(|(w, id)| (w.to_string(), id)).collect();
/// let model = WordLevel::builder().vocab(vocab).unk_token("<unk>".into()).build().unwrap();
/// let mut tokenizer = Tokenizer::new(model);
/// tokenizer.with_pre_tokenizer(Some(WhitespaceSplit));
/// let special = SpecialTokenIds { bos: Some(1), eos: 2, pad: Some(0) };
/// let tokenizer = TextTokenizer::new(tokenizer, special, None)?;
/// let pair = PreferencePair::new("two plus two is", "four", "five");
/// let ids = tokenizer.encode_pair(&pair, 16, Truncation::KeepEnd)?;
/// assert_eq!((ids.prompt, ids.chosen, ids.rejected), (vec![1, 4, 5, 4, 6], vec![7, 2], vec![8, 2]));
/// # Ok::<(), collimate_data::DataError>(())
/// ```
#[derive(Debug, Clone)]
pub struct TextTokenizer {
    pub(super) tokenizer: Tokenizer,
    pub(super) special: SpecialTokenIds,
    pub(super) template: Option<ChatTemplate>,
    pub(super) fallback: ChatFallback,
    /// What `tokenizer_config.json` says of tokens and lengths.
    pub(super) config: Map<String, Value>,
    /// Where it was read, for messages.
    pub(super) folder: Option<PathBuf>,
}

impl TextTokenizer {
    /// Wraps a tokenizer. A pad token that is the EOS token counts as none: a padded end could not
    /// be told from an end that the model wrote, and nothing here pads.
    ///
    /// # Errors
    /// [`DataError::SpecialTokens`] if an id is not in the vocabulary.
    pub fn new(
        tokenizer: Tokenizer,
        special: SpecialTokenIds,
        chat_template: Option<&str>,
    ) -> Result<Self, DataError> {
        let mut config = Map::new();
        let ids = [
            ("bos_token", special.bos),
            ("eos_token", Some(special.eos)),
            ("pad_token", special.pad),
        ];
        for (name, id) in ids {
            let Some(id) = id else { continue };
            let token = tokenizer.id_to_token(id).ok_or_else(|| {
                DataError::SpecialTokens(format!(
                    "{name} has id {id}, which is not in the vocabulary of {} tokens",
                    tokenizer.get_vocab_size(true)
                ))
            })?;
            config.insert(name.to_owned(), Value::String(token));
        }
        let template = chat_template.map(ChatTemplate::new).transpose()?;
        Self::from_parts(tokenizer, special, template, ChatFallback::Refuse, config)
    }

    pub(super) fn from_parts(
        mut tokenizer: Tokenizer,
        mut special: SpecialTokenIds,
        template: Option<ChatTemplate>,
        fallback: ChatFallback,
        config: Map<String, Value>,
    ) -> Result<Self, DataError> {
        if special.pad == Some(special.eos) {
            let id = special.eos;
            tracing::debug!(
                "pad_token and eos_token are the same (id {id}): taken as no pad token"
            );
            special.pad = None;
        }
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(None)
            .map_err(|e| DataError::Tokenize(e.to_string()))?;
        Ok(Self {
            tokenizer,
            special,
            template,
            fallback,
            config,
            folder: None,
        })
    }

    /// The same tokenizer with another way to treat conversations when it has no chat template.
    #[must_use]
    pub fn with_chat_fallback(self, fallback: ChatFallback) -> Self {
        Self { fallback, ..self }
    }

    /// The special tokens.
    pub fn special(&self) -> SpecialTokenIds {
        self.special
    }

    /// The chat template, if there is one.
    pub fn chat_template(&self) -> Option<&ChatTemplate> {
        self.template.as_ref()
    }

    /// The wrapped tokenizer.
    pub fn inner(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Number of tokens, added ones included.
    pub fn vocab_size(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }

    /// Ids of a text alone, without special tokens around it.
    ///
    /// # Errors
    /// [`DataError::Tokenize`] if the tokenizer refuses the text.
    pub fn encode_text(&self, text: &str) -> Result<Vec<u32>, DataError> {
        if text.is_empty() {
            return Ok(Vec::new());
        }
        let encoding = self
            .tokenizer
            .encode_fast(text, false)
            .map_err(|e| DataError::Tokenize(e.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of some ids; special tokens are left out.
    ///
    /// # Errors
    /// [`DataError::Tokenize`] if the decoder fails.
    pub fn decode(&self, ids: &[u32]) -> Result<String, DataError> {
        self.tokenizer
            .decode(ids, true)
            .map_err(|e| DataError::Tokenize(e.to_string()))
    }

    /// The ids that a completion of `prompt` continues, BOS included.
    ///
    /// # Errors
    /// [`DataError::ChatTemplate`] for a conversation that cannot be rendered, or that meets a
    /// tokenizer without a template and [`ChatFallback::Refuse`].
    pub fn encode_prompt(&self, prompt: &Prompt) -> Result<Vec<u32>, DataError> {
        let rendered = self.render(prompt)?;
        self.encode_rendered(&rendered)
    }

    pub(super) fn encode_rendered(&self, rendered: &Rendered) -> Result<Vec<u32>, DataError> {
        let mut ids = Vec::new();
        if !rendered.has_own_specials {
            ids.extend(self.special.bos);
        }
        ids.extend(self.encode_text(&rendered.text)?);
        Ok(ids)
    }

    /// What the prompt's ids are made from.
    pub(super) fn render(&self, prompt: &Prompt) -> Result<Rendered, DataError> {
        match (prompt, &self.template) {
            (Prompt::Text(text), _) => Ok(Rendered {
                text: text.clone(),
                has_own_specials: false,
            }),
            (Prompt::Chat(messages), Some(template)) => Ok(Rendered {
                text: template.render(messages, true, &self.config)?,
                has_own_specials: true,
            }),
            (Prompt::Chat(messages), None) => match self.fallback {
                ChatFallback::Plain => Ok(Rendered {
                    text: plain_prompt(messages),
                    has_own_specials: false,
                }),
                ChatFallback::Refuse => Err(no_template(self.folder.as_deref())),
            },
        }
    }

    /// Ids of a completion, ending with EOS exactly once.
    ///
    /// Sampled ids are used as they are: the same text can be written with other tokens.
    pub(super) fn encode_completion(
        &self,
        prompt: &Prompt,
        rendered: &Rendered,
        completion: &Completion,
    ) -> Result<Vec<u32>, DataError> {
        let eos = self.special.eos;
        let mut ids = match (&completion.tokens, prompt, &self.template) {
            (Some(tokens), _, _) => tokens.clone(),
            (None, Prompt::Text(_), _) => self.encode_text(&completion.text)?,
            (None, Prompt::Chat(messages), Some(template)) => {
                let mut messages = messages.clone();
                messages.push(Message {
                    role: Role::Assistant,
                    content: completion.text.clone(),
                });
                let full = template.render(&messages, false, &self.config)?;
                // Templates that rewrite earlier turns have no suffix; the text itself is the answer then.
                let answer = full
                    .strip_prefix(&rendered.text)
                    .unwrap_or(&completion.text);
                let mut ids = self.encode_text(answer)?;
                // What a template writes after the end of the turn (a line break) is never sampled.
                let after_text = ids
                    .iter()
                    .rposition(|&id| id == eos)
                    .map_or(ids.len(), |at| at + 1);
                ids.truncate(after_text);
                ids
            }
            (None, Prompt::Chat(_), None) => {
                let spaced = completion.text.starts_with(char::is_whitespace);
                let text = &completion.text;
                self.encode_text(&if spaced {
                    text.clone()
                } else {
                    format!(" {text}")
                })?
            }
        };
        if ids.last() != Some(&eos) {
            ids.push(eos);
        }
        Ok(ids)
    }
}

/// A prompt as text, and whether the chat template put its special tokens into it.
#[derive(Debug)]
pub(super) struct Rendered {
    pub(super) text: String,
    pub(super) has_own_specials: bool,
}
