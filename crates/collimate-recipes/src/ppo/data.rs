//! What policies are trained on and compared by.

use collimate_core::{Prompt, Scorer};
use collimate_data::SftExample;
use collimate_nn::{CausalLm, ValueModel};

use crate::AnswerScorer;

/// Prompts of the policy stage.
#[derive(Debug, Clone, Default)]
pub struct PolicyData<'a> {
    /// Prompts that responses are written to while training.
    pub prompts: Vec<Prompt>,
    /// Prompts whose answers are shown as training goes on: none of those that are reported on.
    pub watched: Vec<Prompt>,
    /// Prompts that the final policies answer.
    pub test: Vec<Prompt>,
    /// Good answers to measure the alignment tax on.
    pub held_out: Vec<SftExample>,
    /// Tokens that end an answer, beside the tokenizer's EOS.
    pub eos: Vec<u32>,
    /// Who compares the final answers with the start's; without it the policy's own reward does.
    pub judge: Option<AnswerScorer<'a>>,
}

/// A reward, and the policy that is trained against it.
#[derive(Clone)]
pub struct RewardArm<'a, M: CausalLm> {
    /// Its name: of stages, files and rows.
    pub name: String,
    /// The reward.
    pub reward: &'a dyn Scorer,
    /// The score that is worth p = ½, where it is known: what a sigmoid scaling without a centre of
    /// its own subtracts. Of a reward model trained on pairs, the mean score of labelled answers.
    pub centre: Option<f64>,
    /// What a critic starts from: the reward model's backbone and head.
    pub critic: Option<ValueModel<M>>,
}

/// The rewards of a policy stage and the prompts that all its policies share.
#[derive(Debug)]
pub struct PolicyInputs<'a, M: CausalLm> {
    /// One policy is trained against the reward of each.
    pub arms: &'a [RewardArm<'a, M>],
    /// Prompts, held-out answers and the judge.
    pub data: &'a PolicyData<'a>,
}

impl<M: CausalLm> std::fmt::Debug for RewardArm<'_, M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RewardArm")
            .field("name", &self.name)
            .field("centre", &self.centre)
            .finish_non_exhaustive()
    }
}
