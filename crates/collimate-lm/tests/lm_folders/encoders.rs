//! Folders of the encoder families: refusals and warnings.

use super::*;
use collimate_core::PreferencePair;
use collimate_data::{TextTokenizer, Truncation};
use collimate_nn::{Backbone, Pooling};

fn encoder_error(dir: &Path, label: Option<&str>) -> LoadError {
    Encoder::load_label(dir, label, &device()).expect_err("a bad folder")
}

/// The published files of the first BERTs have TensorFlow's names for a norm's parameters.
#[test]
fn norms_of_old_files_are_read() {
    let dir = copy(&fixture("bert-reward"));
    edit_tensors(dir.path(), |tensors| {
        for (name, ..) in tensors {
            *name = name
                .replace("LayerNorm.weight", "LayerNorm.gamma")
                .replace("LayerNorm.bias", "LayerNorm.beta");
        }
    });
    let weights = |dir: &Path| {
        let parts = Encoder::load_reward(dir, &device()).unwrap();
        let out = tempfile::tempdir().unwrap();
        parts.backbone.save(out.path()).unwrap();
        read_tensors(&out.path().join("model.safetensors"))
    };
    assert_eq!(weights(dir.path()), weights(&fixture("bert-reward")));
}

#[test]
fn one_of_several_labels_is_chosen() {
    let dir = fixture("xlm-roberta-labels");
    let score = |label: &str| {
        let parts = Encoder::load_label(&dir, Some(label), &device()).unwrap();
        collimate_testkit::host(&parts.head.unwrap().weight.val())
    };
    assert_eq!(score("help"), score("2"));
    assert_ne!(score("help"), score("none"));
    let all = r#"(0 = "harm", 1 = "none", 2 = "help")"#;
    let error = encoder_error(&dir, None);
    check(&error, &["config.json", "num_labels = 3", all, "--label"]);
    for wrong in ["good", "3", "-1"] {
        let names = r#"0 = "harm", 1 = "none", 2 = "help""#;
        check(
            &encoder_error(&dir, Some(wrong)),
            &["config.json", wrong, names],
        );
    }
    // A single label needs no choice but can be chosen.
    for label in [None, Some("LABEL_0"), Some("0")] {
        assert!(Encoder::load_label(&fixture("bert-reward"), label, &device()).is_ok());
    }
    // There is no label to choose from.
    let error = encoder_error(&fixture("bert-mean"), Some("help"));
    check(&error, &["label \"help\"", "BertModel"]);
    let error = Llama::load_label(&fixture("llama-reward"), Some("1"), &device()).unwrap_err();
    check(&error, &["label \"1\""]);
    // A text that is both a name and a number is taken as a name first.
    let dir = with(
        "xlm-roberta-labels",
        "id2label",
        value!({"0": "2", "1": "1", "2": "0"}),
    );
    let first = Encoder::load_label(dir.path(), Some("2"), &device()).unwrap();
    let weight = collimate_testkit::host(&first.head.unwrap().weight.val());
    assert_eq!(weight, score("harm"));
}

#[test]
fn labels_and_heads_that_do_not_fit_the_weights() {
    let weights = "model.safetensors";
    let dir = with("roberta-reward", "id2label", value!({"0": "a", "1": "b"}));
    check(
        &encoder_error(dir.path(), Some("a")),
        &[weights, "classifier.out_proj.weight", "[1, 16]", "[2, 16]"],
    );
    for (name, tensor) in [
        ("bert-reward", "bert.pooler.dense.weight"),
        ("bert-reward", "classifier.bias"),
        ("roberta-reward", "classifier.dense.bias"),
        ("roberta-reward", "classifier.out_proj.weight"),
        ("distilbert-reward", "pre_classifier.weight"),
        ("mpnet-reward", "classifier.out_proj.weight"),
        ("modernbert-reward", "head.norm.weight"),
        ("modernbert-reward", "classifier.bias"),
        ("deberta-reward", "pooler.dense.bias"),
        ("deberta-reward", "deberta.encoder.rel_embeddings.weight"),
        (
            "mpnet-reward",
            "mpnet.encoder.relative_attention_bias.weight",
        ),
    ] {
        let dir = copy(&fixture(name));
        edit_tensors(dir.path(), |all| all.retain(|t| t.0 != tensor));
        check(
            &encoder_error(dir.path(), None),
            &[weights, tensor, "missing"],
        );
    }
    // The tensor has no place in the class.
    let dir = copy(&fixture("distilbert-reward"));
    edit_tensors(dir.path(), |all| {
        let extra = (all[0].1, all[0].2.clone(), all[0].3.clone());
        all.push((
            "classifier.out_proj.bias".to_owned(),
            extra.0,
            extra.1,
            extra.2,
        ));
    });
    let error = encoder_error(dir.path(), None);
    check(&error, &[weights, "classifier.out_proj.bias", "no place"]);
}

#[test]
fn heads_of_other_tasks_are_told() {
    for (name, tensor) in [
        ("roberta-reward", "lm_head.bias"),
        ("roberta-reward", "roberta.pooler.dense.bias"),
        ("distilbert-reward", "vocab_transform.bias"),
        ("mpnet-reward", "lm_head.dense.bias"),
        ("deberta-reward", "lm_predictions.lm_head.bias"),
    ] {
        let dir = copy(&fixture(name));
        edit_tensors(dir.path(), |all| {
            let bytes = 1f32.to_le_bytes().to_vec();
            let one = (tensor.to_owned(), safetensors::Dtype::F32, vec![1], bytes);
            all.push(one);
        });
        let (_, told) = warned(|| Encoder::load_reward(dir.path(), &device()).unwrap());
        assert!(told.contains(tensor), "{name}: {told}");
    }
    // Loading a classifier as a bare encoder leaves the head out.
    let dir = fixture("roberta-reward");
    let (_, told) = warned(|| Encoder::load(&dir, &device()).unwrap());
    assert!(told.contains("classifier.dense.bias"), "{told}");
}

#[test]
fn options_that_make_another_encoder_are_refused() {
    for (name, key, given) in [
        ("roberta-reward", "hidden_act", value!("gelu_new")),
        ("roberta-reward", "is_decoder", value!(true)),
        (
            "roberta-reward",
            "position_embedding_type",
            value!("relative_key"),
        ),
        ("distilbert-reward", "activation", value!("relu")),
        ("distilbert-reward", "pruned_heads", value!({"0": [1]})),
        ("mpnet-reward", "hidden_act", value!("silu")),
        ("mpnet-reward", "relative_attention_num_buckets", value!(16)),
        ("modernbert-reward", "hidden_activation", value!("silu")),
        ("modernbert-reward", "classifier_activation", value!("relu")),
        ("modernbert-reward", "classifier_pooling", value!("max")),
        ("deberta-reward", "conv_kernel_size", value!(3)),
        ("deberta-reward", "share_att_key", value!(false)),
        ("deberta-reward", "relative_attention", value!(false)),
        ("deberta-reward", "position_biased_input", value!(true)),
        ("deberta-reward", "pooler_hidden_act", value!("tanh")),
        ("deberta-reward", "norm_rel_ebd", value!("batch_norm")),
        (
            "modernbert-bias",
            "rope_scaling",
            value!({"rope_type": "yarn", "factor": 4.0}),
        ),
    ] {
        let shown = format!("{key} = {given}");
        let dir = with(name, key, given);
        check(&encoder_error(dir.path(), None), &["config.json", &shown]);
    }
    for (name, key, given, parts) in [
        (
            "roberta-reward",
            "pad_token_id",
            value!(null),
            &["config.json", "pad_token_id names no token"][..],
        ),
        (
            "roberta-reward",
            "max_position_embeddings",
            value!(2),
            &["max_position_embeddings is 2", "at least 3"],
        ),
        (
            "roberta-reward",
            "max_position_embeddings",
            value!(31),
            &["position_embeddings", "[32, 16]", "[31, 16]"],
        ),
        (
            "mpnet-reward",
            "max_position_embeddings",
            value!(2),
            &["max_position_embeddings is 2", "at least 3"],
        ),
        (
            "deberta-reward",
            "position_buckets",
            value!(1),
            &["position_buckets is 1", "at least 2"],
        ),
        (
            "deberta-reward",
            "pos_att_type",
            value!(["p2p"]),
            &["config.json", "pos_att_type with \"p2p\"", "c2p, p2c"],
        ),
        (
            "distilbert-reward",
            "n_heads",
            value!(3),
            &["num_attention_heads is 3"],
        ),
        (
            "distilbert-reward",
            "dim",
            value!(null),
            &["dim is missing"],
        ),
        (
            "bert-reward",
            "type_vocab_size",
            value!(0),
            &["type_vocab_size is 0", "at least 1"],
        ),
        (
            "modernbert-reward",
            "layer_types",
            value!(["full_attention"]),
            &["layer_types is 1", "num_hidden_layers = 6"],
        ),
        (
            "modernbert-reward",
            "layer_types",
            value!(["chunked_attention"]),
            &["layer_types with chunked_attention"],
        ),
        (
            "modernbert-bias",
            "global_attn_every_n_layers",
            value!(0),
            &["global_attn_every_n_layers is 0"],
        ),
        (
            "modernbert-bias",
            "local_rope_theta",
            value!(null),
            &["local_rope_theta is null"],
        ),
        (
            "modernbert-bias",
            "global_rope_theta",
            value!(0.0),
            &["global_rope_theta is 0"],
        ),
        (
            "modernbert-bias",
            "num_attention_heads",
            value!(4),
            &["num_attention_heads is 4", "even size"],
        ),
        (
            "modernbert-bias",
            "num_hidden_layers",
            value!(1_000_000_000),
            &["num_hidden_layers is 1000000000"],
        ),
        (
            "modernbert-reward",
            "rope_parameters",
            value!({"full_attention": {"rope_type": "linear", "factor": 2.0}}),
            &["rope_parameters.full_attention", "rope_type default"],
        ),
        (
            "modernbert-reward",
            "rope_parameters",
            value!({"rope_theta": 1e4}),
            &["rope_parameters with rope_theta"],
        ),
        (
            "modernbert-reward",
            "norm_bias",
            value!(true),
            &["model.embeddings.norm.bias", "missing"],
        ),
        (
            "modernbert-bias",
            "classifier_bias",
            value!(false),
            &["head.dense.bias", "no place"],
        ),
        (
            "roberta-reward",
            "architectures",
            value!(["RobertaForTokenClassification"]),
            &["RobertaForTokenClassification", "RobertaModel"],
        ),
        (
            "roberta-reward",
            "model_type",
            value!("camembert"),
            &["camembert", "RobertaModel"],
        ),
    ] {
        let dir = with(name, key, given);
        check(&encoder_error(dir.path(), None), parts);
    }
}

#[test]
fn positions_of_a_roberta_begin_behind_the_padding_token() {
    let dir = with("roberta-reward", "pad_token_id", value!(4));
    let model = Encoder::load(dir.path(), &device()).unwrap();
    assert_eq!(model.max_positions(), 27);
    // Without the key, the value is the default of the class.
    let dir = copy(&fixture("roberta-reward"));
    edit_config(dir.path(), |c| {
        c.as_object_mut().unwrap().remove("pad_token_id");
    });
    let model = Encoder::load(dir.path(), &device()).unwrap();
    assert_eq!(model.max_positions(), 30);
}

#[test]
fn a_head_is_saved_with_the_pooling_that_it_reads() {
    let parts = Encoder::load_reward(&fixture("distilbert-reward"), &device()).unwrap();
    assert!(parts.backbone.expresses(Pooling::Cls) && !parts.backbone.expresses(Pooling::Mean));
    let (out, head) = (tempfile::tempdir().unwrap(), parts.head.unwrap());
    let error = parts
        .backbone
        .save_reward(&head, Pooling::Mean, &saved(None, 32), out.path())
        .unwrap_err()
        .to_string();
    assert!(error.contains("cls") && !error.contains('\n'), "{error}");
    // An encoder without a head is saved as a sentence-transformers folder.
    let bare = Encoder::load(&fixture("distilbert-reward"), &device()).unwrap();
    bare.save_reward(&head, Pooling::Mean, &saved(None, 32), out.path())
        .unwrap();
    let config = json(&out.path().join("config.json"));
    assert_eq!(config["architectures"], value!(["DistilBertModel"]));
    assert!(out.path().join("2_Dense").exists());
    assert!(config.get("id2label").is_none(), "{config}");
}

/// The special tokens around a text come from the tokenizer's own post-processor.
#[test]
fn texts_have_the_ids_that_the_tokenizer_gives_them() {
    for name in ["roberta-reward", "modernbert-reward"] {
        let tokenizer = TextTokenizer::from_folder(fixture(name)).unwrap();
        let expected = json(&fixture(name).join("expected.json"));
        for text in expected["texts"].as_array().unwrap() {
            let [prompt, answer] = ["prompt", "answer"].map(|key| text[key].as_str().unwrap());
            let pair = PreferencePair::new(prompt, answer, "no");
            let ids = tokenizer
                .encode_pair(&pair, 30, Truncation::KeepEnd)
                .unwrap();
            let found = [ids.prompt, ids.chosen].concat();
            assert_eq!(found, common::ids(&text["ids"]), "{name}: {prompt}{answer}");
        }
    }
}
