//! Training and test of a reward model.

use std::time::Instant;

use collimate_core::{Key, PreferencePair};
use collimate_data::{AnswerEnd, TextTokenizer, TokenizeReport, TokenizedPair};
use collimate_eval::{
    Accuracy, Bootstrap, Calibration, Groups, Interval, calibration, outcomes, pairwise_accuracy,
};
use collimate_nn::HfReward;
use collimate_reward::{RewardModel, RewardObjective};
use collimate_run::RunContext;
use collimate_train::{TrainConfig, fit, hash_json, model_hash};
use serde::Serialize;

use super::config::{RewardModelConfig, RewardModelData};
use crate::RecipeError;
use crate::groups::groups;
use crate::scores::scores;
use crate::sft::EVALUATION_TOKENS;
use crate::train_pairs;

/// Number of bins of the reliability table.
const BINS: usize = 10;

/// A trained reward model and its accuracy.
#[derive(Debug, Serialize)]
pub struct RewardModelOutcome<B: HfReward> {
    /// The model; adapters are folded in.
    #[serde(skip)]
    pub model: RewardModel<B>,
    /// Number of training pairs whose answers differ as tokens.
    pub pairs: usize,
    /// Lengths and cuts of the training part.
    pub tokenize: TokenizeReport,
    /// Number of optimiser steps behind the model.
    pub steps: u64,
    /// Accuracy of the start model on the test part.
    pub before: Option<Accuracy>,
    /// Accuracy on the validation part.
    pub validation: Option<Accuracy>,
    /// Accuracy on the test part.
    pub test: Option<Accuracy>,
    /// 95 % bootstrap interval of the accuracy on the test part, over prompts.
    pub interval: Option<Interval>,
    /// Calibration on the test part.
    pub calibration: Option<Calibration>,
    /// Score of the chosen answer minus score of the rejected answer, for every test pair.
    #[serde(skip)]
    pub margins: Vec<f32>,
    /// Seconds of training and evaluation.
    pub seconds: f64,
}

/// Trains `start` on the labelled pairs and scores the test part once, at the end.
///
/// # Errors
/// Options out of range, texts that cannot be tokenised, a part whose answers are all equal after
/// cutting, a loss that is not finite, an interrupt.
pub fn train_reward_model<B: HfReward>(
    start: &RewardModel<B>,
    tokenizer: &TextTokenizer,
    data: &RewardModelData,
    config: &RewardModelConfig,
    context: &mut RunContext<'_>,
) -> Result<RewardModelOutcome<B>, RecipeError> {
    config.check()?;
    let started = Instant::now();
    // A reward model reads the score at EOS, so a cut answer also ends with EOS.
    let tokenizer = tokenizer
        .clone()
        .with_answer_end(AnswerEnd::EveryAnswer)
        .with_max_prompt_length(config.max_prompt_length);
    let encode = |pairs: &[PreferencePair]| {
        tokenizer.encode_pairs(pairs, config.max_length, config.truncation)
    };
    let (train, tokenize) = data
        .train
        .encode(&tokenizer, config.max_length, config.truncation)?;
    let ((validation, _), (test, _)) = (encode(&data.validation)?, encode(&data.test)?);
    let pairs = train.len();
    let score = |model: &RewardModel<B>, pairs: &[TokenizedPair], part: &'static str| {
        scores(
            model,
            pairs,
            "reward",
            part,
            context.interrupt,
            context.progress,
        )
    };
    let before = score(start, &test, "test part before training")?;
    let accuracy = |scores: &[(f32, f32)]| match scores.is_empty() {
        true => Ok(None),
        false => pairwise_accuracy(scores).map(Some),
    };
    let before = accuracy(&before)?;

    let train_config = TrainConfig {
        seed: config.seed,
        ..config.train.clone()
    };
    let key = Key::new(config.seed, &train_config.stage);
    let model = config.adaptation.begin_reward(start, key)?;
    let held_out = match train_config.eval_every {
        Some(_) => validation.clone(),
        None => Vec::new(),
    };
    let inputs = hash_json(&(
        config,
        train_pairs::hash(&train),
        &held_out,
        model_hash(start),
    ));
    context.run.stage(&train_config.stage, &inputs)?;
    let objective = RewardObjective::new(train, held_out, config.loss, EVALUATION_TOKENS)?;
    let fitted = fit(model, &objective, &train_config, &context.fit())?;
    let trained = fitted.seconds;
    let steps = fitted.best.as_ref().map_or(fitted.steps, |best| best.step);
    let model = fitted.into_best().settled();

    let score = |pairs: &[TokenizedPair], part: &'static str| {
        scores(
            &model,
            pairs,
            "reward",
            part,
            context.interrupt,
            context.progress,
        )
    };
    let validation = accuracy(&score(&validation, "validation part")?)?;
    let scored = score(&test, "test part")?;
    let (interval, calibration) = match scored.is_empty() {
        true => (None, None),
        false => {
            let right = outcomes(&scored)?;
            let groups = groups(&data.test);
            let key = Key::new(config.seed, "test");
            let interval = Bootstrap::default().mean(&right, Groups::By(&groups), key)?;
            (Some(interval), Some(calibration(&scored, BINS)?))
        }
    };
    Ok(RewardModelOutcome {
        pairs,
        tokenize,
        steps,
        before,
        validation,
        test: accuracy(&scored)?,
        interval,
        calibration,
        margins: scored
            .iter()
            .map(|(chosen, rejected)| chosen - rejected)
            .collect(),
        // A resumed training counts the seconds of its earlier starts.
        seconds: trained.max(started.elapsed().as_secs_f64()),
        model,
    })
}
