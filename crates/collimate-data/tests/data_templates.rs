//! Chat templates against `apply_chat_template` of transformers: tests/templates/make.py.

use std::fs;
use std::path::{Path, PathBuf};

use collimate_core::{Json, Message};
use collimate_data::{ChatOptions, SpecialTokenIds, TextTokenizer};
use serde::Deserialize;
use tokenizers::Tokenizer;
use tokenizers::models::wordlevel::WordLevel;

#[derive(Deserialize)]
struct Conversations {
    date: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    messages: Vec<Message>,
    tools: Option<Vec<Json>>,
    kwargs: Json,
    add_generation_prompt: bool,
}

#[derive(Deserialize)]
struct Expected {
    source: String,
    texts: Vec<Option<String>>,
    errors: Vec<Option<String>>,
}

fn tokenizer(source: &str) -> Result<TextTokenizer, String> {
    let words = ["<unk>", "<s>", "</s>", "<pad>"].into_iter().zip(0..);
    let vocab = words.map(|(word, id)| (word.to_owned(), id)).collect();
    let model = WordLevel::builder().vocab(vocab).unk_token("<unk>".into());
    let special = SpecialTokenIds {
        bos: Some(1),
        eos: 2,
        pad: Some(3),
    };
    let tokenizer = Tokenizer::new(model.build().unwrap());
    TextTokenizer::new(tokenizer, special, Some(source)).map_err(|e| e.to_string())
}

fn names(source: &str, name: &str) -> bool {
    let in_word = |sign: char| sign.is_alphanumeric() || sign == '_';
    source.match_indices(name).any(|(at, _)| {
        !source[..at].ends_with(in_word) && !source[at + name.len()..].starts_with(in_word)
    })
}

fn render(
    tokenizer: &TextTokenizer,
    source: &str,
    case: &Case,
    date: &str,
) -> Result<String, String> {
    let Json::Map(kwargs) = &case.kwargs else {
        panic!("kwargs are an object")
    };
    let kwargs = kwargs.iter().filter(|(name, _)| names(source, name));
    let options = ChatOptions {
        template_kwargs: kwargs.cloned().collect(),
        tools: case.tools.clone().filter(|_| names(source, "tools")),
        date: Some(date.to_owned()),
    };
    let tokenizer = tokenizer.clone().with_chat_options(options);
    let tokenizer = tokenizer.map_err(|e| e.to_string())?;
    let text = tokenizer.chat_text(&case.messages, case.add_generation_prompt);
    text.map_err(|e| e.to_string())
}

/// Counts of templates, conversations, matching refusals, and differences.
#[derive(Default)]
struct Count {
    templates: usize,
    texts: usize,
    refusals: usize,
    differ: Vec<String>,
}

fn compare(dir: &Path) -> Count {
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    let conversations: Conversations =
        serde_json::from_str(&read(&dir.join("conversations.json"))).unwrap();
    let mut paths: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(".expected.json"))
        .collect();
    paths.sort();
    let mut count = Count::default();
    for path in paths {
        let expected: Expected = serde_json::from_str(&read(&path)).unwrap();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        count.templates += 1;
        let tokenizer = tokenizer(&expected.source);
        let mut told = 0;
        for (index, case) in conversations.cases.iter().enumerate() {
            let got = match &tokenizer {
                Ok(tokenizer) => render(tokenizer, &expected.source, case, &conversations.date),
                Err(error) => Err(error.clone()),
            };
            let (right, error) = (&expected.texts[index], &expected.errors[index]);
            match (&got, right) {
                (Ok(got), Some(right)) if got == right => count.texts += 1,
                (Err(_), None) => count.refusals += 1,
                _ => {
                    told += 1;
                    let show =
                        format!("{name} {index}:\n  got   {got:?}\n  right {right:?} {error:?}");
                    count
                        .differ
                        .push(if told <= 3 { show } else { String::new() });
                }
            }
        }
    }
    count
}

fn check(dir: &Path) {
    let count = compare(dir);
    println!(
        "{} templates, {} texts equal, {} refusals agree, {} differ",
        count.templates,
        count.texts,
        count.refusals,
        count.differ.len()
    );
    assert!(count.templates > 0);
    let shown: Vec<&String> = count
        .differ
        .iter()
        .filter(|show| !show.is_empty())
        .collect();
    for show in shown.iter().take(60) {
        println!("{show}");
    }
    assert_eq!(count.differ.len(), 0);
}

#[test]
fn conversations_are_rendered_as_transformers_renders_them() {
    check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/templates"));
}

/// Tests the large set in the folder that `COLLIMATE_TEMPLATES` names.
#[test]
fn every_template_of_the_named_folder_agrees() {
    if let Some(dir) = std::env::var_os("COLLIMATE_TEMPLATES") {
        check(Path::new(&dir));
    }
}
