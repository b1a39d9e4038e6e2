//! Pairs from responses with rewards: gate, ranking, agreement and choice of the kept pairs.

use collimate_core::{Completion, Finish, Key};
use collimate_irm::{
    BestWorst, CutPolicy, NoPairReason, Response, ResponseCounts, bootstrap_pairs, keep_k,
    nested_pairs, policy_agreement, rewards_with_start, unlikely_responses,
};

use super::anchors::Anchors;
use crate::RecipeError;

/// Rewards of a policy's responses, one row per prompt.
#[derive(Debug, Clone, Default)]
pub(super) struct Rewards {
    /// Implicit rewards, or the judge's scores.
    pub(super) rows: Vec<Vec<f64>>,
    /// Mean log-probability per token under the start model; absent until a device needs it.
    pub(super) start: Option<Vec<f64>>,
    /// The second policy's implicit rewards; absent without a second policy.
    pub(super) second: Option<Vec<Vec<f64>>>,
}

/// Options of making pairs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pairing<'a> {
    pub(super) anchors: &'a Anchors,
    pub(super) cut: CutPolicy,
    /// Number of pairs asked for.
    pub(super) limit: usize,
    /// Key of the rule `random`.
    pub(super) key: Key,
}

/// Pairs that were made, and counts of the rest.
#[derive(Debug, Clone, Default)]
pub(super) struct Paired {
    /// Kept pairs with the indices of their prompts, in rising order.
    pub(super) pairs: Vec<(usize, BestWorst)>,
    pub(super) counts: ResponseCounts,
    pub(super) dropped: Vec<(NoPairReason, usize)>,
    /// Share of the pairs on which the second policy agrees.
    pub(super) agreement: Option<f64>,
    /// Number of pairs dropped because the second policy disagrees.
    pub(super) disagreeing: usize,
    /// Number of pairs dropped because the second policy agrees on too small a share.
    pub(super) refused: usize,
    /// Number of pairs left out because the limit was reached.
    pub(super) over_limit: usize,
}

/// Pairs the best and the worst response of each prompt and keeps those that the rule chooses. If
/// more pairs are asked for than there are prompts, the other responses make pairs too.
pub(super) fn pair(
    completions: &[Vec<Completion>],
    rewards: &Rewards,
    how: Pairing<'_>,
) -> Result<Paired, RecipeError> {
    let Pairing {
        anchors,
        cut,
        limit,
        key,
    } = how;
    let start = rewards.start.as_deref();
    let unlikely = match start {
        Some(start) => unlikely_responses(start, anchors.gate)?,
        None => Vec::new(),
    };
    let ranked = |rows: &[Vec<f64>]| -> Result<Vec<Vec<f64>>, RecipeError> {
        match start {
            Some(start) if anchors.start_weight > 0.0 => {
                let flat: Vec<f64> = rows.iter().flatten().copied().collect();
                let all = rewards_with_start(&flat, start, anchors.start_weight)?;
                Ok(in_rows(&all, rows.iter().map(Vec::len)))
            }
            _ => Ok(rows.to_vec()),
        }
    };
    let rows = ranked(&rewards.rows)?;
    let mut index = 0;
    let responses: Vec<Vec<Response<'_>>> = completions
        .iter()
        .zip(&rows)
        .map(|(completions, rewards)| {
            let all = completions.iter().zip(rewards);
            all.map(|(completion, &reward)| {
                let unlikely = unlikely.get(index).copied().unwrap_or(false);
                index += 1;
                Response {
                    unlikely,
                    ..response(completion, reward)
                }
            })
            .collect()
        })
        .collect();
    let made = bootstrap_pairs(&responses, cut);
    let mut pairs: Vec<(usize, BestWorst)> = match limit > responses.len() {
        false => made.pairs().collect(),
        true => {
            let nested = |(prompt, _): (usize, BestWorst)| {
                let pairs = nested_pairs(&responses[prompt], cut).unwrap_or_default();
                pairs.into_iter().map(move |pair| (prompt, pair))
            };
            made.pairs().flat_map(nested).collect()
        }
    };
    let mut paired = Paired {
        counts: made.counts,
        dropped: made.dropped_by_reason(),
        ..Paired::default()
    };
    if let Some(least) = anchors.agreement
        && let Some(second) = &rewards.second
    {
        let found = policy_agreement(&pairs, &ranked(second)?)?;
        paired.agreement = found.share();
        let mut agrees = found.agrees.iter();
        let all = pairs.len();
        pairs.retain(|_| agrees.next().copied().unwrap_or(false));
        paired.disagreeing = all - pairs.len();
        if !found.reaches(least) {
            paired.refused = pairs.len();
            pairs.clear();
        }
    }
    let margins: Vec<f64> = pairs.iter().map(|(_, pair)| pair.margin).collect();
    let selection = keep_k(&margins, limit, anchors.keep, key);
    paired.over_limit = selection.left.len();
    paired.pairs = selection
        .kept
        .iter()
        .map(|kept| pairs[kept.index])
        .collect();
    Ok(paired)
}

/// Splits a flat list into rows of these lengths.
pub(super) fn in_rows(all: &[f64], lengths: impl Iterator<Item = usize>) -> Vec<Vec<f64>> {
    let mut rest = all;
    lengths
        .map(|length| {
            let (own, others) = rest.split_at(length);
            rest = others;
            own.to_vec()
        })
        .collect()
}

/// Turns a completion and a reward into a response that passes the gate.
pub(super) fn response(completion: &Completion, reward: f64) -> Response<'_> {
    Response {
        text: &completion.text,
        reward,
        finished: completion.finish != Finish::Length,
        unlikely: false,
    }
}
