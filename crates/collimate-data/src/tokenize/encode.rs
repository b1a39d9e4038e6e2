//! One pair or example, and what is cut where it is too long.

use collimate_core::PreferencePair;
use serde::{Deserialize, Serialize};

use super::text_tokenizer::TextTokenizer;
use crate::error::DataError;
use crate::example::SftExample;

/// What is cut from a sequence that is too long. BOS and EOS are always kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Truncation {
    /// The start of the prompt, after BOS: an answer needs what was said last. A completion that is
    /// too long even without a prompt is cut at its end.
    #[default]
    KeepEnd,
    /// The end of the completion, just before EOS. A prompt that leaves no room for one token and
    /// EOS is cut at its end, to leave exactly that room.
    KeepStart,
}

/// A pair as ids: both completions continue the same prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenizedPair {
    /// The prompt with BOS; empty if there is neither.
    pub prompt: Vec<u32>,
    /// The preferred answer with EOS.
    pub chosen: Vec<u32>,
    /// The other answer with EOS.
    pub rejected: Vec<u32>,
    /// Whether anything was cut.
    pub truncated: bool,
}

/// An example of supervised fine-tuning as ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenizedExample {
    /// The prompt with BOS; empty if there is neither.
    pub prompt: Vec<u32>,
    /// The answer with EOS.
    pub completion: Vec<u32>,
    /// Whether anything was cut.
    pub truncated: bool,
}

/// BOS, one token and EOS: a shorter sequence says nothing.
const MIN_LENGTH: usize = 3;

impl TextTokenizer {
    /// Ids of a pair, with at most `max_length` tokens in prompt + chosen and in prompt + rejected.
    ///
    /// Both answers keep the same prompt: the longer one decides how much of it is cut. Answers
    /// that differ only in what was cut come out equal; [`TokenizeReport`](super::TokenizeReport)
    /// counts them.
    ///
    /// # Errors
    /// [`DataError::Argument`] for a `max_length` below 3; a conversation without a template; a
    /// text that the tokenizer refuses.
    pub fn encode_pair(
        &self,
        pair: &PreferencePair,
        max_length: usize,
        truncation: Truncation,
    ) -> Result<TokenizedPair, DataError> {
        self.encode_pair_counted(pair, max_length, truncation)
            .map(|(pair, _)| pair)
    }

    /// Ids of an example, with at most `max_length` tokens.
    ///
    /// # Errors
    /// As [`encode_pair`](Self::encode_pair).
    pub fn encode_example(
        &self,
        example: &SftExample,
        max_length: usize,
        truncation: Truncation,
    ) -> Result<TokenizedExample, DataError> {
        self.encode_example_counted(example, max_length, truncation)
            .map(|(example, _)| example)
    }

    pub(super) fn encode_pair_counted(
        &self,
        pair: &PreferencePair,
        max_length: usize,
        truncation: Truncation,
    ) -> Result<(TokenizedPair, usize), DataError> {
        check_length(max_length)?;
        let rendered = self.render(&pair.prompt)?;
        let mut prompt = self.encode_rendered(&rendered)?;
        let mut chosen = self.encode_completion(&pair.prompt, &rendered, &pair.chosen)?;
        let mut rejected = self.encode_completion(&pair.prompt, &rendered, &pair.rejected)?;
        let cut = self.fit(
            &mut prompt,
            &mut [&mut chosen, &mut rejected],
            max_length,
            truncation,
        );
        Ok((
            TokenizedPair {
                prompt,
                chosen,
                rejected,
                truncated: cut > 0,
            },
            cut,
        ))
    }

    pub(super) fn encode_example_counted(
        &self,
        example: &SftExample,
        max_length: usize,
        truncation: Truncation,
    ) -> Result<(TokenizedExample, usize), DataError> {
        check_length(max_length)?;
        let rendered = self.render(&example.prompt)?;
        let mut prompt = self.encode_rendered(&rendered)?;
        let mut completion =
            self.encode_completion(&example.prompt, &rendered, &example.completion)?;
        let cut = self.fit(&mut prompt, &mut [&mut completion], max_length, truncation);
        Ok((
            TokenizedExample {
                prompt,
                completion,
                truncated: cut > 0,
            },
            cut,
        ))
    }

    /// Cuts until prompt and each completion fit; returns how many tokens went.
    fn fit(
        &self,
        prompt: &mut Vec<u32>,
        completions: &mut [&mut Vec<u32>],
        max_length: usize,
        truncation: Truncation,
    ) -> usize {
        let before = prompt.len() + completions.iter().map(|c| c.len()).sum::<usize>();
        let longest = completions.iter().map(|c| c.len()).max().unwrap_or(0);
        match truncation {
            Truncation::KeepEnd => {
                let bos = usize::from(
                    self.special.bos.is_some() && prompt.first() == self.special.bos.as_ref(),
                );
                let excess = (prompt.len() + longest).saturating_sub(max_length);
                let cut = excess.min(prompt.len() - bos);
                prompt.drain(bos..bos + cut);
            }
            Truncation::KeepStart => prompt.truncate(max_length - longest.min(2)),
        }
        let room = max_length - prompt.len();
        for completion in completions.iter_mut().filter(|c| c.len() > room) {
            completion.truncate(room - 1);
            completion.push(self.special.eos);
        }
        before - prompt.len() - completions.iter().map(|c| c.len()).sum::<usize>()
    }
}

fn check_length(max_length: usize) -> Result<(), DataError> {
    if max_length < MIN_LENGTH {
        return Err(DataError::argument(
            "max_length",
            max_length,
            format!("a sequence needs at least {MIN_LENGTH} tokens (BOS, one token, EOS)"),
        ));
    }
    Ok(())
}
