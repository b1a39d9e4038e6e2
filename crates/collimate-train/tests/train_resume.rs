//! A fit that stops anywhere and is started again ends with the bytes of an uninterrupted fit.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use collimate_core::Key;
use collimate_train::{
    Evaluation, FitContext, Fitted, Forwarded, Interrupt, Metrics, Objective, Progress,
    TrainConfig, TrainError, fit,
};
use common::{Regression, Tiny, comparable, config, context, metrics_in, restore, snapshot, tiny};

fn resumable() -> TrainConfig {
    TrainConfig {
        save_every: Some(2),
        eval_every: Some(3),
        keep_last: 2,
        micro_batch_tokens: Some(4),
        ..config()
    }
}

fn run(folder: &Path, objective: &Regression) -> Result<Fitted<Tiny>, TrainError> {
    run_with(folder, objective, &resumable(), &Interrupt::new())
}

fn run_with(
    folder: &Path,
    objective: &Regression,
    config: &TrainConfig,
    interrupt: &Interrupt,
) -> Result<Fitted<Tiny>, TrainError> {
    let metrics = metrics_in(folder);
    fit(
        tiny(),
        objective,
        config,
        &context(folder, &metrics, interrupt),
    )
}

fn noisy() -> Regression {
    Regression {
        noise: true,
        ..Regression::default()
    }
}

/// Returns the files, the parameters and the number of forward passes of an uninterrupted run.
fn straight() -> (BTreeMap<String, Vec<u8>>, Vec<f32>, usize) {
    let folder = tempfile::tempdir().unwrap();
    let objective = noisy();
    let fitted = run(folder.path(), &objective).unwrap();
    assert_eq!(fitted.steps, 9);
    (
        comparable(folder.path()),
        fitted.model.numbers(),
        objective.forwards.get(),
    )
}

#[test]
fn a_run_that_dies_anywhere_resumes_exactly() {
    let (files, numbers, forwards) = straight();
    assert!(forwards > 18, "several micro-batches per step");
    for at in 1..=forwards {
        let folder = tempfile::tempdir().unwrap();
        let objective = Regression {
            fail: Some(at),
            ..noisy()
        };
        run(folder.path(), &objective).unwrap_err();
        let fitted = run(folder.path(), &noisy()).unwrap();
        assert_eq!(fitted.model.numbers(), numbers, "died in forward {at}");
        assert_eq!(comparable(folder.path()), files, "died in forward {at}");
    }
}

#[test]
fn a_run_that_dies_again_and_again_resumes_exactly() {
    let (files, ..) = straight();
    let folder = tempfile::tempdir().unwrap();
    for at in [1, 4, 7, 2, 7, 9] {
        let _ = run(
            folder.path(),
            &Regression {
                fail: Some(at),
                ..noisy()
            },
        );
    }
    run(folder.path(), &noisy()).unwrap();
    assert_eq!(comparable(folder.path()), files);
}

#[test]
fn an_interrupt_saves_after_the_step_and_resumes_exactly() {
    let (_, numbers, forwards) = straight();
    let mut saved = 0;
    for at in 1..=forwards {
        let folder = tempfile::tempdir().unwrap();
        let interrupt = Interrupt::new();
        let objective = Regression {
            interrupt: Some((at, interrupt.clone())),
            ..noisy()
        };
        match run_with(folder.path(), &objective, &resumable(), &interrupt) {
            Err(TrainError::Interrupted {
                step,
                saved: Some(path),
                ..
            }) => {
                assert!(path.ends_with(format!("checkpoints/tiny/step-{step:06}")));
                assert!(path.join("state.json").exists());
                saved += 1;
                let rest = noisy();
                let fitted = run(folder.path(), &rest).unwrap();
                assert_eq!(
                    fitted.model.numbers(),
                    numbers,
                    "interrupted in forward {at}"
                );
                assert_eq!(objective.forwards.get() + rest.forwards.get(), forwards);
            }
            // The interrupt came during the last step, when there was nothing left to stop.
            Ok(fitted) => assert_eq!(fitted.model.numbers(), numbers),
            other => panic!("{other:?}"),
        }
    }
    assert!(saved >= forwards - 4);
}

#[test]
fn an_interrupt_before_the_first_step_says_that_nothing_is_saved() {
    let folder = tempfile::tempdir().unwrap();
    let interrupt = Interrupt::new();
    interrupt.set();
    let error = run_with(folder.path(), &noisy(), &resumable(), &interrupt).unwrap_err();
    assert_eq!(
        error.to_string(),
        "interrupted after step 0 of stage tiny; nothing was saved: the stage will start from its \
         beginning"
    );
}

/// Leaves the folder as a kill in the middle of writing a checkpoint would: with the unfinished
/// folder in every state of completeness, and half a line of metrics.
#[test]
fn a_kill_while_writing_leaves_a_state_that_resumes() {
    let (files, numbers, _) = straight();
    let before = tempfile::tempdir().unwrap();
    run(
        before.path(),
        &Regression {
            fail: Some(12),
            ..noisy()
        },
    )
    .unwrap_err();
    let before = snapshot(before.path());
    let steps: Vec<&String> = before
        .keys()
        .filter(|name| name.ends_with("state.json"))
        .collect();
    assert!(!steps.is_empty());
    let parts = ["model.safetensors", "optimizer.safetensors", "state.json"];
    for complete in 0..parts.len() {
        let folder = tempfile::tempdir().unwrap();
        restore(folder.path(), &before);
        let unfinished = folder.path().join("checkpoints/tiny/.unfinished-4242-6");
        std::fs::create_dir_all(&unfinished).unwrap();
        for part in &parts[..=complete] {
            std::fs::write(unfinished.join(part), b"half").unwrap();
        }
        let old = folder
            .path()
            .join("checkpoints/tiny/.unfinished-4242-old-2");
        std::fs::create_dir_all(&old).unwrap();
        let metrics = folder.path().join("metrics.jsonl");
        let mut text = std::fs::read(&metrics).unwrap();
        text.extend_from_slice("{\"stage\":\"tiny\",\"step\":7,\"x\u{394}".as_bytes());
        text.pop();
        std::fs::write(&metrics, text).unwrap();
        let fitted = run(folder.path(), &noisy()).unwrap();
        assert_eq!(fitted.model.numbers(), numbers);
        assert_eq!(comparable(folder.path()), files);
    }
}

/// A regression that meets the remains of a save of the second step that failed midway.
struct Failed {
    inner: Regression,
    unfinished: PathBuf,
}

impl Objective for Failed {
    type Model = Tiny;

    fn len(&self) -> usize {
        self.inner.len()
    }

    fn tokens(&self, example: usize) -> usize {
        self.inner.tokens(example)
    }

    fn weight(&self, examples: &[usize]) -> f64 {
        self.inner.weight(examples)
    }

    fn forward(&self, model: &Tiny, examples: &[usize], key: Key) -> Result<Forwarded, TrainError> {
        if self.inner.forwards.get() == 0 {
            std::fs::create_dir(&self.unfinished).unwrap();
            std::fs::write(self.unfinished.join("model.safetensors"), b"half").unwrap();
        }
        self.inner.forward(model, examples, key)
    }

    fn evaluate(&self, model: &Tiny) -> Result<Option<Evaluation>, TrainError> {
        self.inner.evaluate(model)
    }
}

#[test]
fn a_step_whose_save_failed_is_saved_again() {
    let (files, numbers, _) = straight();
    let folder = tempfile::tempdir().unwrap();
    let name = format!("checkpoints/tiny/.unfinished-{}-2", std::process::id());
    let objective = Failed {
        inner: noisy(),
        unfinished: folder.path().join(name),
    };
    let metrics = metrics_in(folder.path());
    let context = context(folder.path(), &metrics, &Interrupt::new());
    let fitted = fit(tiny(), &objective, &resumable(), &context).unwrap();
    assert_eq!(fitted.model.numbers(), numbers);
    assert_eq!(comparable(folder.path()), files);
}

#[test]
fn a_finished_fit_returns_at_once_with_the_same_result() {
    let folder = tempfile::tempdir().unwrap();
    let first = run(folder.path(), &noisy()).unwrap();
    let files = snapshot(folder.path());
    let objective = noisy();
    let again = run(folder.path(), &objective).unwrap();
    assert_eq!(objective.forwards.get() + objective.evaluations.get(), 0);
    assert_eq!(again.model.numbers(), first.model.numbers());
    assert_eq!(again.metrics, first.metrics);
    let (best, first) = (again.best.unwrap(), first.best.unwrap());
    assert_eq!((best.step, best.score), (first.step, first.score));
    assert_eq!(best.model.numbers(), first.model.numbers());
    assert_eq!(snapshot(folder.path()), files);
}

/// A kill after the last save and before the removal of older checkpoints leaves one too many.
#[test]
fn a_finished_fit_removes_the_checkpoint_that_a_kill_left() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &noisy()).unwrap();
    let files = snapshot(folder.path());
    let left = folder.path().join("checkpoints/tiny/step-000001");
    std::fs::create_dir(&left).unwrap();
    std::fs::write(left.join("state.json"), b"{}").unwrap();
    run(folder.path(), &noisy()).unwrap();
    assert_eq!(snapshot(folder.path()), files);
}

#[test]
fn metrics_have_every_step_once_and_other_stages_stay() {
    for at in 10..20 {
        let folder = tempfile::tempdir().unwrap();
        metrics_in(folder.path())
            .log("before", 5, [("kept", 1.0)])
            .unwrap();
        run(
            folder.path(),
            &Regression {
                fail: Some(at),
                ..noisy()
            },
        )
        .unwrap_err();
        metrics_in(folder.path())
            .log("tinyer", 5, [("kept", 2.0)])
            .unwrap();
        run(folder.path(), &noisy()).unwrap();
        let rows = metrics_in(folder.path()).rows().unwrap();
        let of = |stage: &str, key: &str| -> Vec<u64> {
            let rows = rows
                .iter()
                .filter(|row| row["stage"] == stage && row.contains_key(key));
            rows.map(|row| row["step"].as_u64().unwrap()).collect()
        };
        assert_eq!(of("tiny", "loss"), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(of("tiny", "eval_loss"), [3, 6, 9]);
        assert_eq!(
            (of("before", "kept"), of("tinyer", "kept")),
            (vec![5], vec![5])
        );
    }
}

#[test]
fn the_last_two_checkpoints_and_the_best_stay() {
    let folder = tempfile::tempdir().unwrap();
    let objective = Regression {
        scores: vec![0.9, 0.1, 0.2],
        ..noisy()
    };
    let fitted = run(folder.path(), &objective).unwrap();
    let best = fitted.best.unwrap();
    assert_eq!((best.step, best.score), (3, 0.9));
    let files = snapshot(folder.path());
    let steps: Vec<&str> = files
        .keys()
        .filter_map(|name| {
            name.strip_prefix("checkpoints/tiny/")?
                .strip_suffix("/state.json")
        })
        .collect();
    assert_eq!(steps, ["step-000003", "step-000008", "step-000009"]);
    // The best model is the same as a fit without a folder keeps in memory.
    let objective = Regression {
        scores: vec![0.9, 0.1, 0.2],
        ..noisy()
    };
    let silent = FitContext::silent();
    let in_memory = fit(tiny(), &objective, &resumable(), &silent)
        .unwrap()
        .best
        .unwrap();
    assert_eq!(best.model.numbers(), in_memory.model.numbers());
}

#[test]
fn a_checkpoint_of_another_configuration_is_refused_by_the_first_key() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &noisy()).unwrap();
    let other = TrainConfig {
        learning_rate: 0.01,
        seed: 9,
        ..resumable()
    };
    let error = run_with(folder.path(), &noisy(), &other, &Interrupt::new()).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("config.learning_rate was 0.05, now it is 0.01"),
        "{text}"
    );
}

#[test]
fn another_base_model_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &noisy()).unwrap();
    let metrics = metrics_in(folder.path());
    let context = context(folder.path(), &metrics, &Interrupt::new());
    let mut other = tiny();
    other.offset = other.offset.map(|offset| offset.add_scalar(1.0));
    let error = fit(other, &noisy(), &resumable(), &context).unwrap_err();
    assert!(
        error.to_string().contains("frozen parameters (hash)"),
        "{error}"
    );
}

#[test]
fn a_fit_resumes_on_its_own_data_only() {
    let of = |data: &str| Regression {
        data: data.to_owned(),
        ..noisy()
    };
    let killed = |data: &str| {
        let folder = tempfile::tempdir().unwrap();
        let objective = Regression {
            fail: Some(14),
            ..of(data)
        };
        run(folder.path(), &objective).unwrap_err();
        folder
    };
    let folder = killed("one");
    let error = run(folder.path(), &of("two")).unwrap_err().to_string();
    assert!(error.contains("training data (hash)"), "{error}");
    assert!(error.contains("one") && error.contains("two"), "{error}");
    let (_, numbers, _) = straight();
    let fitted = run(folder.path(), &of("one")).unwrap();
    assert_eq!(fitted.model.numbers(), numbers);
    // A missing fingerprint is not compared: older checkpoints and custom objectives may have none.
    for (before, now) in [("", "two"), ("one", "")] {
        let folder = killed(before);
        let fitted = run(folder.path(), &of(now)).unwrap();
        assert_eq!(fitted.model.numbers(), numbers);
    }
}

#[test]
fn a_loss_that_is_not_a_number_leaves_the_last_checkpoint() {
    let (files, numbers, _) = straight();
    let folder = tempfile::tempdir().unwrap();
    let error = run(
        folder.path(),
        &Regression {
            nan: Some(14),
            ..noisy()
        },
    )
    .unwrap_err();
    assert!(matches!(error, TrainError::NotFinite { .. }), "{error}");
    assert!(folder.path().join("checkpoints/tiny/step-000004").exists());
    assert_eq!(
        run(folder.path(), &noisy()).unwrap().model.numbers(),
        numbers
    );
    assert_eq!(comparable(folder.path()), files);
}

#[test]
fn tensors_are_stored_by_path_in_a_fixed_order() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &noisy()).unwrap();
    let last = folder.path().join("checkpoints/tiny/step-000009");
    let header = |name: &str| {
        let bytes = std::fs::read(last.join(name)).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let mut names: Vec<String> = tensors.names().into_iter().map(str::to_owned).collect();
        names.sort_unstable();
        (names, tensors.tensor(tensors.names()[0]).unwrap().dtype())
    };
    assert_eq!(header("model.safetensors").0, ["bias", "weight"]);
    assert_eq!(
        header("optimizer.safetensors").0,
        ["bias.m", "bias.v", "weight.m", "weight.v"]
    );
    assert_eq!(header("model.safetensors").1, safetensors::Dtype::F32);
}

#[test]
fn lines_of_progress_do_not_disturb() {
    let folder = tempfile::tempdir().unwrap();
    let metrics = metrics_in(folder.path());
    let context = context(folder.path(), &metrics, &Interrupt::new())
        .with_progress(Progress::Lines(std::time::Duration::ZERO));
    assert_eq!(
        fit(tiny(), &noisy(), &resumable(), &context).unwrap().steps,
        9
    );
}

#[test]
fn half_a_line_of_metrics_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.jsonl");
    Metrics::open(&path)
        .unwrap()
        .log("a", 1, [("x", 1.0)])
        .unwrap();
    let whole = std::fs::read(&path).unwrap();
    let torn = [whole.as_slice(), b"{\"stage\":\"a\",\"st"].concat();
    std::fs::write(&path, torn).unwrap();
    let metrics = Metrics::open(&path).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), whole);
    metrics.log("a", 2, [("x", 2.0)]).unwrap();
    assert_eq!(metrics.rows().unwrap()[1]["step"], 2);
}
