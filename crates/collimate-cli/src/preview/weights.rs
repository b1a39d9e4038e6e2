//! Sizes of a model, from the headers of the weight files and `config.json`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use collimate::data::adapter_chain;
use collimate::gguf::Gguf;
use collimate::lm::{BatchLimits, EncoderConfig, LlamaConfig};
use collimate::ops::SavedType;
use serde_json::Value;

use super::held::Writing;
use super::memory::Memory;
use crate::common::Failure;
use crate::loading::GenerationCache;

/// Sizes of a model.
#[derive(Debug)]
pub(super) struct Weights {
    pub(super) parameters: u64,
    /// Number of parameters in matrices that the files store in 16 bits.
    half: u64,
    pub(super) hidden: usize,
    layers: usize,
    /// Length of the keys of one token in one layer, which is also the length of its values.
    keys: usize,
    /// Length of the keys of one head.
    head_dim: usize,
    intermediate: usize,
    /// Number of parameters of the table of embeddings.
    table: u64,
    /// Kind of the model's output.
    output: Output,
    /// Maximum sequence length, if the folder names it.
    pub(super) positions: Option<usize>,
}

/// Matrix that turns hidden states into tokens.
#[derive(Debug)]
enum Output {
    /// An encoder has none.
    None,
    /// The table of embeddings is used again.
    Tied,
    /// A matrix of the table's size.
    Own,
}

/// Size of the largest safetensors header that is read, in bytes.
const MOST_HEADER: u64 = 100 << 20;

impl Weights {
    pub(super) fn of(dir: &Path) -> Result<Self, Failure> {
        crate::common::architecture(dir)?;
        let (mut parameters, mut half) = (0, 0);
        let chain = adapter_chain(dir)?;
        let weights = chain.last().map_or(dir, |last| last.as_path());
        if weights.is_file() {
            parameters = in_gguf(weights)?;
        } else {
            for path in files(weights)? {
                let found = count(&path)?;
                parameters += found.0;
                half += found.1;
            }
        }
        if chain.len() > 1 {
            // Adapters are folded into the matrices when the folder is read, which widens them.
            half = 0;
        }
        if parameters == 0 {
            return Err(format!(
                "{} holds no .safetensors file with weights",
                weights.display()
            )
            .into());
        }
        if let Ok(encoder) = EncoderConfig::of_folder(dir) {
            return Ok(Self {
                parameters,
                half,
                hidden: encoder.hidden_size,
                layers: encoder.num_hidden_layers,
                keys: encoder.hidden_size,
                head_dim: encoder.hidden_size / encoder.num_attention_heads.max(1),
                intermediate: encoder.intermediate_size,
                table: encoder.vocab_size as u64 * encoder.hidden_size as u64,
                output: Output::None,
                positions: Some(encoder.max_positions()),
            });
        }
        let decoder = LlamaConfig::of_folder(dir)?;
        Ok(Self {
            parameters,
            half,
            hidden: decoder.hidden_size,
            layers: decoder.num_hidden_layers,
            keys: decoder.num_key_value_heads * decoder.head_dim(),
            head_dim: decoder.head_dim(),
            intermediate: decoder.intermediate_size,
            table: decoder.vocab_size as u64 * decoder.hidden_size as u64,
            output: match decoder.tie_word_embeddings {
                true => Output::Tied,
                false => Output::Own,
            },
            positions: Some(decoder.max_positions()),
        })
    }

    /// Returns the number of parameters that a token is multiplied with. The table of embeddings is
    /// looked up. `writes` is true if the output matrix is used.
    pub(super) fn multiplied(&self, writes: bool) -> f64 {
        let tables = match (&self.output, writes) {
            (Output::Tied, true) => 0,
            (Output::None | Output::Tied, _) | (Output::Own, true) => 1,
            (Output::Own, false) => 2,
        };
        self.parameters.saturating_sub(tables * self.table) as f64
    }

    pub(super) fn describe(&self, lora: bool) -> String {
        let trained = if lora {
            "low-rank adapters are trained"
        } else {
            "all are trained"
        };
        format!(
            "{:.1} million parameters, {trained}",
            self.parameters as f64 / 1e6
        )
    }

    /// Returns true if the folder has matrices of 16 bits.
    pub(super) fn has_half(&self) -> bool {
        self.half > 0
    }

    /// Returns the bytes of the weights in memory. Matrices keep their 16 bits if `half` is true.
    pub(super) fn held(&self, half: bool) -> f64 {
        let saved = if half { 2 * self.half } else { 0 };
        (4 * self.parameters - saved) as f64
    }

    /// Returns the memory of a training. `half` is true if the device holds matrices of 16 bits.
    pub(super) fn memory(
        &self,
        lora: bool,
        recompute: bool,
        half: bool,
        saved: SavedType,
    ) -> Memory {
        let all = 4.0 * self.parameters as f64;
        // Gradients and AdamW's two moments each have the size of the trained weights; adapters are a
        // few per cent of all parameters.
        let (weights, trained) = match lora {
            true => (self.held(half), 0.03 * all),
            false => (all, all),
        };
        let (hidden, layers) = (self.hidden as f64, self.layers as f64);
        // Bytes that a block saves for each token: queries and keys in f32, the other activations in
        // the type given.
        let bytes = match saved {
            SavedType::F32 => 4.0,
            SavedType::Bf16 => 2.0,
        };
        let exact = 4.0 * 2.0 * hidden;
        let block = exact + bytes * (5.0 * hidden + 2.0 * self.intermediate as f64);
        let per_token = match recompute {
            true => layers * 4.0 * hidden + block,
            false => layers * block,
        };
        Memory {
            weights,
            state: 3.0 * trained,
            per_token,
            writing: 0.0,
        }
    }

    /// Returns the memory of writing answers of at most `max_length` tokens with their prompts: the
    /// copy of the weights, and the keys and values of all rows that grow together.
    /// Only devices with fused operations make the copy, and round.
    pub(super) fn writing(&self, writing: Writing, fused: bool) -> f64 {
        let (limits, longest) = (BatchLimits::default(), writing.max_length);
        let tokens = limits.rows.saturating_mul(longest).min(limits.tokens);
        let numbers = tokens.max(longest) as f64 * 2.0 * (self.layers * self.keys) as f64;
        match fused {
            true => {
                self.multiplied(true) * writing.weights.bytes()
                    + numbers * writing.cache.bytes(self.head_dim)
            }
            false => numbers * GenerationCache::Exact.bytes(self.head_dim),
        }
    }
}

/// Returns the files that hold a folder's weights: one file, the shards that the index names, or all
/// safetensors files of a folder without either. A folder may hold its weights twice.
fn files(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let single = dir.join("model.safetensors");
    if single.exists() {
        return Ok(vec![single]);
    }
    if let Ok(text) = std::fs::read_to_string(dir.join("model.safetensors.index.json")) {
        let index: Value = serde_json::from_str(&text)?;
        let names = index["weight_map"].as_object().into_iter().flatten();
        let names: BTreeSet<&str> = names.filter_map(|(_, file)| file.as_str()).collect();
        return Ok(names.into_iter().map(|name| dir.join(name)).collect());
    }
    let all = std::fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.path()));
    let all = all.collect::<Result<Vec<_>, _>>()?;
    let ends = |path: &PathBuf| path.extension().is_some_and(|end| end == "safetensors");
    Ok(all.into_iter().filter(ends).collect())
}

/// Counts the numbers in the tensors of a GGUF file.
fn in_gguf(path: &Path) -> Result<u64, Failure> {
    let gguf = Gguf::open(path)?;
    let counts = gguf.tensors().iter().map(|tensor| tensor.count() as u64);
    Ok(counts.fold(0, u64::saturating_add))
}

/// Counts the numbers in the tensors of a safetensors file, and those in matrices of 16-bit floats,
/// reading only the header.
fn count(path: &Path) -> Result<(u64, u64), Failure> {
    let wrong = |what: &str| -> Failure { format!("{}: {what}", path.display()).into() };
    let mut file = File::open(path)?;
    let mut size = [0; 8];
    file.read_exact(&mut size)
        .map_err(|_| wrong("not a safetensors file"))?;
    let size = u64::from_le_bytes(size);
    if size > MOST_HEADER {
        return Err(wrong(
            "not a safetensors file: the header would be larger than 100 MiB",
        ));
    }
    let mut header = Vec::new();
    file.take(size).read_to_end(&mut header)?;
    let header: Value =
        serde_json::from_slice(&header).map_err(|_| wrong("the header cannot be read"))?;
    let tensors = header.as_object().into_iter().flatten();
    let (mut all, mut half) = (0u64, 0u64);
    for (_, tensor) in tensors {
        let Some(shape) = tensor.get("shape").and_then(Value::as_array) else {
            continue;
        };
        let sizes = shape.iter().filter_map(Value::as_u64);
        let numbers = sizes.fold(1, u64::saturating_mul);
        all = all.saturating_add(numbers);
        let dtype = tensor.get("dtype").and_then(Value::as_str);
        if shape.len() == 2 && matches!(dtype, Some("BF16" | "F16")) {
            half = half.saturating_add(numbers);
        }
    }
    Ok((all, half))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Some folders hold their weights a second time, in the form of another program.
    #[test]
    fn only_the_files_that_are_read_count() {
        let dir = tempfile::tempdir().unwrap();
        let names = || -> Vec<String> {
            let found = files(dir.path()).unwrap().into_iter();
            let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
            found.map(name).collect()
        };
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("consolidated.safetensors", "");
        assert_eq!(names(), ["consolidated.safetensors"]);
        let index = r#"{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors",
            "c": "model-1.safetensors"}}"#;
        write("model.safetensors.index.json", index);
        assert_eq!(names(), ["model-1.safetensors", "model-2.safetensors"]);
        write("model.safetensors", "");
        assert_eq!(names(), ["model.safetensors"]);
    }
}
