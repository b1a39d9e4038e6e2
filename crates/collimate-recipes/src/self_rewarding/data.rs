//! Data on which a run learns and is measured.

use collimate_core::{Generator, PreferencePair, Prompt};
use collimate_data::{RankedAnswers, SftExample};

use crate::AnswerScorer;

/// Seed data and held-out data of a run.
#[derive(Clone, Default)]
pub struct SelfRewardingData<'a> {
    /// Demonstrations for instruction fine-tuning (IFT). Without them, M0 is also the baseline.
    pub ift: Vec<SftExample>,
    /// Judgements in the judge's format for evaluation fine-tuning (EFT);
    /// [`eft_example`](collimate_judge::eft_example) makes them.
    pub eft: Vec<SftExample>,
    /// Ranked answers from which further judgements are made ([`EftConfig`](super::EftConfig)), in
    /// addition to `eft`.
    pub ranked: Vec<RankedAnswers>,
    /// Held-out ranked answers that every model of the chain judges; they share no prompt with
    /// `ranked`.
    pub rank_test: Vec<RankedAnswers>,
    /// Judge of the ranked answers with [`EftFrom::Judged`](super::EftFrom), and a name that tells
    /// judges apart. If absent, the baseline (`sft`) judges.
    pub eft_judge: Option<(&'a str, &'a dyn Generator)>,
    /// Examples of writing a task in the format of [`TaskTemplate`](super::TaskTemplate). A model
    /// that follows few-shot prompts needs none.
    pub tasks: Vec<SftExample>,
    /// Prompts with which the pool of known tasks begins, and from which example tasks are drawn.
    pub seed_prompts: Vec<Prompt>,
    /// Pairs that every model judges, to measure its agreement with them.
    pub judge_test: Vec<PreferencePair>,
    /// Good answers on which the alignment tax is measured.
    pub held_out: Vec<SftExample>,
    /// Prompts that every model answers. None of them may be the prompt of a demonstration. Seed
    /// prompts and new tasks that equal one of them, or a prompt of the held-out data, are left
    /// out.
    pub prompts: Vec<Prompt>,
    /// Tokens that end an answer, in addition to the tokenizer's EOS.
    pub eos: Vec<u32>,
    /// Scorer that compares the answers. Only the branch
    /// [`PairSource::Evaluator`](super::PairSource) learns from it.
    pub evaluator: Option<AnswerScorer<'a>>,
    /// Second scorer of the same answers, such as one that checks whether tasks are solved. The report
    /// shows its mean.
    pub task_accuracy: Option<AnswerScorer<'a>>,
    /// Writer of tasks with [`PromptSource::Fixed`](super::PromptSource), and a name that tells
    /// writers apart. If absent, M1 writes the tasks.
    pub task_writer: Option<(&'a str, &'a dyn Generator)>,
}

/// Written by hand, because generators need not implement `Debug`.
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
