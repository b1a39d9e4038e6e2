//! What a run learns from and is measured on.

use collimate_core::{Generator, PreferencePair, Prompt};
use collimate_data::{RankedAnswers, SftExample};

use crate::AnswerScorer;

/// Seed data and held-out data of a run.
#[derive(Clone, Default)]
pub struct SelfRewardingData<'a> {
    /// Instruction fine-tuning: demonstrations. Without them M0 stands for the baseline too.
    pub ift: Vec<SftExample>,
    /// Evaluation fine-tuning: judgements in the judge's format
    /// ([`eft_example`](collimate_judge::eft_example) makes them).
    pub eft: Vec<SftExample>,
    /// Ranked answers that judgements are made of ([`EftConfig`](super::EftConfig)), beside those of
    /// `eft`.
    pub ranked: Vec<RankedAnswers>,
    /// Held-out ranked answers that every model of the chain judges; no prompt of `ranked`.
    pub rank_test: Vec<RankedAnswers>,
    /// Who judges the ranked answers with [`EftFrom::Judged`](super::EftFrom), with a name that tells
    /// judges apart; the baseline (`sft`) where nobody is named.
    pub eft_judge: Option<(&'a str, &'a dyn Generator)>,
    /// Examples of posing a task in the format of [`TaskTemplate`](super::TaskTemplate); a model
    /// that can be asked by few shots needs none.
    pub tasks: Vec<SftExample>,
    /// Prompts that the pool of known tasks begins with, and that shots are drawn from.
    pub seed_prompts: Vec<Prompt>,
    /// Pairs that every model judges, to see how it agrees with them.
    pub judge_test: Vec<PreferencePair>,
    /// Good answers to measure the alignment tax on.
    pub held_out: Vec<SftExample>,
    /// Prompts that every model answers. None of them may be that of a demonstration; a seed prompt
    /// or a posed task that is one of them, of `judge_test` or of `held_out` is left out.
    pub prompts: Vec<Prompt>,
    /// Tokens that end an answer, beside the tokenizer's EOS.
    pub eos: Vec<u32>,
    /// Who says whose answers are better. Nothing is learnt from it but by the branch
    /// [`PairSource::Evaluator`](super::PairSource).
    pub evaluator: Option<AnswerScorer<'a>>,
    /// A second scorer of the same answers, whose mean is reported: whether tasks are solved.
    pub task_accuracy: Option<AnswerScorer<'a>>,
    /// Who poses tasks with [`PromptSource::Fixed`](super::PromptSource), with a name that tells
    /// writers apart; M1 where nobody is named.
    pub task_writer: Option<(&'a str, &'a dyn Generator)>,
}

/// Generators need not be printable.
impl std::fmt::Debug for SelfRewardingData<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SelfRewardingData")
            .field("ift", &self.ift.len())
            .field("eft", &self.eft.len())
            .field("ranked", &self.ranked.len())
            .field("rank_test", &self.rank_test.len())
            .field("tasks", &self.tasks.len())
            .field("seed_prompts", &self.seed_prompts.len())
            .field("judge_test", &self.judge_test.len())
            .field("prompts", &self.prompts.len())
            .field("evaluator", &self.evaluator)
            .finish_non_exhaustive()
    }
}
