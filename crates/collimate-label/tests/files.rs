//! Tests the files of a session: journal, labels, lock, and the remains of a killed program.

use std::fs;
use std::path::Path;

use collimate_label::{
    Choice, Desk, Event, LabelError, PairSet, Session, SessionOptions, journal_path,
};

fn session(pairs: usize) -> Session {
    let rows = (0..pairs).map(|i| {
        let text = |what: &str| format!("{what} {i}");
        (
            text("question").into(),
            text("yes").into(),
            text("no").into(),
        )
    });
    Session::new(PairSet::new(rows), SessionOptions::default()).unwrap()
}

fn open(out: &Path) -> Desk {
    Desk::open(session(9), out).unwrap().0
}

fn decide(desk: &mut Desk, name: &str) {
    let token = desk.token(name);
    desk.decide(name, &token, Choice::Left, 1.25).unwrap();
}

fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn the_journal_stands_beside_the_labels() {
    for (out, journal) in [
        ("a/labels.jsonl", "a/labels.decisions.jsonl"),
        ("labels", "labels.decisions.jsonl"),
        ("b.json", "b.json.decisions.jsonl"),
    ] {
        assert_eq!(journal_path(Path::new(out)), Path::new(journal));
    }
}

#[test]
fn every_decision_is_on_disk_before_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("labels.jsonl");
    let mut desk = open(&out);
    let journal = journal_path(&out);
    assert!(!out.exists());
    assert_eq!(
        lines(&journal),
        [r#"{"event":"begin","version":1,"seed":0}"#]
    );
    for done in 1..=4 {
        decide(&mut desk, "anna");
        assert_eq!(lines(&journal).len(), 1 + done);
        assert_eq!(lines(&out).len(), done);
    }
    let Event::Decision(decision) = serde_json::from_str(&lines(&journal)[4]).unwrap() else {
        panic!("a decision");
    };
    assert_eq!(decision.choice, Choice::Left);
    assert_eq!((decision.seconds, decision.repeat), (1.25, false));
    assert!(decision.time > 1_700_000_000);
    let kept = lines(&out);
    let token = desk.token("anna");
    desk.undo("anna", &token).unwrap();
    assert_eq!(lines(&out), kept[..3]);
    assert_eq!(lines(&journal).len(), 6);
    let row: serde_json::Value = serde_json::from_str(&kept[0]).unwrap();
    let text = |key: &str| row[key].as_str().unwrap();
    let number = text("prompt").strip_prefix("question ").unwrap();
    let mut answers = [text("chosen"), text("rejected")];
    answers.sort_unstable();
    assert_eq!(answers, [format!("no {number}"), format!("yes {number}")]);
    assert_eq!(text("labeller"), "anna");
    assert_eq!(row.as_object().unwrap().len(), 4);
}

#[test]
fn a_token_decides_once() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("labels.jsonl");
    let mut desk = open(&out);
    let (first, other) = (desk.token("anna"), desk.token("ben"));
    assert_ne!(first, other);
    desk.decide("anna", &first, Choice::Left, 1.0).unwrap();
    for stale in [first.as_str(), other.as_str(), ""] {
        let again = desk.decide("anna", stale, Choice::Right, 1.0);
        assert!(matches!(again, Err(LabelError::Stale)));
        assert!(matches!(desk.undo("anna", stale), Err(LabelError::Stale)));
    }
    let token = desk.token("anna");
    desk.undo("anna", &token).unwrap();
    // The same pair is shown again, but not under the same token.
    assert!(desk.decide("anna", &first, Choice::Left, 1.0).is_err());
    assert!(desk.session().labels().is_empty());
    // Ben's token does not depend on Anna's decisions.
    desk.decide("ben", &other, Choice::Left, 1.0).unwrap();
}

#[test]
fn a_killed_program_goes_on_wherever_it_was_cut() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("labels.jsonl");
    let journal = journal_path(&out);
    let mut desk = open(&out);
    for _ in 0..3 {
        decide(&mut desk, "anna");
    }
    drop(desk);
    let bytes = fs::read(&journal).unwrap();
    let ends: Vec<usize> = (0..bytes.len()).filter(|&i| bytes[i] == b'\n').collect();
    for cut in 0..bytes.len() {
        fs::write(&journal, &bytes[..cut]).unwrap();
        let (desk, resumed) = Desk::open(session(9), &out).unwrap();
        let whole = ends.iter().filter(|&&end| end < cut).count();
        assert_eq!(resumed.events, whole.saturating_sub(1), "{cut}");
        let start = ends[..whole].last().map_or(0, |end| end + 1);
        assert_eq!(resumed.torn, cut - start, "{cut}");
        assert_eq!(desk.session().labels().len(), resumed.events);
        if resumed.events > 0 {
            assert_eq!(lines(&out).len(), resumed.events);
        }
        drop(desk);
        // The torn part is removed, so that the next event begins a line.
        assert!(fs::read(&journal).unwrap().ends_with(b"\n"));
    }
}

#[test]
fn a_second_program_is_refused_until_the_first_ends() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("labels.jsonl");
    let desk = open(&out);
    let error = Desk::open(session(9), &out).unwrap_err();
    assert!(matches!(error, LabelError::Locked { .. }), "{error}");
    drop(desk);
    open(&out);
}

/// Returns the error of a journal with these lines.
fn wrong(change: impl Fn(&mut Vec<String>)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("labels.jsonl");
    let mut desk = open(&out);
    decide(&mut desk, "anna");
    decide(&mut desk, "anna");
    drop(desk);
    let journal = journal_path(&out);
    let mut all = lines(&journal);
    change(&mut all);
    fs::write(&journal, all.join("\n") + "\n").unwrap();
    let before = fs::read(&journal).unwrap();
    let error = Desk::open(session(9), &out).unwrap_err().to_string();
    assert_eq!(error.lines().count(), 1, "{error}");
    assert_eq!(
        fs::read(&journal).unwrap(),
        before,
        "the journal is changed"
    );
    error
}

#[test]
fn a_journal_that_cannot_be_is_refused_with_its_line() {
    let says = |error: String, parts: &[&str]| {
        for part in parts {
            assert!(error.contains(part), "{part}: {error}");
        }
    };
    says(
        wrong(|all| all[1].insert(5, '}')),
        &["line 2: not a line of a journal", "repair"],
    );
    says(
        wrong(|all| drop(all.remove(0))),
        &["line 1: a journal begins with"],
    );
    says(
        wrong(|all| all.push(all[0].clone())),
        &["line 4: a journal begins with"],
    );
    says(
        wrong(|all| all.push(all[1].clone())),
        &["line 4: anna decided pair ", "twice"],
    );
    says(
        wrong(|all| all[0] = all[0].replace("\"version\":1", "\"version\":9")),
        &["line 1: version 9", "reads version 1"],
    );
    says(
        wrong(|all| {
            let start = all[1].find("\"pair\":\"").unwrap() + 8;
            all[1].replace_range(start..start + 32, &"0".repeat(32));
        }),
        &["line 2: pair 00000000", "not among the pairs", "--from"],
    );
    says(
        wrong(|all| {
            let undo = all[1].replace("\"event\":\"decision\"", "\"event\":\"undo\"");
            all.push(undo);
        }),
        &["line 4: the undo of pair ", "does not follow"],
    );
    says(
        wrong(|all| all[1].push('\0')),
        &["line 2: not a line of a journal"],
    );
}

#[test]
fn labels_without_a_journal_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("labels.jsonl");
    fs::write(&out, "mine\n").unwrap();
    let error = Desk::open(session(9), &out).unwrap_err();
    assert!(matches!(error, LabelError::Unknown { .. }), "{error}");
    assert_eq!(fs::read(&out).unwrap(), b"mine\n");
    assert!(!journal_path(&out).exists());
}

#[test]
fn an_undo_of_everything_leaves_an_empty_file() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("labels.jsonl");
    let mut desk = open(&out);
    for _ in 0..4 {
        decide(&mut desk, "anna");
    }
    for _ in 0..4 {
        let token = desk.token("anna");
        desk.undo("anna", &token).unwrap();
    }
    assert_eq!(fs::read(&out).unwrap(), b"");
    let token = desk.token("anna");
    assert!(matches!(
        desk.undo("anna", &token),
        Err(LabelError::Nothing(_))
    ));
}
