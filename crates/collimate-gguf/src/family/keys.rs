//! Metadata values of an architecture, with the checks that every reader needs.

use crate::family::arch::Arch;
use crate::{Gguf, GgufError, MetadataArray, MetadataValue};

/// Names of the values `ARCHITECTURE.NAME` that are read, or that do not change the model.
const KNOWN: &[&str] = &[
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.layer_norm_rms_epsilon",
    "attention.sliding_window",
    "attention.sliding_window_pattern",
    "attention.value_length",
    "attn_logit_softcapping",
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "final_logit_softcapping",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.freq_base_swa",
    "rope.scale_linear",
    "rope.scaling.factor",
    "rope.scaling.finetuned",
    "rope.scaling.original_context_length",
    "rope.scaling.type",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
    // The only layout of a llama in this format.
    "tensor_data_layout",
    "vocab_size",
];

/// Values that other architectures need, with the number that changes nothing.
const NEUTRAL: &[(&str, f64)] = &[
    ("attention.causal", 1.0),
    ("attention.clamp_kqv", 0.0),
    ("attention.max_alibi_bias", 0.0),
    ("embedding_scale", 1.0),
    ("expert_count", 0.0),
    ("expert_used_count", 0.0),
    ("logit_scale", 1.0),
    ("pooling_type", 0.0),
    ("residual_scale", 1.0),
    ("rope.scaling.attn_factor", 1.0),
    ("use_parallel_residual", 0.0),
];

/// The metadata values of one architecture.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keys<'a> {
    pub(crate) gguf: &'a Gguf,
    pub(crate) arch: Arch,
}

impl<'a> Keys<'a> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.arch)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&'a MetadataValue> {
        self.gguf.get(&self.key(name))
    }

    pub(crate) fn wrong(&self, name: &str, message: impl Into<String>) -> GgufError {
        GgufError::metadata(self.gguf.path(), &self.key(name), message)
    }

    /// Returns a number of things, or `None` if the value is missing. A list with one number per
    /// layer counts as the number if all layers agree.
    pub(crate) fn count(&self, name: &str) -> Result<Option<usize>, GgufError> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let number = match value.as_array().map(MetadataArray::to_u64s) {
            None => value.as_u64(),
            Some(None) => None,
            Some(Some(list)) => match list.split_first() {
                Some((first, rest)) if rest.iter().all(|number| number == first) => Some(*first),
                Some(_) => {
                    let message = "differs between layers, but Hugging Face's class has one number";
                    return Err(self.wrong(name, message));
                }
                None => None,
            },
        };
        let number = number.and_then(|number| usize::try_from(number).ok());
        match number {
            Some(number) => Ok(Some(number)),
            None => Err(self.wrong(name, "is not a number of things")),
        }
    }

    pub(crate) fn need_count(&self, name: &str) -> Result<usize, GgufError> {
        self.count(name)?
            .ok_or_else(|| self.wrong(name, "is missing"))
    }

    /// Returns a positive number, or `None` if the value is missing.
    pub(crate) fn positive(&self, name: &str) -> Result<Option<f64>, GgufError> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        match value.as_f64() {
            Some(number) if number.is_finite() && number > 0.0 => Ok(Some(number)),
            _ => Err(self.wrong(name, "is not a positive number")),
        }
    }

    pub(crate) fn need_positive(&self, name: &str) -> Result<f64, GgufError> {
        self.positive(name)?
            .ok_or_else(|| self.wrong(name, "is missing"))
    }

    /// Refuses values of the architecture that may change the model in a way that is not read.
    pub(crate) fn check_known(&self) -> Result<(), GgufError> {
        let prefix = self.key("");
        for (key, value) in self.gguf.metadata() {
            let Some(name) = key.strip_prefix(&prefix) else {
                continue;
            };
            if KNOWN.contains(&name) {
                continue;
            }
            let number = value
                .as_f64()
                .or(value.as_bool().map(|truth| f64::from(u8::from(truth))))
                .or(value.as_u64().map(|number| number as f64));
            let neutral = NEUTRAL.iter().find(|(neutral, _)| *neutral == name);
            if neutral.is_some_and(|(_, neutral)| number == Some(*neutral)) {
                continue;
            }
            let message = "is not read: the value may change the model in a way that this crate \
                           does not know; use a file of llama.cpp's own converter";
            return Err(self.wrong(name, message));
        }
        Ok(())
    }
}
