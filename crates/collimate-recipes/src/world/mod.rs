//! The synthetic world as data of the recipes, and a small language model that has learnt its texts.
//!
//! [`WorldData`] splits the pairs of a world, [`WorldModel`] trains the model that examples, tests and the
//! program `collimate` start from, and [`SelfRewardingSizes::data`] makes the seed data of a Self-Rewarding run.

mod data;
mod model;
mod self_rewarding;

pub use data::{WorldData, plain_texts, world_pairs};
pub use model::{WorldModel, world_tokenizer, world_tokenizer_with};
pub use self_rewarding::{
    EftSource, MOST_RANKED, SELF_REWARDING_WORDS, SelfRewardingSizes, world_rubric,
    world_self_rewarding, world_task_template,
};
