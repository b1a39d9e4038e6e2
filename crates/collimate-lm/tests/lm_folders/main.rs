//! Settings of folders, and the settings of the folders saved from them.

mod bad;
#[path = "../common/mod.rs"]
mod common;
mod encoders;
mod families;
mod kept;
mod leftovers;
mod more_families;
mod options;
mod pretrained;
mod rope;
mod saved_forms;
mod sentence;
mod shards;
mod sizes;
mod values;

use std::path::Path;

use burn::tensor::Device;
use collimate_lm::{Encoder, Llama, eos_token_ids};
use collimate_nn::{HfFolder, HfReward, LoadError, ScalarHead};
use common::{
    copy, edit_config, edit_tensors, fixture, json, read_tensors, saved, warned, write_tensors,
};
use serde_json::{Value, json as value};

fn device() -> Device {
    collimate_testkit::flex().without_autodiff()
}

/// Returns the error of a decoder's folder after checking that it is one line with all of `parts`.
fn refused(dir: &Path, parts: &[&str]) -> LoadError {
    let error = Llama::load(dir, &device()).expect_err("a bad folder");
    check(&error, parts);
    check(
        &Llama::load_reward(dir, &device()).expect_err("a bad folder"),
        parts,
    );
    error
}

fn check(error: &LoadError, parts: &[&str]) {
    let text = error.to_string();
    assert!(!text.contains('\n'), "more than one line: {text}");
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

/// Copies a fixture with one key of its configuration changed.
fn with(name: &str, key: &str, value: Value) -> tempfile::TempDir {
    let dir = copy(&fixture(name));
    edit_config(dir.path(), |c| c[key] = value);
    dir
}

fn head(width: usize, bias: bool) -> ScalarHead {
    ScalarHead::new(
        width,
        bias,
        0.1,
        collimate_core::Key::new(1, "head"),
        &device(),
    )
}
