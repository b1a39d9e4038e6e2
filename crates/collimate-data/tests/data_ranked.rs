//! Ranked answers to a prompt, from trees and from rows.

use std::io::Cursor;

use collimate_core::{Message, Prompt, Role};
use collimate_data::{DataError, Input, RankedAnswers, RankedDrop, RankedOptions, RankedReport};
use serde_json::{Value, json};

fn read(
    rows: &[Value],
    options: &RankedOptions,
) -> Result<(Vec<RankedAnswers>, RankedReport), DataError> {
    let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
    Input::from_reader("ranked.jsonl", Cursor::new(lines.join("\n")))?.read_ranked(options)
}

fn said(text: &str, lang: &str, rank: Value, replies: Value) -> Value {
    json!({"text": text, "role": "assistant", "lang": lang, "rank": rank, "replies": replies})
}

/// Returns a question with three answers. One answer is in German, and one has a follow-up
/// question.
fn tree() -> Value {
    let later = json!([{
        "text": "and 3+3?", "role": "prompter", "lang": "en",
        "replies": [said("six of course", "en", json!(1), json!([])),
                    said("6", "en", json!(0), json!([]))],
    }]);
    json!({"message_tree_id": "t", "prompt": {
        "text": "2+2?", "role": "prompter", "lang": "en",
        "replies": [
            said("five I think", "en", json!(2), json!([])),
            said("four", "en", json!(0), later),
            said("vier", "de", json!(1), json!([])),
            said("unranked", "en", Value::Null, json!([])),
        ],
    }})
}

fn dropped(report: &RankedReport) -> Vec<(RankedDrop, usize)> {
    report
        .dropped
        .iter()
        .map(|(&reason, &n)| (reason, n))
        .collect()
}

#[test]
fn trees_give_each_message_with_ranked_replies() {
    let (lists, report) = read(&[tree()], &RankedOptions::default()).unwrap();
    assert_eq!(lists[0].answers, ["four", "vier", "five I think"]);
    assert_eq!(lists[0].merits, [0.0, -1.0, -2.0]);
    let conversation = vec![
        Message::new(Role::User, "2+2?"),
        Message::new(Role::Assistant, "four"),
        Message::new(Role::User, "and 3+3?"),
    ];
    assert_eq!(lists[1].prompt, Prompt::Chat(conversation));
    assert_eq!(lists[1].answers, ["6", "six of course"]);
    assert_eq!((report.rows, report.lists, report.answers), (1, 2, 5));
    assert!(report.dropped.is_empty());
}

#[test]
fn language_turn_rank_and_length_are_chosen() {
    let english = RankedOptions {
        language: Some("en".to_owned()),
        first_turn: true,
        ..RankedOptions::default()
    };
    let (lists, report) = read(&[tree()], &english).unwrap();
    assert_eq!(lists.len(), 1);
    assert_eq!(lists[0].answers, ["four", "five I think"]);
    let expected = [(RankedDrop::LaterTurn, 1), (RankedDrop::AnswerLanguage, 1)];
    assert_eq!(dropped(&report), expected);
    let german = RankedOptions {
        language: Some("de".to_owned()),
        ..RankedOptions::default()
    };
    let (lists, report) = read(&[tree()], &german).unwrap();
    assert!(lists.is_empty());
    assert_eq!(dropped(&report), [(RankedDrop::PromptLanguage, 2)]);
    // Demonstrations: the best answer of each message.
    let best = RankedOptions {
        worst_rank: Some(0),
        least: 1,
        ..RankedOptions::default()
    };
    let (lists, report) = read(&[tree()], &best).unwrap();
    let answers: Vec<&str> = lists.iter().map(|list| list.answers[0].as_str()).collect();
    assert_eq!(answers, ["four", "6"]);
    assert_eq!(dropped(&report), [(RankedDrop::WorseRank, 3)]);
    let short = RankedOptions {
        min_words: 2,
        max_words: Some(2),
        ..RankedOptions::default()
    };
    let (_, report) = read(&[tree()], &short).unwrap();
    let expected = [
        (RankedDrop::TooFew, 2),
        (RankedDrop::TooShort, 3),
        (RankedDrop::TooLong, 2),
    ];
    assert_eq!(dropped(&report), expected);
}

#[test]
fn rows_have_ranks_or_scores() {
    let rows = [
        json!({"prompt": "p", "responses": ["a", "b", "c"], "ranks": [2, 1, 3]}),
        json!({"prompt": [{"role": "user", "content": "q"}], "responses": ["a", "b"], "scores": [0.5, 7]}),
        json!({"prompt": "p", "responses": ["a", "b"], "ranks": [1, 1]}),
        json!({"prompt": "p", "responses": ["a", "a", "b"], "scores": [1, 2, 0]}),
        json!({"prompt": "p", "responses": ["a", " "], "ranks": [0, 1]}),
    ];
    let (lists, report) = read(&rows, &RankedOptions::default()).unwrap();
    assert_eq!(lists[0].answers, ["b", "a", "c"]);
    assert_eq!(lists[0].merits, [-1.0, -2.0, -3.0]);
    assert_eq!(
        (&lists[1].answers[0], lists[1].merits[0]),
        (&"b".to_owned(), 7.0)
    );
    assert_eq!(
        (&lists[2].answers[..], &lists[2].merits[..]),
        (&["a".to_owned(), "b".to_owned()][..], &[2.0, 0.0][..])
    );
    let expected = [
        (RankedDrop::TooFew, 1),
        (RankedDrop::NoOrder, 1),
        (RankedDrop::TooShort, 1),
        (RankedDrop::Repeated, 1),
    ];
    assert_eq!(dropped(&report), expected);
    let told = report.to_string();
    assert!(
        told.contains("3 lists with 7 ranked answers in 5 rows; left out: 1 lists with too few"),
        "{told}"
    );
}

#[test]
fn wrong_rows_are_refused_with_their_line() {
    let good = json!({"prompt": "p", "responses": ["a", "b"], "ranks": [0, 1]});
    let language = RankedOptions {
        language: Some("en".to_owned()),
        ..RankedOptions::default()
    };
    let rank = RankedOptions {
        worst_rank: Some(0),
        ..RankedOptions::default()
    };
    let any = RankedOptions::default();
    let scores = json!({"prompt": "p", "responses": ["a", "b"], "scores": [0, 1]});
    for (row, options, expected) in [
        (
            json!({"prompt": "p", "responses": ["a"]}),
            &any,
            "neither `ranks` nor `scores`",
        ),
        (
            json!({"prompt": "p", "responses": ["a"], "ranks": [0, 1]}),
            &any,
            "1 `responses` and 2 `ranks`",
        ),
        (
            json!({"prompt": "p", "responses": ["a", 3], "ranks": [0, 1]}),
            &any,
            "`responses[1]` is not a text",
        ),
        (
            json!({"prompt": "p", "responses": ["a", "b"], "ranks": [0, "x"]}),
            &any,
            "`ranks[1]` is not a number",
        ),
        (
            json!({"prompt": "p", "responses": ["a"], "ranks": [0], "scores": [0]}),
            &any,
            "both `ranks` and",
        ),
        (
            json!({"responses": ["a"], "ranks": [0]}),
            &any,
            "`prompt` is missing",
        ),
        (scores, &rank, "the row has scores"),
        (good.clone(), &language, "rows name no language"),
    ] {
        let rows = match options == &any {
            true => vec![good.clone(), row],
            false => vec![row],
        };
        let error = read(&rows, options).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(
            error.starts_with(&format!("ranked.jsonl:{}: ", rows.len())),
            "{error}"
        );
    }
}
