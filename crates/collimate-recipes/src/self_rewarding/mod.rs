//! Self-Rewarding language models (Yuan et al., <https://arxiv.org/abs/2401.10020>): the policy
//! poses tasks, answers them, judges its answers and learns from the pairs, again and again.
//!
//! M0 is the model that comes in, M1 is fine-tuned on demonstrations (IFT) and judgements (EFT), and
//! M(t+1) = DPO from M(t) on AIFT(M(t)), the pairs that M(t) made. Beside the chain a run trains the
//! demonstrations alone (`sft`), and on request a branch of every iteration whose pairs come from
//! implicit reward margins or from an evaluator, over the same candidates for the same steps.

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
