//! The README agrees with the program.

mod common;

use std::fs;

use common::{fixture, root, rows, succeed, text, write_rows};

// The library example of the READMEs, word for word.
use collimate::eval::pairwise_accuracy;
use collimate::prelude::*;
use std::path::Path;

fn reward_model(base: &Path, data: &Path, out: &Path) -> Result<f64, collimate::Error> {
    // Model, tokenizer and end tokens of one folder; a base model gets a fresh reward head.
    let device = Device::flex();
    let load = |dir: &Path| RewardModel::<Llama>::load_or_fresh(dir, Key::new(0, "head"), &device);
    let start = Pretrained::from_folder_with(base, load)?.with_max_length(64);

    let (pairs, read) = read_pairs(data, &ReadOptions::default())?;
    let (ids, encoded) = start.encode_pairs(&pairs)?;
    println!("{read}\n{encoded}"); // rows that were dropped or cut, with reasons

    let objective = RewardObjective::new(ids.clone(), vec![], PairwiseLoss::default(), 4096)?;
    let options = TrainConfig {
        learning_rate: 1e-3,
        epochs: 8.0,
        ..TrainConfig::default()
    };
    let train = |model| fit(model, &objective, &options, &FitContext::silent());
    let trained = start.try_map(|model| train(model).map(|fitted| fitted.model))?;
    trained.save(out)?;
    Ok(pairwise_accuracy(&score_pairs(&trained.model, &ids, 4096)?)?.accuracy)
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
fn the_example_learns() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("pairs.jsonl");
    write_rows(&data, &rows(40));
    let out = folder.path().join("model");
    let accuracy = reward_model(&fixture("llama-untied"), &data, &out).unwrap();
    assert!(accuracy > 0.9, "{accuracy}");
    let saved = Pretrained::<RewardModel<Llama>>::from_folder(&out, &Device::flex()).unwrap();
    assert_eq!(saved.max_length, 64);
}

#[test]
fn options_in_the_readme_exist() {
    let folder = tempfile::tempdir().unwrap();
    let readme = readme();
    let mut checked = 0;
    for name in ["ser", "score"] {
        let help = text(&succeed(name, folder.path(), &["--help"]).stdout);
        for line in readme
            .lines()
            .filter(|l| l.contains(&format!("--example {name}")))
        {
            let options = line.split_once(" -- ").map_or("", |(_, options)| options);
            for option in options.split_whitespace().filter(|o| o.starts_with("--")) {
                assert!(help.contains(option), "{name} has no {option}");
                checked += 1;
            }
        }
    }
    assert!(checked >= 6, "{checked}");
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
