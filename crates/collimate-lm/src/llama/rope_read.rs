//! Rotary positions, wherever a folder writes them.

use collimate_nn::LoadError;
use serde_json::{Map, Value, json};

use super::rope::{LayerRope, RopeScaling};
use crate::hf::JsonConfig;

const THETA: &str = "rope_theta";
const ORIGINAL: &str = "original_max_position_embeddings";
const PARTIAL: &str = "partial_rotary_factor";
const KINDS: &str = "rope_type default, linear, dynamic, llama3, yarn";

/// Where a family writes its rotary positions, and what they may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RopeRules {
    /// Key of the base beside the objects.
    theta: &'static str,
    /// Base where the folder names none.
    absent: f64,
    /// Key and absent value of the share of a head that turns; `None`: all of it turns.
    partial: Option<(&'static str, f64)>,
    /// Sliding layers have rotary positions of their own.
    sliding: Option<Sliding>,
    /// Positions are scaled by LongRoPE or not at all.
    longrope: bool,
}

/// Rotary positions of sliding layers where the folder does not nest them.
#[derive(Debug, Clone, Copy)]
struct Sliding {
    /// Key of the base; `None`: the base is that of the other layers.
    theta: Option<&'static str>,
    absent: f64,
}

impl RopeRules {
    /// One rotary table, by `rope_theta`.
    pub(crate) const fn plain(absent: f64) -> Self {
        Self {
            theta: THETA,
            absent,
            partial: None,
            sliding: None,
            longrope: false,
        }
    }

    pub(crate) const GEMMA3: Self = Self {
        sliding: Some(Sliding {
            theta: Some("rope_local_base_freq"),
            absent: 1e4,
        }),
        ..Self::plain(1e6)
    };

    pub(crate) const OLMO3: Self = Self {
        sliding: Some(Sliding {
            theta: None,
            absent: 5e5,
        }),
        ..Self::plain(5e5)
    };

    pub(crate) const PHI3: Self = Self {
        partial: Some((PARTIAL, 1.0)),
        longrope: true,
        ..Self::plain(1e4)
    };

    pub(crate) const GPT_NEOX: Self = Self {
        theta: "rotary_emb_base",
        partial: Some(("rotary_pct", 0.25)),
        ..Self::plain(1e4)
    };
}

/// Rotary positions of a folder.
pub(super) struct Rope {
    /// Of all layers, or of those without a window.
    pub(super) all: LayerRope,
    /// Of sliding layers, where the family has them apart.
    pub(super) sliding: Option<LayerRope>,
    pub(super) partial: Option<f64>,
}

/// What one object says, with the object's path.
struct Place {
    path: String,
    theta: Option<f64>,
    partial: Option<f64>,
    scaling: Option<RopeScaling>,
}

/// Reads `rope_theta`, `rope_scaling` and `rope_parameters`, whose entries may be nested by kind of
/// layer. Places that disagree are refused, and so is everything that is not understood. Without
/// any base the family's own is taken; without an original length, the longest sequence.
pub(super) fn read_rope(
    json: &JsonConfig,
    rules: &RopeRules,
    longest: usize,
) -> Result<Rope, LoadError> {
    let (mut flat, mut nested) = (Vec::new(), Vec::new());
    for key in ["rope_scaling", "rope_parameters"] {
        let Some(object) = json.object(key)? else {
            continue;
        };
        let is_nested = object.keys().any(|key| key.ends_with("_attention"));
        if !is_nested {
            flat.push(read_object(json, rules, key, object, longest)?);
            continue;
        }
        for (kind, value) in object {
            let path = format!("{key}.{kind}");
            match value {
                Value::Null => {}
                Value::Object(object) => {
                    let place = read_object(json, rules, &path, object, longest)?;
                    nested.push((kind.clone(), place));
                }
                other => return Err(json.invalid(format!("{path} is {other}: expected an object"))),
            }
        }
    }
    match rules.sliding {
        Some(sliding) => by_kind(json, rules, sliding, flat, nested),
        None => {
            let nested = nested.into_iter().map(|(_, place)| place);
            let places: Vec<Place> = flat.into_iter().chain(nested).collect();
            let top: Option<f64> = json.get(rules.theta)?;
            let (theta, scaling) = agreed(json, rules.theta, top, &places)?;
            Ok(Rope {
                all: LayerRope {
                    rope_theta: theta.unwrap_or(rules.absent),
                    rope_scaling: scaling,
                },
                sliding: None,
                partial: agreed_part(json, rules, &places)?,
            })
        }
    }
}

/// Rotary positions of a family whose sliding layers have their own. Beside the objects stands what
/// belongs to the other layers.
fn by_kind(
    json: &JsonConfig,
    rules: &RopeRules,
    sliding: Sliding,
    flat: Vec<Place>,
    nested: Vec<(String, Place)>,
) -> Result<Rope, LoadError> {
    if let Some(place) = flat.iter().find(|place| place.path == "rope_parameters") {
        return Err(json.invalid(format!(
            "{} has no full_attention and sliding_attention: the layers of this family turn \
             differently, so write one object for each",
            place.path
        )));
    }
    let top: Option<f64> = json.get(rules.theta)?;
    let (mut full, mut short) = (flat, Vec::new());
    for (kind, place) in nested {
        match kind.as_str() {
            "full_attention" => full.push(place),
            "sliding_attention" => short.push(place),
            _ => {
                let what = place.path;
                return Err(json.unsupported(what, "full_attention, sliding_attention"));
            }
        }
    }
    let (theta, scaling) = agreed(json, rules.theta, top, &full)?;
    let all = LayerRope {
        rope_theta: theta.unwrap_or(rules.absent),
        rope_scaling: scaling,
    };
    let local: Option<f64> = match sliding.theta {
        Some(key) => json.get(key)?,
        None => None,
    };
    let (theta, scaling) = agreed(json, sliding.theta.unwrap_or(THETA), local, &short)?;
    if let (None, None, Some(base)) = (sliding.theta, theta, top)
        && base != sliding.absent
    {
        return Err(json.invalid(format!(
            "{THETA} = {base} without rope_parameters.sliding_attention: versions of transformers \
             take different bases for the sliding layers, so name theirs there"
        )));
    }
    Ok(Rope {
        all,
        sliding: Some(LayerRope {
            rope_theta: theta.unwrap_or(sliding.absent),
            rope_scaling: scaling,
        }),
        partial: None,
    })
}

/// Base and scaling that all places agree on.
fn agreed(
    json: &JsonConfig,
    key: &str,
    top: Option<f64>,
    places: &[Place],
) -> Result<(Option<f64>, Option<RopeScaling>), LoadError> {
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
    let named = |place: &Place| Some((format!("{}.{THETA}", place.path), place.theta?));
    let theta = one_number(json, (key, top), places.iter().filter_map(named))?;
    Ok((theta, scaling))
}

/// The share of a head that turns, where that is not all.
fn agreed_part(
    json: &JsonConfig,
    rules: &RopeRules,
    places: &[Place],
) -> Result<Option<f64>, LoadError> {
    let Some((key, absent)) = rules.partial else {
        return Ok(None);
    };
    let named = |place: &Place| Some((format!("{}.{PARTIAL}", place.path), place.partial?));
    let top: Option<f64> = json.get(key)?;
    let part = one_number(json, (key, top), places.iter().filter_map(named))?;
    Ok(Some(part.unwrap_or(absent)).filter(|&part| part != 1.0))
}

/// The number that a key and other places give; they must give the same.
fn one_number(
    json: &JsonConfig,
    (key, top): (&str, Option<f64>),
    others: impl Iterator<Item = (String, f64)>,
) -> Result<Option<f64>, LoadError> {
    let mut all = top
        .map(|value| (key.to_owned(), value))
        .into_iter()
        .chain(others);
    let Some((first, value)) = all.next() else {
        return Ok(None);
    };
    match all.find(|(_, other)| *other != value) {
        None => Ok(Some(value)),
        Some((key, other)) => Err(json.invalid(format!(
            "{first} = {value}, but {key} = {other}: keep the one that the model was trained with"
        ))),
    }
}

/// The kind that one object names.
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
            // Older folders of Phi-3 say su or yarn and mean the same.
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

fn read_object(
    json: &JsonConfig,
    rules: &RopeRules,
    path: &str,
    object: &Map<String, Value>,
    longest: usize,
) -> Result<Place, LoadError> {
    let kind = read_kind(json, rules, path, object)?;
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
            // A length alone scales nothing.
            ORIGINAL if kind.is_none() => {}
            // The longest sequence, repeated.
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

fn read_scaling(
    json: &JsonConfig,
    path: &str,
    kind: &str,
    mut rest: Map<String, Value>,
    longest: usize,
) -> Result<RopeScaling, LoadError> {
    if matches!(kind, "llama3" | "longrope" | "yarn") {
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
