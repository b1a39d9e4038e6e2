//! Families other than Llama and Mistral: values, gradients, the cache and saved folders.

use super::models::check_causal;
use super::*;
use burn::tensor::activation::log_sigmoid;
use collimate_nn::Adapters;
use common::{edit_config, gradients, read_tensors};
use serde_json::json as value;
use std::collections::BTreeMap;

const CAUSAL: [&str; 13] = [
    "qwen2-window",
    "qwen3-window",
    "smollm3-window",
    "gemma-plain",
    "gemma2-window",
    "gemma3-window",
    "olmo2-plain",
    "olmo3-window",
    "granite-plain",
    "phi3-long",
    "gpt_neox-parallel",
    "gpt2-plain",
    "ministral3-long",
];
const REWARD: [&str; 12] = [
    "qwen2-reward",
    "qwen3-reward",
    "smollm3-reward",
    "gemma-reward",
    "gemma2-reward",
    "gemma3-reward",
    "olmo2-reward",
    "olmo3-reward",
    "phi3-reward",
    "gpt_neox-reward",
    "gpt2-reward",
    "ministral3-reward",
];

fn expected(name: &str) -> Value {
    json(&fixture(name).join("expected.json"))
}

fn flex() -> Device {
    collimate_testkit::flex().without_autodiff()
}

#[test]
fn values() {
    for (device_name, device) in plain_devices() {
        for name in CAUSAL {
            let worst = check_causal(&fixture(name), &expected(name), &device);
            println!("{name} on {device_name}: largest relative error {worst:.1e}");
        }
    }
}

/// Returns gradients with the names and the layout of the family's files.
fn named_gradients(model: &Llama, loss: &Tensor<1>) -> BTreeMap<String, Vec<f32>> {
    let found = gradients(model, &loss.backward());
    let stand_in = common::changed(model, |path, values| values.clone_from(&found[path]));
    let dir = tempfile::tempdir().unwrap();
    stand_in.save(dir.path()).unwrap();
    let tensors = read_tensors(&dir.path().join("model.safetensors")).into_iter();
    let all = tensors.map(|(name, _, _, bytes)| {
        let (values, rest) = bytes.as_chunks::<4>();
        assert!(rest.is_empty());
        // Transformers uses another name for the matrix in memory than in the file.
        let name = name.replace("embed_out", "lm_head");
        (
            name,
            values.iter().map(|v| f32::from_le_bytes(*v)).collect(),
        )
    });
    all.collect()
}

/// Computes −log σ(β·(log π(chosen) − log π(rejected))), averaged over the pairs of the fixture.
fn dpo_loss(model: &Llama, expected: &Value) -> Tensor<1> {
    let mut pack = Pack::new();
    let pairs = list(expected, "pairs");
    for pair in pairs {
        let (chosen, rejected) = (ids(&pair["chosen"]), ids(&pair["rejected"]));
        pack.push_shared(&ids(&pair["prompt"]), &[&chosen, &rejected]);
    }
    let batch = pack.to_device(Llama::VISIBILITY, &model.device());
    let logps: Tensor<2> = completion_logps(model, &batch, Forward::EVAL).reshape([pairs.len(), 2]);
    let beta = expected["dpo_beta"].as_f64().unwrap();
    let margins = logps.clone().narrow(1, 0, 1) - logps.narrow(1, 1, 1);
    log_sigmoid(margins.mul_scalar(beta)).mean().neg()
}

#[test]
fn gradients_of_every_parameter() {
    for (device_name, device) in collimate_testkit::devices() {
        let recompute = [false, true].into_iter().cycle();
        for (name, recompute) in CAUSAL.into_iter().zip(recompute) {
            let expected = expected(name);
            let model = Llama::load(&fixture(name), &device).unwrap();
            let model = model.with_recompute(recompute);
            let loss = dpo_loss(&model, &expected);
            let mut worst = Worst::default();
            worst.see("loss", &host(&loss), &numbers(&expected["dpo_loss"]));
            let found = named_gradients(&model, &loss);
            let wanted = list(&expected, "gradients");
            assert_eq!(found.len(), wanted.len(), "{name}");
            let largest = |row: &Value| row["largest"].as_f64().unwrap();
            // Keys that do not turn may be shifted by any amount, so the gradient of their bias is
            // zero except for rounding.
            let floor = 1e-3 * wanted.iter().map(largest).fold(0.0, f64::max);
            for row in wanted {
                let path = row["name"].as_str().unwrap();
                let grad = &found[path];
                // The unit is the largest element of the parameter.
                let scale = largest(row).max(floor);
                let mut see = |key: &str, actual: &[f32], scale: f64| {
                    let actual: Vec<f32> = actual.iter().map(|v| v / scale as f32).collect();
                    let wanted = numbers(&row[key]);
                    let wanted: Vec<f64> = wanted.iter().map(|v| v / scale).collect();
                    worst.see(&format!("{name} {path} {key}"), &actual, &wanted);
                };
                let sums = [grad.iter().sum::<f32>(), grad.iter().map(|v| v.abs()).sum()];
                let most = grad.iter().fold(0f32, |most, v| most.max(v.abs()));
                see("first", &grad[..4], scale);
                see("last", &grad[grad.len() - 4..], scale);
                see("largest", &[most], scale);
                let all = row["abs_sum"].as_f64().unwrap().max(floor);
                see("sum", &sums[..1], all);
                see("abs_sum", &sums[1..], all);
            }
            println!(
                "{name} on {device_name}: largest gradient error {:.1e}",
                worst.0
            );
        }
    }
}

#[test]
fn the_cache_writes_what_transformers_writes() {
    for (device_name, device) in plain_devices() {
        for name in CAUSAL {
            let model = Llama::load(&fixture(name), &device).unwrap();
            for case in list(&expected(name), "greedy") {
                let mut cache = model.new_cache(Adapters::On);
                let row = collimate_nn::KvCache::push(&mut cache);
                let mut next = ids(&case["prompt"]);
                let mut written: Vec<u32> = Vec::new();
                while written.len() < ids(&case["new_ids"]).len() {
                    let logits = host(&model.extend(&[(row, &next)], &mut cache));
                    let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
                    next = vec![best.unwrap() as u32];
                    written.extend(&next);
                }
                assert_eq!(written, ids(&case["new_ids"]), "{name} on {device_name}");
            }
        }
    }
}

#[test]
fn scores() {
    for (device_name, device) in plain_devices() {
        for name in REWARD {
            let expected = expected(name);
            let parts = Llama::load_reward(&fixture(name), &device).unwrap();
            let rows = list(&expected, "sequences").iter();
            let rows: Vec<Vec<u32>> = rows.map(|s| ids(&s["ids"])).collect();
            let batch = common::rows_batch(&parts.backbone, &rows);
            let hidden = parts.backbone.hidden(&batch, Forward::EVAL);
            let head = parts.head.expect("the folder has a head");
            let scores = host(&head.forward(pool(hidden, &batch, parts.pooling)));
            let wanted = list(&expected, "sequences").iter();
            let wanted: Vec<f64> = wanted.flat_map(|s| numbers(&s["score"])).collect();
            let mut worst = Worst::default();
            worst.see(name, &scores, &wanted);
            println!(
                "{name} on {device_name}: largest relative error {:.1e}",
                worst.0
            );
        }
    }
}

#[test]
fn every_kind_of_rope() {
    let dir = fixture("rope-kinds");
    let expected = json(&dir.join("rope.json"));
    let rows = list(&expected, "sequences").iter();
    let rows: Vec<Vec<u32>> = rows.map(ids).collect();
    for (device_name, device) in plain_devices() {
        for kind in list(&expected, "kinds") {
            let rope = &kind["rope_parameters"];
            let wanted: Vec<f64> = list(kind, "token_logps").iter().flat_map(numbers).collect();
            // The positions are read as transformers 5 and 4 write them, and nested by kind of
            // layer.
            let mut old = rope.clone();
            let map = old.as_object_mut().unwrap();
            let theta = map.remove("rope_theta").unwrap();
            let name: Value = map.remove("rope_type").unwrap();
            map.insert("type".into(), name.clone());
            let forms = [
                value!({"rope_parameters": rope}),
                value!({"rope_theta": theta, "rope_scaling": old}),
                value!({"rope_parameters": {"full_attention": rope, "sliding_attention": null}}),
            ];
            let mut worst = Worst::default();
            for form in forms {
                let folder = copy(&dir);
                edit_config(folder.path(), |c| {
                    let map = c.as_object_mut().unwrap();
                    map.remove("rope_parameters");
                    map.extend(form.as_object().unwrap().clone());
                });
                let model = Llama::load(folder.path(), &device).unwrap();
                let saved = tempfile::tempdir().unwrap();
                model.save(saved.path()).unwrap();
                let again = Llama::load(saved.path(), &device).unwrap();
                assert_eq!(again.config(), model.config());
                let batch = common::rows_batch(&again, &rows);
                let hidden = again.hidden_at(&batch, &batch.sources(), Forward::EVAL);
                let logps = host(&token_logps(hidden, again.output_head(), &batch));
                worst.see(&form.to_string(), &logps, &wanted);
            }
            println!(
                "rope {name} on {device_name}: largest relative error {:.1e}",
                worst.0
            );
        }
    }
}

/// Returns the names that a folder's file gives its tensors, with their shapes.
fn names(dir: &Path) -> Vec<(String, Vec<usize>)> {
    let tensors = read_tensors(&dir.join("model.safetensors")).into_iter();
    tensors.map(|(name, _, shape, _)| (name, shape)).collect()
}

/// Returns the keys of `config.json`; the two places of rotary positions and of the type count as
/// one.
fn keys(dir: &Path) -> Vec<String> {
    let config = json(&dir.join("config.json"));
    let keys = config.as_object().unwrap().keys();
    let mut keys: Vec<String> = keys
        .map(|key| key.replace("torch_dtype", "dtype"))
        .map(|key| key.replace("rope_scaling", "rope_parameters"))
        .filter(|key| key != "rope_theta")
        .collect();
    keys.sort();
    keys
}

/// Leaves out keys that say the same in other words: windows by layer, the head size, and rotary
/// positions that older versions read from other keys.
fn own_keys(dir: &Path) -> Vec<String> {
    let keys = keys(dir).into_iter();
    let elsewhere = [
        "head_dim",
        "layer_types",
        "partial_rotary_factor",
        "rope_local_base_freq",
        "rotary_emb_base",
        "rotary_pct",
    ];
    keys.filter(|key| !elsewhere.contains(&key.as_str()))
        .collect()
}

#[test]
fn a_saved_folder_is_of_the_class_that_was_read() {
    let device = flex();
    for name in CAUSAL {
        let (dir, out) = (fixture(name), tempfile::tempdir().unwrap());
        let model = Llama::load(&dir, &device).unwrap();
        model.save(out.path()).unwrap();
        let (read, saved) = (
            json(&dir.join("config.json")),
            json(&out.path().join("config.json")),
        );
        for key in [
            "architectures",
            "model_type",
            "sliding_window",
            "use_sliding_window",
        ] {
            assert_eq!(saved[key], read[key], "{name}: {key}");
        }
        assert_eq!(own_keys(out.path()), own_keys(&dir), "{name}");
        assert_eq!(names(out.path()), names(&dir), "{name}");
        let again = Llama::load(out.path(), &device).unwrap();
        assert_eq!(again.config(), model.config());
        check_causal(out.path(), &expected(name), &device);
        let parameters = collimate_nn::parameters(&model);
        let count: usize = parameters.iter().map(|p| p.len()).sum();
        assert_eq!(model.num_parameters(), count);
    }
    for name in REWARD {
        let (dir, out) = (fixture(name), tempfile::tempdir().unwrap());
        let parts = Llama::load_reward(&dir, &device).unwrap();
        let head: ScalarHead = parts.head.unwrap();
        let backbone = parts.backbone;
        backbone
            .save_reward(&head, parts.pooling, &saved(Some(0), 64), out.path())
            .unwrap();
        let (read, saved) = (
            json(&dir.join("config.json")),
            json(&out.path().join("config.json")),
        );
        assert_eq!(saved["architectures"], read["architectures"]);
        assert_eq!(names(out.path()), names(&dir), "{name}");
        let again = Llama::load_reward(out.path(), &device).unwrap();
        assert_eq!(again.backbone.config(), backbone.config());
        // The backbone is not a language model.
        let error = Llama::load(out.path(), &device).unwrap_err().to_string();
        assert!(
            error.contains(read["architectures"][0].as_str().unwrap()),
            "{error}"
        );
    }
}

#[test]
fn adapters_reach_every_family() {
    for name in CAUSAL {
        let device = flex();
        let model = Llama::load(&fixture(name), &device).unwrap();
        let lora = collimate_nn::LoraConfig {
            rank: 2,
            ..Default::default()
        };
        let key = collimate_core::Key::new(1, "lora");
        let model = model.with_lora(&lora, key).unwrap();
        let model = common::changed(&model, |path, values| {
            if path.contains("lora.b") {
                *values = collimate_testkit::Noise::new(2).values(values.len(), 0.2);
            }
        });
        let rows = [vec![1, 5, 9, 30, 31, 32, 33, 34, 35, 36]];
        let logps = |model: &Llama, f| {
            let batch = common::rows_batch(model, &rows);
            let hidden = model.hidden_at(&batch, &batch.sources(), f);
            host(&token_logps(hidden, model.output_head(), &batch))
        };
        let on = logps(&model, Forward::EVAL);
        let mut worst = Worst::default();
        let wide: Vec<f64> = on.iter().map(|&v| f64::from(v)).collect();
        worst.see(
            "merged",
            &logps(&model.clone().merged(), Forward::EVAL),
            &wide,
        );
        assert_ne!(on, logps(&model, Forward::REFERENCE), "{name}");
        let out = tempfile::tempdir().unwrap();
        model.save(out.path()).unwrap();
        let saved = Llama::load(out.path(), &device).unwrap();
        worst.see("saved", &logps(&saved, Forward::EVAL), &wide);
    }
}
