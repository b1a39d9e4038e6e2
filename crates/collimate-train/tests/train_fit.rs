//! The step loop compared with a loop in f64, and variations that must not change its result.

mod common;

use collimate_core::Key;
use collimate_testkit::devices;
use collimate_train::{
    FitContext, MicroBatchOrder, Schedule, TrainConfig, TrainError, epoch_order, fit,
};
use common::{EXAMPLES, FEATURES, Regression, Tiny, config, tiny, tiny_on, x, y};

/// Runs AdamW with clipping, decay only on the matrix, and the cosine schedule, in f64.
fn reference(config: &TrainConfig) -> Vec<f64> {
    let mut theta = [0.3, -0.2, 0.1, 0.5];
    let (mut m, mut v) = ([0.0; 4], [0.0; 4]);
    let per_epoch = EXAMPLES.div_ceil(config.batch_size);
    let total = 3 * per_epoch;
    for step in 0..total {
        let order = epoch_order(
            Key::new(config.seed, &config.stage),
            (step / per_epoch) as u64,
            EXAMPLES,
        );
        let start = step % per_epoch * config.batch_size;
        let batch = &order[start..(start + config.batch_size).min(EXAMPLES)];
        let mut grad = [0.0; 4];
        for &example in batch {
            let x = x(example);
            let dot: f64 = (0..FEATURES).map(|k| x[k] * theta[k]).sum();
            let error = dot + theta[3] + 0.25 - y(example);
            for k in 0..FEATURES {
                grad[k] += error * x[k] / batch.len() as f64;
            }
            grad[3] += error / batch.len() as f64;
        }
        let norm = grad.iter().map(|g| g * g).sum::<f64>().sqrt();
        let clip = (0.8 / (norm + 1e-6)).min(1.0);
        let warmup = 2.0;
        let s = step as f64;
        let lr = if s < warmup {
            0.05 * (s + 1.0) / (warmup + 1.0)
        } else {
            let x = (s - warmup) / (total as f64 - warmup);
            0.05 * (0.1 + 0.9 * 0.5 * (1.0 + (std::f64::consts::PI * x).cos()))
        };
        for k in 0..4 {
            let g = grad[k] * clip;
            let decay = if k < FEATURES { 0.1 } else { 0.0 };
            m[k] = 0.9 * m[k] + 0.1 * g;
            v[k] = 0.999 * v[k] + 0.001 * g * g;
            let t = (step + 1) as i32;
            let m_hat = m[k] / (1.0 - 0.9f64.powi(t));
            let v_hat = v[k] / (1.0 - 0.999f64.powi(t));
            theta[k] -= lr * decay * theta[k];
            theta[k] -= lr * m_hat / (v_hat.sqrt() + 1e-8);
        }
    }
    theta.to_vec()
}

fn run(config: &TrainConfig) -> Vec<f32> {
    run_noisy(config, false)
}

fn run_noisy(config: &TrainConfig, noise: bool) -> Vec<f32> {
    let objective = Regression {
        noise,
        ..Regression::default()
    };
    fit(tiny(), &objective, config, &FitContext::silent())
        .unwrap()
        .model
        .numbers()
}

fn close(a: &[f32], b: &[f32], tolerance: f32) {
    for (a, b) in a.iter().zip(b) {
        assert!(
            (a - b).abs() <= tolerance * b.abs().max(1.0),
            "{a} against {b}"
        );
    }
}

#[test]
fn the_trajectory_is_the_one_of_a_loop_in_f64() {
    let trained = run(&config());
    let expected: Vec<f32> = reference(&config()).into_iter().map(|v| v as f32).collect();
    close(&trained[..4], &expected, 1e-5);
    let start = tiny().numbers();
    assert!(
        (trained[0] - start[0]).abs() > 0.02,
        "nothing was trained: {trained:?}"
    );
}

#[test]
fn every_device_clips_to_the_same_norm() {
    let expected: Vec<f32> = reference(&config()).into_iter().map(|v| v as f32).collect();
    let unclipped = TrainConfig {
        max_grad_norm: None,
        ..config()
    };
    let mut norms = Vec::new();
    for (name, device) in devices() {
        let run = |config: &TrainConfig| {
            let silent = FitContext::silent();
            fit(tiny_on(&device), &Regression::default(), config, &silent).unwrap()
        };
        let fitted = run(&config());
        close(&fitted.model.numbers()[..4], &expected, 1e-5);
        norms.push(fitted.metrics["grad_norm"]);
        let free = run(&unclipped).model.numbers();
        let moved = free.iter().zip(&expected).map(|(a, b)| (a - b).abs());
        assert!(
            moved.fold(0.0, f32::max) > 1e-3,
            "{name}: nothing is clipped"
        );
    }
    assert!((norms[0] / norms[1] - 1.0).abs() < 1e-4, "{norms:?}");
}

#[test]
fn frozen_parameters_stay_and_keep_being_frozen() {
    let fitted = fit(
        tiny(),
        &Regression::default(),
        &config(),
        &FitContext::silent(),
    )
    .unwrap();
    assert_eq!(fitted.model.numbers()[4], 0.25);
    assert!(
        !fitted.model.weight.val().is_autodiff(),
        "the model comes back untracked"
    );
    let again = fit(
        fitted.model,
        &Regression::default(),
        &config(),
        &FitContext::silent(),
    )
    .unwrap();
    assert_eq!(again.model.numbers()[4], 0.25);
    assert_ne!(again.model.numbers()[0], 0.3);
}

#[test]
fn a_tracked_model_trains_like_an_untracked_one() {
    use burn::module::Module;
    let silent = FitContext::silent();
    let tracked = fit(tiny().train(), &Regression::default(), &config(), &silent).unwrap();
    assert_eq!(tracked.model.numbers(), run(&config()));
}

#[test]
fn micro_batches_change_only_the_float_order() {
    let whole = run_noisy(&config(), true);
    for budget in [1, 3, 5, 100] {
        for micro_batch_order in [MicroBatchOrder::AsDrawn, MicroBatchOrder::LongestFirst] {
            let config = TrainConfig {
                micro_batch_tokens: Some(budget),
                micro_batch_order,
                ..config()
            };
            close(&run_noisy(&config, true), &whole, 2e-6);
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bits_and_another_seed_does_not() {
    assert_eq!(run(&config()), run(&config()));
    assert_ne!(
        run(&config()),
        run(&TrainConfig {
            seed: 4,
            ..config()
        })
    );
    assert_ne!(
        run(&config()),
        run(&TrainConfig {
            stage: "other".into(),
            ..config()
        })
    );
}

#[test]
fn a_loss_that_is_not_a_number_names_the_step() {
    let objective = Regression {
        nan: Some(3),
        ..Regression::default()
    };
    let error = fit(tiny(), &objective, &config(), &FitContext::silent()).unwrap_err();
    assert!(
        matches!(
            error,
            TrainError::NotFinite {
                step: 3,
                what: "the loss",
                ..
            }
        ),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .starts_with("stage tiny, step 3: the loss is NaN"),
        "{error}"
    );
}

#[test]
fn patience_stops_early_and_the_best_model_is_kept() {
    let objective = Regression {
        scores: vec![0.1, 0.5, 0.4, 0.5, 0.3, 9.0],
        ..Regression::default()
    };
    let config = TrainConfig {
        eval_every: Some(1),
        patience: Some(3),
        ..config()
    };
    let fitted = fit(tiny(), &objective, &config, &FitContext::silent()).unwrap();
    assert_eq!(fitted.steps, 5);
    let best = fitted.best.unwrap();
    assert_eq!((best.step, best.score), (2, 0.5));
    let two = TrainConfig {
        max_steps: Some(9),
        ..config.clone()
    };
    assert_eq!(two.total_steps(EXAMPLES), config.total_steps(EXAMPLES));
    let objective = Regression {
        scores: vec![0.1, 0.5, 0.4, 0.5, 0.3],
        ..Regression::default()
    };
    let last = fit(tiny(), &objective, &config, &FitContext::silent()).unwrap();
    assert_ne!(best.model.numbers(), last.model.numbers());
}

#[test]
fn steps_and_metrics_are_counted() {
    let config = TrainConfig {
        epochs: 1.5,
        ..config()
    };
    assert_eq!(
        (
            config.steps_per_epoch(EXAMPLES),
            config.total_steps(EXAMPLES)
        ),
        (3, 5)
    );
    let inexact = TrainConfig {
        epochs: 1.1,
        batch_size: 1,
        ..config.clone()
    };
    // 1.1 times 100 is 110.00000000000001 in f64.
    assert_eq!(inexact.total_steps(100), 110);
    assert_eq!(inexact.total_steps(101), 112);
    let fitted = fit(
        tiny(),
        &Regression::default(),
        &config,
        &FitContext::silent(),
    )
    .unwrap();
    assert_eq!(fitted.steps, 5);
    let tokens = |e: usize| 1 + e % 4;
    let stage = Key::new(3, "tiny");
    let first: usize = epoch_order(stage, 0, EXAMPLES)
        .into_iter()
        .map(tokens)
        .sum();
    let second: usize = epoch_order(stage, 1, EXAMPLES)[..8]
        .iter()
        .map(|&e| tokens(e))
        .sum();
    assert_eq!(fitted.tokens, (first + second) as u64);
    let last: f64 = epoch_order(stage, 1, EXAMPLES)[4..8]
        .iter()
        .map(|&e| x(e)[0])
        .sum::<f64>()
        / 4.0;
    assert!((fitted.metrics["x0"] - last).abs() < 1e-12);
    assert!(
        fitted.metrics.contains_key("eval_loss"),
        "the end is evaluated"
    );
}

#[test]
fn nothing_to_train_is_an_error() {
    use burn::module::Module;
    let frozen = tiny().no_grad();
    let error = fit(
        frozen,
        &Regression::default(),
        &config(),
        &FitContext::silent(),
    )
    .unwrap_err();
    assert_eq!(error.to_string(), "stage tiny has no trainable parameters");
}

#[test]
fn a_parameter_in_two_places_is_refused() {
    let model = tiny();
    let shared = Tiny {
        offset: model.bias.clone(),
        ..model
    };
    let error = fit(
        shared,
        &Regression::default(),
        &config(),
        &FitContext::silent(),
    )
    .unwrap_err();
    assert!(error.to_string().contains("offset occurs twice"), "{error}");
}

#[test]
fn schedules_have_these_values() {
    let rate = |schedule, step, warmup_steps| {
        TrainConfig {
            learning_rate: 1.0,
            schedule,
            warmup_steps,
            final_learning_rate_ratio: 0.0,
            ..TrainConfig::default()
        }
        .learning_rate_at(step, 10)
    };
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} against {b}");
    close(rate(Schedule::Constant, 0, 4), 0.2);
    close(rate(Schedule::Constant, 3, 4), 0.8);
    close(rate(Schedule::Constant, 4, 4), 1.0);
    close(rate(Schedule::Constant, 9, 4), 1.0);
    close(rate(Schedule::Linear, 0, 0), 1.0);
    close(rate(Schedule::Linear, 9, 0), 0.1);
    close(rate(Schedule::Linear, 7, 4), 0.5);
    close(rate(Schedule::Cosine, 5, 0), 0.5);
    close(
        rate(Schedule::Cosine, 1, 0),
        0.5 * (1.0 + (std::f64::consts::PI / 10.0).cos()),
    );
    let by_ratio = TrainConfig {
        warmup_ratio: 0.25,
        ..TrainConfig::default()
    };
    close(by_ratio.learning_rate_at(0, 10), 1e-5 / 4.0);
    let inexact = TrainConfig {
        learning_rate: 1.0,
        warmup_ratio: 0.07,
        ..TrainConfig::default()
    };
    // 0.07 of 100 is 7.000000000000001 in f64: this gives seven steps, not eight.
    close(inexact.learning_rate_at(0, 100), 1.0 / 8.0);
    close(inexact.learning_rate_at(7, 100), 1.0);
}

#[test]
fn options_out_of_range_are_named() {
    let message = |change: &dyn Fn(&mut TrainConfig)| {
        let mut config = TrainConfig::default();
        change(&mut config);
        config.validate().unwrap_err().to_string()
    };
    assert!(TrainConfig::default().validate().is_ok());
    assert_eq!(
        message(&|c| c.learning_rate = 0.0),
        "learning_rate is 0.0 but must be above 0, at most 1"
    );
    assert!(message(&|c| c.learning_rate = f64::NAN).starts_with("learning_rate is NaN"));
    assert!(message(&|c| c.batch_size = 0).starts_with("batch_size is 0"));
    assert!(message(&|c| c.micro_batch_tokens = Some(0)).starts_with("micro_batch_tokens"));
    assert!(message(&|c| c.epochs = f64::INFINITY).starts_with("epochs is inf"));
    assert!(message(&|c| c.adamw.beta2 = 1.0).starts_with("adamw.beta2 is 1.0"));
    assert!(message(&|c| c.patience = Some(2)).starts_with("patience is 2 but must be"));
    assert!(message(&|c| c.max_steps = Some(0)).starts_with("max_steps is 0 but must be"));
    assert!(
        message(&|c| c.max_grad_norm = Some(0.0)).starts_with("max_grad_norm is 0.0 but must be")
    );
    assert_eq!(
        message(&|c| c.warmup_steps = u64::MAX),
        "warmup_steps is 18446744073709551615 but must be at most 10^12"
    );
    assert!(message(&|c| c.max_steps = Some(u64::MAX)).ends_with("1 to 10^12, or null"));
    assert!(message(&|c| c.epochs = 1e300).ends_with("above 0, at most 10^6"));
    assert!(message(&|c| c.stage = "a/b".into()).starts_with("stage is \"a/b\""));
    let unknown = serde_json::from_str::<TrainConfig>("{\"lr\": 1}").unwrap_err();
    assert!(
        unknown.to_string().contains("unknown field `lr`"),
        "{unknown}"
    );
}

#[test]
fn the_largest_counts_wrap_nowhere() {
    let factor = Schedule::Linear.factor(0, u64::MAX, 10, 0.0);
    assert!(factor > 0.0 && factor < 1e-18, "{factor}");
    assert_eq!(Schedule::Cosine.factor(u64::MAX - 1, u64::MAX, 1, 0.0), 1.0);
    let tiny = |epochs| TrainConfig { epochs, ..config() };
    // A partial step counts as a step; without examples there is no step.
    assert_eq!(tiny(1e-9).total_steps(100), 1);
    assert_eq!(tiny(1e-9).total_steps(0), 0);
    assert_eq!(tiny(1.0).total_steps(100), tiny(1.0).steps_per_epoch(100));
}
