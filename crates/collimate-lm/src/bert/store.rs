//! BERT folders of Hugging Face and sentence-transformers, in and out.

use std::path::Path;

use burn::tensor::Device;
use collimate_nn::{
    Adaptable, Backbone, HfFolder, HfReward, LoadError, Pooling, RewardParts, SaveError, ScalarHead,
};
use serde_json::{Value, json};

use super::config::BertConfig;
use super::model::Bert;
use super::sentence::{self, Modules};
use crate::hf::{Architecture, JsonConfig, Kept, LeftOut, Weights, prepare, save_weights};

const CLASSIFIER: &str = "BertForSequenceClassification";

/// Options that make another function of the encoder, and the value that changes nothing.
const FOREIGN: [(&str, f64); 4] = [
    ("add_cross_attention", 0.0),
    ("feed_forward_type", f64::NAN),
    ("is_decoder", 0.0),
    ("pruned_heads", 0.0),
];

impl HfFolder for Bert {
    fn load(dir: &Path, device: &Device) -> Result<Self, LoadError> {
        let json = JsonConfig::read(dir)?;
        let name = json.architecture()?.unwrap_or_default();
        if json.kind()? != Architecture::Bert {
            return Err(json.unsupported(format!("architecture {name} as an encoder"), "BertModel"));
        }
        let config = read_config(&json)?;
        let kept = Kept::read(dir, &json)?;
        let weights = Weights::open(dir)?;
        let prefix = if weights.contains("bert.embeddings.word_embeddings.weight") {
            "bert."
        } else {
            ""
        };
        let found = weights.find(config.parameters(), |path| {
            vec![format!("{prefix}{}", hf_name(path))]
        })?;
        let classifier = name == CLASSIFIER;
        // Pooler and heads are no part of the encoder, index buffers of no function; anything else
        // (a layer too many) would be left out of the function without a word.
        weights.left_out(&[&found], |name| {
            let bare = name.strip_prefix("bert.").unwrap_or(name);
            let head = bare.starts_with("pooler.")
                || bare.starts_with("cls.")
                || (classifier && bare.starts_with("classifier."));
            match head {
                true => Some(LeftOut::Told),
                false => bare.ends_with("position_ids").then_some(LeftOut::Buffer),
            }
        })?;
        let blank = Bert::blank(&config, device).map_err(|e| json.invalid(e))?;
        Ok(weights.fill(blank, &found)?.with_kept(kept))
    }

    fn save(&self, dir: &Path) -> Result<(), SaveError> {
        prepare(dir)?;
        let model = self.clone().merged();
        save_weights(&model, dir, |path| Some(hf_name(path)), Vec::new())?;
        self.kept().write(dir, to_json(self.config()))
    }

    fn context_length(&self) -> usize {
        self.max_positions()
    }
}

impl HfReward for Bert {
    const DEFAULT_POOLING: Pooling = Pooling::Mean;
    const HEAD_BIAS: bool = true;

    fn load_reward(dir: &Path, device: &Device) -> Result<RewardParts<Self>, LoadError> {
        let json = JsonConfig::read(dir)?;
        if json.architecture()?.as_deref() == Some(CLASSIFIER) {
            // Its head reads a pooler: taking the backbone alone would drop what was learned.
            return Err(json.unsupported(
                "the head of BertForSequenceClassification".to_owned(),
                "BertModel, or a sentence-transformers folder with a Dense layer of one output",
            ));
        }
        let backbone = Self::load(dir, device)?;
        let modules = Modules::read(dir)?;
        sentence::tell_text_rules(dir)?;
        let pooling = modules.pooling(dir, Self::DEFAULT_POOLING)?;
        let head = modules.head(dir, backbone.config().hidden_size, device)?;
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
        sentence::write(dir, head, pooling, self.config().hidden_size, max_length)
    }
}

/// A parameter's name in Hugging Face files.
fn hf_name(path: &str) -> String {
    path.replace("self_", "self")
        .replace("layer_norm", "LayerNorm")
}

fn read_config(json: &JsonConfig) -> Result<BertConfig, LoadError> {
    json.not_quantised()?;
    json.only("hidden_act", &["gelu"])?;
    json.only("position_embedding_type", &["absolute"])?;
    json.neutral(&FOREIGN)?;
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
