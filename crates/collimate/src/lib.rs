#![doc = include_str!("../README.md")]

pub use burn;
pub use collimate_core as core;
pub use collimate_data as data;
pub use collimate_direct as direct;
pub use collimate_eval as eval;
pub use collimate_files as files;
pub use collimate_irm as irm;
pub use collimate_judge as judge;
#[cfg(feature = "learner")]
pub use collimate_learner as learner;
pub use collimate_lm as lm;
pub use collimate_losses as losses;
pub use collimate_nn as nn;
pub use collimate_ops as ops;
pub use collimate_ppo as ppo;
pub use collimate_recipes as recipes;
pub use collimate_recipes::{self_rewarding, ser, sera};
#[cfg(feature = "remote")]
pub use collimate_remote as remote;
pub use collimate_reward as reward;
pub use collimate_run as run;
pub use collimate_status as status;
pub use collimate_train as train;
pub use collimate_world as world;

/// What most programs need.
pub mod prelude {
    pub use burn::tensor::Device;
    pub use collimate_core::{
        Completion, Generator, Key, PreferencePair, Prompt, Sampling, Scorer,
    };
    pub use collimate_data::{
        Format, ReadOptions, SftExample, TextTokenizer, TokenizedExample, TokenizedPair,
        Truncation, read_pairs, read_sft,
    };
    pub use collimate_direct::{
        DirectObjective, Reference, SftObjective, UnpairedExample, UnpairedObjective, pair_logps,
    };
    pub use collimate_lm::{Bert, Llama, LlamaConfig, TextGenerator};
    pub use collimate_losses::{
        DirectLoss, Dpo, Ipo, Kto, Orpo, PairwiseLoss, PreferenceLoss, SimPo, UnpairedLoss,
    };
    pub use collimate_nn::{Backbone, CausalLm, Forward, HfFolder, HfReward, LoraConfig, Pooling};
    pub use collimate_ppo::{ActorCritic, KlReference, PpoConfig, PpoTask};
    pub use collimate_recipes::ser::{SerConfig, SerData};
    pub use collimate_recipes::{Adaptation, AnswerScorer, direct, ppo, self_rewarding, ser, sera};
    pub use collimate_reward::{RewardModel, RewardObjective, RewardScorer, score_pairs};
    pub use collimate_run::{RunContext, RunFolder};
    pub use collimate_status::{FilterConfig, PairFilter, Thresholds};
    pub use collimate_train::{FitContext, Interrupt, Progress, TrainConfig, fit};
}
