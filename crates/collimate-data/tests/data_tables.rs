//! Tables: headers, separators, and quotes that are not closed.

use std::path::PathBuf;

use collimate_core::{Message, PreferencePair, Prompt, Role};
use collimate_data::{DropReason, Format, Note, OnBadRow, ReadOptions, ReadReport, read_pairs};
use tempfile::TempDir;

fn file(text: &str) -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("t.csv");
    std::fs::write(&path, text).unwrap();
    (dir, path)
}

fn read(text: &str) -> (Vec<PreferencePair>, ReadReport) {
    let (_dir, path) = file(text);
    read_pairs(path, &ReadOptions::default()).unwrap()
}

fn dropping(text: &str) -> (Vec<PreferencePair>, ReadReport) {
    let (_dir, path) = file(text);
    let options = ReadOptions {
        on_bad_row: OnBadRow::Drop,
        ..ReadOptions::default()
    };
    read_pairs(path, &options).unwrap()
}

#[track_caller]
fn refused(text: &str, words: &str) {
    let (_dir, path) = file(text);
    let error = read_pairs(path, &ReadOptions::default()).unwrap_err();
    let error = error.to_string();
    assert!(error.contains(words), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn a_header_is_matched_by_its_words() {
    let pair = PreferencePair::new("q", "good", "bad");
    for text in [
        "Prompt,Chosen,REJECTED\nq,good,bad\n",
        " prompt , chosen , rejected \nq,good,bad\n",
        "\u{feff}prompt\tchosen\trejected\nq\tgood\tbad\n",
        "rejected;chosen;prompt\r\nbad;good;q\r\n",
        ",prompt,chosen,rejected\n0,q,good,bad\n",
        "id,prompt,chosen,rejected\n7,q,good,bad\n",
    ] {
        let (pairs, report) = read(text);
        assert_eq!(pairs, std::slice::from_ref(&pair), "{text}");
        assert_eq!(report.dropped_for(DropReason::Header), 1);
        assert!(report.unused.is_empty(), "{report}");
    }
    let (pairs, report) = read("prompt,source,chosen,margin,rejected\nq,web,good,2,bad\n");
    assert_eq!(pairs, [pair]);
    assert!(report.unused.iter().eq(["margin", "source"]));
    assert!(
        report
            .to_string()
            .ends_with("; columns `margin`, `source` not used"),
        "{report}"
    );
}

#[test]
fn a_header_of_other_names_is_refused() {
    for header in [
        "better,worse",
        "Winner,Loser",
        "text,label",
        "answer 1,answer 2",
        "less_pleasant,more_pleasant",
        "chosen,other",
    ] {
        refused(
            &format!("{header}\nI ran.,I fell.\n"),
            "t.csv:1: the first row looks like a header",
        );
    }
    refused(
        "chosen,Chosen,rejected\na,b,c\n",
        "two columns are called `chosen`",
    );
    // These names are known: the rows are answers, here without a label.
    refused(
        "response_a,response_b\nI ran.,I fell.\n",
        "answers without a label",
    );
    refused("prompt,text,chosen_text\nq,a,b\n", "looks like a header");
    refused("1,I ran,I fell\n", "t.csv:1: 3 columns, expected 2");
}

/// Each cell is short and says which answer its column holds, so the row is not a pair of texts.
#[test]
fn a_header_in_words_is_refused() {
    for header in [
        "rejected response,chosen response",
        "less preferred,more preferred",
        "loser text,winner text",
        "bad,good",
        "Good Answer,Bad Answer",
        "gpt,human",
    ] {
        refused(&format!("{header}\nx y z.,u v w.\n"), "looks like a header");
    }
    let (pairs, _) = read("I left my bag.,I stayed at home.\nyes,no\n");
    assert_eq!(pairs.len(), 2);
    let options = ReadOptions {
        format: Some(Format::TwoColumnCsv),
        ..ReadOptions::default()
    };
    let (_dir, path) = file("one text,another one\n");
    let (_, report) = read_pairs(path, &options).unwrap();
    assert_eq!(report.notes[&Note::FirstColumnPreferred], 1);
}

/// The cost of a quoted text is linear in its lines, and an unclosed one spoils only its own row.
#[test]
fn a_quote_of_many_lines_takes_linear_time() {
    let mut text = "prompt,chosen,rejected\nq,\"open,bad\n".to_owned();
    text.push_str(&"prose without a separator\n".repeat(30_000));
    let started = std::time::Instant::now();
    refused(&text, "a quote that is not closed in 10000 lines");
    assert!(started.elapsed().as_secs() < 20);
}

#[test]
fn two_columns_without_a_header_are_read_and_told() {
    let text = "I ran home.,I fell.\nI sang.,\"I wept, twice.\"\n";
    let (pairs, report) = read(text);
    assert_eq!(
        (pairs.len(), report.notes[&Note::FirstColumnPreferred]),
        (2, 1)
    );
    assert_eq!(pairs[0].chosen.text, "I ran home.");
    assert!(
        report
            .to_string()
            .ends_with("; no header: the first column is taken as the chosen answer")
    );
    let (_dir, path) = file(text);
    let named = ReadOptions {
        format: Some(Format::TwoColumnCsv),
        ..ReadOptions::default()
    };
    let (same, report) = read_pairs(path, &named).unwrap();
    assert_eq!(same, pairs);
    assert_eq!(report.notes[&Note::FirstColumnPreferred], 1);
}

#[test]
fn a_prompt_in_another_column_is_read() {
    let (pairs, report) = read("question,chosen,rejected\nwhy so,a,b\n");
    assert_eq!(pairs, [PreferencePair::new("why so", "a", "b")]);
    assert!(report.prompt_from.iter().eq(["question"]));
    refused(
        "context,chosen,rejected\nwhy so,a,b\n",
        "t.csv:2: there is no `prompt`: if `context` holds the prompt",
    );
}

#[test]
fn messages_in_cells_are_refused() {
    let cell = "\"[{'role': 'user', 'content': 'hi'}]\"";
    refused(
        &format!("prompt,chosen,rejected\nq,{cell},no\n"),
        "t.csv:2: field `chosen` is a text that holds messages",
    );
}

const OPEN: &str = "prompt,chosen,rejected
q1,fine day,poor day
q2,good two,\"bad two
q3,good three,bad three
q4,good four,bad four
q5,good five,bad five
";

#[test]
fn a_quote_that_is_never_closed_takes_its_own_row() {
    refused(OPEN, "t.csv:3: a quote that is never closed");
    let (pairs, report) = dropping(OPEN);
    assert_eq!((report.rows, pairs.len()), (6, 4));
    assert_eq!(report.dropped_for(DropReason::Malformed), 1);
    assert_eq!(
        pairs[1],
        PreferencePair::new("q3", "good three", "bad three")
    );
    // Without a header, and in the first row.
    refused(
        "fine day,poor day\ngood two,\"bad two\ngood three,bad three\n",
        "t.csv:2: a quote",
    );
    refused(
        "good two,\"bad two\ngood three,bad three\n",
        "t.csv:1: a quote",
    );
    // The distance to the end of the file does not matter.
    let long = OPEN.to_owned() + &"q,good,bad\n".repeat(500);
    refused(
        &long,
        "t.csv:3: a quote that is not closed in 100 lines, which look like rows",
    );
    assert_eq!(dropping(&long).0.len(), 504);
}

#[test]
fn a_quote_that_closes_far_below_merges_no_rows() {
    // As the last character, after complete rows.
    let closed = OPEN.replace("q5,good five,bad five", "q5,good five,bad five\"");
    refused(
        &closed,
        "t.csv:3: a quote that is closed only in line 6, after lines that look like rows",
    );
    let (pairs, report) = dropping(&closed);
    assert_eq!(
        (pairs.len(), report.dropped_for(DropReason::Malformed)),
        (4, 1)
    );
    assert_eq!(pairs[3].rejected.text, "bad five\"");
    // In the next row.
    refused(
        "fine day,poor day\ngood two,\"bad two\ngood three,bad three\"\n",
        "t.csv:2: a quote",
    );
    // At the beginning of another field.
    let opened = OPEN.replace("q5,good five,bad five", "q5,good five,\"bad five");
    refused(
        &opened,
        "t.csv:3: a quote that is closed only in line 6, before other text",
    );
    let (pairs, report) = dropping(&opened);
    assert_eq!(
        (pairs.len(), report.dropped_for(DropReason::Malformed)),
        (3, 2)
    );
    refused("good,\"bad\" one\n", "t.csv:1: text behind a closing quote");
    refused("good, \"bad, one\"\n", "t.csv:1: a blank before a quote");
}

#[test]
fn texts_of_several_lines_stay_texts() {
    let text = "prompt,chosen,rejected\nq,\"One, two.\n\nThree,four.\nWell, yes.\",\"He said \"\"no\"\",\nand left.\"\nr,a \"quoted\" word,b\n";
    let expected = [
        PreferencePair::new(
            "q",
            "One, two.\n\nThree,four.\nWell, yes.",
            "He said \"no\",\nand left.",
        ),
        PreferencePair::new("r", "a \"quoted\" word", "b"),
    ];
    assert_eq!(read(text).0, expected);
    // Other line ends give the same rows.
    assert_eq!(read(&text.replace('\n', "\r\n")).0, expected);
}

#[test]
fn a_system_column_makes_a_conversation() {
    let (pairs, _) = read("system,question,chosen,rejected\nBe kind.,why so,a,b\n,how,a,b\n");
    let message = |role, content: &str| Message::new(role, content);
    let user = |text| message(Role::User, text);
    assert_eq!(
        pairs[0].prompt,
        Prompt::Chat(vec![message(Role::System, "Be kind."), user("why so")])
    );
    assert_eq!(pairs[1].prompt, Prompt::Chat(vec![user("how")]));
}
