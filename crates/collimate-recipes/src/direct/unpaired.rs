//! Training of one policy on labelled completions.

use std::time::Instant;

use collimate_data::{SftExample, TextTokenizer};
use collimate_direct::{Reference, UnpairedExample, UnpairedObjective};
use collimate_irm::ImplicitReward;
use collimate_losses::UnpairedLoss;
use collimate_nn::CausalLm;
use collimate_run::RunContext;
use collimate_train::{TrainConfig, hash_json, model_hash};

use super::config::{UnpairedConfig, UnpairedData};
use super::measure::{Comparison, Writing, tax_perplexity};
use super::outcome::AlignOutcome;
use crate::policy_training::PolicyTraining;
use crate::sft::EVALUATION_TOKENS;
use crate::{Adaptation, RecipeError};

/// Trains `start` with KTO on completions that are labelled good or bad; `start` is the reference.
///
/// # Errors
/// Options out of range, texts that cannot be tokenised, completions of one label only, a loss that is
/// not finite, an interrupt.
pub fn align_unpaired<M: CausalLm>(
    start: &M,
    tokenizer: &TextTokenizer,
    data: &UnpairedData<'_>,
    config: &UnpairedConfig,
    context: &mut RunContext<'_>,
) -> Result<AlignOutcome<M>, RecipeError> {
    config.check()?;
    let started = Instant::now();
    for (label, part) in [
        (true, "the desirable completions"),
        (false, "the undesirable completions"),
    ] {
        if !data.train.iter().any(|(_, desirable)| *desirable == label) {
            return Err(RecipeError::Empty { part });
        }
    }
    let tokenizer = &tokenizer
        .clone()
        .with_max_prompt_length(config.max_prompt_length);
    let (examples, labels): (Vec<SftExample>, Vec<bool>) = data.train.iter().cloned().unzip();
    let (ids, tokenize) =
        tokenizer.encode_examples(&examples, config.max_length, config.truncation)?;
    let train: Vec<UnpairedExample> = ids
        .into_iter()
        .zip(labels)
        .map(|(ids, desirable)| UnpairedExample {
            prompt: ids.prompt,
            completion: ids.completion,
            desirable,
        })
        .collect();
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

    let title = config.kto.name().to_owned();
    let train_config = TrainConfig {
        stage: title.clone(),
        seed: config.seed,
        ..config.train.clone()
    };
    let rows: Vec<_> = train
        .iter()
        .map(|e| (&e.prompt, &e.completion, e.desirable))
        .collect();
    let inputs = hash_json(&(&train_config, config, rows, model_hash(start)));
    context.run.stage(&title, &inputs)?;
    let training = PolicyTraining {
        seed: config.seed,
        adaptation: &config.adaptation,
        run: context.run,
        interrupt: context.interrupt,
        progress: context.progress,
    };
    let rows = train.len();
    let reference = match &config.adaptation {
        Adaptation::Full => Reference::Model(start.clone().merged()),
        Adaptation::Lora(_) => Reference::AdaptersOff,
    };
    let objective = UnpairedObjective::new(train, config.kto, reference, EVALUATION_TOKENS)?;
    let trained = training.fit(&train_config, start, &objective, started)?;

    let policy = trained.model;
    let tax = |model: &M| {
        let (length, cut) = (config.max_length, config.truncation);
        tax_perplexity(model, tokenizer, &data.held_out, length, cut)
    };
    let kind = ImplicitReward::LogRatio;
    let answers = comparison.as_ref();
    Ok(AlignOutcome {
        validation_accuracy: None,
        validation_logps: None,
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
