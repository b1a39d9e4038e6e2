//! Tokenisation of one pair or example, and truncation of sequences that are too long.

use collimate_core::{Completion, PreferencePair, Prompt};
use serde::{Deserialize, Serialize};

use super::text_tokenizer::TextTokenizer;
use crate::error::DataError;
use crate::example::SftExample;

/// End of the prompt at which a sequence that is too long is cut.
///
/// Prompt and answer share the longest sequence. A prompt keeps
/// [`max_prompt_length`](TextTokenizer::with_max_prompt_length) tokens, or more if the answers are
/// short. The ends of the answers are cut to fit the rest. BOS is always kept. A cut answer has no
/// EOS, unless [`AnswerEnd`](super::AnswerEnd) asks for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Truncation {
    /// Cuts the start of the prompt, after BOS. An answer depends most on the last words of the
    /// prompt.
    #[default]
    KeepEnd,
    /// Cuts the end of the prompt.
    KeepStart,
}

/// Ids of a prompt, ids of its answers, and the tokens that were cut.
type Fitted<const N: usize> = (Vec<u32>, [Vec<u32>; N], Cut);

/// Tokens that were cut from a pair or an example.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) tokens: usize,
    /// If true, the prompt lost tokens.
    pub(super) prompt: bool,
    /// If true, a prompt with more tokens has lost everything except BOS.
    pub(super) prompt_lost: bool,
    /// If true, an answer lost its end.
    pub(super) end: bool,
    /// If true, a token of the joint text covers the border of prompt and answer.
    pub(super) crossed: bool,
    /// If true, the prompt has other ids in the joint text than alone.
    pub(super) respelled: bool,
    /// If true, the template renders the prompt differently when an answer follows.
    pub(super) rewritten: bool,
    /// If true, the template does not read a key of a message.
    pub(super) unread: bool,
}

/// Ids of a pair. Both completions continue the same prompt.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TokenizedPair {
    /// The prompt with BOS. Empty if there is neither prompt nor BOS.
    pub prompt: Vec<u32>,
    /// The preferred answer, with EOS if it is complete.
    pub chosen: Vec<u32>,
    /// The other answer, with EOS if it is complete.
    pub rejected: Vec<u32>,
    /// If true, something was cut.
    pub truncated: bool,
    /// Margin by which the chosen answer should win, if the data give one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<f32>,
    /// Weight of the pair in the loss, at least 0, if the data give one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<f32>,
}

impl TokenizedPair {
    /// Returns the weight of the pair in the loss, 1 if the data give none.
    pub fn weight_or_one(&self) -> f32 {
        self.weight.unwrap_or(1.0)
    }
}

/// Ids of an example of supervised fine-tuning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenizedExample {
    /// The prompt with BOS. Empty if there is neither prompt nor BOS.
    pub prompt: Vec<u32>,
    /// The answer, with EOS if it is complete.
    pub completion: Vec<u32>,
    /// If true, something was cut.
    pub truncated: bool,
}

/// BOS, one token and EOS. A shorter sequence is of no use for training.
const MIN_LENGTH: usize = 3;

impl TextTokenizer {
    /// Returns the ids of a pair, with at most `max_length` tokens in prompt + chosen and in
    /// prompt + rejected.
    ///
    /// Both answers keep the same prompt. The longer answer decides how much of the prompt is cut.
    /// Answers that differ only after the cut become equal, and
    /// [`TokenizeReport`](super::TokenizeReport) counts them.
    ///
    /// # Errors
    /// [`DataError::Argument`] for a `max_length` below 3. Also fails for a conversation without a
    /// template and for a text that the tokenizer refuses.
    pub fn encode_pair(
        &self,
        pair: &PreferencePair,
        max_length: usize,
        truncation: Truncation,
    ) -> Result<TokenizedPair, DataError> {
        self.encode_pair_counted(pair, max_length, truncation)
            .map(|(pair, _)| pair)
    }

    /// Returns the ids of an example, with at most `max_length` tokens.
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
            margin: pair.margin.map(|margin| margin as f32),
            weight: pair.weight.map(|weight| weight as f32),
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

    /// Returns the ids of a prompt and of its answers, cut to `max_length`.
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

    /// Cuts prompt and completions until the prompt fits together with each completion.
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
        // An answer keeps at least one token and EOS.
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
