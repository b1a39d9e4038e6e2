//! Unlabelled pairs of a policy's own answers.

use collimate_core::{Completion, Finish, Key, PreferencePair, Prompt, Purpose};
use collimate_data::{Auditor, HiddenLabelPool, TextTokenizer};
use collimate_nn::CausalLm;
use collimate_run::RunContext;
use rand::RngExt;

use crate::answers::{ResponseSampler, ResponseSampling};
use crate::{AnswerScorer, RecipeError};

/// Two answers to each prompt, nobody having said which is better.
#[derive(Debug)]
pub struct OwnPairs {
    /// The pairs.
    pub pool: HiddenLabelPool,
    /// What a judge says of them, where there is one: to audit self-labels with.
    pub auditor: Option<Auditor>,
    /// Prompts whose two answers are the same text.
    pub equal: usize,
    /// Prompts with an answer that is empty or did not end in time.
    pub unfinished: usize,
    /// Pairs whose answers the judge scores alike, so that the audit calls a label right or wrong by
    /// chance; absent without a judge.
    pub tied: Option<usize>,
}

/// How a policy writes pairs.
#[derive(Debug, Clone, Copy)]
pub struct OwnPairsPlan<'a> {
    /// Names the pairs in messages and gives them random numbers of their own.
    pub name: &'a str,
    /// Its tokenizer.
    pub tokenizer: &'a TextTokenizer,
    /// Tokens that end an answer, beside the tokenizer's EOS.
    pub eos: &'a [u32],
    /// How its answers are sampled.
    pub sampling: ResponseSampling,
    /// Longest sequence, in tokens; the end of a longer prompt is kept.
    pub max_length: usize,
    /// Of the random numbers.
    pub seed: u64,
}

/// The policy answers every prompt twice. The same seed gives the same pairs.
///
/// # Errors
/// What generation refuses, a judge that fails, an interrupt.
pub fn own_pairs<M: CausalLm>(
    policy: &M,
    prompts: &[Prompt],
    judge: Option<&AnswerScorer<'_>>,
    plan: &OwnPairsPlan<'_>,
    context: &RunContext<'_>,
) -> Result<OwnPairs, RecipeError> {
    let name = plan.name;
    let key = Key::new(plan.seed, name);
    let sampler = ResponseSampler {
        tokenizer: plan.tokenizer,
        eos: plan.eos,
        sampling: plan.sampling,
        max_length: plan.max_length,
        interrupt: context.interrupt,
        progress: context.progress,
    };
    let ids = sampler.prompts(prompts)?;
    let sampling = plan.sampling.with(2, key.rng(Purpose::Sampling).random());
    let mut watch = sampler.meter(&format!("{name} answers"));
    let answers = sampler
        .generator(policy)
        .continue_ids(&ids, &sampling, &mut watch)
        .map_err(|error| sampler.generation(name, error))?;
    let (mut equal, mut unfinished) = (0, 0);
    let mut pairs = Vec::new();
    for (prompt, answers) in prompts.iter().zip(answers) {
        let [first, second] = [&answers[0], &answers[1]];
        let ended =
            |answer: &Completion| answer.finish != Finish::Length && !answer.text.trim().is_empty();
        if !(ended(first) && ended(second)) {
            unfinished += 1;
        } else if first.text == second.text {
            equal += 1;
        } else {
            // As texts: the reward model need not know the policy's tokens.
            let text = |answer: &Completion| Completion::from(answer.text.clone());
            pairs.push(PreferencePair {
                prompt: prompt.clone(),
                chosen: text(first),
                rejected: text(second),
                score_gap: None,
            });
        }
    }
    if pairs.is_empty() {
        return Err(RecipeError::NoPairs {
            stage: name.to_owned(),
            dropped: format!(
                "of {} prompts {equal} got the same answer twice and {unfinished} one that is empty \
                 or does not end within {} tokens",
                prompts.len(),
                plan.sampling.max_new_tokens
            ),
            advice: "allow longer answers, or start from a policy that ends them",
        });
    }
    let mut tied = None;
    if let Some(judge) = judge {
        let scores = judge.both(&pairs)?;
        tied = Some(scores.iter().filter(|[a, b]| a == b).count());
        for (pair, [first, second]) in pairs.iter_mut().zip(scores) {
            if second > first {
                std::mem::swap(&mut pair.chosen, &mut pair.rejected);
            }
        }
    }
    let (pool, sealed) = HiddenLabelPool::seal(pairs, key);
    Ok(OwnPairs {
        pool,
        auditor: judge.map(|_| Auditor::new(sealed)),
        equal,
        unfinished,
        tied,
    })
}
