//! The sequence rule, chat templates and truncation. Tests of folders are in `folders`.

mod folders;

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use collimate_core::{Completion, Finish, Message, PreferencePair, Prompt, Role};
use collimate_data::{
    AnswerEnd, ChatFallback, DataError, SftExample, SpecialTokenIds, TextTokenizer, TokenizeReport,
    TokenizerOptions, Truncation,
};
use tempfile::TempDir;
use tokenizers::models::wordlevel::WordLevel;
use tokenizers::pre_tokenizers::whitespace::WhitespaceSplit;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{
    AddedToken, PaddingParams, PaddingStrategy, PostProcessorWrapper, Tokenizer, TruncationParams,
};

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

/// A tokenizer with one token per word. The post-processing, padding and truncation of its file
/// must not matter.
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
    // As in the files of sentence encoders.
    tokenizer.with_padding(Some(PaddingParams {
        strategy: PaddingStrategy::Fixed(16),
        ..PaddingParams::default()
    }));
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
    let message = |&(role, content): &(Role, &str)| Message::new(role, content);
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
fn an_answer_that_was_cut_when_it_was_written_has_no_end() {
    for tokens in [None, Some(vec![9, 9])] {
        let cut = Completion {
            text: "c c".to_owned(),
            tokens,
            finish: Finish::Length,
        };
        let pair = PreferencePair::new("a", cut, "b");
        let t = plain();
        assert_eq!(encode(&t, &pair, 64, Truncation::KeepEnd).1, vec![9, 9]);
        let scored = t.with_answer_end(AnswerEnd::EveryAnswer);
        assert_eq!(
            encode(&scored, &pair, 64, Truncation::KeepEnd).1,
            vec![9, 9, EOS]
        );
        // A template would end the turn.
        let pair = PreferencePair {
            prompt: chat(&[(Role::User, "a")]),
            ..pair
        };
        let t = TextTokenizer::new(inner(), special(), Some(TEMPLATE)).unwrap();
        assert_eq!(encode(&t, &pair, 64, Truncation::KeepEnd).1, vec![9, 9]);
    }
}

#[test]
fn prompt_and_answers_share_the_longest_sequence() {
    let pair = PreferencePair::new("a b c d", "e f g", "h");
    let whole = [11, 12, 13, EOS];
    use Truncation::{KeepEnd, KeepStart};
    let cases: [(usize, Truncation, &[u32], &[u32]); 8] = [
        (9, KeepEnd, &[1, 7, 8, 9, 10], &whole),
        (8, KeepEnd, &[1, 8, 9, 10], &whole),
        (7, KeepEnd, &[1, 9, 10], &whole),
        // The prompt keeps half, and the end of a cut answer is not written.
        (5, KeepEnd, &[1, 10], &[11, 12, 13]),
        (4, KeepEnd, &[1, 10], &[11, 12]),
        (7, KeepStart, &[1, 7, 8], &whole),
        (5, KeepStart, &[1, 7], &[11, 12, 13]),
        (3, KeepStart, &[1], &[11, 12]),
    ];
    for (max, how, prompt, chosen) in cases {
        let expected = (prompt.to_vec(), chosen.to_vec(), vec![16, EOS], max < 9);
        assert_eq!(encode(&plain(), &pair, max, how), expected, "{max} {how:?}");
        // A reward model reads the score at EOS.
        let mut chosen = chosen.to_vec();
        if let Some(last) = chosen.last_mut() {
            *last = EOS;
        }
        let scored = plain().with_answer_end(AnswerEnd::EveryAnswer);
        let expected = (prompt.to_vec(), chosen, vec![16, EOS], max < 9);
        assert_eq!(encode(&scored, &pair, max, how), expected, "{max} {how:?}");
    }
    // A share set by the user. BOS counts, and an answer keeps a token and EOS.
    for (share, prompt) in [(1, vec![1]), (3, vec![1, 9, 10]), (64, vec![1, 9, 10])] {
        let t = plain().with_max_prompt_length(Some(share));
        assert_eq!(encode(&t, &pair, 5, KeepEnd).0, prompt, "{share}");
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
        .encode_pairs_with(&pairs, 4, Truncation::KeepEnd, progress)
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
        prompts_cut: 700,
        // "a b" + "h" is one word, and "bh" is not in the vocabulary.
        borders_crossed: 700,
        ..TokenizeReport::default()
    };
    assert_eq!(report, expected);
    let equal = [
        PreferencePair::new("", "a b c", "a b d"),
        PreferencePair::new("", "x", "y"),
    ];
    let report = plain()
        .encode_pairs(&equal, 3, Truncation::KeepEnd)
        .unwrap()
        .1;
    assert_eq!((report.equal_answers, report.truncated), (2, 1));
    assert_eq!((report.prompts_lost, report.ends_lost), (0, 1));
    let lost = [PreferencePair::new("a b c", "d e f g", "h")];
    let report = plain()
        .encode_pairs(&lost, 3, Truncation::KeepEnd)
        .unwrap()
        .1;
    assert_eq!(
        (report.prompts_cut, report.prompts_lost, report.ends_lost),
        (1, 1, 1)
    );
    let examples = [SftExample {
        prompt: "a".into(),
        completion: "b".into(),
    }];
    let report = plain()
        .encode_examples(&examples, 9, Truncation::KeepEnd)
        .unwrap()
        .1;
    assert_eq!((report.pairs, report.tokens), (1, 4));
    let bad = [PreferencePair::new(chat(&[]), "a", "b")];
    assert!(plain().encode_pairs(&bad, 9, Truncation::KeepEnd).is_err());
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
        .encode_pairs(&pairs, 32, Truncation::KeepEnd)
        .unwrap();
    assert_eq!((ids[0].prompt.len(), report.truncated), (30, 1));
    assert_eq!(report.tokens_cut, (1 << 19) + 1 - 30);
}
