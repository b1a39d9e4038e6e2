//! Folders that cannot be read: each error is one line that names the file and the remedy.

mod common;

use std::path::Path;

use burn::tensor::Device;
use collimate_lm::{Encoder, Llama, LlamaConfig, detect_architecture};
use collimate_nn::{HfFolder, HfReward, LoadError, PackError, Pooling, ScalarHead};
use common::{copy, edit_config, fixture, saved};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::json;

fn device() -> Device {
    collimate_testkit::flex().without_autodiff()
}

/// Checks the error's text: one line that names the file and contains all of `parts`.
fn check(error: LoadError, file: &Path, parts: &[&str]) {
    let text = error.to_string();
    assert!(!text.contains('\n'), "more than one line: {text}");
    for part in parts.iter().chain([&file.to_str().unwrap()]) {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

fn llama_error(dir: &Path) -> LoadError {
    let error = Llama::load(dir, &device()).expect_err("a bad folder");
    // The reward loader stops at the same fault.
    let reward = Llama::load_reward(dir, &device()).expect_err("a bad folder");
    assert_eq!(
        std::mem::discriminant(&error),
        std::mem::discriminant(&reward),
        "{error} / {reward}"
    );
    error
}

#[test]
fn no_folder_and_no_config() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("config.json");
    check(
        llama_error(dir.path()),
        &config,
        &["config.json and model.safetensors"],
    );
    let missing = dir.path().join("nowhere");
    check(
        llama_error(&missing),
        &missing.join("config.json"),
        &["cannot read"],
    );
    assert!(detect_architecture(&missing).is_err());
    assert!(Encoder::load(&missing, &device()).is_err());
}

#[test]
fn malformed_config() {
    for (text, part) in [
        ("{\"hidden_size\": 32,", "malformed JSON"),
        ("[1, 2]", "expected a JSON object"),
        ("", "malformed JSON"),
    ] {
        let dir = copy(&fixture("llama-gqa-tied"));
        let config = dir.path().join("config.json");
        std::fs::write(&config, text).unwrap();
        check(llama_error(dir.path()), &config, &[part]);
    }
}

#[test]
fn what_is_not_implemented_is_refused_by_name() {
    type Edit = fn(&mut serde_json::Value);
    let cases: [(Edit, &[&str]); 8] = [
        (
            |c| {
                c["architectures"] = json!(["CohereForCausalLM"]);
                c["model_type"] = json!("cohere");
            },
            &[
                "CohereForCausalLM",
                "LlamaForCausalLM",
                "MistralForCausalLM",
                "Qwen3ForCausalLM",
            ],
        ),
        (|c| c["model_type"] = json!(null), &["(none given)"]),
        (
            |c| c["rope_scaling"] = json!({"rope_type": "llama3", "factor": 8.0}),
            &["llama3", "missing field `low_freq_factor`"],
        ),
        (
            |c| c["rope_scaling"] = json!({"type": "linear", "factor": -2.0}),
            &["rope_scaling.factor is -2"],
        ),
        (
            |c| c["rope_parameters"] = json!({"rope_type": "yarn", "rope_theta": 1e4}),
            &["yarn", "missing field `factor`"],
        ),
        (
            |c| c["hidden_act"] = json!("gelu"),
            &["hidden_act", "gelu", "silu"],
        ),
        (|c| c["head_dim"] = json!(7), &["head_dim", "7", "even"]),
        (
            |c| c["num_key_value_heads"] = json!(3),
            &["num_key_value_heads", "3", "divisor"],
        ),
    ];
    for (edit, parts) in cases {
        let dir = copy(&fixture("llama-gqa-tied"));
        edit_config(dir.path(), edit);
        check(
            llama_error(dir.path()),
            &dir.path().join("config.json"),
            parts,
        );
    }
    for (key, value) in [
        ("hidden_act", "relu"),
        ("position_embedding_type", "relative_key"),
    ] {
        let dir = copy(&fixture("bert-mean"));
        edit_config(dir.path(), |c| c[key] = json!(value));
        let error = Encoder::load(dir.path(), &device()).unwrap_err();
        check(error, &dir.path().join("config.json"), &[key, value]);
    }
}

#[test]
fn windows_that_are_not_one_for_all_layers_are_refused() {
    let (mistral, llama) = ("mistral-window", "llama-untied");
    let (window, switch, kinds) = ("sliding_window", "use_sliding_window", "layer_types");
    let (all, slides) = ("full_attention", "sliding_attention");
    for (folder, key, value, part) in [
        (mistral, switch, json!(true), "use_sliding_window = true"),
        (mistral, switch, json!(false), "use_sliding_window = false"),
        (
            mistral,
            kinds,
            json!([slides, all]),
            "layer_types with full_attention",
        ),
        (mistral, window, json!([5, 8]), "expected usize"),
        (mistral, window, json!(0), "at least 1"),
        (
            mistral,
            "attention_bias",
            json!(true),
            "attention_bias = true in a Mistral",
        ),
        (llama, window, json!(5), "sliding_window = 5 in a Llama"),
        (
            llama,
            switch,
            json!(true),
            "one sliding_window for all layers",
        ),
        (
            llama,
            kinds,
            json!([all, slides]),
            "layer_types with sliding_attention",
        ),
    ] {
        let dir = misfit(folder, key, value);
        let config = dir.path().join("config.json");
        check(llama_error(dir.path()), &config, &[key, part]);
    }
    // A window that is switched off counts as no window.
    let dir = misfit("llama-untied", "use_sliding_window", json!(false));
    edit_config(dir.path(), |c| c["sliding_window"] = json!(32_768));
    let model = Llama::load(dir.path(), &device()).unwrap();
    assert_eq!(model.config().sliding_window, None);
    // Options that no folder of the family can express are refused in a new model too.
    let biased = LlamaConfig {
        sliding_window: Some(4),
        mlp_bias: true,
        ..LlamaConfig::default()
    };
    let error = biased.check().unwrap_err().to_string();
    assert!(
        error.contains("mlp_bias") && error.contains("sliding_window"),
        "{error}"
    );
}

#[test]
fn one_architecture_is_not_taken_for_another() {
    let (bert, llama) = (fixture("bert-mean"), fixture("llama-gqa-tied"));
    check(
        llama_error(&bert),
        &bert.join("config.json"),
        &["supported"],
    );
    for error in [
        Encoder::load(&llama, &device()).unwrap_err(),
        Encoder::load_reward(&llama, &device()).unwrap_err(),
    ] {
        check(
            error,
            &llama.join("config.json"),
            &["LlamaForCausalLM", "BertModel"],
        );
    }
}

#[test]
fn keys_that_are_missing_or_of_another_type() {
    for (key, value, part) in [
        ("hidden_size", json!(null), "hidden_size is missing"),
        ("vocab_size", json!("many"), "vocab_size"),
        ("num_hidden_layers", json!(-2), "num_hidden_layers"),
        ("num_attention_heads", json!(0), "num_attention_heads"),
        ("rms_norm_eps", json!(0.0), "rms_norm_eps"),
    ] {
        let dir = copy(&fixture("llama-gqa-tied"));
        edit_config(dir.path(), |c| c[key] = value);
        check(
            llama_error(dir.path()),
            &dir.path().join("config.json"),
            &[part],
        );
    }
}

#[test]
fn weights_that_are_missing_or_cut() {
    let dir = copy(&fixture("llama-gqa-tied"));
    let weights = dir.path().join("model.safetensors");
    let whole = std::fs::read(&weights).unwrap();
    for length in [0, 4, 100, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&weights, &whole[..length]).unwrap();
        check(llama_error(dir.path()), &weights, &["safetensors", "again"]);
    }
    std::fs::remove_file(&weights).unwrap();
    check(llama_error(dir.path()), &weights, &["cannot read"]);
    let index = dir.path().join("model.safetensors.index.json");
    std::fs::write(&index, r#"{"weight_map": {"a": "gone.safetensors"}}"#).unwrap();
    check(
        llama_error(dir.path()),
        &dir.path().join("gone.safetensors"),
        &["cannot read"],
    );
    std::fs::write(&index, "{}").unwrap();
    check(llama_error(dir.path()), &index, &["weight_map"]);
}

/// Copies the fixture with its configuration changed so that the weights do not fit.
fn misfit(name: &str, key: &str, value: serde_json::Value) -> tempfile::TempDir {
    let dir = copy(&fixture(name));
    edit_config(dir.path(), |c| c[key] = value);
    dir
}

#[test]
fn weights_that_do_not_fit_the_config() {
    let file = "model.safetensors";
    let dir = misfit("llama-gqa-tied", "num_hidden_layers", json!(3));
    check(
        llama_error(dir.path()),
        &dir.path().join(file),
        &["model.layers.2.self_attn.q_proj.weight", "missing"],
    );
    // A layer of the file would be left out of the function.
    let dir = misfit("llama-gqa-tied", "num_hidden_layers", json!(1));
    check(
        llama_error(dir.path()),
        &dir.path().join(file),
        &["model.layers.1.", "no place"],
    );
    let dir = misfit("llama-gqa-tied", "intermediate_size", json!(40));
    check(
        llama_error(dir.path()),
        &dir.path().join(file),
        &["gate_proj.weight", "[48, 32]", "[40, 32]"],
    );
    let dir = misfit("llama-gqa-tied", "attention_bias", json!(true));
    check(
        llama_error(dir.path()),
        &dir.path().join(file),
        &["q_proj.bias", "missing"],
    );
    let dir = misfit("llama-gqa-tied", "tie_word_embeddings", json!(false));
    let error = Llama::load(dir.path(), &device()).unwrap_err();
    check(
        error,
        &dir.path().join(file),
        &["lm_head.weight", "missing"],
    );
    let dir = misfit("bert-mean", "vocab_size", json!(101));
    let error = Encoder::load(dir.path(), &device()).unwrap_err();
    check(
        error,
        &dir.path().join(file),
        &["word_embeddings", "[100, 32]", "[101, 32]"],
    );
}

/// Adds a tensor of one number to a folder's weights.
fn add_tensor(dir: &Path, name: &str) {
    let path = dir.join("model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let number = 1.0f32.to_le_bytes();
    let extra = TensorView::new(Dtype::F32, vec![1], &number).unwrap();
    let mut tensors = file.tensors();
    tensors.push((name.to_owned(), extra));
    std::fs::write(&path, safetensors::serialize(tensors, None).unwrap()).unwrap();
}

#[test]
fn weights_of_an_encoder_that_its_config_has_no_place_for() {
    let refused = |dir: &Path, parts: &[&str]| {
        let weights = dir.join("model.safetensors");
        check(Encoder::load(dir, &device()).unwrap_err(), &weights, parts);
        let reward = Encoder::load_reward(dir, &device()).unwrap_err();
        check(reward, &weights, parts);
    };
    // A layer of the file would be left out of the function.
    let dir = misfit("bert-mean", "num_hidden_layers", json!(1));
    refused(dir.path(), &["encoder.layer.1.", "no place"]);
    for name in ["encoder.layer.0.adapter.weight", "classifier.weight"] {
        let dir = copy(&fixture("bert-mean"));
        add_tensor(dir.path(), name);
        refused(dir.path(), &[name, "no place"]);
    }
    // Tensors that other libraries write besides an encoder are not part of its function.
    for (folder, name) in [
        ("bert-mean", "cls.predictions.bias"),
        ("bert-mean", "position_ids"),
        ("bert-cls-prefixed", "cls.seq_relationship.bias"),
        ("bert-cls-prefixed", "bert.embeddings.position_ids"),
    ] {
        let dir = copy(&fixture(folder));
        add_tensor(dir.path(), name);
        assert!(Encoder::load(dir.path(), &device()).is_ok(), "{name}");
    }
}

#[test]
fn reward_heads_that_are_not_ours() {
    let dir = misfit("llama-reward", "id2label", json!({"0": "bad", "1": "good"}));
    let error = Llama::load_reward(dir.path(), &device()).unwrap_err();
    check(error, &dir.path().join("config.json"), &["num_labels = 2"]);

    let backbone = Encoder::load(&fixture("bert-mean"), &device()).unwrap();
    let head = ScalarHead::new(
        32,
        true,
        0.1,
        collimate_core::Key::new(0, "head"),
        &device(),
    );
    for (file, key, value, part) in [
        (
            "2_Dense/config.json",
            "activation_function",
            json!("torch.nn.modules.activation.Tanh"),
            "Tanh",
        ),
        (
            "2_Dense/config.json",
            "out_features",
            json!(8),
            "out_features = 8",
        ),
        (
            "1_Pooling/config.json",
            "pooling_mode_cls_token",
            json!(true),
            "pooling_mode_cls_token and pooling_mode_mean_tokens",
        ),
        (
            "1_Pooling/config.json",
            "pooling_mode_mean_tokens",
            json!(false),
            "no mode",
        ),
        (
            "1_Pooling/config.json",
            "pooling_mode",
            json!("max"),
            "pooling max",
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        backbone
            .save_reward(&head, Pooling::Mean, &saved(None, 32), dir.path())
            .unwrap();
        assert!(
            Encoder::load_reward(dir.path(), &device())
                .unwrap()
                .head
                .is_some()
        );
        let path = dir.path().join(file);
        let mut config = common::json(&path);
        config[key] = value;
        std::fs::write(&path, config.to_string()).unwrap();
        let error = Encoder::load_reward(dir.path(), &device()).unwrap_err();
        check(error, &path, &[part]);
    }
}

#[test]
fn a_decoder_head_that_transformers_cannot_express_is_not_written() {
    let backbone = Llama::load_reward(&fixture("llama-reward"), &device())
        .unwrap()
        .backbone;
    let key = collimate_core::Key::new(0, "head");
    let dir = tempfile::tempdir().unwrap();
    for (pooling, bias) in [(Pooling::Mean, false), (Pooling::LastToken, true)] {
        let head = ScalarHead::new(32, bias, 0.1, key, &device());
        let error = backbone
            .save_reward(&head, pooling, &saved(Some(0), 64), dir.path())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("last_token") && !error.contains('\n'),
            "{error}"
        );
    }
    assert!(!dir.path().join("config.json").exists());
}

#[test]
fn a_folder_that_cannot_be_written() {
    let model = Llama::load(&fixture("llama-gqa-tied"), &device()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = model.save(&file).unwrap_err().to_string();
    assert!(
        error.contains("cannot write") && error.contains("file"),
        "{error}"
    );
}

#[test]
fn packs_that_a_model_cannot_take() {
    use collimate_nn::{Backbone, Pack};
    let model = Llama::load(&fixture("llama-gqa-tied"), &device()).unwrap();
    let check = |prompt: &[u32], completions: &[&[u32]]| {
        let mut pack = Pack::new();
        pack.push_row(&[1, 2]);
        pack.push_shared(prompt, completions);
        pack.check(model.vocab_size(), model.max_positions())
    };
    assert_eq!(check(&[1; 60], &[&[5; 4], &[63; 1]]), Ok(()));
    let long = PackError::Length {
        sequence: 2,
        length: 65,
        context: 64,
    };
    assert_eq!(check(&[1; 60], &[&[5; 4], &[5; 5]]), Err(long));
    let unknown = PackError::Token {
        sequence: 1,
        id: 64,
        vocab: 64,
    };
    assert_eq!(check(&[64], &[&[5]]), Err(unknown));
    assert_eq!(
        check(&[], &[&[5], &[]]),
        Err(PackError::Empty { sequence: 2 })
    );
    for error in [long, unknown] {
        let text = error.to_string();
        assert!(
            text.contains("64") && text.contains(": ") && !text.contains('\n'),
            "{text}"
        );
        assert_eq!(error.after(10).sequence(), error.sequence() + 10);
    }
}
