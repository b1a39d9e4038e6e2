//! Model folders that are refused, and a model that breaks.

use super::*;

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
    // A tied model has no output matrix to leave out, which would be reported first.
    let plain = fixture("llama-gqa-tied").display().to_string();
    let arguments = [&good[..], &[&plain]].concat();
    refused("score", folder, &arguments, &["without a reward head"]);
}

/// Fills those tensors of a folder's weights whose names end in `ending`.
fn fill(weights: &Path, ending: &str, value: f32) {
    let mut bytes = fs::read(weights).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    for (name, tensor) in header.as_object().unwrap() {
        if name.ends_with(ending) {
            let at = |index: usize| tensor["data_offsets"][index].as_u64().unwrap() as usize;
            let values = &mut bytes[8 + length..][at(0)..at(1)];
            for number in values.chunks_exact_mut(4) {
                number.copy_from_slice(&value.to_le_bytes());
            }
        }
    }
    fs::write(weights, bytes).unwrap();
}

/// Makes a model whose weights are all finite but whose outputs are not.
pub(crate) fn poison(weights: &Path) {
    fill(weights, "input_layernorm.weight", f32::MAX);
}

#[test]
fn weights_that_are_no_numbers() {
    let (folder, _) = workplace();
    let folder = folder.path();
    copy_folder(&fixture("llama-reward"), &folder.join("nan"));
    fill(
        &folder.join("nan/model.safetensors"),
        "q_proj.weight",
        f32::NAN,
    );
    let says = ["nan/model.safetensors", "self_attn.q_proj.weight holds NaN"];
    data_refused(folder, "nan", "good.jsonl", &says);
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
    let more = ["--simulate", "--recipe", "paper", "--seed-steps", "epochs"];
    let more = [&more[..], &["--ask", "0", "--out", "out"]].concat();
    let output = run("ser", folder, &[&arguments[..], &more].concat());
    let stderr = text(&output.stderr);
    assert!(!output.status.success(), "{stderr}");
    let errors: Vec<&str> = stderr.lines().filter(|l| l.starts_with("error:")).collect();
    assert_eq!(errors, [stderr.lines().last().unwrap()]);
    assert!(
        errors[0].contains("stage loop0, step 1: the loss is NaN"),
        "{stderr}"
    );
    assert!(errors[0].contains("lower learning_rate"), "{stderr}");
    // The run folder holds the options of the attempt, and no result.
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
fn the_folder_of_a_run_is_not_its_model() {
    let (folder, model) = workplace();
    let run = folder.path().join("run");
    copy_folder(Path::new(&model), &run.join("model"));
    fs::write(run.join("journal.json"), "{}").unwrap();
    let arguments = ["--data", "good.jsonl", "--model", "run"];
    refused("score", folder.path(), &arguments, &["run/model"]);
}
