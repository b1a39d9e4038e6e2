//! The first stage of every recipe: supervised fine-tuning on good answers.

use collimate_data::{SftExample, TextTokenizer, TokenizeReport, Truncation};
use collimate_direct::{SftObjective, perplexity};
use collimate_nn::CausalLm;
use collimate_train::{FitContext, TrainConfig, fit};
use serde::{Deserialize, Serialize};

use crate::RecipeError;

/// How a language model is fine-tuned.
#[derive(Debug, Clone)]
pub struct SftPlan<'a> {
    /// Turns texts into ids.
    pub tokenizer: &'a TextTokenizer,
    /// Longest sequence, in tokens.
    pub max_length: usize,
    /// What is cut from a longer one.
    pub truncation: Truncation,
    /// The step loop's options.
    pub train: &'a TrainConfig,
}

/// What fine-tuning did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SftOutcome {
    /// What tokenisation of the training part did.
    pub tokenize: TokenizeReport,
    /// Optimiser steps.
    pub steps: u64,
    /// Held-out perplexity of the model that came in; absent without held-out examples.
    pub perplexity_before: Option<f64>,
    /// Held-out perplexity of the model that came out.
    pub perplexity_after: Option<f64>,
}

/// Tokens per pack where nothing is trained.
pub(crate) const EVALUATION_TOKENS: usize = 4096;

/// Fine-tunes `model` on `examples` with the loss on completions.
///
/// # Errors
/// Texts that cannot be tokenised, options out of range, a loss that is not finite, an interrupt.
pub fn fine_tune<M: CausalLm>(
    model: M,
    examples: &[SftExample],
    held_out: &[SftExample],
    plan: &SftPlan<'_>,
    context: &FitContext<'_>,
) -> Result<(M, SftOutcome), RecipeError> {
    if examples.is_empty() {
        return Err(RecipeError::Empty {
            part: "the SFT part",
        });
    }
    let encode = |rows: &[SftExample]| {
        plan.tokenizer
            .encode_examples(rows, plan.max_length, plan.truncation)
    };
    let (train, tokenize) = encode(examples)?;
    let (held_out, _) = encode(held_out)?;
    let measure = |model: &M| match held_out.is_empty() {
        true => Ok(None),
        false => perplexity(model, &held_out, EVALUATION_TOKENS).map(Some),
    };
    let perplexity_before = measure(&model)?;
    let objective = SftObjective::new(train, held_out.clone(), EVALUATION_TOKENS)?;
    let fitted = fit(model, &objective, plan.train, context)?;
    let outcome = SftOutcome {
        tokenize,
        steps: fitted.steps,
        perplexity_before,
        perplexity_after: measure(&fitted.model)?,
    };
    Ok((fitted.model, outcome))
}
