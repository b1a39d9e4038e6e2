//! The items that most programs need.

pub use burn::tensor::{Device, DeviceKind};
pub use collimate_core::{Completion, Generator, Key, PreferencePair, Prompt, Sampling, Scorer};
pub use collimate_data::{
    Format, ReadOptions, SftExample, TextTokenizer, TokenizedExample, TokenizedPair, Truncation,
    read_pairs, read_sft,
};
pub use collimate_direct::{
    DirectObjective, Reference, SftObjective, UnpairedExample, UnpairedObjective, pair_logps,
};
pub use collimate_lm::{Encoder, Llama, LlamaConfig, Pretrained, TextGenerator};
pub use collimate_losses::{
    DirectLoss, Dpo, Ipo, Kto, Orpo, PairwiseLoss, PreferenceLoss, SimPo, UnpairedLoss,
};
pub use collimate_nn::{Backbone, CausalLm, Forward, HfFolder, HfReward, LoraConfig, Pooling};
pub use collimate_ppo::{ActorCritic, KlReference, PpoConfig, PpoTask};
pub use collimate_recipes::ser::{SerConfig, SerData};
pub use collimate_recipes::{Adaptation, AnswerScorer};
pub use collimate_reward::{RewardModel, RewardObjective, RewardScorer, score_pairs};
pub use collimate_run::{RunContext, RunFolder};
pub use collimate_status::{FilterConfig, PairFilter, Thresholds};
pub use collimate_train::{FitContext, Interrupt, Progress, TrainConfig, fit};
