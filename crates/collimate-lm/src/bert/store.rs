//! BERT folders of Hugging Face and sentence-transformers, in and out.

use std::path::Path;

use burn::tensor::Device;
use collimate_core::Key;
use collimate_nn::{
    Adaptable, HfFolder, HfReward, LoadError, Pooling, RewardParts, SaveError, ScalarHead,
};
use serde_json::{Value, json};

use super::config::BertConfig;
use super::model::Bert;
use crate::hf::{
    Architecture, ExtraTensor, JsonConfig, WeightFile, detect_architecture, save_weights,
    write_json, write_tensors,
};

const CLASSIFIER: &str = "BertForSequenceClassification";
const MODULES: &str = "modules.json";
const POOLING: &str = "1_Pooling";
const DENSE: &str = "2_Dense";

impl HfFolder for Bert {
    fn load(dir: &Path, device: &Device) -> Result<Self, LoadError> {
        let json = JsonConfig::read(dir)?;
        if detect_architecture(dir)? != Architecture::Bert {
            let name = json.architecture().unwrap_or_default();
            return Err(json.unsupported(format!("architecture {name} as an encoder"), "BertModel"));
        }
        let config = read_config(&json)?;
        let blank = Bert::blank(&config, device).map_err(|e| json.invalid(e))?;
        let mut file = WeightFile::open(dir)?;
        let prefix = if file.contains("bert.embeddings.word_embeddings.weight") {
            "bert."
        } else {
            ""
        };
        let model = file.fill(blank, |path| vec![format!("{prefix}{}", hf_name(path))])?;
        // Pooler, heads of pretraining and index buffers are no part of the encoder; anything else
        // (a layer too many) would be left out of the function without a word.
        let classifier = json.architecture().as_deref() == Some(CLASSIFIER);
        file.only(|name| {
            let bare = name.strip_prefix("bert.").unwrap_or(name);
            bare.starts_with("pooler.")
                || bare.starts_with("cls.")
                || bare.ends_with("position_ids")
                || (classifier && bare.starts_with("classifier."))
        })?;
        Ok(model)
    }

    fn save(&self, dir: &Path) -> Result<(), SaveError> {
        let model = self.clone().merged();
        save_weights(&model, dir, |path| Some(hf_name(path)), Vec::new())?;
        write_json(&dir.join("config.json"), &to_json(self.config()))
    }
}

impl HfReward for Bert {
    const DEFAULT_POOLING: Pooling = Pooling::Mean;
    const HEAD_BIAS: bool = true;

    fn load_reward(dir: &Path, device: &Device) -> Result<RewardParts<Self>, LoadError> {
        let json = JsonConfig::read(dir)?;
        if json.architecture().as_deref() == Some(CLASSIFIER) {
            // Its head reads a pooler: taking the backbone alone would drop what was learned.
            return Err(json.unsupported(
                "the head of BertForSequenceClassification".to_owned(),
                "BertModel, or a sentence-transformers folder with a Dense layer of one output",
            ));
        }
        let backbone = Self::load(dir, device)?;
        let pooling = read_pooling(dir)?;
        let head_file = dir.join(DENSE).join("model.safetensors");
        let head = if head_file.exists() {
            let width = backbone.config().hidden_size;
            check_dense(dir)?;
            let blank = ScalarHead::new(width, true, 0.0, Key::new(0, "blank"), device);
            let mut file = WeightFile::read(&head_file)?;
            let head = file.fill(blank, |path| vec![format!("linear.{path}")])?;
            file.only(|_| false)?;
            Some(head)
        } else {
            None
        };
        Ok(RewardParts {
            backbone,
            head,
            pooling,
        })
    }

    fn save_reward(
        &self,
        head: &ScalarHead,
        pooling: Pooling,
        _pad_token_id: Option<u32>,
        max_length: usize,
        dir: &Path,
    ) -> Result<(), SaveError> {
        self.save(dir)?;
        let width = self.config().hidden_size;
        let values = |tensor: burn::tensor::TensorData| tensor.iter::<f32>().collect();
        let bias = match &head.bias {
            Some(bias) => values(bias.val().into_data()),
            None => vec![0.0],
        };
        write_tensors(
            &dir.join(DENSE).join("model.safetensors"),
            &[
                ExtraTensor {
                    name: "linear.weight".to_owned(),
                    shape: vec![1, width],
                    values: values(head.weight.val().into_data()),
                },
                ExtraTensor {
                    name: "linear.bias".to_owned(),
                    shape: vec![1],
                    values: bias,
                },
            ],
        )?;
        write_json(
            &dir.join(DENSE).join("config.json"),
            &json!({
                "in_features": width, "out_features": 1, "bias": true,
                "activation_function": "torch.nn.modules.linear.Identity",
            }),
        )?;
        write_json(
            &dir.join(POOLING).join("config.json"),
            &json!({
                "word_embedding_dimension": width,
                "pooling_mode_cls_token": pooling == Pooling::Cls,
                "pooling_mode_mean_tokens": pooling == Pooling::Mean,
                "pooling_mode_max_tokens": false,
                "pooling_mode_mean_sqrt_len_tokens": false,
                "pooling_mode_weightedmean_tokens": false,
                "pooling_mode_lasttoken": pooling == Pooling::LastToken,
                "include_prompt": true,
            }),
        )?;
        write_json(
            &dir.join("sentence_bert_config.json"),
            &json!({"max_seq_length": max_length, "do_lower_case": false}),
        )?;
        write_json(
            &dir.join(MODULES),
            &json!([
                {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
                {"idx": 1, "name": "1", "path": POOLING, "type": "sentence_transformers.models.Pooling"},
                {"idx": 2, "name": "2", "path": DENSE, "type": "sentence_transformers.models.Dense"},
            ]),
        )
    }
}

/// A parameter's name in Hugging Face files.
fn hf_name(path: &str) -> String {
    path.replace("self_", "self")
        .replace("layer_norm", "LayerNorm")
}

fn read_pooling(dir: &Path) -> Result<Pooling, LoadError> {
    let path = dir.join(POOLING).join("config.json");
    if !path.exists() {
        return Ok(Bert::DEFAULT_POOLING);
    }
    let json = JsonConfig::read_file(path)?;
    // Newer writers name the mode, older ones set one flag per mode.
    if let Some(mode) = json.string("pooling_mode")? {
        return match mode.as_str() {
            "mean" => Ok(Pooling::Mean),
            "cls" => Ok(Pooling::Cls),
            "lasttoken" => Ok(Pooling::LastToken),
            other => Err(json.unsupported(format!("pooling {other}"), "mean, cls, lasttoken")),
        };
    }
    let mut found = Vec::new();
    for (key, pooling) in [
        ("pooling_mode_mean_tokens", Some(Pooling::Mean)),
        ("pooling_mode_cls_token", Some(Pooling::Cls)),
        ("pooling_mode_lasttoken", Some(Pooling::LastToken)),
        ("pooling_mode_max_tokens", None),
        ("pooling_mode_mean_sqrt_len_tokens", None),
        ("pooling_mode_weightedmean_tokens", None),
    ] {
        if json.get(key)?.unwrap_or(false) {
            found.push((key, pooling));
        }
    }
    // Several modes at once mean that their vectors are concatenated.
    if let [(_, Some(pooling))] = found[..] {
        return Ok(pooling);
    }
    let names: Vec<&str> = found.iter().map(|(key, _)| *key).collect();
    Err(json.unsupported(
        format!(
            "pooling with {}",
            if names.is_empty() {
                "no mode".to_owned()
            } else {
                names.join(" and ")
            }
        ),
        "one of mean, cls, lasttoken",
    ))
}

/// A head is a Dense layer with one output and no activation.
fn check_dense(dir: &Path) -> Result<(), LoadError> {
    let json = JsonConfig::read_file(dir.join(DENSE).join("config.json"))?;
    let outputs: usize = json.require("out_features")?;
    if outputs != 1 {
        return Err(json.unsupported(
            format!("out_features = {outputs}"),
            "a reward head, out_features = 1",
        ));
    }
    json.only("activation_function", &["torch.nn.modules.linear.Identity"])
}

fn read_config(json: &JsonConfig) -> Result<BertConfig, LoadError> {
    json.only("hidden_act", &["gelu"])?;
    json.only("position_embedding_type", &["absolute"])?;
    let default = BertConfig::default();
    let config = BertConfig {
        vocab_size: json.require("vocab_size")?,
        hidden_size: json.require("hidden_size")?,
        intermediate_size: json.require("intermediate_size")?,
        num_hidden_layers: json.require("num_hidden_layers")?,
        num_attention_heads: json.require("num_attention_heads")?,
        max_position_embeddings: json.require("max_position_embeddings")?,
        type_vocab_size: json.get("type_vocab_size")?.unwrap_or(2),
        layer_norm_eps: json
            .get("layer_norm_eps")?
            .unwrap_or(default.layer_norm_eps),
        hidden_dropout_prob: json
            .get("hidden_dropout_prob")?
            .unwrap_or(default.hidden_dropout_prob),
        initializer_range: json.get("initializer_range")?.unwrap_or(0.02),
        pad_token_id: json.token_id("pad_token_id")?,
    };
    config.check().map_err(|error| json.invalid(error))?;
    Ok(config)
}

fn to_json(config: &BertConfig) -> Value {
    let mut json = serde_json::to_value(config).unwrap_or_default();
    json["architectures"] = json!(["BertModel"]);
    json["model_type"] = json!("bert");
    json["hidden_act"] = json!("gelu");
    json["position_embedding_type"] = json!("absolute");
    json["attention_probs_dropout_prob"] = json!(config.hidden_dropout_prob);
    json["torch_dtype"] = json!("float32");
    json
}
