//! Supervised fine-tuning: next-token prediction on completions.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use burn::tensor::Tensor;
use collimate_core::Key;
use collimate_data::{Lengths, RowSource, TokenizedExample};
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
    train: RowSource<TokenizedExample>,
    held_out: Vec<TokenizedExample>,
    evaluation_tokens: usize,
    model: PhantomData<fn() -> M>,
}

impl<M: CausalLm> SftObjective<M> {
    /// Trains on `train`, in memory or in a store on disk, and evaluates on `held_out` (which may be
    /// empty), in packs of about `evaluation_tokens` tokens.
    ///
    /// # Errors
    /// An example without a token that the model predicts, or a store that cannot be read.
    pub fn new(
        train: impl Into<RowSource<TokenizedExample>>,
        held_out: Vec<TokenizedExample>,
        evaluation_tokens: usize,
    ) -> Result<Self, TrainError> {
        let train = train.into();
        let refused = |name: &str, index: usize| {
            TrainError::objective(format!(
                "{name} example {index} has no token to predict: drop empty completions"
            ))
        };
        for index in 0..train.len() {
            let lengths = train.lengths(index).map_err(TrainError::objective)?;
            if targets_of(lengths) == 0 {
                return Err(refused("training", index));
            }
        }
        if let Some(index) = held_out.iter().position(|e| targets(e) == 0) {
            return Err(refused("held-out", index));
        }
        Ok(Self {
            train,
            held_out,
            evaluation_tokens: evaluation_tokens.max(1),
            model: PhantomData,
        })
    }
}

/// Returns [`targets`] of an example with these lengths.
fn targets_of(lengths: Lengths) -> usize {
    let [answer, _] = lengths.answers;
    (answer as usize).saturating_sub(usize::from(lengths.prompt == 0))
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
    let hidden = model.hidden_at(batch, &batch.sources(), f);
    token_nll(token_logps(hidden, model.output_head(), batch))
}

impl<M: CausalLm> Objective for SftObjective<M> {
    type Model = M;

    fn len(&self) -> usize {
        self.train.len()
    }

    fn tokens(&self, example: usize) -> usize {
        // A row that cannot be read fails when its loss is computed.
        let lengths = self.train.lengths(example);
        lengths.map_or(0, |lengths| lengths.total() as usize)
    }

    fn weight(&self, examples: &[usize]) -> f64 {
        let weight = |&example: &usize| {
            self.train
                .lengths(example)
                .map_or(1.0, |lengths| targets_of(lengths) as f64)
        };
        examples.iter().map(weight).sum()
    }

    fn fingerprint(&self) -> String {
        let train = self.train.fingerprint(|examples| hash_json(&examples));
        hash_json(&("examples", train, &self.held_out))
    }

    fn forward(&self, model: &M, examples: &[usize], key: Key) -> Result<Forwarded, TrainError> {
        let rows = self.train.rows(examples).map_err(TrainError::objective)?;
        let rows = rows.iter().map(AsRef::as_ref);
        let batch = example_batch(rows, model).map_err(|error| {
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
