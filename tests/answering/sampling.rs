//! `generation_config.json` as the defaults of `generate` and `chat`.

use super::*;

/// Returns the answers of `generate`, and the lines on standard error.
#[track_caller]
fn generate(folder: &Path, model: &Path, arguments: &[&str]) -> (Value, String) {
    let dir = model.display().to_string();
    let all = [
        &["--model", &dir, "--prompt", "the cat", "--n", "3"],
        arguments,
    ]
    .concat();
    let output = piped("generate", folder, &all, "");
    let told = text(&output.stderr);
    assert!(output.status.success(), "{told}");
    let row: Value = serde_json::from_slice(&output.stdout).unwrap();
    (row["completions"].clone(), told)
}

/// Makes two copies of a model: one whose folder sets sampling options, one whose folder sets none.
fn two(folder: &Path, asks: Value) -> (PathBuf, PathBuf) {
    let with = model(folder, "llama-gqa-tied");
    let without = folder.join("without");
    copy_folder(&with, &without);
    fs::write(with.join("generation_config.json"), asks.to_string()).unwrap();
    (with, without)
}

#[test]
fn the_folder_decides_what_no_flag_decides() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let asks = json!({
        "do_sample": true, "temperature": 0.7, "top_p": 0.9, "top_k": 12, "max_new_tokens": 6,
        "repetition_penalty": 1.3, "num_beams": 4, "no_repeat_ngram_size": 2, "min_p": 0.0,
        "eos_token_id": [2, 9], "transformers_version": "4.40.0", "use_cache": true,
    });
    let (with, without) = two(folder, asks);
    set(
        &without,
        "generation_config.json",
        "eos_token_id",
        json!([2, 9]),
    );
    let flags = [
        "--temperature",
        "0.7",
        "--top-p",
        "0.9",
        "--top-k",
        "12",
        "--max-new-tokens",
        "6",
        "--repetition-penalty",
        "1.3",
    ];
    let (by_flags, told) = generate(folder, &without, &flags);
    assert!(!told.contains("generation_config"), "{told}");
    let (by_folder, told) = generate(folder, &with, &[]);
    assert_eq!(by_folder, by_flags);
    let line = told.lines().next().unwrap();
    assert!(
        line.ends_with(
            "generation_config.json: temperature 0.7, top_p 0.9, repetition_penalty 1.3, top_k 12, \
             max_new_tokens 6; not applied: no_repeat_ngram_size 2, num_beams 4"
        ),
        "{line}"
    );
    // Flags take precedence, and the values that they replace are not reported.
    let greedy = ["--temperature", "0"];
    let (mixed, told) = generate(folder, &with, &greedy);
    let all = [&greedy[..], &flags[2..]].concat();
    assert_eq!(mixed, generate(folder, &without, &all).0);
    let line = told.lines().next().unwrap();
    assert!(
        !line.contains("temperature") && line.contains("top_p 0.9"),
        "{line}"
    );
}

#[test]
fn do_sample_false_is_greedy_and_absent_keeps_the_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (with, without) = two(
        folder,
        json!({"do_sample": false, "temperature": 0.6, "top_k": 5}),
    );
    let short = ["--max-new-tokens", "6"];
    let (greedy, told) = generate(folder, &with, &short);
    let flags = ["--max-new-tokens", "6", "--temperature", "0"];
    assert_eq!(greedy, generate(folder, &without, &flags).0);
    for part in [
        "do_sample false (greedy)",
        "not applied: temperature 0.6 (do_sample is false), top_k 5 (do_sample is false)",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    // A file without sampling options changes nothing and is not reported.
    fs::write(
        with.join("generation_config.json"),
        r#"{"eos_token_id": 2}"#,
    )
    .unwrap();
    let (plain, told) = generate(folder, &with, &short);
    assert_eq!(plain, generate(folder, &without, &short).0);
    assert!(!told.contains("generation_config"), "{told}");
    // Values without `do_sample` count; a length that counts the prompt cannot be applied.
    fs::write(
        with.join("generation_config.json"),
        r#"{"temperature": 0.5, "max_length": 40, "stop_strings": ["dog"]}"#,
    )
    .unwrap();
    let (found, told) = generate(folder, &with, &short);
    let flags = [
        "--max-new-tokens",
        "6",
        "--temperature",
        "0.5",
        "--stop",
        "dog",
    ];
    assert_eq!(found, generate(folder, &without, &flags).0);
    assert!(
        told.contains("not applied: max_length 40 (it counts the prompt's tokens too)"),
        "{told}"
    );
}

#[test]
fn a_file_and_set_stand_between_folder_and_end() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (with, without) = two(folder, json!({"temperature": 0.5, "max_new_tokens": 5}));
    fs::write(folder.join("c.yaml"), "temperature: 0.9\ntop_k: 7\n").unwrap();
    fs::write(folder.join("c.toml"), "temperature = 0.9\ntop_k = 7\n").unwrap();
    let expected = |temperature, top_k| {
        let flags = [
            "--temperature",
            temperature,
            "--top-k",
            top_k,
            "--max-new-tokens",
            "5",
        ];
        generate(folder, &without, &flags).0
    };
    for file in ["c.yaml", "c.toml"] {
        let found = generate(folder, &with, &["--config", file]).0;
        assert_eq!(found, expected("0.9", "7"));
    }
    let flag = ["--config", "c.yaml", "--temperature", "0.2"];
    assert_eq!(generate(folder, &with, &flag).0, expected("0.2", "7"));
    let all = [&flag[..], &["--set", "temperature=3", "--set", "top_k=4"]].concat();
    assert_eq!(generate(folder, &with, &all).0, expected("3", "4"));
}

#[test]
fn wrong_values_are_told_with_file_and_key() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (with, _) = two(folder, json!({}));
    let dir = with.display().to_string();
    let arguments = ["--model", &dir, "--prompt", "a"];
    for (key, value, says) in [
        (
            "temperature",
            json!(-1),
            "temperature is -1 but must be a number of at least 0",
        ),
        (
            "top_p",
            json!(7),
            "top_p is 7 but must be above 0, at most 1",
        ),
        ("top_k", json!(-3), "top_k is -3: expected a whole number"),
        (
            "top_p",
            json!("high"),
            "top_p is \"high\": expected a number",
        ),
        (
            "max_new_tokens",
            json!(0),
            "max_new_tokens is 0 but must be at least 1",
        ),
        ("do_sample", json!("yes"), "do_sample"),
        ("stop_strings", json!(3), "stop_strings is 3"),
    ] {
        fs::write(
            with.join("generation_config.json"),
            json!({key: value}).to_string(),
        )
        .unwrap();
        refused(
            "generate",
            folder,
            &arguments,
            "",
            &["generation_config.json", says],
        );
        refused(
            "chat",
            folder,
            &["--model", &dir],
            "",
            &["generation_config.json", says],
        );
    }
    fs::write(with.join("generation_config.json"), "{}").unwrap();
    fs::write(folder.join("c.yaml"), "temprature: 1\n").unwrap();
    let of_file = [&arguments[..], &["--config", "c.yaml"]].concat();
    refused(
        "generate",
        folder,
        &of_file,
        "",
        &["c.yaml:1", "temprature", "temperature"],
    );
    fs::write(folder.join("c.yaml"), "temperature: -2\n").unwrap();
    refused(
        "generate",
        folder,
        &of_file,
        "",
        &["temperature is -2", "c.yaml"],
    );
    for (set, says) in [
        ("top_p=7", "top_p is 7"),
        ("nothing=1", "nothing"),
        ("top_k", "OPTION=VALUE"),
    ] {
        let all = [&arguments[..], &["--set", set]].concat();
        refused("generate", folder, &all, "", &[set, says]);
    }
}
