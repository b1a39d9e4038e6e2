//! Writing of rotary positions in families that do not write them as Llama does.

use serde_json::{Map, Value, json};

use super::LlamaConfig;
use crate::llama::rope::LayerRope;

const THETA: &str = "rope_theta";
const SCALING: &str = "rope_scaling";
const PARAMETERS: &str = "rope_parameters";

/// Writes a single `rope_parameters`.
pub(super) fn parameters(config: &LlamaConfig, json: &mut Map<String, Value>) {
    let rope = config.ropes().swap_remove(0);
    json.insert(PARAMETERS.to_owned(), object(&rope));
    json.remove(THETA);
    json.remove(SCALING);
}

/// Writes rotary positions of full and of sliding layers. Uses the form of older versions of
/// transformers if it can express them, otherwise the nested form. `local` is the older key of the
/// sliding layers' base. Without such a key, their base is that of the other layers.
pub(super) fn by_kind(config: &LlamaConfig, json: &mut Map<String, Value>, local: Option<&str>) {
    let ropes = config.ropes();
    let [full, sliding] = [&ropes[0], ropes.last().unwrap_or(&ropes[0])];
    match (local, sliding) {
        (
            Some(key),
            LayerRope {
                rope_theta,
                rope_scaling: None,
            },
        ) => {
            json.insert(key.to_owned(), json!(rope_theta));
        }
        _ => {
            let nested =
                json!({"full_attention": object(full), "sliding_attention": object(sliding)});
            json.insert(PARAMETERS.to_owned(), nested);
            json.remove(THETA);
            json.remove(SCALING);
            if let Some(key) = local {
                json.remove(key);
            }
        }
    }
}

fn object(rope: &LayerRope) -> Value {
    let mut object = match &rope.rope_scaling {
        Some(scaling) => json!(scaling),
        None => json!({"rope_type": "default"}),
    };
    object[THETA] = json!(rope.rope_theta);
    object
}
