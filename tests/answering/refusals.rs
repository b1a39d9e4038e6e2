//! Tokenizers and templates that do not fit are refused with one line each.

use super::*;

/// Makes a folder with one row of a conversation and one of plain text.
fn workplace() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let model = model(folder.path(), "llama-gqa-tied");
    let row = json!({
        "prompt": [{"role": "user", "content": "the cat"}],
        "completion": [{"role": "assistant", "content": "a dog"}],
    });
    fs::write(
        folder.path().join("chat.jsonl"),
        format!("{row}\n").repeat(20),
    )
    .unwrap();
    (folder, model)
}

/// Checks that every command that renders a conversation refuses the model.
#[track_caller]
fn all_refuse(folder: &Path, model: &Path, says: &[&str]) {
    let dir = model.display().to_string();
    let data = ["--data", "chat.jsonl", "--model", &dir];
    refused(
        "sft",
        folder,
        &[&data[..], &["--out", "run"]].concat(),
        "",
        says,
    );
    refused(
        "score",
        folder,
        &[&data[..], &["--logprobs"]].concat(),
        "",
        says,
    );
    refused("chat", folder, &["--model", &dir], "the cat\n", says);
    fs::write(
        folder.join("prompts.jsonl"),
        r#"{"prompt": [{"role": "user", "content": "the cat"}]}"#,
    )
    .unwrap();
    let prompts = ["--model", &dir, "--prompts", "prompts.jsonl"];
    refused("generate", folder, &prompts, "", says);
}

#[test]
fn templates_that_do_not_work() {
    let (folder, model) = workplace();
    let folder = folder.path();
    let endless =
        "{% for a in range(9000) %}{% for b in range(9000) %}{{ a }}{% endfor %}{% endfor %}";
    for (template, says) in [
        (endless, "the template does not end"),
        ("{% for m in messages %}", "line 1 of the template"),
        ("{{ messages[0].content | nosuch }}", "nosuch"),
        ("{{ raise_exception('only tools') }}", "only tools"),
    ] {
        set(
            &model,
            "tokenizer_config.json",
            "chat_template",
            json!(template),
        );
        all_refuse(folder, &model, &["chat template", says]);
    }
}

#[test]
fn special_tokens_that_do_not_exist() {
    let (folder, model) = workplace();
    for token in ["eos_token", "pad_token"] {
        let before = fs::read(model.join("tokenizer_config.json")).unwrap();
        set(&model, "tokenizer_config.json", token, json!("<nowhere>"));
        let says = [token, "<nowhere>", "not in the vocabulary"];
        all_refuse(folder.path(), &model, &says);
        fs::write(model.join("tokenizer_config.json"), before).unwrap();
    }
}

#[test]
fn a_folder_without_tokenizer_json() {
    let (folder, model) = workplace();
    fs::remove_file(model.join("tokenizer.json")).unwrap();
    fs::write(model.join("tokenizer.model"), "x").unwrap();
    let says = ["only tokenizer.model", "AutoTokenizer.from_pretrained("];
    all_refuse(folder.path(), &model, &says);
}

#[test]
fn tokens_beyond_the_vocabulary_of_the_model() {
    let (folder, model) = workplace();
    let path = model.join("tokenizer.json");
    let mut tokenizer = json(&path);
    let added = tokenizer["added_tokens"].as_array_mut().unwrap();
    let mut token = added[0].clone();
    token["id"] = json!(64);
    token["content"] = json!("dog");
    token["special"] = json!(false);
    added.push(token);
    fs::write(&path, tokenizer.to_string()).unwrap();
    let dir = model.display().to_string();
    let data = ["--data", "chat.jsonl", "--model", &dir];
    let says = ["dog", "id 64", "below 64"];
    let folder = folder.path();
    refused(
        "sft",
        folder,
        &[&data[..], &["--out", "run"]].concat(),
        "",
        &says,
    );
    refused(
        "score",
        folder,
        &[&data[..], &["--logprobs"]].concat(),
        "",
        &says,
    );
    refused("chat", folder, &["--model", &dir], "a dog\n", &says);
    let prompt = ["--model", &dir, "--prompt", "a dog"];
    refused("generate", folder, &prompt, "", &says);
}

#[test]
fn padded_weights_write_tokens_without_text_and_say_so() {
    let (folder, model) = workplace();
    let folder = folder.path();
    let dir = model.display().to_string();
    let arguments = [
        "--model",
        &dir,
        "--prompt",
        "",
        "--n",
        "4",
        "--max-new-tokens",
        "20",
    ];
    let whole = piped("generate", folder, &arguments, "");
    // A tokenizer without its last words: the weights have more rows.
    let path = model.join("tokenizer.json");
    let mut tokenizer = json(&path);
    let vocab = tokenizer["model"]["vocab"].as_object_mut().unwrap();
    let kept = 40;
    vocab.retain(|_, id| id.as_u64().unwrap() < kept);
    let vocab = vocab.clone();
    let merges = tokenizer["model"]["merges"].as_array_mut().unwrap();
    merges.retain(|merge| {
        let parts: Vec<&str> = match merge {
            Value::String(merge) => merge.split(' ').collect(),
            merge => merge
                .as_array()
                .unwrap()
                .iter()
                .filter_map(Value::as_str)
                .collect(),
        };
        let known = |token: &str| vocab.contains_key(token);
        parts.iter().all(|part| known(part)) && known(&parts.concat())
    });
    fs::write(&path, tokenizer.to_string()).unwrap();
    let padded = piped("generate", folder, &arguments, "");
    let told = text(&padded.stderr);
    assert!(padded.status.success(), "{told}");
    let ids = |output: &Output| -> Vec<u64> {
        let row: Value = serde_json::from_slice(&output.stdout).unwrap();
        let all = row["completions"].as_array().unwrap().iter();
        let all = all.flat_map(|one| one["tokens"].as_array().unwrap());
        all.map(|id| id.as_u64().unwrap()).collect()
    };
    // Nothing is masked: the tokens are those of the whole vocabulary, as in transformers.
    assert_eq!(ids(&padded), ids(&whole));
    let without = ids(&padded).iter().filter(|id| **id >= kept).count();
    assert!(without > 0);
    assert!(
        told.contains(&format!(
            "{without} generated tokens have no text, because the tokenizer does not"
        )),
        "{told}"
    );
    assert!(!text(&whole.stderr).contains("generated tokens have no text"));
}
