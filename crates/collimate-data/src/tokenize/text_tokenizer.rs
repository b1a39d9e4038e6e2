//! A tokenizer with its special tokens and its chat template.

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
/// its prompt. It has no space that a tokenizer would put before a text, and it has the ids of the
/// joint text after the border. If a token of the joint text covers the border, the completion is
/// encoded alone, still without that space. `TokenizeReport` counts these cases.
///
/// BOS is the token that the tokenizer itself writes before a text. A token that only its
/// configuration calls `bos_token` is not written.
///
/// Truncation and padding settings stored with the tokenizer are switched off. Otherwise the file
/// of a sentence encoder would pad every text. Special tokens that are spelled out in a text are
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
    /// Tokens that end an answer, including EOS.
    pub(super) ends: Vec<u32>,
    pub(super) answer_end: AnswerEnd,
    pub(super) on_rewritten: OnRewrittenPrompt,
    /// Number of tokens that the model in the folder knows, if the tokenizer has more.
    pub(super) known: Option<u32>,
    pub(super) max_prompt_length: Option<usize>,
    pub(super) template: Option<ChatTemplate>,
    /// Templates of the folder to choose from.
    pub(super) named: Named,
    pub(super) chat: ChatOptions,
    pub(super) fallback: ChatFallback,
    /// Tokens and lengths of `tokenizer_config.json`.
    pub(super) config: Map<String, Value>,
    /// The folder that was read. Used in messages.
    pub(super) folder: Option<PathBuf>,
}

impl TextTokenizer {
    /// Wraps a tokenizer and makes it put `special.bos` before every text, or no token if there is
    /// none. A pad token that equals EOS counts as none. A padded end would look like an end that
    /// the model wrote, and this library does not pad.
    ///
    /// # Errors
    /// [`DataError::SpecialTokens`] if an id is not in the vocabulary. [`DataError::ChatTemplate`]
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

    /// Builds a tokenizer from its parts. `tokenizer` must come from [`bare`].
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
                "pad_token and eos_token are the same (id {id}): the tokenizer is used without a \
                 pad token"
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

    /// Returns the tokenizer with another treatment of conversations if it has no chat template.
    #[must_use]
    pub fn with_chat_fallback(self, fallback: ChatFallback) -> Self {
        Self { fallback, ..self }
    }

    /// Returns the tokenizer with other variables for its chat template.
    ///
    /// # Errors
    /// [`DataError::Argument`] for a variable, or tools, that the template does not read, and for
    /// an invalid date.
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

    /// Returns the variables of the chat template other than the messages.
    pub fn chat_options(&self) -> &ChatOptions {
        &self.chat
    }

    /// Returns the tokenizer with another rule for the end of cut answers (default:
    /// [`AnswerEnd::WholeAnswers`]).
    #[must_use]
    pub fn with_answer_end(self, answer_end: AnswerEnd) -> Self {
        Self { answer_end, ..self }
    }

    /// Returns the tokenizer with another treatment of rows whose prompt has other tokens when the
    /// answer follows (default: [`OnRewrittenPrompt::Count`]).
    #[must_use]
    pub fn with_on_rewritten_prompt(self, on_rewritten: OnRewrittenPrompt) -> Self {
        Self {
            on_rewritten,
            ..self
        }
    }

    /// Returns the tokenizer with another number of tokens that a prompt keeps, including BOS
    /// (default: half of the longest sequence). The number applies if prompt and answer are longer
    /// than the longest sequence. A short answer leaves more tokens to the prompt, and a short
    /// prompt more to the answer.
    #[must_use]
    pub fn with_max_prompt_length(self, max_prompt_length: Option<usize>) -> Self {
        Self {
            max_prompt_length,
            ..self
        }
    }

    /// Returns the tokens that end an answer: EOS, and the end tokens in `generation_config.json`
    /// and `config.json` of the folder.
    pub fn end_tokens(&self) -> &[u32] {
        &self.ends
    }

    /// Returns the special tokens.
    pub fn special(&self) -> SpecialTokenIds {
        self.special
    }

    /// Returns the chat template, if there is one.
    pub fn chat_template(&self) -> Option<&ChatTemplate> {
        self.template.as_ref()
    }

    /// Returns the wrapped tokenizer.
    pub fn inner(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Returns the number of tokens, including added ones.
    pub fn vocab_size(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }

    /// Counts the ids without a token in the tokenizer. A model with padded weights can write such
    /// ids, which have no text.
    pub fn without_text(&self, ids: &[u32]) -> usize {
        let unknown = |id: &&u32| self.tokenizer.id_to_token(**id).is_none();
        ids.iter().filter(unknown).count()
    }

    /// Returns the ids of a text alone, without special tokens around it.
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

    /// Returns the text of ids without special tokens.
    ///
    /// # Errors
    /// [`DataError::Tokenize`] if the decoder fails.
    pub fn decode(&self, ids: &[u32]) -> Result<String, DataError> {
        self.tokenizer
            .decode(ids, true)
            .map_err(|e| DataError::Tokenize(e.to_string()))
    }

    /// Returns the ids that a completion of `prompt` continues, including BOS.
    ///
    /// # Errors
    /// [`DataError::ChatTemplate`] for a conversation that cannot be rendered, or if the tokenizer
    /// has no template and [`ChatFallback::Refuse`] is set. [`DataError::Tokenize`] for a token
    /// that the model in the folder does not know.
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

/// Removes padding and truncation from a tokenizer, which would change what it writes around a
/// text.
pub(super) fn bare(mut tokenizer: Tokenizer) -> Result<Tokenizer, DataError> {
    tokenizer.with_padding(None);
    tokenizer
        .with_truncation(None)
        .map_err(|e| DataError::Tokenize(e.to_string()))?;
    Ok(tokenizer)
}
