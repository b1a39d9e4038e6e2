//! Implicit rewards of pairs: log-probabilities after a training compared with those before.

use collimate_core::outcome;
use collimate_data::TokenizedPair;
use collimate_direct::{PairLogp, targets};
use collimate_irm::ImplicitReward;

/// Returns the share of pairs whose chosen completion has the larger implicit reward; a tie counts
/// one half.
pub(crate) fn accuracy(
    kind: ImplicitReward,
    after: &[PairLogp],
    before: &[PairLogp],
    pairs: &[TokenizedPair],
) -> f64 {
    let rows = after.iter().zip(before).zip(pairs);
    let right = rows.map(|((after, before), pair)| {
        let value = |policy: f32, reference: f32, completion: &[u32]| {
            let tokens = targets(&pair.prompt, completion).max(1);
            kind.value(policy.into(), reference.into(), tokens)
        };
        let chosen = value(after.chosen, before.chosen, &pair.chosen);
        let rejected = value(after.rejected, before.rejected, &pair.rejected);
        outcome(chosen.total_cmp(&rejected))
    });
    right.sum::<f64>() / pairs.len() as f64
}

/// Returns the mean log-probabilities of the chosen and of the rejected completions, in nats.
pub(crate) fn mean_logps(logps: &[PairLogp]) -> (f64, f64) {
    let n = logps.len() as f64;
    let mean =
        |side: fn(&PairLogp) -> f32| logps.iter().map(|l| f64::from(side(l))).sum::<f64>() / n;
    (mean(|l| l.chosen), mean(|l| l.rejected))
}
