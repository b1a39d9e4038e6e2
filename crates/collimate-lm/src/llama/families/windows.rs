//! Reading and writing of windows of all layers or of some layers.

use collimate_nn::LoadError;
use serde_json::{Map, Value, json};

use super::LlamaConfig;
use crate::bounds::MOST_LAYERS;
use crate::hf::JsonConfig;
use crate::llama::layer::LayerKind;

const WINDOW: &str = "sliding_window";
const SWITCH: &str = "use_sliding_window";
const KINDS: &str = "layer_types";

/// Reads the window of all layers, or `None` if there is none. `absent` is the window of a folder
/// without the key. Variants that would mean another function are refused.
pub(super) fn uniform(
    json: &JsonConfig,
    layers: usize,
    has_windows: bool,
    absent: Option<usize>,
) -> Result<Option<usize>, LoadError> {
    let refuse = |what: String| {
        let supported = match has_windows {
            true => "one sliding_window for all layers",
            false => "one sliding_window for all layers of model_type mistral",
        };
        Err(json.unsupported(what, supported))
    };
    let switch: Option<bool> = json.get(SWITCH)?;
    let window = match (json.get(WINDOW)?, switch) {
        // A Llama converted from a Qwen2 may name a window and switch it off.
        (_, Some(false)) if !has_windows => None,
        (_, Some(on)) => return refuse(format!("{SWITCH} = {on}")),
        (Some(window), None) if !has_windows => {
            return refuse(format!("{WINDOW} = {window} in a Llama"));
        }
        // An explicit null means that there is no window.
        (None, None) if !json.has(WINDOW) => absent,
        (window, None) => window,
    };
    let kind = match window {
        Some(_) => "sliding_attention",
        None => "full_attention",
    };
    let kinds: Option<Vec<String>> = json.get(KINDS)?;
    let kinds = kinds.unwrap_or_default();
    if json.value(KINDS).is_some() && kinds.len() != layers {
        return Err(json.invalid(format!(
            "{KINDS} names {} layers, but num_hidden_layers = {layers}",
            kinds.len()
        )));
    }
    if let Some(other) = kinds.iter().find(|other| *other != kind) {
        return refuse(format!("{KINDS} with {other} beside {kind}"));
    }
    Ok(window)
}

/// Reads the windows of a Qwen. If they are switched on, the layers from `max_window_layers` on
/// have them.
pub(super) fn of_late_layers(
    json: &JsonConfig,
    config: LlamaConfig,
) -> Result<LlamaConfig, LoadError> {
    let first: usize = json.get("max_window_layers")?.unwrap_or(28);
    per_layer(json, config, Some(4096), |layer| layer >= first)
}

/// Reads windows that `use_sliding_window` switches on. The layers with windows are those that
/// `layer_types` names, else those that `slides` names. `absent` is the window if no key names one.
pub(super) fn per_layer(
    json: &JsonConfig,
    config: LlamaConfig,
    absent: Option<usize>,
    slides: impl Fn(usize) -> bool,
) -> Result<LlamaConfig, LoadError> {
    let on = json.get(SWITCH)?.unwrap_or(false);
    let window = named_window(json, absent)?.filter(|_| on);
    layers(json, config, window, slides)
}

/// Reads the windows of a family without a switch. The layers with windows are those that
/// `layer_types` names, else those that `slides` names.
pub(super) fn always(
    json: &JsonConfig,
    config: LlamaConfig,
    absent: usize,
    slides: impl Fn(usize) -> bool,
) -> Result<LlamaConfig, LoadError> {
    let window = named_window(json, Some(absent))?;
    let is_named = json.value(KINDS).is_some();
    let count = countable(json, config.num_hidden_layers)?;
    if window.is_none() && !is_named && (0..count).any(&slides) {
        return Err(json.invalid(format!(
            "{WINDOW} = null, but this family has sliding layers unless {KINDS} says otherwise: \
             keep the values that the model was trained with"
        )));
    }
    layers(json, config, window, slides)
}

fn named_window(json: &JsonConfig, absent: Option<usize>) -> Result<Option<usize>, LoadError> {
    match json.has(WINDOW) {
        true => json.get(WINDOW),
        false => Ok(absent),
    }
}

fn layers(
    json: &JsonConfig,
    config: LlamaConfig,
    window: Option<usize>,
    slides: impl Fn(usize) -> bool,
) -> Result<LlamaConfig, LoadError> {
    let layers = config.num_hidden_layers;
    let named: Option<Vec<String>> = json.get(KINDS)?;
    let kinds: Vec<LayerKind> = match (named, window) {
        (Some(names), _) => {
            let kinds = names.into_iter().map(|name| read_kind(json, name));
            kinds.collect::<Result<_, _>>()?
        }
        (None, None) => return Ok(config),
        (None, Some(_)) => (0..countable(json, layers)?)
            .map(|layer| match slides(layer) {
                true => LayerKind::SlidingAttention,
                false => LayerKind::FullAttention,
            })
            .collect(),
    };
    if kinds.len() != layers {
        return Err(json.invalid(format!(
            "{KINDS} names {} layers, but num_hidden_layers = {layers}",
            kinds.len()
        )));
    }
    let sliding = kinds
        .iter()
        .filter(|kind| **kind == LayerKind::SlidingAttention);
    match (sliding.count(), window) {
        (0, _) => Ok(config),
        (_, None) => Err(json.invalid(format!(
            "{KINDS} has sliding_attention, but {SWITCH} = {} and {WINDOW} = {} give no window: \
             keep the values that the model was trained with",
            json.value(SWITCH).unwrap_or(&Value::Null),
            json.value(WINDOW).unwrap_or(&Value::Null)
        ))),
        (count, Some(_)) => Ok(LlamaConfig {
            sliding_window: window,
            layer_types: (count < layers).then_some(kinds),
            ..config
        }),
    }
}

fn read_kind(json: &JsonConfig, name: String) -> Result<LayerKind, LoadError> {
    serde_json::from_value(json!(name)).map_err(|_| {
        json.unsupported(
            format!("{KINDS} with {name}"),
            "full_attention, sliding_attention",
        )
    })
}

/// Returns the number of layers, if it is small enough for a list with an entry for each.
pub(super) fn countable(json: &JsonConfig, layers: usize) -> Result<usize, LoadError> {
    match layers {
        0..=MOST_LAYERS => Ok(layers),
        _ => Err(json.invalid(format!(
            "num_hidden_layers is {layers} but must be at most {MOST_LAYERS} if layers differ"
        ))),
    }
}

/// Writes the windows. A configuration without windows leaves the keys of the folder unchanged.
pub(super) fn write(config: &LlamaConfig, json: &mut Map<String, Value>) {
    if config.sliding_window.is_some() {
        let all = || vec![LayerKind::SlidingAttention; config.num_hidden_layers];
        let kinds = config.layer_types.clone().unwrap_or_else(all);
        json.insert(SWITCH.to_owned(), json!(true));
        json.insert(KINDS.to_owned(), json!(kinds));
    }
}

/// Writes the windows of a family without a switch, in which absent keys would mean windows.
pub(super) fn write_always(config: &LlamaConfig, json: &mut Map<String, Value>) {
    let kind = match config.sliding_window {
        Some(_) => LayerKind::SlidingAttention,
        None => LayerKind::FullAttention,
    };
    let all = || vec![kind; config.num_hidden_layers];
    let kinds = config.layer_types.clone().unwrap_or_else(all);
    json.insert(WINDOW.to_owned(), json!(config.sliding_window));
    json.insert(KINDS.to_owned(), json!(kinds));
}
