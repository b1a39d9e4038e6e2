//! Margins and weights of pairs, and pairs on disk.

mod common;

use burn::tensor::Device;
use collimate_core::Key;
use collimate_data::{Begun, StoreBuilder, TokenStore, TokenizeReport, TokenizedPair};
use collimate_lm::Llama;
use collimate_losses::PairwiseLoss;
use collimate_reward::{RewardModel, RewardObjective, score_pairs};
use collimate_testkit::{assert_close, devices, flex};
use collimate_train::{AdamWConfig, FitContext, Objective, TrainConfig, fit};
use common::{decoder, pairs, values, wide};

fn plain() -> Device {
    flex().without_autodiff()
}

type Pairs = RewardObjective<Llama>;

fn objective(train: Vec<TokenizedPair>, loss: PairwiseLoss) -> Pairs {
    RewardObjective::new(train, vec![], loss, 512).unwrap()
}

/// Returns the loss of a step over all pairs.
fn loss(model: &RewardModel<Llama>, objective: &Pairs) -> f64 {
    let all: Vec<usize> = (0..objective.len()).collect();
    let out = objective.forward(model, &all, Key::new(0, "step")).unwrap();
    let sum: f64 = out.loss_sum.into_data().iter::<f64>().sum();
    sum / objective.weight(&all)
}

/// Trains for a few steps and returns all parameters.
fn trained(model: &RewardModel<Llama>, objective: &Pairs, batch_size: usize) -> Vec<f64> {
    let config = TrainConfig {
        learning_rate: 1e-3,
        batch_size,
        max_steps: Some(3),
        adamw: AdamWConfig {
            eps: 1e-4,
            ..AdamWConfig::default()
        },
        ..TrainConfig::default()
    };
    let fitted = fit(model.clone(), objective, &config, &FitContext::silent()).unwrap();
    values(&fitted.model)
        .values()
        .flat_map(|v| wide(v))
        .collect()
}

#[test]
fn a_weight_counts_like_copies_of_the_pair() {
    for (name, device) in devices() {
        let model = decoder(&device.without_autodiff());
        let mut weighted = pairs(6, 5);
        let mut copied = weighted.clone();
        weighted[0].weight = Some(3.0);
        weighted[4].weight = Some(2.0);
        copied.extend([copied[0].clone(), copied[0].clone(), copied[4].clone()]);
        for form in [PairwiseLoss::default(), PairwiseLoss::Hinge { margin: 1.0 }] {
            let (weighted, copied) = (weighted.clone(), copied.clone());
            let (weighted, copied) = (objective(weighted, form), objective(copied, form));
            let (a, b) = (loss(&model, &weighted), loss(&model, &copied));
            assert!((a - b).abs() < 1e-6, "{name}: {a} is not {b}");
            let (a, b) = (trained(&model, &weighted, 6), trained(&model, &copied, 9));
            let found: Vec<f32> = a.iter().map(|v| *v as f32).collect();
            assert_close(name, &found, &b, 1e-5);
        }
        let plain = loss(&model, &objective(pairs(6, 5), PairwiseLoss::default()));
        let other = loss(&model, &objective(weighted, PairwiseLoss::default()));
        assert!(
            (plain - other).abs() > 1e-4,
            "{name}: weights change nothing"
        );
    }
}

/// −log σ(d − m), t·(−log σ(d − m)) + (1 − t)·(−log σ(−d − m)) with soft labels, and
/// max(0, 1 − (d − m)), for d = r(chosen) − r(rejected).
#[test]
fn a_margin_is_subtracted_from_the_gap() {
    let model = decoder(&plain());
    let mut rows = pairs(5, 7);
    let gaps: Vec<f64> = score_pairs(&model, &rows, 512)
        .unwrap()
        .iter()
        .map(|(chosen, rejected)| f64::from(chosen - rejected))
        .collect();
    let margins = [Some(0.5), None, Some(-0.25), Some(2.0), Some(0.0)];
    for (row, margin) in rows.iter_mut().zip(margins) {
        row.margin = margin;
    }
    let minus_log_sigmoid = |x: f64| (-x).exp().ln_1p();
    let mean = |of: &dyn Fn(f64, f64, usize) -> f64| {
        let all = gaps.iter().zip(margins).enumerate();
        let all = all.map(|(i, (gap, margin))| of(*gap, f64::from(margin.unwrap_or(0.0)), i));
        all.sum::<f64>() / gaps.len() as f64
    };
    let near = |found: f64, expected: f64| {
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    };
    let logistic = PairwiseLoss::default();
    near(
        loss(&model, &objective(rows.clone(), logistic)),
        mean(&|d, m, _| minus_log_sigmoid(d - m)),
    );
    near(
        loss(
            &model,
            &objective(rows.clone(), PairwiseLoss::Hinge { margin: 1.0 }),
        ),
        mean(&|d, m, _| (1.0 - (d - m)).max(0.0)),
    );
    let targets = [0.9_f32, 0.2, 1.0, 0.5, 0.0];
    let soft = objective(rows, logistic)
        .with_targets(targets.to_vec())
        .unwrap();
    near(
        loss(&model, &soft),
        mean(&|d, m, i| {
            let t = f64::from(targets[i]);
            t * minus_log_sigmoid(d - m) + (1.0 - t) * minus_log_sigmoid(-d - m)
        }),
    );
}

fn stored(folder: &std::path::Path, rows: &[TokenizedPair]) -> TokenStore<TokenizedPair> {
    let Begun::Building(mut builder) = StoreBuilder::begin(folder, "key").unwrap() else {
        panic!("the folder is new");
    };
    for row in rows {
        builder.push(row).unwrap();
    }
    let report = TokenizeReport::default();
    builder.rows_done(rows.len() as u64, &report).unwrap();
    builder.finish(report, serde_json::Value::Null).unwrap()
}

#[test]
fn pairs_on_disk_train_like_pairs_in_memory() {
    let mut rows = pairs(12, 9);
    rows[3].margin = Some(0.5);
    rows[7].weight = Some(2.5);
    let folder = tempfile::tempdir().unwrap();
    let store = stored(folder.path(), &rows);
    let model = decoder(&plain());
    let form = PairwiseLoss::default();
    let in_memory = objective(rows.clone(), form);
    let on_disk = RewardObjective::new(store.clone(), vec![], form, 512).unwrap();
    assert_eq!(on_disk.len(), rows.len());
    for example in 0..rows.len() {
        assert_eq!(on_disk.tokens(example), in_memory.tokens(example));
        let weight = on_disk.weight(&[example]);
        assert_eq!(weight, in_memory.weight(&[example]));
    }
    assert_eq!(on_disk.weight(&[3, 7]), 3.5);
    assert_eq!(trained(&model, &on_disk, 4), trained(&model, &in_memory, 4));
    assert!(on_disk.fingerprint() != in_memory.fingerprint());
    // An encoder repeats the prompt, so the cost of a pair differs.
    let bidirectional = RewardObjective::new(store, vec![], form, 512).unwrap();
    let same = RewardObjective::new(rows, vec![], form, 512).unwrap();
    let costs = |objective: &RewardObjective<collimate_lm::Encoder>| -> Vec<usize> {
        (0..12).map(|example| objective.tokens(example)).collect()
    };
    assert_eq!(costs(&bidirectional), costs(&same));
}

#[test]
fn a_store_that_loses_its_ids_stops_the_training() {
    let folder = tempfile::tempdir().unwrap();
    let store = stored(folder.path(), &pairs(4, 9));
    let form = PairwiseLoss::default();
    let on_disk: Pairs = RewardObjective::new(store, vec![], form, 512).unwrap();
    let ids = std::fs::File::options()
        .write(true)
        .open(folder.path().join("ids.u32"));
    ids.unwrap().set_len(4).unwrap();
    let model = decoder(&plain());
    let error = fit(
        model,
        &on_disk,
        &TrainConfig::default(),
        &FitContext::silent(),
    )
    .unwrap_err();
    assert!(error.to_string().contains("ids.u32"), "{error}");
}
