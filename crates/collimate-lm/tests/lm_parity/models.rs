//! Hidden states, log-probabilities and scores.

use super::*;

/// Checks log-probabilities of all sequences of `expected`, alone and all in one pack.
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
        model.hidden_at(&together, &together.sources(), f),
        model.output_head(),
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
        let hidden = model.hidden_at(&alone, &alone.sources(), f);
        let values = token_logps(hidden, model.output_head(), &alone);
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

pub(crate) fn check_causal(dir: &Path, expected: &Value, device: &Device) -> f64 {
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
            let logits = host(&model.output_head().logits(last));
            let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
            assert_eq!(best, Some(wanted as usize), "{name}: after {sequence:?}");
            sequence.push(wanted);
        }
    }
    worst.0
}

pub(crate) fn check_encoder(dir: &Path, expected: &Value, device: &Device) -> f64 {
    let name = dir.display().to_string();
    let model = Encoder::load(dir, device).unwrap();
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
        for name in ["llama-gqa-tied", "llama-untied", "mistral-window"] {
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

/// Loading must not freeze the parameters that it fills.
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
        check::<Llama>("mistral-window", &device);
        check::<Encoder>("bert-mean", &device);
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

/// Attaches the fixture's adapters.
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
        // The saved model is the adapted model.
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
