//! A digest of everything that determines the ids of a tokenizer.

use std::collections::BTreeMap;

use collimate_core::Json;
use serde::Serialize;
use tokenizers::ModelWrapper;

use super::special::{AnswerEnd, OnRewrittenPrompt};
use super::template::{ChatFallback, ChatTemplate};
use super::text_tokenizer::TextTokenizer;
use crate::content::part;
use crate::error::DataError;

/// Version of the code that makes ids. The number changes if the same tokenizer gives other ids
/// without a new version of this crate.
const RULES: &str = concat!("1 ", env!("CARGO_PKG_VERSION"));

/// Settings beside the tokenizer itself.
#[derive(Serialize)]
struct Settings<'a> {
    /// `tokenizer.json` has no place for this setting.
    encode_special_tokens: bool,
    /// Sampling of a unigram model, for which `tokenizer.json` has no place.
    sampling: (Option<f64>, Option<usize>),
    bos: Option<u32>,
    eos: u32,
    ends: &'a [u32],
    answer_end: AnswerEnd,
    on_rewritten: OnRewrittenPrompt,
    known: Option<u32>,
    max_prompt_length: Option<usize>,
    template: Option<&'a str>,
    /// Texts of the special tokens, which are variables of the template.
    tokens: BTreeMap<&'a str, &'a str>,
    template_kwargs: &'a [(String, Json)],
    tools: Option<&'a [Json]>,
    date: Option<String>,
    fallback: ChatFallback,
}

impl TextTokenizer {
    /// Returns a digest of everything that determines ids, as 64 hexadecimal digits: the
    /// tokenizer, its special tokens, the chat template with its variables, and the settings of
    /// this type. The folder of the tokenizer does not count.
    ///
    /// Tokenizers with the same fingerprint give the same ids for every text. A new version of this
    /// crate gives new fingerprints. If the template writes today's date
    /// ([`ChatOptions::date`](super::ChatOptions::date)), the fingerprint changes from day to day,
    /// as the ids do.
    ///
    /// # Errors
    /// [`DataError::Tokenize`] if the tokenizer cannot be written as JSON.
    pub fn fingerprint(&self) -> Result<String, DataError> {
        let inner = self.tokenizer.to_string(false);
        let inner = inner.map_err(|e| DataError::Tokenize(e.to_string()))?;
        let settings = serde_json::to_string(&self.settings());
        let settings = settings.map_err(|e| DataError::Tokenize(e.to_string()))?;
        let mut hasher = blake3::Hasher::new();
        for text in [RULES, &inner, &settings] {
            part(&mut hasher, text);
        }
        Ok(hasher.finalize().to_hex().to_string())
    }

    /// Returns all settings that determine ids. The pad token, the templates that are not used
    /// and the folder do not affect ids.
    fn settings(&self) -> Settings<'_> {
        let tokens = self.config.iter();
        let tokens = tokens.filter(|(name, _)| name.ends_with("_token"));
        let today = || self.template.as_ref().and_then(ChatTemplate::today);
        Settings {
            encode_special_tokens: self.tokenizer.get_encode_special_tokens(),
            sampling: match self.tokenizer.get_model() {
                ModelWrapper::Unigram(model) => (model.alpha, model.nbest_size),
                _ => (None, None),
            },
            bos: self.special.bos,
            eos: self.special.eos,
            ends: &self.ends,
            answer_end: self.answer_end,
            on_rewritten: self.on_rewritten,
            known: self.known,
            max_prompt_length: self.max_prompt_length,
            template: self.template.as_ref().map(ChatTemplate::source),
            tokens: tokens
                .filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
                .collect(),
            template_kwargs: &self.chat.template_kwargs,
            tools: self.chat.tools.as_deref(),
            date: self.chat.date.clone().or_else(today),
            fallback: self.fallback,
        }
    }
}
