//! Policies of an evolved reward model, on prompts from a file.

use super::*;

#[test]
fn policies_learn_on_the_prompts_of_a_file() {
    let (_place, folder) = workplace();
    // The test set has prompts of its own; two of them are in the file too.
    let test = lines(&folder.join("test.jsonl"));
    let own = lines(&folder.join("prompts.jsonl"));
    let asked = |row: &Value| json!({"prompt": row["prompt"]}).to_string();
    let rows: Vec<String> = own.iter().chain(&test[..2]).map(asked).collect();
    write_rows(&folder.join("asked.jsonl"), &rows);
    let more = ["--test", "test.jsonl", "--policy-prompts", "asked.jsonl"];
    let told = ser(&folder, "run", &[&POLICIES[..], &more].concat());
    assert!(
        told.contains("answers to them are watched or compared: 2\n"),
        "{told}"
    );
    let summary = json(&folder.join("run/summary.json"));
    assert!(summary["ppo"]["win_rate"]["ser"].is_f64(), "{summary}");

    // Other prompts, another policy, from the same reward model.
    ser(&folder, "pool", &[&POLICIES[..], &more[..2]].concat());
    let model = |run: &str, name: &str| {
        let path = folder.join(run).join(name).join("model.safetensors");
        fs::read(path).unwrap()
    };
    assert_eq!(model("run", "model"), model("pool", "model"));
    assert_ne!(model("run", "policy-ser"), model("pool", "policy-ser"));

    // A changed file of prompts is another run.
    fs::remove_file(folder.join("run/report.md")).unwrap();
    write_rows(&folder.join("asked.jsonl"), &rows[..20]);
    let output = run("ser", &folder, &["--resume", "--out", "run"]);
    let stderr = text(&output.stderr);
    assert!(
        !output.status.success() && stderr.contains("have changed"),
        "{stderr}"
    );
}

#[test]
fn prompts_for_policies_that_cannot_be_used_are_refused() {
    let (_place, folder) = workplace();
    let refusal = |arguments: &[&str]| {
        let output = run("ser", &folder, arguments);
        let stderr = text(&output.stderr);
        assert!(
            !output.status.success() && stderr.lines().count() == 1,
            "{stderr}"
        );
        stderr
    };
    let with = |more: &[&str]| refusal(&[&REAL[..], &["--out", "no"], more].concat());
    let said = with(&["--policy-prompts", "prompts.jsonl"]);
    assert!(said.contains("add --stop-after ppo"), "{said}");
    fs::write(folder.join("few.txt"), "one\ntwo\ntwo\n").unwrap();
    let said = with(&[&POLICIES[..], &["--policy-prompts", "few.txt"]].concat());
    assert!(
        said.contains("few.txt: 2 different prompts that can be used are too few"),
        "{said}"
    );
    let said = refusal(&[&POLICIES[..], &["--policy-prompts", "few.txt"]].concat());
    assert!(
        said.contains("the policies of the synthetic world"),
        "{said}"
    );
}
