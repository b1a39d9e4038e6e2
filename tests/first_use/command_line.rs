//! Flags that are misspelt, and numbers below zero.

use super::*;

#[test]
fn near_names_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (name, arguments, near) in [
        ("dpo", &["--stpes", "5"][..], "did you mean --steps?"),
        ("generate", &["--promt", "x"], "did you mean --prompt"),
        ("genrate", &[], "did you mean generate?"),
        ("data", &["chek"], "did you mean check?"),
        ("dpo", &["--format", "trll"], "did you mean trl?"),
    ] {
        assert_eq!(refused(name, folder, arguments, &[near]), Some(2), "{name}");
    }
}

#[test]
fn negative_numbers_are_values() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for rate in ["-1e-5", "-1", "-.5", "-2.5E-3"] {
        let given = format!("from --lr {rate}");
        let says = ["learning_rate is -", "at most 1", given.as_str()];
        refused("dpo", folder, &["--lr", rate], &says);
    }
    let model = model();
    for (flag, value) in [("--temperature", "-1e-3"), ("--top-p", "-.5")] {
        let arguments = ["--model", &model, "--prompt", "x", flag, value];
        refused("generate", folder, &arguments, &[flag, "-0."]);
    }
    // A flag without a value is reported.
    refused("dpo", folder, &["--lora", "-1"], &["--lora"]);
}
