//! Llama and Mistral folders of Hugging Face, in and out.

use std::path::Path;

use burn::tensor::Device;
use collimate_core::Key;
use collimate_nn::{
    Adaptable, HfFolder, HfReward, LoadError, Pooling, RewardParts, SaveError, ScalarHead,
};
use serde_json::{Value, json};

use super::config::LlamaConfig;
use super::model::Llama;
use crate::hf::{
    Architecture, ExtraTensor, JsonConfig, WeightFile, detect_architecture, save_weights,
    write_json,
};

const EMBEDDING: &str = "model.embed_tokens.weight";
const OUTPUT: &str = "lm_head.weight";
const SCORE: &str = "score.weight";

impl HfFolder for Llama {
    fn load(dir: &Path, device: &Device) -> Result<Self, LoadError> {
        let json = JsonConfig::read(dir)?;
        if detect_architecture(dir)? != Architecture::LlamaCausal {
            let name = json.architecture().unwrap_or_default();
            return Err(json.unsupported(
                format!("architecture {name} as a language model"),
                "LlamaForCausalLM, MistralForCausalLM",
            ));
        }
        let config = read_config(&json)?;
        let mut file = WeightFile::open(dir)?;
        load_weights(&config, &mut file, device, &json)
    }

    fn save(&self, dir: &Path) -> Result<(), SaveError> {
        let model = self.clone().merged();
        save_weights(&model, dir, |path| Some(path.to_owned()), Vec::new())?;
        write_json(
            &dir.join("config.json"),
            &to_json(self.config(), "ForCausalLM"),
        )
    }
}

impl HfReward for Llama {
    const DEFAULT_POOLING: Pooling = Pooling::LastToken;
    const HEAD_BIAS: bool = false;

    fn load_reward(dir: &Path, device: &Device) -> Result<RewardParts<Self>, LoadError> {
        let json = JsonConfig::read(dir)?;
        let is_reward = match detect_architecture(dir)? {
            Architecture::LlamaReward => true,
            Architecture::LlamaCausal => false,
            Architecture::Bert => {
                return Err(json.unsupported(
                    "an encoder as a decoder reward model".to_owned(),
                    "LlamaForSequenceClassification, LlamaForCausalLM, and Mistral's",
                ));
            }
        };
        if is_reward {
            json.one_label()?;
        }
        // A reward model needs no output matrix.
        let config = LlamaConfig {
            tie_word_embeddings: true,
            ..read_config(&json)?
        };
        let mut file = WeightFile::open(dir)?;
        let backbone = load_weights(&config, &mut file, device, &json)?;
        let head = if is_reward {
            let blank =
                ScalarHead::new(config.hidden_size, false, 0.0, Key::new(0, "blank"), device);
            Some(file.fill(blank, |_| vec![SCORE.to_owned()])?)
        } else {
            None
        };
        Ok(RewardParts {
            backbone,
            head,
            pooling: Pooling::LastToken,
        })
    }

    fn save_reward(
        &self,
        head: &ScalarHead,
        pooling: Pooling,
        pad_token_id: Option<u32>,
        _max_length: usize,
        dir: &Path,
    ) -> Result<(), SaveError> {
        if pooling != Pooling::LastToken || head.bias.is_some() {
            return Err(SaveError::Serialize {
                path: dir.to_owned(),
                message: "LlamaForSequenceClassification reads the last token and has no bias: \
                          use pooling last_token and a head without bias"
                    .to_owned(),
            });
        }
        let model = self.clone().merged();
        let weight = head.weight.val();
        let score = ExtraTensor {
            name: SCORE.to_owned(),
            shape: weight.dims().to_vec(),
            values: weight.into_data().iter::<f32>().collect(),
        };
        let keep = |path: &str| (path != OUTPUT).then(|| path.to_owned());
        save_weights(&model, dir, keep, vec![score])?;
        let mut json = to_json(self.config(), "ForSequenceClassification");
        json["num_labels"] = json!(1);
        json["id2label"] = json!({"0": "reward"});
        json["label2id"] = json!({"reward": 0});
        json["problem_type"] = json!("regression");
        // Transformers scores the last token that is not padding: the id must not end a text.
        let config = self.config();
        json["pad_token_id"] = json!(pad_token_id.or(config.pad_token_id).or(config.bos_token_id));
        write_json(&dir.join("config.json"), &json)
    }
}

fn load_weights(
    config: &LlamaConfig,
    file: &mut WeightFile,
    device: &Device,
    json: &JsonConfig,
) -> Result<Llama, LoadError> {
    let blank = Llama::blank(config, device).map_err(|e| json.invalid(e))?;
    // A tied checkpoint may hold the shared matrix under either name.
    let tied = config.tie_word_embeddings;
    let model = file.fill(blank, |path| {
        let mut names = vec![path.to_owned()];
        if tied && path == EMBEDDING {
            names.push(OUTPUT.to_owned());
        }
        // Checkpoints of the bare model carry no prefix.
        if let Some(bare) = path.strip_prefix("model.") {
            names.push(bare.to_owned());
        }
        names
    })?;
    // A weight that the architecture has no place for (a bias that config.json does not announce,
    // a layer too many) would be left out of the function without a word.
    let known = |name: &str| {
        name == OUTPUT || name == SCORE || name == EMBEDDING || name.ends_with("inv_freq")
    };
    file.only(known)?;
    Ok(model)
}

/// The window of all layers, `None` without one. Variants that would mean another function are
/// refused.
fn read_window(json: &JsonConfig, mistral: bool) -> Result<Option<usize>, LoadError> {
    let refuse = |what: String| {
        let supported = "one sliding_window for all layers of model_type mistral";
        Err(json.unsupported(what, supported))
    };
    let switch: Option<bool> = json.get("use_sliding_window")?;
    let window = match (json.get("sliding_window")?, switch) {
        // A Llama made of a Qwen2 may name a window that it switches off.
        (_, Some(false)) if !mistral => None,
        (_, Some(on)) => return refuse(format!("use_sliding_window = {on}")),
        (Some(window), None) if !mistral => {
            return refuse(format!("sliding_window = {window} in a Llama"));
        }
        // What transformers takes where a Mistral says nothing; null says that there is none.
        (None, None) if mistral && !json.has("sliding_window") => Some(4096),
        (window, None) => window,
    };
    let kind = match window {
        Some(_) => "sliding_attention",
        None => "full_attention",
    };
    let kinds: Vec<String> = json.get("layer_types")?.unwrap_or_default();
    if let Some(other) = kinds.iter().find(|other| *other != kind) {
        return refuse(format!("layer_types with {other} beside {kind}"));
    }
    Ok(window)
}

fn read_config(json: &JsonConfig) -> Result<LlamaConfig, LoadError> {
    let mistral = json.string("model_type")?.as_deref() == Some("mistral");
    let sliding_window = read_window(json, mistral)?;
    for key in ["attention_bias", "mlp_bias"] {
        if mistral && json.get(key)? == Some(true) {
            return Err(json.unsupported(format!("{key} = true in a Mistral"), "no biases"));
        }
    }
    json.only("hidden_act", &["silu", "swish"])?;
    let scaling = json.object("rope_scaling");
    let parameters = json.object("rope_parameters");
    for object in [scaling, parameters].into_iter().flatten() {
        let kind = object
            .get("rope_type")
            .or_else(|| object.get("type"))
            .and_then(Value::as_str)
            .unwrap_or("default");
        if kind != "default" {
            return Err(
                json.unsupported(format!("rope scaling {kind}"), "none (rope_type default)")
            );
        }
    }
    let theta = match parameters
        .and_then(|p| p.get("rope_theta"))
        .and_then(Value::as_f64)
    {
        Some(theta) => theta,
        None => json.get("rope_theta")?.unwrap_or(1e4),
    };
    let hidden: usize = json.require("hidden_size")?;
    let heads: usize = json.require("num_attention_heads")?;
    let config = LlamaConfig {
        vocab_size: json.require("vocab_size")?,
        hidden_size: hidden,
        intermediate_size: json.require("intermediate_size")?,
        num_hidden_layers: json.require("num_hidden_layers")?,
        num_attention_heads: heads,
        num_key_value_heads: match json.get("num_key_value_heads")? {
            Some(count) => count,
            None if mistral && !json.has("num_key_value_heads") => 8,
            None => heads,
        },
        // Folders may spell out the size that follows from the others.
        head_dim: json
            .get("head_dim")?
            .filter(|&d: &usize| d.checked_mul(heads) != Some(hidden)),
        max_position_embeddings: match json.get("max_position_embeddings")? {
            Some(length) => length,
            None if mistral => 131_072,
            None => 2048,
        },
        rms_norm_eps: json.get("rms_norm_eps")?.unwrap_or(1e-6),
        sliding_window,
        rope_theta: theta,
        tie_word_embeddings: json.get("tie_word_embeddings")?.unwrap_or(false),
        attention_bias: json.get("attention_bias")?.unwrap_or(false),
        mlp_bias: json.get("mlp_bias")?.unwrap_or(false),
        initializer_range: json.get("initializer_range")?.unwrap_or(0.02),
        bos_token_id: json.token_id("bos_token_id")?,
        eos_token_id: json.token_id("eos_token_id")?,
        pad_token_id: json.token_id("pad_token_id")?,
    };
    config.check().map_err(|error| json.invalid(error))?;
    Ok(config)
}

/// `config.json` of the family's class that ends in `task`. Keys that the family does not know are
/// left out.
fn to_json(config: &LlamaConfig, task: &str) -> Value {
    let (family, model_type, unknown) = match config.sliding_window {
        None => ("Llama", "llama", &[][..]),
        Some(_) => ("Mistral", "mistral", &["attention_bias", "mlp_bias"][..]),
    };
    let mut json = serde_json::to_value(config).unwrap_or_default();
    if let Value::Object(map) = &mut json {
        map.retain(|key, _| !unknown.contains(&key.as_str()));
    }
    json["architectures"] = json!([format!("{family}{task}")]);
    json["model_type"] = json!(model_type);
    json["hidden_act"] = json!("silu");
    json["head_dim"] = json!(config.head_dim());
    json["rope_scaling"] = Value::Null;
    json["torch_dtype"] = json!("float32");
    json["use_cache"] = json!(true);
    json
}
