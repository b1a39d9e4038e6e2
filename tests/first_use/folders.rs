//! Run folders of a run that failed at once, and of a run that continues elsewhere.

use super::*;

/// Writes pairs whose answers are equal after a cut to few tokens: no step can be made.
fn late_differences(folder: &Path) {
    let row = |i: usize| {
        let start = "the cat ate the bread and the dog ate the cake and ".repeat(4);
        let (chosen, rejected) = (format!("{start} yes"), format!("{start} no"));
        json!({"prompt": format!("question {i} ?"), "chosen": chosen, "rejected": rejected})
            .to_string()
    };
    let rows: Vec<String> = (0..30).map(row).collect();
    write_rows(&folder.join("late.jsonl"), &rows);
}

#[test]
fn a_run_that_failed_before_its_first_step_does_not_block() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    late_differences(folder);
    write_rows(&folder.join("good.jsonl"), &common::rows(30));
    let model = model();
    let with = |data: &'static str, more: &[&'static str]| {
        let fixed = ["--data", data, "--model", &model, "--max-length", "24"];
        let all: Vec<&str> = fixed.iter().chain(more).copied().collect();
        run("dpo", folder, &all)
    };
    for more in [&["--out", "run"][..], &[]] {
        let failed = with("late.jsonl", more);
        let told = text(&failed.stderr);
        assert!(!failed.status.success(), "{told}");
        assert!(told.contains("equal"), "{told}");
        let again = with("good.jsonl", more);
        let told = text(&again.stderr);
        assert!(again.status.success(), "{told}");
        assert!(told.contains("ended before its first step"), "{told}");
    }
    assert!(folder.join("run/report.md").exists());
    assert!(folder.join("runs/dpo/report.md").exists());
    assert!(!folder.join("runs/dpo-2").exists());
    // A run with steps blocks the folder as before.
    let blocked = with("good.jsonl", &["--out", "run"]);
    assert!(
        text(&blocked.stderr).contains("run holds a run"),
        "{blocked:?}"
    );
}

#[test]
fn a_run_goes_on_where_its_paths_lead() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let model = model();
    for command in ["sft", "reward", "dpo", "kto", "sera", "ser"] {
        let out = folder.join(command);
        fs::create_dir(&out).unwrap();
        let mut config = json!({"data": "elsewhere.jsonl", "model": model});
        if command == "ser" {
            config["simulate"] = true.into();
        }
        fs::write(out.join("config.json"), config.to_string()).unwrap();
        let says = ["elsewhere.jsonl does not exist", "started in"];
        refused(command, folder, &["--resume", "--out", command], &says);
        assert_eq!(fs::read_dir(&out).unwrap().count(), 1, "left something");
    }
}
