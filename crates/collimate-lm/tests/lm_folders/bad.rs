//! Sizes, patterns and ids that are impossible in every family: one line of error each.

use super::*;
use collimate_nn::Pack;

#[test]
fn sizes_that_contradict_the_tensors() {
    for name in ["qwen2-window", "qwen3-window", "smollm3-window"] {
        for (key, given, parts) in [
            (
                "vocab_size",
                65,
                &["embed_tokens.weight", "[64, 16]", "[65, 16]"][..],
            ),
            (
                "intermediate_size",
                25,
                &["gate_proj.weight", "[24, 16]", "[25, 16]"],
            ),
            ("num_key_value_heads", 4, &["k_proj.weight"]),
            (
                "hidden_size",
                32,
                &["embed_tokens.weight", "[64, 16]", "[64, 32]"],
            ),
        ] {
            refused(with(name, key, value!(given)).path(), parts);
        }
    }
    // The file has more layers than the configuration counts, and no list counts them.
    let dir = with("smollm3-window", "num_hidden_layers", value!(4));
    edit_config(dir.path(), |c| {
        let map = c.as_object_mut().unwrap();
        map.remove("layer_types");
        map.remove("no_rope_layers");
    });
    refused(dir.path(), &["model.layers.4.", "no place"]);
}

#[test]
fn factors_of_zero() {
    let llama3 = value!({"low_freq_factor": 1.0, "high_freq_factor": 4.0});
    let original = value!({"original_max_position_embeddings": 16});
    for (kind, more) in [
        ("linear", vec![]),
        ("dynamic", vec![]),
        ("yarn", vec![&original]),
        ("llama3", vec![&llama3, &original]),
    ] {
        let mut rope = value!({"rope_type": kind, "factor": 0.0});
        for keys in more {
            let keys = keys.as_object().unwrap().clone();
            rope.as_object_mut().unwrap().extend(keys);
        }
        let dir = with("llama-gqa-tied", "rope_scaling", rope.clone());
        refused(dir.path(), &["rope_scaling.factor is 0", "above 0"]);
        rope["rope_theta"] = value!(1e4);
        for (name, key, given) in [
            ("llama-untied", "rope_parameters", rope.clone()),
            (
                "qwen3-window",
                "rope_parameters",
                value!({"full_attention": rope}),
            ),
        ] {
            refused(with(name, key, given).path(), &["factor is 0", "above 0"]);
        }
    }
    // The key must not be zero: positions are divided by it.
    for key in ["original_max_position_embeddings", "low_freq_factor"] {
        let mut rope = value!({"rope_type": "llama3", "factor": 2.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 16});
        rope[key] = value!(0);
        refused(
            with("llama-gqa-tied", "rope_scaling", rope).path(),
            &[key, "is 0"],
        );
    }
}

#[test]
fn patterns_longer_than_the_layers() {
    let (full, slides) = ("full_attention", "sliding_attention");
    for (name, key, given, parts) in [
        (
            "qwen2-window",
            "layer_types",
            value!([full, full, slides, slides, full]),
            "num_hidden_layers = 4",
        ),
        (
            "qwen3-window",
            "layer_types",
            value!([slides, full].repeat(3)),
            "num_hidden_layers = 4",
        ),
        (
            "smollm3-window",
            "layer_types",
            value!([full].repeat(9)),
            "num_hidden_layers = 8",
        ),
        (
            "smollm3-window",
            "no_rope_layers",
            value!([1, 1, 1, 0].repeat(3)),
            "num_hidden_layers = 8",
        ),
    ] {
        refused(with(name, key, given).path(), &[key, parts]);
    }
}

#[test]
fn ids_that_the_model_does_not_know() {
    use collimate_nn::Backbone;
    for name in ["qwen2-window", "qwen3-window", "smollm3-window"] {
        let model = Llama::load(&fixture(name), &device()).unwrap();
        let mut pack = Pack::new();
        pack.push_shared(&[1, 5], &[&[63], &[64]]);
        let error = pack.check(model.vocab_size(), model.max_positions());
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("token id 64") && error.contains("below 64"),
            "{error}"
        );
        assert!(!error.contains('\n'), "{error}");
    }
}
