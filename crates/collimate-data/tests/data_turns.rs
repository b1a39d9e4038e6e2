//! Ends of turns, tokens beyond a model's vocabulary, and prompts that an answer rewrites.

use std::fs;
use std::path::Path;

use collimate_core::{Completion, Finish, Message, PreferencePair, Prompt, Role};
use collimate_data::{DataError, OnRewrittenPrompt, SftExample, TextTokenizer, Truncation};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer};

/// Gemma's template, without its refusals.
const GEMMA: &str = "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'assistant' %}\
    {% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}\
    {{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}\
    {% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}";

/// Phi's template: EOS ends the whole conversation, `<|end|>` a turn.
const PHI: &str = "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] \
    + '<|end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}\
    {{ eos_token }}{% endif %}";

/// One token per byte, then the special tokens.
fn bytes(special: &[&str], merges: &[(&str, &str)]) -> Tokenizer {
    let mut alphabet: Vec<char> = ByteLevel::alphabet().into_iter().collect();
    alphabet.sort_unstable();
    let mut words: Vec<String> = alphabet.into_iter().map(String::from).collect();
    words.extend(merges.iter().map(|(a, b)| format!("{a}{b}")));
    let vocab: serde_json::Map<String, Value> = words
        .into_iter()
        .zip(0_u32..)
        .map(|(word, id)| (word, json!(id)))
        .collect();
    let merges: Vec<String> = merges.iter().map(|(a, b)| format!("{a} {b}")).collect();
    let model = json!({"type": "BPE", "vocab": vocab, "merges": merges});
    let file = json!({"version": "1.0", "added_tokens": [], "model": model}).to_string();
    let mut tokenizer: Tokenizer = file.parse().unwrap();
    tokenizer.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
    tokenizer.with_decoder(Some(ByteLevel::default()));
    let special = special.iter().map(|token| AddedToken::from(*token, true));
    tokenizer.add_special_tokens(special).unwrap();
    tokenizer
}

/// Makes a folder with the tokenizer and further JSON files by name.
fn folder(tokenizer: &Tokenizer, files: &[(&str, Value)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    tokenizer
        .save(dir.path().join("tokenizer.json"), false)
        .unwrap();
    for (name, value) in files {
        fs::write(dir.path().join(name), value.to_string()).unwrap();
    }
    dir
}

fn open(dir: &TempDir) -> TextTokenizer {
    TextTokenizer::from_folder(dir.path()).unwrap()
}

fn asked() -> Prompt {
    Prompt::Chat(vec![Message::new(Role::User, "hi")])
}

/// Returns the ids of an answer after the prompt [`asked`].
fn learned(tokenizer: &TextTokenizer, answer: impl Into<Completion>) -> Vec<u32> {
    let example = SftExample {
        prompt: asked(),
        completion: answer.into(),
    };
    let example = tokenizer.encode_example(&example, 512, Truncation::KeepEnd);
    example.unwrap().completion
}

fn id(tokenizer: &TextTokenizer, token: &str) -> u32 {
    tokenizer.inner().token_to_id(token).unwrap()
}

fn gemma(files: &[(&str, Value)]) -> TempDir {
    let tokenizer = bytes(
        &[
            "<pad>",
            "<eos>",
            "<bos>",
            "<start_of_turn>",
            "<end_of_turn>",
        ],
        &[],
    );
    let config = json!({
        "bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "chat_template": GEMMA,
    });
    let all = [&[("tokenizer_config.json", config)], files].concat();
    folder(&tokenizer, &all)
}

#[test]
fn the_end_of_a_turn_is_learned_where_any_file_names_it() {
    let eos = 257;
    let turn = 260;
    let ends = [
        vec![(
            "generation_config.json",
            json!({"eos_token_id": [eos, turn]}),
        )],
        vec![
            ("generation_config.json", json!({"eos_token_id": eos})),
            ("config.json", json!({"eos_token_id": [eos, turn]})),
        ],
        vec![(
            "config.json",
            json!({"text_config": {"eos_token_id": [turn]}}),
        )],
    ];
    for files in ends {
        let dir = gemma(&files);
        let tokenizer = open(&dir);
        assert_eq!(id(&tokenizer, "<end_of_turn>"), turn);
        assert_eq!(tokenizer.end_tokens(), [eos, turn], "{files:?}");
        let text = tokenizer.encode_text("yes").unwrap();
        let expected = [text.as_slice(), &[turn]].concat();
        assert_eq!(learned(&tokenizer, "yes"), expected, "{files:?}");
        // A cut answer has not ended.
        let cut = Completion {
            finish: Finish::Length,
            ..Completion::from("yes")
        };
        assert_eq!(learned(&tokenizer, cut), text);
    }
}

#[test]
fn nothing_behind_the_end_of_a_turn_is_learned() {
    let tokenizer = bytes(
        &["<|endoftext|>", "<|user|>", "<|assistant|>", "<|end|>"],
        &[],
    );
    let config = json!({"eos_token": "<|endoftext|>", "chat_template": PHI});
    let ends = json!({"eos_token_id": [256, 259]});
    let dir = folder(
        &tokenizer,
        &[
            ("tokenizer_config.json", config),
            ("generation_config.json", ends),
        ],
    );
    let tokenizer = open(&dir);
    // The template writes `<|end|>`, a line break and EOS.
    let text = tokenizer
        .chat_text(
            &[
                Message::new(Role::User, "hi"),
                Message::new(Role::Assistant, "yes"),
            ],
            false,
        )
        .unwrap();
    assert!(text.ends_with("yes<|end|>\n<|endoftext|>"), "{text}");
    let mut expected = tokenizer.encode_text("yes").unwrap();
    expected.push(id(&tokenizer, "<|end|>"));
    assert_eq!(learned(&tokenizer, "yes"), expected);
    // An end token that the answer itself spells, with words after it, is not the end.
    let mut spelled = tokenizer.encode_text("a<|end|> b").unwrap();
    spelled.push(id(&tokenizer, "<|end|>"));
    assert_eq!(learned(&tokenizer, "a<|end|> b"), spelled);
}

#[test]
fn end_tokens_that_are_no_ids_are_refused() {
    for (file, value) in [
        ("generation_config.json", json!("<eos>")),
        ("config.json", json!([1, -2])),
        ("config.json", json!([1.5])),
    ] {
        let dir = gemma(&[(file, json!({"eos_token_id": value}))]);
        let error = TextTokenizer::from_folder(dir.path())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(file) && error.contains("eos_token_id"),
            "{error}"
        );
        assert_eq!(error.lines().count(), 1);
    }
    // -1 and null mean that there is none.
    for value in [json!(-1), json!(null)] {
        let dir = gemma(&[("config.json", json!({"eos_token_id": value}))]);
        assert_eq!(open(&dir).end_tokens(), [257]);
    }
}

#[test]
fn tokens_that_the_model_does_not_know_are_refused_with_their_text() {
    // The five special tokens have the ids 256 to 260.
    let known = |size: usize| gemma(&[("config.json", json!({"vocab_size": size}))]);
    let dir = known(259);
    let tokenizer = open(&dir);
    let plain = |text: &str| tokenizer.encode_prompt(&Prompt::from(text));
    assert!(plain("abc").is_ok());
    let error = plain("abc <end_of_turn>").unwrap_err().to_string();
    for part in ["abc <end_of_turn>", "id 260", "below 259"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert_eq!(error.lines().count(), 1);
    let pair = PreferencePair::new("q", "a", "<end_of_turn>");
    let error = tokenizer.encode_pairs(&[pair], 64, Truncation::KeepEnd);
    assert!(error.unwrap_err().to_string().contains("id 260"));
    // Weights padded beyond the vocabulary cause no refusal, and their extra ids have no text.
    let dir = known(512);
    let tokenizer = open(&dir);
    assert!(
        tokenizer
            .encode_prompt(&Prompt::from("<end_of_turn>"))
            .is_ok()
    );
    let a = tokenizer.encode_text("a").unwrap()[0];
    assert_eq!(tokenizer.decode(&[a, 300, a]).unwrap(), "aa");
    assert_eq!(tokenizer.without_text(&[a, 300, 260, 511]), 2);
}

/// A template that begins an answer with `<think>`, which a finished turn lacks.
const THINKS: &str = "{% for m in messages %}{{ m['role'] + ':' + m['content'] + eos_token }}{% endfor %}\
    {% if add_generation_prompt %}{{ 'assistant:<think>' }}{% endif %}";

#[test]
fn a_prompt_that_its_answer_rewrites_is_counted_or_refused() {
    let tokenizer = bytes(&["<eos>"], &[("Ġ", "y")]);
    let config = json!({"eos_token": "<eos>", "chat_template": THINKS});
    let dir = folder(&tokenizer, &[("tokenizer_config.json", config)]);
    let counts = open(&dir);
    let fails = open(&dir).with_on_rewritten_prompt(OnRewrittenPrompt::Fail);
    let rewritten = PreferencePair::new(asked(), "yes", "no");
    // The merged token of space and y covers the border.
    let crossed = PreferencePair::new("say ", "yes", "no");
    let good = PreferencePair::new("say", " yes", " no");
    let encode = |tokenizer: &TextTokenizer, pair: &PreferencePair| {
        tokenizer.encode_pairs(std::slice::from_ref(pair), 64, Truncation::KeepEnd)
    };
    assert_eq!(encode(&counts, &rewritten).unwrap().1.prompts_rewritten, 1);
    assert_eq!(encode(&counts, &crossed).unwrap().1.borders_crossed, 1);
    assert!(encode(&fails, &good).is_ok());
    for (pair, says) in [
        (&rewritten, "writes the prompt differently"),
        (&crossed, "a token holds the end of the prompt"),
    ] {
        let error = encode(&fails, pair).unwrap_err();
        assert!(
            matches!(error, DataError::RewrittenPrompt { .. }),
            "{error}"
        );
        let text = error.to_string();
        assert!(text.contains(says), "{text}");
        assert!(text.contains("--on-rewritten-prompt count"), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
    assert!(
        encode(&fails, &crossed)
            .unwrap_err()
            .to_string()
            .contains("\"say \"")
    );
}

#[test]
fn folders_in_other_formats_are_refused_with_the_way_out() {
    for files in [
        &["tokenizer.model", "tokenizer_config.json"][..],
        &["spiece.model"],
        &["vocab.json", "merges.txt"],
        &["vocab.txt"],
        &["config.json"],
    ] {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            fs::write(dir.path().join(file), "{}").unwrap();
        }
        let error = TextTokenizer::from_folder(dir.path())
            .unwrap_err()
            .to_string();
        let way = format!(
            "AutoTokenizer.from_pretrained({0:?}).save_pretrained({0:?})",
            dir.path().display().to_string()
        );
        assert!(error.contains(&way), "{error}");
        let named = files
            .iter()
            .any(|file| error.contains(&format!("only {file}")));
        assert_eq!(named, !files.contains(&"config.json"), "{error}");
        assert_eq!(error.lines().count(), 1);
    }
    let missing = TextTokenizer::from_folder(Path::new("/no/such/folder"));
    assert!(missing.unwrap_err().to_string().contains("no such folder"));
}
