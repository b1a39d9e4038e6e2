//! Sampling options from the `generation_config.json` of a folder.

use std::path::Path;

use collimate_core::{GenerateError, Sampling};
use collimate_nn::LoadError;
use serde_json::Value;

use crate::hf::JsonConfig;

/// Name of the file.
const FILE: &str = "generation_config.json";

/// Keys that do not change the tokens of a completion here: ids that other parts read, caches,
/// outputs, and searches that only save time.
const NOT_SAMPLING: [&str; 22] = [
    "_from_model_config",
    "assistant_confidence_threshold",
    "assistant_early_exit",
    "assistant_lookbehind",
    "bos_token_id",
    "cache_config",
    "cache_implementation",
    "chat_format",
    "continuous_batching_config",
    "decoder_start_token_id",
    "eos_token_id",
    "is_assistant",
    "low_memory",
    "max_matching_ngram_size",
    "max_window_size",
    "pad_token_id",
    "prefill_chunk_size",
    "return_dict_in_generate",
    "target_lookbehind",
    "transformers_version",
    "trust_remote_code",
    "use_cache",
];

/// Prefixes of further keys that do not change the tokens.
const NOT_SAMPLING_BY_PREFIX: [&str; 4] = [
    "compile_config",
    "num_assistant_tokens",
    "output_",
    "prompt_lookup_num_tokens",
];

/// Values that change nothing, besides null, false and empty lists.
const NEUTRAL: [(&str, f64); 14] = [
    ("diversity_penalty", 0.0),
    ("encoder_no_repeat_ngram_size", 0.0),
    ("encoder_repetition_penalty", 1.0),
    ("epsilon_cutoff", 0.0),
    ("eta_cutoff", 0.0),
    ("guidance_scale", 1.0),
    ("min_length", 0.0),
    ("min_new_tokens", 0.0),
    ("min_p", 0.0),
    ("no_repeat_ngram_size", 0.0),
    ("num_beam_groups", 1.0),
    ("num_beams", 1.0),
    ("num_return_sequences", 1.0),
    ("typical_p", 1.0),
];

/// Keys that only beam search reads.
const OF_BEAMS: [&str; 2] = ["length_penalty", "early_stopping"];

/// Sampling options that a folder asks for.
///
/// # Examples
/// ```
/// use collimate_core::Sampling;
/// use collimate_lm::FolderSampling;
/// let dir = tempfile::tempdir()?;
/// let text = r#"{"do_sample": true, "temperature": 0.6, "num_beams": 4}"#;
/// std::fs::write(dir.path().join("generation_config.json"), text)?;
/// let of_folder = FolderSampling::read(dir.path(), &Sampling::default())?;
/// assert_eq!((of_folder.sampling.temperature, of_folder.sampling.top_p), (0.6, 1.0));
/// assert_eq!(of_folder.taken, ["temperature 0.6"]);
/// assert_eq!(of_folder.left_out, ["num_beams 4"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct FolderSampling {
    /// The base with the folder's values applied.
    pub sampling: Sampling,
    /// Values that were taken, each with its name: `temperature 0.6`.
    pub taken: Vec<String>,
    /// Values that would change completions and cannot be applied, each with its name.
    pub left_out: Vec<String>,
}

impl FolderSampling {
    /// Reads `generation_config.json` of a folder. Without the file, `base` is unchanged.
    ///
    /// Temperature, top-p, top-k, repetition penalty, the number of new tokens and `stop_strings`
    /// are taken. `do_sample: false` means temperature 0; the sampling values beside it then have
    /// no effect. If `do_sample` is absent, the values are taken. Options that the file does not
    /// name keep their value in `base`.
    ///
    /// # Errors
    /// The file cannot be read, or a value is out of range. The error names the file and the key.
    ///
    /// # Differs from
    /// transformers, which is greedy if `do_sample` is absent, and keeps the 50 likeliest tokens if
    /// it samples and `top_k` is absent.
    pub fn read(dir: &Path, base: &Sampling) -> Result<Self, LoadError> {
        let mut found = Self {
            sampling: base.clone(),
            taken: Vec::new(),
            left_out: Vec::new(),
        };
        let Some(json) = JsonConfig::read_if_there(dir.join(FILE))? else {
            return Ok(found);
        };
        let samples: Option<bool> = json.get("do_sample")?;
        found.take(&json, samples != Some(false))?;
        if samples == Some(false) {
            found.sampling.temperature = 0.0;
            found.taken.insert(0, "do_sample false (greedy)".to_owned());
        }
        for (key, value) in json.map() {
            if !is_known(key) && !changes_nothing(json.map(), key, value) {
                found.left_out.push(format!("{key} {}", short(value)));
            }
        }
        found.sampling.check().map_err(|error| match error {
            GenerateError::Option {
                option,
                value,
                allowed,
            } => json.invalid(format!("{option} is {value} but must be {allowed}")),
            other => json.invalid(other),
        })?;
        Ok(found)
    }

    /// Takes the values that can be applied.
    fn take(&mut self, json: &JsonConfig, samples: bool) -> Result<(), LoadError> {
        let Self {
            sampling,
            taken,
            left_out,
        } = self;
        let mut number = |key: &str, to: &mut f64, applies: bool| -> Result<(), LoadError> {
            let Some(value) = json.value(key) else {
                return Ok(());
            };
            let number = value.as_f64();
            let number = number.ok_or_else(|| json.invalid(wrong(key, value, "a number")))?;
            match applies {
                true => {
                    *to = number;
                    taken.push(format!("{key} {value}"));
                }
                false => left_out.push(format!("{key} {value} (do_sample is false)")),
            }
            Ok(())
        };
        number("temperature", &mut sampling.temperature, samples)?;
        number("top_p", &mut sampling.top_p, samples)?;
        number("repetition_penalty", &mut sampling.repetition_penalty, true)?;
        let count = |key: &str| -> Result<Option<usize>, LoadError> {
            let Some(value) = json.value(key) else {
                return Ok(None);
            };
            let whole = value.as_u64().and_then(|n| usize::try_from(n).ok());
            let expected = "a whole number of at least 0";
            whole
                .map(Some)
                .ok_or_else(|| json.invalid(wrong(key, value, expected)))
        };
        if let Some(top_k) = count("top_k")? {
            match samples {
                true => {
                    sampling.top_k = top_k;
                    taken.push(format!("top_k {top_k}"));
                }
                false => left_out.push(format!("top_k {top_k} (do_sample is false)")),
            }
        }
        let most = count("max_length")?;
        match (count("max_new_tokens")?, most) {
            (Some(most), _) => {
                sampling.max_new_tokens = most;
                taken.push(format!("max_new_tokens {most}"));
            }
            (None, Some(most)) => {
                left_out.push(format!(
                    "max_length {most} (it counts the prompt's tokens too)"
                ));
            }
            (None, None) => {}
        }
        if let Some(value) = json.value("stop_strings") {
            let texts: Option<Vec<String>> = match value {
                Value::String(text) => Some(vec![text.clone()]),
                value => serde_json::from_value(value.clone()).ok(),
            };
            let expected = "a text or a list of texts";
            let texts =
                texts.ok_or_else(|| json.invalid(wrong("stop_strings", value, expected)))?;
            if !texts.is_empty() {
                taken.push(format!("stop_strings {}", short(value)));
            }
            sampling.stop.extend(texts);
        }
        Ok(())
    }
}

fn wrong(key: &str, value: &Value, expected: &str) -> String {
    format!("{key} is {value}: expected {expected}")
}

/// Returns true for a key that is read, or that does not change the tokens.
fn is_known(key: &str) -> bool {
    const READ: [&str; 8] = [
        "do_sample",
        "max_length",
        "max_new_tokens",
        "repetition_penalty",
        "stop_strings",
        "temperature",
        "top_k",
        "top_p",
    ];
    READ.contains(&key)
        || NOT_SAMPLING.contains(&key)
        || NOT_SAMPLING_BY_PREFIX
            .iter()
            .any(|prefix| key.starts_with(prefix))
}

fn changes_nothing(map: &serde_json::Map<String, Value>, key: &str, value: &Value) -> bool {
    let neutral = NEUTRAL.iter().find(|(name, _)| *name == key);
    let beams = map.get("num_beams").and_then(Value::as_u64).unwrap_or(1);
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ if OF_BEAMS.contains(&key) => beams <= 1,
        Value::Number(number) => neutral.is_some_and(|(_, none)| number.as_f64() == Some(*none)),
        _ => false,
    }
}

/// Returns a value as JSON, shortened to fit on a line.
fn short(value: &Value) -> String {
    const MOST: usize = 40;
    let text = value.to_string();
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}
