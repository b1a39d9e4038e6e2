//! Multiple-choice questions in the layouts of their benchmarks.

use std::io::Cursor;

use collimate_data::{ChoiceFormat, ChoiceQuestion, DataError, Input};
use serde_json::{Value, json};

fn read(rows: &[Value]) -> Result<(Vec<ChoiceQuestion>, ChoiceFormat), DataError> {
    let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
    let input = Input::from_reader("q.jsonl", Cursor::new(lines.join("\n")))?;
    let (questions, format, _) = input.read_choices()?;
    Ok((questions, format))
}

#[test]
fn answers_are_indices_letters_or_texts() {
    let row = |answer: Value| json!({"question": "q", "choices": ["red", "blue", "green"], "answer": answer});
    let rows = [
        row(json!(2)),
        row(json!("b")),
        row(json!("C")),
        row(json!("red")),
        row(json!("1")),
    ];
    let (questions, format) = read(&rows).unwrap();
    let answers: Vec<usize> = questions.iter().map(|question| question.answer).collect();
    assert_eq!(
        (answers, format),
        (vec![2, 1, 2, 0, 1], ChoiceFormat::Choices)
    );
    // A number is an index, whatever the choices are.
    let numbers = json!({"question": "q", "choices": ["1", "2", "0"], "answer": 0});
    assert_eq!(read(&[numbers]).unwrap().0[0].answer, 0);
}

#[test]
fn benchmarks_have_layouts_of_their_own() {
    let arc = json!({
        "id": "x", "question": "q", "answerKey": "3",
        "choices": {"text": ["a", "b", "c", "d"], "label": ["1", "2", "3", "4"]},
    });
    let (questions, format) = read(&[arc]).unwrap();
    assert_eq!((questions[0].answer, format), (2, ChoiceFormat::Arc));
    let mmlu = json!({
        "question": "q", "subject": "law", "choices": ["a", "b", "c", "d"], "answer": 3,
    });
    let (questions, format) = read(&[mmlu]).unwrap();
    assert_eq!((questions[0].answer, format), (3, ChoiceFormat::Mmlu));
    assert_eq!(questions[0].category.as_deref(), Some("law"));
    let hella = json!({
        "activity_label": "Removing ice", "ctx_a": "A man is [substeps] outside.", "ctx_b": "then HE",
        "ctx": "unused", "endings": ["goes [title]in", "  stays  out "], "label": "1",
    });
    let (questions, format) = read(&[hella]).unwrap();
    // As in the harness: activity, ctx_a, capitalised ctx_b; brackets removed, double blanks
    // replaced once.
    assert_eq!(
        questions[0].question,
        "Removing ice: A man is outside. Then he"
    );
    assert_eq!(questions[0].choices, ["goes. in", "stays out"]);
    assert_eq!((questions[0].answer, format), (1, ChoiceFormat::HellaSwag));
    let bare = json!({"ctx": "A man", "endings": ["runs", "sits"], "label": 0});
    assert_eq!(read(&[bare]).unwrap().0[0].question, "A man");
}

#[test]
fn rows_without_a_right_choice_are_refused() {
    let row = |choices: Value, answer: Value| json!({"question": "q", "choices": choices, "answer": answer});
    for (row, expected) in [
        (row(json!(["a", "b"]), json!(2)), "there are 2 choices"),
        (
            row(json!(["a", "b"]), json!("x")),
            "no choice has this text or letter",
        ),
        (
            row(json!(["1", "2", "3"]), json!("2")),
            "could be choice 1 or 2",
        ),
        (row(json!(["a", "b"]), json!(0.5)), "give an index"),
        (row(json!(["a"]), json!(0)), "fewer than two choices"),
        (row(json!(["a", " "]), json!(0)), "choice 1 is empty"),
        (row(json!(["a", 1]), json!(0)), "`choices[1]` is not a text"),
        (json!({"question": "q"}), "no choices"),
        (
            json!({"question": "q", "choices": ["a", "b"]}),
            "`answer` is missing",
        ),
    ] {
        let error = read(&[row]).unwrap_err().to_string();
        assert!(
            error.starts_with("q.jsonl:1: ") && error.contains(expected),
            "{error}"
        );
    }
}
