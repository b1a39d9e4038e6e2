//! One pair or example, and what is cut where it is too long.

use collimate_core::{Completion, PreferencePair, Prompt};
use serde::{Deserialize, Serialize};

use super::text_tokenizer::TextTokenizer;
use crate::error::DataError;
use crate::example::SftExample;

/// The part of a prompt that is cut from a sequence that is too long.
///
/// Prompt and answer share the longest sequence: a prompt keeps
/// [`max_prompt_length`](TextTokenizer::with_max_prompt_length) tokens, or more where the answers
/// are short, and the ends of the answers are cut to the rest. BOS is always kept. An answer that
/// was cut has no EOS, unless [`AnswerEnd`](super::AnswerEnd) says so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Truncation {
    /// The start of the prompt is cut, after BOS: an answer needs the words that were said last.
    #[default]
    KeepEnd,
    /// The end of the prompt is cut.
    KeepStart,
}

/// Ids of a prompt and of answers to it, and the tokens that were cut.
type Fitted<const N: usize> = (Vec<u32>, [Vec<u32>; N], Cut);

/// Tokens that were cut from a pair or an example.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) tokens: usize,
    /// True if the prompt lost tokens.
    pub(super) prompt: bool,
    /// True if nothing but BOS is left of a prompt that had more.
    pub(super) prompt_lost: bool,
    /// True if an answer lost its end.
    pub(super) end: bool,
    /// True if a token of the joint text covers the border of prompt and answer.
    pub(super) crossed: bool,
    /// True if the joint text writes the prompt with other ids.
    pub(super) respelled: bool,
    /// True if the template writes the prompt otherwise where an answer follows.
    pub(super) rewritten: bool,
    /// True if the template does not read a key of a message.
    pub(super) unread: bool,
}

/// A pair as ids: both completions continue the same prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenizedPair {
    /// The prompt with BOS; empty if there is neither.
    pub prompt: Vec<u32>,
    /// The preferred answer, with EOS if it is whole.
    pub chosen: Vec<u32>,
    /// The other answer, with EOS if it is whole.
    pub rejected: Vec<u32>,
    /// True if anything was cut.
    pub truncated: bool,
}

/// An example of supervised fine-tuning as ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenizedExample {
    /// The prompt with BOS; empty if there is neither.
    pub prompt: Vec<u32>,
    /// The answer, with EOS if it is whole.
    pub completion: Vec<u32>,
    /// True if anything was cut.
    pub truncated: bool,
}

/// BOS, one token and EOS: a shorter sequence teaches nothing.
const MIN_LENGTH: usize = 3;

impl TextTokenizer {
    /// Ids of a pair, with at most `max_length` tokens in prompt + chosen and in prompt + rejected.
    ///
    /// Both answers keep the same prompt: the longer one decides how much of the prompt is cut.
    /// Answers that differ only behind the cut come out equal;
    /// [`TokenizeReport`](super::TokenizeReport) counts them.
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
    ) -> Result<(TokenizedPair, Cut), DataError> {
        let (prompt, [chosen, rejected], cut) = self.encode_cut(
            &pair.prompt,
            [&pair.chosen, &pair.rejected],
            max_length,
            truncation,
        )?;
        let pair = TokenizedPair {
            prompt,
            chosen,
            rejected,
            truncated: cut.tokens > 0,
        };
        Ok((pair, cut))
    }

    pub(super) fn encode_example_counted(
        &self,
        example: &SftExample,
        max_length: usize,
        truncation: Truncation,
    ) -> Result<(TokenizedExample, Cut), DataError> {
        let (prompt, [completion], cut) = self.encode_cut(
            &example.prompt,
            [&example.completion],
            max_length,
            truncation,
        )?;
        let example = TokenizedExample {
            prompt,
            completion,
            truncated: cut.tokens > 0,
        };
        Ok((example, cut))
    }

    /// Ids of a prompt and of answers to it, cut to `max_length`.
    fn encode_cut<const N: usize>(
        &self,
        prompt: &Prompt,
        answers: [&Completion; N],
        max_length: usize,
        truncation: Truncation,
    ) -> Result<Fitted<N>, DataError> {
        check_length(max_length)?;
        let rendered = self.render(prompt)?;
        let mut ids = self.encode_rendered(&rendered)?;
        let mut cut = Cut {
            unread: self.leaves_unread(prompt),
            ..Cut::default()
        };
        let mut completions = [const { Vec::new() }; N];
        for (to, answer) in completions.iter_mut().zip(answers) {
            let answer = self.encode_completion(prompt, &rendered, &ids, answer)?;
            cut.crossed |= answer.crossed;
            cut.respelled |= answer.respelled;
            cut.rewritten |= answer.rewritten;
            *to = answer.ids;
        }
        self.fit(&mut ids, &mut completions, max_length, truncation, &mut cut);
        Ok((ids, completions, cut))
    }

    /// Cuts until prompt and each completion fit.
    fn fit(
        &self,
        prompt: &mut Vec<u32>,
        completions: &mut [Vec<u32>],
        max_length: usize,
        truncation: Truncation,
        cut: &mut Cut,
    ) {
        let longest = completions.iter().map(Vec::len).max().unwrap_or(0);
        if prompt.len() + longest <= max_length {
            return;
        }
        let count = |prompt: &[u32], completions: &[Vec<u32>]| {
            prompt.len() + completions.iter().map(Vec::len).sum::<usize>()
        };
        let before = count(prompt, completions);
        let bos =
            usize::from(self.special.bos.is_some() && prompt.first() == self.special.bos.as_ref());
        // An answer has one token at least, and EOS.
        let most = max_length - longest.min(2);
        let share = self.max_prompt_length.unwrap_or(max_length / 2);
        let keep = share
            .max(max_length.saturating_sub(longest))
            .clamp(bos, most)
            .min(prompt.len());
        cut.prompt = keep < prompt.len();
        cut.prompt_lost = cut.prompt && keep <= bos;
        match truncation {
            Truncation::KeepEnd => drop(prompt.drain(bos..bos + prompt.len() - keep)),
            Truncation::KeepStart => prompt.truncate(keep),
        }
        let room = max_length - prompt.len();
        for completion in completions.iter_mut().filter(|c| c.len() > room) {
            cut.end = true;
            if self.ends_cut_answers() {
                completion.truncate(room - 1);
                completion.push(self.special.eos);
            } else {
                completion.truncate(room);
            }
        }
        cut.tokens = before - count(prompt, completions);
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
