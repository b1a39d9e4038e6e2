//! Configuration files of another command, and warm-ups that are too long.

use super::*;

#[test]
fn a_configuration_of_another_command_is_recognised() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (of, by) in [
        ("dpo", "sft"),
        ("sft", "dpo"),
        ("ppo", "ser"),
        ("self-rewarding", "kto"),
    ] {
        let printed = succeed("config", folder, &["print", of]);
        fs::write(folder.join("options.yaml"), &printed.stdout).unwrap();
        let says = format!("this looks like a configuration for `collimate {of}`");
        let arguments = ["--config", "options.yaml", "--print-config"];
        refused(
            by,
            folder,
            &arguments,
            &["options.yaml:", "unknown field", &says],
        );
    }
    // Two misspelt options do not point to another command.
    fs::write(
        folder.join("slips.yaml"),
        "align:\n  train:\n    lerning_rate: 1\n    batchsize: 2\n",
    )
    .unwrap();
    let says = ["slips.yaml:3:", "did you mean `learning_rate`?"];
    refused("dpo", folder, &["--config", "slips.yaml"], &says);
}

#[test]
fn a_warm_up_without_an_end_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_rows(&folder.join("pairs.jsonl"), &common::rows(40));
    let model = model();
    let arguments = |command: &str, more: &[&str]| {
        let fixed = [
            "--data",
            "pairs.jsonl",
            "--model",
            &model,
            "--max-length",
            "48",
        ];
        let all = [&fixed[..], &["--batch", "4"], more].concat();
        text(&succeed(command, folder, &all).stderr)
    };
    let says = "the warm-up has 20 steps and the training only 5, so";
    for more in [
        &["--steps", "5", "--dry-run"][..],
        &["--steps", "5", "--out", "run"],
    ] {
        let told = arguments("sft", more);
        assert_eq!(told.matches(says).count(), 1, "{told}");
    }
    let told = arguments("sft", &["--steps", "21", "--dry-run"]);
    assert!(!told.contains("warm-up"), "{told}");
    let more = [
        "--steps",
        "3",
        "--set",
        "align.train.warmup_steps=3",
        "--dry-run",
    ];
    let told = arguments("dpo", &more);
    assert!(told.contains("the warm-up has 3 steps"), "{told}");
}

#[test]
fn a_dry_run_is_offered_where_it_estimates() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (command, estimates) in [
        ("sft", true),
        ("dpo", true),
        ("ser", true),
        ("ppo", false),
        ("self-rewarding", false),
    ] {
        let help = text(&succeed(command, folder, &["--help"]).stdout);
        assert_eq!(help.contains("--dry-run"), estimates, "{command}");
        if !estimates {
            refused(
                command,
                folder,
                &["--dry-run"],
                &["cannot estimate this command"],
            );
        }
    }
}
