//! Encoders with the heads of transformers: hidden states, scores, gradients and saved folders.

use super::*;
use burn::tensor::activation::log_sigmoid;
use collimate_lm::Encoder;
use collimate_nn::{DeviceBatch, RewardParts, RowForward, pooled};
use common::{gradients, read_tensors};

/// Folder, label that is the reward, and length of the longest sequence.
const FOLDERS: [(&str, Option<&str>, usize); 9] = [
    ("bert-reward", None, 32),
    ("roberta-reward", None, 30),
    ("xlm-roberta-labels", Some("help"), 30),
    ("distilbert-reward", None, 32),
    ("mpnet-reward", None, 108),
    ("modernbert-reward", None, 40),
    ("modernbert-bias", None, 40),
    ("deberta-reward", None, 32),
    ("deberta-c2p", None, 32),
];

fn expected(name: &str) -> Value {
    json(&fixture(name).join("expected.json"))
}

fn load(name: &str, label: Option<&str>, device: &Device) -> RewardParts<Encoder> {
    Encoder::load_label(&fixture(name), label, device).unwrap()
}

fn scores(parts: &RewardParts<Encoder>, batch: &DeviceBatch) -> Tensor<1> {
    let f = Forward::EVAL;
    let states = pooled(&parts.backbone, batch, parts.pooling, f);
    let states = parts.backbone.project(states, RowForward::from(f));
    parts
        .head
        .as_ref()
        .expect("the folder has a head")
        .forward(states)
}

fn sequences(expected: &Value) -> Vec<Vec<u32>> {
    let rows = list(expected, "sequences").iter();
    rows.map(|s| ids(&s["ids"])).collect()
}

fn wanted_scores(expected: &Value) -> Vec<f64> {
    let rows = list(expected, "sequences").iter();
    rows.flat_map(|s| numbers(&s["score"])).collect()
}

#[test]
fn hidden_states_and_scores() {
    for (device_name, device) in plain_devices() {
        for (name, label, longest) in FOLDERS {
            let expected = expected(name);
            let parts = load(name, label, &device);
            assert_eq!(parts.backbone.max_positions(), longest, "{name}");
            let rows = sequences(&expected);
            assert!(rows.iter().any(|row| row.len() == longest), "{name}");
            let batch = common::rows_batch(&parts.backbone, &rows);
            let hidden = common::hidden_rows(&parts.backbone, &batch, Forward::EVAL);
            let mut worst = Worst::default();
            for (sequence, place) in list(&expected, "sequences")
                .iter()
                .zip(batch.sequences.iter())
            {
                let mine: Vec<_> = place.rows.iter().map(|&row| hidden[row].clone()).collect();
                check_hidden(&mut worst, name, &mine, sequence);
            }
            let found = host(&scores(&parts, &batch));
            worst.see(name, &found, &wanted_scores(&expected));
            assert!(worst.0 < 1e-5, "{name} on {device_name}: {:e}", worst.0);
            println!(
                "{name} on {device_name}: largest relative error {:.1e}",
                worst.0
            );
        }
    }
}

/// Returns the path of the parameter that corresponds to a tensor of the fixture.
fn path_of(name: &str, names: &[(String, String)]) -> String {
    let found = names.iter().find(|(_, there)| there == name);
    found
        .unwrap_or_else(|| panic!("{name} is no parameter"))
        .0
        .clone()
}

/// Returns every parameter's path and the name that a saved folder gives it. Each parameter is
/// filled with a different number, by which it is found in the file.
fn names(parts: &RewardParts<Encoder>) -> Vec<(String, String)> {
    let paths: Vec<String> = collimate_nn::parameters(&parts.backbone)
        .into_iter()
        .map(|p| p.path)
        .collect();
    let numbered = common::changed(&parts.backbone, |path, values| {
        let number = paths.iter().position(|p| p == path).unwrap();
        values.fill(number as f32);
    });
    let out = tempfile::tempdir().unwrap();
    let head = parts.head.as_ref().unwrap();
    numbered
        .save_reward(head, parts.pooling, &saved(None, 32), out.path())
        .unwrap();
    read_tensors(&out.path().join("model.safetensors"))
        .into_iter()
        .filter_map(|(name, _, _, bytes)| {
            let first = f32::from_le_bytes(bytes[..4].try_into().unwrap());
            let path = paths.get(first as usize).filter(|_| first.fract() == 0.0)?;
            Some((path.clone(), name))
        })
        .collect()
}

#[test]
fn gradients_of_every_parameter() {
    for (device_name, device) in collimate_testkit::devices() {
        for (index, (name, label, _)) in FOLDERS.into_iter().enumerate() {
            let expected = expected(name);
            let parts = load(name, label, &device);
            let names = names(&parts);
            let parts = RewardParts {
                backbone: parts.backbone.with_recompute(index % 2 == 0),
                ..parts
            };
            let pairs = list(&expected, "pairs");
            let rows = pairs
                .iter()
                .flat_map(|pair| [&pair["chosen"], &pair["rejected"]]);
            let rows: Vec<Vec<u32>> = rows.map(ids).collect();
            let batch = common::rows_batch(&parts.backbone, &rows);
            let scores: Tensor<2> = scores(&parts, &batch).reshape([pairs.len(), 2]);
            let margins = scores.clone().narrow(1, 0, 1) - scores.narrow(1, 1, 1);
            let loss = log_sigmoid(margins).mean().neg();
            let mut worst = Worst::default();
            worst.see("loss", &host(&loss), &numbers(&expected["loss"]));
            let grads = loss.backward();
            let mut found = gradients(&parts.backbone, &grads);
            for (path, grad) in gradients(parts.head.as_ref().unwrap(), &grads) {
                found.insert(format!("score.{path}"), grad);
            }
            let wanted = list(&expected, "gradients");
            let last = |name: &str| {
                let last = name.starts_with("classifier.") && !name.starts_with("classifier.dense");
                last.then(|| format!("score.{}", name.rsplit('.').next().unwrap()))
            };
            assert_eq!(found.len(), wanted.len(), "{name}");
            let largest = |row: &Value| row["largest"].as_f64().unwrap();
            let top = wanted.iter().map(largest).fold(0.0, f64::max);
            for row in wanted {
                let tensor = row["name"].as_str().unwrap();
                let path = last(tensor).unwrap_or_else(|| path_of(tensor, &names));
                let grad = &found[&path];
                // A bias of keys shifts all scores of a query equally. Its gradient is zero except
                // for rounding, and is compared in the scale of the other gradients.
                let zero = largest(row) < 1e-9 * top;
                let scale = if zero { top } else { largest(row) };
                let mut see = |key: &str, actual: &[f32], scale: f64| {
                    let actual: Vec<f32> = actual.iter().map(|v| v / scale as f32).collect();
                    let wanted = numbers(&row[key]);
                    let wanted: Vec<f64> = wanted.iter().map(|v| v / scale).collect();
                    worst.see(&format!("{name} {tensor} {key}"), &actual, &wanted);
                };
                // Only the chosen label is a parameter here; in the fixture the other labels have
                // zero gradients.
                if label.is_none() || !path.starts_with("score.") {
                    let ends = 4.min(grad.len());
                    see("first", &grad[..ends], scale);
                    see("last", &grad[grad.len() - ends..], scale);
                }
                let most = grad.iter().fold(0f32, |most, v| most.max(v.abs()));
                see("largest", &[most], scale);
                let sums = [grad.iter().sum::<f32>(), grad.iter().map(|v| v.abs()).sum()];
                let all = match zero {
                    true => top * grad.len() as f64,
                    false => row["abs_sum"].as_f64().unwrap(),
                };
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

/// A folder saved from the model has the tensors and the configuration of the folder that was read.
#[test]
fn a_saved_classifier_is_the_one_that_was_read() {
    let device = collimate_testkit::flex().without_autodiff();
    for (name, label, longest) in FOLDERS {
        let dir = fixture(name);
        let parts = load(name, label, &device);
        let out = tempfile::tempdir().unwrap();
        let head = parts.head.clone().unwrap();
        let save = |dir: &Path| {
            let backbone = &parts.backbone;
            backbone.save_reward(&head, parts.pooling, &saved(None, longest), dir)
        };
        save(out.path()).unwrap();
        let tensors = |dir: &Path| read_tensors(&dir.join("model.safetensors"));
        let (before, after) = (tensors(&dir), tensors(out.path()));
        let shapes = |all: &[common::Raw]| -> Vec<_> {
            let one = |(name, _, shape, _): &common::Raw| (name.clone(), shape.clone());
            all.iter().map(one).collect()
        };
        let (mut old, new) = (
            json(&dir.join("config.json")),
            json(&out.path().join("config.json")),
        );
        if label.is_some() {
            assert_eq!(new["id2label"], serde_json::json!({"0": "help"}), "{name}");
            assert_eq!(new["label2id"], serde_json::json!({"help": 0}), "{name}");
            assert_eq!(shapes(&after).len(), shapes(&before).len(), "{name}");
        } else {
            assert!(before == after, "{name}: {:?}", shapes(&after));
            old["num_labels"] = 1.into();
            old["problem_type"] = "regression".into();
            for (key, value) in old.as_object().unwrap() {
                if !key.ends_with("dtype") {
                    assert_eq!(&new[key], value, "{name}: {key}");
                }
            }
        }
        assert_eq!(new["architectures"], old["architectures"], "{name}");
        // The saved folder is read again, and as the bare encoder.
        let again = Encoder::load_reward(out.path(), &device).unwrap();
        let expected = expected(name);
        let batch = common::rows_batch(&again.backbone, &sequences(&expected));
        let mut worst = Worst::default();
        worst.see(
            name,
            &host(&scores(&again, &batch)),
            &wanted_scores(&expected),
        );
        let bare = tempfile::tempdir().unwrap();
        parts.backbone.save(bare.path()).unwrap();
        let encoder = Encoder::load(bare.path(), &device).unwrap();
        let class = json(&bare.path().join("config.json"))["architectures"][0].clone();
        assert!(class.as_str().unwrap().ends_with("Model"), "{class}");
        let states = |model: &Encoder| host(&model.hidden(&batch, Forward::EVAL));
        assert_eq!(states(&encoder), states(&again.backbone), "{name}");
    }
}
