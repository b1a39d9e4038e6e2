//! Rows whose answers have scores, grades or a signed preference, and numbers beside a pair.

use collimate_core::PreferencePair;
use collimate_data::{
    AnswerPairs, DropReason, Format, Input, Note, OnBadRow, ReadOptions, ReadReport,
};

fn input(rows: &str) -> Input {
    Input::from_reader("rows.jsonl", std::io::Cursor::new(rows.to_owned())).unwrap()
}

fn read(rows: &str, options: &ReadOptions) -> (Vec<PreferencePair>, ReadReport) {
    input(rows).read_pairs(options).unwrap()
}

#[track_caller]
fn refused(rows: &str, words: &str) {
    let error = input(rows).read_pairs(&ReadOptions::default()).unwrap_err();
    assert!(error.to_string().contains(words), "{error}");
}

fn texts(pairs: &[PreferencePair]) -> Vec<(&str, &str, f64)> {
    let text = |p: &'_ PreferencePair| p.score_gap.unwrap();
    pairs
        .iter()
        .map(|p| (p.chosen.text.as_str(), p.rejected.text.as_str(), text(p)))
        .collect()
}

#[test]
fn lists_of_answers_and_scores_give_pairs() {
    let row = r#"{"prompt": "a?", "responses": ["one", "two", "three", "four"], "scores": [1, 3, null, 1.5]}"#;
    let (pairs, report) = read(row, &ReadOptions::default());
    assert_eq!(report.format, Format::ScoredAnswers);
    let expected = [
        ("two", "four", 1.5),
        ("two", "one", 2.0),
        ("four", "one", 0.5),
    ];
    assert_eq!(texts(&pairs), expected);
    assert_eq!(report.notes.get(&Note::UnscoredAnswers), Some(&1));
    let options = ReadOptions {
        answer_pairs: AnswerPairs::BestWorst,
        ..ReadOptions::default()
    };
    assert_eq!(texts(&read(row, &options).0), [("two", "one", 2.0)]);
    // Of equal scores, the first in the file counts.
    let row = r#"{"question": "a?", "answers": ["p", "q", "r", "s"], "scores": [2, 2, 0, 0]}"#;
    assert_eq!(texts(&read(row, &options).0), [("p", "r", 2.0)]);
    let equal = r#"{"prompt": "a?", "responses": ["p", "q"], "scores": [2, 2]}"#;
    let (_, report) = read(equal, &options);
    assert_eq!(report.dropped_for(DropReason::EqualScores), 1);
    let one = r#"{"prompt": "a?", "responses": ["p", "q"], "scores": [2, null]}"#;
    let (_, report) = read(one, &options);
    assert_eq!(report.dropped_for(DropReason::NoComparison), 1);
    for (row, words) in [
        (
            r#"{"prompt": "a?", "responses": ["p"], "scores": [1, 2]}"#,
            "1 `responses` and 2 `scores`",
        ),
        (
            r#"{"prompt": "a?", "responses": ["p", 1], "scores": [1, 2]}"#,
            "`responses[1]` is not a text",
        ),
        (
            r#"{"prompt": "a?", "responses": ["p", "q"], "scores": [1, "x"]}"#,
            "`scores[1]` is not a number",
        ),
        (
            r#"{"responses": ["p", "q"], "scores": [1, 2]}"#,
            "field `prompt` is missing",
        ),
        (
            r#"{"instruction": "a?", "completions": [{"response": "p", "overall_score": 1}, {"overall_score": 2}]}"#,
            "field `text` is missing",
        ),
    ] {
        refused(row, words);
    }
}

#[test]
fn signed_preferences_give_pairs() {
    let rows = r#"{"context": [{"role": "user", "content": "a?"}], "response1": "p", "response2": "q", "overall_preference": -1}
{"context": [{"role": "user", "content": "a?"}], "response1": "p", "response2": "q", "overall_preference": 0}
{"prompt": "a?", "response_1": "p", "response_2": "q", "preference_strength": 2}"#;
    let (pairs, report) = read(rows, &ReadOptions::default());
    assert_eq!(texts(&pairs), [("p", "q", 1.0), ("q", "p", 2.0)]);
    assert_eq!(report.format, Format::HelpSteer);
    assert_eq!(report.dropped_for(DropReason::Tie), 1);
    let row =
        r#"{"prompt": "a?", "response_1": "p", "response_2": "q", "preference_strength": -4}"#;
    refused(
        row,
        "field `preference_strength` is -4: it must be between -3",
    );
    refused(
        &row.replace("-4", "null"),
        "field `preference_strength` is null",
    );
    let row = r#"{"context": [], "response1": "p", "response2": "q", "overall_preference": -1}"#;
    refused(row, "field `context` is empty");
}

#[test]
fn grades_are_compared_only_within_rows_that_follow_each_other() {
    let row = |prompt: &str, response: &str, grade: &str| {
        format!(
            "{{\"prompt\": \"{prompt}\", \"response\": \"{response}\", \"helpfulness\": {grade}}}\n"
        )
    };
    let rows = [
        row("a?", "p", "1"),
        row("b?", "q", "2"),
        row("b?", "r", "4"),
        row("b?", "x", "null"),
        row("b?", "s", "3"),
        row("a?", "t", "0"),
    ]
    .concat();
    refused(&rows, "rows.jsonl:4: field `helpfulness` is null");
    let options = ReadOptions {
        on_bad_row: OnBadRow::Drop,
        ..ReadOptions::default()
    };
    let (pairs, places, report) = input(&rows).read_placed_pairs(&options).unwrap();
    assert_eq!(
        texts(&pairs),
        [("r", "s", 1.0), ("r", "q", 2.0), ("s", "q", 1.0)]
    );
    assert_eq!(places.kept, [2, 2, 2]);
    let alone: Vec<usize> = places.dropped.iter().map(|row| row.line).collect();
    assert_eq!(alone, [1, 4, 6]);
    assert_eq!(report.dropped_for(DropReason::NoComparison), 2);
}

#[test]
fn margins_and_weights_stay_with_their_pairs() {
    let rows = r#"{"prompt": "a?", "chosen": "p", "rejected": "p", "margin": 9}
{"prompt": "a?", "chosen": "p", "rejected": "q", "margin": 0.5, "weight": 0}
{"prompt": "a?", "chosen": "p", "rejected": "q", "weight": null}"#;
    let options = ReadOptions {
        pair_numbers: true,
        ..ReadOptions::default()
    };
    let numbers = |pairs: &[PreferencePair]| -> Vec<_> {
        pairs
            .iter()
            .map(|pair| (pair.margin, pair.weight))
            .collect()
    };
    let (pairs, report) = read(rows, &options);
    assert_eq!(numbers(&pairs), [(Some(0.5), Some(0.0)), (None, None)]);
    assert!(report.unused.is_empty());
    let (pairs, report) = read(rows, &ReadOptions::default());
    assert_eq!(numbers(&pairs), [(None, None); 2]);
    assert!(report.unused.iter().eq(["margin", "weight"]), "{report}");
    let table = "prompt,chosen,rejected,margin\na?,p,q,1.5\na?,p,q,\n";
    let table = Input::from_reader("t.csv", table.as_bytes()).unwrap();
    let (pairs, _) = table.read_pairs(&options).unwrap();
    assert_eq!(numbers(&pairs), [(Some(1.5), None), (None, None)]);
    let graded = r#"{"prompt": "a?", "response": "p", "helpfulness": 3, "weight": 2}
{"prompt": "a?", "response": "q", "helpfulness": 1, "weight": 5}
{"prompt": "b?", "response": "p", "helpfulness": 3, "weight": 7}
{"prompt": "b?", "response": "q", "helpfulness": 1}"#;
    let (pairs, _) = read(graded, &options);
    assert_eq!(numbers(&pairs), [(None, Some(2.0)), (None, Some(7.0))]);
    for (field, words) in [
        (
            "\"weight\": -1",
            "field `weight` is -1: it must be at least 0",
        ),
        ("\"margin\": \"x\"", "field `margin` is not a number"),
        ("\"margin\": [1]", "field `margin` is not a number"),
    ] {
        let row =
            format!("{{\"prompt\": \"a?\", \"chosen\": \"p\", \"rejected\": \"q\", {field}}}");
        let error = input(&row).read_pairs(&options).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}
