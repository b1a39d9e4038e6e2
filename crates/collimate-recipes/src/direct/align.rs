//! Training of one policy on preference pairs.

use std::time::Instant;

use collimate_core::PreferencePair;
use collimate_data::TextTokenizer;
use collimate_direct::{DirectObjective, pairs_hash, training_hash};
use collimate_losses::DirectLoss;
use collimate_nn::CausalLm;
use collimate_run::RunContext;
use collimate_train::{TrainConfig, hash_json, model_hash};

use super::config::{AlignConfig, AlignData};
use super::measure::{Comparison, Writing, tax_perplexity};
use super::outcome::AlignOutcome;
use crate::RecipeError;
use crate::implicit::{accuracy, mean_logps};
use crate::policy_training::PolicyTraining;
use crate::sft::EVALUATION_TOKENS;

/// Trains `start` on the pairs with the loss of the configuration; `start` is the reference.
///
/// # Errors
/// Options out of range, texts that cannot be tokenised, pairs whose answers are all equal after
/// cutting, a loss that is not finite, an interrupt.
pub fn align<M: CausalLm>(
    start: &M,
    tokenizer: &TextTokenizer,
    data: &AlignData<'_>,
    config: &AlignConfig,
    context: &mut RunContext<'_>,
) -> Result<AlignOutcome<M>, RecipeError> {
    config.check()?;
    let started = Instant::now();
    let tokenizer = &tokenizer
        .clone()
        .with_max_prompt_length(config.max_prompt_length);
    let encode = |pairs: &[PreferencePair]| {
        tokenizer.encode_pairs(pairs, config.max_length, config.truncation)
    };
    // No loss can tell equal answers apart; rounding would decide the direction of the gradient.
    let (train, tokenize) = data
        .train
        .encode(tokenizer, config.max_length, config.truncation)?;
    let (mut validation, _) = encode(&data.validation)?;
    let train = match config.use_margins {
        true => train,
        false => {
            validation.iter_mut().for_each(|pair| pair.margin = None);
            train.without_margins()
        }
    };
    let start = &start.clone().valid();
    let comparison = Comparison::begin(
        Writing {
            start,
            tokenizer,
            eos: &data.eos,
            sampling: config.responses,
            max_length: config.max_length,
            prompts: &data.prompts,
            judge: data.judge.as_ref(),
            seed: config.seed,
        },
        context,
    )?;

    let title = config.loss.name().to_owned();
    let train_config = TrainConfig {
        stage: title.clone(),
        seed: config.seed,
        max_steps: Some(config.train.total_steps(train.len())),
        ..config.train.clone()
    };
    let held_out = match train_config.eval_every {
        Some(_) => validation.clone(),
        None => Vec::new(),
    };
    let hash = model_hash(start);
    let train_hash = train.fingerprint(training_hash);
    let hashes = (train_hash, pairs_hash(&held_out), &hash);
    let inputs = hash_json(&(&train_config, config, hashes));
    context.run.stage(&title, &inputs)?;
    let training = PolicyTraining {
        seed: config.seed,
        adaptation: &config.adaptation,
        run: context.run,
        interrupt: context.interrupt,
        progress: context.progress,
    };
    let before = match validation.is_empty() {
        true => None,
        false => Some(training.logps("start validation", start, &validation)?),
    };
    let of_start = (start, hash.as_str());
    let reads = reads(&train_config, train.len(), held_out.len());
    let reference = training.reference(&title, config.loss, of_start, &train, &held_out, reads)?;
    let rows = train.len();
    let objective = DirectObjective::new(
        train,
        held_out,
        config.anchored(),
        reference,
        EVALUATION_TOKENS,
    )?;
    let trained = training.fit(&train_config, start, &objective, started)?;

    let policy = trained.model;
    let after = match validation.is_empty() {
        true => None,
        false => Some(training.logps("validation", &policy, &validation)?),
    };
    let kind = config.implicit_reward();
    let moved = after.as_deref().zip(before.as_deref());
    let tax = |model: &M| {
        let (length, cut) = (config.max_length, config.truncation);
        tax_perplexity(model, tokenizer, &data.held_out, length, cut)
    };
    let answers = comparison.as_ref();
    Ok(AlignOutcome {
        validation_accuracy: moved.map(|(a, b)| accuracy(kind, a, b, &validation)),
        validation_logps: after.as_deref().map(mean_logps),
        answers: answers
            .map(|c| c.with(context, &title, &policy, kind))
            .transpose()?,
        start_answers: answers.map(Comparison::of_start).transpose()?,
        perplexity: tax(start)?.zip(tax(&policy)?),
        judge: data.judge.as_ref().map(|judge| judge.name.clone()),
        model: policy,
        title,
        rows,
        tokenize,
        steps: trained.steps,
        seconds: started.elapsed().as_secs_f64().max(trained.seconds),
    })
}

/// Returns the number of pairs that a training reads, each as often as it is read: the batches of
/// all steps, and the held-out pairs at every evaluation.
fn reads(train: &TrainConfig, pairs: usize, held_out: usize) -> u64 {
    let steps = train.total_steps(pairs);
    let batches = steps.saturating_mul(train.batch_size.min(pairs) as u64);
    let evaluations = train.eval_every.map_or(0, |every| steps / every.max(1));
    batches.saturating_add(evaluations.saturating_mul(held_out as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_training_reads_its_batches_and_the_held_out_pairs_of_every_evaluation() {
        let train = TrainConfig {
            batch_size: 4,
            max_steps: Some(5),
            eval_every: Some(2),
            ..TrainConfig::default()
        };
        assert_eq!(reads(&train, 100, 10), 20 + 2 * 10);
        let never = TrainConfig {
            eval_every: None,
            ..train.clone()
        };
        assert_eq!(reads(&never, 100, 10), 20);
        let one_pass = TrainConfig {
            max_steps: None,
            epochs: 1.0,
            ..never
        };
        // The last batch may be partial; counting it as whole only keeps the reference as it was.
        assert_eq!(reads(&one_pass, 10, 0), 12);
    }
}
