//! Kinds of rows that `data` recognises.

use collimate::data::read_labelled;

use super::*;

#[test]
fn a_check_recognises_every_kind_of_rows() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| fs::write(folder.path().join(name), content).unwrap();
    write("p.txt", "the cat\na dog\n");
    write(
        "m.jsonl",
        "{\"messages\": [{\"role\": \"user\", \"content\": \"q\"}, {\"role\": \"assistant\", \"content\": \"a\"}]}\n",
    );
    write(
        "q.jsonl",
        "{\"messages\": [{\"role\": \"user\", \"content\": \"q\"}]}\n",
    );
    write(
        "s.jsonl",
        "{\"prompt\": \"q\", \"completion\": \"a\", \"score\": 3}\n",
    );
    write("c.jsonl", "{\"prompt\": \"q\", \"completion\": \"a\"}\n");
    write(
        "l.jsonl",
        "{\"prompt\": \"q\", \"completion\": \"a\", \"label\": true}\n{\"prompt\": \"q\", \"completion\": \"b\", \"label\": 0}\n",
    );
    write(
        "u.jsonl",
        "{\"prompt\": \"q\", \"responses\": [\"a\", \"b\", \"c\"]}\n",
    );
    write(
        "w.jsonl",
        "{\"prompt\": \"q\", \"response_a\": \"a\", \"response_b\": \"b\", \"label\": \"b\"}\n",
    );
    write("t.csv", "prompt,chosen,rejected\nq,yes,no\n");
    for (file, format, kind) in [
        ("p.txt", "prompts", "prompt"),
        ("m.jsonl", "messages", "example"),
        ("q.jsonl", "prompts", "prompt"),
        ("s.jsonl", "graded_answers", "scored answer"),
        ("c.jsonl", "prompt_completion", "example"),
        ("t.csv", "two_column_csv", "pair"),
        ("l.jsonl", "labelled_answers", "labelled answer"),
        ("u.jsonl", "candidates", "answer list"),
        ("w.jsonl", "candidates", "pair"),
    ] {
        let found = checked(folder.path(), &[file]);
        assert_eq!(
            (&found["format"], &found["kind"]),
            (&json!(format), &json!(kind)),
            "{file}"
        );
        assert_eq!(found["problems"], json!([]), "{file}");
    }
    // A kind can be asked for by name.
    let found = checked(folder.path(), &["s.jsonl", "--format", "prompt_completion"]);
    assert_eq!(found["recognised_by"], "--format names it");
    // Prompts that a training file and a test file share.
    let output = succeed(
        "data",
        folder.path(),
        &["check", "--json", "s.jsonl", "t.csv", "p.txt"],
    );
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["shared_prompts"][0]["prompts"], 1);
    assert_eq!(found["shared_prompts"].as_array().unwrap().len(), 1);
}

/// The rows are those that `collimate kto` trains on.
#[test]
fn labelled_answers_are_checked_shown_and_converted() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let row = |completion: &str, label: bool| {
        json!({"prompt": "the cat", "completion": completion, "label": label}).to_string()
    };
    let data = [row("a dog", true), row("a cat", false), row("a dog", true)];
    write_rows(&at("d.jsonl"), &data);
    let model = fixture("llama-gqa-tied").display().to_string();
    let found = checked(folder.path(), &["d.jsonl", "--model", &model]);
    assert_eq!(found["format"], "labelled_answers");
    assert_eq!(
        (&found["kept"], &found["labelled_good"]),
        (&json!(3), &json!(2))
    );
    assert_eq!(found["repeats"]["equal_lines"], json!([3]));
    assert!(found["tokens"]["lengths"]["completion"]["max"].as_u64() > Some(1));
    let table = text(&succeed("data", folder.path(), &["check", "d.jsonl"]).stdout);
    assert!(table.contains("2 good, 1 bad"), "{table}");

    let show = ["show-tokens", "d.jsonl", "--model", &model, "--row", "2"];
    let shown = text(&succeed("data", folder.path(), &show).stdout);
    assert!(shown.contains("d.jsonl:2, row 2"), "{shown}");

    let convert = ["convert", "d.jsonl", "--out", "o.jsonl"];
    succeed("data", folder.path(), &convert);
    let (before, after) = (read_labelled(at("d.jsonl")), read_labelled(at("o.jsonl")));
    assert_eq!(before.unwrap().0, after.unwrap().0);

    write_rows(&at("good.jsonl"), &data[..1]);
    let found = checked(folder.path(), &["good.jsonl"]);
    advised(&found, &["No answer is labelled bad"]);
    write_rows(&at("pairs.jsonl"), &rows(2));
    let mixed = ["convert", "d.jsonl", "pairs.jsonl", "--out", "m.jsonl"];
    let output = run("data", folder.path(), &mixed);
    assert!(text(&output.stderr).contains("convert each kind separately"));
}
