//! Responses, with the log-probabilities and values at the time they were written.

use collimate_core::{Completion, Finish};
use collimate_nn::{CausalLm, DeviceBatch, Pack, PackError};
use collimate_train::{MicroBatchOrder, micro_batches};
use serde::{Deserialize, Serialize};

use crate::config::PpoConfig;

/// A response to one of the rollout's prompts, and its score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Response {
    /// Index of the prompt among all prompts.
    pub(crate) prompt: usize,
    /// Number of the group; responses of one group are compared with each other.
    pub(crate) group: usize,
    pub(crate) completion: Completion,
    pub(crate) score: f32,
}

impl Response {
    /// Returns the sampled ids, including the id that ended the response.
    pub(crate) fn ids(&self) -> &[u32] {
        self.completion.tokens.as_deref().unwrap_or_default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.completion.text.trim().is_empty()
    }

    pub(crate) fn has_end(&self) -> bool {
        self.completion.finish != Finish::Length
    }
}

/// Data that an update learns from. The log-probabilities are those of the sampled ids at the
/// sampling temperature, computed by the forward pass that trains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rollout {
    pub(crate) responses: Vec<Response>,
    pub(crate) old_logps: Vec<Vec<f32>>,
    pub(crate) reference_logps: Vec<Vec<f32>>,
    /// Empty without a critic.
    pub(crate) values: Vec<Vec<f32>>,
}

/// Cuts a mini-batch into micro-batches. Responses to one prompt stay together, so that the prompt
/// is processed once.
pub(crate) fn cut(
    mini_batch: &[usize],
    responses: &[Response],
    prompts: &[Vec<u32>],
    config: &PpoConfig,
) -> Vec<Vec<usize>> {
    let mut grouped: Vec<(usize, Vec<usize>)> = Vec::new();
    for &index in mini_batch {
        let prompt = responses[index].prompt;
        match grouped.iter_mut().find(|(of, _)| *of == prompt) {
            Some((_, group)) => group.push(index),
            None => grouped.push((prompt, vec![index])),
        }
    }
    let order: Vec<usize> = grouped.into_iter().flat_map(|(_, group)| group).collect();
    let tokens = |index: usize| {
        let response = &responses[index];
        prompts[response.prompt].len() + response.ids().len()
    };
    let (budget, as_drawn) = (config.micro_batch_tokens, MicroBatchOrder::AsDrawn);
    micro_batches(&order, tokens, budget, as_drawn)
}

/// Packs a micro-batch on the policy's device; its sequences are in the order of `micro_batch`.
pub(crate) fn batch<M: CausalLm>(
    micro_batch: &[usize],
    responses: &[Response],
    prompts: &[Vec<u32>],
    policy: &M,
) -> Result<DeviceBatch, PackError> {
    let mut pack = Pack::new();
    for group in micro_batch.chunk_by(|&a, &b| responses[a].prompt == responses[b].prompt) {
        let ids: Vec<&[u32]> = group.iter().map(|&index| responses[index].ids()).collect();
        pack.push_shared(&prompts[responses[group[0]].prompt], &ids);
    }
    pack.check(policy.vocab_size(), policy.max_positions())?;
    Ok(pack.to_device(M::VISIBILITY, &policy.device()))
}

/// Sorts one number per token into rows, one row per response.
pub(crate) fn by_response(
    values: Vec<f32>,
    micro_batch: &[usize],
    responses: &[Response],
    into: &mut [Vec<f32>],
) {
    let mut values = values.into_iter();
    for &index in micro_batch {
        into[index] = values.by_ref().take(responses[index].ids().len()).collect();
    }
}

/// Joins the numbers of a micro-batch's responses into one row.
pub(crate) fn flat<T: Copy + Into<f64>>(micro_batch: &[usize], values: &[Vec<T>]) -> Vec<f32> {
    let all = micro_batch.iter().flat_map(|&index| values[index].iter());
    all.map(|&value| value.into() as f32).collect()
}
