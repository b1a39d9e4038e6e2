//! Saved reward models are read again here, and by transformers and sentence-transformers.

mod common;

use std::path::Path;

use burn::tensor::{Device, Tensor};
use collimate_core::{Completion, Finish, Key, Prompt, ScoreError, Scorer};
use collimate_data::{TextTokenizer, TokenizedExample, Truncation};
use collimate_lm::{Encoder, Llama};
use collimate_losses::PairwiseLoss;
use collimate_nn::{Backbone, HfFolder, HfReward, LoraConfig, Pooling, SaveOptions, StoredType};
use collimate_reward::{RewardModel, RewardObjective, RewardScorer, score_sequences};
use collimate_testkit::{Noise, assert_close, flex};
use collimate_train::{FitContext, TrainConfig, fit};
use common::{fixtures, pairs, wide};

/// Facts of the fixtures' tokenizers.
const FACTS: SaveOptions = SaveOptions {
    dtype: StoredType::F32,
    shard_bytes: None,
    pad_token_id: Some(0),
    max_length: Some(32),
};

fn device() -> Device {
    flex().without_autodiff()
}

/// Trains for a few steps, so that no parameter keeps its initial value.
fn trained<B: Backbone>(model: RewardModel<B>) -> RewardModel<B> {
    let objective =
        RewardObjective::new(pairs(32, 3), vec![], PairwiseLoss::default(), 512).unwrap();
    let config = TrainConfig {
        learning_rate: 0.01,
        batch_size: 16,
        max_steps: Some(6),
        ..Default::default()
    };
    fit(model, &objective, &config, &FitContext::silent())
        .unwrap()
        .model
}

/// Returns random sequences within `vocab`, from one token to `longest`.
fn sequences(vocab: usize, longest: usize) -> Vec<TokenizedExample> {
    let mut noise = Noise::new(21);
    let lengths = [1, 2, 3, 7, longest / 2, longest];
    let draw =
        |n: usize, noise: &mut Noise| (0..n).map(|_| 3 + noise.below(vocab - 3) as u32).collect();
    lengths
        .iter()
        .map(|&n| TokenizedExample {
            prompt: draw(n / 3, &mut noise),
            completion: draw(n - n / 3, &mut noise),
            truncated: false,
        })
        .collect()
}

fn scores<B: Backbone>(model: &RewardModel<B>) -> Vec<f32> {
    let rows = sequences(model.backbone.vocab_size(), model.backbone.max_positions());
    score_sequences(model, &rows, 64).unwrap()
}

/// Saves a model, reads it again, and compares the scores and the bytes of a second save.
fn round_trip<B: HfReward>(name: &str, model: &RewardModel<B>) {
    let (dir, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    model.save_with(&FACTS, dir.path()).unwrap();
    let again = RewardModel::<B>::load(dir.path(), &device()).unwrap();
    assert_eq!(again.pooling(), model.pooling());
    assert_close(name, &scores(&again), &wide(&scores(model)), 1e-5);
    again.save_with(&FACTS, second.path()).unwrap();
    for file in ["model.safetensors", "config.json"] {
        let read = |dir: &Path| std::fs::read(dir.join(file)).unwrap();
        assert!(read(dir.path()) == read(second.path()), "{name}: {file}");
    }
    let fresh = RewardModel::<B>::load_or_fresh(dir.path(), Key::new(9, "head"), &device());
    assert_eq!(
        scores(&fresh.unwrap()),
        scores(&again),
        "{name}: the head was drawn anew"
    );
}

#[test]
fn saved_and_loaded_models_score_alike() {
    let decoder = common::decoder(&device());
    round_trip("decoder", &trained(decoder.clone()));
    let lora = decoder
        .with_lora(&LoraConfig::default(), Key::new(2, "lora"))
        .unwrap();
    round_trip("decoder with adapters", &trained(lora));
    let encoder = common::encoder(&device(), 0.1);
    for pooling in [Pooling::Mean, Pooling::Cls, Pooling::LastToken] {
        let model =
            RewardModel::from_parts(encoder.backbone.clone(), encoder.head.clone(), pooling);
        round_trip(&format!("encoder, {pooling:?}"), &trained(model));
    }
    let lora = encoder
        .with_lora(&LoraConfig::default(), Key::new(2, "lora"))
        .unwrap();
    round_trip("encoder with adapters", &trained(lora));
}

/// Folders, each with the label that is the reward.
const CLASSIFIERS: [(&str, Option<&str>); 7] = [
    ("bert-reward", None),
    ("roberta-reward", None),
    ("xlm-roberta-labels", Some("harm")),
    ("distilbert-reward", None),
    ("mpnet-reward", None),
    ("modernbert-reward", None),
    ("deberta-reward", None),
];

fn classifier(name: &str, label: Option<&str>, device: &Device) -> RewardModel<Encoder> {
    RewardModel::load_label(&fixtures().join("hf").join(name), label, device).unwrap()
}

#[test]
fn classifiers_are_trained_and_saved_as_such() {
    for (name, label) in CLASSIFIERS {
        let before = classifier(name, label, &flex());
        let lora = LoraConfig::default();
        let lora = before
            .clone()
            .with_lora(&lora, Key::new(2, "lora"))
            .unwrap();
        for (how, model) in [("whole", before.clone()), ("adapters", lora)] {
            let model = trained(model);
            let values = |model: &RewardModel<Encoder>| common::values(model);
            let (old, new) = (values(&before), values(&model));
            // The head's bias is the same in both scores of a pair, so it gets no gradient.
            for (path, value) in new.iter().filter(|(path, _)| *path != "head.bias") {
                let changed = old.get(path).is_none_or(|old| old != value);
                // Besides the adapters, only the head is trained.
                let trains = how == "whole"
                    || path.contains(".lora.")
                    || path.starts_with("head.")
                    || path.starts_with("backbone.head.");
                assert_eq!(changed, trains, "{name}, {how}: {path}");
            }
            round_trip(&format!("{name}, {how}"), &model);
        }
    }
}

/// In training, a head drops the same activations as in transformers. The same key gives the same
/// scores, another key gives others, and without a key there is no dropout.
#[test]
fn heads_of_classifiers_drop_in_training() {
    use collimate_nn::{Forward, Pack};
    let device = device();
    for (name, label) in CLASSIFIERS {
        let model = classifier(name, label, &device);
        let mut pack = Pack::new();
        pack.push_row(&[5, 7, 9, 11]);
        let batch = pack
            .to_device(Encoder::VISIBILITY, &device)
            .of_examples(&[0]);
        // The states are the same: only the head is run with dropout.
        let states = collimate_nn::pooled(&model.backbone, &batch, model.pooling(), Forward::EVAL);
        let project = |f: Forward| {
            let examples = batch.sequence_examples();
            let rows = collimate_nn::RowForward::new(f, examples.as_deref());
            collimate_testkit::host(&model.backbone.project(states.clone(), rows))
        };
        let train = |seed| project(Forward::train(Key::new(seed, "drop")));
        let plain = project(Forward::EVAL);
        let seeds: Vec<_> = (0..20).map(train).collect();
        assert_eq!(seeds[0], train(0), "{name}");
        assert!(seeds.iter().any(|other| *other != seeds[0]), "{name}");
        let zeros = seeds.iter().flatten().filter(|value| **value == 0.0);
        assert!(zeros.count() > 0 && plain != seeds[0], "{name}");
    }
}

#[test]
fn a_tracked_model_can_be_saved() {
    round_trip("tracked", &common::decoder(&flex()));
}

#[test]
fn a_backbone_without_a_head_gets_a_fresh_one_or_is_refused() {
    fn check<B: HfReward>(name: &str) {
        let dir = fixtures().join("hf").join(name);
        let error = RewardModel::<B>::load(&dir, &device())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("without a reward head") && error.contains(name),
            "{error}"
        );
        let fresh = |seed| {
            let key = Key::new(seed, "head");
            RewardModel::<B>::load_or_fresh(&dir, key, &device()).unwrap()
        };
        assert_eq!(scores(&fresh(1)), scores(&fresh(1)));
        assert_ne!(scores(&fresh(1)), scores(&fresh(2)));
    }
    check::<Llama>("llama-gqa-tied");
    check::<Llama>("llama-untied");
    check::<Encoder>("bert-mean");
}

fn items(texts: &[(&str, &str)]) -> Vec<(Prompt, Completion)> {
    texts
        .iter()
        .map(|(prompt, completion)| {
            let completion = Completion {
                text: (*completion).to_owned(),
                tokens: None,
                finish: Finish::Eos,
            };
            (Prompt::Text((*prompt).to_owned()), completion)
        })
        .collect()
}

fn fixture_model(name: &str) -> RewardModel<Llama> {
    let dir = fixtures().join("hf").join(name);
    RewardModel::load_or_fresh(&dir, Key::new(1, "head"), &device()).unwrap()
}

fn tokenizer(name: &str) -> TextTokenizer {
    TextTokenizer::from_folder(fixtures().join("hf").join(name)).unwrap()
}

#[test]
fn a_scorer_of_texts() {
    let model = fixture_model("llama-reward");
    let all = items(&[
        ("what is hot?", " tea is hot."),
        ("the cat", " sat"),
        ("", "no"),
    ]);
    let scorer = RewardScorer::new(model, tokenizer("llama-reward"), 64, Truncation::KeepEnd);
    let together = scorer.score(&all).unwrap();
    assert_eq!(together.len(), 3);
    for (item, score) in all.iter().zip(&together) {
        let alone = scorer.score(std::slice::from_ref(item)).unwrap();
        assert_close("alone", &alone, &[f64::from(*score)], 1e-5);
    }
    assert!(together[0] != together[1]);
    assert_eq!(scorer.score(&[]).unwrap(), [] as [f32; 0]);
}

#[test]
fn what_a_scorer_cannot_score_is_an_error() {
    let text = "she is kind. he is not so kind. they are at home. mix, wait, bake.";
    let long = items(&[("the cat", &text.repeat(4))]);
    // A text longer than the model's context.
    let model = fixture_model("llama-reward");
    let scorer = RewardScorer::new(model, tokenizer("llama-reward"), 512, Truncation::KeepEnd);
    let error = scorer.score(&long).unwrap_err().to_string();
    assert!(error.contains("at most 64"), "{error}");
    // The scorer still works after an error.
    assert!(scorer.score(&items(&[("the cat", " sat")])).is_ok());
    // The text can be scored once it is cut.
    let model = fixture_model("llama-reward");
    let scorer = RewardScorer::new(model, tokenizer("llama-reward"), 64, Truncation::KeepEnd);
    assert!(scorer.score(&long).is_ok());
    // A tokenizer with more ids than the model.
    let model = fixture_model("llama-reward");
    let scorer = RewardScorer::new(model, tokenizer("llama-untied"), 64, Truncation::KeepEnd);
    let error = scorer.score(&items(&[("", text)])).unwrap_err().to_string();
    assert!(
        error.contains("token id") && error.contains("tokenizer"),
        "{error}"
    );
    // Weights that are NaN.
    let mut model = fixture_model("llama-reward");
    model.head.weight = model
        .head
        .weight
        .map(|w| Tensor::full(w.dims(), f32::NAN, &device()));
    let scorer = RewardScorer::new(model, tokenizer("llama-reward"), 64, Truncation::KeepEnd);
    let error = scorer.score(&items(&[("the cat", " sat")])).unwrap_err();
    assert!(
        matches!(error, ScoreError::NotFinite { index: 0, .. }),
        "{error}"
    );
}

/// Saves a model with a tokenizer, writes its scores, and lets Python compute the same scores.
fn check_with_python<B: HfReward>(
    python: &std::ffi::OsStr,
    name: &str,
    model: &RewardModel<B>,
    tokenizer: &str,
) {
    let dir = tempfile::tempdir().unwrap();
    model.save_with(&FACTS, dir.path()).unwrap();
    for file in [
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
    ] {
        let from = fixtures().join("hf").join(tokenizer).join(file);
        std::fs::copy(from, dir.path().join(file)).unwrap();
    }
    let rows = sequences(model.backbone.vocab_size(), model.backbone.max_positions());
    let lines: Vec<String> = rows
        .iter()
        .zip(scores(model))
        .map(|(row, score)| {
            let ids = [row.prompt.clone(), row.completion.clone()].concat();
            serde_json::json!({"ids": ids, "score": score}).to_string()
        })
        .collect();
    let expected = dir.path().join("expected.jsonl");
    std::fs::write(&expected, lines.join("\n")).unwrap();
    let output = std::process::Command::new(python)
        .arg(fixtures().join("check_saved_models.py"))
        .args([dir.path(), &expected])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{name}: {}", text.trim());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {text}{errors}");
}

/// Needs transformers and sentence-transformers in the interpreter that `COLLIMATE_PYTHON` names.
#[test]
fn other_libraries_open_saved_models() {
    let Some(python) = std::env::var_os("COLLIMATE_PYTHON") else {
        println!("COLLIMATE_PYTHON names no interpreter: nothing opened");
        return;
    };
    let model = trained(fixture_model("llama-gqa-tied"));
    check_with_python(&python, "decoder", &model, "llama-gqa-tied");
    let model = fixture_model("llama-untied");
    check_with_python(
        &python,
        "decoder from an untied model",
        &model,
        "llama-untied",
    );
    let model = fixture_model("mistral-window");
    check_with_python(&python, "decoder with a window", &model, "mistral-window");
    let lora =
        fixture_model("llama-gqa-tied").with_lora(&LoraConfig::default(), Key::new(3, "lora"));
    check_with_python(
        &python,
        "decoder with adapters",
        &trained(lora.unwrap()),
        "llama-gqa-tied",
    );
    let dir = fixtures().join("hf").join("bert-mean");
    let backbone = Encoder::load(&dir, &device()).unwrap();
    for (name, label) in CLASSIFIERS {
        let model = trained(classifier(name, label, &flex()));
        check_with_python(&python, name, &model, "bert-mean");
    }
    for pooling in [Pooling::Mean, Pooling::Cls] {
        let key = Key::new(1, "head");
        let model = trained(RewardModel::with_fresh_head(backbone.clone(), pooling, key));
        check_with_python(
            &python,
            &format!("encoder, {pooling:?}"),
            &model,
            "bert-mean",
        );
    }
}
