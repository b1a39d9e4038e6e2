//! Rotary frequencies, scaled for sequences longer than those of pretraining.

use std::f64::consts::TAU;

use collimate_core::{OptionError, Range};
use serde::{Deserialize, Serialize};

/// Scaling of rotary frequencies relative to `rope_theta^(-2i / head_dim)`; names as in Hugging
/// Face's `rope_scaling`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "rope_type", rename_all = "lowercase", deny_unknown_fields)]
pub enum RopeScaling {
    /// Position interpolation: all frequencies are divided by one factor,
    /// [arXiv:2306.15595](https://arxiv.org/abs/2306.15595).
    Linear {
        /// Divisor, above 0.
        factor: f64,
    },
    /// A base that grows with sequences longer than `max_position_embeddings`. Such sequences are
    /// refused here, and up to that length nothing is scaled.
    Dynamic {
        /// Growth beyond the longest sequence, above 0.
        factor: f64,
    },
    /// Scaling of Llama 3.1: low frequencies are divided by the factor, high ones are kept, and
    /// those between are interpolated, [arXiv:2407.21783](https://arxiv.org/abs/2407.21783).
    Llama3 {
        /// Divisor of the low frequencies, above 0.
        factor: f64,
        /// Number of turns within the original length below which a frequency is low.
        low_freq_factor: f64,
        /// Number of turns within the original length above which a frequency is high.
        high_freq_factor: f64,
        /// Length of the longest sequence of pretraining, in tokens.
        original_max_position_embeddings: usize,
    },
    /// YaRN: as `Llama3` along another ramp, with longer queries and keys,
    /// [arXiv:2309.00071](https://arxiv.org/abs/2309.00071).
    Yarn {
        /// Divisor of the low frequencies, above 0.
        factor: f64,
        /// Length of the longest sequence of pretraining, in tokens.
        original_max_position_embeddings: usize,
        /// Factor of queries and keys; null computes it from `factor`, `mscale` and
        /// `mscale_all_dim`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attention_factor: Option<f64>,
        /// Number of turns from which a frequency is kept; null means 32.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        beta_fast: Option<f64>,
        /// Number of turns up to which a frequency is divided; null means 1.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        beta_slow: Option<f64>,
        /// Weight of `ln factor` in the attention factor.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mscale: Option<f64>,
        /// Weight of `ln factor` in the attention factor's divisor.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mscale_all_dim: Option<f64>,
        /// If true or null, the ends of the ramp are rounded to whole frequencies.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        truncate: Option<bool>,
        /// Growth of queries with the number of original lengths before them, as in Llama 4. Only
        /// Ministral 3 has it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        llama_4_scaling_beta: Option<f64>,
    },
    /// LongRoPE: each frequency is divided by a separate number, with longer queries and keys,
    /// [arXiv:2402.13753](https://arxiv.org/abs/2402.13753). Sequences longer than the original
    /// length would need the long factors for all their tokens; they are refused here.
    LongRope {
        /// Divisors for sequences up to the original length, one for each frequency.
        short_factor: Vec<f64>,
        /// Divisors for longer sequences. They are not used here but kept for other programs.
        long_factor: Vec<f64>,
        /// Length of the longest sequence of pretraining, in tokens.
        original_max_position_embeddings: usize,
        /// Growth of the longest sequence; null means `max_position_embeddings` over the original
        /// length.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        factor: Option<f64>,
        /// Factor of queries and keys; null computes it from `factor`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attention_factor: Option<f64>,
    },
}

/// Rotary positions of some layers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LayerRope {
    /// Base of the rotary frequencies, above 0.
    pub rope_theta: f64,
    /// Scaling of the frequencies of the base; null means none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope_scaling: Option<RopeScaling>,
}

impl LayerRope {
    /// Checks the numbers. A head has `pairs` frequencies.
    pub(crate) fn check(&self, pairs: usize) -> Result<(), OptionError> {
        Range::Positive.check("rope_theta", self.rope_theta)?;
        let Some(scaling) = &self.rope_scaling else {
            return Ok(());
        };
        scaling.check()?;
        // YaRN divides by the logarithm of the base.
        let holds = self.rope_theta > 1.0 || !matches!(scaling, RopeScaling::Yarn { .. });
        OptionError::check("rope_theta", self.rope_theta, "above 1 with yarn", holds)?;
        if let RopeScaling::LongRope {
            short_factor,
            long_factor,
            ..
        } = scaling
        {
            for (name, list) in [("short_factor", short_factor), ("long_factor", long_factor)] {
                let (name, count) = (format!("rope_scaling.{name}"), list.len());
                let allowed = format!("a list of {pairs} numbers, one for each frequency");
                let value = format!("a list of {count}");
                OptionError::check(&name, value, &allowed, count == pairs)?;
                for &value in list {
                    Range::Positive.check(&name, value)?;
                }
            }
        }
        Ok(())
    }

    /// Returns the frequencies of a head's pairs and the factor of queries and keys. `turning` is
    /// the number of values of a head that turn, and `longest` the length of the longest sequence.
    pub(crate) fn frequencies(&self, turning: usize, longest: usize) -> (Vec<f64>, f64) {
        let (theta, dims) = (self.rope_theta, turning as f64);
        let pairs = 0..turning.div_ceil(2);
        let plain = pairs.map(|i| theta.powf(-2.0 * i as f64 / dims));
        match &self.rope_scaling {
            None => (plain.collect(), 1.0),
            Some(scaling) => scaling.scaled(plain.collect(), dims, theta, longest),
        }
    }

    /// Returns the length of the longest sequence for which the frequencies are known, if it can be
    /// below that of the configuration.
    pub(crate) fn longest(&self) -> Option<usize> {
        match self.rope_scaling {
            Some(RopeScaling::LongRope {
                original_max_position_embeddings: length,
                ..
            }) => Some(length),
            _ => None,
        }
    }
}

impl RopeScaling {
    /// Checks the numbers.
    pub(crate) fn check(&self) -> Result<(), OptionError> {
        let positive =
            |name: &str, value: f64| Range::Positive.check(&format!("rope_scaling.{name}"), value);
        let original = |length: usize| {
            let name = "rope_scaling.original_max_position_embeddings";
            OptionError::check(name, length, "at least 1", length >= 1)
        };
        match *self {
            Self::Linear { factor } | Self::Dynamic { factor } => positive("factor", factor),
            Self::LongRope {
                original_max_position_embeddings: length,
                factor,
                attention_factor,
                ..
            } => {
                factor.map_or(Ok(()), |value| positive("factor", value))?;
                attention_factor.map_or(Ok(()), |value| positive("attention_factor", value))?;
                // The factor is computed with the logarithm of the length.
                let name = "rope_scaling.original_max_position_embeddings";
                OptionError::check(name, length, "at least 2", length >= 2)
            }
            Self::Llama3 {
                factor,
                low_freq_factor: low,
                high_freq_factor: high,
                original_max_position_embeddings: length,
            } => {
                positive("factor", factor)?;
                positive("low_freq_factor", low)?;
                positive("high_freq_factor", high)?;
                let allowed = format!("above low_freq_factor = {low}");
                OptionError::check("rope_scaling.high_freq_factor", high, &allowed, high > low)?;
                original(length)
            }
            Self::Yarn {
                factor,
                original_max_position_embeddings: length,
                attention_factor,
                beta_fast,
                beta_slow,
                mscale,
                mscale_all_dim,
                truncate: _,
                llama_4_scaling_beta,
            } => {
                positive("factor", factor)?;
                for (name, value) in [
                    ("attention_factor", attention_factor),
                    ("beta_fast", beta_fast),
                    ("beta_slow", beta_slow),
                    ("mscale", mscale),
                    ("mscale_all_dim", mscale_all_dim),
                    ("llama_4_scaling_beta", llama_4_scaling_beta),
                ] {
                    value.map_or(Ok(()), |value| positive(name, value))?;
                }
                original(length)
            }
        }
    }

    /// Computes the scaled frequencies, and the factor of queries and keys.
    fn scaled(
        &self,
        frequencies: Vec<f64>,
        dims: f64,
        theta: f64,
        longest: usize,
    ) -> (Vec<f64>, f64) {
        let all = |f: &dyn Fn(usize, f64) -> f64| {
            let frequencies = frequencies.iter().enumerate();
            frequencies.map(|(i, &inv)| f(i, inv)).collect::<Vec<_>>()
        };
        match *self {
            Self::Linear { factor } => (all(&|_, inv| inv / factor), 1.0),
            Self::Dynamic { .. } => (frequencies, 1.0),
            Self::LongRope {
                ref short_factor,
                original_max_position_embeddings: length,
                factor,
                attention_factor,
                ..
            } => {
                let divided = |i: usize, inv: f64| inv / short_factor.get(i).unwrap_or(&1.0);
                let factor = factor.unwrap_or(longest as f64 / length as f64);
                let inferred = match factor <= 1.0 {
                    true => 1.0,
                    false => (1.0 + factor.ln() / (length as f64).ln()).sqrt(),
                };
                (all(&divided), attention_factor.unwrap_or(inferred))
            }
            Self::Llama3 {
                factor,
                low_freq_factor: low,
                high_freq_factor: high,
                original_max_position_embeddings: length,
            } => {
                let scale = |_: usize, inv: f64| {
                    let turns = length as f64 * inv / TAU;
                    let kept = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                    (1.0 - kept) * inv / factor + kept * inv
                };
                (all(&scale), 1.0)
            }
            Self::Yarn {
                factor,
                original_max_position_embeddings: length,
                attention_factor,
                beta_fast,
                beta_slow,
                mscale,
                mscale_all_dim,
                truncate,
                llama_4_scaling_beta: _,
            } => {
                // Index of the pair that makes `turns` turns within the original length.
                let pair =
                    |turns: f64| dims * (length as f64 / (turns * TAU)).ln() / (2.0 * theta.ln());
                let (low, high) = (
                    pair(beta_fast.unwrap_or(32.0)),
                    pair(beta_slow.unwrap_or(1.0)),
                );
                let (low, high) = match truncate.unwrap_or(true) {
                    true => (low.floor(), high.ceil()),
                    false => (low, high),
                };
                let (low, mut high) = (low.max(0.0), high.min(dims - 1.0));
                if low == high {
                    high += 1e-3;
                }
                let scale = |i: usize, inv: f64| {
                    let divided = ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
                    inv / factor * divided + inv * (1.0 - divided)
                };
                let longer = |weight: f64| match factor <= 1.0 {
                    true => 1.0,
                    false => 0.1 * weight * factor.ln() + 1.0,
                };
                let inferred = match (mscale, mscale_all_dim) {
                    (Some(above), Some(below)) => longer(above) / longer(below),
                    _ => longer(1.0),
                };
                (all(&scale), attention_factor.unwrap_or(inferred))
            }
        }
    }
}
