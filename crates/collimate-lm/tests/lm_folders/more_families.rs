//! Folders of Gemma, OLMo, Granite, Phi-3, GPT-NeoX, GPT-2 and Ministral 3: refusals, and values that
//! folders leave out.

use super::*;
use collimate_lm::LlamaConfig;

#[test]
fn what_is_not_computed_is_refused() {
    let rope = |kind: &str| value!({"rope_type": kind, "rope_theta": 1e4});
    for (name, key, given, parts) in [
        (
            "gemma-plain",
            "use_bidirectional_attention",
            value!(true),
            &["use_bidirectional_attention"][..],
        ),
        (
            "gemma-plain",
            "hidden_activation",
            value!("gelu"),
            &["hidden_activation", "gelu_pytorch_tanh"],
        ),
        (
            "gemma-plain",
            "final_logit_softcapping",
            value!(30.0),
            &["final_logit_softcapping"],
        ),
        (
            "gemma2-window",
            "hidden_activation",
            value!("relu"),
            &["hidden_activation", "gelu_pytorch_tanh"],
        ),
        (
            "gemma2-window",
            "attn_logit_softcapping",
            value!(0.0),
            &["attn_logit_softcapping is 0", "above 0"],
        ),
        (
            "gemma2-window",
            "query_pre_attn_scalar",
            value!(-1),
            &["query_pre_attn_scalar is -1"],
        ),
        (
            "gemma3-window",
            "attn_logit_softcapping",
            value!(50.0),
            &["attn_logit_softcapping"],
        ),
        (
            "gemma3-window",
            "rope_parameters",
            rope("default"),
            &["rope_parameters", "full_attention and sliding_attention"],
        ),
        (
            "gemma3-window",
            "sliding_window_pattern",
            value!(0),
            &["sliding_window_pattern is 0"],
        ),
        (
            "gemma3-window",
            "sliding_window",
            value!(null),
            &["sliding_window = null"],
        ),
        (
            "gemma3-window",
            "rope_scaling",
            value!({"type": "linear", "factor": 2.0}),
            &["rope_scaling.type is linear", "rope_scaling.rope_type"],
        ),
        (
            "olmo3-window",
            "rope_scaling",
            value!({"rope_type": "yarn", "factor": 4.0, "truncate": false}),
            &["rope_scaling.truncate is false"],
        ),
        (
            "llama-gqa-tied",
            "scale_attn_by_inverse_layer_idx",
            value!(true),
            &["scale_attn_by_inverse_layer_idx"],
        ),
        (
            "olmo2-plain",
            "attention_bias",
            value!(false),
            &["bias has no place"],
        ),
        (
            "granite-plain",
            "logits_scaling",
            value!(0.0),
            &["logits_scaling is 0"],
        ),
        (
            "phi3-long",
            "partial_rotary_factor",
            value!(0.5),
            &["partial_rotary_factor = 0.5", "0.75"],
        ),
        (
            "phi3-long",
            "rope_parameters",
            rope("linear"),
            &["rope scaling linear", "longrope"],
        ),
        (
            "phi3-long",
            "original_max_position_embeddings",
            value!(32),
            &["original_max_position_embeddings = 32", "64"],
        ),
        (
            "gpt_neox-parallel",
            "hidden_act",
            value!("gelu_fast"),
            &["hidden_act", "gelu"],
        ),
        (
            "gpt_neox-parallel",
            "head_dim",
            value!(4),
            &["head_dim", "GPTNeoX has none"],
        ),
        (
            "gpt_neox-parallel",
            "rotary_pct",
            value!(0.5),
            &["rotary_pct = 0.5", "0.25"],
        ),
        (
            "gpt2-plain",
            "add_cross_attention",
            value!(true),
            &["add_cross_attention"],
        ),
        (
            "gpt2-plain",
            "n_positions",
            value!(65),
            &["wpe.weight", "[64, 16]", "[65, 16]"],
        ),
        (
            "ministral3-long",
            "rope_parameters",
            rope("default"),
            &["llama_4_scaling_beta is absent", "a Ministral3 has it"],
        ),
        (
            "qwen2-window",
            "rope_scaling",
            value!({"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16,
                "llama_4_scaling_beta": 0.1}),
            &["llama_4_scaling_beta is set", "Qwen2 has none"],
        ),
        (
            "qwen2-window",
            "rope_scaling",
            value!({"type": "longrope", "short_factor": [1.0], "long_factor": [1.0]}),
            &["rope scaling longrope"],
        ),
    ] {
        let dir = with(name, key, given);
        let error = Llama::load(dir.path(), &device()).expect_err(key);
        check(&error, parts);
    }
}

#[test]
fn long_factors_are_one_for_each_frequency() {
    let dir = copy(&fixture("phi3-long"));
    edit_config(dir.path(), |c| {
        c["rope_parameters"]["short_factor"] = value!([1.0, 2.0])
    });
    refused(
        dir.path(),
        &["rope_scaling.short_factor is a list of 2", "a list of 3"],
    );
    let dir = copy(&fixture("phi3-long"));
    edit_config(dir.path(), |c| {
        c["rope_parameters"]["short_factor"] = value!([1.0, 0.0, 1.0])
    });
    refused(dir.path(), &["rope_scaling.short_factor is 0", "above 0"]);
}

#[test]
fn a_longer_sequence_than_the_short_factors_are_for_is_not_taken() {
    use collimate_nn::Backbone;
    let model = Llama::load(&fixture("phi3-long"), &device()).unwrap();
    assert_eq!(model.config().max_position_embeddings, 256);
    assert_eq!((model.max_positions(), model.context_length()), (64, 64));
    // The shape is read without the weights, from the keys of the family.
    for name in ["phi3-long", "gpt2-plain"] {
        let config = LlamaConfig::of_folder(&fixture(name)).unwrap();
        assert_eq!(
            (config.max_positions(), config.hidden_size),
            (64, 16),
            "{name}"
        );
    }
}

#[test]
fn a_base_that_versions_read_differently_is_refused() {
    let dir = copy(&fixture("olmo3-window"));
    edit_config(dir.path(), |c| {
        let map = c.as_object_mut().unwrap();
        map.remove("rope_parameters");
        map.insert("rope_theta".into(), value!(1e4));
    });
    refused(
        dir.path(),
        &["rope_theta = 10000", "rope_parameters.sliding_attention"],
    );
}

#[test]
fn a_decoder_from_scratch_is_saved_as_its_class_reads_it() {
    let sizes = LlamaConfig {
        vocab_size: 30,
        hidden_size: 16,
        intermediate_size: 24,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        max_position_embeddings: 64,
        ..Default::default()
    };
    for (kind, config) in common::layered(&sizes) {
        let key = collimate_core::Key::new(3, "init");
        let model = Llama::new(&config, key, &device()).unwrap();
        let out = tempfile::tempdir().unwrap();
        model.save(out.path()).unwrap();
        let again =
            Llama::load(out.path(), &device()).unwrap_or_else(|error| panic!("{kind:?}: {error}"));
        let found = |model: &Llama| collimate_nn::parameters(model).len();
        assert_eq!(found(&again), found(&model), "{kind:?}");
        assert_eq!(again.config().layer_types, config.layer_types, "{kind:?}");
        assert_eq!(again.config().sliding_rope, config.sliding_rope, "{kind:?}");
    }
    let neox = LlamaConfig {
        model_type: Some(collimate_lm::ModelType::GptNeoX),
        num_key_value_heads: 4,
        ..sizes
    };
    let error = neox.check().unwrap_err().to_string();
    assert!(error.contains("mlp_bias is absent"), "{error}");
}

#[test]
fn a_text_model_beside_others_is_named() {
    let dir = with("gemma3-window", "model_type", value!("gemma3"));
    edit_config(dir.path(), |c| {
        c["architectures"] = value!(["Gemma3ForConditionalGeneration"]);
        c["text_config"] = value!({"model_type": "gemma3_text"});
    });
    refused(dir.path(), &["model_type gemma3,", "text_config"]);
}

#[test]
fn a_granite_is_no_reward_model() {
    let dir = fixture("granite-plain");
    let error = Llama::load_reward(&dir, &device()).expect_err("no such class");
    check(
        &error,
        &[
            "a Granite as a reward model",
            "LlamaForSequenceClassification",
        ],
    );
    let model = Llama::load(&dir, &device()).unwrap();
    let out = tempfile::tempdir().unwrap();
    let pooling = collimate_nn::Pooling::LastToken;
    let error = model.save_reward(&head(16, false), pooling, &saved(None, 64), out.path());
    let error = error.expect_err("no such class").to_string();
    assert!(error.contains("Granite"), "{error}");
}

/// The expected values are those of transformers 5.24 for a `config.json` without the key.
#[test]
fn what_a_folder_leaves_out_is_what_the_class_takes() {
    let read = |name: &str, keys: &[&str]| {
        let dir = copy(&fixture(name));
        edit_config(dir.path(), |c| {
            let map = c.as_object_mut().unwrap();
            map.retain(|key, _| !keys.contains(&key.as_str()));
        });
        let model = Llama::load(dir.path(), &device()).unwrap();
        serde_json::to_value(model.config()).unwrap()
    };
    let rope = &["rope_parameters", "rope_theta", "rope_scaling"];
    let caps = &[
        "attn_logit_softcapping",
        "final_logit_softcapping",
        "query_pre_attn_scalar",
        "sliding_window",
        "layer_types",
    ];
    let gemma2 = read("gemma2-window", caps);
    assert_eq!(gemma2["attn_logit_softcapping"], 50.0);
    assert_eq!(gemma2["final_logit_softcapping"], 30.0);
    assert_eq!(gemma2["query_pre_attn_scalar"], 256.0);
    assert_eq!(gemma2["sliding_window"], 4096);
    let (full, slides) = ("full_attention", "sliding_attention");
    assert_eq!(gemma2["layer_types"], value!([slides, full, slides, full]));
    let gemma3 = read(
        "gemma3-window",
        &["rope_theta", "rope_scaling", "rope_local_base_freq"],
    );
    assert_eq!(gemma3["rope_theta"], 1e6);
    assert_eq!(gemma3["sliding_rope"], value!({"rope_theta": 1e4}));
    let olmo3 = read("olmo3-window", &["rope_parameters", "layer_types"]);
    assert_eq!(olmo3["rope_theta"], 5e5);
    assert_eq!(olmo3["sliding_rope"], value!({"rope_theta": 5e5}));
    let kinds = [slides, slides, slides, full].repeat(2);
    assert_eq!(olmo3["layer_types"], value!(kinds));
    let eps = read("olmo2-plain", &["rms_norm_eps"]);
    assert_eq!(eps["rms_norm_eps"], 1e-5);
    let neox = read(
        "gpt_neox-parallel",
        &["use_parallel_residual", "rope_parameters"],
    );
    assert_eq!(neox["use_parallel_residual"], true);
    assert_eq!(neox["partial_rotary_factor"], 0.25);
    let ministral = read("ministral3-long", rope);
    assert_eq!(ministral["rope_theta"], 1e6);
    let yarn = &ministral["rope_scaling"];
    assert_eq!(
        (&yarn["factor"], &yarn["original_max_position_embeddings"]),
        (&value!(16.0), &value!(16384))
    );
    assert_eq!(yarn["llama_4_scaling_beta"], 0.1);
    // If there is an object of rotary positions, the default base is that of all families.
    let dir = copy(&fixture("ministral3-long"));
    edit_config(dir.path(), |c| {
        let rope = c["rope_parameters"].as_object_mut().unwrap();
        rope.remove("rope_theta");
    });
    let model = Llama::load(dir.path(), &device()).unwrap();
    assert_eq!(model.config().rope_theta, 1e4);
    // A Phi-3 has a default original length, which takes precedence over a nested one.
    let dir = copy(&fixture("phi3-long"));
    edit_config(dir.path(), |c| {
        let map = c.as_object_mut().unwrap();
        map.remove("original_max_position_embeddings");
    });
    refused(
        dir.path(),
        &["original_max_position_embeddings = 4096", "= 64"],
    );
    edit_config(dir.path(), |c| {
        let rope = c["rope_parameters"].as_object_mut().unwrap();
        rope.remove("original_max_position_embeddings");
        c["max_position_embeddings"] = value!(131_072);
    });
    let config = LlamaConfig::of_folder(dir.path()).unwrap();
    assert_eq!(config.max_positions(), 4096);
    let gpt2 = copy(&fixture("gpt2-plain"));
    edit_config(gpt2.path(), |c| c["n_inner"] = value!(null));
    let error = Llama::load(gpt2.path(), &device()).expect_err("four times as wide");
    check(&error, &["c_fc.weight", "[16, 24]", "[16, 64]"]);
}
