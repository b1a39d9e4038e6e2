//! The lines of rows that are kept and dropped.

use std::io::Cursor;

use collimate_data::{DropReason, DroppedRow, Input, OnBadRow, ReadOptions};

fn dropped(line: usize, reason: DropReason) -> DroppedRow {
    DroppedRow {
        line,
        reason,
        what: None,
    }
}

fn input(name: &str, text: &str) -> Input {
    Input::from_reader(name, Cursor::new(text.to_owned())).unwrap()
}

fn dropping() -> ReadOptions {
    ReadOptions {
        on_bad_row: OnBadRow::Drop,
        ..ReadOptions::default()
    }
}

#[test]
fn every_pair_and_every_dropped_row_has_its_line() {
    let text = "{\"prompt\": \"p\", \"chosen\": \"a\", \"rejected\": \"b\"}\n\n\
        {\"prompt\": \"p\", \"chosen\": \"a\", \"rejected\": \"a\"}\n\
        {\"prompt\": \"p\", \"chosen\": \"a\"}\n\
        {\"prompt\": \"p\", \"chosen\": \"c\", \"rejected\": \"d\"}\n";
    let (pairs, places, report) = input("x", text).read_placed_pairs(&dropping()).unwrap();
    assert_eq!((pairs.len(), report.rows), (2, 4));
    assert_eq!(places.kept, [1, 5]);
    assert_eq!(places.dropped[0], dropped(3, DropReason::EqualAnswers));
    let wrong = &places.dropped[1];
    assert_eq!((wrong.line, wrong.reason), (4, DropReason::WrongFields));
    assert!(
        wrong
            .what
            .as_deref()
            .unwrap()
            .contains("`rejected` is missing")
    );
    assert_eq!(report.dropped_total(), places.dropped.len());
}

#[test]
fn all_comparisons_of_a_row_have_the_line_of_the_row() {
    let answers = r#"[{"text": "a", "pm_score": 2}, {"text": "b", "pm_score": 1}, {"text": "c", "pm_score": 1}]"#;
    let text = format!("{{\"question\": \"q\", \"answers\": {answers}}}\n").repeat(2);
    let (_, places, _) = input("x", &text).read_placed_pairs(&dropping()).unwrap();
    assert_eq!(places.kept, [1, 1, 2, 2]);
    let equal = |line| dropped(line, DropReason::EqualScores);
    assert_eq!(places.dropped, [equal(1), equal(2)]);
}

#[test]
fn a_record_of_a_table_has_the_line_where_it_begins() {
    let text = "prompt,chosen,rejected\np,\"a\nb\",c\np,d,d\np,e,f\n";
    let (_, places, _) = input("x.csv", text).read_placed_pairs(&dropping()).unwrap();
    assert_eq!(places.kept, [2, 5]);
    let header = dropped(1, DropReason::Header);
    assert_eq!(
        places.dropped,
        [header, dropped(4, DropReason::EqualAnswers)]
    );
}

#[test]
fn every_example_has_the_line_of_the_row() {
    let text =
        "{\"prompt\": \"p\", \"completion\": \" \"}\n{\"prompt\": \"p\", \"completion\": \"a\"}\n";
    let (examples, places, _) = input("x", text).read_placed_sft(&dropping()).unwrap();
    assert_eq!(examples.len(), 1);
    assert_eq!(places.kept, [2]);
    assert_eq!(places.dropped, [dropped(1, DropReason::EmptyCompletion)]);
}
