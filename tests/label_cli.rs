//! `collimate label` as a process: labels, resume, interrupts, refusals.

mod common;
#[path = "../crates/collimate-label/tests/common/http.rs"]
mod http;

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, ChildStderr, Stdio};

use common::{command, fixture, rows, run, succeed, text, write_rows};
use http::{parts, post};
use serde_json::{Value, json};

/// A running `collimate label`.
struct Labelling {
    child: Child,
    stderr: BufReader<ChildStderr>,
    told: Vec<String>,
    address: SocketAddr,
    key: String,
}

impl Labelling {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut child = command("label")
            .args(arguments)
            .arg("--no-open")
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut told = Vec::new();
        let url = loop {
            let mut line = String::new();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "{told:?}");
            told.push(line.trim_end().to_owned());
            if let Some(url) = line.trim_end().strip_prefix("label at ") {
                break url.to_owned();
            }
        };
        let (address, key) = parts(&url);
        Self {
            child,
            stderr,
            told,
            address,
            key,
        }
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let answer = post(self.address, &self.key, path, body);
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    }

    fn state(&self, labeller: &str) -> Value {
        self.post("/api/state", &json!({ "labeller": labeller }))
    }

    /// Labels a pair by a rule on the two texts.
    fn decide(&self, labeller: &str, rule: impl Fn(&str, &str) -> &'static str) -> Value {
        let state = self.state(labeller);
        let side = |side: &str| state["pair"][side]["plain"].as_str().unwrap().to_owned();
        let choice = rule(&side("left"), &side("right"));
        self.post(
            "/api/decide",
            &json!({
                "labeller": labeller, "token": state["token"], "choice": choice, "seconds": 2.0,
            }),
        )
    }

    /// Waits for the end; returns status, standard output and standard error.
    fn end(mut self) -> (Option<i32>, String, String) {
        let mut stdout = String::new();
        let mut output = self.child.stdout.take().unwrap();
        output.read_to_string(&mut stdout).unwrap();
        let mut stderr = self.told.join("\n");
        self.stderr.read_to_string(&mut stderr).unwrap();
        (self.child.wait().unwrap().code(), stdout, stderr)
    }

    #[cfg(unix)]
    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sent = std::process::Command::new("kill")
            .args([signal, &id])
            .status();
        assert!(sent.unwrap().success());
    }
}

fn yes(left: &str, _: &str) -> &'static str {
    match left.starts_with("yes") {
        true => "left",
        false => "right",
    }
}

fn no(left: &str, right: &str) -> &'static str {
    match yes(left, right) {
        "left" => "right",
        _ => "left",
    }
}

/// Returns the prompt that a state shows; `None` after the last pair.
fn prompt(state: &Value) -> Option<String> {
    let plain = state["pair"]["prompt"][0]["plain"].as_str();
    plain.map(str::to_owned)
}

/// Returns the command that the program prints last.
fn next(stdout: &str) -> &str {
    stdout
        .lines()
        .find_map(|line| line.strip_prefix("next: "))
        .unwrap()
}

fn workplace(pairs: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_rows(&folder.path().join("pairs.jsonl"), &rows(pairs));
    folder
}

fn labels(folder: &Path) -> Vec<Value> {
    let text = fs::read_to_string(folder.join("labels.jsonl")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_session_from_the_first_pair_to_the_numbers() {
    let folder = workplace(10);
    let folder = folder.path();
    let arguments = [
        "--from",
        "pairs.jsonl",
        "--out",
        "labels.jsonl",
        "--name",
        "anna",
        "--limit",
        "10",
    ];
    let labelling = Labelling::start(folder, &arguments);
    let mut done = 0;
    loop {
        let state = labelling.decide("anna", yes);
        done += 1;
        assert_eq!(state["done"], done);
        if state["pair"].is_null() {
            break;
        }
    }
    // Ten pairs and one repeat.
    assert_eq!(done, 11);
    labelling.post("/api/finish", &json!({ "labeller": "anna" }));
    let (code, stdout, stderr) = labelling.end();
    assert_eq!(code, Some(0), "{stderr}");
    for line in [
        "10 labels, 0 ties, 0 skips",
        // Wilson's interval of 1 in 1: 1 / (1 + 1.96²) and 1.
        "consistency on repeated pairs: 100 % (1 of 1, interval 21 to 100 %)",
        "median time of a decision: 2.0 seconds",
        "labels: labels.jsonl",
        "next: collimate ser --labelled labels.jsonl --unlabelled pairs.jsonl --model DIR --out runs/ser",
    ] {
        assert!(
            stdout.lines().any(|found| found == line),
            "{line}: {stdout}"
        );
    }
    let labels = labels(folder);
    assert_eq!(labels.len(), 10);
    for label in &labels {
        assert!(label["chosen"].as_str().unwrap().starts_with("yes"));
        assert!(label["rejected"].as_str().unwrap().starts_with("no"));
        assert_eq!(label["labeller"], "anna");
    }
    // The readers can read the file that was written.
    let read = run("data", folder, &["check", "labels.jsonl"]);
    assert!(read.status.success(), "{}", text(&read.stderr));
}

#[cfg(unix)]
#[test]
fn a_stopped_session_goes_on_where_it_stopped() {
    let folder = workplace(8);
    let folder = folder.path();
    let arguments = ["--from", "pairs.jsonl", "--out", "labels.jsonl"];
    let labelling = Labelling::start(folder, &arguments);
    for _ in 0..3 {
        labelling.decide("me", yes);
    }
    let next = labelling.state("me")["pair"].clone();
    // Not SIGINT: a test in the background of a script inherits that SIGINT is ignored.
    labelling.signal("-TERM");
    let (code, stdout, stderr) = labelling.end();
    assert_eq!(code, Some(143), "{stderr}");
    assert!(
        stdout.starts_with("3 labels, 0 ties, 0 skips\n"),
        "{stdout}"
    );
    let said = "stopped after 3 decisions, 6 to come; run the same command to continue";
    assert_eq!(stderr.lines().last(), Some(said));

    // Killed while writing: the last line is incomplete.
    let journal = folder.join("labels.decisions.jsonl");
    let mut bytes = fs::read(&journal).unwrap();
    bytes.extend_from_slice(b"{\"event\":\"decision\",\"pai");
    fs::write(&journal, bytes).unwrap();
    let labelling = Labelling::start(folder, &arguments);
    let told = labelling.told.join("\n");
    assert!(
        told.contains("dropped an unfinished last line of 24 bytes"),
        "{told}"
    );
    assert!(told.contains("3 decisions and undos so far"), "{told}");
    assert_eq!(labelling.state("me")["pair"], next);
    labelling.signal("-TERM");
    assert_eq!(labelling.end().0, Some(143));
}

/// A prompt with four answers has six pairs, of which up to three are asked.
#[test]
fn pools_of_answers_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let row = json!({ "prompt": "2+2?", "responses": ["1", "2", "3", "4"] });
    fs::write(folder.join("pool.jsonl"), format!("{row}\n")).unwrap();
    for (more, total) in [(&[][..], 3), (&["--pairs-per-prompt", "9"], 6)] {
        let out = format!("labels-{total}.jsonl");
        let arguments = ["--from", "pool.jsonl", "--out", &out, "--repeat", "0"];
        let arguments: Vec<&str> = arguments.iter().chain(more).copied().collect();
        let labelling = Labelling::start(folder, &arguments);
        assert_eq!(labelling.state("me")["total"], total);
        labelling.post("/api/finish", &json!({ "labeller": "me" }));
        assert_eq!(labelling.end().0, Some(0));
    }
    fs::write(folder.join("prompts.jsonl"), "{\"prompt\":\"q\"}\n").unwrap();
    let arguments = ["--from", "prompts.jsonl", "--out", "new.jsonl"];
    let stderr = text(&run("label", folder, &arguments).stderr);
    assert!(
        stderr.contains("prompts.jsonl: no row has two answers"),
        "{stderr}"
    );
}

#[test]
fn rows_without_labels_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let asked = json!([{"role": "user", "content": "2+2?"}]);
    let row = json!({
        "prompt": asked, "response_a": "4", "response_b": "5", "disagreement": 0.3, "probability": 0.6,
    });
    fs::write(folder.join("ask-next.jsonl"), format!("{row}\n")).unwrap();
    let arguments = ["--from", "ask-next.jsonl", "--out", "labels.jsonl"];
    let labelling = Labelling::start(folder, &arguments);
    let four = |left: &str, _: &str| if left == "4" { "left" } else { "right" };
    labelling.decide("me", four);
    labelling.post("/api/finish", &json!({ "labeller": "me" }));
    assert_eq!(labelling.end().0, Some(0));
    let turn = |text: &str| json!([{"role": "assistant", "content": text}]);
    let expected = json!({
        "prompt": asked, "chosen": turn("4"), "rejected": turn("5"), "labeller": "me",
    });
    assert_eq!(labels(folder), [expected]);
}

/// The most useful pairs of `ask-next.jsonl` come first. A labeller who stops early has labelled
/// these.
#[test]
fn pairs_come_in_the_order_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let questions: Vec<String> = (0..12).rev().map(|i| format!("question {i} ?")).collect();
    let row = |prompt: &String| json!({"prompt": prompt, "response_a": "yes", "response_b": "no"});
    let rows: Vec<String> = questions.iter().map(|q| row(q).to_string()).collect();
    write_rows(&folder.join("ask-next.jsonl"), &rows);
    let arguments = ["--from", "ask-next.jsonl", "--out", "labels.jsonl"];
    let arguments = [&arguments[..], &["--repeat", "0.5"]].concat();
    let labelling = Labelling::start(folder, &arguments);
    for name in ["anna", "ben"] {
        let (mut firsts, mut repeats) = (Vec::new(), 0);
        while let Some(asked) = prompt(&labelling.state(name)) {
            match firsts.contains(&asked) {
                true => repeats += 1,
                false => firsts.push(asked),
            }
            labelling.decide(name, yes);
        }
        assert_eq!((&firsts, repeats), (&questions, 6));
    }
    labelling.post("/api/finish", &json!({ "labeller": "anna" }));
    assert_eq!(labelling.end().0, Some(0));
}

/// `ser` finds the labelled pairs in the pool only if both commands read the same prompts.
#[test]
fn dialogues_are_read_as_ser_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let turns = "\n\nHuman: one\n\nAssistant: two\n\nHuman: three\n\nAssistant:";
    let row = json!({"chosen": format!("{turns} yes"), "rejected": format!("{turns} no")});
    fs::write(folder.join("pairs.jsonl"), format!("{row}\n")).unwrap();
    let last = "\n\nHuman: three\n\nAssistant:";
    let other = ["--hh-turns", "full", "--on-bad-row", "drop"];
    let other = [&other[..], &["--pairs-per-prompt", "5"]].concat();
    for (out, more, asked) in [
        ("labels.jsonl", &[][..], last),
        ("others.jsonl", &other[..], turns),
    ] {
        let arguments = ["--from", "pairs.jsonl", "--out", out];
        let labelling = Labelling::start(folder, &[&arguments[..], more].concat());
        labelling.decide("me", |_, _| "left");
        labelling.post("/api/finish", &json!({ "labeller": "me" }));
        let (code, stdout, stderr) = labelling.end();
        assert_eq!(code, Some(0), "{stderr}");
        let label = fs::read_to_string(folder.join(out)).unwrap();
        let label: Value = serde_json::from_str(&label).unwrap();
        assert_eq!(label["prompt"], asked);
        // Options that have the default of `ser` are not repeated.
        let options: String = more.iter().map(|word| format!(" {word}")).collect();
        let files = format!("--labelled {out} --unlabelled POOL.jsonl{options}");
        let command = format!("collimate ser {files} --model DIR --out runs/ser");
        assert_eq!(next(&stdout), command);
    }
}

/// The labeller changes 2 of 25 repeated decisions: c = (1 + √(2 · 23/25 − 1)) / 2 = 0.958.
#[test]
fn the_consistency_gives_the_ceiling_of_the_next_command() {
    let folder = workplace(30);
    let folder = folder.path();
    let arguments = ["--from", "pairs.jsonl", "--out", "labels.jsonl"];
    let arguments = [&arguments[..], &["--repeat", "1"]].concat();
    let labelling = Labelling::start(folder, &arguments);
    let (mut seen, mut repeats) = (HashSet::new(), 0);
    let mut page = labelling.state("me");
    // Too few repeats say nothing.
    assert!(!page["next"].as_str().unwrap().contains("--ceiling"));
    while let Some(asked) = prompt(&page) {
        let again = !seen.insert(asked);
        repeats += usize::from(again);
        page = match again && repeats <= 2 {
            true => labelling.decide("me", no),
            false => labelling.decide("me", yes),
        };
    }
    labelling.post("/api/finish", &json!({ "labeller": "me" }));
    let (code, stdout, stderr) = labelling.end();
    assert_eq!(code, Some(0), "{stderr}");
    for line in [
        // Wilson's interval of 23 in 25, and the same formula of its ends.
        "consistency on repeated pairs: 92 % (23 of 25, interval 75 to 98 %)",
        "labels that are right, derived from the consistency: 96 % (interval 85 to 99 %)",
    ] {
        assert!(stdout.contains(line), "{line}: {stdout}");
    }
    let command = next(&stdout);
    assert_eq!(page["next"], command);
    assert!(command.ends_with(" --ceiling 0.96"), "{command}");

    // `ser` takes the command as it is, with a model.
    let model = fixture("llama-reward").display().to_string();
    let command = command.replace("DIR", &model) + " --print-config";
    let words: Vec<&str> = command.split(' ').skip(2).collect();
    let printed = succeed("ser", folder, &words).stdout;
    let printed: Value = serde_json::from_slice(&printed).unwrap();
    assert_eq!(printed["ser"]["calibrated"]["ceiling"], 0.96);
}

/// Checks that the command ends with one line that contains `says`, and leaves no journal.
#[track_caller]
fn refused(folder: &Path, arguments: &[&str], says: &str) {
    let mut all = vec!["--from", "pairs.jsonl", "--out", "new.jsonl", "--no-open"];
    all.extend(arguments);
    let output = run("label", folder, &all);
    let stderr = text(&output.stderr);
    assert!(!output.status.success(), "{arguments:?}");
    let error = stderr.lines().last().unwrap_or_default();
    assert!(
        error.starts_with("error: ") && error.contains(says),
        "{stderr}"
    );
    assert!(!folder.join("new.decisions.jsonl").exists(), "{stderr}");
}

#[test]
fn bad_options_are_refused_on_one_line() {
    let folder = workplace(4);
    let folder = folder.path();
    refused(
        folder,
        &["--repeat", "1.5"],
        "--repeat is 1.5 but must be in [0, 1]",
    );
    refused(
        folder,
        &["--pairs-per-prompt", "0"],
        "--pairs-per-prompt is 0 but must be at least 1",
    );
    refused(
        folder,
        &["--limit", "0"],
        "--limit is 0 but must be at least 1",
    );
    refused(
        folder,
        &["--name", " "],
        "--name: labeller \" \": give 1 to 64",
    );
    refused(
        folder,
        &["--host", "0.0.0.0"],
        "only this computer may reach",
    );
    refused(folder, &["--host", "192.168.0.7"], "127.0.0.1 or ::1");
    refused(folder, &["--from", "nowhere.jsonl"], "no such file");
    refused(folder, &["--open"], "--no-open");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let says = format!("port {port}: Address already in use");
    refused(folder, &["--port", &port], &says);

    let output = run(
        "label",
        folder,
        &["--from", "pairs.jsonl", "--out", "pairs.jsonl"],
    );
    assert!(text(&output.stderr).contains("is also an input file"));
    write_rows(&folder.join("mine.jsonl"), &rows(1));
    let arguments = ["--from", "pairs.jsonl", "--out", "mine.jsonl", "--no-open"];
    let output = run("label", folder, &arguments);
    assert!(text(&output.stderr).contains("mine.jsonl: the file exists, but its journal"));
    assert_eq!(
        fs::read_to_string(folder.join("mine.jsonl")).unwrap(),
        rows(1).join("\n") + "\n"
    );

    let broken = "{\"prompt\":\"q\",\"response_a\":\"a\",\"response_b\":\"b\"}\n{\"prompt\":7}\n";
    fs::write(folder.join("broken.jsonl"), broken).unwrap();
    refused(
        folder,
        &["--from", "broken.jsonl"],
        "broken.jsonl:2: prompt is neither a text nor a list",
    );
}

#[test]
fn a_second_program_and_other_pairs_are_refused() {
    let folder = workplace(6);
    let folder = folder.path();
    let arguments = ["--from", "pairs.jsonl", "--out", "labels.jsonl"];
    let labelling = Labelling::start(folder, &arguments);
    labelling.decide("me", yes);
    let second = |more: &[&str]| {
        let all: Vec<&str> = arguments.iter().chain(more).copied().collect();
        let output = run("label", folder, &all);
        assert_eq!(output.status.code(), Some(1));
        text(&output.stderr)
    };
    let stderr = second(&["--no-open"]);
    let error = stderr.lines().last().unwrap();
    assert!(
        error.contains("labels.decisions.jsonl: another labelling session writes this file"),
        "{error}"
    );
    labelling.post("/api/finish", &json!({ "labeller": "me" }));
    labelling.end();

    let stderr = second(&["--seed", "3"]);
    assert!(
        stderr.contains("line 1: the labelling began with seed 0: give --seed 0"),
        "{stderr}"
    );
    let others: Vec<String> = rows(20).split_off(10);
    write_rows(&folder.join("pairs.jsonl"), &others);
    let stderr = second(&[]);
    assert!(stderr.contains("line 2: pair "), "{stderr}");
    assert!(
        stderr.contains("is not among the pairs to label"),
        "{stderr}"
    );
}
