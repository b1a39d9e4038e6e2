//! The same numbers as transformers, from the same folders.

mod common;

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use collimate_lm::{Bert, Llama};
use collimate_nn::{
    Adaptable, Backbone, CausalLm, Forward, HfFolder, HfReward, Lora, Pack, Pooling,
    completion_logps, pool, token_logps,
};
use collimate_testkit::host;
use common::{Worst, check_hidden, copy, fixture, fixtures, ids, json, numbers, plain_devices};
use serde_json::Value;

fn list<'a>(value: &'a Value, key: &str) -> &'a Vec<Value> {
    value[key].as_array().expect("a list")
}

/// Log-probabilities of all sequences of `expected`: alone, and all in one pack.
fn check_logps<M: CausalLm>(
    worst: &mut Worst,
    name: &str,
    model: &M,
    expected: &Value,
    f: Forward,
) {
    let sequences = list(expected, "sequences");
    let rows: Vec<Vec<u32>> = sequences.iter().map(|s| ids(&s["ids"])).collect();
    let together = common::rows_batch(model, &rows);
    let all = host(&token_logps(
        model.hidden(&together, f),
        model.output_weight(),
        &together,
    ));
    let wanted: Vec<f64> = sequences
        .iter()
        .flat_map(|s| numbers(&s["token_logps"]))
        .collect();
    worst.see(&format!("{name}: token log-probs of a pack"), &all, &wanted);

    let mut pack = Pack::new();
    for (sequence, ids) in sequences.iter().zip(&rows) {
        let start = sequence["completion_start"].as_u64().unwrap() as usize;
        let alone = common::rows_batch(model, std::slice::from_ref(ids));
        let values = token_logps(model.hidden(&alone, f), model.output_weight(), &alone);
        let what = format!("{name}: token log-probs of {ids:?} alone");
        worst.see(&what, &host(&values), &numbers(&sequence["token_logps"]));
        let index = pack.push_shared(&ids[..start], &[&ids[start..]]).start;
        let count = sequence["completion_tokens"].as_u64().unwrap() as usize;
        assert_eq!(pack.sequences()[index].targets.len(), count);
    }
    let batch = pack.to_device(M::VISIBILITY, &model.device());
    let sums = host(&completion_logps(model, &batch, f));
    let wanted: Vec<f64> = sequences
        .iter()
        .flat_map(|s| numbers(&s["completion_logp"]))
        .collect();
    worst.see(&format!("{name}: completion log-probs"), &sums, &wanted);
}

fn check_causal(dir: &Path, expected: &Value, device: &Device) -> f64 {
    let name = dir.display().to_string();
    let model = Llama::load(dir, device).unwrap();
    let mut worst = Worst::default();
    let sequences = list(expected, "sequences");
    let rows: Vec<Vec<u32>> = sequences.iter().map(|s| ids(&s["ids"])).collect();
    let batch = common::rows_batch(&model, &rows);
    let hidden = common::hidden_rows(&model, &batch, Forward::EVAL);
    for (sequence, place) in sequences.iter().zip(batch.sequences.iter()) {
        let mine: Vec<Vec<f32>> = place.rows.iter().map(|&row| hidden[row].clone()).collect();
        check_hidden(&mut worst, &name, &mine, sequence);
    }
    check_logps(&mut worst, &name, &model, expected, Forward::EVAL);
    let mut pack = Pack::new();
    let mut wanted = Vec::new();
    for pair in list(expected, "pairs") {
        let (chosen, rejected) = (ids(&pair["chosen"]), ids(&pair["rejected"]));
        pack.push_shared(&ids(&pair["prompt"]), &[&chosen, &rejected]);
        wanted.extend(numbers(&pair["chosen_logp"]));
        wanted.extend(numbers(&pair["rejected_logp"]));
    }
    let batch = pack.to_device(Llama::VISIBILITY, device);
    let logps = host(&completion_logps(&model, &batch, Forward::EVAL));
    worst.see(
        &format!("{name}: pairs with a shared prompt"),
        &logps,
        &wanted,
    );
    for case in list(expected, "greedy") {
        let mut sequence = ids(&case["prompt"]);
        for wanted in ids(&case["new_ids"]) {
            let batch = common::rows_batch(&model, std::slice::from_ref(&sequence));
            let last = pool(
                model.hidden(&batch, Forward::EVAL),
                &batch,
                Pooling::LastToken,
            );
            let logits = host(&last.matmul(model.output_weight().transpose()));
            let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
            assert_eq!(best, Some(wanted as usize), "{name}: after {sequence:?}");
            sequence.push(wanted);
        }
    }
    worst.0
}

fn check_encoder(dir: &Path, expected: &Value, device: &Device) -> f64 {
    let name = dir.display().to_string();
    let model = Bert::load(dir, device).unwrap();
    let mut worst = Worst::default();
    let sequences = list(expected, "sequences");
    let rows: Vec<Vec<u32>> = sequences.iter().map(|s| ids(&s["ids"])).collect();
    let batch = common::rows_batch(&model, &rows);
    let hidden = common::hidden_rows(&model, &batch, Forward::EVAL);
    let means = pool(model.hidden(&batch, Forward::EVAL), &batch, Pooling::Mean);
    let width = means.dims()[1];
    let means = host(&means);
    for (index, (sequence, place)) in sequences.iter().zip(batch.sequences.iter()).enumerate() {
        let mine: Vec<Vec<f32>> = place.rows.iter().map(|&row| hidden[row].clone()).collect();
        check_hidden(&mut worst, &name, &mine, sequence);
        let mean = &means[index * width..(index + 1) * width];
        let sum: f64 = mean.iter().map(|&v| f64::from(v)).sum();
        let square: f64 = mean.iter().map(|&v| f64::from(v).powi(2)).sum();
        for (key, actual) in [
            ("mean", mean),
            ("mean_8", &mean[..8]),
            ("mean_sum", &[sum as f32]),
            ("mean_norm", &[square.sqrt() as f32]),
        ] {
            if !sequence[key].is_null() {
                worst.see(&format!("{name} {key}"), actual, &numbers(&sequence[key]));
            }
        }
    }
    worst.0
}

#[test]
fn decoders() {
    for (device_name, device) in plain_devices() {
        for name in ["llama-gqa-tied", "llama-untied"] {
            let dir = fixture(name);
            let worst = check_causal(&dir, &json(&dir.join("expected.json")), &device);
            println!("{name} on {device_name}: largest relative error {worst:.1e}");
        }
    }
}

#[test]
fn decoder_on_a_tracked_device() {
    let dir = fixture("llama-gqa-tied");
    check_causal(
        &dir,
        &json(&dir.join("expected.json")),
        &collimate_testkit::flex(),
    );
}

/// Loading must not freeze what it fills.
#[test]
fn a_loaded_model_trains() {
    fn check<M: Backbone + HfFolder>(name: &str, device: &Device) {
        let model = M::load(&fixture(name), device).unwrap();
        let batch = common::rows_batch(&model, &[vec![1, 5, 6, 2]]);
        let hidden = model.hidden(&batch, Forward::EVAL);
        let grads = common::gradients(&model, &(hidden.clone() * hidden).sum().backward());
        let all = collimate_nn::parameters(&model);
        let reached: Vec<_> = all
            .iter()
            .filter(|p| !p.path.starts_with("lm_head"))
            .collect();
        assert_eq!(grads.len(), reached.len(), "{name}");
        assert!(all.iter().all(|p| p.trainable), "{name}");
    }
    for (_, device) in collimate_testkit::devices() {
        check::<Llama>("llama-gqa-tied", &device);
        check::<Llama>("llama-untied", &device);
        check::<Bert>("bert-mean", &device);
    }
}

#[test]
fn encoders() {
    for (device_name, device) in plain_devices() {
        for name in ["bert-mean", "bert-cls-prefixed"] {
            let dir = fixture(name);
            let worst = check_encoder(&dir, &json(&dir.join("expected.json")), &device);
            println!("{name} on {device_name}: largest relative error {worst:.1e}");
        }
    }
}

#[test]
fn decoder_reward_model() {
    let dir = fixture("llama-reward");
    let expected = json(&dir.join("expected.json"));
    for (device_name, device) in plain_devices() {
        let parts = Llama::load_reward(&dir, &device).unwrap();
        let head = parts.head.expect("the folder has a head");
        assert_eq!(parts.pooling, Pooling::LastToken);
        let sequences = list(&expected, "sequences");
        let rows: Vec<Vec<u32>> = sequences.iter().map(|s| ids(&s["ids"])).collect();
        let batch = common::rows_batch(&parts.backbone, &rows);
        let hidden = parts.backbone.hidden(&batch, Forward::EVAL);
        let scores = host(&head.forward(pool(hidden, &batch, parts.pooling)));
        let wanted: Vec<f64> = sequences
            .iter()
            .flat_map(|s| numbers(&s["score"]))
            .collect();
        let mut worst = Worst::default();
        worst.see("scores", &scores, &wanted);
        let hidden = common::hidden_rows(&parts.backbone, &batch, Forward::EVAL);
        for (sequence, place) in sequences.iter().zip(batch.sequences.iter()) {
            let mine: Vec<Vec<f32>> = place.rows.iter().map(|&r| hidden[r].clone()).collect();
            check_hidden(&mut worst, "llama-reward", &mine, sequence);
        }
        println!(
            "llama-reward on {device_name}: largest relative error {:.1e}",
            worst.0
        );
    }
}

/// The fixture's adapters, attached.
fn with_adapters(mut model: Llama, lora: &Value, device: &Device) -> Llama {
    let scale = lora["config"]["alpha"].as_f64().unwrap() / lora["config"]["r"].as_f64().unwrap();
    let matrix = |value: &Value| -> Tensor<2> {
        let rows: Vec<Vec<f64>> = value.as_array().unwrap().iter().map(numbers).collect();
        let shape = [rows.len(), rows[0].len()];
        let values: Vec<f32> = rows.into_iter().flatten().map(|v| v as f32).collect();
        Tensor::from_data(TensorData::new(values, shape), device)
    };
    let mut attached = 0;
    for (path, linear) in model.linears_mut() {
        if let Some(entry) = list(lora, "adapters")
            .iter()
            .find(|e| e["module"] == path.as_str())
        {
            linear.lora = Some(Lora {
                a: burn::module::Param::from_tensor(matrix(&entry["lora_A"])),
                b: burn::module::Param::from_tensor(matrix(&entry["lora_B"])),
                scale,
                dropout: 0.0,
            });
            attached += 1;
        }
    }
    assert_eq!(attached, list(lora, "adapters").len());
    model
}

#[test]
fn adapters() {
    let dir = fixture("llama-gqa-tied");
    let (base, lora) = (
        json(&dir.join("expected.json")),
        json(&dir.join("lora.json")),
    );
    for (device_name, device) in plain_devices() {
        let model = with_adapters(Llama::load(&dir, &device).unwrap(), &lora, &device);
        let mut worst = Worst::default();
        check_logps(&mut worst, "adapters on", &model, &lora, Forward::EVAL);
        check_logps(
            &mut worst,
            "adapters off",
            &model,
            &base,
            Forward::REFERENCE,
        );
        // What is saved is the adapted model.
        let out = tempfile::tempdir().unwrap();
        model.save(out.path()).unwrap();
        let mut saved = Llama::load(out.path(), &device).unwrap();
        assert!(!saved.has_lora());
        check_logps(&mut worst, "saved", &saved, &lora, Forward::EVAL);
        let merged = model.merged();
        check_logps(&mut worst, "merged", &merged, &lora, Forward::EVAL);
        check_logps(
            &mut worst,
            "merged, off",
            &merged,
            &lora,
            Forward::REFERENCE,
        );
        println!(
            "adapters on {device_name}: largest relative error {:.1e}",
            worst.0
        );
    }
}

/// Tensors of a file by name, sorted: dtype, shape and bytes.
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
        round_trip::<Bert>("bert-mean", &device);
        round_trip::<Bert>("bert-cls-prefixed", &device);
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
        .save_reward(&head, parts.pooling, Some(0), 64, out.path())
        .unwrap();
    assert!(tensors(&out.path().join(WEIGHTS)) == tensors(&dir.join(WEIGHTS)));
    let config = json(&out.path().join("config.json"));
    assert_eq!(config["architectures"][0], "LlamaForSequenceClassification");
    assert_eq!(config["pad_token_id"], 0);
    // Its backbone is no language model.
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

    // The shared matrix under the output's name only.
    let dir = copy(&tied);
    let lm_head = |name: &str| name.replace("model.embed_tokens.weight", "lm_head.weight");
    write_f32(&dir.path().join(WEIGHTS), &renamed(&lm_head));
    check_causal(dir.path(), &expected, &device);

    // Under both names.
    let mut both = all.clone();
    let embedding = all
        .iter()
        .find(|(name, ..)| name == "model.embed_tokens.weight");
    let (_, shape, bytes) = embedding.unwrap().clone();
    both.push(("lm_head.weight".to_owned(), shape, bytes));
    write_f32(&dir.path().join(WEIGHTS), &both);
    check_causal(dir.path(), &expected, &device);

    // The bare model's names.
    let bare = |name: &str| name.trim_start_matches("model.").to_owned();
    write_f32(&dir.path().join(WEIGHTS), &renamed(&bare));
    check_causal(dir.path(), &expected, &device);

    // Two shards and an index.
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
    // bf16 is the upper half of f32: cutting it off leaves an f32 file with the same values.
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

fn real_folder(variable: &str) -> Option<PathBuf> {
    let dir = std::env::var_os(variable).map(PathBuf::from);
    if dir.is_none() {
        println!("{variable} names no folder: nothing compared");
    }
    dir
}

#[test]
fn tinystories() {
    let Some(dir) = real_folder("COLLIMATE_TINYSTORIES") else {
        return;
    };
    let expected = json(&fixtures().join("expected-tinystories.json"));
    for (device_name, device) in plain_devices() {
        let worst = check_causal(&dir, &expected, &device);
        println!("tinystories on {device_name}: largest relative error {worst:.1e}");
    }
}

#[test]
fn minilm() {
    let Some(dir) = real_folder("COLLIMATE_MINILM") else {
        return;
    };
    let expected = json(&fixtures().join("expected-minilm.json"));
    for (device_name, device) in plain_devices() {
        let worst = check_encoder(&dir, &expected, &device);
        println!("minilm on {device_name}: largest relative error {worst:.1e}");
    }
}
