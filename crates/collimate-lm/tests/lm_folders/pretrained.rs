//! Model, tokenizer, end tokens and longest sequence of one folder.

use super::*;
use collimate_core::{Generator, PreferencePair, Prompt, Sampling};
use collimate_lm::{Pretrained, PretrainedError};
use collimate_nn::Backbone;

/// Creates a decoder's folder with two end tokens besides the tokenizer's.
fn folder() -> tempfile::TempDir {
    let dir = copy(&fixture("llama-untied"));
    let generation = "{\"eos_token_id\": [7, 8]}";
    std::fs::write(dir.path().join("generation_config.json"), generation).unwrap();
    dir
}

fn open(dir: &Path) -> Result<Pretrained<Llama>, PretrainedError> {
    Pretrained::from_folder(dir, &device())
}

#[test]
fn a_folder_is_read_and_saved_whole() {
    let dir = folder();
    let start = open(dir.path()).unwrap();
    assert_eq!(start.eos, [7, 8]);
    assert_eq!(start.max_length, start.model.max_positions());
    let generator = start.generator();
    for end in start.tokenizer.end_tokens().iter().chain(&start.eos) {
        assert!(generator.eos().contains(end), "{end}");
    }

    let out = tempfile::tempdir().unwrap();
    start.clone().with_max_length(12).save(out.path()).unwrap();
    let again = open(out.path()).unwrap();
    assert_eq!((again.max_length, &again.eos), (12, &start.eos));
    let prompts = [Prompt::from("a b")];
    let sampling = Sampling {
        temperature: 0.0,
        max_new_tokens: 6,
        ..Sampling::default()
    };
    let texts = |of: &Pretrained<Llama>| of.generator().generate(&prompts, &sampling).unwrap();
    assert_eq!(texts(&again)[0][0].text, texts(&start)[0][0].text);
}

#[test]
fn pairs_are_cut_to_the_longest_sequence() {
    let dir = folder();
    let start = open(dir.path()).unwrap().with_max_length(8);
    let long = "word ".repeat(40);
    let pairs = [PreferencePair::new("a", long.as_str(), "b")];
    let (ids, report) = start.encode_pairs(&pairs).unwrap();
    assert_eq!(report.truncated, 1);
    assert!(ids[0].prompt.len() + ids[0].chosen.len() <= 8);
}

#[test]
fn an_error_names_what_is_missing() {
    let dir = folder();
    std::fs::remove_file(dir.path().join("tokenizer.json")).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, PretrainedError::Tokenizer(_)), "{error}");
    let dir = folder();
    std::fs::remove_file(dir.path().join("model.safetensors")).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, PretrainedError::Load(_)), "{error}");
}
