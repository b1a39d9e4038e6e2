//! The base of the rotary frequencies, wherever a folder writes it.

use collimate_nn::LoadError;
use serde_json::{Map, Value};

use crate::hf::JsonConfig;

const THETA: &str = "rope_theta";
/// The base that transformers takes where a folder names none.
const DEFAULT: f64 = 1e4;

/// Reads the base from `rope_theta`, `rope_scaling` and `rope_parameters`, whose entries may be
/// nested by kind of layer. Places that disagree are refused, and so is everything beside the base
/// that would turn positions otherwise.
pub(super) fn read_theta(json: &JsonConfig) -> Result<f64, LoadError> {
    let mut found: Vec<(String, f64)> = Vec::new();
    if let Some(theta) = json.get(THETA)? {
        found.push((THETA.to_owned(), theta));
    }
    for key in ["rope_scaling", "rope_parameters"] {
        let Some(object) = json.object(key)? else {
            continue;
        };
        let is_nested = object.keys().any(|key| key.ends_with("_attention"));
        if !is_nested {
            found.extend(read_object(json, key, object)?);
            continue;
        }
        for (kind, value) in object {
            let key = format!("{key}.{kind}");
            match value {
                Value::Null => {}
                Value::Object(object) => found.extend(read_object(json, &key, object)?),
                other => return Err(json.invalid(format!("{key} is {other}: expected an object"))),
            }
        }
    }
    let Some((first, theta)) = found.first() else {
        return Ok(DEFAULT);
    };
    match found.iter().find(|(_, other)| other != theta) {
        None => Ok(*theta),
        Some((key, other)) => Err(json.invalid(format!(
            "{first} = {theta}, but {key} = {other}: keep the one that the model was trained with"
        ))),
    }
}

/// The base that one object names, with the object's path.
fn read_object(
    json: &JsonConfig,
    path: &str,
    object: &Map<String, Value>,
) -> Result<Option<(String, f64)>, LoadError> {
    for key in ["rope_type", "type"] {
        match object.get(key) {
            None | Some(Value::Null) => {}
            Some(Value::String(kind)) if kind == "default" => {}
            Some(Value::String(kind)) => {
                let what = format!("rope scaling {kind}");
                return Err(json.unsupported(what, "none (rope_type default)"));
            }
            Some(other) => {
                return Err(json.invalid(format!("{path}.{key} is {other}: expected a text")));
            }
        }
    }
    let mut theta = None;
    for (key, value) in object {
        let number = value.as_f64();
        match key.as_str() {
            "rope_type" | "type" => {}
            _ if value.is_null() => {}
            THETA if number.is_some() => {
                theta = number.map(|theta| (format!("{path}.{key}"), theta))
            }
            THETA => {
                return Err(json.invalid(format!("{path}.{key} is {value}: expected a number")));
            }
            "factor" | "attention_factor" | "partial_rotary_factor" if number == Some(1.0) => {}
            _ => {
                return Err(json.unsupported(
                    format!("{path}.{key} = {value}"),
                    "rope_type default with a rope_theta alone",
                ));
            }
        }
    }
    Ok(theta)
}
