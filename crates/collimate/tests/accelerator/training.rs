//! Each kind of training follows flex step by step, and a model writes the same tokens.
//!
//! Both devices compute in f32 but add in another order, and a GPU's exp and division may differ in
//! the last bits: about 1e-6 a step here. Tolerances leave room for some steps of growth; a wrong
//! kernel is off by far more.

use collimate::prelude::*;
use collimate_testkit::accelerator;

use crate::kinds::TRAININGS;
use crate::setup::{device, flex, model, near, tokenizer};

#[test]
fn every_kind_of_training_follows_flex() {
    let (name, device) = device();
    for (kind, train) in TRAININGS {
        let (found, wanted) = (train(4, &device), train(4, &flex()));
        let moved = wanted.iter().any(|value| (value - wanted[0]).abs() > 1e-3);
        assert!(moved, "{kind}: nothing happened: {wanted:?}");
        near(&format!("{kind} on {name}"), &found, &wanted, 1e-4);
    }
}

#[test]
fn a_model_writes_the_same_tokens() {
    let (name, device) = device();
    let prompts = vec![vec![0, 5, 6], vec![0], vec![0, 7, 8, 9, 10, 11]];
    let write = |device: &Device, temperature: f64| {
        let generator = TextGenerator::new(model(3, device), tokenizer());
        let sampling = Sampling {
            max_new_tokens: 12,
            temperature,
            ..Sampling::default()
        };
        let all = generator
            .continue_ids(&prompts, &sampling, &mut ())
            .unwrap();
        let answers = all.iter().flatten().map(|answer| answer.tokens.clone());
        answers.collect::<Vec<_>>()
    };
    for temperature in [0.0, 1.0] {
        let wanted = write(&flex(), temperature);
        assert!(wanted.iter().flatten().flatten().count() > 6, "{wanted:?}");
        assert_eq!(write(&device, temperature), wanted, "{name}");
    }
}

/// Without this, a variable with a typing error would test ndarray and say nothing.
#[test]
fn the_device_is_the_one_that_was_asked_for() {
    let asked = std::env::var(collimate_testkit::TEST_DEVICE).unwrap_or_default();
    let found = accelerator().map_or(String::new(), |(name, _)| name.to_owned());
    assert_eq!(found, asked);
}
