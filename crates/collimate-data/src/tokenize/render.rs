//! Prompts and answers as the text and the ids that a model reads.

use collimate_core::{Completion, Finish, Message, Prompt, Role};

use super::border::Continuation;
use super::special::{AnswerEnd, OnRewrittenPrompt};
use super::template::{ChatFallback, no_template, plain_prompt};
use super::text_tokenizer::TextTokenizer;
use crate::error::DataError;

/// A prompt as text, with a flag for special tokens that the chat template put into it.
#[derive(Debug)]
pub(super) struct Rendered {
    pub(super) text: String,
    pub(super) has_own_specials: bool,
}

impl TextTokenizer {
    /// Returns true if a message of the prompt has a key that the chat template does not read.
    pub(super) fn leaves_unread(&self, prompt: &Prompt) -> bool {
        match (prompt, &self.template) {
            (Prompt::Text(_), _) => false,
            (Prompt::Chat(messages), Some(template)) => template.leaves_unread(messages),
            (Prompt::Chat(messages), None) => {
                messages.iter().any(|message| !message.further.is_empty())
            }
        }
    }

    /// Returns the text from which the ids of the prompt are made.
    pub(super) fn render(&self, prompt: &Prompt) -> Result<Rendered, DataError> {
        match (prompt, &self.template) {
            (Prompt::Text(text), _) => Ok(Rendered {
                text: text.clone(),
                has_own_specials: false,
            }),
            (Prompt::Chat(messages), Some(template)) => Ok(Rendered {
                text: template.render(messages, true, &self.config, &self.chat)?,
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

    /// Renders a conversation with the chat template, as `apply_chat_template` of transformers does with
    /// `tokenize=False`.
    ///
    /// # Errors
    /// [`DataError::ChatTemplate`] for a tokenizer without a template, and for a conversation that the
    /// template refuses.
    pub fn chat_text(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
    ) -> Result<String, DataError> {
        let template = self.template.as_ref();
        let template = template.ok_or_else(|| no_template(self.folder.as_deref()))?;
        template.render(messages, add_generation_prompt, &self.config, &self.chat)
    }

    /// Returns the ids of a completion after a prompt with the ids `prompt_ids`.
    ///
    /// The ids end with exactly one EOS or other end token. A completion that was cut when it was
    /// generated ends as [`with_answer_end`](Self::with_answer_end) says. Sampled ids are used as
    /// they are, because other tokens can have the same text.
    pub(super) fn encode_completion(
        &self,
        prompt: &Prompt,
        rendered: &Rendered,
        prompt_ids: &[u32],
        completion: &Completion,
    ) -> Result<Continuation, DataError> {
        let text = &completion.text;
        let cut = completion.finish == Finish::Length && !self.ends_cut_answers();
        let after = |answer: &str| self.encode_after(rendered, prompt_ids, answer);
        let mut answer = match (&completion.tokens, prompt, &self.template) {
            (Some(tokens), _, _) => Continuation::alone(tokens.clone()),
            (None, Prompt::Text(_), _) => after(text)?,
            (None, Prompt::Chat(messages), Some(template)) => {
                let mut messages = messages.clone();
                messages.push(Message::new(Role::Assistant, text.clone()));
                let full = template.render(&messages, false, &self.config, &self.chat)?;
                // Templates that rewrite earlier turns have no suffix. The answer is then the text
                // itself.
                let suffix = full.strip_prefix(&rendered.text);
                let mut answer = after(suffix.unwrap_or(text))?;
                answer.rewritten = suffix.is_none();
                let end = self.end_of_turn(&answer.ids);
                let keep = usize::from(!cut);
                answer
                    .ids
                    .truncate(end.map_or(answer.ids.len(), |at| at + keep));
                answer
            }
            (None, Prompt::Chat(_), None) if text.starts_with(char::is_whitespace) => after(text)?,
            (None, Prompt::Chat(_), None) => after(&format!(" {text}"))?,
        };
        let ended = answer.ids.last().is_some_and(|id| self.ends.contains(id));
        if !ended && !cut {
            answer.ids.push(self.special.eos);
        }
        self.check_known(&answer.ids, text)?;
        self.check_rewritten(&answer, &rendered.text)?;
        Ok(answer)
    }

    /// Returns true if a cut answer also gets EOS.
    pub(super) fn ends_cut_answers(&self) -> bool {
        self.answer_end == AnswerEnd::EveryAnswer
    }

    /// Returns the index of the token that ends a turn.
    ///
    /// A model never samples the text that a template writes after this token: line breaks, and the
    /// EOS of the whole conversation. The end is therefore the first end token that only blanks and
    /// end tokens follow, or else the last end token.
    fn end_of_turn(&self, ids: &[u32]) -> Option<usize> {
        let mut end = ids.iter().rposition(|id| self.ends.contains(id))?;
        for at in (0..end).rev() {
            if self.ends.contains(&ids[at]) {
                end = at;
            } else if !self.is_blank(ids[at]) {
                break;
            }
        }
        Some(end)
    }

    /// Returns true if a token is a blank or a line break.
    fn is_blank(&self, id: u32) -> bool {
        let text = self.tokenizer.decode(&[id], false);
        text.is_ok_and(|text| text.trim().is_empty())
    }

    /// Refuses a token that the model in the folder does not know.
    pub(super) fn check_known(&self, ids: &[u32], text: &str) -> Result<(), DataError> {
        let Some(known) = self.known else {
            return Ok(());
        };
        match ids.iter().find(|&&id| id >= known) {
            None => Ok(()),
            Some(id) => Err(DataError::Tokenize(format!(
                "{:?} has token id {id} ({:?}), but the model knows ids below {known}: use the \
                 tokenizer that belongs to the model, or remove the token from the text",
                beginning(text),
                self.tokenizer.id_to_token(*id).unwrap_or_default()
            ))),
        }
    }

    /// Refuses an answer that changes the tokens of its prompt, if the policy is to fail.
    fn check_rewritten(&self, answer: &Continuation, prompt: &str) -> Result<(), DataError> {
        if self.on_rewritten == OnRewrittenPrompt::Count {
            return Ok(());
        }
        let what = if answer.rewritten {
            "the chat template writes the prompt differently once an answer follows"
        } else if answer.crossed {
            "a token holds the end of the prompt and the start of the answer"
        } else if answer.respelled {
            "the prompt has other tokens once an answer follows"
        } else {
            return Ok(());
        };
        Err(DataError::RewrittenPrompt {
            prompt: beginning(prompt),
            what,
        })
    }

    /// Returns the ids of a text after a prompt. After an empty prompt, the text is encoded as a
    /// whole text.
    fn encode_after(
        &self,
        rendered: &Rendered,
        prompt_ids: &[u32],
        answer: &str,
    ) -> Result<Continuation, DataError> {
        if rendered.text.is_empty() {
            return Ok(Continuation::alone(self.encode_text(answer)?));
        }
        let bos = match self.special.bos {
            Some(_) if !rendered.has_own_specials => 1,
            _ => 0,
        };
        let prompt_ids = &prompt_ids[bos..];
        self.mid_text
            .encode(&self.tokenizer, &rendered.text, prompt_ids, answer)
    }
}

/// Longest piece of a text in a message, in characters.
const SHOWN: usize = 60;

/// Returns the beginning of a text, for a message.
fn beginning(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
