//! The first stage of every recipe: supervised fine-tuning on good answers.

use collimate_data::{SftExample, TextTokenizer, TokenizeReport, Truncation};
use collimate_direct::{SftObjective, perplexity};
use collimate_nn::CausalLm;
use collimate_train::{FitContext, TrainConfig, fit};
use serde::{Deserialize, Serialize};

use crate::RecipeError;

/// Options of fine-tuning a language model.
#[derive(Debug, Clone)]
pub struct SftPlan<'a> {
    /// Tokenizer of the model.
    pub tokenizer: &'a TextTokenizer,
    /// Longest sequence, in tokens.
    pub max_length: usize,
    /// Side of the prompt, start or end, that is cut from a longer sequence.
    pub truncation: Truncation,
    /// Options of the step loop.
    pub train: &'a TrainConfig,
}

/// Results of fine-tuning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SftOutcome {
    /// Lengths and cuts of the training part.
    pub tokenize: TokenizeReport,
    /// Number of optimiser steps.
    pub steps: u64,
    /// Held-out perplexity of the model before fine-tuning; absent without held-out examples.
    pub perplexity_before: Option<f64>,
    /// Held-out perplexity of the model after fine-tuning; absent without held-out examples.
    pub perplexity_after: Option<f64>,
}

/// Number of tokens per pack in passes that train nothing.
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
