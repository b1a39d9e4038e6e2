//! Reward models learn, and the result does not depend on the micro-batches.

mod common;

use burn::tensor::Device;
use collimate_core::Key;
use collimate_data::TokenizedPair;
use collimate_eval::pairwise_accuracy;
use collimate_losses::PairwiseLoss;
use collimate_nn::{Backbone, Forward, LoraConfig, parameters};
use collimate_reward::{RewardModel, RewardObjective, score_pairs};
use collimate_testkit::{assert_close, devices, flex, host};
use collimate_train::{
    AdamWConfig, FitContext, Metrics, Objective, TrainConfig, fit, metric_names as names,
};
use common::{decoder, encoder, gradients, pairs, values, wide};

fn flex_plain() -> Device {
    flex().without_autodiff()
}

fn accuracy<B: Backbone>(model: &RewardModel<B>, pairs: &[TokenizedPair]) -> f64 {
    let scores = score_pairs(model, pairs, 512).unwrap();
    pairwise_accuracy(&scores).unwrap().accuracy
}

fn learn<B: Backbone>(model: RewardModel<B>, learning_rate: f64) -> f64 {
    let (train, held_out) = (pairs(192, 1), pairs(100, 2));
    let before = accuracy(&model, &held_out);
    assert!(before < 0.8, "an untrained model orders {before}");
    let objective =
        RewardObjective::new(train, held_out.clone(), PairwiseLoss::default(), 512).unwrap();
    let config = TrainConfig {
        learning_rate,
        batch_size: 16,
        max_steps: Some(60),
        ..Default::default()
    };
    let fitted = fit(model, &objective, &config, &FitContext::silent()).unwrap();
    let after = accuracy(&fitted.model, &held_out);
    let logged = fitted.metrics[&format!("eval_{}", names::REWARDS_ACCURACIES)];
    assert!(
        (logged - after).abs() < 1e-9,
        "logged {logged}, scored {after}"
    );
    after
}

#[test]
fn a_decoder_learns() {
    let after = learn(decoder(&flex_plain()), 0.01);
    assert!(after >= 0.95, "held-out accuracy {after}");
}

#[test]
fn a_decoder_learns_through_adapters() {
    let config = LoraConfig {
        dropout: 0.05,
        ..Default::default()
    };
    let model = decoder(&flex_plain())
        .with_lora(&config, Key::new(2, "lora"))
        .unwrap();
    let after = learn(model, 0.01);
    assert!(after >= 0.9, "held-out accuracy {after}");
}

#[test]
fn an_encoder_learns() {
    let after = learn(encoder(&flex_plain(), 0.1), 0.01);
    assert!(after >= 0.95, "held-out accuracy {after}");
}

/// Compares three steps with whole batches and with one micro-batch per pair: loss and weights
/// agree.
fn check_accumulation<B: Backbone>(name: &str, model: RewardModel<B>, loss: PairwiseLoss) {
    let objective = RewardObjective::new(pairs(8, 5), vec![], loss, 512).unwrap();
    let run = |micro_batch_tokens, max_steps| {
        let config = TrainConfig {
            learning_rate: 1e-3,
            batch_size: 8,
            micro_batch_tokens,
            max_steps: Some(max_steps),
            // AdamW turns a gradient far below eps into a step of the gradient's size, and a
            // gradient far above eps into a step of the learning rate's size. A larger eps keeps
            // rounding noise small.
            adamw: AdamWConfig {
                eps: 1e-4,
                ..Default::default()
            },
            ..Default::default()
        };
        fit(model.clone(), &objective, &config, &FitContext::silent()).unwrap()
    };
    for steps in [1, 3] {
        let whole = run(None, steps);
        for tokens in [1, 30] {
            let cut = run(Some(tokens), steps);
            assert_eq!(whole.tokens, cut.tokens);
            for metric in [names::LOSS, names::GRAD_NORM, names::REWARDS_MARGINS] {
                let (a, b) = (whole.metrics[metric], cut.metrics[metric]);
                assert!(
                    (a - b).abs() < 1e-5 * a.abs().max(1.0),
                    "{name}: {metric} {a} / {b} after {steps} steps of {tokens} tokens"
                );
            }
            let (a, b) = (values(&whole.model), values(&cut.model));
            for (path, wanted) in &a {
                assert_close(&format!("{name}: {path}"), &b[path], &wide(wanted), 1e-5);
            }
        }
        assert_ne!(
            values(&whole.model),
            values(&model),
            "{name}: nothing moved"
        );
    }
}

#[test]
fn micro_batches_change_nothing() {
    for (name, device) in devices() {
        let device = device.without_autodiff();
        let loss = PairwiseLoss::default();
        check_accumulation(&format!("decoder on {name}"), decoder(&device), loss);
        check_accumulation(&format!("encoder on {name}"), encoder(&device, 0.0), loss);
        let lora = LoraConfig {
            dropout: 0.0,
            ..Default::default()
        };
        let adapted = decoder(&device)
            .with_lora(&lora, Key::new(2, "lora"))
            .unwrap();
        check_accumulation(&format!("adapters on {name}"), adapted, loss);
        // Dropout masks belong to the pair, not to the micro-batch.
        let lora = LoraConfig {
            dropout: 0.5,
            ..lora
        };
        let dropped = decoder(&device)
            .with_lora(&lora, Key::new(2, "lora"))
            .unwrap();
        check_accumulation(&format!("dropout on {name}"), dropped, loss);
        let dropped = encoder(&device, 0.3);
        check_accumulation(&format!("encoder with dropout on {name}"), dropped, loss);
        let centred = PairwiseLoss::Logistic {
            margin: 0.1,
            center_coefficient: 0.01,
        };
        check_accumulation(&format!("centred on {name}"), decoder(&device), centred);
    }
}

#[test]
fn adapters_leave_the_base_alone() {
    let base = decoder(&flex_plain());
    let lora = LoraConfig::default();
    let model = base.clone().with_lora(&lora, Key::new(2, "lora")).unwrap();
    let objective =
        RewardObjective::new(pairs(16, 5), vec![], PairwiseLoss::default(), 512).unwrap();
    let config = TrainConfig {
        learning_rate: 0.01,
        max_steps: Some(3),
        ..Default::default()
    };
    let fitted = fit(model.clone(), &objective, &config, &FitContext::silent()).unwrap();
    let (before, after) = (values(&model), values(&fitted.model));
    assert_eq!(before.len(), after.len());
    for (path, old) in &before {
        let trains = path.contains("lora") || path.starts_with("head");
        assert_eq!(old != &after[path], trains, "{path}");
    }
    // With the adapters folded in, the scores are the same, there are no adapters, and all
    // parameters are trained again.
    let test = pairs(10, 6);
    let scores = |model: &RewardModel<_>| -> Vec<f32> {
        let scores = score_pairs(model, &test, 512).unwrap();
        scores.into_iter().flat_map(|(c, r)| [c, r]).collect()
    };
    let merged = fitted.model.clone().merged();
    assert_close(
        "merged",
        &scores(&merged),
        &wide(&scores(&fitted.model)),
        1e-5,
    );
    assert_eq!(parameters(&merged).len(), parameters(&base).len());
    let refitted = fit(merged.clone(), &objective, &config, &FitContext::silent()).unwrap();
    let (before, after) = (values(&merged), values(&refitted.model));
    for (path, old) in &before {
        assert_ne!(old, &after[path], "{path} did not train after merging");
    }
}

/// d = r(chosen) − r(rejected), loss −log σ(d): ∇ = −σ(−d)·∇d. Swapped: σ(d)·∇d.
#[test]
fn swapping_a_pair_mirrors_the_gradient() {
    let swap = |pairs: &[TokenizedPair]| -> Vec<TokenizedPair> {
        let swapped = pairs.iter().cloned().map(|p| TokenizedPair {
            chosen: p.rejected,
            rejected: p.chosen,
            ..p
        });
        swapped.collect()
    };
    for (name, device) in devices() {
        let model = decoder(&device);
        let pairs = pairs(4, 7);
        for loss in [
            PairwiseLoss::default(),
            PairwiseLoss::Hinge { margin: 50.0 },
        ] {
            let build = |pairs| RewardObjective::new(pairs, vec![], loss, 512).unwrap();
            let (straight, mirrored) = (build(pairs.clone()), build(swap(&pairs)));
            for pair in 0..4 {
                let run = |objective: &RewardObjective<_>| {
                    let out = objective
                        .forward(&model, &[pair], Key::new(0, "x"))
                        .unwrap();
                    let margin = out.metrics.iter().find(|m| m.0 == names::REWARDS_MARGINS);
                    let margin = margin.unwrap().1;
                    (margin, gradients(&model, &out.loss_sum.backward()))
                };
                let ((d, ours), (mirror, theirs)) = (run(&straight), run(&mirrored));
                assert!(
                    (d + mirror).abs() < 1e-5,
                    "{name}: margins {d} and {mirror}"
                );
                let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
                let (a, b) = match loss {
                    PairwiseLoss::Hinge { .. } => (1.0, 1.0),
                    _ => (sigmoid(d), sigmoid(-d)),
                };
                assert!(ours["head.weight"].iter().any(|g| g.abs() > 1e-3));
                for (path, grad) in &ours {
                    let mine: Vec<f32> = grad.iter().map(|g| (f64::from(*g) * a) as f32).collect();
                    let other: Vec<f64> = theirs[path].iter().map(|g| -f64::from(*g) * b).collect();
                    assert_close(&format!("{name}: {path}"), &mine, &other, 1e-5);
                }
            }
        }
    }
}

#[test]
fn a_forward_pass_reports_what_it_did() {
    for (name, device) in devices() {
        let model = decoder(&device);
        let data = pairs(6, 8);
        let objective =
            RewardObjective::new(data.clone(), vec![], PairwiseLoss::default(), 512).unwrap();
        let examples = [4, 0, 5];
        let out = objective
            .forward(&model, &examples, Key::new(0, "x"))
            .unwrap();
        let tokens: usize = examples.iter().map(|&i| objective.tokens(i)).sum();
        assert_eq!(out.tokens, tokens);
        assert_eq!(objective.weight(&examples), 3.0);
        let chosen_pairs: Vec<_> = examples.iter().map(|&i| data[i].clone()).collect();
        let scores = score_pairs(&model, &chosen_pairs, 1).unwrap();
        let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
            scores
                .iter()
                .map(|&(c, r)| f(f64::from(c), f64::from(r)))
                .sum()
        };
        let wanted = [
            (names::REWARDS_CHOSEN, sum(&|c, _| c)),
            (names::REWARDS_REJECTED, sum(&|_, r| r)),
            (names::REWARDS_MARGINS, sum(&|c, r| c - r)),
            (
                names::REWARDS_ACCURACIES,
                sum(&|c, r| f64::from(u8::from(c > r))),
            ),
        ];
        for (metric, value) in wanted {
            let (_, found, weight) = out.metrics.iter().find(|m| m.0 == metric).unwrap();
            assert!(
                (found - value).abs() < 1e-5,
                "{name}: {metric} {found} / {value}"
            );
            assert_eq!(*weight, 3.0);
        }
        let loss = sum(&|c, r| (1.0 + (r - c).exp()).ln());
        assert_close(name, &host(&out.loss_sum.inner()), &[loss], 1e-5);
    }
}

#[test]
fn an_encoder_repeats_the_prompt_and_a_decoder_shares_it() {
    let data = pairs(1, 9);
    let (p, c, r) = (
        data[0].prompt.len(),
        data[0].chosen.len(),
        data[0].rejected.len(),
    );
    let loss = PairwiseLoss::default();
    let shared = RewardObjective::<collimate_lm::Llama>::new(data.clone(), vec![], loss, 512);
    assert_eq!(shared.unwrap().tokens(0), p + c + r);
    let apart = RewardObjective::<collimate_lm::Encoder>::new(data.clone(), vec![], loss, 512);
    assert_eq!(apart.unwrap().tokens(0), 2 * p + c + r);
    // A decoder's score of an answer does not depend on the other answer.
    let model = decoder(&flex_plain());
    let (chosen, rejected) = score_pairs(&model, &data, 512).unwrap()[0];
    for (answer, score) in [(&data[0].chosen, chosen), (&data[0].rejected, rejected)] {
        let row = [data[0].prompt.clone(), answer.clone()].concat();
        let mut pack = collimate_nn::Pack::new();
        pack.push_row(&row);
        let batch = pack.to_device(collimate_ops::Visibility::Causal, &flex_plain());
        let alone = host(&model.score(&batch, Forward::EVAL));
        assert_close("score", &alone, &[f64::from(score)], 1e-5);
    }
}

#[test]
fn pairs_that_the_model_cannot_take_are_errors() {
    let loss = PairwiseLoss::default();
    type Objective = RewardObjective<collimate_lm::Llama>;
    let mut empty = pairs(3, 10);
    empty[1].rejected.clear();
    let error = Objective::new(empty.clone(), vec![], loss, 512)
        .unwrap_err()
        .to_string();
    assert!(error.contains("training pair 1"), "{error}");
    let error = Objective::new(pairs(2, 1), empty, loss, 512)
        .unwrap_err()
        .to_string();
    assert!(error.contains("held-out pair 1"), "{error}");
    let bad = PairwiseLoss::Hinge { margin: -1.0 };
    assert!(Objective::new(pairs(2, 1), vec![], bad, 512).is_err());

    let mut unknown = pairs(3, 10);
    unknown[2].rejected[0] = 24;
    let mut long = pairs(3, 10);
    long[2].chosen = vec![5; 40];
    for (data, part) in [(unknown, "token id 24"), (long, "at most 32")] {
        let config = TrainConfig {
            max_steps: Some(1),
            ..Default::default()
        };
        for (train, held_out, place) in [
            (data.clone(), vec![], "training pair 2"),
            (pairs(2, 1), data.clone(), "held-out pair 2"),
        ] {
            let objective = Objective::new(train, held_out, loss, 512).unwrap();
            let model = decoder(&flex_plain());
            let error = fit(model, &objective, &config, &FitContext::silent()).unwrap_err();
            let text = error.to_string();
            assert!(text.contains(part) && text.contains(place), "{text}");
            assert!(!text.contains('\n'), "{text}");
        }
        let error = score_pairs(&decoder(&flex_plain()), &data, 1).unwrap_err();
        assert_eq!(error.sequence() / 2, 2);
    }
}

/// Returns the losses of twenty steps.
fn curve<B: Backbone>(model: RewardModel<B>) -> Vec<f64> {
    let objective =
        RewardObjective::new(pairs(160, 5), vec![], PairwiseLoss::default(), 256).unwrap();
    let config = TrainConfig {
        learning_rate: 3e-3,
        batch_size: 8,
        // With a tiny eps, AdamW would turn rounding noise into whole steps.
        adamw: AdamWConfig {
            eps: 1e-4,
            ..Default::default()
        },
        ..Default::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let metrics = Metrics::open(&folder.path().join("metrics.jsonl")).unwrap();
    let context = FitContext {
        metrics: Some(&metrics),
        ..FitContext::silent()
    };
    fit(model, &objective, &config, &context).unwrap();
    let rows = metrics.rows().unwrap();
    rows.iter().filter_map(|row| row["loss"].as_f64()).collect()
}

/// Fused operations run on flex only; other devices train with their plain twins.
#[test]
fn twenty_steps_fused_equal_twenty_steps_plain() {
    let curves = |device: &Device| [curve(decoder(device)), curve(encoder(device, 0.0))];
    let fused = curves(&flex_plain());
    for losses in &fused {
        assert_eq!(losses.len(), 20);
        let moved = losses.iter().any(|loss| (loss - losses[0]).abs() > 0.05);
        assert!(moved, "nothing happened: {losses:?}");
    }
    for (name, device) in devices().into_iter().skip(1) {
        let plain = curves(&device.without_autodiff());
        for (fused, plain) in fused.iter().zip(&plain) {
            assert_eq!(plain.len(), 20);
            for (step, (fused, plain)) in fused.iter().zip(plain).enumerate() {
                let far = (fused - plain).abs() / plain.abs().max(1.0);
                assert!(far < 1e-4, "{name}, step {step}: {fused} is not {plain}");
            }
        }
    }
}
