//! Judgements of files of ranked answers, kept if they follow the ranks.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::common::{json, run, succeed, text, write_rows};
use crate::{count, rows, share, tiny};

/// Makes lists of candidates, ranked by the scores that the model gave them. The reader leaves out
/// texts that are unfinished or occur twice.
fn ranked(world: &Path) -> Vec<String> {
    let candidates = rows(&world.join("m1/candidates.jsonl"));
    let grades = rows(&world.join("m1/judgements.jsonl"));
    let list = |(row, grades): (&Value, &Value)| {
        let answers = row["candidates"].as_array().unwrap().iter();
        let scored = answers.zip(grades["grades"].as_array().unwrap());
        let scored: Vec<(Value, f64)> = scored
            .filter_map(|(answer, grade)| Some((answer["text"].clone(), grade["score"].as_f64()?)))
            .take(3)
            .collect();
        let (responses, scores): (Vec<Value>, Vec<f64>) = scored.into_iter().unzip();
        json!({"prompt": row["prompt"], "responses": responses, "scores": scores}).to_string()
    };
    candidates.iter().zip(&grades).map(list).collect()
}

#[test]
fn judgements_are_kept_where_they_follow_the_ranks() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let gold = json!({
        "eft_source": "gold", "seed_data": {"judgements": 500}, "recipe": {"compare": [], "iterations": 1, "tasks": {"per_iteration": 60}},
    });
    let config = tiny(folder, gold);
    succeed(
        "self-rewarding",
        folder,
        &["--config", &config, "--out", "world"],
    );
    let world = json(&folder.join("world/config.json"));
    let summary = json(&folder.join("world/summary.json"));
    assert!(summary["eft"].is_null(), "taught by the true reward");
    assert_eq!(summary["seed_data"]["eft"], 500);
    assert!(!folder.join("world/eft").exists());
    write_rows(&folder.join("ranked.jsonl"), &ranked(&folder.join("world")));
    let prompts: Vec<String> = rows(&folder.join("world/answers/sft.jsonl"))
        .iter()
        .map(|row| json!({"prompt": row["prompt"]}).to_string())
        .collect();
    write_rows(&folder.join("prompts.jsonl"), &prompts);
    let options = json!({
        "recipe": {
            "rubric": world["recipe"]["rubric"],
            "judge": {"sampling": {"max_new_tokens": 16}, "style": "text", "min_parse_rate": 0.1},
            "tasks": {
                "template": world["recipe"]["tasks"]["template"],
                "per_iteration": 10,
                "sampling": {"max_new_tokens": 20, "temperature": 1.0, "top_p": 1.0},
            },
        },
    });
    fs::write(folder.join("own.json"), options.to_string()).unwrap();
    let own = [
        "--config",
        "own.json",
        "--model",
        "world/models/m1",
        "--seed-prompts",
        "prompts.jsonl",
        "--ranked",
        "ranked.jsonl",
        "--max-length",
        "128",
        "--response-tokens",
        "20",
        "--iterations",
        "1",
        "--compare",
        "none",
        "--lr",
        "1e-4",
        "--sft-lr",
        "1e-4",
    ];
    let into =
        |out: &'static str, more: &[&'static str]| [&own[..], &["--out", out], more].concat();
    succeed("self-rewarding", folder, &into("own", &[]));
    let summary = json(&folder.join("own/summary.json"));
    let eft = &summary["eft"];
    assert_eq!(
        (&eft["from"], &eft["judge"]),
        (&json!("judged"), &json!("sft"))
    );
    let made = rows(&folder.join("own/eft/judgements.jsonl"));
    let test = rows(&folder.join("own/rank_test/m1.jsonl"));
    let sum = made.len() + test.len();
    assert!(
        test.len() * 20 > sum && test.len() * 2 < sum,
        "about a quarter: {} of {sum}",
        test.len()
    );
    let held_out: Vec<&Value> = test.iter().map(|row| &row["prompt"]).collect();
    let (mut kept, mut scores) = (0, HashMap::new());
    for row in &made {
        assert!(!held_out.contains(&&row["prompt"]));
        let merits: Vec<f64> = row["merits"]
            .as_array()
            .unwrap()
            .iter()
            .map(|m| m.as_f64().unwrap())
            .collect();
        let grades = row["grades"].as_array().unwrap();
        // Judged three times; by hand, the first judgement in which all scores follow the merits.
        let follows = |sample: usize| -> Option<Vec<f64>> {
            let vote = |grade: &Value| grade["votes"][sample]["score"].as_f64();
            let found: Vec<f64> = grades.iter().map(vote).collect::<Option<_>>()?;
            let pairs = (0..found.len()).flat_map(|i| (0..found.len()).map(move |j| (i, j)));
            let right = pairs
                .filter(|&(i, j)| merits[i] > merits[j])
                .all(|(i, j)| found[i] > found[j]);
            right.then_some(found)
        };
        let expected = (0..3).find_map(follows);
        let found: Option<Vec<f64>> = row["kept"]
            .as_array()
            .map(|kept| kept.iter().map(|k| k[1].as_f64().unwrap()).collect());
        assert_eq!(found, expected);
        assert_eq!(found.is_none(), row["refused"].is_string());
        for score in found.iter().flatten() {
            *scores.entry(score.to_string()).or_insert(0) += 1;
        }
        kept += usize::from(found.is_some());
    }
    assert!(kept > 0 && kept < made.len(), "{kept} of {}", made.len());
    assert_eq!(
        (count(&eft["lists"]), count(&eft["kept"])),
        (made.len(), kept)
    );
    let dropped = eft["dropped"].as_object().unwrap().values().map(count);
    assert_eq!(dropped.sum::<usize>(), made.len() - kept);
    // The most common score was thinned to the frequency of the second.
    let mut counts: Vec<usize> = scores.values().copied().collect();
    counts.sort_unstable();
    let all: usize = counts.iter().sum();
    let gone = counts.len() > 1;
    let thinned = if gone {
        counts[counts.len() - 1] - counts[counts.len() - 2]
    } else {
        0
    };
    assert_eq!(
        (count(&eft["thinned"]), count(&eft["examples"])),
        (thinned, all - thinned)
    );
    assert_eq!(count(&summary["seed_data"]["eft"]), all - thinned);
    share(&summary["judge"]["ranks"]["pairwise"]["m2"]);
    // Another model as the judge, and the ranks alone.
    let judge = ["--eft-judge", "world/models/m1", "--eft-order", "weak"];
    succeed("self-rewarding", folder, &into("judged", &judge));
    let weak = json(&folder.join("judged/summary.json"));
    let name = weak["eft"]["judge"].as_str().unwrap();
    assert!(name.starts_with("world/models/m1 ("), "{name}");
    assert!(
        count(&weak["eft"]["kept"]) >= kept,
        "the weak rule keeps more"
    );
    let map = ["--eft-from", "rank_map", "--rank-test", "ranked.jsonl"];
    let output = run("self-rewarding", folder, &into("map", &map));
    let error = text(&output.stderr);
    assert!(error.contains("lists have a prompt of --ranked"), "{error}");
    let both = ["--eft-from", "rank_map", "--eft-judge", "world/models/m1"];
    let output = run("self-rewarding", folder, &into("both", &both));
    let error = text(&output.stderr);
    assert!(error.contains("eft.from is rank_map"), "{error}");
}
