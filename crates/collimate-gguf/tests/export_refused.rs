//! Hugging Face folders that no GGUF file can express.

mod common;

use collimate_gguf::HfTensor;
use common::{Folder, open};
use serde_json::{Value, json};

/// Sets a value at a path such as `model/type`.
fn set(json: &mut Value, path: &str, value: Value) {
    *path.split('/').fold(json, |json, key| &mut json[key]) = value;
}

#[test]
fn values_that_llama_cpp_cannot_honour_are_named() {
    let change = |model: &str, path: &str, value: Value| {
        let mut folder = Folder::of(&open(model));
        set(&mut folder.config, path, value);
        folder.error()
    };
    let refused = [
        (
            change("tiny_llama", "model_type", json!("gpt2")),
            "config.json: model_type is gpt2, but",
        ),
        (
            change("tiny_llama", "model_type", json!("gemma3")),
            "config.json: model_type is gemma3, but",
        ),
        (
            change("tiny_llama", "hidden_act", json!("gelu")),
            "config.json: hidden_act is \"gelu\"",
        ),
        (
            change("tiny_llama", "hidden_size", json!(null)),
            "config.json: hidden_size is missing",
        ),
        (
            change("tiny_llama", "hidden_size", json!(-8)),
            "config.json: hidden_size is -8, not an",
        ),
        (
            change("tiny_llama", "rms_norm_eps", json!("x")),
            "config.json: rms_norm_eps is \"x\"",
        ),
        (
            change("tiny_llama", "num_hidden_layers", json!(4000000000u32)),
            "num_hidden_layers is 4000000000",
        ),
        (
            change("tiny_llama", "num_hidden_layers", json!(1000)),
            "num_hidden_layers is 1000, but the folder has 21 tensors",
        ),
        (
            change("tiny_llama", "partial_rotary_factor", json!(0.5)),
            "partial_rotary_factor is 0.5",
        ),
        (
            change("tiny_llama", "head_dim", json!(7)),
            "config.json: head_dim is 7 but must be even",
        ),
        (
            change(
                "tiny_llama",
                "rope_scaling",
                json!({"rope_type": "longrope"}),
            ),
            "rope_type is longrope",
        ),
        (
            change(
                "tiny_llama",
                "rope_scaling",
                json!({"rope_type": "yarn", "factor": 2.0, "attention_factor": 1.0}),
            ),
            "attention_factor cannot be expressed",
        ),
        (
            change("tiny_qwen2", "use_sliding_window", json!(true)),
            "use_sliding_window is true",
        ),
        (
            change("tiny_qwen2", "head_dim", json!(8)),
            "head_dim times num_attention_heads is not",
        ),
        (
            change("tiny_qwen3", "attention_bias", json!(true)),
            "attention_bias is true",
        ),
        (
            change("tiny_gemma2", "query_pre_attn_scalar", json!(144)),
            "query_pre_attn_scalar is 144, but llama.cpp computes with 8",
        ),
        (
            change("tiny_gemma2", "attn_logit_softcapping", json!(null)),
            "attn_logit_softcapping is missing",
        ),
        (
            change(
                "tiny_gemma2",
                "layer_types",
                json!(vec!["full_attention"; 2]),
            ),
            "layer_types does not repeat 1 layers",
        ),
        (
            change("tiny_gemma3", "final_logit_softcapping", json!(30.0)),
            "final_logit_softcapping is 30",
        ),
        (
            change("tiny_gemma3", "tie_word_embeddings", json!(false)),
            "tie_word_embeddings is false",
        ),
    ];
    for (error, part) in refused {
        assert!(error.contains(part), "{error}\n{part}");
    }
    let mut mistral = Folder::of(&open("tiny_llama"));
    mistral.config["model_type"] = json!("mistral");
    mistral.config["sliding_window"] = json!(4096);
    assert!(
        mistral
            .error()
            .contains("sliding_window is below max_position_embeddings")
    );
}

#[test]
fn tokenizers_that_llama_cpp_cannot_imitate_are_named() {
    let change = |model: &str, path: &str, value: Value| {
        let mut folder = Folder::of(&open(model));
        set(&mut folder.tokenizer, path, value);
        folder.error()
    };
    let merges = |pairs: &[[&str; 2]]| json!(pairs);
    let refused = [
        (
            change("tiny_llama", "model/type", json!("Unigram")),
            "tokenizer.json: model.type is \"Unigram\"",
        ),
        (
            change("tiny_llama", "model/ignore_merges", json!(true)),
            "tokenizer.json: pre_tokenizer is {",
        ),
        (
            change("tiny_llama", "pre_tokenizer", json!({"type": "Whitespace"})),
            "pre_tokenizer is {\"type\":\"Whitespace\"}",
        ),
        (
            change("tiny_llama", "normalizer", json!({"type": "NFC"})),
            "normalizer is {\"type\":\"NFC\"}",
        ),
        (
            change(
                "tiny_llama",
                "post_processor",
                json!({"type": "RobertaProcessing"}),
            ),
            "post_processor is {",
        ),
        (
            change("tiny_llama", "model/vocab/he", json!(2)),
            "model.vocab gives the id 2 to",
        ),
        (
            change("tiny_llama", "model/vocab/more", json!(999)),
            "gives \"more\" the id 999, but the model has 293 rows",
        ),
        (
            change("tiny_pieces", "normalizer", json!({"type": "NFKC"})),
            "normalizer is {\"type\":\"NFKC\"}",
        ),
        (
            change("tiny_pieces", "model/merges", merges(&[["h", "e"]])),
            "model.merges lacks the pair",
        ),
        (
            change("tiny_pieces", "model/merges", merges(&[["h", "q"]])),
            "joins \"h\" and \"q\", which gives no token",
        ),
    ];
    for (error, part) in refused {
        assert!(error.contains(part), "{error}\n{part}");
    }
    let mut folder = Folder::of(&open("tiny_pieces"));
    let list = folder.tokenizer["model"]["merges"].as_array_mut().unwrap();
    // The token llo comes from two pairs.
    let at = list
        .iter()
        .position(|pair| *pair == json!(["l", "lo"]))
        .unwrap();
    let pair = list.remove(at);
    list.push(pair);
    assert!(
        folder
            .error()
            .contains("forms \"llo\" at two places of the list")
    );
    let mut folder = Folder::of(&open("tiny_llama"));
    folder.tokenizer["added_tokens"][0]["lstrip"] = json!(true);
    assert!(
        folder
            .error()
            .contains("added_tokens has lstrip for \"<|endoftext|>\"")
    );
    let mut folder = Folder::of(&open("tiny_llama"));
    folder.settings["eos_token"] = json!(null);
    folder.config["eos_token_id"] = json!(null);
    assert!(
        folder
            .error()
            .contains("tokenizer_config.json: eos_token is missing")
    );
    let mut folder = Folder::of(&open("tiny_llama"));
    folder.settings["eos_token"] = json!("</s>");
    assert!(
        folder
            .error()
            .contains("tokenizer_config.json: eos_token is \"</s>\", which is not a token")
    );
}

#[test]
fn tensors_of_another_model_are_named() {
    let mut folder = Folder::of(&open("tiny_llama"));
    let removed = folder.tensors.remove(3);
    assert!(folder.error().contains(&format!(
        "{} cannot be written to a GGUF file: the folder lacks",
        removed.name
    )));
    folder.tensors.push(HfTensor {
        shape: vec![1],
        ..removed.clone()
    });
    assert!(folder.error().contains("the shape is [1], not "));
    folder.tensors.pop();
    folder.tensors.push(removed);
    let name = "model.layers.0.self_attn.q_norm.weight".to_owned();
    folder.tensors.push(HfTensor {
        name,
        shape: vec![8],
    });
    assert!(
        folder
            .error()
            .contains("the architecture llama has no such tensor")
    );
}
