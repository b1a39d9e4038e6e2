//! Each format gives the pairs of its rows, and each bad input gives an error or a count.

use std::io::Write;
use std::path::{Path, PathBuf};

use collimate_core::{Message, PreferencePair, Prompt, Role};
use collimate_data::{
    DataError, DropReason, Format, HhTurns, OnBadRow, ReadOptions, SftTurns, read_pairs, read_sft,
};
use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

fn file(dir: &TempDir, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn read(path: &Path) -> (Vec<PreferencePair>, collimate_data::ReadReport) {
    read_pairs(path, &ReadOptions::default()).unwrap()
}

fn message(role: Role, content: &str) -> Message {
    Message::new(role, content)
}

fn texts(pair: &PreferencePair) -> (String, &str, &str) {
    (
        pair.prompt.to_plain(),
        &pair.chosen.text,
        &pair.rejected.text,
    )
}

const HH: &str = r#"{"chosen": "\n\nHuman: a?\n\nAssistant: b\n\nHuman: c?\n\nAssistant: yes", "rejected": "\n\nHuman: a?\n\nAssistant: b\n\nHuman: c?\n\nAssistant: no"}
{"chosen": "\n\nHuman: a?\n\nAssistant: x", "rejected": "\n\nHuman: z?\n\nAssistant: y"}
{"chosen": "\n\nHuman: a?\n\nAssistant: x", "rejected": "\n\nHuman: a?\n\nAssistant: x"}
{"chosen": "\n\nHuman: a?\n\nAssistant: x", "rejected": "\n\nHuman: a?\n\nAssistant: "}
"#;

#[test]
fn hh_dialogues_are_cut_at_the_last_assistant_turn() {
    let dir = TempDir::new().unwrap();
    for path in [
        file(&dir, "hh.jsonl", HH),
        file(&dir, "hh.jsonl.gz", gz(HH.as_bytes())),
    ] {
        let (pairs, report) = read(&path);
        assert_eq!(report.format, Format::HhRlhf);
        assert_eq!((report.rows, report.kept), (4, 1));
        for reason in [
            DropReason::DifferentPrompts,
            DropReason::EqualAnswers,
            DropReason::EmptyCompletion,
        ] {
            assert_eq!(report.dropped_for(reason), 1, "{reason}");
        }
        let full = "\n\nHuman: a?\n\nAssistant: b\n\nHuman: c?\n\nAssistant:";
        assert_eq!(texts(&pairs[0]), (full.to_owned(), " yes", " no"));
        let last = ReadOptions {
            hh_turns: HhTurns::LastTurnOnly,
            ..Default::default()
        };
        let (pairs, again) = read_pairs(&path, &last).unwrap();
        assert_eq!(pairs[0].prompt, "\n\nHuman: c?\n\nAssistant:".into());
        assert_eq!(again.dropped, report.dropped);
    }
}

#[test]
fn several_gzip_members_are_one_file() {
    let dir = TempDir::new().unwrap();
    let mut bytes = gz(br#"{"prompt":"p","chosen":"a","rejected":"b"}
"#);
    bytes.extend(gz(br#"{"prompt":"q","chosen":"a","rejected":"b"}"#));
    assert_eq!(read(&file(&dir, "two.jsonl.gz", bytes)).0.len(), 2);
}

#[test]
fn trl_rows_of_every_form() {
    let dir = TempDir::new().unwrap();
    let rows = r#"{"prompt": "The sky is", "chosen": " blue.", "rejected": " green."}
{"chosen": "The sky is blue.", "rejected": "The sky is green."}
{"prompt": [{"role": "user", "content": "q"}], "chosen": [{"role": "assistant", "content": "a"}], "rejected": [{"role": "assistant", "content": "b"}]}
{"chosen": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], "rejected": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "b"}]}
{"prompt": "q", "chosen": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], "rejected": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "b"}]}
{"prompt": "q", "chosen": [{"role": "assistant", "content": "a"}], "rejected": [{"role": "assistant", "content": "b"}]}
{"prompt": [{"role": "user", "content": "q"}], "chosen": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], "rejected": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "b"}]}
{"chosen": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], "rejected": [{"role": "user", "content": "other"}, {"role": "assistant", "content": "b"}]}
{"chosen": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], "rejected": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
"#;
    let (pairs, report) = read(&file(&dir, "trl.jsonl", rows));
    assert_eq!(report.format, Format::Trl);
    assert_eq!(
        texts(&pairs[0]),
        ("The sky is".to_owned(), " blue.", " green.")
    );
    assert_eq!(texts(&pairs[1]), texts(&pairs[0]));
    let chat = Prompt::Chat(vec![message(Role::User, "q")]);
    assert_eq!(pairs.len(), 7);
    for pair in &pairs[2..] {
        assert_eq!(pair, &PreferencePair::new(chat.clone(), "a", "b"));
    }
    assert_eq!(report.dropped_for(DropReason::DifferentPrompts), 1);
    assert_eq!(report.dropped_for(DropReason::EqualAnswers), 1);
    assert_eq!(report.rows, report.kept + report.dropped_total());
    assert!(
        report
            .to_string()
            .contains("9 rows read as trl, 7 kept, 2 dropped")
    );
}

#[test]
fn two_columns_first_preferred() {
    let dir = TempDir::new().unwrap();
    let csv =
        "\"I ran, fast.\",I fell.\r\n\r\nsame,same\r\n\"two\nlines\",\"a \"\"quoted\"\" word\"\r\n";
    let (pairs, report) = read(&file(&dir, "u.csv", csv));
    assert_eq!((report.rows, report.kept), (3, 2));
    assert_eq!(texts(&pairs[0]), (String::new(), "I ran, fast.", "I fell."));
    assert_eq!(
        texts(&pairs[1]),
        (String::new(), "two\nlines", "a \"quoted\" word")
    );

    let bad = file(&dir, "bad.csv", "a,b\n\"x\ny\",z\na,b,c\n");
    let error = read_pairs(&bad, &ReadOptions::default())
        .unwrap_err()
        .to_string();
    assert!(error.contains("bad.csv:4: 3 columns"), "{error}");
    let drop = ReadOptions {
        on_bad_row: OnBadRow::Drop,
        ..Default::default()
    };
    let (pairs, report) = read_pairs(&bad, &drop).unwrap();
    assert_eq!(
        (pairs.len(), report.dropped_for(DropReason::Malformed)),
        (2, 1)
    );
}

#[test]
fn ultrafeedback_ties_are_dropped() {
    let dir = TempDir::new().unwrap();
    let rows = r#"{"prompt":"p","chosen":"a","rejected":"b","metadata":{"score_chosen":8.5,"score_rejected":6}}
{"prompt":"p","chosen":"a","rejected":"b","metadata":{"score_chosen":7,"score_rejected":7}}
{"prompt":"p","chosen":"a","rejected":"b","metadata":{"score_chosen":5,"score_rejected":7}}
{"prompt":"p","chosen":[{"role":"user","content":"p"},{"role":"assistant","content":"a"}],"rejected":[{"role":"user","content":"p"},{"role":"assistant","content":"b"}],"score_chosen":3,"score_rejected":1}
"#;
    let (pairs, report) = read(&file(&dir, "uf.jsonl", rows));
    assert_eq!(report.format, Format::UltraFeedback);
    assert_eq!(report.dropped_for(DropReason::EqualScores), 1);
    assert_eq!(report.dropped_for(DropReason::ContraryScores), 1);
    let gaps: Vec<_> = pairs.iter().map(|p| p.score_gap).collect();
    assert_eq!(gaps, [Some(2.5), Some(2.0)]);
    assert_eq!(
        pairs[1].prompt,
        Prompt::Chat(vec![message(Role::User, "p")])
    );
}

#[test]
fn ranked_siblings_of_a_tree_are_compared() {
    let dir = TempDir::new().unwrap();
    let tree = r#"{"message_tree_id":"1","prompt":{"text":"q","role":"prompter","replies":[
        {"text":"mid","role":"assistant","rank":1,"replies":[
            {"text":"go on","role":"prompter","rank":0,"replies":[
                {"text":"deep best","role":"assistant","rank":0},
                {"text":"deep worst","role":"assistant","rank":2}]}]},
        {"text":"best","role":"assistant","rank":0,"replies":[]},
        {"text":"also mid","role":"assistant","rank":1,"replies":[]},
        {"text":"unranked","role":"assistant","replies":[]},
        {"text":"gone","role":"assistant","rank":3,"deleted":true,"replies":[]}]}}"#;
    let lonely = r#"{"message_tree_id":"2","prompt":{"text":"q","role":"prompter","replies":[]}}"#;
    let rows = format!("{}\n{lonely}\n", tree.replace('\n', " "));
    let (pairs, report) = read(&file(&dir, "oasst.jsonl", rows));
    assert_eq!(report.format, Format::OasstTrees);
    let got: Vec<_> = pairs.iter().map(texts).collect();
    assert_eq!(
        got,
        [
            ("user: q".to_owned(), "best", "mid"),
            ("user: q".to_owned(), "best", "also mid"),
            (
                "user: q\nassistant: mid\nuser: go on".to_owned(),
                "deep best",
                "deep worst"
            ),
        ]
    );
    assert_eq!(pairs[2].score_gap, Some(2.0));
    assert_eq!(report.dropped_for(DropReason::NoComparison), 1);
}

#[test]
fn summaries_follow_the_choice() {
    let dir = TempDir::new().unwrap();
    let rows = r#"{"info":{"subreddit":"aww","title":"t","post":"body"},"summaries":[{"text":" one"},{"text":" two"}],"choice":1}
{"info":{"article":"news"},"summaries":[{"text":"one"},{"text":"two"}],"choice":0}
"#;
    let (pairs, _) = read(&file(&dir, "tldr.jsonl", rows));
    let reddit = "SUBREDDIT: r/aww\n\nTITLE: t\n\nPOST: body\n\nTL;DR:";
    assert_eq!(texts(&pairs[0]), (reddit.to_owned(), " two", " one"));
    assert_eq!(
        texts(&pairs[1]),
        ("ARTICLE: news\n\nTL;DR:".to_owned(), "one", "two")
    );
    let bad = rows.replace("\"choice\":0", "\"choice\":2");
    let error = read_pairs(file(&dir, "bad.jsonl", bad), &ReadOptions::default()).unwrap_err();
    assert!(matches!(error, DataError::Row { line: 2, .. }), "{error}");
}

#[test]
fn answers_are_compared_by_votes() {
    let dir = TempDir::new().unwrap();
    let rows = r#"{"question":"q","answers":[{"text":"low","pm_score":1},{"text":"high","pm_score":4},{"text":"low too","pm_score":1}]}"#;
    let (pairs, report) = read(&file(&dir, "se.jsonl", rows));
    assert_eq!(report.format, Format::ScoredAnswers);
    let got: Vec<_> = pairs.iter().map(texts).collect();
    assert_eq!(
        got,
        [
            ("q".to_owned(), "high", "low"),
            ("q".to_owned(), "high", "low too")
        ]
    );
    assert_eq!(report.dropped_for(DropReason::EqualScores), 1);
}

#[test]
fn conversations_and_completions_for_fine_tuning() {
    let dir = TempDir::new().unwrap();
    let rows = r#"{"prompt":"a","messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"c"},{"role":"assistant","content":"d"}]}
{"messages":[{"role":"user","content":"a"}]}
"#;
    let path = file(&dir, "chat.jsonl", rows);
    let (examples, report) = read_sft(&path, &ReadOptions::default()).unwrap();
    assert_eq!(report.dropped_for(DropReason::NoAnswer), 1);
    assert_eq!(
        (examples.len(), examples[0].completion.text.as_str()),
        (1, "d")
    );
    assert_eq!(
        examples[0].prompt.to_plain(),
        "user: a\nassistant: b\nuser: c"
    );
    let every = ReadOptions {
        sft_turns: SftTurns::Every,
        ..Default::default()
    };
    assert_eq!(read_sft(&path, &every).unwrap().0.len(), 2);
    assert!(
        read_pairs(&path, &every)
            .unwrap_err()
            .to_string()
            .contains("read_sft")
    );

    let rows = r#"{"prompt":"p","completion":" c"}
{"prompt":[{"role":"user","content":"q"}],"completion":[{"role":"assistant","content":"a"}]}
{"prompt":"p","completion":"  "}
"#;
    let (examples, report) =
        read_sft(file(&dir, "pc.jsonl", rows), &ReadOptions::default()).unwrap();
    assert_eq!(report.format, Format::PromptCompletion);
    assert_eq!(
        (
            examples.len(),
            report.dropped_for(DropReason::EmptyCompletion)
        ),
        (2, 1)
    );
    assert_eq!(examples[1].completion.text, "a");
    let hh = file(&dir, "hh.jsonl", HH);
    assert!(
        read_sft(&hh, &every)
            .unwrap_err()
            .to_string()
            .contains("read_pairs")
    );
}

const GOOD: &str = r#"{"prompt":"p","chosen":"a","rejected":"b"}"#;

/// A case: the problem, the bytes of the file, the line of the error and a word of it, and the drop
/// reason.
type Case = (&'static str, Vec<u8>, usize, &'static str, DropReason);

#[test]
fn a_bad_row_fails_with_its_line_or_is_dropped_with_its_reason() {
    let with = |row: &[u8]| [GOOD.as_bytes(), b"\n\n", row, b"\n", GOOD.as_bytes()].concat();
    let cases: Vec<Case> = vec![
        (
            "malformed",
            with(b"{\"prompt\": "),
            3,
            "not valid JSON",
            DropReason::Malformed,
        ),
        (
            "list",
            with(b"[1]"),
            3,
            "not a JSON object",
            DropReason::Malformed,
        ),
        (
            "missing",
            with(br#"{"prompt":"p","chosen":"a"}"#),
            3,
            "`rejected` is missing",
            DropReason::WrongFields,
        ),
        (
            "null",
            with(br#"{"prompt":"p","chosen":"a","rejected":null}"#),
            3,
            "`rejected` is null",
            DropReason::WrongFields,
        ),
        (
            "type",
            with(br#"{"prompt":"p","chosen":"a","rejected":7}"#),
            3,
            "neither a text",
            DropReason::WrongFields,
        ),
        (
            "role",
            with(br#"{"chosen":[{"role":"robot","content":"x"}],"rejected":[]}"#),
            3,
            "\"robot\"",
            DropReason::WrongFields,
        ),
        (
            "utf8",
            with(b"{\"prompt\":\"\xff\",\"chosen\":\"a\",\"rejected\":\"b\"}"),
            3,
            "UTF-8",
            DropReason::NotUtf8,
        ),
        (
            "first",
            [b"nonsense\n".as_slice(), GOOD.as_bytes()].concat(),
            1,
            "not valid JSON",
            DropReason::Malformed,
        ),
    ];
    let dir = TempDir::new().unwrap();
    for (name, bytes, line, word, reason) in cases {
        let path = file(&dir, &format!("{name}.jsonl"), bytes);
        let error = read_pairs(&path, &ReadOptions::default())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(&format!("{name}.jsonl:{line}: ")),
            "{name}: {error}"
        );
        assert!(
            error.contains(word) && error.contains("repair the row"),
            "{name}: {error}"
        );
        assert_eq!(error.lines().count(), 1);
        let drop = ReadOptions {
            on_bad_row: OnBadRow::Drop,
            ..Default::default()
        };
        let (pairs, report) = read_pairs(&path, &drop).unwrap();
        assert_eq!(report.dropped_for(reason), 1, "{name}: {report}");
        assert_eq!(report.rows, pairs.len() + 1, "{name}");
    }
}

#[test]
fn files_that_hold_nothing_say_so() {
    let dir = TempDir::new().unwrap();
    let error = |path: &Path| read_pairs(path, &ReadOptions::default()).unwrap_err();
    assert!(matches!(
        error(&dir.path().join("no.jsonl")),
        DataError::Missing { .. }
    ));
    let empty = gz(b"");
    let cases: [(&str, &[u8]); 7] = [
        ("a.jsonl", b""),
        ("b.jsonl", b"\n \r\n"),
        ("c.jsonl", b"\xef\xbb\xbf"),
        ("d.jsonl.gz", b""),
        ("e.jsonl.gz", &empty),
        ("f.csv", b""),
        ("g.csv", b"\n\n"),
    ];
    for (name, bytes) in cases {
        let error = error(&file(&dir, name, bytes));
        assert!(matches!(error, DataError::Empty { .. }), "{name}: {error}");
    }
    assert!(error(dir.path()).to_string().contains("a folder"));
    let whole = gz(HH.repeat(500).as_bytes());
    let cut = error(&file(&dir, "cut.jsonl.gz", &whole[..whole.len() - 20])).to_string();
    assert!(cut.contains("end early"), "{cut}");
    let unknown = error(&file(&dir, "u.jsonl", r#"{"turns":[]}"#)).to_string();
    assert!(unknown.contains("turns"), "{unknown}");
    let label = file(
        &dir,
        "k.jsonl",
        r#"{"prompt":"p","completion":"c","label":false}"#,
    );
    assert!(
        read_sft(label, &ReadOptions::default())
            .unwrap_err()
            .to_string()
            .contains("KTO")
    );
}

#[test]
fn marks_and_line_ends_change_nothing() {
    let dir = TempDir::new().unwrap();
    let plain = read(&file(&dir, "plain.jsonl", format!("{GOOD}\n{GOOD}\n"))).0;
    for (name, text) in [
        ("bom.jsonl", format!("\u{feff}{GOOD}\n{GOOD}")),
        ("crlf.jsonl", format!("{GOOD}\r\n\r\n{GOOD}\r\n")),
        ("blank.jsonl", format!("\n{GOOD}\n   \n\n{GOOD}\n\n")),
    ] {
        let (pairs, report) = read(&file(&dir, name, text));
        assert_eq!((&pairs, report.rows), (&plain, 2), "{name}");
    }
    let bom = read(&file(&dir, "bom.csv", "\u{feff}a,b\n")).0;
    assert_eq!(bom[0].chosen.text, "a");
}

#[test]
fn the_format_can_be_given_instead_of_guessed() {
    let dir = TempDir::new().unwrap();
    let path = file(&dir, "hh.jsonl", HH.lines().next().unwrap());
    let trl = ReadOptions {
        format: Some(Format::Trl),
        ..Default::default()
    };
    let (pairs, report) = read_pairs(&path, &trl).unwrap();
    assert_eq!(report.format, Format::Trl);
    assert!(pairs[0].prompt.to_plain().ends_with("Assistant:"));
}
