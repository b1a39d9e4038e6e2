//! The sequence rule, chat templates, truncation, folders in and out.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use collimate_core::{Completion, Message, PreferencePair, Prompt, Role};
use collimate_data::{
    ChatFallback, DataError, SftExample, SpecialTokenIds, TextTokenizer, TokenizeReport,
    TokenizerOptions, Truncation,
};
use tempfile::TempDir;
use tokenizers::models::wordlevel::WordLevel;
use tokenizers::pre_tokenizers::whitespace::WhitespaceSplit;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, PaddingParams, Tokenizer, TruncationParams};

const WORDS: [&str; 18] = [
    "<pad>",
    "<s>",
    "</s>",
    "<unk>",
    "<|user|>",
    "<|assistant|>",
    "<|end|>",
    "a",
    "b",
    "c",
    "d",
    "e",
    "f",
    "g",
    "User:",
    "Assistant:",
    "h",
    "i",
];
const BOS: u32 = 1;
const EOS: u32 = 2;
const TEMPLATE: &str = "{%- for m in messages %}\n    {%- if m.role == 'system' %}{{ raise_exception('no system turns') }}{% endif %}\n{{ '<|' + m['role'] + '|> ' + m.content.strip() + ' ' + eos_token }}\n{% endfor %}\n{%- if add_generation_prompt %}\n{{ '<|assistant|>' }}{% endif %}";

/// One token per word; the file's own post-processing, padding and truncation must not matter.
fn inner() -> Tokenizer {
    let vocab = WORDS
        .iter()
        .zip(0..)
        .map(|(w, id)| ((*w).to_owned(), id))
        .collect();
    let model = WordLevel::builder()
        .vocab(vocab)
        .unk_token("<unk>".into())
        .build()
        .unwrap();
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_pre_tokenizer(Some(WhitespaceSplit));
    let special = [0, 1, 2, 4, 5, 6].map(|i: usize| AddedToken::from(WORDS[i], true));
    tokenizer.add_special_tokens(special).unwrap();
    let post = TemplateProcessing::builder()
        .try_single("<s> $A </s>")
        .unwrap()
        .special_tokens(vec![("<s>", BOS), ("</s>", EOS)])
        .build()
        .unwrap();
    tokenizer.with_post_processor(Some(post));
    tokenizer.with_padding(Some(PaddingParams::default()));
    tokenizer
        .with_truncation(Some(TruncationParams {
            max_length: 4,
            ..Default::default()
        }))
        .unwrap();
    tokenizer
}

fn special() -> SpecialTokenIds {
    SpecialTokenIds {
        bos: Some(BOS),
        eos: EOS,
        pad: Some(0),
    }
}

fn plain() -> TextTokenizer {
    TextTokenizer::new(inner(), special(), None).unwrap()
}

fn chat(turns: &[(Role, &str)]) -> Prompt {
    let message = |&(role, content): &(Role, &str)| Message {
        role,
        content: content.to_owned(),
    };
    Prompt::Chat(turns.iter().map(message).collect())
}

type Ids = (Vec<u32>, Vec<u32>, Vec<u32>, bool);

fn encode(t: &TextTokenizer, pair: &PreferencePair, max: usize, how: Truncation) -> Ids {
    let ids = t.encode_pair(pair, max, how).unwrap();
    (ids.prompt, ids.chosen, ids.rejected, ids.truncated)
}

#[test]
fn bos_prompt_completion_eos() {
    let pair = PreferencePair::new("a b c d e f", "g", "h i");
    let ids = encode(&plain(), &pair, 64, Truncation::KeepEnd);
    assert_eq!(
        ids,
        (
            vec![1, 7, 8, 9, 10, 11, 12],
            vec![13, 2],
            vec![16, 17, 2],
            false
        )
    );
    let no_prompt = PreferencePair::new("", "g", "h");
    assert_eq!(
        encode(&plain(), &no_prompt, 64, Truncation::KeepEnd).0,
        vec![1]
    );
    let without = SpecialTokenIds {
        bos: None,
        ..special()
    };
    let without = TextTokenizer::new(inner(), without, None).unwrap();
    assert_eq!(
        encode(&without, &no_prompt, 64, Truncation::KeepEnd).0,
        Vec::<u32>::new()
    );
    let example = SftExample {
        prompt: "a".into(),
        completion: "b".into(),
    };
    let ids = plain()
        .encode_example(&example, 64, Truncation::KeepEnd)
        .unwrap();
    assert_eq!(
        (ids.prompt, ids.completion, ids.truncated),
        (vec![1, 7], vec![8, 2], false)
    );
    assert_eq!(plain().decode(&[1, 7, 8, 2]).unwrap(), "a b");
}

#[test]
fn sampled_ids_are_kept_and_end_with_one_eos() {
    for tokens in [vec![9, 9], vec![9, 9, EOS]] {
        let mut sampled = Completion::from("a");
        sampled.tokens = Some(tokens);
        let pair = PreferencePair::new("a", sampled, "b");
        assert_eq!(
            encode(&plain(), &pair, 64, Truncation::KeepEnd).1,
            vec![9, 9, EOS]
        );
    }
}

#[test]
fn what_is_cut_and_what_is_kept() {
    let pair = PreferencePair::new("a b c d", "e f g", "h");
    let cases = [
        (
            9,
            Truncation::KeepEnd,
            vec![1, 7, 8, 9, 10],
            vec![11, 12, 13, 2],
            vec![16, 2],
        ),
        (
            7,
            Truncation::KeepEnd,
            vec![1, 9, 10],
            vec![11, 12, 13, 2],
            vec![16, 2],
        ),
        (
            5,
            Truncation::KeepEnd,
            vec![1],
            vec![11, 12, 13, 2],
            vec![16, 2],
        ),
        (
            4,
            Truncation::KeepEnd,
            vec![1],
            vec![11, 12, 2],
            vec![16, 2],
        ),
        (
            7,
            Truncation::KeepStart,
            vec![1, 7, 8, 9, 10],
            vec![11, 2],
            vec![16, 2],
        ),
        (
            5,
            Truncation::KeepStart,
            vec![1, 7, 8],
            vec![11, 2],
            vec![16, 2],
        ),
        (3, Truncation::KeepStart, vec![1], vec![11, 2], vec![16, 2]),
    ];
    for (max, how, prompt, chosen, rejected) in cases {
        let cut = max < 9;
        assert_eq!(
            encode(&plain(), &pair, max, how),
            (prompt, chosen, rejected, cut),
            "{max} {how:?}"
        );
    }
    for max in [0, 2] {
        assert!(matches!(
            plain().encode_pair(&pair, max, Truncation::KeepEnd),
            Err(DataError::Argument { .. })
        ));
    }
}

#[test]
fn a_chat_template_brings_its_own_special_tokens() {
    let t = TextTokenizer::new(inner(), special(), Some(TEMPLATE)).unwrap();
    let prompt = chat(&[
        (Role::User, "a "),
        (Role::Assistant, "b"),
        (Role::User, "c"),
    ]);
    let pair = PreferencePair::new(prompt, "d", "e f");
    let ids = encode(&t, &pair, 64, Truncation::KeepEnd);
    assert_eq!(ids.0, vec![4, 7, 2, 5, 8, 2, 4, 9, 2, 5]);
    assert_eq!((ids.1, ids.2), (vec![10, 2], vec![11, 12, 2]));
    let text = PreferencePair::new("a", "b", "c");
    assert_eq!(encode(&t, &text, 64, Truncation::KeepEnd).0, vec![1, 7]);
    let system = chat(&[(Role::System, "a")]);
    let error = t.encode_prompt(&system).unwrap_err().to_string();
    assert!(error.contains("no system turns"), "{error}");
    assert!(TextTokenizer::new(inner(), special(), Some("{% if %}")).is_err());
}

#[test]
fn without_a_template_a_conversation_is_refused_or_written_plainly() {
    let pair = PreferencePair::new(chat(&[(Role::User, "a")]), "b", "c");
    let error = plain()
        .encode_pair(&pair, 64, Truncation::KeepEnd)
        .unwrap_err();
    assert!(matches!(error, DataError::ChatTemplate(_)));
    let t = plain().with_chat_fallback(ChatFallback::Plain);
    let ids = encode(&t, &pair, 64, Truncation::KeepEnd);
    assert_eq!(ids, (vec![1, 14, 7, 15], vec![8, 2], vec![9, 2], false));
}

#[test]
fn many_pairs_keep_their_order_and_are_counted() {
    let pairs: Vec<_> = (0..700)
        .map(|i| PreferencePair::new("a b", WORDS[7 + i % 7], if i % 2 == 0 { "h" } else { "x" }))
        .collect();
    let seen = AtomicUsize::new(0);
    let progress = |done: usize, all: usize| {
        assert_eq!(all, 700);
        seen.fetch_max(done, Ordering::Relaxed);
    };
    let (ids, report) = plain()
        .encode_pairs(&pairs, 4, Truncation::KeepEnd, progress)
        .unwrap();
    assert_eq!(seen.into_inner(), 700);
    for (i, pair) in ids.iter().enumerate() {
        assert_eq!(pair.chosen, vec![7 + i as u32 % 7, 2]);
    }
    let expected = TokenizeReport {
        pairs: 700,
        tokens: 700 * 6,
        truncated: 700,
        tokens_cut: 700,
        equal_answers: 0,
    };
    assert_eq!(report, expected);
    let equal = [
        PreferencePair::new("", "a b c", "a b d"),
        PreferencePair::new("", "x", "y"),
    ];
    let report = plain()
        .encode_pairs(&equal, 4, Truncation::KeepEnd, |_, _| ())
        .unwrap()
        .1;
    assert_eq!((report.equal_answers, report.truncated), (2, 1));
    let examples = [SftExample {
        prompt: "a".into(),
        completion: "b".into(),
    }];
    let report = plain()
        .encode_examples(&examples, 9, Truncation::KeepEnd, |_, _| ())
        .unwrap()
        .1;
    assert_eq!((report.pairs, report.tokens), (1, 4));
    let bad = [PreferencePair::new(chat(&[]), "a", "b")];
    assert!(
        plain()
            .encode_pairs(&bad, 9, Truncation::KeepEnd, |_, _| ())
            .is_err()
    );
}

#[test]
fn a_line_of_a_megabyte_is_read_cut_and_counted() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("long.jsonl");
    let long = "a ".repeat(1 << 19);
    fs::write(
        &path,
        format!(r#"{{"prompt":"{long}","chosen":"b","rejected":"c"}}"#),
    )
    .unwrap();
    let (pairs, _) = collimate_data::read_pairs(&path, &Default::default()).unwrap();
    let (ids, report) = plain()
        .encode_pairs(&pairs, 32, Truncation::KeepEnd, |_, _| ())
        .unwrap();
    assert_eq!((ids[0].prompt.len(), report.truncated), (30, 1));
    assert_eq!(report.tokens_cut, (1 << 19) + 1 - 30);
}

#[test]
fn a_saved_folder_opens_again() {
    let dir = TempDir::new().unwrap();
    let t = TextTokenizer::new(inner(), special(), Some(TEMPLATE)).unwrap();
    t.save(dir.path()).unwrap();
    let config = fs::read_to_string(dir.path().join("tokenizer_config.json")).unwrap();
    assert!(config.contains("PreTrainedTokenizerFast"));
    let back = TextTokenizer::from_folder(dir.path()).unwrap();
    assert_eq!(
        (back.special(), back.vocab_size()),
        (special(), WORDS.len())
    );
    assert_eq!(back.chat_template().unwrap().source(), TEMPLATE);
    let pair = PreferencePair::new(chat(&[(Role::User, "a")]), "d", "e f");
    assert_eq!(
        encode(&back, &pair, 64, Truncation::KeepEnd),
        encode(&t, &pair, 64, Truncation::KeepEnd)
    );
}

#[test]
fn special_tokens_of_a_folder() {
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name);
    let load = || TextTokenizer::from_folder(dir.path());
    assert!(
        load()
            .unwrap_err()
            .to_string()
            .contains("no tokenizer.json")
    );
    assert!(
        TextTokenizer::from_folder(at("none"))
            .unwrap_err()
            .to_string()
            .contains("no such folder")
    );
    inner().save(at("tokenizer.json"), false).unwrap();
    assert!(load().unwrap_err().to_string().contains("eos_token"));

    let map = r#"{"cls_token":{"content":"<s>"},"sep_token":"</s>"}"#;
    fs::write(at("special_tokens_map.json"), map).unwrap();
    let bert = SpecialTokenIds {
        pad: None,
        ..special()
    };
    assert_eq!(load().unwrap().special(), bert);

    let config = |text: &str| fs::write(at("tokenizer_config.json"), text).unwrap();
    config(
        r#"{"eos_token":"<|end|>","bos_token":"<s>","add_bos_token":false,"pad_token":"<pad>","chat_template":[{"name":"tool_use","template":"x"},{"name":"default","template":"y"}]}"#,
    );
    let t = load().unwrap();
    assert_eq!(
        t.special(),
        SpecialTokenIds {
            bos: None,
            eos: 6,
            pad: Some(0)
        }
    );
    assert_eq!(t.chat_template().unwrap().source(), "y");
    fs::write(at("chat_template.jinja"), "z").unwrap();
    assert_eq!(load().unwrap().chat_template().unwrap().source(), "z");

    config(r#"{"eos_token":"</s>","pad_token":"</s>"}"#);
    assert_eq!(
        (load().unwrap().special().pad, load().unwrap().special().eos),
        (None, EOS)
    );
    let options = TokenizerOptions {
        pad_token: Some("<unk>".into()),
        ..Default::default()
    };
    let t = TextTokenizer::from_folder_with(dir.path(), &options).unwrap();
    assert_eq!(t.special().pad, Some(3));
    config(r#"{"eos_token":"nowhere"}"#);
    assert!(
        load()
            .unwrap_err()
            .to_string()
            .contains("not in the vocabulary")
    );
    config("{");
    assert!(matches!(load(), Err(DataError::Tokenizer { .. })));
    fs::write(at("tokenizer.json"), "{}").unwrap();
    assert!(load().unwrap_err().to_string().contains("not a tokenizer"));
    let pad = SpecialTokenIds {
        pad: Some(EOS),
        ..special()
    };
    let unpadded = TextTokenizer::new(inner(), pad, None).unwrap();
    assert_eq!(unpadded.special().pad, None);
    unpadded.save(dir.path()).unwrap();
    assert_eq!(load().unwrap().special(), unpadded.special());
    let out = SpecialTokenIds {
        eos: 999,
        ..special()
    };
    assert!(TextTokenizer::new(inner(), out, None).is_err());
}
