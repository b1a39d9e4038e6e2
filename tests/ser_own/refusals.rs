//! Labels and pools that cannot be used are refused with one line each, and nothing is left behind.

use super::*;

#[test]
fn refusals_are_one_line() {
    let (_place, folder) = workplace();
    let labels = lines(&folder.join("labels.jsonl"));
    let rows: Vec<String> = labels.iter().map(Value::to_string).collect();
    write_rows(&folder.join("five.jsonl"), &rows[..5]);
    let swapped = |row: &Value| json!({"prompt": row["prompt"], "chosen": row["rejected"], "rejected": row["chosen"]});
    let both: Vec<String> = labels
        .iter()
        .chain(&labels.iter().map(swapped).collect::<Vec<_>>())
        .map(Value::to_string)
        .collect();
    write_rows(&folder.join("both.jsonl"), &both);
    let pool = fs::read_to_string(folder.join("pool.jsonl")).unwrap();
    fs::write(folder.join("one.jsonl"), pool.lines().next().unwrap()).unwrap();
    fs::write(folder.join("empty.jsonl"), "").unwrap();
    write_rows(&folder.join("same.jsonl"), &unlabelled_rows(&labels));
    fs::write(
        folder.join("strange.jsonl"),
        "{\"text\": \"q\", \"other\": \"r\"}\n",
    )
    .unwrap();
    fs::write(
        folder.join("mixed.jsonl"),
        pool.clone() + "{\"prompt\": \"why ?\"}\n",
    )
    .unwrap();
    let base = "base/sft";
    let cases: &[(&[&str], &[&str])] = &[
        (
            &[
                "--labelled",
                "five.jsonl",
                "--unlabelled",
                "pool.jsonl",
                "--model",
                base,
            ],
            &[
                "--labelled: 5 labelled pairs are too few",
                "at least 20",
                "collimate label --from pool.jsonl",
            ],
        ),
        (
            &[
                "--labelled",
                "both.jsonl",
                "--unlabelled",
                "pool.jsonl",
                "--model",
                base,
            ],
            &["--labelled: 0 labelled pairs are too few (labelled both ways equally often: 60)"],
        ),
        (
            &[
                "--labelled",
                "labels.jsonl",
                "--unlabelled",
                "one.jsonl",
                "--model",
                base,
            ],
            &["--unlabelled: pairs left to label: 1:", "at least 2"],
        ),
        (
            &[
                "--labelled",
                "labels.jsonl",
                "--unlabelled",
                "empty.jsonl",
                "--model",
                base,
            ],
            &["empty.jsonl", "is empty"],
        ),
        (
            &[
                "--labelled",
                "labels.jsonl",
                "--unlabelled",
                "same.jsonl",
                "--model",
                base,
            ],
            &["pairs left to label: 0", "among the labels: 60"],
        ),
        (
            &[
                "--labelled",
                "labels.jsonl",
                "--unlabelled",
                "strange.jsonl",
                "--model",
                base,
            ],
            &["strange.jsonl", "no known format"],
        ),
        (
            &[
                "--labelled",
                "labels.jsonl",
                "--unlabelled",
                "mixed.jsonl",
                "--model",
                base,
            ],
            &["mixed.jsonl:151: a prompt without answers", "--policy"],
        ),
        (
            &[
                "--labelled",
                "pool.jsonl",
                "--unlabelled",
                "mixed.jsonl",
                "--model",
                base,
            ],
            &["pool.jsonl: answers without a label", "collimate label"],
        ),
        (
            &[
                "--labelled",
                "labels.jsonl",
                "--unlabelled",
                "labels.jsonl",
                "--model",
                base,
            ],
            &["labels.jsonl is given twice"],
        ),
        (
            &["--labelled", "labels.jsonl", "--model", base],
            &["--labelled and --labelled-by need --unlabelled"],
        ),
        (
            &["--unlabelled", "pool.jsonl", "--model", base],
            &["--unlabelled needs --labelled or --labelled-by"],
        ),
        (
            &["--labelled", "labels.jsonl", "--unlabelled", "pool.jsonl"],
            &["labelled and model go together"],
        ),
        (
            &["--data", "labels.jsonl", "--model", base],
            &["--labelled FILE --unlabelled FILE", "add --simulate"],
        ),
        (&["--simulate"], &["--simulate hides labels of --data"]),
        (
            &[
                "--data",
                "five.jsonl",
                "--labelled",
                "labels.jsonl",
                "--unlabelled",
                "pool.jsonl",
                "--model",
                base,
            ],
            &["--data is for simulations"],
        ),
        (
            &[
                "--labelled",
                "labels.jsonl",
                "--unlabelled",
                "pool.jsonl",
                "--model",
                base,
                "--simulate",
            ],
            &["--simulate hides labels of --data"],
        ),
        (
            &[
                "--labelled",
                "labels.jsonl",
                "--unlabelled",
                "pool.jsonl",
                "--model",
                base,
                "--seed-share",
                "0.2",
            ],
            &["ser.seed_share works only with simulations"],
        ),
        (
            &[
                "--labelled",
                "labels.jsonl",
                "--unlabelled",
                "pool.jsonl",
                "--model",
                base,
                "--controls",
                "longer_seed",
            ],
            &["--test FILE"],
        ),
        (
            &[
                "--labelled",
                "labels.jsonl",
                "--unlabelled",
                "pool.jsonl",
                "--model",
                base,
                "--controls",
                "oracle_labels",
            ],
            &["oracle_labels"],
        ),
        (
            &[
                "--labelled",
                "labels.jsonl",
                "--unlabelled",
                "pool.jsonl",
                "--model",
                base,
                "--policy",
                base,
            ],
            &["--policy has nothing to write", "every row"],
        ),
        (
            &[
                "--labelled",
                "labels.jsonl",
                "--unlabelled",
                "prompts.jsonl",
                "--model",
                base,
                "--policy",
                "nowhere",
            ],
            &["--policy nowhere: no such folder"],
        ),
        (
            &[
                "--labelled",
                "labels.jsonl",
                "--unlabelled",
                "prompts.jsonl",
                "--model",
                base,
                "--policy",
                "http://127.0.0.1:9/v1",
            ],
            &["--policy-model"],
        ),
        (
            &[
                "--data",
                "labels.jsonl",
                "--simulate",
                "--model",
                base,
                "--policy",
                base,
            ],
            &["policy_source works only with your own labels"],
        ),
        (
            &["--responses", "1"],
            &["responses is 1 but must be at least 2"],
        ),
        (
            &[
                "--labelled",
                "labels.jsonl",
                "--unlabelled",
                "pool.jsonl",
                "--model",
                base,
                "--label-count",
                "30",
            ],
            &[
                "label_count is the number of labels that a judge gives",
                "--labelled-by",
            ],
        ),
        (
            &[
                "--labelled",
                "labels.jsonl",
                "--unlabelled",
                "pool.jsonl",
                "--model",
                base,
                "--responses",
                "3",
            ],
            &[
                "responses is the number of answers that a policy writes",
                "--policy",
            ],
        ),
        (
            &[
                "--labelled",
                "labels.jsonl",
                "--unlabelled",
                "pool.jsonl",
                "--model",
                base,
                "--recipe",
                "noisy_ensemble",
                "--loops",
                "0",
            ],
            &[
                "ser.max_loops belongs to the recipes paper and calibrated",
                "ser.ensemble.rounds",
            ],
        ),
        (
            &[
                "--labelled",
                "labels.jsonl",
                "--unlabelled",
                "pool.jsonl",
                "--model",
                base,
                "--full",
            ],
            &["--full or ser.ensemble belongs to the recipe noisy_ensemble"],
        ),
        (
            &["--labelled-by", base, "--model", base],
            &["--labelled-by need --unlabelled"],
        ),
        (
            &[
                "--labelled-by",
                "http://127.0.0.1:9",
                "--unlabelled",
                "pool.jsonl",
                "--model",
                base,
            ],
            &["--labelled-by-model NAME"],
        ),
        (
            &["--label-count", "5"],
            &["label_count is 5 but must be at least 20"],
        ),
        (
            &["--pairs-per-prompt", "0"],
            &["pairs_per_prompt is 0 but must be at least 1"],
        ),
    ];
    for (arguments, says) in cases {
        for kind in [&[][..], &["--dry-run"]] {
            let all = [arguments, &["--max-length", "48", "--out", "out"][..], kind].concat();
            let output = run("ser", &folder, &all);
            let told = text(&output.stderr);
            assert!(!output.status.success(), "{all:?}");
            assert_eq!(told.lines().count(), 1, "{all:?}: {told}");
            for part in *says {
                assert!(told.contains(part), "{part:?} is not in: {all:?}: {told}");
            }
            assert!(!folder.join("out").exists(), "left something: {all:?}");
        }
    }
}

/// Returns the same answers as rows without labels.
fn unlabelled_rows(labels: &[Value]) -> Vec<String> {
    let row = |row: &Value| {
        json!({"prompt": row["prompt"], "response_1": row["rejected"], "response_2": row["chosen"]})
            .to_string()
    };
    labels.iter().map(row).collect()
}
