//! Answers without labels: readers, pairs of them, the pool, votes.

use std::path::PathBuf;

use collimate_core::{Key, PreferencePair, Prompt};
use collimate_data::{
    Candidates, DataError, DropReason, Format, HiddenLabelPool, Input, Note, OnBadRow, ReadOptions,
    ReadReport, UnlabelledPair, by_majority, read_pairs, read_unlabelled,
};
use serde_json::{Value, json};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn rows(&self, rows: &[Value]) -> PathBuf {
        let rows: Vec<String> = rows.iter().map(Value::to_string).collect();
        self.write("pool.jsonl", &(rows.join("\n") + "\n"))
    }

    fn read(&self, rows: &[Value]) -> (Vec<Candidates>, ReadReport) {
        read_unlabelled(self.rows(rows), &ReadOptions::default()).unwrap()
    }

    #[track_caller]
    fn refused(&self, rows: &[Value]) -> String {
        let error = read_unlabelled(self.rows(rows), &ReadOptions::default());
        error.unwrap_err().to_string()
    }
}

fn texts(candidates: &Candidates) -> Vec<&str> {
    candidates
        .responses
        .iter()
        .map(|r| r.text.as_str())
        .collect()
}

#[test]
fn lists_and_named_columns_say_the_same() {
    let folder = Folder::new();
    let two: Vec<Value> = [
        json!({"prompt": "2 + 2 =", "responses": [" 4", " 5"]}),
        json!({"prompt": "2 + 2 =", "answers": [" 4", " 5"]}),
        json!({"prompt": "2 + 2 =", "candidates": [" 4", " 5"]}),
        json!({"prompt": "2 + 2 =", "completions": [{"text": " 4", "tokens": [1], "finish": "eos"}, {"text": " 5"}]}),
        json!({"prompt": "2 + 2 =", "response_a": " 4", "response_b": " 5"}),
        json!({"prompt": "2 + 2 =", "response_A": " 4", "response_B": " 5"}),
        json!({"prompt": "2 + 2 =", "answer_1": " 4", "answer_2": " 5"}),
        json!({"prompt": "2 + 2 =", "response1": " 4", "response2": " 5", "label": 2}),
        json!({"question": "2 + 2 =", "response_0": " 4", "response_1": " 5"}),
        json!({"prompt": "2 + 2 =", "response_a": " 4", "response_b": " 5", "probability": 0.6, "disagreement": 0.1}),
    ]
    .to_vec();
    for row in two {
        let (found, report) = folder.read(std::slice::from_ref(&row));
        assert_eq!(found.len(), 1, "{row}: {report}");
        assert_eq!(found[0].prompt, Prompt::from("2 + 2 ="), "{row}");
        assert_eq!(texts(&found[0]), [" 4", " 5"], "{row}");
        assert_eq!((report.format, found[0].line), (Format::Candidates, 1));
        assert!(!report.unused.contains("probability"), "{report}");
    }
    let (found, _) = folder.read(&[json!({
        "prompt": "q", "response_3": "c", "response_1": "a", "response_10": "j", "response_2": "b",
    })]);
    assert_eq!(texts(&found[0]), ["a", "b", "c", "j"]);
}

#[test]
fn messages_are_read_as_in_pairs() {
    let folder = Folder::new();
    let user = json!({"role": "user", "content": "hello"});
    let says = |text: &str| json!({"role": "assistant", "content": text});
    let whole = |text: &str| json!([user, says(text)]);
    for row in [
        json!({"prompt": [user], "responses": [[says("hi")], [says("ho")], [says("ha")]]}),
        json!({"responses": [whole("hi"), whole("ho"), whole("ha")]}),
        json!({"prompt": "hello", "responses": [[says("hi")], [says("ho")], [says("ha")]]}),
    ] {
        let (found, _) = folder.read(std::slice::from_ref(&row));
        let Prompt::Chat(messages) = &found[0].prompt else {
            panic!("{row}");
        };
        assert_eq!(messages.len(), 1, "{row}");
        assert_eq!(texts(&found[0]), ["hi", "ho", "ha"], "{row}");
    }
}

#[test]
fn answers_without_a_prompt_are_whole_texts() {
    let folder = Folder::new();
    let (blue, green) = ("The sky is blue.", "The sky is green.");
    let (found, _) = folder.read(&[
        json!({"responses": [blue, green]}),
        json!({"response_a": blue, "response_b": green}),
        json!({"prompt": "", "response_a": blue, "response_b": green}),
        json!({"responses": [blue, green, "The sky is wide."]}),
    ]);
    for row in &found {
        assert!(row.prompt.is_empty(), "{row:?}");
        assert_eq!(texts(row)[..2], [blue, green]);
    }
    assert_eq!(found.len(), 4);
}

#[test]
fn labels_of_pairs_leave_no_trace() {
    let folder = Folder::new();
    let pair = |chosen: &str, rejected: &str| {
        json!({"prompt": "q", "chosen": chosen, "rejected": rejected,
               "score_chosen": 3.0, "score_rejected": 3.0})
    };
    let (one, report) = folder.read(&[pair("a", "b")]);
    let (other, _) = folder.read(&[pair("b", "a")]);
    assert_eq!(one, other);
    assert_eq!(texts(&one[0]), ["a", "b"]);
    // Equal scores are also a label.
    assert_eq!((report.kept, report.format), (1, Format::UltraFeedback));
    let scored = json!({"question": "q", "answers": [
        {"text": "c", "pm_score": 1}, {"text": "a", "pm_score": 1}, {"text": "b", "pm_score": 5},
    ]});
    assert_eq!(texts(&folder.read(&[scored]).0[0]), ["c", "a", "b"]);
    let table = folder.write("e.csv", "worse,better\nz,y\n");
    let said = read_unlabelled(table, &ReadOptions::default()).unwrap_err();
    assert!(said.to_string().contains("chosen"), "{said}");
    let table = folder.write("t.csv", "z one,y two\nk one,l two\n");
    let (found, report) = read_unlabelled(table, &ReadOptions::default()).unwrap();
    assert_eq!(texts(&found[0]), ["y two", "z one"]);
    assert!(report.notes.is_empty(), "{report}");
}

#[test]
fn a_tree_gives_the_ranked_replies_of_each_turn_once() {
    let folder = Folder::new();
    let reply = |text: &str, rank: u64| json!({"role": "assistant", "text": text, "rank": rank, "replies": []});
    let tree = json!({"message_tree_id": "t", "prompt": {
        "role": "prompter", "text": "q",
        "replies": [reply("c", 0), reply("a", 1), reply("b", 2)],
    }});
    let (found, report) = folder.read(&[tree]);
    assert_eq!(texts(&found[0]), ["a", "b", "c"]);
    assert_eq!((found.len(), report.kept), (1, 1));
}

#[test]
fn prompts_alone_have_no_answers() {
    let folder = Folder::new();
    let (found, _) = folder.read(&[
        json!({"prompt": "q"}),
        json!({"messages": [{"role": "user", "content": "r"}]}),
        json!({"prompt": "s", "responses": ["a", "b"]}),
    ]);
    let counts: Vec<usize> = found.iter().map(|c| c.responses.len()).collect();
    assert_eq!(counts, [0, 0, 2]);
    let lines: Vec<usize> = found.iter().map(|c| c.line).collect();
    assert_eq!(lines, [1, 2, 3]);
    let plain = folder.write("p.txt", "one\n\ntwo\n");
    let (found, report) = read_unlabelled(plain, &ReadOptions::default()).unwrap();
    assert_eq!(found[1].prompt, Prompt::from("two"));
    assert_eq!((found[1].line, report.kept), (3, 2));
}

#[test]
fn answers_that_say_nothing_are_counted() {
    let folder = Folder::new();
    let (found, report) = folder.read(&[
        json!({"prompt": "q", "responses": ["a", "b", "a", " "]}),
        json!({"prompt": "q", "responses": ["a", "a"]}),
        json!({"prompt": "q", "responses": ["a", "\n"]}),
        json!({"prompt": "q", "responses": ["a"]}),
        json!({"prompt": "q", "responses": []}),
    ]);
    assert_eq!(found.len(), 1);
    assert_eq!(texts(&found[0]), ["a", "b"]);
    assert_eq!(report.dropped_for(DropReason::EqualAnswers), 1);
    assert_eq!(report.dropped_for(DropReason::EmptyCompletion), 1);
    assert_eq!(report.dropped_for(DropReason::NoComparison), 2);
    assert_eq!(report.rows, report.kept + report.dropped_total());
    assert_eq!(report.notes[&Note::RepeatedAnswers], 1);
    assert_eq!(report.notes[&Note::EmptyAnswers], 1);
}

#[test]
fn rows_that_are_none_are_refused_or_dropped() {
    let folder = Folder::new();
    let good = json!({"prompt": "q", "responses": ["a", "b"]});
    for (row, says) in [
        (
            json!({"prompt": "q", "responses": ["a", "b"], "response_a": "c", "response_b": "d"}),
            "several columns",
        ),
        (
            json!({"prompt": "q", "completion": "a"}),
            "one answer, in `completion`",
        ),
        (
            json!({"prompt": "q", "response_a": "a", "response_b": null}),
            "one answer, in `response_a`",
        ),
        (
            json!({"prompt": "q", "Answer2": "a"}),
            "one answer, in `Answer2`",
        ),
        (
            json!({"prompt": "q", "responses": ["a", {"score": 1}]}),
            "`responses[1]` has no `text`",
        ),
        (
            json!({"prompt": "q", "responses": ["a", 3]}),
            "neither a text nor a list of messages",
        ),
        (json!({"text": "q"}), "has neither prompt nor messages"),
    ] {
        let said = folder.refused(&[good.clone(), row.clone()]);
        assert!(
            said.contains("pool.jsonl:2: ") && said.contains(says),
            "{said}"
        );
        let options = ReadOptions {
            on_bad_row: OnBadRow::Drop,
            ..ReadOptions::default()
        };
        let path = folder.rows(&[good.clone(), row]);
        let (found, report) = read_unlabelled(path, &options).unwrap();
        assert_eq!((found.len(), report.dropped_total()), (1, 1));
    }
    let said = folder.refused(&[json!({"prompt": "q", "completion": "a"})]);
    assert!(said.contains("one answer each"), "{said}");
    let said = folder.refused(&[json!({"text": "q"})]);
    assert!(said.contains("no known format"), "{said}");
}

#[test]
fn labelled_columns_are_pairs() {
    let folder = Folder::new();
    let row = |label: Value| json!({"prompt": "q", "response_a": "yes", "response_b": "no", "label": label});
    let read = |rows: &[Value]| read_pairs(folder.rows(rows), &ReadOptions::default());
    let (pairs, report) = read(&[
        row("a".into()),
        row("B".into()),
        row("response_b".into()),
        row("tie".into()),
    ])
    .unwrap();
    let first = PreferencePair::new("q", "yes", "no");
    let second = PreferencePair::new("q", "no", "yes");
    assert_eq!(pairs, [first, second.clone(), second.clone()]);
    assert_eq!(report.dropped_for(DropReason::Tie), 1);
    let numbered = json!({"prompt": "q", "answer1": "yes", "answer2": "no", "winner": 2});
    assert_eq!(read(&[numbered]).unwrap().0, [second]);
    for label in [json!(0), json!(1), json!(true), json!("c"), json!("yes")] {
        let said = read(&[row(label)]).unwrap_err().to_string();
        assert!(
            said.contains("field `label` is") && said.contains("a, b or tie"),
            "{said}"
        );
    }
    let unlabelled = json!({"prompt": "q", "response_a": "yes", "response_b": "no"});
    let said = read(std::slice::from_ref(&unlabelled)).unwrap_err();
    assert!(matches!(said, DataError::Format { .. }));
    assert!(said.to_string().contains("collimate label"), "{said}");
    let said = read(&[row("a".into()), unlabelled])
        .unwrap_err()
        .to_string();
    assert!(said.contains("pool.jsonl:2: no label"), "{said}");
}

#[test]
fn labels_that_all_name_one_column_are_told() {
    let folder = Folder::new();
    let rows = |labels: &[&str]| -> ReadReport {
        let rows: Vec<Value> = labels
            .iter()
            .enumerate()
            .map(|(i, label)| json!({"prompt": format!("q{i}"), "response_a": "yes", "response_b": "no", "label": label}))
            .collect();
        read_pairs(folder.rows(&rows), &ReadOptions::default())
            .unwrap()
            .1
    };
    assert_eq!(rows(&["a"; 12]).notes[&Note::AllFirst], 12);
    assert_eq!(rows(&["b"; 12]).notes[&Note::AllSecond], 12);
    assert!(
        rows(&["b"; 12])
            .to_string()
            .contains("all 12 labels name the second answer")
    );
    assert!(rows(&["a"; 3]).notes.is_empty());
    let mut mixed = ["a"; 12];
    mixed[5] = "b";
    assert!(rows(&mixed).notes.is_empty());
}

fn pairs() -> Vec<PreferencePair> {
    (0..40)
        .map(|i| {
            PreferencePair::new(
                format!("q{}", i / 2),
                format!("good {i}"),
                format!("bad {i}"),
            )
        })
        .collect()
}

fn shown(pairs: &[PreferencePair]) -> Vec<UnlabelledPair> {
    pairs
        .iter()
        .map(|pair| UnlabelledPair {
            prompt: pair.prompt.clone(),
            answers: [pair.rejected.clone(), pair.chosen.clone()],
        })
        .collect()
}

#[test]
fn the_pool_is_the_one_that_sealing_makes() {
    for seed in 0..5 {
        let key = Key::new(seed, "pool");
        let (sealed, _) = HiddenLabelPool::seal(pairs(), key);
        assert_eq!(HiddenLabelPool::unlabelled(shown(&pairs()), key), sealed);
    }
}

#[test]
fn pairs_of_many_answers_are_drawn_by_what_they_say() {
    let four = |order: [usize; 4]| Candidates {
        prompt: "q".into(),
        responses: order.map(|i| ["a", "b", "c", "d"][i].into()).to_vec(),
        line: 1,
    };
    let draw = |order, n, seed| {
        let pairs = UnlabelledPair::of(&[four(order)], n, Key::new(seed, "pool"));
        let mut found: Vec<[String; 2]> = pairs
            .into_iter()
            .map(|pair| {
                let mut texts = pair.answers.map(|a| a.text);
                texts.sort();
                texts
            })
            .collect();
        found.sort();
        found
    };
    assert_eq!(draw([0, 1, 2, 3], 6, 0).len(), 6);
    assert_eq!(draw([0, 1, 2, 3], 99, 0).len(), 6);
    let three = draw([0, 1, 2, 3], 3, 0);
    assert_eq!(three.len(), 3);
    assert_eq!(draw([3, 1, 0, 2], 3, 0), three);
    assert!((1..9).any(|seed| draw([0, 1, 2, 3], 3, seed) != three));
}

#[test]
fn known_and_repeated_pairs_leave_the_pool() {
    let all = pairs();
    let mut pool = shown(&all[..10]);
    pool.extend(shown(&all[3..5]));
    let swapped = PreferencePair {
        chosen: all[1].rejected.clone(),
        rejected: all[1].chosen.clone(),
        ..all[1].clone()
    };
    let counts = UnlabelledPair::retain_new(&mut pool, &[all[0].clone(), swapped]);
    assert_eq!(counts, (2, 2));
    assert_eq!(pool, shown(&all[2..10]));
}

#[test]
fn a_draw_takes_few_pairs_of_a_prompt() {
    // Two pairs of each of 20 prompts.
    let all = shown(&pairs());
    let draw = |pairs: Vec<UnlabelledPair>, n, seed| {
        UnlabelledPair::drawn(pairs, n, Key::new(seed, "pool"))
    };
    let twenty = draw(all.clone(), 20, 0);
    let prompts: std::collections::HashSet<&Prompt> = twenty.iter().map(|p| &p.prompt).collect();
    assert_eq!(prompts.len(), 20);
    let reversed: Vec<UnlabelledPair> = all.iter().rev().cloned().collect();
    assert_eq!(draw(reversed, 20, 0), twenty);
    assert_ne!(draw(all.clone(), 20, 1), twenty);
    assert_eq!(draw(all, 99, 0).len(), 40);
}

#[test]
fn votes_decide_and_an_even_vote_drops() {
    let yes = |i: usize| PreferencePair::new(format!("q{i}"), "a", "b");
    let no = |i: usize| PreferencePair::new(format!("q{i}"), "b", "a");
    let labels = vec![
        yes(0),
        no(1),
        yes(2),
        no(2),
        no(3),
        yes(3),
        yes(3),
        yes(4),
        yes(4),
        no(1),
    ];
    let (kept, votes) = by_majority(labels);
    assert_eq!(kept, [yes(0), no(1), yes(3), yes(4)]);
    assert_eq!((votes.repeated, votes.outvoted, votes.undecided), (3, 1, 1));
}

#[test]
fn a_pipe_of_rows_is_read_once() {
    let rows = "{\"prompt\": \"q\", \"responses\": [\"a\", \"b\"]}\n".repeat(4000);
    let input = Input::from_reader("pipe", std::io::Cursor::new(rows)).unwrap();
    let (found, _) = input.read_unlabelled(&ReadOptions::default()).unwrap();
    assert_eq!(found.len(), 4000);
}
