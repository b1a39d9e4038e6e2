//! Fixtures, and copies of fixtures with changes.
#![allow(dead_code, reason = "each test binary uses a part")]

mod folder;

use std::path::{Path, PathBuf};

use collimate_gguf::{Gguf, GgufWriter, MetadataValue, TensorType};
use serde_json::Value;
use tempfile::TempDir;

#[allow(unused_imports, reason = "each test binary uses a part")]
pub(crate) use folder::Folder;

/// All tiny models.
pub(crate) const MODELS: [&str; 8] = [
    "tiny_llama",
    "tiny_llama3",
    "tiny_pieces",
    "tiny_qwen2",
    "tiny_qwen3",
    "tiny_gemma",
    "tiny_gemma2",
    "tiny_gemma3",
];

pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

pub(crate) fn open(model: &str) -> Gguf {
    Gguf::open(path(&format!("{model}.gguf"))).unwrap()
}

pub(crate) fn json(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(path(name)).unwrap()).unwrap()
}

pub(crate) fn floats(name: &str) -> Vec<f32> {
    let bytes = std::fs::read(path(name)).unwrap();
    let (numbers, []) = bytes.as_chunks() else {
        panic!("{name} does not hold whole numbers");
    };
    numbers
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect()
}

/// The weights of the tiny models, as in `make_fixtures.py`.
pub(crate) fn weight(name: &str, shape: &[usize]) -> Vec<f32> {
    let seed = name.bytes().map(i64::from).sum::<i64>() * 31 % 1009;
    let count = shape.iter().product::<usize>() as i64;
    let value = |index: i64| (index * 37 + seed * 101 + index / 7 * 13) % 255 - 127;
    (0..count)
        .map(|index| value(index) as f32 / 256.0)
        .collect()
}

/// A file in a temporary folder.
pub(crate) struct Copy {
    pub(crate) folder: TempDir,
    pub(crate) path: PathBuf,
}

impl Copy {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("model.gguf");
        std::fs::write(&path, bytes).unwrap();
        Self { folder, path }
    }

    /// Copies a model with other metadata and tensors. `change` gets all metadata, and returns the
    /// name and shape of each tensor in the copy.
    pub(crate) fn with(
        model: &str,
        metadata: impl FnOnce(&mut Vec<(String, MetadataValue)>),
        tensors: impl FnOnce(&mut Vec<(String, Vec<usize>)>),
    ) -> Self {
        let gguf = open(model);
        let mut values = gguf.metadata().to_vec();
        metadata(&mut values);
        let infos = gguf.tensors().iter();
        let mut shapes = infos
            .map(|info| (info.name.clone(), info.shape.clone()))
            .collect();
        tensors(&mut shapes);
        let mut writer = GgufWriter::new();
        for (key, value) in values {
            writer.set(&key, value).unwrap();
        }
        for (name, shape) in &shapes {
            writer
                .add_tensor(name, shape.clone(), TensorType::F32)
                .unwrap();
        }
        let copy = Self::of(b"");
        let ones = |name: &str| {
            let (_, shape) = shapes.iter().find(|(other, _)| other == name).unwrap();
            vec![1.0; shape.iter().product()]
        };
        let fits = |name: &str| {
            gguf.values(name)
                .ok()
                .filter(|own| own.len() == ones(name).len())
        };
        writer
            .write(&copy.path, |name| {
                Ok(fits(name).unwrap_or_else(|| ones(name)))
            })
            .unwrap();
        copy
    }

    /// Copies a model with one metadata value set, or removed.
    pub(crate) fn set(model: &str, key: &str, value: Option<MetadataValue>) -> Self {
        let change = |metadata: &mut Vec<(String, MetadataValue)>| {
            metadata.retain(|(other, _)| other != key);
            metadata.extend(value.map(|value| (key.to_owned(), value)));
        };
        Self::with(model, change, |_| ())
    }

    pub(crate) fn open(&self) -> Gguf {
        Gguf::open(&self.path).unwrap()
    }

    /// Returns the error of the first step that refuses the file.
    pub(crate) fn error(&self) -> String {
        let error = Gguf::open(&self.path).and_then(|gguf| {
            let model = gguf.hugging_face()?;
            model.config()?;
            model.tokenizer()?;
            model.tokenizer_config()?;
            model.generation_config().map(|_| ())
        });
        let text = error.expect_err("the file is refused").to_string();
        assert!(!text.contains('\n'), "{text}");
        text
    }
}

pub(crate) fn text(text: &str) -> MetadataValue {
    MetadataValue::String(text.to_owned())
}
