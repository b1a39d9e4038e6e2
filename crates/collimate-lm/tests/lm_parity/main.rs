//! The same numbers as transformers, from the same folders.

#[path = "../common/mod.rs"]
mod common;
mod encoders;
mod families;
mod mistral;
mod models;
mod peft;
mod real;
mod saved;
mod tied;

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use collimate_lm::{Encoder, Llama};
use collimate_nn::{
    Adaptable, Backbone, CausalLm, Forward, HfFolder, HfReward, Lora, Pack, Pooling, ScalarHead,
    completion_logps, pool, token_logps,
};
use collimate_testkit::host;
use common::{
    Worst, check_hidden, copy, fixture, fixtures, ids, json, numbers, plain_devices, saved,
};
use serde_json::Value;

pub(crate) fn list<'a>(value: &'a Value, key: &str) -> &'a Vec<Value> {
    value[key].as_array().expect("a list")
}
