//! Sizes in `config.json` are compared with the file before memory is allocated for them.

use super::*;
use collimate_core::Key;
use collimate_lm::{EncoderConfig, LlamaConfig};

/// Each of these sizes would take more memory or time than there is.
#[test]
fn sizes_beyond_the_file_cost_nothing() {
    let started = std::time::Instant::now();
    let weights = "model.safetensors";
    for (key, size, parts) in [
        (
            "vocab_size",
            4_000_000_000_u64,
            &["embed_tokens", "[64, 32]", "[4000000000, 32]"][..],
        ),
        (
            "vocab_size",
            100_000_000_000,
            &["vocab_size is 100000000000", "at most"],
        ),
        (
            "intermediate_size",
            100_000_000,
            &["gate_proj", "[48, 32]", "[100000000, 32]"],
        ),
        (
            "intermediate_size",
            10_000_000_000_000,
            &["intermediate_size is 10000000000000"],
        ),
        (
            "num_hidden_layers",
            20_000_000,
            &[weights, "model.layers.2.self_attn", "missing"],
        ),
        (
            "num_hidden_layers",
            1_000_000_000,
            &["num_hidden_layers is 1000000000", "2^40"],
        ),
        (
            "num_attention_heads",
            u64::MAX,
            &["num_attention_heads is 18446744073709551615"],
        ),
        ("head_dim", u64::MAX / 2 - 1, &["head_dim"]),
        (
            "max_position_embeddings",
            u64::MAX,
            &["max_position_embeddings"],
        ),
    ] {
        let dir = with("llama-gqa-tied", key, value!(size));
        refused(dir.path(), parts);
    }
    for (key, size, parts) in [
        (
            "vocab_size",
            4_000_000_000_u64,
            &["word_embeddings", "[100, 32]"][..],
        ),
        (
            "max_position_embeddings",
            4_000_000_000,
            &["position_embeddings"],
        ),
        ("type_vocab_size", 4_000_000_000, &["token_type_embeddings"]),
        (
            "num_hidden_layers",
            20_000_000,
            &["encoder.layer.2.", "missing"],
        ),
        (
            "num_hidden_layers",
            1_000_000_000,
            &["num_hidden_layers is 1000000000"],
        ),
        ("vocab_size", u64::MAX, &["vocab_size is"]),
    ] {
        let dir = with("bert-mean", key, value!(size));
        check(&Encoder::load(dir.path(), &device()).unwrap_err(), parts);
    }
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

#[test]
fn sizes_of_a_new_model_are_bounded() {
    let config = LlamaConfig {
        intermediate_size: 4_000_000_000,
        hidden_size: 1 << 20,
        ..LlamaConfig::default()
    };
    let error = Llama::new(&config, Key::new(0, "init"), &device()).unwrap_err();
    assert!(error.to_string().contains("2^40 parameters"), "{error}");
    let config = EncoderConfig {
        vocab_size: 4_000_000_000,
        hidden_size: 12_000,
        ..EncoderConfig::default()
    };
    let error = Encoder::new(&config, Key::new(0, "init"), &device()).unwrap_err();
    assert!(error.to_string().contains("2^40 parameters"), "{error}");
}

/// A header may claim any size: no memory is allocated for more than the file can hold.
#[test]
fn headers_beyond_the_file() {
    let tensor = |bytes: u64| {
        let shape = bytes / 4;
        format!("{{\"a\":{{\"dtype\":\"F32\",\"shape\":[{shape}],\"data_offsets\":[0,{bytes}]}}}}")
    };
    let dir = copy(&fixture("llama-gqa-tied"));
    let path = dir.path().join("model.safetensors");
    for (length, header) in [
        (u64::MAX, tensor(4)),
        (99_000_000, tensor(4)),
        (0, String::new()),
        (0, tensor(1 << 50)),
        (0, tensor(u64::MAX - 3)),
    ] {
        let length = if length == 0 {
            header.len() as u64
        } else {
            length
        };
        let bytes = [&length.to_le_bytes()[..], header.as_bytes(), &[0; 4]].concat();
        std::fs::write(&path, bytes).unwrap();
        refused(dir.path(), &["not a complete safetensors file"]);
    }
}

/// The parameters that a configuration asks for are those of the module, including biases. A saved
/// model can therefore be read again.
#[test]
fn every_kind_of_model_is_read_again() {
    for (tied, biases) in [(true, false), (false, true)] {
        let config = LlamaConfig {
            vocab_size: 11,
            hidden_size: 8,
            intermediate_size: 6,
            num_hidden_layers: 2,
            num_attention_heads: 4,
            num_key_value_heads: 2,
            head_dim: Some(6),
            tie_word_embeddings: tied,
            attention_bias: biases,
            mlp_bias: biases,
            ..LlamaConfig::default()
        };
        let model = Llama::new(&config, Key::new(0, "init"), &device()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        model.save(dir.path()).unwrap();
        let again = Llama::load(dir.path(), &device()).unwrap();
        assert_eq!(again.config(), model.config());
        assert_eq!(again.num_parameters(), model.num_parameters());
    }
}
