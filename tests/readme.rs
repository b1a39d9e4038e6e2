//! The README agrees with the program.

mod common;

use std::fs;

use common::{fixture, root, rows, succeed, text, write_rows};

// The library example of the READMEs, word for word.
use collimate::prelude::*;
use std::path::Path;

fn dpo(base: &Path, pairs: &Path, out: &Path) -> Result<String, collimate::Error> {
    // Model, tokenizer and end tokens of one Hugging Face folder.
    let start = Pretrained::<Llama>::from_folder(base, &Device::flex())?;
    let (rows, read) = read_pairs(pairs, &ReadOptions::default())?;
    let (ids, encoded) = start.encode_pairs(&rows)?;
    println!("{read}\n{encoded}"); // rows that were dropped or cut, with reasons

    let reference = Reference::Model(start.model.clone());
    let objective = DirectObjective::new(ids, vec![], Dpo::default(), reference, 4096)?;
    let options = TrainConfig {
        learning_rate: 1e-5,
        epochs: 3.0,
        ..TrainConfig::default()
    };
    let context = FitContext::default(); // no checkpoints, progress on standard error
    let fitted = fit(start.model.clone(), &objective, &options, &context)?;
    let aligned = start.with_model(fitted.model);
    aligned.save(out)?;

    let prompts = [Prompt::from("Once upon a time")];
    let sampling = Sampling {
        max_new_tokens: 32,
        ..Sampling::default()
    };
    let answers = aligned.generator().generate(&prompts, &sampling)?;
    Ok(answers[0][0].text.clone())
}
// End of the example.

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

/// Returns the first Rust block of a README.
fn block(readme: &str) -> &str {
    let start = readme.split_once("```rust\n").expect("a Rust block").1;
    start.split_once("```").unwrap().0
}

#[test]
fn both_readmes_show_the_example_that_is_run_here() {
    let source = include_str!("readme.rs");
    let (_, rest) = source.split_once("word for word.\n").unwrap();
    let (example, _) = rest.split_once("// End of the example.").unwrap();
    assert_eq!(block(&readme()), example);
    let of_crate = fs::read_to_string(root().join("crates/collimate/README.md")).unwrap();
    assert_eq!(block(&of_crate), example);
}

#[test]
fn the_example_aligns_saves_and_answers() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("pairs.jsonl");
    write_rows(&data, &rows(40));
    let (base, out) = (fixture("llama-untied"), folder.path().join("model"));
    // What a model with random weights answers, if anything, does not matter.
    dpo(&base, &data, &out).unwrap();
    let load = |dir: &Path| Pretrained::<Llama>::from_folder(dir, &Device::flex()).unwrap();
    let (start, saved) = (load(&base), load(&out));
    assert_eq!(saved.max_length, start.max_length);
    let (pairs, _) = read_pairs(&data, &ReadOptions::default()).unwrap();
    let (ids, _) = saved.encode_pairs(&pairs).unwrap();
    let margins = |model: &Llama| -> f32 {
        let logps = pair_logps(model, &ids, Forward::EVAL, 4096).unwrap();
        logps.iter().map(|logp| logp.chosen - logp.rejected).sum()
    };
    assert!(margins(&saved.model) > margins(&start.model));
}

/// The lines of a page's blocks that give options to the program, without the program's name.
fn commands(page: &str) -> impl Iterator<Item = &str> {
    let lines = page.lines().filter(|line| line.contains(" --"));
    lines.filter_map(|line| line.strip_prefix("collimate "))
}

#[test]
fn options_in_the_readme_exist() {
    let folder = tempfile::tempdir().unwrap();
    let readme = readme();
    let mut checked = 0;
    for line in commands(&readme) {
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        let (name, rest) = words.split_first().unwrap();
        // Some commands have commands of their own.
        let inner = rest
            .iter()
            .take_while(|word| word.chars().all(|c| c.is_ascii_lowercase()));
        let inner: Vec<&str> = match *name {
            "eval" | "data" | "config" => inner.copied().take(1).collect(),
            _ => Vec::new(),
        };
        let asked = [&inner[..], &["--help"]].concat();
        let help = text(&succeed(name, folder.path(), &asked).stdout);
        for option in rest.iter().filter(|word| word.starts_with("--")) {
            let option = option.split('=').next().unwrap_or_default();
            assert!(help.contains(option), "{name} has no {option}");
            checked += 1;
        }
    }
    assert!(checked >= 4, "{checked}");
}

#[test]
fn examples_in_the_readme_exist() {
    let readme = readme();
    assert!(
        !readme.contains("--example ser -- "),
        "examples take no options"
    );
    for word in readme.split("--example ").skip(1) {
        let ends = |c: char| !(c.is_ascii_lowercase() || c == '_');
        let name = word.split(ends).next().unwrap_or_default();
        let path = root().join("examples").join(name).with_extension("rs");
        assert!(path.exists(), "there is no example {name}");
    }
}

#[test]
fn the_papers_settings_are_a_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let page = fs::read_to_string(root().join("docs/methods/paper-index.md")).unwrap();
    let block = page.split_once("```json\n").unwrap().1;
    let (block, _) = block.split_once("```").unwrap();
    fs::write(folder.path().join("paper.json"), block).unwrap();
    let model = fixture("llama-reward").display().to_string();
    let data = ["--data", "pairs.jsonl", "--simulate", "--model", &model];
    let arguments = [&data[..], &["--config", "paper.json", "--print-config"]].concat();
    let printed = text(&succeed("ser", folder.path(), &arguments).stdout);
    let mut printed: serde_json::Value = serde_json::from_str(&printed).unwrap();
    let given: serde_json::Value = serde_json::from_str(block).unwrap();
    let before = printed.clone();
    merge(&mut printed, &given);
    assert_eq!(
        printed, before,
        "a setting of the page does not reach the run"
    );
}

/// Merges `over` into `base`, key by key.
fn merge(base: &mut serde_json::Value, over: &serde_json::Value) {
    match (base.as_object_mut(), over.as_object()) {
        (Some(base), Some(over)) => {
            for (key, value) in over {
                merge(base.entry(key).or_insert(serde_json::Value::Null), value);
            }
        }
        _ => *base = over.clone(),
    }
}

#[test]
fn paths_in_the_readme_exist() {
    let readme = readme();
    let crates: Vec<_> = fs::read_dir(root().join("crates")).unwrap().collect();
    for folder in crates {
        let name = folder.unwrap().file_name().into_string().unwrap();
        assert!(
            readme.contains(&format!("{name} ")),
            "the tree leaves out {name}"
        );
    }
    for link in readme
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
    {
        if link.starts_with("http") {
            continue;
        }
        let (file, place) = link.split_once('#').unwrap_or((link, ""));
        let target = fs::read_to_string(root().join(file));
        let target = target.unwrap_or_else(|error| panic!("{link}: {error}"));
        let is_place = |line: &str| line.starts_with('#') && anchor(line) == place;
        assert!(place.is_empty() || target.lines().any(is_place), "{link}");
    }
}

/// Returns the name by which a heading is linked.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}
