//! Self-evolved reward learning ([arXiv:2411.00418](https://arxiv.org/abs/2411.00418)): a reward
//! model labels the pool, a filter that depends on its learning status keeps the labels that are
//! likely right, and the model is trained on them, loop after loop.
//!
//! [`evolve`] does it over a [`SerData`], [`evolve_round`] goes on over new pairs, such as a policy's own; [`write_report`] makes the run folder's
//! `report.md`, plots and `summary.json` of what came out.

mod ask;
mod audit;
mod config;
mod controls;
mod cross_fit;
mod data;
mod ensemble;
mod evolved;
mod final_test;
mod fingerprint;
mod gain;
mod loops;
mod noise;
mod outcome;
mod overlap;
mod recipe;
mod report;
mod round;
mod score;
mod session;
mod summary;
mod tokenized_pool;
mod verdict;
mod warnings;

pub use crate::Adaptation;
pub use config::{Control, RetrainFrom, SerConfig};
pub use data::{SerData, SplitPlan};
pub use evolved::{evolve, evolve_with};
pub use outcome::{
    AskNext, CrossFitReport, EvolvedReward, Evolving, LoopReport, ModelReport, ModelTest,
    PoolReport, SeedAgreement, SelfLabel, SerOutcome, Significance, Steps, TrainedReward,
    TriedLength,
};
pub use recipe::{EnsembleConfig, Heads, LoopStatus, Recipe, SeedSteps};
pub use report::{ReportNotes, write_report, write_report_with};
pub use round::{RoundData, SerRound, evolve_round};
pub use summary::summary;
pub use verdict::verdict;
