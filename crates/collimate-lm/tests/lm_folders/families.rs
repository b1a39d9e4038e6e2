//! Configurations that no class of a family can have.

use super::*;

#[test]
fn what_contradicts_the_family_is_refused() {
    for (name, key, given, parts) in [
        (
            "llama-gqa-tied",
            "layer_types",
            value!(vec!["full_attention"; 5]),
            &["layer_types names 5 layers", "num_hidden_layers = 2"][..],
        ),
        (
            "qwen2-window",
            "sliding_window",
            value!(0),
            &["sliding_window is 0"],
        ),
        (
            "qwen2-window",
            "max_window_layers",
            value!(-1),
            &["max_window_layers"],
        ),
        (
            "qwen2-window",
            "layer_types",
            value!(vec!["full_attention"; 5]),
            &["layer_types names 5 layers", "num_hidden_layers = 4"],
        ),
        (
            "qwen2-window",
            "layer_types",
            value!([
                "full_attention",
                "full_attention",
                "chunked_attention",
                "full_attention"
            ]),
            &["layer_types with chunked_attention", "sliding_attention"],
        ),
        (
            "qwen3-window",
            "use_sliding_window",
            value!(false),
            &[
                "layer_types has sliding_attention",
                "use_sliding_window = false",
            ],
        ),
        (
            "qwen3-window",
            "sliding_window",
            value!(null),
            &["sliding_window = null"],
        ),
        (
            "qwen3-window",
            "head_dim",
            value!(7),
            &["head_dim is 7", "even"],
        ),
        (
            "qwen3-window",
            "head_dim",
            value!(6),
            &["q_proj.weight", "[32, 16]", "[24, 16]"],
        ),
        (
            "qwen3-window",
            "attention_bias",
            value!(true),
            &["q_proj.bias", "missing"],
        ),
        (
            "qwen3-window",
            "no_rope_layers",
            value!([1, 0, 1, 0]),
            &["no_rope_layers"],
        ),
        (
            "qwen3-window",
            "hidden_act",
            value!("gelu"),
            &["hidden_act", "silu"],
        ),
        (
            "qwen3-window",
            "num_hidden_layers",
            value!(3),
            &["layer_types names 4 layers"],
        ),
        (
            "smollm3-window",
            "no_rope_layers",
            value!([1, 0, 1]),
            &["no_rope_layers is a list of 3", "num_hidden_layers = 8"],
        ),
        (
            "smollm3-window",
            "no_rope_layers",
            value!([1, 1, 1, 2, 1, 1, 1, 0]),
            &["no_rope_layers is 2", "0 or 1"],
        ),
        (
            "smollm3-window",
            "no_rope_layer_interval",
            value!(0),
            &["no_rope_layer_interval is 0"],
        ),
        (
            "smollm3-window",
            "mlp_bias",
            value!(false),
            &["mlp.", "bias has no place"],
        ),
    ] {
        refused(with(name, key, given).path(), parts);
    }
    // The class belongs to another family.
    let dir = with(
        "qwen3-window",
        "architectures",
        value!(["Qwen2ForCausalLM"]),
    );
    refused(
        dir.path(),
        &["Qwen2ForCausalLM (model_type qwen3)", "Qwen3ForCausalLM"],
    );
    let dir = with("qwen3-window", "model_type", value!("qwen3_moe"));
    refused(
        dir.path(),
        &["model_type qwen3_moe", "SmolLM3ForCausalLM", "BertModel"],
    );
    // The weights belong to another family.
    let dir = with("qwen3-window", "model_type", value!("qwen2"));
    edit_config(dir.path(), |c| {
        c["architectures"] = value!(["Qwen2ForCausalLM"])
    });
    refused(dir.path(), &["q_proj.bias", "missing"]);
}

#[test]
fn layers_are_read_as_transformers_reads_them() {
    let config = |name: &str, change: fn(&mut serde_json::Map<String, Value>)| {
        let dir = copy(&fixture(name));
        edit_config(dir.path(), |c| change(c.as_object_mut().unwrap()));
        let model = Llama::load(dir.path(), &device()).unwrap();
        serde_json::to_value(model.config()).unwrap()
    };
    let (full, slides) = ("full_attention", "sliding_attention");
    let read = config("qwen2-window", |_| {});
    assert_eq!(read["layer_types"], value!([full, full, slides, slides]));
    assert_eq!(
        (&read["sliding_window"], &read["qkv_bias"]),
        (&value!(5), &value!(true))
    );
    // The list takes precedence over the number.
    let read = config("qwen2-window", |c| {
        let kinds = ["sliding_attention", "full_attention"].repeat(2);
        c.insert("layer_types".into(), value!(kinds));
    });
    assert_eq!(read["layer_types"], value!([slides, full, slides, full]));
    let read = config("qwen2-window", |c| {
        c.insert("max_window_layers".into(), value!(0));
    });
    assert_eq!(
        (read.get("layer_types"), &read["sliding_window"]),
        (None, &value!(5))
    );
    // A window that no layer has, or that is switched off, counts as no window.
    for off in [
        config("qwen2-window", |c| {
            c.insert("max_window_layers".into(), value!(28));
        }),
        config("qwen2-window", |c| {
            c.remove("use_sliding_window");
        }),
    ] {
        assert_eq!(
            (off.get("layer_types"), off.get("sliding_window")),
            (None, None)
        );
    }
    let read = config("smollm3-window", |c| {
        c.remove("no_rope_layers");
        c.remove("layer_types");
    });
    assert_eq!(read["no_rope_layers"], value!([1, 1, 1, 0, 1, 1, 1, 0]));
    assert_eq!(read, config("smollm3-window", |_| {}));
    let all = config("smollm3-window", |c| {
        c.insert("no_rope_layers".into(), value!(vec![1; 8]));
        c.remove("layer_types");
    });
    assert_eq!(
        (all.get("no_rope_layers"), all.get("sliding_window")),
        (None, None)
    );
    assert_eq!(
        all["rope_scaling"],
        value!({"rope_type": "linear", "factor": 2.0})
    );
}

#[test]
fn options_of_another_family_are_not_built() {
    let refuse = |change: fn(&mut collimate_lm::LlamaConfig), parts: &[&str]| {
        let mut config = collimate_lm::LlamaConfig::default();
        change(&mut config);
        let error = config.check().unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{part:?} is not in {error:?}");
        }
    };
    let qwen2 = Some(collimate_lm::ModelType::Qwen2);
    assert_eq!(qwen2, serde_json::from_value(value!("qwen2")).unwrap());
    refuse(
        |c| c.qk_norm = true,
        &["qk_norm", "Llama has none", "model_type"],
    );
    refuse(|c| c.no_rope_layers = Some(vec![1; 4]), &["no_rope_layers"]);
    refuse(
        |c| c.model_type = Some(collimate_lm::ModelType::Qwen3),
        &["qk_norm is absent", "a Qwen3 has it"],
    );
    refuse(
        |c| {
            c.model_type = Some(collimate_lm::ModelType::Qwen3);
            c.qk_norm = true;
            c.layer_types = Some(vec![collimate_lm::LayerKind::SlidingAttention; 4]);
        },
        &["sliding_window is null"],
    );
    refuse(
        |c| c.rope_scaling = Some(collimate_lm::RopeScaling::Linear { factor: 0.0 }),
        &["rope_scaling.factor is 0", "above 0"],
    );
}

#[test]
fn a_token_that_the_model_does_not_have_is_told() {
    let dir = with("llama-gqa-tied", "eos_token_id", value!(1_000_000));
    let (model, told) = warned(|| Llama::load(dir.path(), &device()));
    model.unwrap();
    assert!(told.contains("eos_token_id = 1000000"), "{told}");
    assert!(told.contains("vocab_size"), "{told}");
}

/// Configurations written by earlier runs stay the same, byte for byte.
#[test]
fn a_llama_says_nothing_of_other_families() {
    let config = collimate_lm::LlamaConfig::default();
    let text = serde_json::to_string(&config).unwrap();
    let expected = "{\"vocab_size\":2048,\"hidden_size\":128,\"intermediate_size\":352,\
                    \"num_hidden_layers\":4,\"num_attention_heads\":4,\"num_key_value_heads\":4,\
                    \"head_dim\":null,\"max_position_embeddings\":512,\"rms_norm_eps\":1e-6,\
                    \"rope_theta\":10000.0,\"tie_word_embeddings\":true,\"attention_bias\":false,\
                    \"mlp_bias\":false,\"initializer_range\":0.02,\"bos_token_id\":null,\
                    \"eos_token_id\":null,\"pad_token_id\":null}";
    assert_eq!(text, expected);
}
