//! Tensors of a folder: one safetensors file, or shards and their index.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use burn::tensor::DType;
use collimate_nn::LoadError;
use safetensors::tensor::Dtype;

use super::header::{Entry, TensorFile};
use super::json::JsonConfig;

pub(crate) const SINGLE: &str = "model.safetensors";
pub(crate) const INDEX: &str = "model.safetensors.index.json";

/// Tensors of a folder by name. Values are read on request, as f32.
#[derive(Debug)]
pub(crate) struct Weights {
    /// Path of the file, or of the index of several files.
    pub(super) path: PathBuf,
    files: Vec<TensorFile>,
    pub(super) tensors: BTreeMap<String, (usize, Entry)>,
}

impl Weights {
    /// Opens `model.safetensors`, the shards that its index names, or a GGUF file.
    pub(crate) fn open(dir: &Path) -> Result<Self, LoadError> {
        if dir.is_file() {
            return Ok(Self::of(dir, TensorFile::open_gguf(dir)?));
        }
        let (single, index) = (dir.join(SINGLE), dir.join(INDEX));
        let index = JsonConfig::read_if_there(index)?;
        match index {
            Some(index) if !single.exists() => Self::shards(dir, &index),
            Some(index) => {
                let others = |shard: &String| shard != SINGLE;
                if shards_of(&index)?.values().any(others) {
                    tracing::warn!(
                        "{}: not read, because {SINGLE} is in the same folder: remove one of the \
                         two",
                        index.path.display()
                    );
                }
                Self::read(&single)
            }
            None => match Self::read(&single) {
                Err(LoadError::Io { .. }) if !single.exists() => Err(no_weights(dir, &single)),
                read => read,
            },
        }
    }

    /// Opens one safetensors file.
    pub(crate) fn read(path: &Path) -> Result<Self, LoadError> {
        Ok(Self::of(path, TensorFile::open(path)?))
    }

    fn of(path: &Path, (file, entries): (TensorFile, BTreeMap<String, Entry>)) -> Self {
        let entries = entries.into_iter();
        Self {
            path: path.to_owned(),
            files: vec![file],
            tensors: entries.map(|(name, entry)| (name, (0, entry))).collect(),
        }
    }

    /// Opens the shards that an index names. Every tensor that the index names must be in the shard
    /// that it names, and each name must stand for only one tensor.
    fn shards(dir: &Path, index: &JsonConfig) -> Result<Self, LoadError> {
        let map = shards_of(index)?;
        let mut shards: Vec<&String> = map.values().collect();
        shards.sort();
        shards.dedup();
        let mut all = Self {
            path: index.path.clone(),
            files: Vec::new(),
            tensors: BTreeMap::new(),
        };
        for (number, shard) in shards.into_iter().enumerate() {
            let (file, entries) = TensorFile::open(&dir.join(shard))?;
            let named = map.iter().filter(|(_, of)| *of == shard);
            if let Some(name) = named
                .map(|(name, _)| name)
                .find(|n| !entries.contains_key(*n))
            {
                return Err(index.invalid(format!(
                    "weight_map looks for {name} in {shard}, which does not hold it: take index \
                     and shards from one checkpoint"
                )));
            }
            all.files.push(file);
            for (name, entry) in entries {
                all.insert(name, (number, entry), &map)?;
            }
        }
        Ok(all)
    }

    /// Adds a tensor of a shard. Like transformers, it also adds tensors that the index leaves out.
    fn insert(
        &mut self,
        name: String,
        (number, entry): (usize, Entry),
        map: &BTreeMap<String, String>,
    ) -> Result<(), LoadError> {
        if let Some((earlier, other)) = self.tensors.get(&name) {
            let (before, now) = (&self.files[*earlier], &self.files[number]);
            if !same_values((before, &name, other), (now, &name, &entry))? {
                return Err(LoadError::Invalid {
                    path: now.path.clone(),
                    message: format!(
                        "tensor {name} has other values in {}: take all shards from one checkpoint",
                        before.path.display()
                    ),
                });
            }
            return Ok(());
        }
        if !map.contains_key(&name) {
            tracing::warn!(
                "{}: tensor {name} is read, though the index does not name it",
                self.files[number].path.display()
            );
        }
        self.tensors.insert(name, (number, entry));
        Ok(())
    }

    /// Returns the names of all tensors, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Adds tensors of another file, or replaces tensors by them. `names` gives the name here and
    /// the name in the other file.
    pub(crate) fn overlay(&mut self, other: &Self, names: &BTreeMap<String, String>) {
        let before = self.files.len();
        self.files.extend(other.files.iter().cloned());
        for (here, there) in names {
            if let Some((number, entry)) = other.tensors.get(there) {
                // Checkpoints of the bare model have no prefix.
                let bare = here.split_once('.').map(|(_, bare)| bare);
                let bare = bare.filter(|bare| !self.contains(here) && self.contains(bare));
                let name = bare.unwrap_or(here).to_owned();
                self.tensors.insert(name, (before + number, entry.clone()));
            }
        }
    }

    /// Returns true if a tensor of this name exists.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Returns the shape of a tensor, if it exists.
    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        let (_, entry) = self.tensors.get(name)?;
        Some(&entry.shape)
    }

    /// Returns the values of a tensor.
    pub(crate) fn values(&self, name: &str) -> Result<Vec<f32>, LoadError> {
        let (number, entry) = self.tensors.get(name).ok_or_else(|| self.missing(name))?;
        self.files[*number].values(name, entry)
    }

    /// Returns the values of a tensor after a conversion, without a copy of all of them as f32.
    pub(crate) fn each<T>(
        &self,
        name: &str,
        convert: impl Fn(f32) -> T,
    ) -> Result<Vec<T>, LoadError> {
        let (number, entry) = self.tensors.get(name).ok_or_else(|| self.missing(name))?;
        let mut values = Vec::with_capacity(entry.len());
        let mut parts = self.files[*number].parts(name, entry);
        while let Some(part) = parts.next()? {
            values.extend(part.iter().map(|&value| convert(value)));
        }
        Ok(values)
    }

    /// Returns the type of a tensor of 16-bit floats.
    pub(crate) fn stored_type(&self, name: &str) -> Option<DType> {
        let (_, entry) = self.tensors.get(name)?;
        match entry.dtype {
            Dtype::BF16 => Some(DType::BF16),
            Dtype::F16 => Some(DType::F16),
            _ => None,
        }
    }

    /// Returns the values of a matrix stored as `[columns, rows]`, as `[rows, columns]`.
    pub(crate) fn transposed(&self, name: &str) -> Result<Vec<f32>, LoadError> {
        let (number, entry) = self.tensors.get(name).ok_or_else(|| self.missing(name))?;
        let [columns, rows] = entry.shape[..] else {
            return self.values(name);
        };
        let mut values = vec![0.0; rows * columns];
        let mut parts = self.files[*number].parts(name, entry);
        let mut at = 0;
        while let Some(part) = parts.next()? {
            for &value in part {
                values[(at % rows) * columns + at / rows] = value;
                at += 1;
            }
        }
        Ok(values)
    }

    /// Returns true if two tensors have the same shape and the same values.
    pub(crate) fn equal(&self, a: &str, b: &str) -> Result<bool, LoadError> {
        let tensor = |name: &'_ str| {
            let (number, entry) = self.tensors.get(name).ok_or_else(|| self.missing(name))?;
            Ok::<_, LoadError>((&self.files[*number], entry))
        };
        let ((first, one), (second, other)) = (tensor(a)?, tensor(b)?);
        same_values((first, a, one), (second, b, other))
    }

    /// Returns the error for a type that cannot be read, if this tensor has one.
    pub(super) fn unread(&self, name: &str) -> Option<LoadError> {
        let (number, entry) = self.tensors.get(name).filter(|(_, e)| !e.is_read())?;
        Some(self.files[*number].unread(name, entry))
    }

    /// Returns the error for a missing tensor. Quantisation may have replaced a matrix by tensors
    /// with other names and a type that cannot be read; then the error is about the type.
    pub(crate) fn missing(&self, name: &str) -> LoadError {
        let layer = name
            .strip_suffix("weight")
            .filter(|layer| !layer.is_empty());
        let stand_in = layer.and_then(|layer| {
            let mut names = self.tensors.keys().filter(|name| name.starts_with(layer));
            names.find_map(|name| self.unread(name))
        });
        stand_in.unwrap_or_else(|| LoadError::MissingTensor {
            path: self.path.clone(),
            name: name.to_owned(),
        })
    }
}

/// Returns true if two tensors, each with its file and name, have the same shape and the same values.
fn same_values(
    (first, a, one): (&TensorFile, &str, &Entry),
    (second, b, other): (&TensorFile, &str, &Entry),
) -> Result<bool, LoadError> {
    if one.shape != other.shape {
        return Ok(false);
    }
    let (mut left, mut right) = (first.parts(a, one), second.parts(b, other));
    loop {
        match (left.next()?, right.next()?) {
            (None, None) => return Ok(true),
            (left, right) if left != right => return Ok(false),
            _ => {}
        }
    }
}

/// Returns tensor names and the shards that hold them. The shards must lie beside the index.
pub(super) fn shards_of(index: &JsonConfig) -> Result<BTreeMap<String, String>, LoadError> {
    let map: BTreeMap<String, String> = index.require("weight_map")?;
    let beside = |shard: &str| {
        let mut parts = Path::new(shard).components();
        matches!(parts.next(), Some(Component::Normal(_))) && parts.next().is_none()
    };
    match map.values().find(|shard| !beside(shard)) {
        None => Ok(map),
        Some(shard) => Err(index.invalid(format!(
            "weight_map names the shard {shard:?}: expected the name of a file beside the index"
        ))),
    }
}

/// Returns the error for a folder without readable weights. It names another file with weights, if
/// there is one.
fn no_weights(dir: &Path, single: &Path) -> LoadError {
    let found = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> = found
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with(collimate_files::UNFINISHED))
        .filter(|name| {
            let kind = Path::new(name).extension().and_then(|kind| kind.to_str());
            matches!(
                kind,
                Some("bin" | "gguf" | "msgpack" | "onnx" | "pt" | "pth" | "safetensors")
            )
        })
        .collect();
    names.sort();
    match names.first() {
        Some(other) => LoadError::Invalid {
            path: dir.to_owned(),
            message: format!(
                "holds {other} but no {SINGLE}: save the model as {SINGLE} (transformers' \
                 save_pretrained does)"
            ),
        },
        None => LoadError::Io {
            path: single.to_owned(),
            source: std::io::ErrorKind::NotFound.into(),
        },
    }
}
