//! Folders of a Mistral: the effect of the window, and how it is written.

use super::models::check_causal;
use super::*;
use common::edit_config;
use serde_json::json;

fn mistral() -> (PathBuf, Device) {
    let device = collimate_testkit::flex().without_autodiff();
    (fixture("mistral-window"), device)
}

/// Computes log-probabilities of every token of every sequence of the fixture.
fn logps(dir: &Path, device: &Device) -> Vec<Vec<f32>> {
    let model = Llama::load(dir, device).unwrap();
    let expected = json(&fixture("mistral-window").join("expected.json"));
    let sequences = list(&expected, "sequences").iter();
    let logps = sequences.map(|sequence| {
        let batch = common::rows_batch(&model, &[ids(&sequence["ids"])]);
        let hidden = model.hidden_at(&batch, &batch.sources(), Forward::EVAL);
        host(&token_logps(hidden, model.output_head(), &batch))
    });
    logps.collect()
}

#[test]
fn the_window_reaches_the_layers() {
    let (dir, device) = mistral();
    let with = logps(&dir, &device);
    let without = copy(&dir);
    edit_config(without.path(), |c| c["sliding_window"] = json!(null));
    let llama = copy(&dir);
    edit_config(llama.path(), |c| {
        c["sliding_window"] = json!(null);
        c["architectures"] = json!(["LlamaForCausalLM"]);
        c["model_type"] = json!("llama");
    });
    let without = logps(without.path(), &device);
    assert_eq!(without, logps(llama.path(), &device), "else it is a Llama");
    let mut changed = 0;
    for (with, without) in with.iter().zip(&without) {
        // The source of the last target is the last token but one, so five tokens fit into the
        // window.
        let inside = with.len().min(5);
        assert_eq!(with[..inside], without[..inside]);
        assert!(with.len() <= 5 || with[inside..] != without[inside..]);
        changed += usize::from(with != without);
    }
    assert_eq!(changed, 3, "sequences longer than the window");
    let wide = copy(&dir);
    edit_config(wide.path(), |c| c["sliding_window"] = json!(64));
    assert_eq!(logps(wide.path(), &device), without);
}

#[test]
fn what_the_file_leaves_out_is_what_transformers_takes() {
    let (dir, device) = mistral();
    let config = |change: fn(&mut serde_json::Map<String, Value>)| {
        let dir = copy(&dir);
        edit_config(dir.path(), |c| change(c.as_object_mut().unwrap()));
        Llama::load(dir.path(), &device).map(|model| model.config().clone())
    };
    let window = |change| config(change).unwrap().sliding_window;
    assert_eq!(window(|_| {}), Some(5));
    let absent = window(|c| {
        c.remove("sliding_window");
    });
    assert_eq!(absent, Some(4096));
    let null = window(|c| {
        c.insert("sliding_window".into(), json!(null));
    });
    assert_eq!(null, None);
    let layers = window(|c| {
        c.insert("layer_types".into(), json!(vec!["sliding_attention"; 2]));
    });
    assert_eq!(layers, Some(5));
    let length = config(|c| {
        c.remove("max_position_embeddings");
    });
    assert_eq!(length.unwrap().max_position_embeddings, 131_072);
    // Eight key heads do not fit this folder's four query heads.
    let heads = config(|c| {
        c.remove("num_key_value_heads");
    });
    let error = heads.unwrap_err().to_string();
    assert!(error.contains("num_key_value_heads is 8"), "{error}");
}

#[test]
fn a_saved_mistral_is_one() {
    let (dir, device) = mistral();
    let model = Llama::load(&dir, &device).unwrap();
    let out = tempfile::tempdir().unwrap();
    model.save(out.path()).unwrap();
    let config = json(&out.path().join("config.json"));
    assert_eq!(config["architectures"], json!(["MistralForCausalLM"]));
    assert_eq!(config["model_type"], "mistral");
    assert_eq!(config["sliding_window"], 5);
    assert!(config.get("attention_bias").is_none());
    let again = Llama::load(out.path(), &device).unwrap();
    assert_eq!(again.config(), model.config());
    check_causal(out.path(), &json(&dir.join("expected.json")), &device);

    let without = copy(&dir);
    edit_config(without.path(), |c| c["sliding_window"] = json!(null));
    let model = Llama::load(without.path(), &device).unwrap();
    model.save(out.path()).unwrap();
    let config = json(&out.path().join("config.json"));
    // Without a window the function is a Llama's, but the folder was a Mistral's. Transformers
    // takes an absent window as a window of 4096.
    assert_eq!(config["architectures"], json!(["MistralForCausalLM"]));
    assert_eq!(config["model_type"], "mistral");
    assert!(config["sliding_window"].is_null() && config.get("sliding_window").is_some());
    let again = Llama::load(out.path(), &device).unwrap();
    assert_eq!(again.config(), model.config());
}

#[test]
fn a_reward_model_keeps_its_window() {
    let (dir, device) = mistral();
    let fresh = Llama::load_reward(&dir, &device).unwrap();
    assert!(fresh.head.is_none());
    let key = collimate_core::Key::new(1, "head");
    let head = collimate_nn::ScalarHead::new(16, false, 0.1, key, &device);
    let out = tempfile::tempdir().unwrap();
    let backbone = fresh.backbone;
    backbone
        .save_reward(&head, Pooling::LastToken, &saved(Some(0), 64), out.path())
        .unwrap();
    let config = json(&out.path().join("config.json"));
    let name = "MistralForSequenceClassification";
    assert_eq!(config["architectures"], json!([name]));
    assert_eq!(config["model_type"], "mistral");
    let again = Llama::load_reward(out.path(), &device).unwrap();
    assert!(again.head.is_some());
    assert_eq!(again.backbone.config(), backbone.config());
    // The backbone is not a language model.
    let error = Llama::load(out.path(), &device).unwrap_err().to_string();
    assert!(error.contains(name), "{error}");
}
