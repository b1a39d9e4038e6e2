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
        // More than a chunk of responses, so that a rollout is noted half-way.
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

/// Trains in `folder`; the reward asks to stop when it has scored for the `stop_at`-th time, and
/// the loop sees that between two steps or in the next chunk of responses.
fn run(folder: &Path, stop_at: Option<usize>, after: usize) -> Result<Trained<Llama>, PpoError> {
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
    train(with_critic(&device), &task, &config(), &context)
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
            // Sooner or later in what is left; a run that comes through ends the round.
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
    // A finished one is read, not trained again.
    let again = run(folder.path(), Some(0), 0).unwrap();
    assert_eq!(facts(&again, folder.path()), expected);
    assert_eq!(again.seconds, whole.seconds);
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
