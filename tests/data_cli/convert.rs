//! `data convert`.

use collimate::core::PreferencePair;
use collimate::data::{Format, HhTurns, ReadOptions, SftExample, read_pairs, read_sft};

use super::*;
use crate::common::root;

/// Converts a file and reads both as pairs.
fn converted(
    folder: &Path,
    file: &str,
    options: &ReadOptions,
    more: &[&str],
) -> [Vec<PreferencePair>; 2] {
    let out = format!("{file}.out.jsonl");
    let arguments = [&["convert", file, "--out", &out], more].concat();
    succeed("data", folder, &arguments);
    let (before, _) = read_pairs(folder.join(file), options).unwrap();
    let (after, report) = read_pairs(folder.join(&out), &ReadOptions::default()).unwrap();
    assert_eq!(report.rows, report.kept);
    [before, after]
}

#[test]
fn converted_pairs_are_the_same_pairs() {
    let folder = tempfile::tempdir().unwrap();
    let message = |role: &str, content: &str| json!({"role": role, "content": content});
    let dialogue = |answer: &str| {
        format!("\n\nHuman: one\n\nAssistant: two\n\nHuman: three\n\nAssistant:{answer}")
    };
    let hh = json!({"chosen": dialogue(" yes"), "rejected": dialogue(" no")});
    let chat = json!({
        "chosen": [message("user", "q"), message("assistant", "yes")],
        "rejected": [message("user", "q"), message("assistant", "no")],
    });
    let bare =
        json!({"chosen": [message("assistant", "y")], "rejected": [message("assistant", "n")]});
    let scored = json!({
        "prompt": "q", "chosen": "yes", "rejected": "no", "score_chosen": 8.5, "score_rejected": 2.25,
    });
    let unscored = json!({
        "prompt": "q", "chosen": "y", "rejected": "n", "score_chosen": null, "score_rejected": null,
    });
    let votes = json!({"question": "q", "answers": [
        {"text": "a", "pm_score": 3}, {"text": "b", "pm_score": 1}, {"text": "c", "pm_score": 0},
    ]});
    let tree = json!({"message_tree_id": "x", "prompt": {
        "role": "prompter", "text": "q", "replies": [
            {"role": "assistant", "text": "a", "rank": 0, "replies": []},
            {"role": "assistant", "text": "b", "rank": 1, "replies": []},
        ],
    }});
    let cases: [(&str, Vec<Value>, usize); 6] = [
        (
            "trl.jsonl",
            vec![json!({"prompt": "", "chosen": "é \"x\"\n", "rejected": " n"})],
            1,
        ),
        ("chat.jsonl", vec![chat, bare], 2),
        // The first row has no score; the score of the second must be kept all the same.
        ("scores.jsonl", vec![unscored, scored], 2),
        ("votes.jsonl", vec![votes], 3),
        ("tree.jsonl", vec![tree], 1),
        ("hh.jsonl", vec![hh.clone()], 1),
    ];
    let options = ReadOptions::default();
    for (file, rows, pairs) in cases {
        let rows: Vec<String> = rows.iter().map(Value::to_string).collect();
        write_rows(&folder.path().join(file), &rows);
        let [before, after] = converted(folder.path(), file, &options, &[]);
        assert_eq!(before, after, "{file}");
        assert_eq!(before.len(), pairs, "{file}");
    }
    let gaps = converted_gaps(&folder.path().join("scores.jsonl.out.jsonl"));
    assert!(gaps[0].is_none() && gaps[1] == Some(6.25), "{gaps:?}");

    // Only the last turn of a dialogue, if that is asked for.
    let last = ReadOptions {
        hh_turns: HhTurns::LastTurnOnly,
        ..ReadOptions::default()
    };
    write_rows(&folder.path().join("last.jsonl"), &[hh.to_string()]);
    let more = ["--hh-turns", "last_turn_only"];
    let [before, after] = converted(folder.path(), "last.jsonl", &last, &more);
    assert_eq!(before, after);
    assert_eq!(after[0].prompt.to_plain(), "\n\nHuman: three\n\nAssistant:");

    fs::write(
        folder.path().join("t.csv"),
        "I fed the cat.,I kicked the cat.\n\"a, b\",c\n",
    )
    .unwrap();
    let table = ReadOptions {
        format: Some(Format::TwoColumnCsv),
        ..ReadOptions::default()
    };
    let more = ["--format", "two_column_csv"];
    let [before, after] = converted(folder.path(), "t.csv", &table, &more);
    assert_eq!(before, after);
}

fn converted_gaps(path: &Path) -> Vec<Option<f64>> {
    let (pairs, _) = read_pairs(path, &ReadOptions::default()).unwrap();
    pairs.iter().map(|pair| pair.score_gap).collect()
}

#[test]
fn converted_examples_are_the_same_examples() {
    let folder = tempfile::tempdir().unwrap();
    let message = |role: &str, content: &str| json!({"role": role, "content": content});
    let talk = json!({"messages": [
        message("system", "s"), message("user", "q"), message("assistant", "a"),
    ]});
    let text_row = json!({"prompt": "q", "completion": "a"});
    let chat_row =
        json!({"prompt": [message("user", "q")], "completion": [message("assistant", "b")]});
    let read =
        |path: &Path| -> Vec<SftExample> { read_sft(path, &ReadOptions::default()).unwrap().0 };
    for (file, rows, key) in [
        ("talk.jsonl", vec![&talk], "messages"),
        ("text.jsonl", vec![&text_row], "completion"),
        ("mixed.jsonl", vec![&text_row, &chat_row], "completion"),
    ] {
        let rows: Vec<String> = rows.iter().map(|row| row.to_string()).collect();
        write_rows(&folder.path().join(file), &rows);
        let out = format!("out-{file}");
        succeed("data", folder.path(), &["convert", file, "--out", &out]);
        let out = folder.path().join(out);
        assert_eq!(read(&out), read(&folder.path().join(file)), "{file}");
        assert!(
            fs::read_to_string(&out)
                .unwrap()
                .contains(&format!("\"{key}\"")),
            "{file}"
        );
    }
}

#[test]
fn a_conversion_replaces_nothing_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut data = rows(3);
    data.push("{\"prompt\": \"q\"}".to_owned());
    data.push(pair("q", "same", "same"));
    write_rows(&at("d.jsonl"), &data);
    fs::write(at("out.jsonl"), "mine").unwrap();
    let arguments = ["convert", "d.jsonl", "--out", "out.jsonl"];
    refused(
        folder.path(),
        &arguments,
        &["out.jsonl", "exists", "--force"],
    );
    let force = [&arguments[..], &["--force"]].concat();
    refused(folder.path(), &force, &["d.jsonl:4", "`chosen` is missing"]);
    assert_eq!(fs::read_to_string(at("out.jsonl")).unwrap(), "mine");
    let drop = [&force[..], &["--on-bad-row", "drop"]].concat();
    let told = text(&succeed("data", folder.path(), &drop).stderr);
    assert!(told.contains("dropped: lines 4, 5"), "{told}");
    assert!(
        told.contains("wrote 3 rows to out.jsonl, 2 dropped"),
        "{told}"
    );
    assert_eq!(
        fs::read_to_string(at("out.jsonl")).unwrap().lines().count(),
        3
    );

    write_rows(
        &at("s.jsonl"),
        &["{\"prompt\": \"q\", \"completion\": \"a\"}".to_owned()],
    );
    write_rows(&at("good.jsonl"), &rows(2));
    fs::write(at("p.txt"), "the cat\n").unwrap();
    let into = |files: &[&'static str]| [&["convert", "--out", "new"], files].concat();
    let output = run("data", folder.path(), &into(&["good.jsonl", "s.jsonl"]));
    assert!(text(&output.stderr).contains("convert each kind separately"));
    refused(
        folder.path(),
        &into(&["p.txt"]),
        &["p.txt", "holds prompts"],
    );
    assert!(!at("new").exists());
    // Nothing is written to the root of the workspace.
    assert!(!root().join("new").exists());
}
