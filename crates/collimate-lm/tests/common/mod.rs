//! Helpers for fixture folders and for models' parameters by path.
#![allow(dead_code, unreachable_pub)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use collimate_lm::{LayerKind, LayerRope, LlamaConfig, ModelType, RopeScaling};
use collimate_nn::{Backbone, DeviceBatch, Forward, Pack, SaveOptions};
use serde_json::Value;

pub const TOLERANCE: f64 = 1e-4;

pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}

pub fn fixture(name: &str) -> PathBuf {
    fixtures().join("hf").join(name)
}

pub fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

pub fn ids(value: &Value) -> Vec<u32> {
    let list = value.as_array().expect("a list of ids");
    list.iter().map(|v| v.as_u64().unwrap() as u32).collect()
}

pub fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(list) => list.iter().map(|v| v.as_f64().unwrap()).collect(),
        one => vec![one.as_f64().expect("a number")],
    }
}

/// Options of saving a reward model with facts of its tokenizer.
pub fn saved(pad_token_id: Option<u32>, max_length: usize) -> SaveOptions {
    SaveOptions {
        pad_token_id,
        max_length: Some(max_length),
        ..SaveOptions::default()
    }
}

/// Copies a folder's files into a fresh temporary folder.
pub fn copy(from: &Path) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
        }
    }
    dir
}

pub fn edit_config(dir: &Path, edit: impl FnOnce(&mut Value)) {
    let path = dir.join("config.json");
    let mut config = json(&path);
    edit(&mut config);
    std::fs::write(&path, config.to_string()).unwrap();
}

/// Returns the untracked devices that tests run on.
pub fn plain_devices() -> Vec<(&'static str, Device)> {
    collimate_testkit::devices()
        .into_iter()
        .map(|(name, device)| (name, device.without_autodiff()))
        .collect()
}

/// Computes hidden states as host rows.
pub fn hidden_rows<B: Backbone>(model: &B, batch: &DeviceBatch, f: Forward) -> Vec<Vec<f32>> {
    let hidden = model.hidden(batch, f);
    let width = hidden.dims()[1];
    let values = collimate_testkit::host(&hidden);
    values.chunks_exact(width).map(<[f32]>::to_vec).collect()
}

/// Packs whole sequences into a batch.
pub fn rows_batch<B: Backbone>(model: &B, sequences: &[Vec<u32>]) -> DeviceBatch {
    let mut pack = Pack::new();
    for ids in sequences {
        pack.push_row(ids);
    }
    pack.to_device(B::VISIBILITY, &model.device())
}

/// Remembers the largest relative error and fails on one above the tolerance.
#[derive(Default)]
pub struct Worst(pub f64);

impl Worst {
    pub fn see(&mut self, what: &str, actual: &[f32], expected: &[f64]) {
        collimate_testkit::assert_close(what, actual, expected, TOLERANCE);
        self.0 = self
            .0
            .max(collimate_testkit::max_relative_error(actual, expected));
    }
}

/// Compares with the output of `hidden_expectations` in the fixture scripts; skips missing keys.
pub fn check_hidden(worst: &mut Worst, what: &str, rows: &[Vec<f32>], expected: &Value) {
    let sum = |f: fn(f64) -> f64| rows.iter().flatten().map(|&v| f(f64::from(v))).sum::<f64>();
    let (first, last) = (&rows[0], &rows[rows.len() - 1]);
    let sums = [sum(|v| v) as f32, sum(f64::abs) as f32];
    for (key, actual) in [
        ("hidden_first", first.as_slice()),
        ("hidden_last", last),
        ("hidden_first_8", &first[..8]),
        ("hidden_last_8", &last[..8]),
        ("hidden_sum", &sums[..1]),
        ("hidden_abs_sum", &sums[1..]),
    ] {
        if !expected[key].is_null() {
            worst.see(&format!("{what} {key}"), actual, &numbers(&expected[key]));
        }
    }
}

/// Returns every parameter's gradient by path; parameters without a gradient are left out.
pub fn gradients<M: Module>(model: &M, grads: &Gradients) -> BTreeMap<String, Vec<f32>> {
    struct Visitor<'a> {
        path: Vec<String>,
        grads: &'a Gradients,
        found: BTreeMap<String, Vec<f32>>,
    }
    impl ModuleVisitor for Visitor<'_> {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.push(name.to_owned());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(grad) = param.val().grad(self.grads) {
                self.found
                    .insert(self.path.join("."), collimate_testkit::host(&grad));
            }
        }
    }
    let mut visitor = Visitor {
        path: Vec::new(),
        grads,
        found: BTreeMap::new(),
    };
    model.visit(&mut visitor);
    visitor.found
}

/// Returns the model with `change(path, values)` applied to every parameter.
pub fn changed<M: Module>(model: &M, change: impl Fn(&str, &mut Vec<f32>)) -> M {
    struct Mapper<F> {
        path: Vec<String>,
        change: F,
    }
    impl<F: Fn(&str, &mut Vec<f32>)> ModuleMapper for Mapper<F> {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.push(name.to_owned());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let path = self.path.join(".");
            param.map(|old| {
                let mut values = collimate_testkit::host(&old);
                (self.change)(&path, &mut values);
                let new = Tensor::from_data(TensorData::new(values, old.dims()), &old.device());
                new.set_require_grad(old.is_require_grad())
            })
        }
    }
    model.clone().map(&mut Mapper {
        path: Vec::new(),
        change,
    })
}

/// A tensor of a file: name, type, shape and bytes.
pub type Raw = (String, safetensors::Dtype, Vec<usize>, Vec<u8>);

/// Reads the tensors of a safetensors file.
pub fn read_tensors(path: &Path) -> Vec<Raw> {
    let bytes = std::fs::read(path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut all: Vec<Raw> = file
        .tensors()
        .into_iter()
        .map(|(name, view)| {
            let (shape, data) = (view.shape().to_vec(), view.data().to_vec());
            (name, view.dtype(), shape, data)
        })
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

/// Writes a safetensors file.
pub fn write_tensors(path: &Path, tensors: &[Raw]) {
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        let view = safetensors::tensor::TensorView::new(*dtype, shape.clone(), bytes);
        (name.clone(), view.unwrap())
    });
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// Changes the tensors of `dir/model.safetensors`.
pub fn edit_tensors(dir: &Path, edit: impl FnOnce(&mut Vec<Raw>)) {
    let path = dir.join("model.safetensors");
    let mut tensors = read_tensors(&path);
    edit(&mut tensors);
    write_tensors(&path, &tensors);
}

thread_local! {
    /// Warnings of this thread while a test records them.
    static WARNINGS: std::cell::RefCell<Option<Vec<u8>>> = const { std::cell::RefCell::new(None) };
}

/// Writer into the buffer of the thread that warns.
struct Warnings;

impl std::io::Write for Warnings {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        WARNINGS.with_borrow_mut(|all| {
            if let Some(all) = all {
                all.extend(bytes);
            }
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Runs `f` and returns its result and its warnings, one per line. One subscriber serves all
/// threads, because the subscriber of a single thread can miss a call site that another thread met
/// without one.
pub fn warned<T>(f: impl FnOnce() -> T) -> (T, String) {
    static SUBSCRIBER: std::sync::Once = std::sync::Once::new();
    SUBSCRIBER.call_once(|| {
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::WARN)
            .with_ansi(false)
            .with_writer(|| Warnings)
            .finish();
        tracing::subscriber::set_global_default(subscriber).expect("no other subscriber");
    });
    WARNINGS.set(Some(Vec::new()));
    let result = f();
    let text = WARNINGS.take().unwrap_or_default();
    (result, String::from_utf8(text).unwrap())
}

/// Returns configurations with different parts: a Qwen3 with normalised queries and keys and its
/// own head size, a SmolLM3 with biases, scaled positions and a layer without positions, and one
/// configuration of every other design.
pub fn layered(sizes: &LlamaConfig) -> Vec<(ModelType, LlamaConfig)> {
    let qwen3 = LlamaConfig {
        model_type: Some(ModelType::Qwen3),
        qk_norm: true,
        head_dim: Some(6),
        num_hidden_layers: 4,
        sliding_window: Some(4),
        layer_types: Some([LayerKind::SlidingAttention, LayerKind::FullAttention].repeat(2)),
        ..sizes.clone()
    };
    let smollm3 = LlamaConfig {
        model_type: Some(ModelType::SmolLm3),
        attention_bias: true,
        mlp_bias: true,
        num_hidden_layers: 3,
        no_rope_layers: Some(vec![1, 0, 1]),
        sliding_window: Some(20),
        layer_types: Some(vec![
            LayerKind::FullAttention,
            LayerKind::SlidingAttention,
            LayerKind::FullAttention,
        ]),
        rope_scaling: Some(RopeScaling::Yarn {
            factor: 4.0,
            original_max_position_embeddings: 8,
            attention_factor: None,
            beta_fast: None,
            beta_slow: None,
            mscale: None,
            mscale_all_dim: None,
            truncate: None,
            llama_4_scaling_beta: None,
        }),
        ..sizes.clone()
    };
    let mut all = vec![(ModelType::Qwen3, qwen3), (ModelType::SmolLm3, smollm3)];
    all.extend(others(sizes));
    all
}

fn others(sizes: &LlamaConfig) -> Vec<(ModelType, LlamaConfig)> {
    let of = |kind| LlamaConfig {
        model_type: Some(kind),
        ..sizes.clone()
    };
    let kinds = vec![LayerKind::SlidingAttention, LayerKind::FullAttention];
    let gemma2 = LlamaConfig {
        num_hidden_layers: 2,
        sliding_window: Some(4),
        layer_types: Some(kinds.clone()),
        query_pre_attn_scalar: Some(5.0),
        attn_logit_softcapping: Some(2.0),
        final_logit_softcapping: Some(4.0),
        ..of(ModelType::Gemma2)
    };
    let gemma3 = LlamaConfig {
        num_hidden_layers: 2,
        qk_norm: true,
        sliding_window: Some(4),
        layer_types: Some(kinds),
        sliding_rope: Some(LayerRope {
            rope_theta: 100.0,
            rope_scaling: None,
        }),
        rope_scaling: Some(RopeScaling::Linear { factor: 2.0 }),
        ..of(ModelType::Gemma3)
    };
    let olmo2 = LlamaConfig {
        qk_norm: true,
        ..of(ModelType::Olmo2)
    };
    let granite = LlamaConfig {
        embedding_multiplier: Some(3.0),
        residual_multiplier: Some(0.5),
        attention_multiplier: Some(0.2),
        logits_scaling: Some(2.0),
        ..of(ModelType::Granite)
    };
    let phi3 = LlamaConfig {
        partial_rotary_factor: Some(0.5),
        sliding_window: Some(5),
        ..of(ModelType::Phi3)
    };
    let whole_heads = |kind| LlamaConfig {
        num_key_value_heads: sizes.num_attention_heads,
        head_dim: None,
        hidden_size: 4 * sizes.num_attention_heads,
        attention_bias: true,
        mlp_bias: true,
        ..of(kind)
    };
    let neox = LlamaConfig {
        use_parallel_residual: true,
        partial_rotary_factor: Some(0.5),
        ..whole_heads(ModelType::GptNeoX)
    };
    let ministral = LlamaConfig {
        rope_scaling: Some(RopeScaling::Yarn {
            factor: 4.0,
            original_max_position_embeddings: 8,
            attention_factor: None,
            beta_fast: None,
            beta_slow: None,
            mscale: Some(1.0),
            mscale_all_dim: Some(1.0),
            truncate: None,
            llama_4_scaling_beta: Some(0.5),
        }),
        ..of(ModelType::Ministral3)
    };
    vec![
        (ModelType::Gemma2, gemma2),
        (ModelType::Gemma3, gemma3),
        (ModelType::Olmo2, olmo2),
        (ModelType::Granite, granite),
        (ModelType::Phi3, phi3),
        (ModelType::GptNeoX, neox),
        (ModelType::Gpt2, whole_heads(ModelType::Gpt2)),
        (ModelType::Ministral3, ministral),
    ]
}
