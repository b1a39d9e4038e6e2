//! Folders of sentence-transformers: no module is left out silently.

use super::*;
use collimate_nn::Pooling;

/// Creates a reward folder of an encoder.
fn reward() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let model = Encoder::load(&fixture("bert-mean"), &device()).unwrap();
    model
        .save_reward(&head(32, true), Pooling::Cls, &saved(None, 32), dir.path())
        .unwrap();
    dir
}

fn modules(dir: &Path, list: &[(&str, &str)]) {
    let entry = |(path, kind): &(&str, &str)| {
        let kind = format!("sentence_transformers.models.{kind}");
        value!({"path": path, "type": kind})
    };
    let list: Vec<Value> = list.iter().map(entry).collect();
    std::fs::write(dir.join("modules.json"), Value::from(list).to_string()).unwrap();
}

#[test]
fn modules_are_those_that_the_folder_names() {
    let dir = reward();
    let (pooling, dense) = (dir.path().join("1_Pooling"), dir.path().join("2_Dense"));
    std::fs::rename(pooling, dir.path().join("pool")).unwrap();
    std::fs::rename(dense, dir.path().join("score")).unwrap();
    modules(
        dir.path(),
        &[("", "Transformer"), ("pool", "Pooling"), ("score", "Dense")],
    );
    let parts = Encoder::load_reward(dir.path(), &device()).unwrap();
    assert!(parts.head.is_some() && parts.pooling == Pooling::Cls);
    for (list, part) in [
        (
            &[("", "Transformer"), ("pool", "Pooling"), ("3", "LayerNorm")][..],
            "LayerNorm",
        ),
        (
            &[("", "Transformer"), ("score", "Dense")],
            "module 1 of type Dense",
        ),
        (
            &[
                ("", "Transformer"),
                ("pool", "Pooling"),
                ("score", "Dense"),
                ("4", "Dense"),
            ],
            "module 3 of type Dense",
        ),
        (
            &[
                ("", "Transformer"),
                ("pool", "Pooling"),
                ("score", "Dense"),
                ("4", "Normalize"),
            ],
            "module 3 of type Normalize",
        ),
    ] {
        modules(dir.path(), list);
        let error = Encoder::load_reward(dir.path(), &device()).unwrap_err();
        check(&error, &["modules.json", part]);
    }
    // A new head reads the states before they are normalised, so a warning says so.
    modules(
        dir.path(),
        &[("", "Transformer"), ("pool", "Pooling"), ("2", "Normalize")],
    );
    let (parts, told) = warned(|| Encoder::load_reward(dir.path(), &device()).unwrap());
    assert!(parts.head.is_none());
    assert!(told.contains("Normalize is not part"), "{told}");
}

#[test]
fn a_head_that_cannot_be_read_is_not_replaced() {
    // The weights are missing (they may be in a .bin), or the activation is not named.
    let dir = reward();
    std::fs::remove_file(dir.path().join("2_Dense/model.safetensors")).unwrap();
    let error = Encoder::load_reward(dir.path(), &device()).unwrap_err();
    check(&error, &["2_Dense", "cannot read"]);
    for (key, given, part) in [
        (
            "activation_function",
            None,
            "activation_function is missing",
        ),
        ("use_residual", Some(value!(true)), "use_residual = true"),
    ] {
        let dir = reward();
        let path = dir.path().join("2_Dense/config.json");
        let mut config = json(&path);
        config[key] = given.into();
        std::fs::write(&path, config.to_string()).unwrap();
        check(
            &Encoder::load_reward(dir.path(), &device()).unwrap_err(),
            &[part],
        );
    }
}

#[test]
fn a_head_without_a_bias_is_one() {
    let dir = reward();
    let dense = dir.path().join("2_Dense");
    edit_tensors(&dense, |tensors| tensors.retain(|t| t.0 != "linear.bias"));
    let error = Encoder::load_reward(dir.path(), &device()).unwrap_err();
    check(&error, &["linear.bias is missing"]);
    let path = dense.join("config.json");
    let mut config = json(&path);
    config["bias"] = value!(false);
    std::fs::write(&path, config.to_string()).unwrap();
    let head = Encoder::load_reward(dir.path(), &device())
        .unwrap()
        .head
        .unwrap();
    assert!(head.bias.is_none());
}

#[test]
fn rules_for_texts_are_told() {
    let dir = reward();
    let settings = value!({"max_seq_length": 32, "do_lower_case": true});
    std::fs::write(
        dir.path().join("sentence_bert_config.json"),
        settings.to_string(),
    )
    .unwrap();
    let (_, told) = warned(|| Encoder::load_reward(dir.path(), &device()).unwrap());
    assert!(told.contains("do_lower_case"), "{told}");
    let dir = reward();
    let (_, told) = warned(|| Encoder::load_reward(dir.path(), &device()).unwrap());
    assert_eq!(told, "");
    let prompts = value!({"prompts": {"query": "query: "}, "default_prompt_name": "query"});
    let path = dir.path().join("config_sentence_transformers.json");
    std::fs::write(path, prompts.to_string()).unwrap();
    let (_, told) = warned(|| Encoder::load_reward(dir.path(), &device()).unwrap());
    assert!(told.contains("default_prompt_name = query"), "{told}");
}
