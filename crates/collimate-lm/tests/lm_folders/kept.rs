//! Settings of a folder besides weights and sizes reach the folders saved from it.

use super::*;
use burn::module::Module;
use collimate_core::Key;
use collimate_nn::{Adaptable, Backbone, LoraConfig, Pooling};

/// Creates a decoder's folder like that of Llama 3 Instruct: three end tokens, only one of them in
/// `config.json`, and keys that are not part of the network.
fn start() -> tempfile::TempDir {
    let dir = copy(&fixture("llama-gqa-tied"));
    let generation = "{\"eos_token_id\": [7, 8, 9], \"temperature\": 0.6}";
    std::fs::write(dir.path().join("generation_config.json"), generation).unwrap();
    edit_config(dir.path(), |c| {
        c["eos_token_id"] = value!(7);
        c["unknown"] = value!({"deep": [1, 2.5, null]});
        c["use_cache"] = value!(false);
        c["dtype"] = value!("bfloat16");
        c.as_object_mut().unwrap().remove("bos_token_id");
    });
    dir
}

fn text(dir: &Path, file: &str) -> String {
    std::fs::read_to_string(dir.join(file)).unwrap()
}

fn check_kept(start: &Path, saved: &Path) {
    let file = "generation_config.json";
    assert_eq!(text(saved, file), text(start, file));
    assert_eq!(eos_token_ids(saved).unwrap(), [7, 8, 9]);
    let config = json(&saved.join("config.json"));
    assert_eq!(config["unknown"], value!({"deep": [1, 2.5, null]}));
    assert_eq!(config["use_cache"], false);
    assert_eq!(config["transformers_version"], "4.41.2");
    // The saved weights are f32, whatever their type was.
    assert_eq!(config["torch_dtype"], "float32");
    assert!(config.get("dtype").is_none());
    // Transformers takes 1 for an absent id, and no id for null.
    assert!(config.get("bos_token_id").is_none());
}

#[test]
fn whatever_is_done_to_a_decoder_its_folder_is_kept() {
    let start = start();
    let load = || Llama::load(start.path(), &collimate_testkit::flex()).unwrap();
    let lora = || {
        load()
            .with_lora(&LoraConfig::default(), Key::new(1, "lora"))
            .unwrap()
    };
    for model in [
        load(),
        load().valid(),
        load().with_recompute(true),
        lora(),
        lora().merged(),
        lora().valid().merged(),
    ] {
        let out = tempfile::tempdir().unwrap();
        model.clone().save(out.path()).unwrap();
        check_kept(start.path(), out.path());
        // The settings also survive a second save.
        let (again, told) = warned(|| Llama::load(out.path(), &device()).unwrap());
        assert_eq!(told, "");
        let second = tempfile::tempdir().unwrap();
        again.save(second.path()).unwrap();
        assert_eq!(
            text(out.path(), "config.json"),
            text(second.path(), "config.json")
        );
        check_kept(start.path(), second.path());
    }
}

#[test]
fn a_reward_folder_keeps_it_too() {
    let start = start();
    let backbone = Llama::load_reward(start.path(), &device())
        .unwrap()
        .backbone;
    let out = tempfile::tempdir().unwrap();
    let save = |backbone: &Llama, dir: &Path| {
        let pooling = Pooling::LastToken;
        backbone.save_reward(&head(32, false), pooling, &saved(Some(0), 64), dir)
    };
    save(&backbone, out.path()).unwrap();
    check_kept(start.path(), out.path());
    let config = json(&out.path().join("config.json"));
    assert_eq!(
        config["architectures"],
        value!(["LlamaForSequenceClassification"])
    );
    assert_eq!(config["id2label"], value!({"0": "reward"}));
    // The labels of a reward folder stay as well.
    edit_config(out.path(), |c| {
        c["id2label"] = value!({"0": "helpful"});
        c["label2id"] = value!({"helpful": 0});
    });
    let again = Llama::load_reward(out.path(), &device()).unwrap();
    let second = tempfile::tempdir().unwrap();
    save(&again.backbone, second.path()).unwrap();
    let config = json(&second.path().join("config.json"));
    assert_eq!(config["id2label"], value!({"0": "helpful"}));
    check_kept(start.path(), second.path());
    // The labels do not appear in the folder of a language model.
    let third = tempfile::tempdir().unwrap();
    again.backbone.save(third.path()).unwrap();
    let config = json(&third.path().join("config.json"));
    assert_eq!(config["architectures"], value!(["LlamaForCausalLM"]));
    for key in ["id2label", "label2id", "num_labels", "problem_type"] {
        assert!(config.get(key).is_none(), "{key}");
    }
}

#[test]
fn a_list_of_end_tokens_stays_a_list() {
    let dir = with("llama-gqa-tied", "eos_token_id", value!([7, 8]));
    let model = Llama::load(dir.path(), &device()).unwrap();
    assert_eq!(model.config().eos_token_id, Some(7));
    let out = tempfile::tempdir().unwrap();
    model.save(out.path()).unwrap();
    let config = json(&out.path().join("config.json"));
    assert_eq!(config["eos_token_id"], value!([7, 8]));
    assert_eq!(eos_token_ids(out.path()).unwrap(), [7, 8]);
    assert!(!out.path().join("generation_config.json").exists());
}

#[test]
fn an_encoder_keeps_its_folder() {
    let dir = copy(&fixture("bert-mean"));
    edit_config(dir.path(), |c| {
        c["unknown"] = value!("kept");
        c["attention_probs_dropout_prob"] = value!(0.25);
        c["classifier_dropout"] = value!(0.5);
    });
    let model = Encoder::load(dir.path(), &device()).unwrap();
    let (plain, reward) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    model.save(plain.path()).unwrap();
    let pooling = Pooling::Mean;
    model
        .save_reward(&head(32, true), pooling, &saved(None, 32), reward.path())
        .unwrap();
    for out in [plain, reward] {
        let config = json(&out.path().join("config.json"));
        assert_eq!(config["unknown"], "kept");
        assert_eq!(config["attention_probs_dropout_prob"], 0.25);
        assert_eq!(config["classifier_dropout"], 0.5);
        assert!(config.get("dtype").is_none());
    }
}

#[test]
fn a_model_without_a_folder_says_its_sizes_alone() {
    let config = collimate_lm::LlamaConfig {
        vocab_size: 5,
        hidden_size: 4,
        intermediate_size: 4,
        num_hidden_layers: 1,
        num_attention_heads: 1,
        num_key_value_heads: 1,
        ..Default::default()
    };
    let model = Llama::new(&config, Key::new(0, "init"), &device()).unwrap();
    let out = tempfile::tempdir().unwrap();
    model.save(out.path()).unwrap();
    assert!(!out.path().join("generation_config.json").exists());
    let saved = json(&out.path().join("config.json"));
    let keys: Vec<&String> = saved.as_object().unwrap().keys().collect();
    let expected = "architectures attention_bias bos_token_id eos_token_id head_dim hidden_act \
                    hidden_size initializer_range intermediate_size max_position_embeddings \
                    mlp_bias model_type num_attention_heads num_hidden_layers num_key_value_heads \
                    pad_token_id rms_norm_eps rope_scaling rope_theta tie_word_embeddings \
                    torch_dtype use_cache vocab_size";
    assert_eq!(keys, expected.split_whitespace().collect::<Vec<_>>());
    assert!(saved["bos_token_id"].is_null());
}
