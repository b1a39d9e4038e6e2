//! Saved folders, and other forms of the same folder.

use super::models::check_causal;
use super::*;

/// Reads the tensors of a file, sorted by name: name, shape and bytes.
fn tensors(path: &Path) -> Vec<(String, Vec<usize>, Vec<u8>)> {
    let bytes = std::fs::read(path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut all: Vec<_> = file
        .tensors()
        .into_iter()
        .map(|(name, view)| (name, view.shape().to_vec(), view.data().to_vec()))
        .collect();
    all.sort();
    all
}

fn write_f32(path: &Path, tensors: &[(String, Vec<usize>, Vec<u8>)]) {
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view =
            safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes);
        (name.clone(), view.unwrap())
    });
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

const WEIGHTS: &str = "model.safetensors";

fn round_trip<M: HfFolder>(name: &str, device: &Device) {
    let dir = fixture(name);
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    M::load(&dir, device).unwrap().save(first.path()).unwrap();
    M::load(first.path(), device)
        .unwrap()
        .save(second.path())
        .unwrap();
    for file in [WEIGHTS, "config.json"] {
        let read = |dir: &Path| std::fs::read(dir.join(file)).unwrap();
        assert!(
            read(first.path()) == read(second.path()),
            "{name}: {file} changed"
        );
    }
    let leave_out = |name: &str| {
        name.contains("position_ids") || name.contains("pooler") || name.starts_with("classifier")
    };
    let original: Vec<_> = tensors(&dir.join(WEIGHTS))
        .into_iter()
        .filter(|(name, ..)| !leave_out(name))
        .map(|(name, shape, bytes)| (name.trim_start_matches("bert.").to_owned(), shape, bytes))
        .collect();
    assert!(
        tensors(&first.path().join(WEIGHTS)) == original,
        "{name}: tensors changed"
    );
}

#[test]
fn saving_gives_back_the_same_bytes() {
    for (_, device) in plain_devices() {
        round_trip::<Llama>("llama-gqa-tied", &device);
        round_trip::<Llama>("llama-untied", &device);
        round_trip::<Llama>("mistral-window", &device);
        round_trip::<Encoder>("bert-mean", &device);
        round_trip::<Encoder>("bert-cls-prefixed", &device);
    }
}

#[test]
fn a_saved_reward_folder_gives_back_the_same_bytes() {
    let device = collimate_testkit::flex().without_autodiff();
    let dir = fixture("llama-reward");
    let parts = Llama::load_reward(&dir, &device).unwrap();
    let out = tempfile::tempdir().unwrap();
    let head = parts.head.unwrap();
    parts
        .backbone
        .save_reward(&head, parts.pooling, &saved(Some(0), 64), out.path())
        .unwrap();
    assert!(tensors(&out.path().join(WEIGHTS)) == tensors(&dir.join(WEIGHTS)));
    let config = json(&out.path().join("config.json"));
    assert_eq!(config["architectures"][0], "LlamaForSequenceClassification");
    assert_eq!(config["pad_token_id"], 0);
    // The backbone is not a language model.
    let error = Llama::load(out.path(), &device).unwrap_err().to_string();
    assert!(error.contains("LlamaForSequenceClassification"), "{error}");
}

/// Folders that hold the same model in another form.
#[test]
fn other_forms_of_the_same_folder() {
    let device = collimate_testkit::flex().without_autodiff();
    let tied = fixture("llama-gqa-tied");
    let expected = json(&tied.join("expected.json"));
    let all = tensors(&tied.join(WEIGHTS));
    let renamed = |rename: &dyn Fn(&str) -> String| -> Vec<_> {
        all.iter()
            .map(|(name, shape, bytes)| (rename(name), shape.clone(), bytes.clone()))
            .collect()
    };

    // The shared matrix has only the output's name.
    let dir = copy(&tied);
    let lm_head = |name: &str| name.replace("model.embed_tokens.weight", "lm_head.weight");
    write_f32(&dir.path().join(WEIGHTS), &renamed(&lm_head));
    check_causal(dir.path(), &expected, &device);

    // The shared matrix has both names.
    let mut both = all.clone();
    let embedding = all
        .iter()
        .find(|(name, ..)| name == "model.embed_tokens.weight");
    let (_, shape, bytes) = embedding.unwrap().clone();
    both.push(("lm_head.weight".to_owned(), shape, bytes));
    write_f32(&dir.path().join(WEIGHTS), &both);
    check_causal(dir.path(), &expected, &device);

    // The tensors have the names of the bare model.
    let bare = |name: &str| name.trim_start_matches("model.").to_owned();
    write_f32(&dir.path().join(WEIGHTS), &renamed(&bare));
    check_causal(dir.path(), &expected, &device);

    // The weights are in two shards with an index.
    std::fs::remove_file(dir.path().join(WEIGHTS)).unwrap();
    let (left, right) = all.split_at(all.len() / 2);
    let mut map = serde_json::Map::new();
    for (file, part) in [("a.safetensors", left), ("b.safetensors", right)] {
        write_f32(&dir.path().join(file), part);
        map.extend(
            part.iter()
                .map(|(name, ..)| (name.clone(), Value::from(file))),
        );
    }
    let index = serde_json::json!({"metadata": {"total_size": 0}, "weight_map": map});
    let path = dir.path().join("model.safetensors.index.json");
    std::fs::write(path, index.to_string()).unwrap();
    check_causal(dir.path(), &expected, &device);
}

#[test]
fn half_precision_files_are_widened() {
    let device = collimate_testkit::flex().without_autodiff();
    let dir = copy(&fixture("llama-gqa-tied"));
    let all = tensors(&dir.path().join(WEIGHTS));
    // bf16 is the upper half of f32. Setting the lower half to zero leaves an f32 file with the
    // same values.
    let cut = |bytes: &[u8], keep_zeros: bool| -> Vec<u8> {
        let wide = bytes.chunks_exact(4);
        match keep_zeros {
            true => wide.flat_map(|b| [0, 0, b[2], b[3]]).collect(),
            false => wide.flat_map(|b| [b[2], b[3]]).collect(),
        }
    };
    let wide: Vec<_> = all
        .iter()
        .map(|(name, shape, bytes)| (name.clone(), shape.clone(), cut(bytes, true)))
        .collect();
    let narrow: Vec<_> = all.iter().map(|(_, _, bytes)| cut(bytes, false)).collect();
    let views = all.iter().zip(&narrow).map(|((name, shape, _), bytes)| {
        let dtype = safetensors::Dtype::BF16;
        let view = safetensors::tensor::TensorView::new(dtype, shape.clone(), bytes);
        (name.clone(), view.unwrap())
    });
    let file = safetensors::serialize(views, None).unwrap();
    std::fs::write(dir.path().join(WEIGHTS), file).unwrap();
    let out = tempfile::tempdir().unwrap();
    let model = Llama::load(dir.path(), &device).unwrap();
    model.save(out.path()).unwrap();
    assert!(tensors(&out.path().join(WEIGHTS)) == wide);
}

#[test]
fn a_pack_without_targets_has_log_probability_zero() {
    for (_, device) in plain_devices() {
        let model = Llama::load(&fixture("llama-gqa-tied"), &device).unwrap();
        let mut pack = Pack::new();
        pack.push_shared(&[1, 5], &[&[]]);
        let batch = pack.to_device(Llama::VISIBILITY, &device);
        assert_eq!(
            host(&completion_logps(&model, &batch, Forward::EVAL)),
            [0.0]
        );
    }
}
