//! Own pairs: pairs made from a model's own responses.

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// One sampled response to a prompt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Response<'a> {
    /// Text of the response.
    pub text: &'a str,
    /// Implicit reward of the response; with two models an [`ensemble`](crate::ensemble()).
    pub reward: f64,
    /// If true, the response ended by itself; if false, it reached the length limit.
    pub finished: bool,
    /// If true, the response is too unlikely under the start model to take part
    /// ([`unlikely_responses`](crate::unlikely_responses)).
    pub unlikely: bool,
}

/// Treatment of responses that reached the length limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CutPolicy {
    /// Responses that reached the limit are excluded.
    #[default]
    Drop,
    /// Responses that reached the limit are used like finished ones.
    Keep,
}

/// The pair made from a prompt's responses.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BestWorst {
    /// Index of the response with the largest implicit reward.
    pub chosen: usize,
    /// Index of the response with the smallest implicit reward.
    pub rejected: usize,
    /// Implicit reward of chosen minus that of rejected, above 0.
    pub margin: f64,
}

/// Reason why a prompt's responses make no pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NoPairReason {
    /// Fewer than two responses are usable: the others are empty or cut.
    TooFewResponses,
    /// A usable response has a reward that is not a finite number, so the best one is unknown.
    NotFinite,
    /// The best and the worst response have the same text.
    EqualTexts,
    /// All usable responses have the same reward.
    EqualRewards,
    /// Fewer than two responses are usable, because others are unlikely under the start model.
    Unlikely,
}

/// Chooses the response with the largest implicit reward and rejects the one with the smallest.
///
/// ```text
/// y_w = argmax_i r(x, y_i)        y_l = argmin_i r(x, y_i)
/// ```
///
/// Section 3.3 of <https://arxiv.org/abs/2410.09362>. At equal rewards the smaller index is taken.
/// Responses without a visible character and unlikely responses are excluded; `cut` decides about
/// responses that reached the length limit. White space around a text makes no difference.
///
/// # Errors
/// Returns the [`NoPairReason`] if the responses make no pair.
///
/// # Examples
/// ```
/// use collimate_irm::{CutPolicy, NoPairReason, Response, best_and_worst};
/// let response = |text, reward| Response { text, reward, finished: true, unlikely: false };
/// let responses = [response("a", 0.5), response("b", 2.0), response(" ", 9.0), response("c", -1.0)];
/// let pair = best_and_worst(&responses, CutPolicy::Drop)?;
/// assert_eq!((pair.chosen, pair.rejected, pair.margin), (1, 3, 3.0));
/// # Ok::<(), NoPairReason>(())
/// ```
pub fn best_and_worst(
    responses: &[Response<'_>],
    cut: CutPolicy,
) -> Result<BestWorst, NoPairReason> {
    let usable = || {
        let all = responses.iter().enumerate();
        all.filter(|(_, response)| exclusion(response, cut).is_none())
    };
    if usable().nth(1).is_none() {
        let gated = |response: &&Response<'_>| {
            !matches!(
                exclusion(response, cut),
                Some(Exclusion::Empty | Exclusion::Cut)
            )
        };
        return Err(match responses.iter().filter(gated).nth(1) {
            Some(_) => NoPairReason::Unlikely,
            None => NoPairReason::TooFewResponses,
        });
    }
    let (mut best, mut worst) = (None, None);
    for (index, response) in usable() {
        let reward = response.reward;
        if !reward.is_finite() {
            return Err(NoPairReason::NotFinite);
        }
        // Strictly larger: the first of equal rewards stays.
        if best.is_none_or(|best: usize| reward > responses[best].reward) {
            best = Some(index);
        }
        if worst.is_none_or(|worst: usize| reward < responses[worst].reward) {
            worst = Some(index);
        }
    }
    let (chosen, rejected) = best.zip(worst).ok_or(NoPairReason::TooFewResponses)?;
    let margin = responses[chosen].reward - responses[rejected].reward;
    let text = responses[chosen].text.trim();
    let same_as_chosen = |response: &Response<'_>| response.text.trim() == text;
    if chosen == rejected {
        // All rewards are equal. If all texts are equal too, that is the better reason.
        return Err(if usable().all(|(_, response)| same_as_chosen(response)) {
            NoPairReason::EqualTexts
        } else {
            NoPairReason::EqualRewards
        });
    }
    if same_as_chosen(&responses[rejected]) {
        return Err(NoPairReason::EqualTexts);
    }
    Ok(BestWorst {
        chosen,
        rejected,
        margin,
    })
}

/// Returns all pairs of a prompt's responses: best against worst, second best against second worst,
/// and so on. The first pair is [`best_and_worst`]; no response is in two pairs.
///
/// # Errors
/// Returns the errors of [`best_and_worst`].
///
/// # Examples
/// ```
/// use collimate_irm::{CutPolicy, NoPairReason, Response, nested_pairs};
/// let rewards = [("a", 0.5), ("b", 2.0), ("c", 1.0), ("d", -1.0), ("e", 0.6)];
/// let responses = rewards.map(|(text, reward)| Response { text, reward, finished: true, unlikely: false });
/// let pairs = nested_pairs(&responses, CutPolicy::Drop)?;
/// let found: Vec<_> = pairs.iter().map(|pair| (pair.chosen, pair.rejected)).collect();
/// assert_eq!(found, [(1, 3), (2, 0)]); // "e" is left
/// # Ok::<(), NoPairReason>(())
/// ```
pub fn nested_pairs(
    responses: &[Response<'_>],
    cut: CutPolicy,
) -> Result<Vec<BestWorst>, NoPairReason> {
    let mut pairs = vec![best_and_worst(responses, cut)?];
    let mut left: Vec<usize> = (0..responses.len()).collect();
    while let Some(last) = pairs.last() {
        let (chosen, rejected) = (last.chosen, last.rejected);
        left.retain(|index| ![chosen, rejected].contains(index));
        let rest: Vec<Response<'_>> = left.iter().map(|&index| responses[index]).collect();
        let Ok(next) = best_and_worst(&rest, cut) else {
            break;
        };
        pairs.push(BestWorst {
            chosen: left[next.chosen],
            rejected: left[next.rejected],
            margin: next.margin,
        });
    }
    Ok(pairs)
}

/// Number of responses, and number of excluded responses by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResponseCounts {
    /// Number of all responses.
    pub responses: usize,
    /// Number of responses excluded because they have no visible character.
    pub empty: usize,
    /// Number of responses excluded because they reached the length limit; 0 with
    /// [`CutPolicy::Keep`].
    pub cut: usize,
    /// Number of responses that are neither empty nor cut, but unlikely under the start model.
    #[serde(default)]
    pub unlikely: usize,
}

/// Pairs made from the responses to many prompts.
#[derive(Debug, Clone, PartialEq)]
pub struct Bootstrapped {
    /// The pair of each prompt, or the reason why it has none.
    pub outcomes: Vec<Result<BestWorst, NoPairReason>>,
    /// Counts of the responses of all prompts.
    pub counts: ResponseCounts,
}

impl Bootstrapped {
    /// Returns the pairs with the indices of their prompts, in rising order.
    pub fn pairs(&self) -> impl Iterator<Item = (usize, BestWorst)> + '_ {
        let all = self.outcomes.iter().enumerate();
        all.filter_map(|(prompt, outcome)| outcome.ok().map(|pair| (prompt, pair)))
    }

    /// Returns the number of prompts without a pair for each reason, in the order of
    /// [`NoPairReason`].
    pub fn dropped_by_reason(&self) -> Vec<(NoPairReason, usize)> {
        let mut counts = BTreeMap::new();
        for reason in self.outcomes.iter().filter_map(|outcome| outcome.err()) {
            *counts.entry(reason).or_insert(0) += 1;
        }
        counts.into_iter().collect()
    }
}

/// Makes the [`best_and_worst`] pair of each of many prompts, in parallel.
///
/// The pairs to train on are the [`top_k`](crate::top_k) of their margins.
///
/// # Examples
/// ```
/// use collimate_irm::{CutPolicy, NoPairReason, Response, bootstrap_pairs};
/// let response = |text, reward| Response { text, reward, finished: true, unlikely: false };
/// let prompts = [
///     vec![response("yes", 1.0), response("no", 3.0)],
///     vec![response("yes", 1.0), response("", 3.0)],
/// ];
/// let made = bootstrap_pairs(&prompts, CutPolicy::Drop);
/// let pairs: Vec<_> = made.pairs().map(|(prompt, pair)| (prompt, pair.chosen)).collect();
/// assert_eq!(pairs, [(0, 1)]);
/// assert_eq!(made.dropped_by_reason(), [(NoPairReason::TooFewResponses, 1)]);
/// assert_eq!((made.counts.responses, made.counts.empty), (4, 1));
/// ```
pub fn bootstrap_pairs<'a, P>(prompts: &[P], cut: CutPolicy) -> Bootstrapped
where
    P: AsRef<[Response<'a>]> + Sync,
{
    let outcomes = prompts
        .par_iter()
        .map(|responses| best_and_worst(responses.as_ref(), cut))
        .collect();
    let mut counts = ResponseCounts::default();
    for response in prompts.iter().flat_map(|responses| responses.as_ref()) {
        counts.responses += 1;
        match exclusion(response, cut) {
            Some(Exclusion::Empty) => counts.empty += 1,
            Some(Exclusion::Cut) => counts.cut += 1,
            Some(Exclusion::Unlikely) => counts.unlikely += 1,
            None => {}
        }
    }
    Bootstrapped { outcomes, counts }
}

enum Exclusion {
    Empty,
    Cut,
    Unlikely,
}

/// Returns the reason why a response is excluded, if any. An empty response counts as empty even if
/// it was cut.
fn exclusion(response: &Response<'_>, cut: CutPolicy) -> Option<Exclusion> {
    if response.text.trim().is_empty() {
        Some(Exclusion::Empty)
    } else if cut == CutPolicy::Drop && !response.finished {
        Some(Exclusion::Cut)
    } else if response.unlikely {
        Some(Exclusion::Unlikely)
    } else {
        None
    }
}
