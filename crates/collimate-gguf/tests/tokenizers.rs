//! `tokenizer.json` of GGUF vocabularies gives the ids that llama.cpp gives.

mod common;

use collimate_gguf::{MetadataArray, MetadataValue};
use common::{Copy, json, open, text};
use serde_json::{Value, json};
use tokenizers::Tokenizer;

fn tokenizer(json: &Value) -> Tokenizer {
    Tokenizer::from_bytes(serde_json::to_vec(json).unwrap()).unwrap()
}

/// Compares the ids of all texts with those of llama.cpp.
fn compare(name: &str, json: &Value, skipped: &[&str]) {
    let own = tokenizer(json);
    let cases = common::json("tokens.json");
    let texts = cases["texts"].as_array().unwrap();
    let expected = cases[name].as_array().unwrap();
    assert_eq!(texts.len(), expected.len());
    for (text, expected) in texts.iter().zip(expected) {
        let text = text.as_str().unwrap();
        if skipped.contains(&text) {
            continue;
        }
        let ids = own.encode(text, true).unwrap();
        assert_eq!(
            json!(ids.get_ids()),
            *expected,
            "{name} {text:?} {:?}",
            ids.get_tokens()
        );
    }
}

#[test]
fn bytes_are_merged_as_llama_cpp_merges_them() {
    let key = "tokenizer.ggml.pre";
    for name in [
        "gpt-2",
        "smollm",
        "llama-bpe",
        "smaug-bpe",
        "qwen2",
        "default",
    ] {
        let gguf = Copy::set("tiny_llama", key, Some(text(name))).open();
        let json = gguf.hugging_face().unwrap().tokenizer().unwrap();
        // Hugging Face composes e and its accent for Qwen, llama.cpp does not.
        let skipped: &[&str] = match name {
            "qwen2" => &["e\u{301} \u{e9}"],
            _ => &[],
        };
        compare(name, &json, skipped);
    }
}

#[test]
fn pieces_are_merged_as_llama_cpp_merges_them() {
    for name in ["tiny_pieces", "tiny_gemma2"] {
        compare(
            name,
            &open(name).hugging_face().unwrap().tokenizer().unwrap(),
            &[],
        );
    }
}

#[test]
fn texts_come_back_from_their_ids() {
    for name in ["tiny_llama", "tiny_pieces", "tiny_gemma2"] {
        let own = tokenizer(&open(name).hugging_face().unwrap().tokenizer().unwrap());
        for text in ["Hello world", " two  spaces ", "\n\n\u{1f680} \u{e9}!"] {
            let ids = own.encode(text, true).unwrap();
            assert_eq!(own.decode(ids.get_ids(), true).unwrap(), text, "{name}");
        }
    }
}

#[test]
fn special_tokens_and_the_chat_template_are_settings() {
    let gguf = open("tiny_llama");
    let model = gguf.hugging_face().unwrap();
    let settings = model.tokenizer_config().unwrap();
    assert_eq!(settings["bos_token"], "<|im_start|>");
    assert_eq!(settings["eos_token"], "<|im_end|>");
    assert_eq!(settings["add_bos_token"], false);
    assert_eq!(settings["model_max_length"], 8192);
    assert!(
        settings["chat_template"]
            .as_str()
            .unwrap()
            .starts_with("{% for m")
    );
    let added = &model.tokenizer().unwrap()["added_tokens"];
    let kinds: Vec<(&Value, &Value)> = added
        .as_array()
        .unwrap()
        .iter()
        .map(|token| (&token["content"], &token["special"]))
        .collect();
    assert_eq!(kinds.len(), 4);
    assert_eq!(kinds[0], (&json!("<|endoftext|>"), &json!(true)));
    assert_eq!(kinds[3], (&json!("<think>"), &json!(false)));
    // A filler is no token.
    assert_eq!(
        model.tokenizer().unwrap()["model"]["vocab"]["[PAD292]"],
        Value::Null
    );
    let gguf = open("tiny_pieces");
    let settings = gguf.hugging_face().unwrap().tokenizer_config().unwrap();
    assert_eq!(
        (&settings["add_bos_token"], &settings["unk_token"]),
        (&json!(true), &json!("<unk>"))
    );
}

#[test]
fn generation_ends_at_every_token_that_ends_a_turn() {
    let end = |copy: &Copy| {
        let gguf = copy.open();
        gguf.hugging_face().unwrap().generation_config().unwrap()["eos_token_id"].clone()
    };
    let eos = "tokenizer.ggml.eos_token_id";
    let copy = Copy::set("tiny_llama", eos, Some(MetadataValue::U32(288)));
    // The chat template ends turns with <|im_end|>, the file ends texts with <|endoftext|>.
    assert_eq!(end(&copy), json!([288, 290]));
    let copy = Copy::set(
        "tiny_llama",
        "tokenizer.ggml.eot_token_id",
        Some(MetadataValue::U32(288)),
    );
    assert_eq!(end(&copy), json!([290, 288]));
    let copy = Copy::set("tiny_llama", "tokenizer.chat_template", None);
    assert_eq!(end(&copy), json!(290));
}

#[test]
fn several_chat_templates_keep_their_names() {
    let names = MetadataValue::Array(MetadataArray::String(vec!["tools".to_owned()]));
    let copy = Copy::with(
        "tiny_llama",
        |metadata| {
            metadata.push(("tokenizer.chat_templates".to_owned(), names));
            metadata.push(("tokenizer.chat_template.tools".to_owned(), text("T")));
        },
        |_| (),
    );
    let gguf = copy.open();
    let settings = gguf.hugging_face().unwrap().tokenizer_config().unwrap();
    assert_eq!(
        settings["chat_template"][1],
        json!({"name": "tools", "template": "T"})
    );
    assert_eq!(settings["chat_template"][0]["name"], "default");
}

#[test]
fn tokenizers_that_are_not_read_are_named() {
    let strings = |texts: &[&str]| {
        let texts = texts.iter().map(|text| (*text).to_owned()).collect();
        Some(MetadataValue::Array(MetadataArray::String(texts)))
    };
    let refused: [(&str, &str, Option<MetadataValue>, &str); 12] = [
        (
            "tiny_llama",
            "model",
            Some(text("bert")),
            "model is bert, but the tokenizers gpt2 and llama",
        ),
        (
            "tiny_llama",
            "pre",
            Some(text("tekken")),
            "pre is tekken, but these splits into words are read: gpt-2, phi-2, smollm",
        ),
        (
            "tiny_llama",
            "pre",
            None,
            "pre is missing, so the splits into words are unknown",
        ),
        ("tiny_llama", "merges", None, "merges is missing"),
        (
            "tiny_llama",
            "merges",
            strings(&["h e", "q q"]),
            "merges holds \"q q\"",
        ),
        (
            "tiny_llama",
            "merges",
            strings(&["he"]),
            "merges holds \"he\"",
        ),
        (
            "tiny_llama",
            "tokens",
            strings(&["a"]),
            "tokens has 1 tokens, but the embeddings have 293 rows",
        ),
        (
            "tiny_llama",
            "token_type",
            strings(&["a"]),
            "token_type is not a list of kinds",
        ),
        (
            "tiny_llama",
            "bos_token_id",
            Some(MetadataValue::U32(293)),
            "bos_token_id is not the id of a token",
        ),
        (
            "tiny_pieces",
            "scores",
            None,
            "scores is not a list of finite numbers",
        ),
        (
            "tiny_pieces",
            "remove_extra_whitespaces",
            Some(MetadataValue::Bool(true)),
            "remove_extra_whitespaces is not read",
        ),
        (
            "tiny_pieces",
            "precompiled_charsmap",
            Some(text("x")),
            "precompiled_charsmap is not read",
        ),
    ];
    for (model, key, value, part) in refused {
        let error = Copy::set(model, &format!("tokenizer.ggml.{key}"), value).error();
        assert!(error.contains(&format!("tokenizer.ggml.{part}")), "{error}");
    }
    let cases = json("tokens.json");
    assert!(cases["texts"].as_array().unwrap().len() > 20);
}
