//! A tokenizer with the special tokens and the chat template that belong to it.

use std::path::PathBuf;
use std::sync::Arc;

use collimate_core::Prompt;
use serde_json::{Map, Value};
use tokenizers::Tokenizer;

use super::around::{Around, put_around};
use super::border::MidText;
use super::render::Rendered;
use super::special::{AnswerEnd, OnRewrittenPrompt, SpecialTokenIds};
use super::template::sources::Named;
use super::template::{ChatFallback, ChatOptions, ChatTemplate};
use crate::error::DataError;

/// Turns prompts and completions into token ids.
///
/// ```text
/// plain text   [BOS, if the tokenizer puts one] + ids(prompt) + ids(completion after prompt) + [EOS]
/// chat         ids(template(messages)) + ids(text that the template adds for the answer) + [EOS, if that is not its end]
/// ```
/// A prompt has the same ids whatever follows it. A completion is encoded as the text that follows
/// its prompt: without the space that many tokenizers put before a text, and with the ids that the
/// joint text has behind the border. Where a token of the joint text covers the border, the
/// completion is encoded alone, still without that space; `TokenizeReport` counts these.
///
/// BOS is the token that the tokenizer itself writes before a text. A token that its configuration
/// merely names `bos_token` is not written.
///
/// Truncation and padding settings stored with the tokenizer are switched off: a sentence encoder's
/// file would otherwise pad every text. Special tokens that are written out in a text are
/// recognised, as in Hugging Face tokenizers.
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
    pub(super) tokenizer: Arc<Tokenizer>,
    pub(super) mid_text: Arc<MidText>,
    pub(super) special: SpecialTokenIds,
    /// Tokens that end an answer, EOS among them.
    pub(super) ends: Vec<u32>,
    pub(super) answer_end: AnswerEnd,
    pub(super) on_rewritten: OnRewrittenPrompt,
    /// Number of tokens that the folder's model knows, where the tokenizer has more.
    pub(super) known: Option<u32>,
    pub(super) max_prompt_length: Option<usize>,
    pub(super) template: Option<ChatTemplate>,
    /// Templates of the folder, to choose from.
    pub(super) named: Named,
    pub(super) chat: ChatOptions,
    pub(super) fallback: ChatFallback,
    /// Tokens and lengths of `tokenizer_config.json`.
    pub(super) config: Map<String, Value>,
    /// The folder that was read, for messages.
    pub(super) folder: Option<PathBuf>,
}

impl TextTokenizer {
    /// Wraps a tokenizer, which puts `special.bos` before every text from now on, or no token if
    /// there is none. A pad token that is the EOS token counts as none: a padded end could not be
    /// told from an end that the model wrote, and nothing here pads.
    ///
    /// # Errors
    /// [`DataError::SpecialTokens`] if an id is not in the vocabulary; [`DataError::ChatTemplate`]
    /// for a template that does not compile.
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
        let mut tokenizer = bare(tokenizer)?;
        let around = Around::of(&tokenizer)?;
        if around.before != special.bos.into_iter().collect::<Vec<_>>() {
            let behind = around.behind.first().copied();
            put_around(&mut tokenizer, special.bos, behind)?;
        }
        Self::from_parts(tokenizer, special, template, ChatFallback::Refuse, config)
    }

    /// `tokenizer` is [`bare`].
    pub(super) fn from_parts(
        tokenizer: Tokenizer,
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
        Ok(Self {
            mid_text: Arc::new(MidText::of(&tokenizer)?),
            tokenizer: Arc::new(tokenizer),
            special,
            ends: vec![special.eos],
            answer_end: AnswerEnd::default(),
            on_rewritten: OnRewrittenPrompt::default(),
            known: None,
            max_prompt_length: None,
            template,
            named: Named::default(),
            chat: ChatOptions::default(),
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

    /// The same tokenizer with other variables for its chat template.
    ///
    /// # Errors
    /// [`DataError::Argument`] for a variable, or tools, that the template does not read, and for a
    /// date that is none.
    pub fn with_chat_options(self, chat: ChatOptions) -> Result<Self, DataError> {
        let date = chat.moment()?;
        let tools = chat.tools.is_some();
        let template = match self.named.pick(tools, date) {
            Some(template) => Some(template),
            None => self
                .template
                .as_ref()
                .map(|template| ChatTemplate::of_folder(template.source(), date)),
        };
        chat.check(template.as_ref())?;
        Ok(Self {
            template,
            chat,
            ..self
        })
    }

    /// The variables that the chat template is given beside the messages.
    pub fn chat_options(&self) -> &ChatOptions {
        &self.chat
    }

    /// The same tokenizer with another rule for the end of answers that were cut (default:
    /// [`AnswerEnd::WholeAnswers`]).
    #[must_use]
    pub fn with_answer_end(self, answer_end: AnswerEnd) -> Self {
        Self { answer_end, ..self }
    }

    /// The same tokenizer with another treatment of rows whose prompt has other tokens where the answer
    /// follows (default: [`OnRewrittenPrompt::Count`]).
    #[must_use]
    pub fn with_on_rewritten_prompt(self, on_rewritten: OnRewrittenPrompt) -> Self {
        Self {
            on_rewritten,
            ..self
        }
    }

    /// The same tokenizer with another number of tokens that a prompt keeps, BOS included, where
    /// prompt and answer are longer than the longest sequence (default: half of that). A short
    /// answer leaves more to the prompt, and a short prompt more to the answer.
    #[must_use]
    pub fn with_max_prompt_length(self, max_prompt_length: Option<usize>) -> Self {
        Self {
            max_prompt_length,
            ..self
        }
    }

    /// Tokens that end an answer: EOS, and those that `generation_config.json` and `config.json` of the
    /// folder name beside it.
    pub fn end_tokens(&self) -> &[u32] {
        &self.ends
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

    /// Number of the ids that the tokenizer has no token for: a model whose weights are padded can write
    /// them, and they have no text.
    pub fn without_text(&self, ids: &[u32]) -> usize {
        let unknown = |id: &&u32| self.tokenizer.id_to_token(**id).is_none();
        ids.iter().filter(unknown).count()
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
    /// tokenizer without a template and [`ChatFallback::Refuse`]; [`DataError::Tokenize`] for a token that
    /// the folder's model does not know.
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
        self.check_known(&ids, &rendered.text)?;
        Ok(ids)
    }
}

/// The tokenizer without padding and truncation, which would change what it writes around a text.
pub(super) fn bare(mut tokenizer: Tokenizer) -> Result<Tokenizer, DataError> {
    tokenizer.with_padding(None);
    tokenizer
        .with_truncation(None)
        .map_err(|e| DataError::Tokenize(e.to_string()))?;
    Ok(tokenizer)
}
