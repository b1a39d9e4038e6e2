//! Answers and perplexity of the start model and of the trained policy.

use collimate_core::{Key, Prompt};
use collimate_data::{SftExample, TextTokenizer, Truncation};
use collimate_direct::perplexity;
use collimate_irm::ImplicitReward;
use collimate_nn::CausalLm;
use collimate_run::RunContext;

use crate::answers::{Answers, ResponseSampler, answer, compare, response_logps};
use crate::sft::EVALUATION_TOKENS;
use crate::{AnswerReport, AnswerScorer, RecipeError, ResponseSampling};

/// Answers of the start model, with which the policy's answers are compared.
pub(super) struct Comparison<'a, M> {
    start: &'a M,
    tokenizer: &'a TextTokenizer,
    eos: &'a [u32],
    sampling: ResponseSampling,
    max_length: usize,
    prompts: &'a [Prompt],
    ids: Vec<Vec<u32>>,
    judge: &'a AnswerScorer<'a>,
    key: Key,
    at_start: Answers,
}

/// Models, prompts and options for writing answers.
pub(super) struct Writing<'a, M> {
    pub(super) start: &'a M,
    pub(super) tokenizer: &'a TextTokenizer,
    pub(super) eos: &'a [u32],
    pub(super) sampling: ResponseSampling,
    pub(super) max_length: usize,
    pub(super) prompts: &'a [Prompt],
    pub(super) judge: Option<&'a AnswerScorer<'a>>,
    pub(super) seed: u64,
}

impl<'a, M: CausalLm> Comparison<'a, M> {
    /// Writes the start model's answers; returns `None` without a judge.
    pub(super) fn begin(
        writing: Writing<'a, M>,
        context: &RunContext<'_>,
    ) -> Result<Option<Self>, RecipeError> {
        let Writing {
            start,
            tokenizer,
            eos,
            sampling,
            max_length,
            prompts,
            judge,
            seed,
        } = writing;
        let Some(judge) = judge else { return Ok(None) };
        if prompts.is_empty() {
            return Err(RecipeError::Empty {
                part: "the part with prompts for the judge",
            });
        }
        let key = Key::new(seed, "answers");
        let mut comparison = Self {
            start,
            tokenizer,
            eos,
            sampling,
            max_length,
            prompts,
            ids: Vec::new(),
            judge,
            key,
            at_start: Answers {
                completions: Vec::new(),
                scores: Vec::new(),
            },
        };
        comparison.ids = comparison.sampler(context).prompts(prompts)?;
        comparison.at_start = comparison.answers(context, "start", start)?;
        Ok(Some(comparison))
    }

    fn sampler(&self, context: &RunContext<'a>) -> ResponseSampler<'a> {
        ResponseSampler {
            tokenizer: self.tokenizer,
            eos: self.eos,
            sampling: self.sampling,
            max_length: self.max_length,
            interrupt: context.interrupt,
            progress: context.progress,
        }
    }

    fn answers(
        &self,
        context: &RunContext<'_>,
        label: &str,
        model: &M,
    ) -> Result<Answers, RecipeError> {
        let (sampler, judge) = (self.sampler(context), self.judge);
        answer(
            &sampler,
            self.key,
            label,
            model,
            self.prompts,
            &self.ids,
            judge,
        )
    }

    /// Returns the start model's answers, compared with themselves.
    pub(super) fn of_start(&self) -> Result<AnswerReport, RecipeError> {
        compare(&self.at_start, &self.at_start, self.prompts, None, self.key)
    }

    /// Writes the policy's answers and compares them with the start model's.
    pub(super) fn with(
        &self,
        context: &RunContext<'_>,
        title: &str,
        policy: &M,
        kind: ImplicitReward,
    ) -> Result<AnswerReport, RecipeError> {
        let own = self.answers(context, title, policy)?;
        let sampler = self.sampler(context);
        let logps = |model: &M| response_logps(&sampler, title, model, &self.ids, &own.completions);
        let (after, before) = (logps(policy)?, logps(self.start)?);
        let lengths = own.completions.iter().flatten();
        let rewards: Vec<f64> = after
            .iter()
            .zip(&before)
            .zip(lengths)
            .map(|((&after, &before), completion)| {
                let tokens = completion.tokens.as_ref().map_or(1, |t| t.len().max(1));
                kind.value(after, before, tokens)
            })
            .collect();
        compare(&own, &self.at_start, self.prompts, Some(&rewards), self.key)
    }
}

/// Returns the perplexity of good answers under a model; `None` without answers.
pub(super) fn tax_perplexity<M: CausalLm>(
    model: &M,
    tokenizer: &TextTokenizer,
    held_out: &[SftExample],
    max_length: usize,
    truncation: Truncation,
) -> Result<Option<f64>, RecipeError> {
    if held_out.is_empty() {
        return Ok(None);
    }
    let (ids, _) = tokenizer.encode_examples(held_out, max_length, truncation)?;
    Ok(Some(perplexity(model, &ids, EVALUATION_TOKENS)?))
}
