//! Rows with several right and wrong answers, as in RewardBench 2.

use super::*;

#[test]
fn the_best_of_several_answers_is_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let reward = fixture("llama-reward").display().to_string();
    let answers = [
        "the cat",
        "a bar",
        "the tea is",
        "bread and",
        "a cup",
        "he had it",
        "no",
        "so so",
    ];
    let list =
        |from: usize, n: usize| -> Vec<&str> { (from..from + n).map(|i| answers[i % 8]).collect() };
    let mut bench: Vec<Value> = (0..6)
        .map(|at| {
            let subset = if at < 4 { "Math" } else { "Focus" };
            json!({
                "id": at, "subset": subset, "prompt": format!("a {} ?", answers[at]), "num_correct": 1,
                "chosen": list(at, 1), "rejected": list(at + 1, 3),
            })
        })
        .collect();
    for (id, right, wrong) in [("tied:1", 2, 2), ("ref:1", 1, 3)] {
        bench.push(json!({
            "id": id, "subset": "Ties", "prompt": "a colour ?", "chosen": list(0, right),
            "rejected": list(4, wrong),
        }));
    }
    rows(&folder.join("bench.jsonl"), &bench);
    // Scores of every answer, computed by another command.
    let singles: Vec<Value> = bench
        .iter()
        .flat_map(|row| {
            let lists =
                [&row["chosen"], &row["rejected"]].map(|list| list.as_array().unwrap().clone());
            let prompt = row["prompt"].clone();
            lists
                .concat()
                .into_iter()
                .map(move |answer| json!({"prompt": prompt, "completion": answer}))
        })
        .collect();
    rows(&folder.join("singles.jsonl"), &singles);
    let told = succeed(
        "score",
        folder,
        &["--model", &reward, "--data", "singles.jsonl"],
    );
    let scores: Vec<f64> = text(&told.stdout)
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["score"]
                .as_f64()
                .unwrap()
        })
        .collect();
    succeed(
        "eval",
        folder,
        &[
            "pairs",
            "--data",
            "bench.jsonl",
            "--model",
            &reward,
            "--out",
            "out",
        ],
    );
    let summary = json(&folder.join("out/summary.json"));
    let kept = lines(&folder.join("out/scores.jsonl"));
    let mut scores = scores.into_iter();
    let mut found: Vec<(Vec<f64>, Vec<f64>)> = Vec::new();
    for (row, bench) in kept.iter().zip(&bench) {
        let mut take = |name: &str, of: &str| -> Vec<f64> {
            let expected: Vec<f64> = scores
                .by_ref()
                .take(bench[of].as_array().unwrap().len())
                .collect();
            for (found, expected) in row[name].as_array().unwrap().iter().zip(&expected) {
                near(found, *expected);
            }
            expected
        };
        let right = take("chosen_scores", "chosen");
        found.push((right, take("rejected_scores", "rejected")));
    }
    let right = |(right, wrong): &(Vec<f64>, Vec<f64>)| {
        f64::from(u8::from(wrong.iter().all(|w| w < &right[0])))
    };
    let math = found[..4].iter().map(right).sum::<f64>() / 4.0;
    let focus = found[4..6].iter().map(right).sum::<f64>() / 2.0;
    let bench2 = &summary["reward_bench_2"];
    near(&bench2["subsets"][0]["score"], math);
    near(&bench2["subsets"][1]["score"], focus);
    let ties = bench2["subsets"][2]["score"].as_f64().unwrap();
    near(&bench2["score"], (math + focus + ties) / 3.0);
    let worst = |scores: &[f64]| scores.iter().copied().fold(f64::MAX, f64::min);
    let best = |scores: &[f64]| scores.iter().copied().fold(f64::MIN, f64::max);
    let accurate = f64::from(u8::from(worst(&found[6].0) > best(&found[6].1)));
    near(&bench2["subsets"][2]["ties"]["tied_accuracy"], accurate);
    assert_eq!(bench2["complete"], false);
    let report = fs::read_to_string(folder.join("out/report.md")).unwrap();
    assert!(
        report.contains("mean of subsets")
            && report.contains("not comparable with the leaderboard"),
        "{report}"
    );
}

#[test]
fn wrong_lists_of_answers_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let reward = fixture("llama-reward").display().to_string();
    let good = json!({"prompt": "q", "chosen": ["a"], "rejected": ["b", "c"], "subset": "Math"});
    rows(&folder.join("good.jsonl"), std::slice::from_ref(&good));
    rows(
        &folder.join("empty.jsonl"),
        &[
            good.clone(),
            json!({"prompt": "q", "chosen": ["a"], "rejected": []}),
        ],
    );
    rows(
        &folder.join("text.jsonl"),
        &[
            good,
            json!({"prompt": "q", "chosen": ["a", 2], "rejected": ["b"]}),
        ],
    );
    let refuse = |file: &str, more: &[&str], says: &[&str]| {
        let data = ["pairs", "--data", file, "--model", &reward];
        refused(folder, &[&data[..], more].concat(), says);
    };
    refuse(
        "empty.jsonl",
        &[],
        &["empty.jsonl:2", "`rejected` has no answer"],
    );
    refuse(
        "text.jsonl",
        &[],
        &["text.jsonl:2", "`chosen[1]` is empty or not a text"],
    );
    refuse(
        "good.jsonl",
        &["--by", "subset"],
        &["--by", "has lists of answers"],
    );
    refuse("good.jsonl", &["--on-bad-row", "drop"], &["--on-bad-row"]);
}
