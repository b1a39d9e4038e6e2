//! Supervised fine-tuning: next-token prediction on completions.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use burn::tensor::Tensor;
use collimate_core::Key;
use collimate_data::TokenizedExample;
use collimate_losses::token_nll;
use collimate_nn::{CausalLm, DeviceBatch, Forward, Pack, PackError, packs, token_logps};
use collimate_train::{Evaluation, Forwarded, Objective, TrainError, hash_json};

use crate::logps::to_device;

/// Next-token loss on completions only.
///
/// ```text
/// L = − Σ over completion tokens log π(y_t | x, y_<t)  /  number of completion tokens of the step
/// ```
/// The prompt's tokens have no loss; EOS is a completion token.
///
/// # Differs from
/// TRL averages per device batch and then over devices. Here the denominator counts the tokens of
/// the whole optimiser step, so the result does not depend on the micro-batches.
#[derive(Debug, Clone)]
pub struct SftObjective<M> {
    train: Vec<TokenizedExample>,
    held_out: Vec<TokenizedExample>,
    evaluation_tokens: usize,
    model: PhantomData<fn() -> M>,
}

impl<M: CausalLm> SftObjective<M> {
    /// Trains on `train` and evaluates on `held_out` (which may be empty), in packs of about
    /// `evaluation_tokens` tokens.
    ///
    /// # Errors
    /// An example without a token that the model predicts.
    pub fn new(
        train: Vec<TokenizedExample>,
        held_out: Vec<TokenizedExample>,
        evaluation_tokens: usize,
    ) -> Result<Self, TrainError> {
        for (name, part) in [("training", &train), ("held-out", &held_out)] {
            if let Some(index) = part.iter().position(|e| targets(e) == 0) {
                return Err(TrainError::objective(format!(
                    "{name} example {index} has no token to predict: drop empty completions"
                )));
            }
        }
        Ok(Self {
            train,
            held_out,
            evaluation_tokens: evaluation_tokens.max(1),
            model: PhantomData,
        })
    }
}

fn targets(example: &TokenizedExample) -> usize {
    crate::logps::targets(&example.prompt, &example.completion)
}

fn push(pack: &mut Pack, example: &TokenizedExample) {
    pack.push_shared(&example.prompt, &[&example.completion]);
}

/// Packs examples on the model's device.
///
/// # Errors
/// An example that the model cannot process.
pub fn example_batch<'a, M: CausalLm>(
    examples: impl IntoIterator<Item = &'a TokenizedExample>,
    model: &M,
) -> Result<DeviceBatch, PackError> {
    let mut pack = Pack::new();
    for example in examples {
        push(&mut pack, example);
    }
    to_device(pack, model)
}

/// Returns −log π(y_t | x, y_<t) of every completion token of the batch; tracked if the model is
/// tracked.
///
/// # Shapes
/// Result `[completion tokens]`.
pub fn completion_nll<M: CausalLm>(model: &M, batch: &DeviceBatch, f: Forward) -> Tensor<1> {
    let hidden = model.hidden_at(batch, batch.sources(), f);
    token_nll(token_logps(hidden, model.output_head(), batch))
}

impl<M: CausalLm> Objective for SftObjective<M> {
    type Model = M;

    fn len(&self) -> usize {
        self.train.len()
    }

    fn tokens(&self, example: usize) -> usize {
        let example = &self.train[example];
        example.prompt.len() + example.completion.len()
    }

    fn weight(&self, examples: &[usize]) -> f64 {
        examples
            .iter()
            .map(|&i| targets(&self.train[i]) as f64)
            .sum()
    }

    fn fingerprint(&self) -> String {
        hash_json(&("examples", &self.train, &self.held_out))
    }

    fn forward(&self, model: &M, examples: &[usize], key: Key) -> Result<Forwarded, TrainError> {
        let batch =
            example_batch(examples.iter().map(|&i| &self.train[i]), model).map_err(|error| {
                let example = examples[error.sequence()];
                TrainError::objective(format!("training example {example}: {error}"))
            })?;
        let batch = batch.of_examples(examples);
        Ok(Forwarded {
            tokens: batch.tokens(),
            loss_sum: completion_nll(model, &batch, Forward::train(key)).sum(),
            metrics: Vec::new(),
        })
    }

    fn evaluate(&self, model: &M) -> Result<Option<Evaluation>, TrainError> {
        if self.held_out.is_empty() {
            return Ok(None);
        }
        let loss = mean_nll(model, &self.held_out, self.evaluation_tokens)?;
        Ok(Some(Evaluation {
            metrics: BTreeMap::from([
                ("loss".to_owned(), loss),
                ("perplexity".to_owned(), loss.exp()),
            ]),
            score: -loss,
        }))
    }
}

fn mean_nll<M: CausalLm>(
    model: &M,
    examples: &[TokenizedExample],
    tokens: usize,
) -> Result<f64, TrainError> {
    let (mut sum, mut count) = (0.0, 0usize);
    let cost = |e: &TokenizedExample| e.prompt.len() + e.completion.len();
    for (range, pack) in packs(examples, tokens, cost, push) {
        let batch = to_device(pack, model)
            .map_err(|error| TrainError::objective(error.after(range.start)))?;
        let nll = completion_nll(model, &batch, Forward::EVAL)
            .sum()
            .into_data();
        sum += nll.iter::<f64>().sum::<f64>();
        count += examples[range].iter().map(targets).sum::<usize>();
    }
    if count == 0 {
        return Err(TrainError::objective("no token to evaluate on"));
    }
    Ok(sum / count as f64)
}

/// Returns exp of the mean completion-token loss of `model` (untracked) on `examples`.
///
/// # Errors
/// No completion token in any example, or an example that the model cannot process.
pub fn perplexity<M: CausalLm>(
    model: &M,
    examples: &[TokenizedExample],
    tokens_per_pack: usize,
) -> Result<f64, TrainError> {
    mean_nll(model, examples, tokens_per_pack.max(1)).map(f64::exp)
}
