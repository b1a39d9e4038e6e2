#![doc = include_str!("../README.md")]

mod accuracy;
mod bootstrap;
mod calibration;
mod choices;
mod correlation;
mod error;
mod gap;
mod length;
mod normal;
mod precision;
mod ranking;
mod rewardbench;
mod rewardbench2;
mod seeds;
mod sets;

pub use accuracy::{Accuracy, outcomes, pairwise_accuracy};
pub use bootstrap::{Bootstrap, Groups, Interval};
pub use calibration::{Calibration, ReliabilityBin, calibration};
pub use choices::{last_number, likeliest, same_answer};
pub use correlation::{average_ranks, pearson, spearman};
pub use error::EvalError;
pub use gap::{RewardGap, reward_gap};
pub use length::{AccuracyByLength, accuracy_by_length};
pub use normal::{normal_quantile, wilson_interval};
pub use precision::{PrecisionPoint, precision_curve};
pub use ranking::{
    RankAgreement, RankedScores, is_exact, kendall_tau_b, rank_agreement, ranked_outcomes,
};
pub use rewardbench::{
    REWARD_BENCH_SECTIONS, RewardBench, SectionScore, reward_bench, reward_bench_section,
};
pub use rewardbench2::{
    AnswerScores, REWARD_BENCH_2_SUBSETS, RewardBench2, SubsetScore, TiesScore, best_of,
    reward_bench_2,
};
pub use seeds::{MeanSd, mean_sd};
pub use sets::jaccard;
