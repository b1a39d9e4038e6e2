//! Scaling of rotary positions in both formats.

use serde_json::{Value, json};

use super::arch::Arch;
use super::keys::Keys;
use crate::{GgufError, MetadataValue};

/// Name of the tensor that divides each rotary frequency by a factor.
pub(crate) const FACTORS: &str = "rope_freqs.weight";
/// Divisors of `original_max_position_embeddings` in the scaling `llama3` of all Llama models.
const LOW: f64 = 1.0;
const HIGH: f64 = 4.0;

/// Parameters of the scaling `llama3`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Llama3 {
    pub(crate) factor: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) original: f64,
}

impl Llama3 {
    /// Returns the divisors of the frequencies `theta^(-2 i / dim)`.
    ///
    /// With the wavelength `w = 2 pi / frequency` the divisor is 1 for `w < original / high`,
    /// `factor` for `w > original / low`, and between them `1 / ((1 - s) / factor + s)` with
    /// `s = (original / w - low) / (high - low)`.
    pub(crate) fn factors(&self, theta: f64, dim: usize) -> Vec<f32> {
        let divisor = |pair: usize| {
            let frequency = theta.powf(-((2 * pair) as f64) / dim as f64);
            let wavelength = 2.0 * std::f64::consts::PI / frequency;
            if wavelength < self.original / self.high {
                1.0
            } else if wavelength > self.original / self.low {
                self.factor
            } else {
                let share = (self.original / wavelength - self.low) / (self.high - self.low);
                1.0 / ((1.0 - share) / self.factor + share)
            }
        };
        (0..dim / 2).map(|pair| divisor(pair) as f32).collect()
    }

    /// Finds the parameters whose divisors are `factors`, among powers of two for `original`.
    fn find(factors: &[f32], theta: f64) -> Option<Self> {
        let largest = factors.iter().copied().fold(1.0f32, f32::max);
        let candidates = (9..=20).map(|exponent| Self {
            factor: largest.to_string().parse().unwrap_or(1.0),
            low: LOW,
            high: HIGH,
            original: f64::from(1u32 << exponent),
        });
        let close = |(one, other): (&f32, &f32)| (one - other).abs() <= 1e-4 * other.abs();
        candidates.into_iter().find(|candidate| {
            let own = candidate.factors(theta, 2 * factors.len());
            own.iter().zip(factors).all(close)
        })
    }

    fn to_json(self) -> Value {
        json!({
            "rope_type": "llama3",
            "factor": self.factor,
            "low_freq_factor": self.low,
            "high_freq_factor": self.high,
            "original_max_position_embeddings": self.original as u64,
        })
    }
}

/// Returns `rope_scaling` of the model, or null.
pub(crate) fn read(keys: &Keys<'_>, theta: f64, head_dim: usize) -> Result<Value, GgufError> {
    let named = read_named(keys)?;
    let gguf = keys.gguf;
    let Some(info) = gguf.tensor(FACTORS) else {
        return Ok(named);
    };
    if keys.arch != Arch::Llama {
        return Err(gguf.wrong(
            FACTORS,
            format!("is not known in the architecture {}", keys.arch),
        ));
    }
    if info.shape != [head_dim / 2] {
        let message = format!(
            "has the shape {:?} but must have [{}]",
            info.shape,
            head_dim / 2
        );
        return Err(gguf.wrong(FACTORS, message));
    }
    let factors = gguf.values(FACTORS)?;
    if factors.iter().all(|factor| *factor == 1.0) {
        return Ok(named);
    }
    match Llama3::find(&factors, theta) {
        Some(scaling) if named.is_null() => Ok(scaling.to_json()),
        _ => Err(gguf.wrong(
            FACTORS,
            "holds divisors of rotary frequencies other than those of the scaling llama3: convert \
             the model from its Hugging Face folder instead",
        )),
    }
}

/// Reads the scaling that the metadata names.
fn read_named(keys: &Keys<'_>) -> Result<Value, GgufError> {
    const TYPE: &str = "rope.scaling.type";
    let factor = keys.positive("rope.scaling.factor")?;
    let old = keys
        .positive("rope.scale_linear")?
        .filter(|factor| *factor != 1.0);
    let name = match keys.get(TYPE).map(MetadataValue::as_str) {
        Some(Some(name)) => Some(name),
        Some(None) => return Err(keys.wrong(TYPE, "is not a text")),
        None => old
            .or(factor.filter(|factor| *factor != 1.0))
            .map(|_| "linear"),
    };
    match (name, factor.or(old)) {
        (None | Some("none"), _) => Ok(Value::Null),
        (Some("linear"), Some(factor)) => Ok(json!({"rope_type": "linear", "factor": factor})),
        (Some("yarn"), Some(factor)) => {
            let original = match keys.count("rope.scaling.original_context_length")? {
                Some(original) => original,
                None => keys.need_count("context_length")?,
            };
            Ok(json!({
                "rope_type": "yarn",
                "factor": factor,
                "original_max_position_embeddings": original,
                "beta_fast": keys.positive("rope.scaling.yarn_beta_fast")?.unwrap_or(32.0),
                "beta_slow": keys.positive("rope.scaling.yarn_beta_slow")?.unwrap_or(1.0),
            }))
        }
        (Some("linear" | "yarn"), None) => Err(keys.wrong("rope.scaling.factor", "is missing")),
        (Some(name), _) => {
            let message = format!("is {name}, but none, linear and yarn are read");
            Err(keys.wrong(TYPE, message))
        }
    }
}
