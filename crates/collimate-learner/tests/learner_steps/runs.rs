//! Runs of Burn's Learner.

use std::path::Path;

use burn::data::dataloader::DataLoaderBuilder;
use burn::module::{Module, ModuleDisplay};
use burn::optim::AdamWConfig;
use burn_train::metric::LossMetric;
use burn_train::{InferenceStep, Learner, MetricRegistration, SupervisedTraining};
use collimate_core::Key;
use collimate_direct::Reference;
use collimate_learner::{DirectTask, RewardMetric, RewardTask, Rows, SftTask, Task, Trainee};
use collimate_losses::{Dpo, PairwiseLoss};
use collimate_train::model_hash;

use crate::setup::{adapted, examples, mean, model, pairs, reward_model, without_adapters};

/// Data of a run.
struct Data<I> {
    train: Vec<I>,
    valid: Vec<I>,
}

/// Returns the validation loss before and after training, and the trained model.
fn learn<M, T>(
    folder: &Path,
    start: Trainee<M, T>,
    data: Data<T::Item>,
    metrics: impl MetricRegistration<Trainee<M, T>>,
    set: impl FnOnce(SupervisedTraining<Trainee<M, T>>) -> SupervisedTraining<Trainee<M, T>>,
) -> (f64, f64, Trainee<M, T>)
where
    M: Module + ModuleDisplay + 'static,
    T: Task<M>,
{
    let loader = |items: Vec<T::Item>| {
        let items = start.dataset(items).unwrap();
        DataLoaderBuilder::new(Rows)
            .batch_size(8)
            .shuffle(1)
            .build(items)
    };
    let loss = |trainee: &Trainee<M, T>| mean(&InferenceStep::step(trainee, data.valid.clone()));
    let before = loss(&start);
    let (train, valid) = (loader(data.train), loader(data.valid.clone()));
    let optimizer = AdamWConfig::new().with_weight_decay(0.0).init();
    let learner = Learner::new(start, optimizer, 0.01);
    let training = SupervisedTraining::new(folder, train, valid)
        .metrics(metrics)
        .num_epochs(3)
        .with_application_logger(None);
    let end = set(training).launch(learner);
    assert!(end.error.is_none() && end.interrupted.is_none());
    (before, loss(&end.model), end.model)
}

/// Reads the value of a validation metric after an epoch.
fn logged(folder: &Path, epoch: usize, metric: &str) -> f64 {
    let path = folder.join(format!("valid/epoch-{epoch}/{metric}.log"));
    let text = std::fs::read_to_string(&path).unwrap();
    let last = text.lines().find_map(|line| line.strip_suffix(",final"));
    last.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
}

fn same<T>(training: T) -> T {
    training
}

#[test]
fn direct_alignment_learns() {
    let start = adapted(1, 0.05);
    let base = without_adapters(&start);
    let task = DirectTask::new(Dpo::default(), Reference::AdaptersOff).unwrap();
    let trainee = Trainee::new(start, task, Key::new(0, "dpo")).unwrap();
    let rows = |count, seed| pairs(count, seed).into_iter().map(Into::into).collect();
    let data = Data {
        train: rows(64, 2),
        valid: rows(40, 9),
    };
    let metrics = (
        LossMetric::new(),
        RewardMetric::accuracies(),
        RewardMetric::margins(),
    );
    let folder = tempfile::tempdir().unwrap();
    let valid = data.valid.clone();
    let (before, after, end) = learn(folder.path(), trainee, data, metrics, same);
    assert!((before - std::f64::consts::LN_2).abs() < 1e-6, "{before}");
    assert!(after < 0.7 * before, "{before} {after}");
    let of = |name| logged(folder.path(), 3, name);
    assert!((of("Loss") - after).abs() < 1e-4, "{after}");
    assert!(of("Rewards_Accuracies") > 0.9);
    let out = InferenceStep::step(&end, valid);
    let margin = (out.chosen_rewards - out.rejected_rewards).mean();
    let margin: f64 = margin.into_scalar::<f32>().into();
    assert!((of("Rewards_Margins") - margin).abs() < 1e-4, "{margin}");
    assert_eq!(without_adapters(&end.model), base, "the base is frozen");
}

#[test]
fn a_reward_model_learns() {
    let task = RewardTask::new(PairwiseLoss::default()).unwrap();
    let trainee = Trainee::new(reward_model(1), task, Key::new(0, "reward")).unwrap();
    let data = Data {
        train: pairs(64, 2),
        valid: pairs(40, 9),
    };
    let metrics = (LossMetric::new(), RewardMetric::accuracies());
    let folder = tempfile::tempdir().unwrap();
    let (before, after, _) = learn(folder.path(), trainee, data, metrics, same);
    assert!(after < 0.6 * before, "{before} {after}");
    let accuracy = |epoch| logged(folder.path(), epoch, "Rewards_Accuracies");
    assert!(accuracy(3) > 0.9 && accuracy(3) >= accuracy(1));
}

#[test]
fn fine_tuning_learns() {
    let trainee = Trainee::new(model(1), SftTask, Key::new(0, "sft")).unwrap();
    let data = Data {
        train: examples(64, 2),
        valid: examples(40, 9),
    };
    let folder = tempfile::tempdir().unwrap();
    let (before, after, _) = learn(folder.path(), trainee, data, (LossMetric::new(),), same);
    assert!(after < 0.8 * before, "{before} {after}");
    // The metric is the mean over tokens, although batches differ in their number of tokens.
    assert!((logged(folder.path(), 3, "Loss") - after).abs() < 1e-5);
}

#[test]
fn a_checkpoint_is_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let run = |seed, resume: bool| {
        let trainee = Trainee::new(model(seed), SftTask, Key::new(0, "sft")).unwrap();
        let data = Data {
            train: examples(24, 2),
            valid: examples(8, 9),
        };
        let metrics = (LossMetric::new(),);
        let (_, _, end) = learn(folder.path(), trainee, data, metrics, |training| {
            let training = training.with_default_checkpointers();
            if resume {
                training.checkpoint(3)
            } else {
                training
            }
        });
        model_hash(&end.model)
    };
    let first = run(1, false);
    // Nothing remains to be done after the third epoch: another start ends with the saved weights.
    assert_eq!(run(2, true), first);
}
