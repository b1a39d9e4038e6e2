//! Settings of a tokenizer folder other than its tokens, read and written.

use std::fs;
use std::path::Path;

use collimate_core::{Message, Prompt, Role};
use collimate_data::{ChatFallback, SpecialTokenIds, TextTokenizer};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokenizers::Tokenizer;
use tokenizers::models::wordlevel::WordLevel;

const SPECIAL: SpecialTokenIds = SpecialTokenIds {
    bos: None,
    eos: 0,
    pad: None,
};

fn inner() -> Tokenizer {
    let vocab = ["</s>", "<unk>"].iter().zip(0..);
    let model = WordLevel::builder()
        .vocab(vocab.map(|(word, id)| ((*word).to_owned(), id)).collect())
        .unk_token("<unk>".into())
        .build()
        .unwrap();
    Tokenizer::new(model)
}

fn tokenizer() -> TextTokenizer {
    TextTokenizer::new(inner(), SPECIAL, None).unwrap()
}

/// Makes a folder whose `tokenizer_config.json` has these fields.
fn folder(config: &Value) -> TempDir {
    let dir = TempDir::new().unwrap();
    inner()
        .save(dir.path().join("tokenizer.json"), false)
        .unwrap();
    fs::write(dir.path().join("tokenizer_config.json"), config.to_string()).unwrap();
    dir
}

fn config(dir: &Path) -> Value {
    serde_json::from_slice(&fs::read(dir.join("tokenizer_config.json")).unwrap()).unwrap()
}

#[test]
fn a_refused_conversation_names_the_folder_and_both_remedies() {
    let chat = Prompt::Chat(vec![Message::new(Role::User, "a")]);
    let dir = folder(&json!({"eos_token": "</s>"}));
    let folder = TextTokenizer::from_folder(dir.path()).unwrap();
    let refused = |t: &TextTokenizer| t.encode_prompt(&chat).unwrap_err().to_string();
    for t in [&folder, &folder.clone().with_max_length(9)] {
        let of = format!("the tokenizer of {} has no template", dir.path().display());
        assert!(refused(t).contains(&of), "{}", refused(t));
    }
    assert!(refused(&tokenizer()).contains("the tokenizer has no template"));
    for t in [&folder, &tokenizer()] {
        for remedy in [
            "a folder whose tokenizer_config.json has `chat_template`",
            "the fallback `plain`",
            "library: `ChatFallback::Plain`",
            "programs: `--chat-fallback plain`",
        ] {
            assert!(refused(t).contains(remedy), "{}", refused(t));
        }
    }
    let plain = folder.with_chat_fallback(ChatFallback::Plain);
    assert!(plain.encode_prompt(&chat).is_ok());
}

/// The published folders of GPT-2 name no token in the tokenizer's files.
#[test]
fn the_end_of_a_text_may_be_named_by_the_model_alone() {
    let dir = folder(&json!({"model_max_length": 1024}));
    let refused = TextTokenizer::from_folder(dir.path())
        .unwrap_err()
        .to_string();
    for part in ["no token that ends a text", "eos_token", "config.json"] {
        assert!(refused.contains(part), "{refused}");
    }
    let model = dir.path().join("config.json");
    // An id beyond the vocabulary ends no answer.
    fs::write(&model, json!({"eos_token_id": 7}).to_string()).unwrap();
    assert!(TextTokenizer::from_folder(dir.path()).is_err());
    fs::write(&model, json!({"eos_token_id": [7, 0]}).to_string()).unwrap();
    let tokenizer = TextTokenizer::from_folder(dir.path()).unwrap();
    assert_eq!(tokenizer.special().eos, 0);
}

#[test]
fn the_chat_fallback_is_written_in_snake_case_and_refuses_by_default() {
    assert_eq!(ChatFallback::default(), ChatFallback::Refuse);
    for (fallback, name) in [
        (ChatFallback::Refuse, "refuse"),
        (ChatFallback::Plain, "plain"),
    ] {
        assert_eq!(serde_json::to_value(fallback).unwrap(), json!(name));
        let back: ChatFallback = serde_json::from_value(json!(name)).unwrap();
        assert_eq!(back, fallback);
    }
}

#[test]
fn the_longest_sequence_of_a_folder() {
    let none_of_hugging_face = r#"1000000000000000019884624838656"#;
    let cases = [
        ("512", Some(512)),
        ("1", Some(1)),
        ("1000000", Some(1_000_000)),
        ("1000001", None),
        ("0", None),
        ("-5", None),
        ("512.5", None),
        ("\"512\"", None),
        ("null", None),
        ("1e30", None),
        (none_of_hugging_face, None),
    ];
    for (text, length) in cases {
        let value: Value = serde_json::from_str(text).unwrap();
        let dir = folder(&json!({"eos_token": "</s>", "model_max_length": value}));
        let t = TextTokenizer::from_folder(dir.path()).unwrap();
        assert_eq!(t.max_length(), length, "{text}");
    }
    assert_eq!(tokenizer().max_length(), None);
}

#[test]
fn a_longest_sequence_is_saved_beside_what_the_folder_said() {
    let said = json!({
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "model_max_length": 1e30,
        "padding_side": "left",
        "truncation_side": "left",
        "model_input_names": ["input_ids"],
        "clean_up_tokenization_spaces": true,
        "chat_template": "{{ messages[0].content }}",
    });
    let dir = folder(&said);
    let t = TextTokenizer::from_folder(dir.path())
        .unwrap()
        .with_max_length(256);
    assert_eq!(t.max_length(), Some(256));
    let other = TempDir::new().unwrap();
    for out in [other.path(), dir.path()] {
        t.save(out).unwrap();
        let mut expected = said.clone();
        expected["model_max_length"] = json!(256);
        expected["tokenizer_class"] = json!("PreTrainedTokenizerFast");
        assert_eq!(config(out), expected);
        let back = TextTokenizer::from_folder(out).unwrap();
        assert_eq!(back.max_length(), Some(256));
    }
}

#[test]
fn a_longest_sequence_of_a_tokenizer_without_folder() {
    let dir = TempDir::new().unwrap();
    tokenizer().save(dir.path()).unwrap();
    assert_eq!(config(dir.path()).get("model_max_length"), None);
    let t = tokenizer().with_max_length(64).with_max_length(32);
    t.save(dir.path()).unwrap();
    assert_eq!(config(dir.path())["model_max_length"], json!(32));
    for none in [0, 1_000_001, usize::MAX] {
        let t = t.clone().with_max_length(none);
        assert_eq!(t.max_length(), None);
        t.save(dir.path()).unwrap();
        assert_eq!(config(dir.path()).get("model_max_length"), None);
    }
}

#[test]
fn a_saved_file_replaces_the_old_one_whole() {
    let dir = TempDir::new().unwrap();
    let names = [
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ];
    for name in names {
        fs::write(dir.path().join(name), "old").unwrap();
    }
    let before = TempDir::new_in(dir.path()).unwrap();
    for name in names {
        fs::hard_link(dir.path().join(name), before.path().join(name)).unwrap();
    }
    tokenizer().save(dir.path()).unwrap();
    for name in names {
        let old = fs::read_to_string(before.path().join(name)).unwrap();
        assert_eq!(old, "old", "{name} was written in place");
    }
    before.close().unwrap();
    let mut left: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, names);
}
