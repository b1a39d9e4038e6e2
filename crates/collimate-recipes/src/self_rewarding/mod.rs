//! Self-Rewarding language models (Yuan et al., <https://arxiv.org/abs/2401.10020>): the policy
//! writes tasks, answers them, judges its answers and learns from the pairs, iteration after
//! iteration.
//!
//! M0 is the start model. M1 is fine-tuned on demonstrations (IFT) and judgements (EFT). M(t+1) =
//! DPO from M(t) on AIFT(M(t)), the pairs that M(t) made.
//!
//! A run also trains a baseline on the demonstrations alone (`sft`). On request, every iteration
//! trains further branches, whose pairs come from implicit reward margins or from an evaluator. All
//! branches of an iteration use the same candidates and the same number of steps.

mod candidates;
mod check;
mod config;
mod data;
mod eft;
mod evaluate;
mod iteration;
mod judging;
mod measured;
mod outcome;
mod pairs;
mod ranks;
mod report;
mod run;
mod session;
mod task_template;
mod tasks;

pub use config::{EftConfig, EftFrom, PairSource, PromptSource, SelfRewardingConfig, TaskConfig};
pub use data::SelfRewardingData;
pub use eft::EftReport;
pub use outcome::{
    Branch, CandidateCounts, IterationReport, JudgeReport, JudgementCounts, ModelReport,
    SelfRewardingOutcome, TaskCounts,
};
pub use ranks::RankReport;
pub use report::{summary, write_report};
pub use run::self_reward;
pub use task_template::TaskTemplate;
pub use tasks::TaskRefusal;
