//! Answers are encoded as the text that follows their prompt, for tokenizers of ten kinds
//! (`tests/tokenizers/make.py`).

use std::fs;
use std::path::{Path, PathBuf};

use collimate_core::{Key, PreferencePair, Purpose};
use collimate_data::{SpecialTokenIds, TextStream, TextTokenizer, Truncation};
use rand::RngExt;
use serde::Deserialize;
use serde_json::json;
use tokenizers::Tokenizer;

const KINDS: [&str; 10] = [
    "byte-level",
    "byte-level-digits",
    "byte-level-prefix-space",
    "byte-level-split",
    "metaspace-always",
    "metaspace-first",
    "metaspace-never",
    "prepend",
    "unigram",
    "word-piece",
];

const ROWS: usize = 2000;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tokenizers")
}

/// Returns the tokenizer as its file has it and as the library uses it.
fn load(kind: &str) -> (Tokenizer, TextTokenizer) {
    let plain = Tokenizer::from_file(folder().join(format!("{kind}.json"))).unwrap();
    let id = |names: [&str; 2]| names.iter().find_map(|name| plain.token_to_id(name));
    let eos = id(["</s>", "[SEP]"]).unwrap();
    // Take BOS from the post-processor.
    let first = plain.encode("a", true).unwrap();
    let bos = (first.get_special_tokens_mask()[0] == 1).then(|| first.get_ids()[0]);
    let special = SpecialTokenIds {
        bos,
        eos,
        pad: None,
    };
    let ours = TextTokenizer::new(plain.clone(), special, None).unwrap();
    (plain, ours)
}

/// Returns prompts and answers that meet in words, numbers, spaces, line breaks, punctuation and
/// multi-byte letters.
fn rows() -> Vec<(String, String)> {
    let mut rng = Key::new(11, "border").rng(Purpose::Data);
    const WORDS: [&str; 20] = [
        "the",
        "cat",
        "Hello",
        "don't",
        "it's",
        "12",
        "345",
        "2026",
        "naïve",
        "straße",
        "東京",
        "привет",
        "answer",
        "question",
        "because",
        "story",
        "e",
        "quick",
        "한국",
        "🙂",
    ];
    const ENDS: [&str; 12] = [
        "", "", "", " ", "\n", "\n\n", ":", ": ", ".", "?\n", "\"", "  ",
    ];
    const STARTS: [&str; 10] = ["", "", " ", " ", "\n", "  ", ".", "'", " \n", "-"];
    fn text(words: usize, rng: &mut impl RngExt) -> String {
        let words: Vec<&str> = (0..words)
            .map(|_| WORDS[rng.random_range(0..WORDS.len())])
            .collect();
        words.join(" ")
    }
    (0..ROWS)
        .map(|_| {
            let words = rng.random_range(1..6);
            let mut prompt = text(words, &mut rng) + ENDS[rng.random_range(0..ENDS.len())];
            let words = rng.random_range(1..5);
            let answer =
                STARTS[rng.random_range(0..STARTS.len())].to_owned() + &text(words, &mut rng);
            // Some prompts end inside a word.
            if rng.random_range(0..5) == 0 {
                prompt.pop();
            }
            (prompt, answer)
        })
        .collect()
}

struct Parts {
    prompt: Vec<u32>,
    answer: Vec<u32>,
    crossed: bool,
    respelled: bool,
}

/// Encodes a prompt and an answer without BOS and EOS.
fn ours(tokenizer: &TextTokenizer, prompt: &str, answer: &str) -> Parts {
    let pair = PreferencePair::new(prompt, answer, answer);
    let (mut ids, report) = tokenizer
        .encode_pairs(&[pair], 4096, Truncation::KeepEnd)
        .unwrap();
    let ids = ids.remove(0);
    let bos = usize::from(tokenizer.special().bos.is_some());
    assert_eq!(ids.chosen.last(), Some(&tokenizer.special().eos));
    Parts {
        prompt: ids.prompt[bos..].to_vec(),
        answer: ids.chosen[..ids.chosen.len() - 1].to_vec(),
        crossed: report.borders_crossed == 1,
        respelled: report.prompts_respelled == 1,
    }
}

#[test]
fn parts_are_the_joint_text_wherever_no_token_covers_the_border() {
    let rows = rows();
    let out = std::env::var_os("COLLIMATE_BORDER_ROWS").map(PathBuf::from);
    for kind in KINDS {
        let (mut plain, tokenizer) = load(kind);
        // Keep untrimmed offsets.
        plain.with_post_processor(None::<tokenizers::PostProcessorWrapper>);
        let (mut crossed, mut respelled, mut written) = (0, 0, String::new());
        for (prompt, answer) in &rows {
            let parts = ours(&tokenizer, prompt, answer);
            let alone = plain.encode(prompt.as_str(), false).unwrap();
            assert_eq!(parts.prompt, alone.get_ids(), "{kind}: {prompt:?}");
            let joint = plain.encode(format!("{prompt}{answer}"), false).unwrap();
            let at = prompt.len();
            let covers = |&(start, end): &(usize, usize)| start < at && at < end;
            let covered = joint.get_offsets().iter().any(covers);
            assert_eq!(parts.crossed, covered, "{kind}: {prompt:?} {answer:?}");
            let behind = joint
                .get_offsets()
                .iter()
                .position(|&(start, _)| start >= at)
                .unwrap_or(joint.len());
            let context = format!("{kind}: {prompt:?} {answer:?}");
            if covered {
                crossed += 1;
                // If no space is added, the parts decode to the text.
                let text = [&parts.prompt[..], &parts.answer].concat();
                let text = plain.decode(&text, false).unwrap();
                if kind.starts_with("byte-level") || kind == "prepend" || kind.starts_with("meta") {
                    let prefixed = text.strip_prefix(' ').unwrap_or(&text);
                    let whole = format!("{prompt}{answer}");
                    assert!(text == whole || prefixed == whole, "{context}: {text:?}");
                }
            } else {
                assert_eq!(parts.answer, joint.get_ids()[behind..], "{context}");
                let same = parts.prompt == joint.get_ids()[..behind];
                assert_eq!(parts.respelled, !same, "{context}");
                respelled += usize::from(!same);
                assert_eq!(
                    plain.decode(&parts.answer, false).unwrap(),
                    plain.decode(&joint.get_ids()[behind..], false).unwrap()
                );
            }
            let row = json!({
                "prompt": prompt, "answer": answer, "crossed": parts.crossed,
                "respelled": parts.respelled, "answer_ids": parts.answer,
                "prompt_ids": tokenizer.special().bos.iter().chain(&parts.prompt).collect::<Vec<_>>(),
            });
            written += &format!("{row}\n");
        }
        println!("{kind}: {ROWS} rows, {crossed} crossed, {respelled} respelled");
        // Both kinds of rows occur, and neither dominates.
        assert!(crossed > 0 && crossed + respelled < ROWS / 2, "{kind}");
        if let Some(out) = &out {
            fs::create_dir_all(out).unwrap();
            fs::write(out.join(format!("{kind}.jsonl")), written).unwrap();
        }
    }
}

/// A row of `trl.json`: ids of the prompt alone and of the joint text, both with BOS, and the
/// length of their common beginning.
#[derive(Deserialize)]
struct Expected {
    prompt: String,
    answer: String,
    alone: Vec<u32>,
    joint: Vec<u32>,
    same: usize,
}

#[test]
fn ids_are_those_of_trl() {
    let text = fs::read_to_string(folder().join("trl.json")).unwrap();
    let expected: std::collections::BTreeMap<String, Vec<Expected>> =
        serde_json::from_str(&text).unwrap();
    assert_eq!(expected.len(), KINDS.len());
    for (kind, rows) in expected {
        let (_, tokenizer) = load(&kind);
        let mut compared = 0;
        for row in rows {
            let parts = ours(&tokenizer, &row.prompt, &row.answer);
            let bos = tokenizer.special().bos;
            let with_bos =
                |ids: &[u32]| -> Vec<u32> { bos.into_iter().chain(ids.iter().copied()).collect() };
            assert_eq!(
                with_bos(&parts.prompt),
                row.alone,
                "{kind}: {:?}",
                row.prompt
            );
            // TRL drops the end of a prompt if the joint text has other ids there.
            if row.same == row.alone.len() {
                let joint = [&with_bos(&parts.prompt)[..], &parts.answer].concat();
                assert_eq!(
                    joint, row.joint,
                    "{kind}: {:?} {:?}",
                    row.prompt, row.answer
                );
                compared += 1;
            }
        }
        assert!(compared >= 6, "{kind}: {compared}");
    }
}

/// A tokenizer that puts a space before a text puts none before an answer.
#[test]
fn an_answer_gets_no_space_of_its_own() {
    for kind in [
        "prepend",
        "metaspace-first",
        "metaspace-always",
        "byte-level-prefix-space",
    ] {
        let (plain, tokenizer) = load(kind);
        let parts = ours(&tokenizer, "The cat said:\n", "no");
        assert_eq!(
            plain
                .decode(&parts.answer, false)
                .unwrap()
                .trim_start_matches('▁'),
            "no",
            "{kind}"
        );
        let no = |ids: &[u32]| {
            ids.iter()
                .map(|&id| plain.id_to_token(id).unwrap())
                .collect::<String>()
        };
        assert_eq!(no(&parts.answer), "no", "{kind}");
        let spaced = no(&ours(&tokenizer, "The cat said:", " no").answer);
        assert!(spaced == "▁no" || spaced == "Ġno", "{kind}: {spaced}");
    }
}

/// A normaliser composes an accent with the letter before it, also across the border. No text is
/// lost.
#[test]
fn a_character_composed_of_both_sides_covers_the_border() {
    let (_, tokenizer) = load("unigram");
    let parts = ours(&tokenizer, "the nai", "\u{308}ve cat");
    assert!(parts.crossed);
}

/// Decoded ids give the text that follows the prompt, including its first space.
#[test]
fn a_continuation_is_written_as_it_stands_behind_its_prompt() {
    for kind in KINDS {
        let (plain, tokenizer) = load(kind);
        let mut compared = 0;
        let behind_a_prompt = |row: &&(String, String)| !row.0.is_empty();
        for (prompt, answer) in rows().iter().filter(behind_a_prompt).take(300) {
            let parts = ours(&tokenizer, prompt, answer);
            let mut stream = TextStream::after(&tokenizer, &parts.prompt).unwrap();
            for &id in &parts.answer {
                stream.push(id).unwrap();
            }
            stream.finish().unwrap();
            let all = [&parts.prompt[..], &parts.answer].concat();
            let whole = plain.decode(&all, true).unwrap();
            let alone = plain.decode(&parts.prompt, true).unwrap();
            // Some decoders clean the end of a text.
            let Some(behind) = whole.strip_prefix(&alone) else {
                continue;
            };
            compared += 1;
            assert_eq!(stream.text(), behind, "{kind}: {prompt:?} {answer:?}");
            let says = |text: &str, ids: &str| text.trim_start() == ids.trim_start();
            if says(&format!("{prompt}{answer}"), &whole) && says(prompt, &alone) {
                assert_eq!(stream.text(), answer, "{kind}: {prompt:?}");
            }
        }
        assert!(compared > 200, "{kind}: {compared}");
    }
}
