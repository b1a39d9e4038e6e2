//! `adapter_config.json`: the options of an adapter, read and checked.

use std::collections::BTreeMap;

use collimate_nn::{LoadError, LoraConfig, LoraScaling};
use serde_json::Value;

use crate::hf::JsonConfig;

/// Options that change the result and that this crate refuses.
const REFUSED: [(&str, f64); 13] = [
    ("alora_invocation_tokens", 0.0),
    ("arrow_config", 0.0),
    ("kasa_config", 0.0),
    ("layer_replication", 0.0),
    ("lora_bias", 0.0),
    ("megatron_config", 0.0),
    ("monteclora_config", 0.0),
    ("target_parameters", 0.0),
    ("trainable_token_indices", 0.0),
    ("use_bdlora", 0.0),
    ("use_dora", 0.0),
    ("use_qalora", 0.0),
    ("velora_config", 0.0),
];

/// Options that are read, or that change nothing after training.
const KNOWN: [&str; 29] = [
    "alpha_pattern",
    "auto_mapping",
    "base_model_name_or_path",
    "bias",
    "corda_config",
    "ensure_weight_tying",
    "eva_config",
    "exclude_modules",
    "fan_in_fan_out",
    "inference_mode",
    "init_lora_weights",
    "layers_pattern",
    "layers_to_transform",
    "loftq_config",
    "lora_alpha",
    "lora_dropout",
    "lora_ga_config",
    "megatron_core",
    "modules_to_save",
    "peft_type",
    "peft_version",
    "qalora_group_size",
    "r",
    "rank_pattern",
    "revision",
    "runtime_config",
    "target_modules",
    "task_type",
    "use_rslora",
];

/// Initialisations that change the weights of the base model, so that the adapter does not fit the
/// weights as they are.
const CHANGING: [&str; 5] = ["corda", "loftq", "lora_ga", "olora", "pissa"];

/// Options of an adapter.
pub(super) struct Options {
    pub(super) lora: LoraConfig,
    /// True if every target layer of the model must have an adapter.
    pub(super) complete: bool,
}

impl Options {
    /// Reads the options, and refuses those that are not implemented.
    pub(super) fn read(json: &JsonConfig) -> Result<Self, LoadError> {
        json.only("peft_type", &["LORA"])?;
        let _: String = json.require("peft_type")?;
        json.only("bias", &["none"])?;
        json.neutral(&REFUSED)?;
        for (key, value) in json.map() {
            let known =
                KNOWN.contains(&key.as_str()) || REFUSED.iter().any(|(name, _)| name == key);
            if !known && !is_nothing(value) {
                return Err(json.unsupported(
                    format!("{key} = {value}"),
                    "options of LoRA as PEFT 0.21 writes them",
                ));
            }
        }
        if let Some(Value::String(name)) = json.value("init_lora_weights")
            && CHANGING.iter().any(|kind| name.starts_with(kind))
        {
            return Err(json.unsupported(
                format!("init_lora_weights = {name}, which changes the base model"),
                "adapters for an unchanged base model: convert with PEFT's \
                 path_initial_model_for_weight_conversion",
            ));
        }
        let rank: usize = json.require("r")?;
        let alpha: f64 = json.get("lora_alpha")?.unwrap_or(8.0);
        let rank_pattern: Option<BTreeMap<String, usize>> = json.get("rank_pattern")?;
        let alpha_pattern: Option<BTreeMap<String, f64>> = json.get("alpha_pattern")?;
        let (targets, target_pattern) = match json.value("target_modules") {
            Some(Value::String(all)) if all.eq_ignore_ascii_case("all-linear") => {
                (vec![all.clone()], None)
            }
            Some(Value::String(pattern)) => (Vec::new(), Some(pattern.clone())),
            _ => (json.require("target_modules")?, None),
        };
        let named = |key: &str| -> Result<Vec<String>, LoadError> {
            Ok(match json.value(key) {
                Some(Value::Array(_)) => json.get(key)?.unwrap_or_default(),
                _ => Vec::new(),
            })
        };
        let exclude = [named("exclude_modules")?, named("modules_to_save")?].concat();
        // A choice of layers by number, or by an expression, only removes targets.
        let chosen = json.value("layers_to_transform").is_some()
            || json.value("exclude_modules").is_some_and(Value::is_string);
        let lora = LoraConfig {
            rank,
            alpha,
            dropout: 0.0,
            scaling: match json.get("use_rslora")?.unwrap_or(false) {
                true => LoraScaling::RankStabilised,
                false => LoraScaling::Standard,
            },
            targets,
            target_pattern,
            exclude,
            rank_pattern: rank_pattern.unwrap_or_default(),
            alpha_pattern: alpha_pattern.unwrap_or_default(),
        };
        lora.check().map_err(|error| json.invalid(error))?;
        Ok(Self {
            lora,
            complete: !chosen,
        })
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}
