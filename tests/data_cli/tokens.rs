//! `data show-tokens`.

use collimate::data::{ReadOptions, TextTokenizer, Truncation, read_pairs};

use super::*;

#[test]
fn the_tokens_of_a_row_are_those_of_training() {
    let folder = tempfile::tempdir().unwrap();
    let model = fixture("llama-gqa-tied").display().to_string();
    let long = "the cat ate the bread. ".repeat(4);
    write_rows(
        &folder.path().join("d.jsonl"),
        &[
            pair("the cat", "a dog", "a cat"),
            pair(&long, "a dog", "a cat and a dog"),
        ],
    );
    let shown = |more: &[&str]| -> Value {
        let fixed = ["show-tokens", "d.jsonl", "--model", &model, "--json"];
        let output = succeed("data", folder.path(), &[&fixed[..], more].concat());
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let (pairs, _) = read_pairs(folder.path().join("d.jsonl"), &ReadOptions::default()).unwrap();
    let tokenizer = TextTokenizer::from_folder(&model).unwrap();
    let expected = tokenizer
        .encode_pair(&pairs[0], 64, Truncation::KeepEnd)
        .unwrap();
    let found = shown(&[]);
    assert_eq!(found["rows"].as_array().unwrap().len(), 1);
    let sequence = &found["rows"][0]["sequences"][1];
    assert_eq!(sequence["name"], "prompt + rejected");
    let tokens = sequence["tokens"].as_array().unwrap();
    let ids: Vec<u64> = tokens
        .iter()
        .map(|token| token["id"].as_u64().unwrap())
        .collect();
    let joint = expected.prompt.iter().chain(&expected.rejected);
    assert_eq!(ids, joint.map(|&id| u64::from(id)).collect::<Vec<_>>());
    let learned = tokens
        .iter()
        .filter(|token| token["learned"] == true)
        .count();
    assert_eq!(learned, expected.rejected.len());
    let words: String = tokens
        .iter()
        .map(|token| token["text"].as_str().unwrap())
        .collect();
    assert_eq!(words, "the cata cat");
    let special = |at: usize| tokens[at]["special"].as_bool().unwrap();
    assert!(special(0) && special(ids.len() - 1) && !special(1));

    // The start of a long prompt is cut, and this is reported.
    let found = shown(&["--row", "2", "--rows", "9", "--max-length", "16"]);
    let fitted = tokenizer
        .encode_pair(&pairs[1], 16, Truncation::KeepEnd)
        .unwrap();
    let whole = tokenizer
        .encode_pair(&pairs[1], 9999, Truncation::KeepEnd)
        .unwrap();
    let row = &found["rows"][0];
    assert_eq!((&row["row"], &row["line"]), (&json!(2), &json!(2)));
    let cut = &row["sequences"][0]["cut"][0];
    assert_eq!(
        (&cut["part"], &cut["at"]),
        (&json!("prompt"), &json!("start"))
    );
    assert_eq!(
        cut["tokens"],
        json!(whole.prompt.len() - fitted.prompt.len())
    );
    assert!(long.starts_with(cut["text"].as_str().unwrap()));

    let fixed = ["show-tokens", "d.jsonl", "--model", &model];
    let table = text(&succeed("data", folder.path(), &fixed).stdout);
    for part in [
        "prompt + chosen",
        "<s>",
        "learned, special",
        "learned from",
        "d.jsonl:1, row 1",
    ] {
        assert!(table.contains(part), "{part:?} is not in: {table}");
    }
    assert!(!table.contains('\u{1b}'), "{table}");
}
