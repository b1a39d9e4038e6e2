//! Counts beyond arithmetic and memory are refused with one line, before anything is made.

use super::*;

const MOST: &str = "18446744073709551615";

#[test]
fn counts_from_command_lines_and_files() {
    let (folder, _) = workplace();
    let folder = folder.path();
    let model = fixture("llama-untied").display().to_string();
    let prompts: String = (0..30).map(|n| format!("the cat {n}\n")).collect();
    fs::write(folder.join("prompts.txt"), prompts).unwrap();
    let pairs = [
        "--data",
        "good.jsonl",
        "--max-length",
        "64",
        "--model",
        &model,
    ];
    let ppo = ["--model", &model, "--prompts", "prompts.txt"];
    let alone = ["--model", model.as_str()];
    let refuse = |name: &str, given: &[&str], more: &[&str], says: &[&str]| {
        refused(name, folder, &[given, more].concat(), says);
    };
    refuse(
        "dpo",
        &pairs,
        &["--batch", "9223372036854775807", "--accumulate", "3"],
        &["--accumulate 3: --batch 9223372036854775807"],
    );
    let config = |name: &str, given: &[&str], value: Value, says: &str| {
        fs::write(folder.join("c.json"), value.to_string()).unwrap();
        refuse(name, given, &["--config", "c.json"], &[says]);
    };
    let most = u64::MAX;
    let steps = "warmup_steps is 18446744073709551615 but must be at most 10^12";
    let train = json!({"align": {"train": {"warmup_steps": most}}});
    config("dpo", &pairs, train, steps);
    let train = json!({"ser": {"train": {"max_steps": most}}});
    config("ser", &[], train, "max_steps is 18446744073709551615");
    let policy = json!({"policy": {"ppo": {"warmup_steps": most}}});
    config("ppo", &ppo, policy, "warmup_steps is 18446744073709551615");
    for name in ["dpo", "ppo", "ser", "self-rewarding"] {
        let texts = json!({"pretrain_texts": 1_000_000_000_000_u64});
        config(name, &[], texts, "pretrain_texts is 1000000000000");
    }
    let tasks = json!({"recipe": {"tasks": {"seed_shots": most, "own_shots": 1}}});
    config(
        "self-rewarding",
        &[],
        tasks,
        "own_shots is 18446744073709551615",
    );
    let sizes = json!({"seed_data": {"judge_test": most}});
    config("self-rewarding", &[], sizes, "seed_data.judge_test");
    for (name, given, option, says) in [
        (
            "ppo",
            &ppo[..],
            "--rollouts",
            "rollouts is 18446744073709551615",
        ),
        (
            "ppo",
            &ppo,
            "--ppo-epochs",
            "ppo_epochs is 18446744073709551615",
        ),
        (
            "ppo",
            &ppo,
            "--rollout-size",
            "rollout_size is 18446744073709551615",
        ),
        (
            "ppo",
            &ppo,
            "--response-tokens",
            "max_new_tokens is 18446744073709551615",
        ),
        (
            "ppo",
            &alone,
            "--openings",
            "openings is 18446744073709551615",
        ),
        (
            "ppo",
            &alone,
            "--opening-tokens",
            "opening_tokens is 18446744073709551615",
        ),
        (
            "ppo",
            &alone,
            "--test-prompts",
            "test_prompts is 18446744073709551615",
        ),
        (
            "rule",
            &alone,
            "--prompts",
            "prompts is 18446744073709551615",
        ),
        (
            "rule",
            &alone,
            "--test-prompts",
            "test_prompts is 18446744073709551615",
        ),
        (
            "rule",
            &alone,
            "--opening-tokens",
            "opening_tokens is 18446744073709551615",
        ),
        (
            "rule",
            &alone,
            "--new-tokens",
            "align.responses.max_new_tokens is 18446744073709551615",
        ),
        (
            "rule",
            &alone,
            "--samples",
            "--samples 18446744073709551615",
        ),
        (
            "rule",
            &alone,
            "--iterations",
            "iterations is 18446744073709551615",
        ),
        (
            "self-rewarding",
            &[],
            "--iterations",
            "iterations is 18446744073709551615",
        ),
        (
            "self-rewarding",
            &[],
            "--candidates",
            "candidates is 18446744073709551615",
        ),
        (
            "self-rewarding",
            &[],
            "--tasks",
            "tasks.per_iteration is 18446744073709551615",
        ),
        (
            "self-rewarding",
            &[],
            "--samples",
            "samples is 18446744073709551615",
        ),
        (
            "self-rewarding",
            &[],
            "--test-prompts",
            "test_prompts is 18446744073709551615",
        ),
    ] {
        refuse(name, given, &[option, MOST], &[says]);
    }
    // The number can be represented, but nothing of this size may be made.
    let trillion = "1000000000000";
    refuse(
        "rule",
        &alone,
        &["--prompts", trillion],
        &["at most 10000000"],
    );
    refuse(
        "ppo",
        &alone,
        &["--openings", trillion],
        &["at most 10000000"],
    );
}

#[test]
fn no_message_speaks_rust() {
    let (folder, _) = workplace();
    let folder = folder.path();
    let (says, none) = ("max_steps is 0 but must be 1 to 10^12, or null", "Some(");
    let output = run("dpo", folder, &["--steps", "0"]);
    let error = text(&output.stderr);
    assert!(error.contains(says) && !error.contains(none), "{error}");
    for (train, says) in [
        (
            json!({"micro_batch_tokens": 0}),
            "micro_batch_tokens is 0 but must be",
        ),
        (
            json!({"max_grad_norm": 0}),
            "max_grad_norm is 0.0 but must be",
        ),
        (json!({"eval_every": 0}), "eval_every is 0 but must be"),
        (json!({"save_every": 0}), "save_every is 0 but must be"),
        (
            json!({"eval_every": 1, "patience": 0}),
            "patience is 0 but must be",
        ),
    ] {
        fs::write(
            folder.join("c.json"),
            json!({"ser": {"train": train}}).to_string(),
        )
        .unwrap();
        refused("ser", folder, &["--config", "c.json"], &[says]);
    }
    for (ppo, says) in [
        (json!({"dual_clip": 1}), "dual_clip is 1.0 but must be"),
        (
            json!({"early_stop_kl": 0}),
            "early_stop_kl is 0.0 but must be",
        ),
        (json!({"sample_every": 0}), "sample_every is 0 but must be"),
        (
            json!({"temperature": 1e-300}),
            "temperature is 1e-300 but must be 0.001 to 1000",
        ),
    ] {
        fs::write(
            folder.join("c.json"),
            json!({"policy": {"ppo": ppo}}).to_string(),
        )
        .unwrap();
        refused("ppo", folder, &["--config", "c.json"], &[says]);
    }
}

#[test]
fn a_name_with_options_may_stand_alone_where_it_is_a_loss() {
    let (folder, _) = workplace();
    let folder = folder.path();
    let printed = |align: Value| -> Value {
        fs::write(folder.join("c.json"), json!({"align": align}).to_string()).unwrap();
        let output = common::succeed("dpo", folder, &["--config", "c.json", "--print-config"]);
        let config: Value = serde_json::from_slice(&output.stdout).unwrap();
        config["align"]["loss"].clone()
    };
    // The default beta for the synthetic world, as with `--loss dpo`.
    assert_eq!(printed(json!({"loss": "dpo"})), printed(json!({})));
    assert_eq!(printed(json!({"loss": "ipo"}))["ipo"]["beta"], 0.1);
    let config = json!({"align": {"adaptation": "lora"}});
    fs::write(folder.join("c.json"), config.to_string()).unwrap();
    let says = ["write {\"name\": {}} instead of \"name\""];
    refused("dpo", folder, &["--config", "c.json"], &says);
    let config = json!({"align": {"adaptation": {"lora": {}}}});
    fs::write(folder.join("c.json"), config.to_string()).unwrap();
    common::succeed("dpo", folder, &["--config", "c.json", "--print-config"]);
}
