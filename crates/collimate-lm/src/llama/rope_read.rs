//! Rotary positions, wherever a folder writes them.

use collimate_nn::LoadError;
use serde_json::{Map, Value, json};

use super::rope::RopeScaling;
use crate::hf::JsonConfig;

const THETA: &str = "rope_theta";
const ORIGINAL: &str = "original_max_position_embeddings";
const KINDS: &str = "rope_type default, linear, dynamic, llama3, yarn";

/// Base and scaling of the rotary frequencies.
pub(super) struct Rope {
    pub(super) theta: f64,
    pub(super) scaling: Option<RopeScaling>,
}

/// One object's base and scaling, with the object's path.
struct Place {
    path: String,
    theta: Option<f64>,
    scaling: Option<RopeScaling>,
}

/// Reads `rope_theta`, `rope_scaling` and `rope_parameters`, whose entries may be nested by kind of
/// layer. Places that disagree are refused, and so is everything that is not understood. Without
/// any base the family's own is taken; without an original length, the longest sequence.
pub(super) fn read_rope(json: &JsonConfig, absent: f64, longest: usize) -> Result<Rope, LoadError> {
    let mut places: Vec<Place> = Vec::new();
    for key in ["rope_scaling", "rope_parameters"] {
        let Some(object) = json.object(key)? else {
            continue;
        };
        let is_nested = object.keys().any(|key| key.ends_with("_attention"));
        if !is_nested {
            places.push(read_object(json, key, object, longest)?);
            continue;
        }
        for (kind, value) in object {
            let key = format!("{key}.{kind}");
            match value {
                Value::Null => {}
                Value::Object(object) => places.push(read_object(json, &key, object, longest)?),
                other => return Err(json.invalid(format!("{key} is {other}: expected an object"))),
            }
        }
    }
    let mut scaling = None;
    if let Some(first) = places.first() {
        if let Some(other) = places.iter().find(|other| other.scaling != first.scaling) {
            return Err(json.invalid(format!(
                "{} and {} scale positions differently: keep the one that the model was trained \
                 with",
                first.path, other.path
            )));
        }
        scaling = first.scaling.clone();
    }
    let top: Option<f64> = json.get(THETA)?;
    let mut bases = top
        .map(|theta| (THETA.to_owned(), theta))
        .into_iter()
        .chain(
            places
                .iter()
                .filter_map(|place| Some((format!("{}.{THETA}", place.path), place.theta?))),
        );
    let Some((first, theta)) = bases.next() else {
        return Ok(Rope {
            theta: absent,
            scaling,
        });
    };
    match bases.find(|(_, other)| *other != theta) {
        None => Ok(Rope { theta, scaling }),
        Some((key, other)) => Err(json.invalid(format!(
            "{first} = {theta}, but {key} = {other}: keep the one that the model was trained with"
        ))),
    }
}

/// The kind that one object names.
fn read_kind(
    json: &JsonConfig,
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
    match found.as_deref() {
        None | Some("default") => Ok(None),
        Some("linear" | "dynamic" | "llama3" | "yarn") => Ok(found),
        Some(kind) => Err(json.unsupported(format!("rope scaling {kind}"), KINDS)),
    }
}

fn read_object(
    json: &JsonConfig,
    path: &str,
    object: &Map<String, Value>,
    longest: usize,
) -> Result<Place, LoadError> {
    let kind = read_kind(json, path, object)?;
    let mut theta = None;
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
            "partial_rotary_factor" if number == Some(1.0) => {}
            "factor" | "attention_factor" if kind.is_none() && number == Some(1.0) => {}
            // A length alone scales nothing.
            ORIGINAL if kind.is_none() => {}
            "partial_rotary_factor" | "mrope_section" => {
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
        scaling,
    })
}

fn read_scaling(
    json: &JsonConfig,
    path: &str,
    kind: &str,
    mut rest: Map<String, Value>,
    longest: usize,
) -> Result<RopeScaling, LoadError> {
    if matches!(kind, "llama3" | "yarn") {
        let top = json.value(ORIGINAL);
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
