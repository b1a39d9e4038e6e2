//! Pairs from responses with rewards: gate, ranking, agreement and choice of the kept pairs.

use collimate_core::{Completion, Finish, Key};
use collimate_irm::{
    BestWorst, CutPolicy, NoPairReason, Response, ResponseCounts, bootstrap_pairs, keep_k,
    nested_pairs, policy_agreement, rewards_with_start, unlikely_responses,
};

use super::anchors::Anchors;
use super::outcome::NoOwnPairs;
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
    /// Mean log-probabilities per token of the start model's own samples; empty if no gate needs
    /// them.
    pub(super) samples: &'a [f64],
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
    /// Number of pairs dropped because the second policy disagrees; 0 if all pairs are refused.
    pub(super) disagreeing: usize,
    /// Number of pairs made, if all are dropped because the second policy agrees on too small a
    /// share.
    pub(super) refused: usize,
    /// Reason why a device left no pair.
    pub(super) none: Option<NoOwnPairs>,
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
        samples,
        cut,
        limit,
        key,
    } = how;
    let start = rewards.start.as_deref();
    let unlikely = match start {
        Some(start) => unlikely_responses(start, samples, anchors.gate)?,
        None => Vec::new(),
    };
    let rows = match start {
        Some(start) if anchors.start_weight > 0.0 => {
            let flat: Vec<f64> = rewards.rows.iter().flatten().copied().collect();
            let all = rewards_with_start(&flat, start, anchors.start_weight)?;
            in_rows(&all, rewards.rows.iter().map(Vec::len))
        }
        _ => rewards.rows.clone(),
    };
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
    let gated = |&(reason, _): &(NoPairReason, usize)| reason == NoPairReason::Unlikely;
    if pairs.is_empty() && paired.dropped.iter().any(gated) {
        paired.none = Some(NoOwnPairs::Unlikely);
    }
    if let Some(least) = anchors.agreement
        && let Some(second) = &rewards.second
    {
        // The ranking may add the start's likelihood to both policies' rewards, so the plain
        // rewards are compared.
        let found = policy_agreement(&pairs, &rewards.rows, second)?;
        paired.agreement = found.share();
        // Counted before any pair is dropped: policies that agree on no pair are a refusal too.
        let all = pairs.len();
        if all > 0 && !found.reaches(least) {
            paired.refused = all;
            paired.none = Some(NoOwnPairs::Disagreement);
            pairs.clear();
        } else {
            let mut agrees = found.agrees.iter();
            pairs.retain(|_| agrees.next().copied().unwrap_or(false));
            paired.disagreeing = all - pairs.len();
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Responses that all differ, one row per prompt.
    fn completions(prompts: usize, each: usize) -> Vec<Vec<Completion>> {
        (0..prompts)
            .map(|prompt| {
                let response = |index| Completion::from(format!("{prompt}, {index}"));
                (0..each).map(response).collect()
            })
            .collect()
    }

    fn how<'a>(anchors: &'a Anchors, samples: &'a [f64]) -> Pairing<'a> {
        Pairing {
            anchors,
            samples,
            cut: CutPolicy::Drop,
            limit: 2,
            key: Key::new(0, "pairs"),
        }
    }

    fn prompts(paired: &Paired) -> Vec<usize> {
        paired.pairs.iter().map(|&(prompt, _)| prompt).collect()
    }

    #[test]
    fn policies_agree_by_their_own_rewards_only() {
        // The start's likelihood decides the ranking, so response 0 is chosen for both prompts. The
        // first policy's margins are −1 and −1, and the second policy's are +1 and −2.
        let rewards = Rewards {
            rows: vec![vec![0.0, 1.0], vec![0.0, 1.0]],
            start: Some(vec![-1.0, -9.0, -1.0, -9.0]),
            second: Some(vec![vec![1.0, 0.0], vec![0.0, 2.0]]),
        };
        let anchors = Anchors {
            start_weight: 1000.0,
            agreement: Some(0.5),
            ..Anchors::OFF
        };
        let paired = pair(&completions(2, 2), &rewards, how(&anchors, &[])).unwrap();
        assert_eq!(paired.agreement, Some(0.5));
        assert_eq!((paired.disagreeing, paired.refused), (1, 0));
        assert_eq!(prompts(&paired), [1]);
        assert_eq!((paired.pairs[0].1.chosen, paired.none), (0, None));
    }

    #[test]
    fn policies_that_agree_on_no_pair_are_a_refusal() {
        let rewards = Rewards {
            rows: vec![vec![1.0, 0.0], vec![1.0, 0.0]],
            second: Some(vec![vec![0.0, 1.0], vec![0.0, 1.0]]),
            ..Rewards::default()
        };
        let with = |rewards: &Rewards, completions: &[Vec<Completion>], least: f64| {
            let anchors = Anchors {
                agreement: Some(least),
                ..Anchors::OFF
            };
            let paired = pair(completions, rewards, how(&anchors, &[])).unwrap();
            assert!(paired.pairs.is_empty());
            let counts = (paired.refused, paired.disagreeing);
            (paired.agreement, counts, paired.none)
        };
        let disagreement = Some(NoOwnPairs::Disagreement);
        let all = completions(2, 2);
        assert_eq!(with(&rewards, &all, 0.6), (Some(0.0), (2, 0), disagreement));
        // No share is too small for 0, so the pairs are dropped one by one.
        assert_eq!(with(&rewards, &all, 0.0), (Some(0.0), (0, 2), None));
        // One pair of two agrees: the pair that agrees is refused too.
        let half = Rewards {
            second: Some(vec![vec![0.0, 1.0], vec![1.0, 0.0]]),
            ..rewards.clone()
        };
        assert_eq!(with(&half, &all, 0.6), (Some(0.5), (2, 0), disagreement));
        // Policies without a pair to agree on have not been refused.
        let empty = vec![vec![Completion::from(""), Completion::from("")]; 2];
        assert_eq!(with(&rewards, &empty, 0.6), (None, (0, 0), None));
    }

    #[test]
    fn the_gate_keeps_what_the_start_itself_finds_likely() {
        // Sorted upwards: −4 −3 −2 −1. The first quartile is −3.
        let samples = [-1.0, -2.0, -3.0, -4.0];
        let anchors = Anchors {
            gate: 0.25,
            ..Anchors::OFF
        };
        let with = |start: [f64; 4]| {
            let rewards = Rewards {
                rows: vec![vec![1.0, 0.0], vec![1.0, 0.0]],
                start: Some(start.to_vec()),
                ..Rewards::default()
            };
            let paired = pair(&completions(2, 2), &rewards, how(&anchors, &samples)).unwrap();
            let dropped = paired.dropped.clone();
            (
                prompts(&paired),
                paired.counts.unlikely,
                dropped,
                paired.none,
            )
        };
        let unlikely = |count| vec![(NoPairReason::Unlikely, count)];
        assert_eq!(
            with([-1.0, -3.0, -2.0, -0.5]),
            (vec![0, 1], 0, vec![], None)
        );
        assert_eq!(
            with([-1.0, -3.0, -2.0, -3.5]),
            (vec![0], 1, unlikely(1), None)
        );
        // A policy that has left the start loses every response.
        let none = Some(NoOwnPairs::Unlikely);
        assert_eq!(
            with([-5.0, -6.0, -7.0, -8.0]),
            (vec![], 4, unlikely(2), none)
        );
        // One response per prompt is left, which makes no pair.
        assert_eq!(
            with([-1.0, -6.0, -7.0, -1.0]),
            (vec![], 2, unlikely(2), none)
        );
    }
}
