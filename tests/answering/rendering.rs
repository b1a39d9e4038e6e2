//! Arguments of chat templates in the commands that render conversations.

use super::*;
use crate::common::{run, succeed};

/// Returns the text of the tokens that `data show-tokens` prints.
fn shown(folder: &Path, model: &str, arguments: &[&str]) -> String {
    let fixed = ["show-tokens", "rows.jsonl", "--model", model, "--json"];
    let output = succeed("data", folder, &[&fixed[..], arguments].concat());
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let tokens = found["rows"][0]["sequences"][0]["tokens"]
        .as_array()
        .unwrap();
    tokens
        .iter()
        .map(|token| token["text"].as_str().unwrap())
        .collect()
}

fn workplace() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let model = model(folder.path(), "llama-gqa-tied");
    let messages = |text: &str| json!([{"role": "user", "content": text}]);
    let answer = |text: &str| json!([{"role": "assistant", "content": text}]);
    let row = json!({
        "prompt": messages("the cat"), "chosen": answer("a dog"), "rejected": answer("the bread"),
    });
    let rows: Vec<String> = (0..30).map(|_| row.to_string()).collect();
    fs::write(folder.path().join("rows.jsonl"), rows.join("\n") + "\n").unwrap();
    (folder, model.display().to_string())
}

const NO_THINKING: [&str; 2] = ["--chat-template-kwargs", r#"{"enable_thinking": false}"#];

#[test]
fn variables_of_the_template_change_prompts() {
    let (folder, model) = workplace();
    let folder = folder.path();
    assert!(!shown(folder, &model, &[]).contains("cake"));
    assert!(shown(folder, &model, &NO_THINKING).contains("cake"));
    let greedy = [
        "--model",
        &model,
        "--temperature",
        "0",
        "--max-new-tokens",
        "8",
    ];
    let chat = |more: &[&str], input: &str| {
        let output = piped("chat", folder, &[&greedy[..], more].concat(), input);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    // The same prompt, written by the template or by the user: `cake the cat? `.
    assert_eq!(chat(&NO_THINKING, "the cat\n"), chat(&[], "cake the cat\n"));
    let by_set = ["--set", "chat_template_kwargs.enable_thinking=false"];
    assert_eq!(chat(&by_set, "the cat\n"), chat(&NO_THINKING, "the cat\n"));
    // `score` sees the changed prompt too.
    let scored = |more: &[&str]| {
        let fixed = ["--model", &model, "--data", "rows.jsonl", "--logprobs"];
        text(&succeed("score", folder, &[&fixed[..], more].concat()).stdout)
    };
    assert_ne!(scored(&[]), scored(&NO_THINKING));
}

#[test]
fn a_template_is_chosen_by_its_name() {
    let (folder, model) = workplace();
    let folder = folder.path();
    let further = Path::new(&model).join("additional_chat_templates");
    fs::create_dir(&further).unwrap();
    fs::write(
        further.join("bread.jinja"),
        "bread {{ messages[0].content }} ",
    )
    .unwrap();
    fs::write(Path::new(&model).join("chat_template.jinja"), TEMPLATE).unwrap();
    assert!(!shown(folder, &model, &[]).contains("bread the"));
    assert!(shown(folder, &model, &["--chat-template", "bread"]).starts_with("bread the cat"));
    let chat = ["--model", &model, "--chat-template", "cheese"];
    let says = ["no template named \"cheese\"", "default, bread"];
    refused("chat", folder, &chat, "", &says);
}

#[test]
fn the_date_of_the_template_is_an_option() {
    let (folder, model) = workplace();
    let folder = folder.path();
    let dated = r#"{"dated": true}"#;
    let arguments = [
        "--model",
        &model,
        "--chat-template-kwargs",
        dated,
        "--template-date",
        "1999-12-31",
        "--max-new-tokens",
        "2",
    ];
    let output = piped("chat", folder, &arguments, "the cat\n");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(!text(&output.stderr).contains("today's date"));
    let output = piped(
        "chat",
        folder,
        &[&arguments[..4], &arguments[6..]].concat(),
        "the cat\n",
    );
    let told = text(&output.stderr);
    assert!(
        told.contains("today's date") && told.contains("--template-date"),
        "{told}"
    );
}

#[test]
fn the_arguments_are_options_of_trainings() {
    let (folder, model) = workplace();
    let folder = folder.path();
    let print = |arguments: &[&str]| {
        let fixed = [
            "print",
            "--as",
            "json",
            "dpo",
            "--data",
            "rows.jsonl",
            "--model",
            &model,
        ];
        let output = succeed("config", folder, &[&fixed[..], arguments].concat());
        let config: Value = serde_json::from_slice(&output.stdout).unwrap();
        config
    };
    assert_eq!(print(&[])["chat_template_kwargs"], json!({}));
    fs::write(
        folder.join("c.yaml"),
        "chat_template_kwargs: {enable_thinking: false, budget: 3}\ntemplate_date: 2025-01-31\n\
         on_rewritten_prompt: fail\n",
    )
    .unwrap();
    let config = print(&[
        "--config",
        "c.yaml",
        "--chat-template-kwargs",
        r#"{"tone": "dry"}"#,
        "--set",
        "chat_template_kwargs.budget=4",
    ]);
    let expected = json!({"enable_thinking": false, "budget": 4, "tone": "dry"});
    assert_eq!(config["chat_template_kwargs"], expected);
    assert_eq!(config["template_date"], "2025-01-31");
    assert_eq!(config["on_rewritten_prompt"], "fail");
    // One variable from each source: none replaces another.
    fs::write(
        folder.join("one.json"),
        r#"{"chat_template_kwargs": {"tone": "dry"}}"#,
    )
    .unwrap();
    let config = print(&[&["--config", "one.json"], &NO_THINKING[..]].concat());
    let expected = json!({"enable_thinking": false, "tone": "dry"});
    assert_eq!(config["chat_template_kwargs"], expected);
    let set = ["--set", "chat_template_kwargs.budget=4"];
    let config = print(&[&NO_THINKING[..], &set].concat());
    let expected = json!({"enable_thinking": false, "budget": 4});
    assert_eq!(config["chat_template_kwargs"], expected);
    // A training keeps them in the folder of the run, and a resumed training uses them.
    let fixed = [
        "--data",
        "rows.jsonl",
        "--model",
        &model,
        "--out",
        "run",
        "--steps",
        "1",
    ];
    succeed("sft", folder, &[&fixed[..], &NO_THINKING].concat());
    let config = json(&folder.join("run/config.json"));
    assert_eq!(
        config["chat_template_kwargs"],
        json!({"enable_thinking": false})
    );
}

#[test]
fn arguments_that_nothing_reads_are_refused() {
    let (folder, model) = workplace();
    let folder = folder.path();
    let unread = ["--chat-template-kwargs", r#"{"thinking": false}"#];
    let train = ["--data", "rows.jsonl", "--model", &model, "--out", "run"];
    for (name, fixed) in [
        ("sft", &train[..]),
        ("chat", &["--model", &model]),
        ("generate", &["--model", &model, "--prompt", "a"]),
        (
            "score",
            &["--data", "rows.jsonl", "--model", &model, "--logprobs"],
        ),
    ] {
        let says = ["chat_template_kwargs is thinking", "does not read"];
        refused(name, folder, &[fixed, &unread].concat(), "", &says);
        let text = [fixed, &["--chat-template-kwargs", "thinking"]].concat();
        refused(name, folder, &text, "", &["--chat-template-kwargs"]);
        let date = [fixed, &["--template-date", "31.1.2025"]].concat();
        refused(name, folder, &date, "", &["template_date is 31.1.2025"]);
    }
    let check = ["check", "rows.jsonl", "--template-date", "2025-01-31"];
    refused(
        "data",
        folder,
        &check,
        "",
        &["--template-date", "give --model"],
    );
    refused(
        "sft",
        folder,
        &NO_THINKING,
        "",
        &["chat_template_kwargs works only with data files"],
    );
}

#[test]
fn rewritten_prompts_are_counted_or_refused() {
    let (folder, model) = workplace();
    let folder = folder.path();
    let thinks = "{{ bos_token }}{% for m in messages %}{{ m['content'] + eos_token }}{% endfor %}\
        {% if add_generation_prompt %}cake {% endif %}";
    set(
        Path::new(&model),
        "tokenizer_config.json",
        "chat_template",
        json!(thinks),
    );
    let train = [
        "--data",
        "rows.jsonl",
        "--model",
        &model,
        "--out",
        "run",
        "--steps",
        "1",
    ];
    let fail = ["--on-rewritten-prompt", "fail"];
    let says = [
        "the cat",
        "writes the prompt differently",
        "--on-rewritten-prompt count",
    ];
    refused("sft", folder, &[&train[..], &fail].concat(), "", &says);
    let score = ["--data", "rows.jsonl", "--model", &model, "--logprobs"];
    refused("score", folder, &[&score[..], &fail].concat(), "", &says);
    let output = run("score", folder, &score);
    let told = text(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert!(
        told.contains("30 whose template writes the prompt differently"),
        "{told}"
    );
}
