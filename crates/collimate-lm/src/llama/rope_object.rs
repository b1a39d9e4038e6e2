//! One JSON object that scales rotary positions: `rope_scaling`, `rope_parameters`, or a part of
//! it.

use collimate_nn::LoadError;
use serde_json::{Map, Value, json};

use super::rope::RopeScaling;
use super::rope_read::RopeRules;
use crate::hf::JsonConfig;

pub(super) const THETA: &str = "rope_theta";
pub(super) const PARTIAL: &str = "partial_rotary_factor";
const ORIGINAL: &str = "original_max_position_embeddings";
const KINDS: &str = "rope_type default, linear, dynamic, llama3, yarn";

/// Base, turning fraction and scaling that one object names, with the path of the object.
pub(super) struct Place {
    pub(super) path: String,
    pub(super) theta: Option<f64>,
    pub(super) partial: Option<f64>,
    pub(super) scaling: Option<RopeScaling>,
}

/// Reads the kind that one object names.
fn read_kind(
    json: &JsonConfig,
    rules: &RopeRules,
    path: &str,
    object: &Map<String, Value>,
) -> Result<Option<String>, LoadError> {
    let mut found: Option<String> = None;
    for key in ["rope_type", "type"] {
        match object.get(key) {
            None | Some(Value::Null) => {}
            Some(Value::String(kind)) => match &found {
                Some(other) if other != kind => {
                    return Err(json.invalid(format!(
                        "{path}.rope_type is {other}, but {path}.type is {kind}: keep the one that \
                         the model was trained with"
                    )));
                }
                _ => found = Some(kind.clone()),
            },
            Some(other) => {
                return Err(json.invalid(format!("{path}.{key} is {other}: expected a text")));
            }
        }
    }
    if rules.longrope {
        return match found.as_deref() {
            None | Some("default") => Ok(None),
            // Older folders of Phi-3 name su or yarn and mean longrope.
            Some("longrope" | "su" | "yarn") => Ok(Some("longrope".to_owned())),
            Some(kind) => Err(json.unsupported(
                format!("rope scaling {kind}"),
                "rope_type default, longrope",
            )),
        };
    }
    match found.as_deref() {
        None | Some("default") => Ok(None),
        Some("linear" | "dynamic" | "llama3" | "yarn") => Ok(found),
        Some(kind) => Err(json.unsupported(format!("rope scaling {kind}"), KINDS)),
    }
}

/// Reads one object.
pub(super) fn read_object(
    json: &JsonConfig,
    rules: &RopeRules,
    path: &str,
    object: &Map<String, Value>,
    longest: usize,
) -> Result<Place, LoadError> {
    let kind = read_kind(json, rules, path, object)?;
    if rules.sliding.is_some() {
        check_versions(json, path, object, kind.as_deref())?;
    }
    let (mut theta, mut partial) = (None, None);
    let mut rest = Map::new();
    for (key, value) in object {
        let number = value.as_f64();
        match key.as_str() {
            "rope_type" | "type" => {}
            _ if value.is_null() => {}
            THETA if number.is_some() => theta = number,
            THETA => {
                return Err(json.invalid(format!("{path}.{key} is {value}: expected a number")));
            }
            PARTIAL if rules.partial.is_some() && number.is_some() => partial = number,
            PARTIAL if number == Some(1.0) => {}
            "factor" | "attention_factor" if kind.is_none() && number == Some(1.0) => {}
            // A length without a kind scales nothing.
            ORIGINAL if kind.is_none() => {}
            // A repetition of the longest sequence is allowed.
            "max_position_embeddings" if value.as_u64() == Some(longest as u64) => {}
            PARTIAL | "mrope_section" => {
                return Err(json.unsupported(format!("{path}.{key} = {value}"), KINDS));
            }
            _ if kind.is_none() => {
                return Err(json.unsupported(
                    format!("{path}.{key} = {value}"),
                    "rope_type default with a rope_theta alone",
                ));
            }
            _ => {
                rest.insert(key.clone(), value.clone());
            }
        }
    }
    let scaling = match kind {
        None => None,
        Some(kind) => Some(read_scaling(json, path, &kind, rest, longest)?),
    };
    Ok(Place {
        path: path.to_owned(),
        theta,
        partial,
        scaling,
    })
}

/// Refuses options that versions of transformers read differently in families whose layers turn
/// differently.
fn check_versions(
    json: &JsonConfig,
    path: &str,
    object: &Map<String, Value>,
    kind: Option<&str>,
) -> Result<(), LoadError> {
    let is_flat = !path.contains('.');
    if let (Some(kind), true, None) = (kind, is_flat, object.get("rope_type")) {
        return Err(json.invalid(format!(
            "{path}.type is {kind}: transformers 5 reads only rope_type here: rename the field to \
             {path}.rope_type"
        )));
    }
    match object.get("truncate") {
        Some(Value::Bool(false)) => Err(json.invalid(format!(
            "{path}.truncate is false: transformers 5 uses true if layers turn differently: remove \
             the field"
        ))),
        _ => Ok(()),
    }
}

fn read_scaling(
    json: &JsonConfig,
    path: &str,
    kind: &str,
    mut rest: Map<String, Value>,
    longest: usize,
) -> Result<RopeScaling, LoadError> {
    if matches!(kind, "llama3" | "longrope" | "yarn") {
        // A Phi-3 has a default length if its folder names none, and the default takes precedence.
        let own = (kind == "longrope").then(|| json!(4096));
        let top = json.value(ORIGINAL).or(own.as_ref());
        if let (Some(top), Some(own)) = (top, rest.get(ORIGINAL))
            && top != own
        {
            return Err(json.invalid(format!(
                "{ORIGINAL} = {top}, but {path}.{ORIGINAL} = {own}: keep the one that the model \
                 was trained with"
            )));
        }
        let length = top.cloned().unwrap_or(json!(longest));
        rest.entry(ORIGINAL).or_insert(length);
    }
    rest.insert("rope_type".to_owned(), json!(kind));
    serde_json::from_value(Value::Object(rest))
        .map_err(|error| json.invalid(format!("{path} ({kind}): {error}")))
}
