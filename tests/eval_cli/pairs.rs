//! Accuracy on pairs.

use super::*;

/// Writes pairs in RewardBench's layout.
pub(crate) fn bench(folder: &Path) {
    let texts = [
        "the cat",
        "a bar",
        "the tea is",
        "bread and",
        "a cup",
        "he had it",
        "no",
        "so so",
    ];
    let subsets = [
        "math-prm",
        "hep-cpp",
        "hep-go",
        "math-prm",
        "donotanswer",
        "mine",
        "hep-go",
        "hep-go",
    ];
    let all: Vec<Value> = subsets
        .iter()
        .enumerate()
        .map(|(index, subset)| {
            let (chosen, rejected) = (texts[index], texts[(index + 3) % texts.len()]);
            json!({
                "prompt": format!("a {} ?", texts[(index + 1) % texts.len()]), "chosen": chosen,
                "rejected": rejected, "subset": subset, "id": index,
            })
        })
        .collect();
    rows(&folder.join("bench.jsonl"), &all);
}

/// Returns 1, ½ or 0 for each pair, from columns that the command `score` writes.
fn right(rows: &[Value], reward: impl Fn(&Value, &str) -> f64) -> Vec<f64> {
    rows.iter()
        .map(
            |row| match reward(row, "chosen") - reward(row, "rejected") {
                gap if gap > 0.0 => 1.0,
                gap if gap < 0.0 => 0.0,
                _ => 0.5,
            },
        )
        .collect()
}

fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.into_iter().collect();
    values.iter().sum::<f64>() / values.len() as f64
}

#[test]
fn pairs_by_a_reward_model_in_rewardbench_s_layout() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    bench(folder);
    let model = fixture("llama-reward").display().to_string();
    let data = ["--data", "bench.jsonl", "--model", &model];
    succeed(
        "score",
        folder,
        &[&data[..], &["--out", "scores.jsonl"]].concat(),
    );
    let score = |row: &Value, side: &str| row[format!("{side}_score")].as_f64().unwrap();
    let right = right(&lines(&folder.join("scores.jsonl")), score);
    // An arbitrary model is neither always right nor always wrong.
    assert!(right.contains(&1.0) && right.contains(&0.0), "{right:?}");

    let output = succeed(
        "eval",
        folder,
        &[&["pairs"], &data[..], &["--out", "out"]].concat(),
    );
    let shown = text(&output.stdout);
    assert!(
        shown.contains("mine (no section)") && shown.contains("hep-go (Reasoning)"),
        "{shown}"
    );
    assert!(shown.contains("2 of 4 sections"), "{shown}");
    let summary = json(&folder.join("out/summary.json"));
    near(&summary["accuracy"]["accuracy"], mean(right.clone()));
    near(&summary["interval"]["estimate"], mean(right.clone()));
    let printed = [&["pairs"], &data[..], &["--json"]].concat();
    let printed: Value =
        serde_json::from_str(&text(&succeed("eval", folder, &printed).stdout)).unwrap();
    assert_eq!(printed, summary);
    // Rows that are cut are scored as by `score`.
    let cut = [&data[..], &["--max-length", "8"]].concat();
    succeed(
        "score",
        folder,
        &[&cut[..], &["--out", "cut.jsonl"]].concat(),
    );
    succeed(
        "eval",
        folder,
        &[&["pairs"], &cut[..], &["--out", "cut"]].concat(),
    );
    let (by_score, by_eval) = (folder.join("cut.jsonl"), folder.join("cut/scores.jsonl"));
    for (one, other) in lines(&by_score).iter().zip(&lines(&by_eval)) {
        for side in ["chosen_score", "rejected_score"] {
            assert_eq!(one[side], other[side], "{side}");
        }
    }
    let bench = &summary["reward_bench"];
    assert_eq!(bench["sections"][0]["section"], "Safety");
    near(&bench["sections"][0]["score"], right[4]);
    // Mathematics is one half, and code by its pairs the other half.
    let code = mean([right[1], right[2], right[6], right[7]]);
    let reasoning = (mean([right[0], right[3]]) + code) / 2.0;
    near(&bench["sections"][1]["score"], reasoning);
    near(&bench["score"], (right[4] + reasoning) / 2.0);
    let by: Vec<(&Value, &Value)> = summary["by"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (&row["name"], &row["accuracy"]["pairs"]))
        .collect();
    assert_eq!(by[2], (&json!("hep-go"), &json!(3)));
    let longer = &summary["by_length"]["chosen_longer"]["pairs"];
    let shorter = &summary["by_length"]["chosen_shorter"]["pairs"];
    // By hand, with chosen and the text three places on: 7/9, 5/5, 10/9, 9/2, 5/5, 9/7, 2/5, 5/10.
    assert_eq!((longer, shorter), (&json!(3), &json!(3)));
    let longer = &summary["by_length"]["chosen_longer"]["accuracy"];
    near(longer, mean([right[2], right[3], right[5]]));
    assert_eq!(
        lines(&folder.join("out/scores.jsonl"))[4]["label"],
        "donotanswer"
    );
}

#[test]
fn pairs_by_a_language_model() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    bench(folder);
    let model = fixture("llama-gqa-tied").display().to_string();
    let other = fixture("llama-untied").display().to_string();
    let score = |model: &str, out: &str| {
        let arguments = [
            "--logprobs",
            "--data",
            "bench.jsonl",
            "--model",
            model,
            "--out",
            out,
        ];
        succeed("score", folder, &arguments);
        lines(&folder.join(out))
    };
    let (own, reference) = (score(&model, "own.jsonl"), score(&other, "other.jsonl"));
    let get = |row: &Value, side: &str, what: &str| row[format!("{side}_{what}")].as_f64().unwrap();
    let eval = |more: &[&str], out: &str| {
        let arguments = [
            "pairs",
            "--data",
            "bench.jsonl",
            "--model",
            &model,
            "--by",
            "id",
        ];
        let output = succeed(
            "eval",
            folder,
            &[&arguments[..], more, &["--out", out]].concat(),
        );
        (
            text(&output.stdout),
            json(&folder.join(out).join("summary.json")),
        )
    };
    let (shown, summary) = eval(&[], "alone");
    assert!(shown.contains("mean log pi(y|x) per token"), "{shown}");
    let expected = right(&own, |row, side| {
        get(row, side, "logps") / get(row, side, "tokens")
    });
    near(&summary["accuracy"]["accuracy"], mean(expected));
    // Another column has no sections.
    assert_eq!(summary["column"], "id");
    assert!(summary["reward_bench"].is_null() && summary["by"].as_array().unwrap().len() == 8);

    let (shown, summary) = eval(&["--reference", &other], "implicit");
    assert!(shown.contains("log pi_ref(y|x)"), "{shown}");
    let both: Vec<Value> = own
        .iter()
        .zip(&reference)
        .map(|(own, other)| json!([own, other]))
        .collect();
    let expected = right(&both, |row, side| {
        get(&row[0], side, "logps") - get(&row[1], side, "logps")
    });
    near(&summary["accuracy"]["accuracy"], mean(expected));
    // A model compared with itself ties on every pair.
    let (_, summary) = eval(&["--reference", &model], "itself");
    assert_eq!(summary["accuracy"]["ties"], 8);
    near(&summary["accuracy"]["accuracy"], 0.5);
}
