//! Chat templates of folders, their variables, and messages with additional keys.

use std::fs;
use std::path::Path;

use collimate_core::{Json, Message, PreferencePair, Prompt, Role};
use collimate_data::{
    ChatFallback, ChatOptions, ReadOptions, TextTokenizer, TokenizerOptions, Truncation,
    read_pairs, read_sft,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokenizers::Tokenizer;
use tokenizers::models::wordlevel::WordLevel;

/// Makes a folder with a tokenizer of two words and these fields in `tokenizer_config.json`.
fn folder(config: &Value) -> TempDir {
    let dir = TempDir::new().unwrap();
    let vocab = ["</s>", "<unk>"].into_iter().zip(0..);
    let model = WordLevel::builder()
        .vocab(vocab.map(|(word, id)| (word.to_owned(), id)).collect())
        .unk_token("<unk>".into())
        .build()
        .unwrap();
    let tokenizer = Tokenizer::new(model);
    tokenizer
        .save(dir.path().join("tokenizer.json"), false)
        .unwrap();
    let mut config = config.clone();
    config["eos_token"] = json!("</s>");
    fs::write(dir.path().join("tokenizer_config.json"), config.to_string()).unwrap();
    dir
}

fn ask() -> Vec<Message> {
    vec![Message::new(Role::User, "q")]
}

fn text(tokenizer: &TextTokenizer) -> String {
    tokenizer.chat_text(&ask(), true).unwrap()
}

fn open(dir: &Path) -> TextTokenizer {
    TextTokenizer::from_folder(dir).unwrap()
}

fn with_template(template: &str) -> TextTokenizer {
    open(folder(&json!({"chat_template": template})).path())
}

fn tools() -> Option<Vec<Json>> {
    Some(vec![Json::parse(r#"{"z": 1, "a": 2}"#).unwrap()])
}

#[test]
fn templates_come_from_the_same_files_as_in_transformers_and_are_kept() {
    let dir = folder(&json!({}));
    let at = |name: &str| dir.path().join(name);
    fs::write(
        at("chat_template.json"),
        r#"{"chat_template": "of the processor"}"#,
    )
    .unwrap();
    assert_eq!(text(&open(dir.path())), "of the processor");
    let named = json!({"eos_token": "</s>", "chat_template": [
        {"name": "tool_use", "template": "{{ tools | tojson }}"},
        {"name": "default", "template": "listed"},
    ]});
    fs::write(at("tokenizer_config.json"), named.to_string()).unwrap();
    let tokenizer = open(dir.path());
    assert_eq!(text(&tokenizer), "listed");
    let chat = ChatOptions {
        tools: tools(),
        ..ChatOptions::default()
    };
    let with_tools = tokenizer.clone().with_chat_options(chat).unwrap();
    assert_eq!(text(&with_tools), r#"[{"z": 1, "a": 2}]"#);
    let back = with_tools
        .with_chat_options(ChatOptions::default())
        .unwrap();
    assert_eq!(text(&back), "listed");
    let options = TokenizerOptions {
        chat_template: Some("tool_use".into()),
        ..TokenizerOptions::default()
    };
    let by_name = TextTokenizer::from_folder_with(dir.path(), &options).unwrap();
    assert_eq!(text(&by_name), "null");
    // Jinja files take precedence over every other source.
    fs::create_dir(at("additional_chat_templates")).unwrap();
    fs::write(at("additional_chat_templates/rag.jinja"), "rag").unwrap();
    let error = open(dir.path())
        .chat_text(&ask(), true)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("templates rag, but none named `default`"),
        "{error}"
    );
    fs::write(at("chat_template.jinja"), "of the file\n").unwrap();
    let tokenizer = open(dir.path());
    assert_eq!(text(&tokenizer), "of the file");
    let to = at("saved");
    tokenizer.save(&to).unwrap();
    let saved: Value =
        serde_json::from_slice(&fs::read(to.join("tokenizer_config.json")).unwrap()).unwrap();
    let names: Vec<&Value> = saved["chat_template"]
        .as_array()
        .unwrap()
        .iter()
        .map(|template| &template["name"])
        .collect();
    assert_eq!(names, ["default", "rag"]);
    assert_eq!(text(&open(&to)), "of the file");
}

#[test]
fn variables_reach_the_template_and_others_are_refused() {
    let template =
        "{{ 'thinks' if enable_thinking else 'answers' }} {{ strftime_now('%Y-%m-%d') }}";
    let tokenizer = with_template(template);
    let options = |name: &str, date: Option<&str>| ChatOptions {
        template_kwargs: vec![(name.to_owned(), true.into())],
        tools: None,
        date: date.map(str::to_owned),
    };
    let set = |options| tokenizer.clone().with_chat_options(options);
    let fixed = set(options("enable_thinking", Some("2024-02-29"))).unwrap();
    assert_eq!(text(&fixed), "thinks 2024-02-29");
    assert!(text(&tokenizer).starts_with("answers 20"));
    for (options, words) in [
        (options("thinking", None), "does not read this variable"),
        (options("messages", None), "the renderer sets this variable"),
        (
            options("enable_thinking", Some("yesterday")),
            "year, month and day",
        ),
        (
            ChatOptions {
                tools: tools(),
                ..ChatOptions::default()
            },
            "reads no tools",
        ),
    ] {
        let error = set(options).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_template_that_does_not_end_is_an_error_of_one_line() {
    let nested = "{% for a in range(99999) %}".repeat(3) + "{{ a }}" + &"{% endfor %}".repeat(3);
    let long = "{% for a in range(99999) %}".to_owned() + &"x".repeat(9999) + "{% endfor %}";
    let deep = "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}";
    for (template, words) in [
        (nested.replace("{{ a }}", "{% set b = a %}"), "does not end"),
        (long, "more than 64 MiB"),
        (deep.to_owned(), "recursion"),
    ] {
        let error = with_template(&template)
            .chat_text(&ask(), true)
            .unwrap_err();
        let error = error.to_string();
        assert!(error.contains(words) && !error.contains('\n'), "{error}");
    }
}

#[test]
fn what_messages_hold_reaches_the_template_in_its_order() {
    let row = r#"{"prompt": [{"role": "user", "content": [{"text": "q", "type": "text"}]},
        {"role": "assistant", "content": null, "reasoning_content": "hm", "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {"z": 1, "a": "é"}}}]},
        {"role": "tool", "content": "21", "tool_call_id": "1", "name": "f"}], "chosen": [{"role": "assistant", "content": "a"}], "rejected": [{"role": "assistant", "content": "b"}]}"#;
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("t.jsonl");
    fs::write(&path, row.replace('\n', " ")).unwrap();
    let (pairs, _) = read_pairs(&path, &ReadOptions::default()).unwrap();
    let Prompt::Chat(messages) = &pairs[0].prompt else {
        panic!("a conversation")
    };
    assert_eq!(messages[0].content, "q");
    let template = "{% for m in messages %}{{ m | tojson }}\n{% endfor %}{{ messages[1].content is defined }}{{ messages[1].thinking }}";
    let tokenizer = with_template(template);
    assert_eq!(
        tokenizer.chat_text(messages, false).unwrap(),
        r#"{"role": "user", "content": [{"type": "text", "text": "q"}]}
{"thinking": "hm", "role": "assistant", "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {"z": 1, "a": "é"}}}], "reasoning_content": "hm"}
{"role": "tool", "content": "21", "tool_call_id": "1", "name": "f"}
Falsehm"#
    );
    // A row is the same after writing and reading it.
    let written = serde_json::to_string(&pairs[0].prompt).unwrap();
    assert_eq!(
        serde_json::from_str::<Prompt>(&written).unwrap(),
        pairs[0].prompt
    );
}

#[test]
fn keys_that_a_template_does_not_read_are_counted() {
    let mut message = Message::new(Role::User, "q");
    message.further.push(("name".to_owned(), "Ann".into()));
    let pairs = [
        PreferencePair::new(Prompt::Chat(vec![message]), "a", "b"),
        PreferencePair::new(Prompt::Chat(ask()), "a", "b"),
    ];
    let count = |tokenizer: &TextTokenizer| {
        let encoded = tokenizer.encode_pairs(&pairs, 64, Truncation::KeepEnd);
        encoded.unwrap().1
    };
    let read = with_template("{{ messages[0].name }}{{ messages[0].content }}");
    assert_eq!(count(&read).keys_unread, 0);
    let report = count(&with_template("{{ messages[0].content }}"));
    assert_eq!(report.keys_unread, 1);
    assert!(report.is_worth_telling());
    assert!(
        report.to_string().contains("1 with keys of messages"),
        "{report}"
    );
    let plain = open(folder(&json!({})).path()).with_chat_fallback(ChatFallback::Plain);
    assert_eq!(count(&plain).keys_unread, 1);
}

#[test]
fn what_is_no_text_is_refused_by_name() {
    let refused = |message: Value, words: &str| {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("t.jsonl");
        let row = json!({"messages": [message, {"role": "assistant", "content": "a"}]});
        fs::write(&path, row.to_string()).unwrap();
        let error = read_sft(&path, &ReadOptions::default()).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    };
    let image = json!([{"type": "text", "text": "see"}, {"type": "image", "url": "x"}]);
    refused(
        json!({"role": "user", "content": image}),
        "`messages[0].content[1]` is a part of type \"image\"",
    );
    refused(
        json!({"role": "assistant", "content": "a", "tool_calls": {"a": 1}}),
        "`messages[0].tool_calls` is not a list of calls",
    );
    refused(
        json!({"role": "user", "content": "a", "name": 3}),
        "`messages[0].name` is not a text",
    );
    refused(
        json!({"role": "user", "content": null}),
        "`messages[0].content` is null",
    );
}
