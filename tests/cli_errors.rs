//! Bad input: one line that names file, line or option and what to do, and nothing left behind.

mod common;

use std::fs;
use std::path::Path;
use std::time::Instant;

use common::{copy_folder, fixture, rows, run, text, tiny_world, write_rows};
use serde_json::{Value, json};

/// Fails unless the command ends with one line that starts with `error:` and holds all of `says`,
/// and leaves nothing at `out`.
#[track_caller]
fn refused(name: &str, folder: &Path, arguments: &[&str], says: &[&str]) {
    let mut all = arguments.to_vec();
    all.extend(["--out", "out"]);
    let output = run(name, folder, &all);
    let stderr = text(&output.stderr);
    let case = format!("{name} {}:\n{stderr}", all.join(" "));
    assert!(!output.status.success(), "{case}");
    assert_eq!(stderr.lines().count(), 1, "{case}");
    assert!(stderr.starts_with("error: "), "{case}");
    for part in says {
        assert!(stderr.contains(part), "{part:?} is not in: {case}");
    }
    assert!(!folder.join("out").exists(), "left something: {case}");
    assert!(output.stdout.is_empty(), "{case}");
}

/// A folder with good data, and a model's path.
fn workplace() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    write_rows(&folder.path().join("good.jsonl"), &rows(60));
    (folder, fixture("llama-reward").display().to_string())
}

/// `refused` by both examples.
#[track_caller]
fn data_refused(folder: &Path, model: &str, file: &str, says: &[&str]) {
    let arguments = ["--data", file, "--model", model, "--max-length", "64"];
    refused("ser", folder, &arguments, says);
    refused("score", folder, &arguments, says);
}

#[test]
fn data_files() {
    let (folder, model) = workplace();
    let folder = folder.path();
    data_refused(
        folder,
        &model,
        "none.jsonl",
        &["none.jsonl", "no such file"],
    );
    fs::write(folder.join("empty.jsonl"), "").unwrap();
    data_refused(folder, &model, "empty.jsonl", &["empty.jsonl", "is empty"]);
    fs::write(folder.join("blank.jsonl"), "\n\n").unwrap();
    data_refused(folder, &model, "blank.jsonl", &["blank.jsonl", "is empty"]);

    let with = |name: &str, line: usize, row: &str| {
        let mut rows = rows(60);
        rows[line - 1] = row.to_owned();
        write_rows(&folder.join(name), &rows);
    };
    with("malformed.jsonl", 3, r#"{"prompt": "a", "chosen": "#);
    data_refused(
        folder,
        &model,
        "malformed.jsonl",
        &["malformed.jsonl:3:", "not valid JSON"],
    );
    with("half.jsonl", 7, r#"{"prompt": "a", "chosen": "b"}"#);
    data_refused(
        folder,
        &model,
        "half.jsonl",
        &["half.jsonl:7:", "`rejected` is missing"],
    );

    let mut bytes = (rows(2).join("\n") + "\n").into_bytes();
    bytes.extend(b"{\"prompt\": \"\xff\", \"chosen\": \"a\", \"rejected\": \"b\"}\n");
    fs::write(folder.join("latin.jsonl"), bytes).unwrap();
    data_refused(
        folder,
        &model,
        "latin.jsonl",
        &["latin.jsonl:3:", "not valid UTF-8"],
    );
}

#[test]
fn data_without_a_usable_pair() {
    let (folder, model) = workplace();
    let folder = folder.path();
    let row = |value: Value| value.to_string();
    let same = row(json!({"prompt": "p", "chosen": "a", "rejected": "a"}));
    write_rows(&folder.join("same.jsonl"), &vec![same; 5]);
    data_refused(
        folder,
        &model,
        "same.jsonl",
        &["same.jsonl", "equal answers: 5"],
    );
    let other = row(json!({
        "chosen": "\n\nHuman: one thing\n\nAssistant: yes",
        "rejected": "\n\nHuman: another thing\n\nAssistant: no",
    }));
    write_rows(&folder.join("other.jsonl"), &vec![other; 5]);
    data_refused(
        folder,
        &model,
        "other.jsonl",
        &["other.jsonl", "different prompts: 5"],
    );
    write_rows(&folder.join("one.jsonl"), &rows(1));
    let one = [
        "--data",
        "one.jsonl",
        "--model",
        &model,
        "--max-length",
        "64",
    ];
    refused("ser", folder, &one, &["has no pair", "give more data"]);
}

#[test]
fn a_bad_row_can_be_dropped() {
    let (folder, model) = workplace();
    let mut rows = rows(10);
    rows[2] = r#"{"prompt": "p"}"#.to_owned();
    write_rows(&folder.path().join("data.jsonl"), &rows);
    let arguments = ["--data", "data.jsonl", "--model", &model];
    let output = run("score", folder.path(), &arguments);
    assert!(text(&output.stderr).contains("on_bad_row: drop"));
    let dropping = [&arguments[..], &["--on-bad-row", "drop"]].concat();
    let output = common::succeed("score", folder.path(), &dropping);
    assert_eq!(text(&output.stdout).lines().count(), 9);
}

#[cfg(unix)]
#[test]
fn a_reader_that_goes_away_is_no_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = common::command("ser")
        .arg("--print-config")
        .stdout(writer)
        .output()
        .unwrap();
    assert!(output.status.success());
    let stderr = text(&output.stderr);
    assert!(!stderr.contains("panicked"), "{stderr}");
}

#[test]
fn a_row_with_equal_answers_is_dropped_and_counted() {
    let (folder, model) = workplace();
    let mut rows = rows(10);
    rows[4] = json!({"prompt": "p", "chosen": "a", "rejected": "a"}).to_string();
    write_rows(&folder.path().join("data.jsonl"), &rows);
    let arguments = ["--data", "data.jsonl", "--model", &model];
    let output = common::succeed("score", folder.path(), &arguments);
    assert_eq!(text(&output.stdout).lines().count(), 9);
    assert!(text(&output.stderr).contains("10 rows read as trl, 9 kept, 1 dropped"));
}

#[test]
fn model_folders() {
    let (folder, _) = workplace();
    let folder = folder.path();
    let refused_model =
        |model: &str, says: &[&str]| data_refused(folder, model, "good.jsonl", says);
    refused_model("none", &["none: no such folder", "config.json"]);
    fs::create_dir(folder.join("empty")).unwrap();
    refused_model("empty", &["empty/config.json"]);

    let copy = |name: &str| {
        let path = folder.join(name);
        copy_folder(&fixture("llama-reward"), &path);
        path
    };
    fs::remove_file(copy("speechless").join("tokenizer.json")).unwrap();
    refused_model("speechless", &["speechless: no tokenizer.json"]);

    let config = copy("shape").join("config.json");
    let mut value = common::json(&config);
    value["intermediate_size"] = json!(7);
    fs::write(&config, value.to_string()).unwrap();
    let shape = [
        "shape/model.safetensors",
        "mlp.gate_proj.weight",
        "config.json asks for [7, 32]",
    ];
    refused_model("shape", &shape);

    let config = copy("alien").join("config.json");
    let mut value = common::json(&config);
    value["architectures"] = json!(["MambaForCausalLM"]);
    value["model_type"] = json!("mamba");
    fs::write(&config, value.to_string()).unwrap();
    refused_model("alien", &["alien/config.json", "MambaForCausalLM"]);

    fs::write(copy("cut").join("model.safetensors"), b"short").unwrap();
    refused_model("cut", &["cut/model.safetensors"]);

    let good = ["--data", "good.jsonl", "--model"];
    let bert = fixture("bert-mean").display().to_string();
    let arguments = [&good[..], &[&bert, "--logprobs"]].concat();
    refused(
        "score",
        folder,
        &arguments,
        &["BertModel", "LlamaForCausalLM"],
    );
    let plain = fixture("llama-untied").display().to_string();
    let arguments = [&good[..], &[&plain]].concat();
    refused("score", folder, &arguments, &["without a reward head"]);
}

/// Every weight of the folder becomes NaN.
fn poison(weights: &Path) {
    let mut bytes = fs::read(weights).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    for value in bytes[8 + header..].chunks_exact_mut(4) {
        value.copy_from_slice(&f32::NAN.to_le_bytes());
    }
    fs::write(weights, bytes).unwrap();
}

#[test]
fn a_loss_that_is_not_a_number_stops_the_run() {
    let (folder, _) = workplace();
    let folder = folder.path();
    copy_folder(&fixture("llama-reward"), &folder.join("nan"));
    poison(&folder.join("nan/model.safetensors"));
    let arguments = [
        "--data",
        "good.jsonl",
        "--model",
        "nan",
        "--max-length",
        "64",
    ];
    let output = run("ser", folder, &[&arguments[..], &["--out", "out"]].concat());
    let stderr = text(&output.stderr);
    assert!(!output.status.success(), "{stderr}");
    let errors: Vec<&str> = stderr.lines().filter(|l| l.starts_with("error:")).collect();
    assert_eq!(errors, [stderr.lines().last().unwrap()]);
    assert!(
        errors[0].contains("stage loop0, step 1: the loss is NaN"),
        "{stderr}"
    );
    assert!(errors[0].contains("lower learning_rate"), "{stderr}");
    // A run folder that says what was tried, and no result.
    for result in ["model", "summary.json", "report.md", "plots"] {
        assert!(!folder.join("out").join(result).exists(), "{result}");
    }
    let output = run(
        "score",
        folder,
        &[&arguments[..], &["--out", "scores"]].concat(),
    );
    let stderr = text(&output.stderr);
    assert!(!output.status.success());
    let last = stderr.lines().last().unwrap();
    assert!(last.starts_with("error: nan: chosen_score of row 1 is not a finite number"));
    assert!(!folder.join("scores").exists());
}

#[test]
fn options() {
    let (folder, model) = workplace();
    let folder = folder.path();
    let cases: [(&[&str], &[&str]); 13] = [
        (
            &["--tau-high", ".4", "--tau-low", ".6"],
            &["tau_low = 0.6", "tau_high = 0.4"],
        ),
        (
            &["--tau-high", ".4"],
            &["tau_high = 0.4", "<= tau_high < 1"],
        ),
        (
            &["--seed-share", "0"],
            &["seed_share is 0", "between 0 and 1"],
        ),
        (
            &["--seed-share", "1"],
            &["seed_share is 1", "between 0 and 1"],
        ),
        (&["--seed-share", "NaN"], &["seed_share is NaN"]),
        (&["--lr", "2"], &["learning_rate is 2", "at most 1"]),
        (&["--batch", "0"], &["batch_size is 0"]),
        (&["--max-kept", "0"], &["max_kept = 0"]),
        (&["--max-length", "2"], &["max_length is 2"]),
        (
            &["--max-length", "9999"],
            &["max_length is 9999", "the model takes at most"],
        ),
        (&["--controls", "none"], &["--controls none", "longer_seed"]),
        (&["--pooling", "cls"], &["pooling is for data files"]),
        (&["--resume"], &["--resume: out holds no run"]),
    ];
    for (arguments, says) in cases {
        refused("ser", folder, arguments, says);
    }
    let files = ["--data", "good.jsonl", "--model", &model];
    let long = [&files[..], &["--max-length", "65"]].concat();
    refused(
        "ser",
        folder,
        &long,
        &["max_length is 65", "at most 64 tokens"],
    );
    refused(
        "score",
        folder,
        &long,
        &["--max-length 65", "at most 64 tokens"],
    );
    let pooled = [&files[..], &["--pooling", "mean"]].concat();
    refused("ser", folder, &pooled, &["pooling is \"mean\"", "decoder"]);
    if !cfg!(feature = "cuda") {
        refused("ser", folder, &["--device", "cuda"], &["--features cuda"]);
        let on_cuda = [&files[..], &["--device", "cuda"]].concat();
        refused("score", folder, &on_cuda, &["--features cuda"]);
    }
}

#[test]
fn configuration_files() {
    let (folder, _) = workplace();
    let folder = folder.path();
    let config = |text: &str, says: &[&str]| {
        fs::write(folder.join("config.json"), text).unwrap();
        refused("ser", folder, &["--config", "config.json"], says);
    };
    config(
        "{\"bogus\": 1}",
        &["config.json", "unknown field `bogus`", "line 1"],
    );
    config(
        "{\"ser\":\n{\"train\": {\"lr\": 1}}}",
        &["unknown field `lr`", "line 2"],
    );
    config(
        "{\"ser\": {\"loss\": {\"hinge\": {\"margin\": -1}}}}",
        &["margin"],
    );
    config("{\"world\": {\"pairs\": 0}}", &["pairs is 0"]);
    config(
        "{\"data\": \"good.jsonl\"}",
        &["data and model go together"],
    );
    config("not JSON", &["config.json", "line 1"]);
    refused(
        "ser",
        folder,
        &["--config", "none.json"],
        &["none.json", "No such file"],
    );
}

#[test]
fn usage_errors_name_the_option() {
    let (folder, model) = workplace();
    for (name, arguments, says) in [
        ("ser", vec!["--device", "tpu"], "--device"),
        ("ser", vec!["--data", "good.jsonl"], "--model"),
        ("ser", vec!["--format", "xml"], "--format"),
        ("ser", vec!["--stop-after", "tea"], "--stop-after"),
        ("ser", vec!["--bogus"], "--bogus"),
        ("score", vec!["--model", &model], "--data"),
        (
            "score",
            vec!["--data", "good.jsonl", "--model", &model, "--device", "tpu"],
            "--device",
        ),
    ] {
        let output = run(name, folder.path(), &arguments);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{name} {arguments:?}");
        assert!(
            stderr.starts_with("error:") && stderr.contains(says),
            "{stderr}"
        );
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(!folder.path().join("runs").exists());
    }
}

#[test]
fn the_folder_of_a_run_is_not_its_model() {
    let (folder, model) = workplace();
    let run = folder.path().join("run");
    copy_folder(Path::new(&model), &run.join("model"));
    fs::write(run.join("report.md"), "").unwrap();
    let arguments = ["--data", "good.jsonl", "--model", "run"];
    refused("score", folder.path(), &arguments, &["run/model"]);
}

#[test]
fn a_file_given_twice_is_refused() {
    let (folder, model) = workplace();
    let arguments = [
        "--data",
        "good.jsonl",
        "--test",
        "good.jsonl",
        "--model",
        &model,
    ];
    refused("ser", folder.path(), &arguments, &["good.jsonl", "twice"]);
}

#[test]
fn a_resumed_run_looks_for_its_files_where_it_was_started() {
    let (folder, model) = workplace();
    let out = folder.path().join("run");
    fs::create_dir(&out).unwrap();
    let config = json!({"data": "elsewhere.jsonl", "model": model});
    fs::write(out.join("config.json"), config.to_string()).unwrap();
    let output = run("ser", folder.path(), &["--resume", "--out", "run"]);
    let stderr = text(&output.stderr);
    assert!(!output.status.success());
    assert!(
        stderr.contains("elsewhere.jsonl") && stderr.contains("started in"),
        "{stderr}"
    );
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1, "left something");
}

#[test]
fn places_to_write() {
    let (folder, model) = workplace();
    let folder = folder.path();
    let place = |name: &str, arguments: &[&str], out: &str, says: &[&str]| {
        let output = run(name, folder, &[arguments, &["--out", out]].concat());
        let stderr = text(&output.stderr);
        assert!(!output.status.success(), "{stderr}");
        assert_eq!(
            stderr.lines().filter(|l| l.starts_with("error:")).count(),
            1,
            "{stderr}"
        );
        for part in says {
            assert!(stderr.contains(part), "{part:?} is not in {stderr}");
        }
    };
    let config = tiny_world(folder).display().to_string();
    let world = ["--config", config.as_str()];
    fs::create_dir_all(folder.join("run")).unwrap();
    fs::write(folder.join("run/config.json"), "{\"kept\": true}").unwrap();
    place("ser", &world, "run", &["run holds a run", "--resume"]);
    assert_eq!(
        fs::read(folder.join("run/config.json")).unwrap(),
        b"{\"kept\": true}"
    );
    assert_eq!(fs::read_dir(folder.join("run")).unwrap().count(), 1);
    fs::create_dir_all(folder.join("photos")).unwrap();
    fs::write(folder.join("photos/cat.png"), "cat").unwrap();
    place(
        "ser",
        &world,
        "photos",
        &["photos/cat.png", "is in the way"],
    );
    assert_eq!(fs::read_dir(folder.join("photos")).unwrap().count(), 1);
    place("ser", &world, "good.jsonl", &["good.jsonl: is a file"]);
    let score = ["--data", "good.jsonl", "--model", &model];
    place(
        "score",
        &score,
        "none/scores",
        &["--out none/scores", "does not exist"],
    );
    place("score", &score, "photos", &["--out photos: is a folder"]);
}

/// Seconds to score a file with one line of `megabytes`.
fn seconds_for(megabytes: usize) -> f64 {
    let (folder, model) = workplace();
    let mut all = rows(3);
    let long = "no , not this one . ".repeat(megabytes * 1_000_000 / 20);
    all.push(json!({"prompt": "why ?", "chosen": "yes", "rejected": long}).to_string());
    write_rows(&folder.path().join("long.jsonl"), &all);
    let arguments = ["--data", "long.jsonl", "--model", &model];
    let started = Instant::now();
    let output = common::succeed("score", folder.path(), &arguments);
    let seconds = started.elapsed().as_secs_f64();
    let stderr = text(&output.stderr);
    assert!(
        stderr.contains("1 of 4 rows were cut to 64 tokens"),
        "{stderr}"
    );
    assert_eq!(text(&output.stdout).lines().count(), 4);
    seconds
}

#[test]
fn a_long_line_takes_linear_time() {
    // The best of three, taken in turns: other work on the machine disturbs both alike.
    let (mut one, mut four) = (f64::MAX, f64::MAX);
    for _ in 0..3 {
        one = one.min(seconds_for(1));
        four = four.min(seconds_for(4));
    }
    assert!(four < 8.0 * one, "1 MB: {one:.2} s, 4 MB: {four:.2} s");
}
