//! Prompts that cannot be completed are refused by name.

use super::*;
use collimate_core::{GenerateError, Generator, Message, Prompt, Role};

fn refused(prompts: &[Vec<u32>], sampling: &Sampling) -> GenerateError {
    let generator = generator(random_model(&Device::flex()));
    generator
        .continue_ids(prompts, sampling, &mut ())
        .unwrap_err()
}

#[test]
fn prompts_without_room() {
    for tokens in [CONTEXT, CONTEXT + 1] {
        let error = refused(&[vec![3], vec![3; tokens]], &greedy_sampling(1));
        let says = error.to_string();
        assert!(
            matches!(error, GenerateError::PromptTooLong { index: 1, tokens: t, context: CONTEXT } if t == tokens),
            "{says}"
        );
        assert!(
            says.contains("prompt 1") && says.contains("shorten"),
            "{says}"
        );
    }
}

#[test]
fn prompts_that_are_none() {
    let says = refused(&[vec![2], vec![]], &greedy_sampling(1)).to_string();
    assert_eq!(
        says,
        "prompt 1: has no token: write a text, or use a tokenizer with BOS"
    );
    let says = refused(&[vec![2, 99]], &greedy_sampling(1)).to_string();
    assert!(
        says.contains("prompt 0") && says.contains("id 99") && says.contains("below 32"),
        "{says}"
    );
    let chat = Prompt::Chat(vec![Message::new(Role::User, "a")]);
    let generator = generator(random_model(&Device::flex()));
    let error = generator.generate(&[Prompt::from("a"), chat], &greedy_sampling(1));
    let says = error.unwrap_err().to_string();
    assert!(
        says.starts_with("prompt 1: ") && says.contains("template"),
        "{says}"
    );
}

#[test]
fn options_out_of_range() {
    let sampling = Sampling {
        top_p: 0.0,
        ..Sampling::default()
    };
    let says = refused(&[vec![2]], &sampling).to_string();
    assert!(says.starts_with("top_p is 0 but must be "), "{says}");
    let sampling = Sampling {
        n: usize::MAX,
        ..greedy_sampling(1)
    };
    let says = refused(&[vec![2], vec![3]], &sampling).to_string();
    let n = format!("n is {} but must be ", usize::MAX);
    assert!(says.starts_with(&n), "{says}");
    let generator = generator(random_model(&Device::flex()));
    let says = generator
        .clone()
        .with_limits(limits(0, 1))
        .unwrap_err()
        .to_string();
    assert!(says.starts_with("rows is 0 but must be "), "{says}");
    let says = generator.with_limits(limits(1, 0)).unwrap_err().to_string();
    assert!(says.starts_with("tokens is 0 but must be "), "{says}");
}

#[test]
fn no_prompts_is_no_work() {
    let generator = generator(random_model(&Device::flex()));
    let found = generator.generate(&[], &Sampling::default()).unwrap();
    assert!(found.is_empty());
}

#[test]
fn logits_that_are_no_numbers() {
    for (name, device) in common::plain_devices() {
        for temperature in [0.0, 1.0] {
            let sampling = Sampling {
                temperature,
                ..Sampling::default()
            };
            // The model is broken from the start, or for every token after the first.
            let broken = common::changed(&random_model(&device), |path, values| {
                if path == "model.layers.1.mlp.up_proj.weight" {
                    values[3] = f32::NAN;
                }
            });
            // There is one lane because with several lanes the first to fail determines the error.
            let generator_of_broken = generator(broken).with_limits(limits(32, 1000)).unwrap();
            let error = generator_of_broken.continue_ids(&[vec![2], vec![3]], &sampling, &mut ());
            let error = error.unwrap_err();
            assert!(
                matches!(
                    error,
                    GenerateError::NotFinite {
                        index: 0,
                        tokens: 0
                    }
                ),
                "{name}: {error}"
            );
            // One logit is broken among good ones.
            let script = spelled("abc");
            let one = common::changed(&scripted(&script, &device), |path, values| {
                if path == "lm_head.weight" {
                    values[9 * VOCAB..10 * VOCAB].fill(f32::NAN);
                }
            });
            let error = generator(one).continue_ids(&[vec![0]], &sampling, &mut ());
            let error = error.unwrap_err();
            assert!(
                matches!(error, GenerateError::NotFinite { .. }),
                "{name}: {error}"
            );
            let later = common::changed(&scripted(&script, &device), |path, values| {
                if path == "model.embed_tokens.weight" {
                    values[script[1] as usize * VOCAB] = f32::NAN;
                }
            });
            let error = generator(later).continue_ids(&[vec![0]], &sampling, &mut ());
            let error = error.unwrap_err();
            assert!(
                matches!(
                    error,
                    GenerateError::NotFinite {
                        index: 0,
                        tokens: 2
                    }
                ),
                "{name}: {error}"
            );
        }
    }
}
