#![doc = include_str!("../README.md")]

pub mod dpo;
mod error;
pub mod models;
pub mod ppo;
pub mod prelude;
pub mod reward;
pub mod self_rewarding;
pub mod ser;
pub mod sera;
pub mod sft;
pub mod world;

pub use burn;
pub use collimate_core as core;
pub use collimate_data as data;
pub use collimate_direct as direct;
pub use collimate_eval as eval;
pub use collimate_files as files;
pub use collimate_gguf as gguf;
#[cfg(feature = "hub")]
pub use collimate_hub as hub;
pub use collimate_ifeval as ifeval;
pub use collimate_irm as irm;
pub use collimate_judge as judge;
#[cfg(feature = "learner")]
pub use collimate_learner as learner;
pub use collimate_lm as lm;
pub use collimate_losses as losses;
pub use collimate_nn as nn;
pub use collimate_ops as ops;
pub use collimate_recipes as recipes;
#[cfg(feature = "remote")]
pub use collimate_remote as remote;
pub use collimate_run as run;
pub use collimate_status as status;
pub use collimate_train as train;
pub use error::Error;
