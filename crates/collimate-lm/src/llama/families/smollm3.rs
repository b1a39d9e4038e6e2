//! SmolLM3: some layers have no rotary positions, and some may have a window.

use serde_json::json;

use super::{Absent, Design, Family, Keys, LlamaConfig, ModelType, Names, RopeRules, windows};

const LAYERS: &str = "no_rope_layers";
const INTERVAL: &str = "no_rope_layer_interval";

pub(super) const FAMILY: Family = Family {
    kind: ModelType::SmolLm3,
    model_type: "smollm3",
    class: "SmolLM3",
    may: &[
        "head_dim",
        "attention_bias",
        "layer_types",
        "mlp_bias",
        LAYERS,
        "sliding_window",
    ],
    must: &[],
    own_keys: &[LAYERS, INTERVAL],
    absent: Absent {
        max_position_embeddings: 32_768,
        num_key_value_heads: Some(4),
        tie_word_embeddings: true,
        ..Absent::LLAMA
    },
    design: Design::LLAMA,
    activations: &["silu", "swish"],
    keys: Keys::LLAMA,
    names: Names::LLAMA,
    rope: RopeRules::plain(2e6),
    has_reward: true,
    read: |json, mut config| {
        config.attention_bias = json.get("attention_bias")?.unwrap_or(false);
        config.mlp_bias = json.get("mlp_bias")?.unwrap_or(false);
        let layers = windows::countable(json, config.num_hidden_layers)?;
        let interval: usize = json.get(INTERVAL)?.unwrap_or(4);
        if interval == 0 {
            return Err(json.invalid(format!("{INTERVAL} is 0 but must be at least 1")));
        }
        let every = (1..=layers).map(|n| u8::from(!n.is_multiple_of(interval)));
        let turns: Option<Vec<u8>> = json.get(LAYERS)?;
        let turns = turns.unwrap_or_else(|| every.collect());
        let config = windows::per_layer(json, config, None, |layer| turns.get(layer) == Some(&0))?;
        let all = turns.len() == layers && turns.iter().all(|&on| on == 1);
        Ok(LlamaConfig {
            no_rope_layers: (!all).then_some(turns),
            ..config
        })
    },
    write: |config, json| {
        if config.head_dim.is_none() {
            json.remove("head_dim");
        }
        // An absent list would switch off the positions of every fourth layer.
        let turns = config.no_rope_layers.clone();
        let turns = turns.unwrap_or_else(|| vec![1; config.num_hidden_layers]);
        json.insert(LAYERS.to_owned(), json!(turns));
        windows::write(config, json);
    },
};
