//! Self-evolved reward learning ([arXiv:2411.00418](https://arxiv.org/abs/2411.00418)).
//!
//! A reward model labels the pool. A filter that depends on the learning status keeps the labels
//! that are likely right. The model is retrained on these labels, loop after loop.
//!
//! [`evolve`] runs the loops over a [`SerData`]. [`evolve_round`] continues over new pairs, such as
//! a policy's own answers. [`write_report`] writes the run folder's `report.md`, plots and
//! `summary.json`.

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
mod sharpness;
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
