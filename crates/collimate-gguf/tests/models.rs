//! Tiny models of every architecture, written by llama.cpp's rules, against their Hugging Face form.

mod common;

use std::collections::HashSet;

use collimate_gguf::{MetadataArray, MetadataValue};
use common::{Copy, MODELS, json, open, text, weight};
use serde_json::Value;

#[test]
fn config_and_weights_of_every_architecture_are_those_of_hugging_face() {
    for name in MODELS {
        let gguf = open(name);
        let model = gguf.hugging_face().unwrap();
        assert_eq!(
            model.config().unwrap(),
            json(&format!("{name}.json")),
            "{name}"
        );
        let tensors = model.tensors();
        let names: HashSet<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        assert_eq!(names.len(), tensors.len(), "{name}");
        // llama.cpp derives the divisors of llama3 from config.json.
        let derived = usize::from(name == "tiny_llama3");
        assert_eq!(tensors.len() + derived, gguf.tensors().len(), "{name}");
        for tensor in tensors {
            let values = model.values(&tensor.name).unwrap();
            assert_eq!(
                values,
                weight(&tensor.name, &tensor.shape),
                "{name} {}",
                tensor.name
            );
        }
    }
}

/// Sets one value of tiny_llama and returns the error.
fn error(model: &str, key: &str, value: impl Into<Option<MetadataValue>>) -> String {
    Copy::set(model, key, value.into()).error()
}

#[test]
fn other_architectures_and_files_are_named() {
    let refused = [
        (
            error("tiny_llama", "general.architecture", text("mamba")),
            "the architecture mamba is not read: the model must be llama, qwen2, qwen3, gemma",
        ),
        (
            error("tiny_llama", "general.architecture", None),
            "general.architecture is missing",
        ),
        (
            error("tiny_llama", "general.type", text("adapter")),
            "the file holds the kind adapter, but only kind model is read",
        ),
        (
            error("tiny_llama", "llama.expert_count", MetadataValue::U32(8)),
            "llama.expert_count is not read",
        ),
        (
            error(
                "tiny_llama",
                "llama.attention.scale",
                MetadataValue::F32(0.5),
            ),
            "llama.attention.scale is not read",
        ),
        (
            error(
                "tiny_qwen3",
                "qwen3.attention.sliding_window",
                MetadataValue::U32(8),
            ),
            "qwen3.attention.sliding_window is not read for the architecture qwen3",
        ),
        (
            error(
                "tiny_llama",
                "llama.rope.dimension_count",
                MetadataValue::U32(4),
            ),
            "llama.rope.dimension_count is not 8",
        ),
        (
            error(
                "tiny_llama",
                "llama.block_count",
                MetadataValue::U32(4_000_000),
            ),
            "llama.block_count is 4000000, more than the file has tensors",
        ),
        (
            error(
                "tiny_llama",
                "llama.attention.head_count_kv",
                MetadataValue::U32(0),
            ),
            "num_key_value_heads of the model is 0",
        ),
        (
            error("tiny_llama", "llama.rope.scaling.type", text("longrope")),
            "llama.rope.scaling.type is longrope, but none, linear and yarn are read",
        ),
        (
            error("tiny_llama", "llama.vocab_size", MetadataValue::U32(4)),
            "llama.vocab_size is not 293",
        ),
    ];
    for (error, part) in refused {
        assert!(error.contains(part), "{error}");
    }
    // Values that change nothing are fine.
    Copy::set(
        "tiny_llama",
        "llama.expert_count",
        Some(MetadataValue::U32(0)),
    )
    .open()
    .hugging_face()
    .unwrap();
}

#[test]
fn missing_unknown_and_misshapen_tensors_are_named() {
    let with = |change: fn(&mut Vec<(String, Vec<usize>)>)| {
        Copy::with("tiny_llama", |_| (), change).error()
    };
    let error = with(|tensors| tensors.retain(|(name, _)| name != "blk.1.ffn_up.weight"));
    assert!(
        error.ends_with("the tensor blk.1.ffn_up.weight is missing"),
        "{error}"
    );
    let error = with(|tensors| tensors.push(("blk.0.ssm_a".to_owned(), vec![4])));
    assert!(
        error.contains("blk.0.ssm_a is not known in the architecture llama"),
        "{error}"
    );
    let error = with(|tensors| {
        let found = tensors
            .iter_mut()
            .find(|(name, _)| name == "blk.0.attn_k.weight");
        found.unwrap().1 = vec![4, 8];
    });
    assert!(
        error.contains("has the shape [4, 8] but must have [8, 8]"),
        "{error}"
    );
    // The divisors of the rotary frequencies are ones here, so that nothing is scaled.
    let ones = Copy::with(
        "tiny_llama",
        |_| (),
        |tensors| {
            tensors.push(("rope_freqs.weight".to_owned(), vec![4]));
        },
    );
    let gguf = ones.open();
    assert_eq!(
        gguf.hugging_face().unwrap().config().unwrap()["rope_scaling"],
        Value::Null
    );
}

#[test]
fn scaled_rotary_positions_are_recognised_or_refused() {
    // Divisors for another head length match no parameters of llama3.
    let other = Copy::set(
        "tiny_llama3",
        "llama.rope.freq_base",
        Some(MetadataValue::F32(1e6)),
    );
    let error = other.error();
    assert!(
        error.contains("rope_freqs.weight holds divisors"),
        "{error}"
    );
    let linear = Copy::set(
        "tiny_llama",
        "llama.rope.scale_linear",
        Some(MetadataValue::F32(2.0)),
    );
    let gguf = linear.open();
    let config = gguf.hugging_face().unwrap().config().unwrap();
    assert_eq!(config["rope_scaling"]["rope_type"], "linear");
    assert_eq!(config["rope_scaling"]["factor"], 2.0);
}

#[test]
fn lists_with_one_number_per_layer_count_if_all_agree() {
    let list = |numbers: &[u32]| MetadataValue::Array(MetadataArray::U32(numbers.to_vec()));
    let key = "llama.attention.head_count_kv";
    let same = Copy::set("tiny_llama", key, Some(list(&[1, 1])));
    assert_eq!(
        same.open().hugging_face().unwrap().config().unwrap()["num_key_value_heads"],
        1
    );
    let error = Copy::set("tiny_llama", key, Some(list(&[1, 2]))).error();
    assert!(error.contains("differs between layers"), "{error}");
}

#[test]
fn windows_of_mistral_and_gemma_follow_the_metadata() {
    let key = "llama.attention.sliding_window";
    let gguf = Copy::set("tiny_llama", key, Some(MetadataValue::U32(64))).open();
    let config = gguf.hugging_face().unwrap().config().unwrap();
    assert_eq!(
        (&config["model_type"], &config["sliding_window"]),
        (&"mistral".into(), &64.into())
    );
    let key = "gemma3.attention.sliding_window_pattern";
    let gguf = Copy::set("tiny_gemma3", key, Some(MetadataValue::U32(2))).open();
    let config = gguf.hugging_face().unwrap().config().unwrap();
    assert_eq!(config["layer_types"][0], "sliding_attention");
    assert_eq!(config["layer_types"][1], "full_attention");
    let key = "gemma3.attention.sliding_window";
    let gguf = Copy::set("tiny_gemma3", key, None).open();
    let config = gguf.hugging_face().unwrap().config().unwrap();
    assert_eq!(config["layer_types"][0], "full_attention");
}
