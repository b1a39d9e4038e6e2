//! Messages and prompts: no content is lost, and nothing is read twice.

use std::path::PathBuf;

use collimate_core::{Message, PreferencePair, Prompt, Role};
use collimate_data::{
    DropReason, Format, Input, Note, OnBadRow, ReadOptions, ReadReport, read_pairs, read_sft,
};
use serde_json::{Value, json};
use tempfile::TempDir;

fn file(rows: &[Value]) -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("t.jsonl");
    let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
    std::fs::write(&path, lines.join("\n")).unwrap();
    (dir, path)
}

fn read(rows: &[Value]) -> (Vec<PreferencePair>, ReadReport) {
    let (_dir, path) = file(rows);
    read_pairs(path, &ReadOptions::default()).unwrap()
}

#[track_caller]
fn refused(row: Value, words: &str) {
    let (_dir, path) = file(std::slice::from_ref(&row));
    let error = read_pairs(&path, &ReadOptions::default()).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("t.jsonl:1: ") && error.contains(words),
        "{error}"
    );
    let options = ReadOptions {
        on_bad_row: OnBadRow::Drop,
        ..ReadOptions::default()
    };
    let (pairs, report) = read_pairs(&path, &options).unwrap();
    assert!(pairs.is_empty());
    assert_eq!(report.dropped_for(DropReason::WrongFields), 1);
}

fn user(text: &str) -> Value {
    json!({"role": "user", "content": text})
}

fn assistant(text: &str) -> Value {
    json!({"role": "assistant", "content": text})
}

fn with(mut message: Value, key: &str, value: Value) -> Value {
    message[key] = value;
    message
}

fn chat(texts: &[&str]) -> Prompt {
    let roles = [Role::User, Role::Assistant].into_iter().cycle();
    let message = |(text, role): (&&str, Role)| Message::new(role, *text);
    Prompt::Chat(texts.iter().zip(roles).map(message).collect())
}

#[test]
fn what_a_message_says_beside_its_content_is_not_lost() {
    let call = json!([{"type": "function", "function": {"name": "weather"}}]);
    for (key, value) in [
        ("tool_calls", call.clone()),
        ("tool_call_id", json!("1")),
        ("function_call", json!({"name": "f"})),
        ("reasoning_content", json!("I think")),
        ("reasoning", json!("I think")),
        ("thinking", json!("I think")),
        ("name", json!("Ann")),
        ("images", json!(["a.png"])),
        ("audio", json!({"id": "x"})),
    ] {
        let message = with(assistant("a"), key, value);
        refused(
            json!({"prompt": [user("q")], "chosen": [message], "rejected": [assistant("b")]}),
            &format!("`chosen[0].{key}` is not supported"),
        );
    }
    for (column, value) in [
        ("tools", call),
        ("images", json!(["a.png"])),
        ("videos", json!(["a.mp4"])),
        ("audio", json!("a.wav")),
        ("chat_template_kwargs", json!({"enable_thinking": true})),
    ] {
        let mut row = json!({"prompt": "q", "chosen": "a", "rejected": "b"});
        row[column] = value;
        refused(row, &format!("column `{column}` is not supported"));
    }
    // Libraries fill missing keys with empty values.
    let message = json!({"role": "assistant", "content": "a", "tool_calls": null, "name": "", "images": [], "weight": 1});
    let row = json!({"prompt": [user("q")], "chosen": [message], "rejected": [assistant("b")], "tools": [], "images": null});
    let (pairs, report) = read(&[row.clone(), row]);
    assert_eq!(pairs[0], PreferencePair::new(chat(&["q"]), "a", "b"));
    assert!(report.unused.iter().eq(["chosen[].weight"]), "{report}");
}

#[test]
fn every_reader_of_messages_is_as_strict() {
    let thought = with(assistant("a"), "thinking", json!("hm"));
    let (_dir, path) = file(&[json!({"messages": [user("q"), thought]})]);
    let says = |error: String| {
        assert!(
            error.contains("`messages[1].thinking` is not supported"),
            "{error}"
        );
    };
    says(
        read_sft(&path, &ReadOptions::default())
            .unwrap_err()
            .to_string(),
    );
    let open = || Input::open(&path).unwrap();
    says(open().read_answers().unwrap_err().to_string());
    let (_dir, path) = file(&[
        json!({"uid": "1", "turns": [with(json!({"content": "q"}), "images", json!(["a"]))]}),
    ]);
    let error = Input::open(&path)
        .unwrap()
        .read_questions()
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("`turns[0].images` is not supported"),
        "{error}"
    );
    let (_dir, path) = file(&[
        json!({"prompt": [with(user("q"), "images", json!(["a.png"]))], "completion": "c", "score": 2}),
    ]);
    let error = Input::open(&path)
        .unwrap()
        .read_graded()
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("`prompt[0].images` is not supported"),
        "{error}"
    );
}

#[test]
fn a_prompt_that_the_answers_repeat_is_taken_once() {
    let row = |prompt: Value, turn: &str| json!({"prompt": prompt, "chosen": [user(turn), assistant("a")], "rejected": [user(turn), assistant("b")]});
    let expected = PreferencePair::new(chat(&["Name a toy."]), "a", "b");
    for prompt in [json!("Name a toy.\n"), json!(" Name a toy.")] {
        let (pairs, report) = read(&[row(prompt, "Name a toy.")]);
        assert_eq!(pairs, std::slice::from_ref(&expected));
        assert_eq!(report.notes[&Note::RepeatedTurn], 1);
        assert!(
            report
                .to_string()
                .contains("1 with the prompt also in the messages"),
            "{report}"
        );
    }
    let (pairs, report) = read(&[row(json!("Name a toy."), "Name a toy.")]);
    assert_eq!(pairs, [expected]);
    assert!(report.notes.is_empty());
    // A conversation with a repeated last turn, apart from a line break.
    let talk = json!([user("Hi"), assistant("Hello"), user("Name a toy.\n")]);
    let (pairs, report) = read(&[row(talk, "Name a toy.")]);
    assert_eq!(pairs[0].prompt, chat(&["Hi", "Hello", "Name a toy.\n"]));
    assert_eq!(report.notes[&Note::RepeatedTurn], 1);
    for prompt in [json!("Name a cat."), json!([user("Name a cat.")])] {
        refused(
            row(prompt, "Name a toy."),
            "does not begin with the assistant's",
        );
    }
}

#[test]
fn texts_that_begin_with_the_prompt_lose_it() {
    let row = |chosen: &str, rejected: &str| json!({"prompt": "Once upon a time\n", "chosen": chosen, "rejected": rejected});
    let (pairs, report) = read(&[
        row(
            "Once upon a time, a cat sat.",
            "Once upon a time there was.",
        ),
        row("Once upon a time, a cat sat.", "A dog."),
        row("Once upon a timely cat.", "Once upon a times."),
    ]);
    assert_eq!(report.notes[&Note::PromptTakenOff], 1);
    assert_eq!(
        pairs[0],
        PreferencePair::new("Once upon a time\n", ", a cat sat.", " there was.")
    );
    assert_eq!(pairs[1].chosen.text, "Once upon a time, a cat sat.");
    assert_eq!(pairs[2].chosen.text, "Once upon a timely cat.");
    // A short prompt may be the first word of an answer.
    let (pairs, report) =
        read(&[json!({"prompt": "I", "chosen": "I like it", "rejected": "I hate it"})]);
    assert_eq!(pairs[0].chosen.text, "I like it");
    assert!(report.notes.is_empty());
}

#[test]
fn a_prompt_under_another_name_is_read_or_asked_for() {
    let pair =
        |prompt: Prompt| PreferencePair::new(prompt, "The cat is small.", "The cat is a cat.");
    let row = |columns: Value| {
        let mut row = json!({"chosen": "The cat is small.", "rejected": "The cat is a cat."});
        row.as_object_mut()
            .unwrap()
            .extend(columns.as_object().unwrap().clone());
        row
    };
    let mut system = vec![Message::new(Role::System, "Be kind.")];
    let Prompt::Chat(asked) = chat(&["Where?"]) else {
        unreachable!()
    };
    system.extend(asked);
    for (columns, prompt) in [
        (json!({"question": "Where?"}), "Where?".into()),
        (json!({"Question": "Where?"}), "Where?".into()),
        (json!({"instruction": "Say.", "input": ""}), "Say.".into()),
        (
            json!({"instruction": "Say.", "input": "Short."}),
            "Say.\n\nShort.".into(),
        ),
        (
            json!({"question": "Where?", "system": "Be kind."}),
            Prompt::Chat(system),
        ),
        (
            json!({"question": "Where?", "system": ""}),
            chat(&["Where?"]),
        ),
    ] {
        let (pairs, report) = read(&[row(columns.clone())]);
        assert_eq!(pairs, [pair(prompt)], "{columns}");
        let said = columns
            .as_object()
            .unwrap()
            .iter()
            .filter(|(_, v)| **v != "");
        assert!(
            report.prompt_from.iter().eq(said.map(|(name, _)| name)),
            "{report}"
        );
        assert!(
            report.to_string().contains("; prompt read from `"),
            "{report}"
        );
        assert!(report.unused.is_empty(), "{report}");
    }
    for (columns, words) in [
        (
            json!({"input": "Where?"}),
            "there is no `prompt`: if `input` holds the prompt",
        ),
        (
            json!({"query": "Where?"}),
            "if `query` holds the prompt, rename the column to `prompt`",
        ),
        (
            json!({"system": "Be kind."}),
            "if `system` holds the prompt",
        ),
        (json!({"Prompt": "Where?"}), "if `Prompt` holds the prompt"),
        (
            json!({"question": "Where?", "context": "There."}),
            "if `context` or `question` holds the prompt",
        ),
        (
            json!({"question": ["Where?"]}),
            "if `question` holds the prompt",
        ),
    ] {
        refused(row(columns), words);
    }
    let answers =
        json!({"chosen": [assistant("a")], "rejected": [assistant("b")], "question": "Where?"});
    let (pairs, _) = read(&[answers]);
    assert_eq!(pairs, [PreferencePair::new(chat(&["Where?"]), "a", "b")]);
    let held = |question: &str| json!({"question": question, "chosen": [user("Where?"), assistant("a")], "rejected": [user("Where?"), assistant("b")]});
    assert!(read(&[held("Where? ")]).1.unused.contains("question"));
    refused(held("How?"), "if `question` holds the prompt");
}

#[test]
fn columns_with_texts_are_told_in_every_format() {
    let hh = "\n\nHuman: q\n\nAssistant: ";
    for (mut row, format) in [
        (
            json!({"prompt": "p", "chosen": "a", "rejected": "b"}),
            Format::Trl,
        ),
        (
            json!({"chosen": format!("{hh}a"), "rejected": format!("{hh}b")}),
            Format::HhRlhf,
        ),
        (
            json!({"prompt": "p", "chosen": "a", "rejected": "b", "score_chosen": 2, "score_rejected": 1}),
            Format::UltraFeedback,
        ),
        (
            json!({"question": "q", "answers": [{"text": "a", "pm_score": 1}, {"text": "b", "pm_score": 2}]}),
            Format::ScoredAnswers,
        ),
        (
            json!({"info": {"post": "p"}, "summaries": [{"text": "a"}, {"text": "b"}], "choice": 0}),
            Format::SummarizeComparisons,
        ),
        (
            json!({"message_tree_id": "1", "prompt": {"text": "q", "role": "prompter", "replies": []}}),
            Format::OasstTrees,
        ),
    ] {
        row["remark"] = json!("a text");
        row["history"] = json!([user("q")]);
        row["length"] = json!(3);
        row["nothing"] = json!(null);
        let (_, report) = read(&[row.clone(), row]);
        assert_eq!(report.format, format);
        assert!(report.unused.iter().eq(["history", "remark"]), "{report}");
        assert!(
            report
                .to_string()
                .ends_with("; columns `history`, `remark` not used")
        );
    }
    for row in [
        json!({"prompt": "p", "completion": "c", "remark": "x"}),
        json!({"messages": [user("q"), assistant("a")], "remark": "x"}),
    ] {
        let (_dir, path) = file(std::slice::from_ref(&row));
        let (_, report) = read_sft(&path, &ReadOptions::default()).unwrap();
        assert!(report.unused.iter().eq(["remark"]), "{report}");
        let (_, unused) = Input::open(&path).unwrap().read_answers().unwrap();
        assert!(unused.iter().eq(["remark"]));
    }
    let (_dir, path) =
        file(&[json!({"question_id": 1, "category": "c", "turns": ["q"], "remark": "x"})]);
    let (_, _, unused) = Input::open(&path).unwrap().read_questions().unwrap();
    assert!(unused.iter().eq(["remark"]));
}

#[test]
fn several_turns_and_nulls_are_called_so() {
    let (pairs, report) = read(&[json!({
        "prompt": [user("Hi")],
        "chosen": [assistant("Hello"), user("How?"), assistant("Fine")],
        "rejected": [assistant("No")],
    })]);
    assert!(pairs.is_empty());
    assert_eq!(report.dropped_for(DropReason::SeveralTurns), 1);
    assert!(report.to_string().contains("several turns: 1"));
    refused(
        json!({"prompt": "x", "chosen": null, "rejected": "y"}),
        "field `chosen` is null",
    );
    refused(
        json!({"prompt": "x", "Chosen": "x", "rejected": "y"}),
        "field `chosen` is missing (the row has: Chosen, prompt, rejected): rename `Chosen`",
    );
    let scores = json!({"prompt": "p", "chosen": "a", "rejected": "b", "score_chosen": null, "score_rejected": null});
    let (pairs, report) = read(&[scores]);
    assert_eq!(pairs, [PreferencePair::new("p", "a", "b")]);
    assert_eq!(report.notes[&Note::NoScores], 1);
    refused(
        json!({"prompt": "p", "chosen": "a", "rejected": "b", "score_chosen": 3, "score_rejected": null}),
        "field `score_rejected` is null",
    );
    refused(
        json!({"prompt": "p", "chosen": [{"role": "assistant", "content": [{"type": "image", "url": "a"}]}], "rejected": []}),
        "`chosen[0].content[0]` is a part of type \"image\"",
    );
}

#[test]
fn a_prompt_taken_off_leaves_no_white_space_twice() {
    let row = json!({"prompt": "Name a cat toy.\n", "chosen": "Name a cat toy.\nA ball.",
        "rejected": "Name a cat toy.\nA car."});
    let (pairs, report) = read(&[row]);
    assert_eq!(
        pairs,
        [PreferencePair::new(
            "Name a cat toy.\n",
            "A ball.",
            "A car."
        )]
    );
    assert_eq!(report.notes[&Note::PromptTakenOff], 1);
    let row = json!({"prompt": "你叫什么名字？", "chosen": "你叫什么名字？小红。", "rejected": "你叫什么名字？不。"});
    let (pairs, _) = read(&[row]);
    assert_eq!(pairs[0].chosen.text, "小红。");
}

#[test]
fn an_empty_prompt_beside_a_question_is_none() {
    let row = json!({"prompt": " ", "question": "Why?", "chosen": "So.", "rejected": "No."});
    let (pairs, report) = read(&[row]);
    assert_eq!(pairs[0].prompt, Prompt::from("Why?"));
    assert!(report.prompt_from.contains("question"));
    let row = json!({"prompt": "", "chosen": "So it is.", "rejected": "So it goes."});
    assert_eq!(read(&[row]).0[0].prompt, Prompt::from(""));
}

#[test]
fn turns_behind_an_answer_and_options_of_a_template_are_told() {
    let messages = json!({"messages": [{"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]});
    let (_dir, path) = file(&[messages]);
    let (_, report) = read_sft(&path, &ReadOptions::default()).unwrap();
    assert_eq!(report.notes[&Note::TurnsBehind], 1);
    let row = json!({"prompt": "a", "completion": "b"});
    let (_dir, path) = file(&[row]);
    let (_, report) = read_sft(&path, &ReadOptions::default()).unwrap();
    assert!(report.notes.is_empty());
    refused(
        json!({"prompt": "q", "chosen": "a", "rejected": "b",
            "chat_template_kwargs": {"enable_thinking": false}}),
        "`chat_template_kwargs` is not supported",
    );
    let dialogue = |end: &str| format!("\n\nHuman: q\n\nAssistant: {end}\n\nHuman: more");
    let row = json!({"chosen": dialogue("a"), "rejected": dialogue("b")});
    let (pairs, report) = read(&[row]);
    assert!(pairs.is_empty());
    assert_eq!(report.dropped_for(DropReason::SeveralTurns), 1);
}
