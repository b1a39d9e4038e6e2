//! Data on which policies are trained and compared.

use collimate_core::{Prompt, Scorer};
use collimate_data::SftExample;
use collimate_nn::{CausalLm, ValueModel};

use crate::AnswerScorer;

/// Prompts, held-out answers and judge of the policy stage.
#[derive(Debug, Clone, Default)]
pub struct PolicyData<'a> {
    /// Prompts to which the policy writes responses during training.
    pub prompts: Vec<Prompt>,
    /// Prompts whose answers are shown during training. They should not be among the test prompts.
    pub watched: Vec<Prompt>,
    /// Prompts that the final policies answer.
    pub test: Vec<Prompt>,
    /// Good answers on which the alignment tax is measured.
    pub held_out: Vec<SftExample>,
    /// Tokens that end an answer, in addition to the tokenizer's EOS.
    pub eos: Vec<u32>,
    /// Scorer that compares the final answers with the start model's. Without a judge, the policy's
    /// own reward compares them.
    pub judge: Option<AnswerScorer<'a>>,
}

/// A reward, and the policy that is trained against it.
#[derive(Clone)]
pub struct RewardArm<'a, M: CausalLm> {
    /// Name of the reward in stages, files and rows.
    pub name: String,
    /// The reward.
    pub reward: &'a dyn Scorer,
    /// Score centre of the reward, if known. A sigmoid scaling without its own centre subtracts
    /// this number, so that a score equal to it has probability ½. For a reward model trained on
    /// pairs, use the mean score of labelled answers.
    pub centre: Option<f64>,
    /// Start of the critic: the reward model's backbone and head.
    pub critic: Option<ValueModel<M>>,
}

/// The rewards of a policy stage and the prompts that all its policies share.
#[derive(Debug)]
pub struct PolicyInputs<'a, M: CausalLm> {
    /// Rewards; one policy is trained against each.
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
