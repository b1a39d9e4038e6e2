//! Unlabelled pairs of a policy's own answers.

use collimate_core::{Completion, Finish, Key, PreferencePair, Prompt, Purpose};
use collimate_data::{Auditor, HiddenLabelPool, TextTokenizer};
use collimate_nn::CausalLm;
use collimate_run::RunContext;
use rand::RngExt;

use crate::answers::{ResponseSampler, ResponseSampling};
use crate::{AnswerScorer, RecipeError};

/// Pairs of two answers to each prompt, without preference labels.
#[derive(Debug)]
pub struct OwnPairs {
    /// The pairs.
    pub pool: HiddenLabelPool,
    /// Preferences of the judge, with which self-labels are audited; absent without a judge.
    pub auditor: Option<Auditor>,
    /// Prompts whose two answers are the same text.
    pub equal: usize,
    /// Prompts with an answer that is empty or did not end within the largest number of tokens.
    pub unfinished: usize,
    /// Pairs whose two answers get the same score from the judge; the audit then calls a label
    /// right or wrong by chance. Absent without a judge.
    pub tied: Option<usize>,
}

/// Options of writing own pairs.
#[derive(Debug, Clone, Copy)]
pub struct OwnPairsPlan<'a> {
    /// Name of the pairs in messages. Another name also gives other random numbers.
    pub name: &'a str,
    /// The policy's tokenizer.
    pub tokenizer: &'a TextTokenizer,
    /// Tokens that end an answer, in addition to the tokenizer's EOS.
    pub eos: &'a [u32],
    /// Options of sampling the answers.
    pub sampling: ResponseSampling,
    /// Longest sequence, in tokens; the end of a longer prompt is kept.
    pub max_length: usize,
    /// Seed of the random numbers.
    pub seed: u64,
}

/// Samples two answers of the policy to every prompt. The same seed gives the same pairs.
///
/// # Errors
/// Generation that fails, a judge that fails, no pair left, an interrupt.
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
            // The pairs are kept as texts: the reward model may have another tokenizer.
            let text = |answer: &Completion| Completion::from(answer.text.clone());
            let pair = PreferencePair::new(prompt.clone(), text(first), text(second));
            pairs.push(pair);
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
