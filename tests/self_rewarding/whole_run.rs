//! Messages and files of a whole run.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::common::{files, json, succeed, text, write_rows};
use crate::{count, rows, share, tiny};

#[test]
fn a_run_says_everything() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let config = tiny(folder, json!({"recipe": {"accumulate": true}}));
    succeed(
        "self-rewarding",
        folder,
        &["--config", &config, "--out", "run"],
    );
    let run = folder.join("run");
    let summary = json(&run.join("summary.json"));
    for pair in ["m1_vs_sft", "m2_vs_m1", "m3_vs_m2", "m3_vs_sft"] {
        share(&summary["win_rate"][pair]);
        let counts = summary["comparisons"][pair]["counts"].as_array().unwrap();
        assert_eq!(counts.iter().map(count).sum::<usize>(), 24, "{pair}");
    }
    for model in ["m1", "m2", "m3"] {
        share(&summary["judge"]["parse_rate"][model]);
        share(&summary["judge"]["agreement"][model]);
        assert!(summary["tax"][model].is_f64());
        assert_eq!(
            summary["judge"]["tests"][model]["judgements"],
            2 * 16 * 3,
            "three of each answer"
        );
    }
    ranks_are_learnt_from_and_measured(&run, &summary);
    assert_eq!(summary["tax"]["sft"], 0.0);
    assert!(summary["judge"]["parse_rate"]["sft"].is_null());
    let held_out: HashSet<String> = ["answers/m1", "judge_test/m1"]
        .iter()
        .flat_map(|name| rows(&run.join(format!("{name}.jsonl"))))
        .map(|row| row["prompt"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(held_out.len(), 24 + 16);
    let mut posed = HashSet::new();
    let mut judge_pairs = 0;
    for (t, iteration) in summary["iterations"].as_array().unwrap().iter().enumerate() {
        let made = run.join(format!("m{}", t + 1));
        let tasks = rows(&made.join("tasks.jsonl"));
        let kept: Vec<&Value> = tasks.iter().filter(|r| r["refused"].is_null()).collect();
        assert_eq!(tasks.len(), count(&iteration["tasks"]["written"]));
        assert_eq!(kept.len(), count(&iteration["tasks"]["kept"]));
        for row in &kept {
            let prompt = row["prompt"].as_str().unwrap();
            assert!(posed.insert(prompt.to_owned()), "{prompt} twice");
            assert!(!held_out.contains(prompt), "{prompt} is held out");
        }
        let candidates = rows(&made.join("candidates.jsonl"));
        assert_eq!(candidates.len(), kept.len());
        assert_eq!(
            4 * candidates.len(),
            count(&iteration["candidates"]["written"])
        );
        let grades = rows(&made.join("judgements.jsonl"));
        let votes: Vec<Value> = grades
            .iter()
            .flat_map(|row| row["grades"].as_array().unwrap().clone())
            .filter(|grade| !grade.is_null())
            .flat_map(|grade| grade["votes"].as_array().unwrap().clone())
            .collect();
        assert_eq!(count(&iteration["judged"]["judgements"]), votes.len());
        let parsed = votes.iter().filter(|vote| vote["score"].is_f64());
        assert_eq!(count(&iteration["judged"]["parsed"]), parsed.count());
        // Pairs of highest against lowest, by hand.
        let mut expected = Vec::new();
        for (row, grades) in candidates.iter().zip(&grades) {
            let scores: Vec<(usize, f64)> = grades["grades"]
                .as_array()
                .unwrap()
                .iter()
                .enumerate()
                .filter_map(|(at, grade)| Some((at, grade["score"].as_f64()?)))
                .collect();
            let best = scores
                .iter()
                .rev()
                .max_by(|a, b| a.1.total_cmp(&b.1))
                .copied();
            let worst = scores.iter().min_by(|a, b| a.1.total_cmp(&b.1)).copied();
            let (Some(best), Some(worst)) = (best, worst) else {
                continue;
            };
            let text = |at: usize| row["candidates"][at]["text"].clone();
            if best.1 > worst.1 && text(best.0) != text(worst.0) {
                expected.push((row["prompt"].clone(), text(best.0), text(worst.0)));
            }
        }
        let pairs = rows(&made.join("pairs-judge.jsonl"));
        let found: Vec<_> = pairs
            .iter()
            .map(|p| {
                (
                    p["prompt"].clone(),
                    p["chosen"].clone(),
                    p["rejected"].clone(),
                )
            })
            .collect();
        assert_eq!(found, expected);
        let branches = iteration["branches"].as_array().unwrap();
        let sources: Vec<&str> = branches
            .iter()
            .map(|b| b["source"].as_str().unwrap())
            .collect();
        assert_eq!(sources, ["judge", "implicit_reward", "evaluator"]);
        for branch in branches {
            assert_eq!(branch["steps"], branches[0]["steps"], "equal steps");
            let pairs = count(&branch["pairs"]);
            // Earlier pairs are the judge's.
            assert_eq!(count(&branch["trained_pairs"]), pairs + judge_pairs);
            share(&branch["agreement"]["same_sign"]);
        }
        // For the prompts with a pair from every branch, each branch counts the same number.
        let common = branches[0]["agreement_in_common"][1].clone();
        assert!(
            branches
                .iter()
                .all(|b| b["agreement_in_common"][1] == common)
        );
        // The gold reward agrees with itself.
        assert_eq!(branches[2]["agreement"]["same_sign"], 1.0);
        judge_pairs += pairs.len();
    }
    implicit_rewards_are_log_ratios_to_m1(folder, &run);
    for model in [
        "sft",
        "m1",
        "m2",
        "m3",
        "m2-implicit_reward",
        "m3-evaluator",
    ] {
        assert!(
            run.join(format!("models/{model}/model.safetensors"))
                .exists(),
            "{model}"
        );
    }
    let report = fs::read_to_string(run.join("report.md")).unwrap();
    for part in [
        "The judgements were made from 125 lists with 500 ranked answers in all. A fixed map",
        "## Judges against rankings",
        "plots/judge_ranks.svg",
        "## Models",
        "## Judges",
        "## Iterations",
        "## Pairs",
        "## Curves",
        "## Answers",
        "| m3 against m2 ",
        "plots/judges.svg",
        "plots/rewards_m2.svg",
    ] {
        assert!(report.contains(part), "{part}");
    }
    // A finished run changes nothing.
    let before = files(&run);
    succeed("self-rewarding", folder, &["--resume", "--out", "run"]);
    assert!(before == files(&run));
}

/// Four answers to each prompt: the annotator's ranks become scores, and the models judge lists
/// whose order by gold reward is known.
fn ranks_are_learnt_from_and_measured(run: &Path, summary: &Value) {
    let made = rows(&run.join("eft/judgements.jsonl"));
    assert_eq!(made.len(), 125, "500 judgements");
    for row in &made {
        let kept = row["kept"].as_array().unwrap();
        // Best first: quantiles 7/8, 5/8, 3/8 and 1/8 of six scores.
        let texts: Vec<&str> = kept.iter().map(|k| k[0].as_str().unwrap()).collect();
        assert_eq!(texts, ["Score: 5", "Score: 3", "Score: 2", "Score: 0"]);
    }
    let eft = &summary["eft"];
    assert_eq!(
        (&eft["from"], &eft["judge"]),
        (&json!("rank_map"), &Value::Null)
    );
    assert_eq!(
        (&eft["lists"], &eft["kept"], &eft["examples"]),
        (&json!(125), &json!(125), &json!(500))
    );
    assert_eq!(
        eft["scores"],
        json!({"0": 125, "2": 125, "3": 125, "5": 125})
    );
    assert_eq!(summary["seed_data"]["eft"], 500);
    for model in ["m1", "m2", "m3"] {
        let lists = rows(&run.join(format!("rank_test/{model}.jsonl")));
        assert_eq!(lists.len(), 16);
        // Pairs by hand.
        let (mut right, mut pairs) = (0.0, 0.0);
        for list in &lists {
            let merit = |i: usize| list["merits"][i].as_f64().unwrap();
            let score = |i: usize| list["grades"][i]["score"].as_f64();
            for (i, j) in (0..4).flat_map(|i| (0..4).map(move |j| (i, j))) {
                if let (Some(better), Some(worse)) = (score(i), score(j))
                    && merit(i) > merit(j)
                {
                    pairs += 1.0;
                    right += if better > worse {
                        1.0
                    } else {
                        f64::from(u8::from(better == worse)) / 2.0
                    };
                }
            }
        }
        let ranks = &summary["judge"]["ranks"];
        let found = share(&ranks["pairwise"][model]);
        assert!(
            (found - right / pairs).abs() < 1e-12,
            "{found} {right} {pairs}"
        );
        share(&ranks["exact_match"][model]);
        assert_eq!(ranks["tests"][model]["judgements"], 16 * 4 * 3);
    }
    assert!(summary["judge"]["ranks"]["pairwise"]["sft"].is_null());
}

/// The second iteration's rewards are recomputed from log-probabilities of the saved models.
fn implicit_rewards_are_log_ratios_to_m1(folder: &Path, run: &Path) {
    let candidates = rows(&run.join("m2/candidates.jsonl"));
    let rewards = rows(&run.join("m2/implicit_rewards.jsonl"));
    let (mut asked, mut expected) = (Vec::new(), Vec::new());
    for (row, rewards) in candidates.iter().zip(&rewards).take(8) {
        let answers = row["candidates"].as_array().unwrap();
        for (answer, reward) in answers.iter().zip(rewards.as_array().unwrap()) {
            if let Some(reward) = reward.as_f64() {
                let line = json!({"prompt": row["prompt"], "completion": answer["text"]});
                asked.push(line.to_string());
                expected.push(reward);
            }
        }
    }
    assert!(expected.len() > 4, "{}", expected.len());
    write_rows(&folder.join("asked.jsonl"), &asked);
    let logps = |model: &str| -> Vec<f64> {
        let dir = run.join("models").join(model).display().to_string();
        let arguments = ["--logprobs", "--model", &dir, "--data", "asked.jsonl"];
        let output = succeed("score", folder, &arguments);
        text(&output.stdout)
            .lines()
            .map(|line| {
                serde_json::from_str::<Value>(line).unwrap()["logps"]
                    .as_f64()
                    .unwrap()
            })
            .collect()
    };
    let (m2, m1) = (logps("m2"), logps("m1"));
    for (index, expected) in expected.iter().enumerate() {
        let found = m2[index] - m1[index];
        assert!((found - expected).abs() < 1e-3, "{found} {expected}");
    }
}
