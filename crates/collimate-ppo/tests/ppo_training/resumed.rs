//! A training that was stopped anywhere ends with the same bytes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use collimate_core::{Completion, Prompt};
use collimate_lm::Llama;
use collimate_ppo::{
    CriticConfig, Estimator, KlControl, KlUnit, PpoConfig, PpoError, RewardConfig, RewardScaling,
    Trained, train,
};
use collimate_testkit::{Noise, flex};
use collimate_train::{FitContext, Interrupt, Metrics, Progress, TrainError, model_hash};

use crate::setup::{likes_yes, llama, options, task, tokenizer, with_critic};

fn config() -> PpoConfig {
    PpoConfig {
        rollouts: 4,
        // More than one chunk of responses, so that a half-written rollout is saved.
        rollout_size: 80,
        mini_batch_size: 20,
        kl: KlControl::Adaptive {
            initial: 0.1,
            target: 0.05,
            horizon: 100.0,
            unit: KlUnit::PerSequence,
        },
        reward: RewardConfig {
            scaling: RewardScaling::Running,
            ..RewardConfig::default()
        },
        estimator: Estimator::Critic(CriticConfig::default()),
        ratio_threshold: Some(1.02),
        save_every: Some(3),
        sample_every: Some(2),
        ..options()
    }
}

/// Trains in `folder`. The reward requests a stop when it has scored for the `stop_at`-th time. The
/// loop notices the request between two steps or in the next chunk of responses.
fn run(folder: &Path, stop_at: Option<usize>, after: usize) -> Result<Trained<Llama>, PpoError> {
    run_with(&config(), folder, stop_at, after)
}

fn run_with(
    config: &PpoConfig,
    folder: &Path,
    stop_at: Option<usize>,
    after: usize,
) -> Result<Trained<Llama>, PpoError> {
    let tokenizer = tokenizer();
    let device = flex();
    let interrupt = Interrupt::new();
    let calls = AtomicUsize::new(0);
    let reward = |prompt: &Prompt, answer: &Completion| {
        if Some(calls.fetch_add(1, Ordering::Relaxed)) == stop_at.map(|n| n * 16 + after) {
            interrupt.set();
        }
        likes_yes(prompt, answer)
    };
    let metrics = Metrics::open(&folder.join("metrics.jsonl")).unwrap();
    let context = FitContext {
        checkpoints: Some(folder.join("checkpoints")),
        metrics: Some(&metrics),
        progress: Progress::Silent,
        interrupt: interrupt.clone(),
    };
    let task = task(&tokenizer, &reward, llama(1, &device));
    train(with_critic(&device), &task, config, &context)
}

fn facts(done: &Trained<Llama>, folder: &Path) -> (String, BTreeMap<String, f64>, String, String) {
    let answers = serde_json::to_string(&done.answers).unwrap();
    let metrics = fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    (
        model_hash(&done.model),
        done.metrics.clone(),
        answers,
        metrics,
    )
}

#[test]
fn stopped_anywhere_it_ends_with_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let whole = run(folder.path(), None, 0).unwrap();
    let expected = facts(&whole, folder.path());
    let mut noise = Noise::new(4);
    for round in 0..6 {
        let folder = tempfile::tempdir().unwrap();
        let mut stops = 0;
        let done = loop {
            // Each start stops at a random point of the rest; a start that finishes ends the round.
            let stop = (stops < 3).then(|| noise.below(12));
            match run(folder.path(), stop, noise.below(16)) {
                Ok(done) => break done,
                Err(PpoError::Train(TrainError::Interrupted { .. })) => stops += 1,
                Err(error) => panic!("{error}"),
            }
        };
        assert_eq!(
            facts(&done, folder.path()),
            expected,
            "round {round}, {stops} stops"
        );
    }
    // A finished training is read, not repeated.
    let again = run(folder.path(), Some(0), 0).unwrap();
    assert_eq!(facts(&again, folder.path()), expected);
    // The seconds are read from JSON, which may lose the last bit.
    assert!((again.seconds - whole.seconds).abs() < 1e-9);
}

#[test]
fn another_configuration_or_another_start_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), None, 0).unwrap();
    let tokenizer = tokenizer();
    let device = flex();
    let metrics = Metrics::open(&folder.path().join("metrics.jsonl")).unwrap();
    let context = FitContext {
        checkpoints: Some(folder.path().join("checkpoints")),
        metrics: Some(&metrics),
        progress: Progress::Silent,
        interrupt: Interrupt::new(),
    };
    let before = fs::read_to_string(folder.path().join("metrics.jsonl")).unwrap();
    let task = task(&tokenizer, &likes_yes, llama(1, &device));
    let other = PpoConfig {
        clip_range: 0.3,
        ..config()
    };
    let error = train(with_critic(&device), &task, &other, &context)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("clip_range was 0.2, now it is 0.3"),
        "{error}"
    );
    let mut model = with_critic(&device);
    model.policy = llama(5, &device);
    let error = train(model, &task, &config(), &context)
        .unwrap_err()
        .to_string();
    assert!(error.contains("prompts and models (hash)"), "{error}");
    let after = fs::read_to_string(folder.path().join("metrics.jsonl")).unwrap();
    assert_eq!(before, after);
}

/// Resumes from every checkpoint of a training, including those inside an update.
#[test]
fn every_checkpoint_leads_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let config = PpoConfig {
        keep_last: 1000,
        ..config()
    };
    let whole = run_with(&config, folder.path(), None, 0).unwrap();
    let expected = facts(&whole, folder.path());
    let stage = folder.path().join("checkpoints/ppo");
    let mut steps: Vec<_> = fs::read_dir(&stage)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    steps.sort();
    assert!(steps.len() > 8, "{steps:?}");
    let mut inside = 0;
    for step in steps {
        let copy = tempfile::tempdir().unwrap();
        let target = copy
            .path()
            .join("checkpoints/ppo")
            .join(step.file_name().unwrap());
        fs::create_dir_all(&target).unwrap();
        for file in fs::read_dir(&step).unwrap() {
            let file = file.unwrap().path();
            fs::copy(&file, target.join(file.file_name().unwrap())).unwrap();
        }
        let metrics = "metrics.jsonl";
        fs::copy(folder.path().join(metrics), copy.path().join(metrics)).unwrap();
        let state = fs::read_to_string(target.join("state.json")).unwrap();
        let state: serde_json::Value = serde_json::from_str(&state).unwrap();
        inside += usize::from(state["state"]["place"].as_u64() > Some(0));
        let done = run_with(&config, copy.path(), None, 0).unwrap();
        assert_eq!(facts(&done, copy.path()), expected, "{}", step.display());
    }
    assert!(inside >= 3, "{inside} checkpoints lie inside an update");
}

/// Responses and scores of a stopped rollout are not made again.
#[test]
fn half_a_rollout_is_noted() {
    let folder = tempfile::tempdir().unwrap();
    // The second of two chunks, 64 and 16 responses, notices the stop request.
    assert!(matches!(
        run(folder.path(), Some(0), 5),
        Err(PpoError::Train(TrainError::Interrupted { .. }))
    ));
    let note = fs::read_to_string(folder.path().join("checkpoints/ppo/rollout.json")).unwrap();
    let note: serde_json::Value = serde_json::from_str(&note).unwrap();
    assert_eq!(note["responses"].as_array().unwrap().len(), 64);
    let counted = AtomicUsize::new(0);
    let tokenizer = tokenizer();
    let device = flex();
    let reward = |prompt: &Prompt, answer: &Completion| {
        counted.fetch_add(1, Ordering::Relaxed);
        likes_yes(prompt, answer)
    };
    let context = FitContext {
        checkpoints: Some(folder.path().join("checkpoints")),
        progress: Progress::Silent,
        ..FitContext::default()
    };
    let task = task(&tokenizer, &reward, llama(1, &device));
    train(with_critic(&device), &task, &config(), &context).unwrap();
    // 4 rollouts of 80 responses, and two watched prompts three times. 64 of these responses are
    // saved already; the first answers to the watched prompts are not.
    assert_eq!(counted.load(Ordering::Relaxed), 4 * 80 + 3 * 2 - 64);
}

/// A reward that fails late loses the rollout, not the training.
#[test]
fn a_reward_that_fails_leaves_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let tokenizer = tokenizer();
    let device = flex();
    let config = PpoConfig {
        save_every: None,
        sample_every: None,
        ..config()
    };
    let calls = AtomicUsize::new(0);
    let fails = |prompt: &Prompt, answer: &Completion| match calls.fetch_add(1, Ordering::Relaxed) {
        call if call >= 170 => f32::NAN,
        _ => likes_yes(prompt, answer),
    };
    let context = FitContext {
        checkpoints: Some(folder.path().join("checkpoints")),
        progress: Progress::Silent,
        ..FitContext::default()
    };
    let failing = task(&tokenizer, &fails, llama(1, &device));
    let error = train(with_critic(&device), &failing, &config, &context).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("rollout 3: the score of item "),
        "{error}"
    );
    let good = task(&tokenizer, &likes_yes, llama(1, &device));
    let resumed = train(with_critic(&device), &good, &config, &context).unwrap();
    let other = FitContext::silent();
    let straight = train(with_critic(&device), &good, &config, &other).unwrap();
    assert_eq!(model_hash(&resumed.model), model_hash(&straight.model));
}
