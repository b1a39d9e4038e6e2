//! Metadata of rotary positions.

use super::arch::Arch;
use super::config::Json;
use super::rope::{FACTORS, Llama3};
use super::write::Model;
use crate::{GgufError, MetadataValue};

/// Adds the rotary positions.
pub(crate) fn rope(json: &Json<'_>, model: &mut Model, context: usize) -> Result<(), GgufError> {
    let file = json.file;
    let arch = model.sizes.arch;
    // Newer folders keep the base and the scaling in one object, per kind of layer for Gemma 3.
    let parameters = json
        .get("rope_parameters")
        .map(|object| Json { file, object });
    let full = parameters.and_then(|outer| outer.get("full_attention"));
    let sliding = parameters.and_then(|outer| outer.get("sliding_attention"));
    let parameters = full.map(|object| Json { file, object }).or(parameters);
    let scaling = json.get("rope_scaling").map(|object| Json { file, object });
    let theta = match parameters
        .map(|own| own.number("rope_theta"))
        .transpose()?
        .flatten()
    {
        Some(theta) => theta,
        None => match (json.number("rope_theta")?, arch) {
            (Some(theta), _) => theta,
            (None, Arch::Gemma3) => 1e6,
            (None, _) => 1e4,
        },
    };
    model.number("rope.freq_base", theta);
    if arch == Arch::Gemma3 {
        let local = match sliding.map(|object| Json { file, object }) {
            Some(sliding) => {
                sliding.only("rope_type", &["default"])?;
                sliding.number("rope_theta")?
            }
            None => json.number("rope_local_base_freq")?,
        };
        model.number("rope.freq_base_swa", local.unwrap_or(1e4));
    }
    match scaling.or(parameters) {
        None => Ok(()),
        Some(scaling) => scale(&scaling, model, theta, context),
    }
}

/// Adds the scaling of the rotary positions.
fn scale(json: &Json<'_>, model: &mut Model, theta: f64, context: usize) -> Result<(), GgufError> {
    const ORIGINAL: &str = "original_max_position_embeddings";
    let kind = match json.text("rope_type")? {
        Some(kind) => Some(kind),
        None => json.text("type")?,
    };
    let kind = kind.unwrap_or("default");
    let original = || json.count(ORIGINAL).map(|count| count.unwrap_or(context));
    match (kind, model.sizes.arch) {
        ("default", _) => Ok(()),
        ("linear", _) => {
            model.set("rope.scaling.type", MetadataValue::String(kind.to_owned()));
            model.number("rope.scaling.factor", json.need_number("factor")?);
            Ok(())
        }
        ("yarn", _) => {
            for key in ["attention_factor", "mscale", "mscale_all_dim"] {
                if json.get(key).is_some() {
                    let message = "cannot be expressed for llama.cpp";
                    return Err(json.wrong(key, message));
                }
            }
            if json.truth("truncate")? == Some(false) {
                return Err(json.wrong("truncate", "is false, which llama.cpp does not compute"));
            }
            model.set("rope.scaling.type", MetadataValue::String(kind.to_owned()));
            model.number("rope.scaling.factor", json.need_number("factor")?);
            model.count("rope.scaling.original_context_length", original()?);
            for (key, name) in [
                ("beta_fast", "yarn_beta_fast"),
                ("beta_slow", "yarn_beta_slow"),
            ] {
                if let Some(number) = json.number(key)? {
                    model.number(&format!("rope.scaling.{name}"), number);
                }
            }
            Ok(())
        }
        ("llama3", Arch::Llama) => {
            let scaling = Llama3 {
                factor: json.need_number("factor")?,
                low: json.need_number("low_freq_factor")?,
                high: json.need_number("high_freq_factor")?,
                original: original()? as f64,
            };
            let sound = scaling.factor >= 1.0 && scaling.low > 0.0 && scaling.high > scaling.low;
            if !sound {
                let message = format!("{scaling:?} is not sound");
                return Err(json.wrong("rope_scaling", message));
            }
            let factors = scaling.factors(theta, model.sizes.head_dim);
            model.factors = Some((FACTORS, factors));
            Ok(())
        }
        (kind, arch) => {
            let message = format!(
                "is {kind}, but default, linear and yarn are written for {arch}, and llama3 for llama"
            );
            Err(json.wrong("rope_type", message))
        }
    }
}
