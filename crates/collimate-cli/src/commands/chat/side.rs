//! One model of a chat, with its own conversation.

use std::path::Path;

use collimate::core::{GenerateError, Message, Prompt, Role, Sampling};
use collimate::data::ChatFallback;
use collimate::lm::{Llama, TextGenerator};
use collimate::nn::{Backbone, HfFolder};
use collimate::prelude::Device;

use super::history::History;
use super::interrupt::Stop;
use super::reply::Reply;
use crate::commands::generate::{NO_TEMPLATE, said, tell_without_text};
use crate::common::{self, Failure};
use crate::loading;
use crate::sampling::Settled;

/// Text that ends an answer in plain text, because plain text has no token that ends a turn.
const NEXT_TURN: &str = "\n\nUser:";

/// A model that answers, with its conversation.
pub(super) struct Side {
    /// Letter before the model's answers, if two models answer.
    pub(super) mark: Option<&'static str>,
    pub(super) history: History,
    generator: TextGenerator<Llama>,
    /// True if the model has no chat template.
    plain: bool,
}

/// An answer, with the messages before it.
pub(super) struct Answered {
    pub(super) asked: Vec<Message>,
    /// The answer; `None` if it was stopped before its first word.
    pub(super) text: Option<String>,
}

impl Side {
    /// Opens the model in the folder that `option` names.
    pub(super) fn open(
        option: &str,
        dir: &Path,
        settled: &Settled,
        system: Option<&str>,
        device: &Device,
    ) -> Result<Self, Failure> {
        let rendering = &settled.rendering;
        common::check_writer(option, dir)?;
        let tokenizer = rendering.open(dir)?;
        let shown = dir.display();
        let plain = tokenizer.chat_template().is_none();
        if plain && rendering.chat_fallback == ChatFallback::Refuse {
            return Err(format!(
                "{option} {shown} has no chat template: name a model that was trained to chat, or \
                 give --chat-fallback plain"
            )
            .into());
        }
        let history = History::new(system.map(str::to_owned));
        let mut messages = history.messages();
        messages.push(Message::new(Role::User, "Hello"));
        tokenizer
            .encode_prompt(&Prompt::Chat(messages))
            .map_err(|error| {
                let system = match system {
                    Some(_) => ", or remove --system",
                    None => "",
                };
                format!("{option} {shown}: {error}: correct the folder's chat template{system}")
            })?;
        let model = Llama::load(dir, loading::frozen(device))?;
        Ok(Self {
            mark: None,
            history,
            generator: TextGenerator::new(settled.writes_with(model), tokenizer)
                .with_eos_of(dir)?,
            plain,
        })
    }

    /// Writes the answer to the last message, and keeps it. `tries` is the number of earlier
    /// answers to this message: each further answer draws other random numbers.
    pub(super) fn answer(
        &mut self,
        sampling: &Sampling,
        tries: u64,
        stop: &Stop,
    ) -> Result<Answered, Failure> {
        let ids = self.fit(sampling.max_new_tokens)?;
        let mut sampling = Sampling {
            seed: sampling.seed.wrapping_add(tries),
            ..sampling.clone()
        };
        if self.plain {
            sampling.stop.push(NEXT_TURN.to_owned());
        }
        let mut reply = Reply::new(stop.begin(), self.plain, self.mark);
        let ended = self.generator.continue_ids(&[ids], &sampling, &mut reply);
        stop.end();
        let stopped = matches!(ended, Err(GenerateError::Interrupted));
        let text = reply.finish()?;
        if !stopped {
            let written = ended.map_err(|error| said(error, &[]))?;
            tell_without_text(self.generator.tokenizer(), written.iter().flatten());
            if self.plain && text.trim().is_empty() {
                common::tell(NO_TEMPLATE);
            }
        }
        let asked = self.history.messages();
        // An answer that was stopped before its first word does not count: /retry writes another.
        let text = Some(text).filter(|text| !(stopped && text.is_empty()));
        if let Some(text) = &text {
            self.history.answer(text.clone());
        }
        Ok(Answered { asked, text })
    }

    /// Returns the token ids of the conversation. Drops the oldest turns if they leave no room for
    /// an answer.
    fn fit(&mut self, most: usize) -> Result<Vec<u32>, Failure> {
        let context = self.generator.model().max_positions();
        let room = most.min(context / 4).max(1);
        let mut history = self.history.clone();
        let mut dropped = 0;
        loop {
            let prompt = Prompt::Chat(history.messages());
            let ids = self.generator.tokenizer().encode_prompt(&prompt)?;
            let fits = ids.len().saturating_add(room) <= context;
            let more = if fits { 0 } else { history.drop_oldest() };
            dropped += more;
            if more > 0 {
                continue;
            }
            if ids.len() >= context {
                return Err(format!(
                    "message and system message have {} tokens together, but the model takes \
                     {context}, with the answer: write a shorter message",
                    ids.len()
                )
                .into());
            }
            if dropped > 0 {
                common::tell(&format!(
                    "the conversation is longer than the model's {context} tokens: the oldest \
                     {dropped} messages are dropped"
                ));
            }
            self.history = history;
            return Ok(ids);
        }
    }
}
