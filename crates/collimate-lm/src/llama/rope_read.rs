//! Reading of rotary positions from all places where a folder may write them.

use collimate_nn::LoadError;
use serde_json::Value;

use super::rope::{LayerRope, RopeScaling};
use super::rope_object::{PARTIAL, Place, THETA, read_object};
use crate::hf::JsonConfig;

/// Rules of a family: the places of its rotary positions, and their allowed forms.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RopeRules {
    /// Key of the base outside the objects.
    theta: &'static str,
    /// Base if the folder names none.
    absent: f64,
    /// Key and default of the fraction of a head that turns; `None` means that the whole head
    /// turns.
    pub(super) partial: Option<(&'static str, f64)>,
    /// Rotary positions of sliding layers, if they are separate.
    pub(super) sliding: Option<Sliding>,
    /// If true, positions are scaled by LongRoPE or not at all.
    pub(super) longrope: bool,
}

/// Rotary positions of sliding layers if the folder does not nest them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sliding {
    /// Key of the base; `None` means that the base is that of the other layers.
    theta: Option<&'static str>,
    absent: f64,
}

impl RopeRules {
    /// Returns rules with one rotary table and the key `rope_theta`.
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

/// Rotary positions read from a folder.
pub(super) struct Rope {
    /// Positions of all layers, or of the layers without a window.
    pub(super) all: LayerRope,
    /// Positions of sliding layers, if the family names them separately.
    pub(super) sliding: Option<LayerRope>,
    pub(super) partial: Option<f64>,
}

/// Reads `rope_theta`, `rope_scaling` and `rope_parameters`, whose entries may be nested by kind of
/// layer. Refuses places that disagree and everything that is not understood. Without a base, the
/// family's default is taken; without an original length, the longest sequence.
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

/// Reads the rotary positions of a family whose sliding layers have their own. Values outside the
/// nested objects belong to the other layers.
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

/// Returns the base and scaling on which all places agree.
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

/// Returns the fraction of a head that turns, or `None` if the whole head turns.
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

/// Returns the number given by a key and by other places, which must agree.
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
