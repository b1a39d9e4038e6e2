//! `data convert --to`: ranked answers as demonstrations, judgements and rows.

use super::*;

fn answer(text: &str, lang: &str, rank: u64) -> Value {
    json!({"role": "assistant", "text": text, "lang": lang, "rank": rank, "replies": []})
}

/// Makes a tree with four answers in two languages, and a later turn below the best answer.
fn tree() -> String {
    let mut best = answer("four it is", "en", 0);
    best["replies"] = json!([{
        "role": "prompter", "text": "sure?", "lang": "en", "replies": [answer("yes", "en", 0)],
    }]);
    let answers = json!([
        answer("five", "en", 2),
        best,
        answer("vier", "de", 1),
        answer("no idea", "en", 3)
    ]);
    let root = json!({"role": "prompter", "text": "2+2?", "lang": "en", "replies": answers});
    json!({"message_tree_id": "x", "prompt": root}).to_string()
}

fn written(folder: &Path, to: &str, more: &[&str]) -> (Vec<Value>, String) {
    let arguments = [
        "convert",
        "t.jsonl",
        "--force",
        "--out",
        "out.jsonl",
        "--to",
        to,
    ];
    let told = succeed("data", folder, &[&arguments[..], more].concat());
    let text_of = fs::read_to_string(folder.join("out.jsonl")).unwrap();
    let rows = text_of
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    (rows.collect(), text(&told.stderr))
}

#[test]
fn trees_become_demonstrations_judgements_and_rows() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_rows(&folder.join("t.jsonl"), &[tree()]);
    // The best answer of each message, including the only one of the later turn.
    let (rows, told) = written(folder, "ift", &[]);
    let message = |role: &str, content: &str| json!({"role": role, "content": content});
    let asked = message("user", "2+2?");
    let best = message("assistant", "four it is");
    assert_eq!(rows[0], json!({"messages": [asked, best]}));
    let later = [
        asked.clone(),
        best.clone(),
        message("user", "sure?"),
        message("assistant", "yes"),
    ];
    assert_eq!(rows[1..], [json!({"messages": later})]);
    assert!(
        told.contains("wrote 2 rows to out.jsonl, 0 lists and answers left out"),
        "{told}"
    );
    let (rows, _) = written(folder, "ift", &["--first-turn", "--worst-rank", "1"]);
    assert_eq!(rows.len(), 2, "the two best answers of the first turn");
    let (rows, told) = written(folder, "ranked", &["--language", "en"]);
    let expected = json!({
        "prompt": [asked], "responses": ["four it is", "five", "no idea"], "ranks": [0, 1, 2],
    });
    assert_eq!(rows, [expected]);
    for part in [
        "1 lists with too few answers",
        "1 answers in another language",
    ] {
        assert!(told.contains(part), "{told}");
    }
    // Three answers have the quantiles 5/6, 1/2 and 1/6, which give the scores 5, 3 and 1 of six.
    let (rows, _) = written(folder, "eft", &["--language", "en"]);
    let said = |row: &Value| row["messages"][1]["content"].clone();
    let scores: Vec<Value> = rows.iter().map(said).collect();
    assert_eq!(scores, ["Score: 5", "Score: 3", "Score: 1"]);
    let shown = rows[1]["messages"][0]["content"].as_str().unwrap();
    assert!(
        shown.contains("User: 2+2?") && shown.contains("<response>five</response>"),
        "{shown}"
    );
    let (rows, _) = written(
        folder,
        "eft",
        &[
            "--max-words",
            "2",
            "--judge-style",
            "text",
            "--rubric",
            "mt_bench",
        ],
    );
    let scores: Vec<&str> = rows
        .iter()
        .map(|row| row["completion"].as_str().unwrap())
        .collect();
    // vier, five, no idea: the same quantiles of a scale from 1 to 10 with decimals, 1 + 9 q.
    assert_eq!(
        scores,
        ["Rating: [[8.5]]", "Rating: [[5.5]]", "Rating: [[2.5]]"]
    );
}

#[test]
fn what_ranked_answers_cannot_become_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_rows(&folder.join("t.jsonl"), &[tree()]);
    write_rows(&folder.join("p.jsonl"), &[pair("q", "a", "b")]);
    let into = |file: &'static str, more: &[&'static str]| {
        [&["convert", file, "--out", "new"], more].concat()
    };
    let refuse = |file, more: &[&'static str], says: &[&str]| {
        refused(folder, &into(file, more), says);
    };
    refuse(
        "p.jsonl",
        &["--to", "eft"],
        &["p.jsonl:1", "neither `ranks` nor `scores`"],
    );
    let style = ["--to", "ift", "--rubric", "additive"];
    refuse("t.jsonl", &style, &["give --to eft"]);
    refuse(
        "t.jsonl",
        &["--to", "eft", "--rubric", "best"],
        &["--rubric best", "mt_bench"],
    );
    for more in [
        &["--to", "eft", "--language", "fr"][..],
        &["--to", "ift", "--min-words", "9"],
    ] {
        let output = run("data", folder, &into("t.jsonl", more));
        let told = text(&output.stderr);
        assert!(!output.status.success(), "{told}");
        assert!(told.contains("no list of ranked answers is left"), "{told}");
    }
    for more in [
        &["--language", "en"][..],
        &["--min-words", "2"],
        &["--to", "ift", "--format", "trl"],
        &["--to", "ift", "--on-bad-row", "drop"],
    ] {
        let output = run("data", folder, &into("t.jsonl", more));
        assert!(!output.status.success(), "{more:?}");
    }
    assert!(!folder.join("new").exists());
}
