//! Log-probabilities of pairs, untracked.

use collimate_data::TokenizedPair;
use collimate_nn::{CausalLm, DeviceBatch, Forward, Pack, PackError, completion_logps, packs};
use serde::{Deserialize, Serialize};

/// log π(y|x) of both completions of a pair, summed over their tokens, in nats.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PairLogp {
    /// Log-probability of the chosen completion.
    pub chosen: f32,
    /// Log-probability of the rejected completion.
    pub rejected: f32,
}

/// Returns the number of tokens of a completion that the model predicts; without a prompt, the
/// first token is not predicted. Sums and means of log-probabilities run over these tokens.
pub fn targets(prompt: &[u32], completion: &[u32]) -> usize {
    completion
        .len()
        .saturating_sub(usize::from(prompt.is_empty()))
}

/// Returns the cost of a pair in tokens; its prompt is processed once.
pub(crate) fn cost(pair: &TokenizedPair) -> usize {
    pair.prompt.len() + pair.chosen.len() + pair.rejected.len()
}

/// Adds a pair to a pack. Sequences 2i and 2i + 1 are the chosen and the rejected completion of
/// pair i.
pub(crate) fn push(pack: &mut Pack, pair: &TokenizedPair) {
    pack.push_shared(&pair.prompt, &[&pair.chosen, &pair.rejected]);
}

/// Checks that the model can process the pack, and copies the pack to the model's device.
pub(crate) fn to_device<M: CausalLm>(pack: Pack, model: &M) -> Result<DeviceBatch, PackError> {
    pack.check(model.vocab_size(), model.max_positions())?;
    Ok(pack.to_device(M::VISIBILITY, &model.device()))
}

/// Returns the log-probabilities of every pair under `model`. Pass an untracked model (`valid()`):
/// a tracked model would build graphs that are never used.
///
/// # Errors
/// A sequence that the model cannot process. Sequences 2i and 2i + 1 are the chosen and the
/// rejected completion of pair i.
pub fn pair_logps<M: CausalLm>(
    model: &M,
    pairs: &[TokenizedPair],
    f: Forward,
    tokens_per_pack: usize,
) -> Result<Vec<PairLogp>, PackError> {
    pair_logps_with(model, pairs, f, tokens_per_pack, |_, _| {})
}

/// Same as [`pair_logps`]; calls `progress` with (done, all) after each pack.
///
/// # Errors
/// Same as [`pair_logps`].
pub fn pair_logps_with<M: CausalLm>(
    model: &M,
    pairs: &[TokenizedPair],
    f: Forward,
    tokens_per_pack: usize,
    mut progress: impl FnMut(usize, usize),
) -> Result<Vec<PairLogp>, PackError> {
    let mut logps = Vec::with_capacity(pairs.len());
    for (range, pack) in packs(pairs, tokens_per_pack, cost, push) {
        let batch = to_device(pack, model).map_err(|error| error.after(2 * range.start))?;
        let values: Vec<f32> = completion_logps(model, &batch, f)
            .into_data()
            .iter()
            .collect();
        logps.extend(values.chunks_exact(2).map(|pair| PairLogp {
            chosen: pair[0],
            rejected: pair[1],
        }));
        progress(range.end, pairs.len());
    }
    Ok(logps)
}
