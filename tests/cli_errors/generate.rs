//! Wrong options, prompts and models of `generate`.

use super::*;

#[test]
fn generate_options_and_prompts() {
    let (folder, reward) = workplace();
    let folder = folder.path();
    let model = fixture("llama-gqa-tied").display().to_string();
    let refused = |arguments: &[&str], says: &[&str]| {
        let all = [&["--model", &model], arguments].concat();
        refused("generate", folder, &all, says);
    };
    let options: [(&[&str], &[&str]); 8] = [
        (&["--n", "0"], &["--n is 0", "at least 1"]),
        (
            &["--temperature", "-1"],
            &["--temperature is -1", "at least 0"],
        ),
        (&["--top-p", "0"], &["--top-p is 0", "above 0, at most 1"]),
        (&["--top-p", "1.5"], &["--top-p is 1.5"]),
        (
            &["--repetition-penalty", "0"],
            &["--repetition-penalty is 0", "above 0"],
        ),
        (
            &["--max-new-tokens", "0"],
            &["--max-new-tokens is 0", "at least 1"],
        ),
        (&["--stop", ""], &["--stop", "at least one character"]),
        (&["--batch", "0"], &["--batch is 0", "at least 1"]),
    ];
    for (option, says) in options {
        refused(&[&["--prompt", "a"], option].concat(), says);
    }
    let long = "a ".repeat(80);
    refused(
        &["--prompt", "a", "--prompt", &long],
        &["--prompt number 2 has", "shorten"],
    );
    refused(&["--prompts", "none.txt"], &["none.txt", "no such file"]);
    let file = |name: &str, text: &str, says: &[&str]| {
        fs::write(folder.join(name), text).unwrap();
        refused(&["--prompts", name], says);
    };
    file("empty.txt", "\n\n", &["empty.txt: no prompt"]);
    file(
        "p.jsonl",
        "{\"prompt\": \"a\"}\nno\n",
        &["p.jsonl:2: not a row", "\"prompt\""],
    );
    file(
        "p.jsonl",
        "{\"prompt\": 3}\n",
        &["p.jsonl:1", "neither a text nor a list"],
    );
    file(
        "p.jsonl",
        "{\"text\": \"a\"}\n",
        &["p.jsonl:1", "neither prompt nor messages"],
    );
    let chat = "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}\n";
    file("p.jsonl", chat, &["p.jsonl:1", "--chat-fallback plain"]);
    let with_model = |model: &str, says: &[&str]| {
        let arguments = ["--prompt", "a", "--model", model];
        super::refused("generate", folder, &arguments, says);
    };
    with_model("none", &["none: no such folder"]);
    with_model(
        &reward,
        &["LlamaForSequenceClassification", "LlamaForCausalLM"],
    );
    copy_folder(Path::new(&model), &folder.join("nan"));
    models::poison(&folder.join("nan/model.safetensors"));
    with_model(
        "nan",
        &["--prompt: after 0 new tokens", "weights are broken"],
    );
}
