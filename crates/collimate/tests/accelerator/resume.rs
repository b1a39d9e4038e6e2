//! Checkpoints and model folders that are written on the device and read again.

use std::cell::Cell;

use collimate::prelude::*;
use collimate::train::{Forwarded, Metrics, Objective, TrainError};

use crate::setup::{config, device, flex, model, near, pairs};

/// An objective that requests a stop in one of its steps.
struct Stopping<O> {
    inner: O,
    interrupt: Interrupt,
    step: usize,
    count: Cell<usize>,
}

impl<O: Objective> Objective for Stopping<O> {
    type Model = O::Model;

    fn len(&self) -> usize {
        self.inner.len()
    }

    fn tokens(&self, example: usize) -> usize {
        self.inner.tokens(example)
    }

    fn weight(&self, examples: &[usize]) -> f64 {
        self.inner.weight(examples)
    }

    fn fingerprint(&self) -> String {
        self.inner.fingerprint()
    }

    fn forward(
        &self,
        model: &O::Model,
        examples: &[usize],
        key: Key,
    ) -> Result<Forwarded, TrainError> {
        self.count.set(self.count.get() + 1);
        if self.count.get() == self.step {
            self.interrupt.set();
        }
        self.inner.forward(model, examples, key)
    }
}

/// Trains six steps and stops after the third if `stopped`; returns the losses and the model.
fn train(device: &Device, stopped: bool) -> (Vec<f64>, Llama) {
    let folder = tempfile::tempdir().unwrap();
    let metrics = Metrics::open(&folder.path().join("metrics.jsonl")).unwrap();
    let start = || model(1, device);
    let objective = || {
        let reference = Reference::Model(start());
        DirectObjective::new(pairs(24), vec![], Dpo::default(), reference, 256).unwrap()
    };
    let context = |interrupt| FitContext {
        checkpoints: Some(folder.path().join("checkpoints")),
        metrics: Some(&metrics),
        interrupt,
        ..FitContext::silent()
    };
    if stopped {
        let interrupt = Interrupt::new();
        let stopping = Stopping {
            inner: objective(),
            interrupt: interrupt.clone(),
            step: 3,
            count: Cell::new(0),
        };
        let error = fit(start(), &stopping, &config(6), &context(interrupt)).unwrap_err();
        assert!(matches!(error, TrainError::Interrupted { .. }), "{error}");
        assert_eq!(metrics.rows().unwrap().len(), 3);
    }
    let fitted = fit(
        start(),
        &objective(),
        &config(6),
        &context(Interrupt::new()),
    )
    .unwrap();
    let rows = metrics.rows().unwrap();
    let losses = rows.iter().filter_map(|row| row["loss"].as_f64());
    (losses.collect(), fitted.model)
}

fn logps(model: &Llama) -> Vec<f64> {
    let found = collimate::direct::pair_logps(model, &pairs(6), Forward::EVAL, 256).unwrap();
    let sides = found.iter().flat_map(|pair| [pair.chosen, pair.rejected]);
    sides.map(f64::from).collect()
}

/// A tuner may choose other kernels after the pause, so the bytes may differ and the numbers must
/// not.
#[test]
fn a_training_that_was_stopped_continues() {
    let (name, device) = device();
    let (straight, whole) = train(&device, false);
    let (stopped, resumed) = train(&device, true);
    assert_eq!(straight.len(), 6, "{name}");
    near("losses", &stopped, &straight, 1e-5);
    near("log-probabilities", &logps(&resumed), &logps(&whole), 1e-4);
}

#[test]
fn a_saved_model_is_the_same_on_both_devices() {
    let (name, device) = device();
    let before = model(4, &device);
    let folder = tempfile::tempdir().unwrap();
    before.save(folder.path()).unwrap();
    for (back, onto) in [(name, &device), ("flex", &flex())] {
        let after = Llama::load(folder.path(), onto).unwrap();
        let what = format!("{name} to {back}");
        near(&what, &logps(&after), &logps(&before), 1e-5);
        assert_eq!(
            collimate::train::model_hash(&after),
            collimate::train::model_hash(&before),
            "{what}: the parameters keep their bytes"
        );
    }
}
