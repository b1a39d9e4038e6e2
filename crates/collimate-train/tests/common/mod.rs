//! A model of five numbers, with a loss whose gradient is known by hand.
#![allow(dead_code)]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use collimate_core::{Key, Purpose};
use collimate_testkit::flex;
use collimate_train::{
    AdamWConfig, Evaluation, FitContext, Forwarded, Interrupt, Metrics, Objective, Progress,
    Schedule, TrainConfig, TrainError,
};
use rand::RngExt;

pub(crate) const FEATURES: usize = 3;
pub(crate) const EXAMPLES: usize = 11;

#[derive(Module, Debug)]
pub(crate) struct Tiny {
    pub(crate) weight: Param<Tensor<2>>,
    pub(crate) bias: Param<Tensor<1>>,
    pub(crate) offset: Param<Tensor<1>>,
}

pub(crate) fn tiny() -> Tiny {
    tiny_on(&flex())
}

pub(crate) fn tiny_on(device: &Device) -> Tiny {
    Tiny {
        weight: Param::from_data(TensorData::from([[0.3f32], [-0.2], [0.1]]), device),
        bias: Param::from_data(TensorData::from([0.5f32]), device),
        offset: Param::from_data(TensorData::from([0.25f32]), device).set_require_grad(false),
    }
}

impl Tiny {
    pub(crate) fn numbers(&self) -> Vec<f32> {
        let mut all = self.weight.val().into_data().try_to_vec::<f32>().unwrap();
        all.extend(self.bias.val().into_data().try_to_vec::<f32>().unwrap());
        all.extend(self.offset.val().into_data().try_to_vec::<f32>().unwrap());
        all
    }
}

pub(crate) fn x(example: usize) -> [f64; FEATURES] {
    let e = example as f64;
    [(e * 0.7).sin(), (e * 1.3).cos(), 0.1 * e - 0.5]
}

pub(crate) fn y(example: usize) -> f64 {
    (example as f64 * 0.9).sin() * 2.0
}

/// Half the squared error, with optional events that a test asks for.
#[derive(Default)]
pub(crate) struct Regression {
    /// If true, adds a keyed draw to each target.
    pub(crate) noise: bool,
    /// Interrupt that is set once this step has been entered.
    pub(crate) interrupt: Option<(usize, Interrupt)>,
    /// Step in which the objective fails.
    pub(crate) fail: Option<usize>,
    /// Step in which the loss is not a number.
    pub(crate) nan: Option<usize>,
    /// Scores of the successive evaluations.
    pub(crate) scores: Vec<f64>,
    /// Fingerprint of the objective.
    pub(crate) data: String,
    /// Duration of a forward pass.
    pub(crate) pause: std::time::Duration,
    pub(crate) forwards: Cell<usize>,
    pub(crate) evaluations: Cell<usize>,
}

impl Regression {
    fn loss(&self, model: &Tiny, examples: &[usize], key: Key) -> Tensor<1> {
        let device = model.weight.val().device();
        let xs: Vec<f32> = examples
            .iter()
            .flat_map(|&e| x(e).map(|v| v as f32))
            .collect();
        let ys: Vec<f32> = examples
            .iter()
            .map(|&e| {
                let draw: f32 = key.with(e as u64).rng(Purpose::Dropout).random();
                y(e) as f32 + if self.noise { draw } else { 0.0 }
            })
            .collect();
        let n = examples.len();
        let xs = Tensor::<2>::from_data(TensorData::new(xs, [n, FEATURES]), &device);
        let ys = Tensor::<1>::from_data(TensorData::new(ys, [n]), &device);
        let predicted = xs.matmul(model.weight.val()).reshape([n]);
        let error = predicted + model.bias.val() + model.offset.val() - ys;
        (error.clone() * error).sum().mul_scalar(0.5)
    }
}

impl Objective for Regression {
    type Model = Tiny;

    fn len(&self) -> usize {
        EXAMPLES
    }

    fn tokens(&self, example: usize) -> usize {
        1 + example % 4
    }

    fn weight(&self, examples: &[usize]) -> f64 {
        examples.len() as f64
    }

    fn fingerprint(&self) -> String {
        self.data.clone()
    }

    fn forward(&self, model: &Tiny, examples: &[usize], key: Key) -> Result<Forwarded, TrainError> {
        let call = self.forwards.get() + 1;
        self.forwards.set(call);
        std::thread::sleep(self.pause);
        if let Some((at, interrupt)) = &self.interrupt
            && call == *at
        {
            interrupt.set();
        }
        if self.fail == Some(call) {
            return Err(TrainError::objective("killed"));
        }
        let mut loss_sum = self.loss(model, examples, key);
        if self.nan == Some(call) {
            loss_sum = loss_sum.mul_scalar(f64::NAN);
        }
        let tokens = examples.iter().map(|&e| self.tokens(e)).sum();
        let first = examples.iter().map(|&e| x(e)[0]).sum();
        Ok(Forwarded {
            loss_sum,
            metrics: vec![("x0", first, examples.len() as f64)],
            tokens,
        })
    }

    fn evaluate(&self, model: &Tiny) -> Result<Option<Evaluation>, TrainError> {
        assert!(
            !model.weight.val().is_autodiff(),
            "evaluation must not build graphs"
        );
        let call = self.evaluations.get();
        self.evaluations.set(call + 1);
        let all: Vec<usize> = (0..EXAMPLES).collect();
        let clean = Regression::default();
        let loss = clean
            .loss(model, &all, Key::new(0, ""))
            .into_data()
            .try_to_vec::<f32>()
            .unwrap();
        let loss = f64::from(loss[0]) / EXAMPLES as f64;
        let score = self.scores.get(call).copied().unwrap_or(-loss);
        Ok(Some(Evaluation {
            metrics: BTreeMap::from([("loss".to_owned(), loss)]),
            score,
        }))
    }
}

pub(crate) fn config() -> TrainConfig {
    TrainConfig {
        stage: "tiny".to_owned(),
        learning_rate: 0.05,
        schedule: Schedule::Cosine,
        final_learning_rate_ratio: 0.1,
        warmup_steps: 2,
        batch_size: 4,
        micro_batch_tokens: None,
        epochs: 3.0,
        adamw: AdamWConfig {
            weight_decay: 0.1,
            ..AdamWConfig::default()
        },
        max_grad_norm: Some(0.8),
        seed: 3,
        ..TrainConfig::default()
    }
}

/// Creates a context in `folder`, as a run has it.
pub(crate) fn context<'a>(
    folder: &Path,
    metrics: &'a Metrics,
    interrupt: &Interrupt,
) -> FitContext<'a> {
    FitContext {
        checkpoints: Some(folder.join("checkpoints")),
        metrics: Some(metrics),
        progress: Progress::Silent,
        interrupt: interrupt.clone(),
    }
}

pub(crate) fn metrics_in(folder: &Path) -> Metrics {
    Metrics::open(&folder.join("metrics.jsonl")).unwrap()
}

/// Reads every file below `folder`, by relative path.
pub(crate) fn snapshot(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(root: &Path, folder: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, found);
            } else {
                let name = path
                    .strip_prefix(root)
                    .unwrap()
                    .to_string_lossy()
                    .into_owned();
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(folder, folder, &mut found);
    found
}

pub(crate) fn restore(folder: &Path, files: &BTreeMap<String, Vec<u8>>) {
    for (name, bytes) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

/// Returns everything that must not depend on interruptions: all but the seconds in `state.json`.
pub(crate) fn comparable(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = snapshot(folder);
    for (name, bytes) in &mut files {
        if name.ends_with("state.json") {
            let mut state: serde_json::Value = serde_json::from_slice(bytes).unwrap();
            state.as_object_mut().unwrap().remove("seconds").unwrap();
            *bytes = serde_json::to_vec(&state).unwrap();
        }
    }
    files
}
