//! Decoder folders of Hugging Face, in and out.

use std::path::Path;

use burn::tensor::Device;
use collimate_core::Key;
use collimate_nn::{
    Adaptable, Backbone, HfFolder, HfReward, LoadError, Pooling, RewardParts, SaveError, ScalarHead,
};
use serde_json::{Value, json};

use super::config::LlamaConfig;
use super::families::Family;
use super::model::Llama;
use super::read::read_config;
use crate::hf::{
    Architecture, ExtraTensor, JsonConfig, Kept, LeftOut, Weights, prepare, save_weights,
};

const EMBEDDING: &str = "model.embed_tokens.weight";
const OUTPUT: &str = "lm_head.weight";
const SCORE: &str = "score.weight";

impl HfFolder for Llama {
    fn load(dir: &Path, device: &Device) -> Result<Self, LoadError> {
        let json = JsonConfig::read(dir)?;
        if json.kind()? != Architecture::Decoder {
            let name = json.architecture()?.unwrap_or_default();
            return Err(json.unsupported(
                format!("architecture {name} as a language model"),
                &Family::classes("ForCausalLM"),
            ));
        }
        let folder = Folder::read(dir, json)?;
        let (model, _) = folder.decoder(&folder.config, false, device)?;
        Ok(model)
    }

    fn save(&self, dir: &Path) -> Result<(), SaveError> {
        prepare(dir)?;
        let model = self.clone().merged();
        save_weights(&model, dir, |path| Some(path.to_owned()), Vec::new())?;
        self.kept().write(dir, to_json(self, "ForCausalLM"))
    }

    fn context_length(&self) -> usize {
        self.max_positions()
    }
}

impl HfReward for Llama {
    const DEFAULT_POOLING: Pooling = Pooling::LastToken;
    const HEAD_BIAS: bool = false;

    fn load_reward(dir: &Path, device: &Device) -> Result<RewardParts<Self>, LoadError> {
        let json = JsonConfig::read(dir)?;
        let is_reward = match json.kind()? {
            Architecture::DecoderReward => true,
            Architecture::Decoder => false,
            Architecture::Encoder => {
                return Err(json.unsupported(
                    "an encoder as a decoder reward model".to_owned(),
                    &Family::classes("ForSequenceClassification"),
                ));
            }
        };
        if is_reward {
            json.one_label()?;
        }
        let folder = Folder::read(dir, json)?;
        // A reward model needs no output matrix.
        let config = LlamaConfig {
            tie_word_embeddings: true,
            ..folder.config.clone()
        };
        let (backbone, head) = folder.decoder(&config, is_reward, device)?;
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
                message: format!(
                    "{}ForSequenceClassification reads the last token and has no bias: use \
                     pooling last_token and a head without bias",
                    self.config().family().class
                ),
            });
        }
        prepare(dir)?;
        let model = self.clone().merged();
        let weight = head.weight.val();
        let score = ExtraTensor {
            name: SCORE.to_owned(),
            shape: weight.dims().to_vec(),
            values: weight.into_data().iter::<f32>().collect(),
        };
        let keep = |path: &str| (path != OUTPUT).then(|| path.to_owned());
        save_weights(&model, dir, keep, vec![score])?;
        let mut json = to_json(self, "ForSequenceClassification");
        json["num_labels"] = json!(1);
        json["id2label"] = json!({"0": "reward"});
        json["label2id"] = json!({"reward": 0});
        json["problem_type"] = json!("regression");
        // Transformers scores the last token that is not padding: the id must not end a text.
        let config = self.config();
        json["pad_token_id"] = json!(pad_token_id.or(config.pad_token_id).or(config.bos_token_id));
        self.kept().write(dir, json)
    }
}

/// A folder whose values have not been read yet.
struct Folder {
    json: JsonConfig,
    kept: Kept,
    weights: Weights,
    /// The decoder in the folder; tied only where the weights are.
    config: LlamaConfig,
}

impl Folder {
    fn read(dir: &Path, json: JsonConfig) -> Result<Self, LoadError> {
        let mut config = read_config(&json)?;
        if dir.join("adapter_config.json").exists() {
            return Err(json.unsupported(
                "adapter_config.json beside the weights".to_owned(),
                "folders without an adapter: merge it into the weights, or take its files away",
            ));
        }
        let kept = Kept::read(dir, &json)?;
        let weights = Weights::open(dir)?;
        // A tied checkpoint may hold the shared matrix under both names. Where the two differ the
        // weights are right and the configuration is wrong, as transformers has it.
        let embedding = names(EMBEDDING, false)
            .into_iter()
            .find(|n| weights.contains(n));
        if let (true, true, Some(embedding)) = (
            config.tie_word_embeddings,
            weights.contains(OUTPUT),
            embedding,
        ) && !weights.equal(&embedding, OUTPUT)?
        {
            tracing::warn!(
                "{}: tie_word_embeddings = true, but {OUTPUT} differs from {embedding}: the two \
                 are not tied, and the model is saved with tie_word_embeddings = false",
                json.path.display()
            );
            config.tie_word_embeddings = false;
        }
        Ok(Self {
            json,
            kept,
            weights,
            config,
        })
    }

    /// The decoder that `config` describes and, where asked for, the head of a reward model. Names
    /// and shapes are compared before memory is taken.
    fn decoder(
        &self,
        config: &LlamaConfig,
        with_head: bool,
        device: &Device,
    ) -> Result<(Llama, Option<ScalarHead>), LoadError> {
        let weights = &self.weights;
        let tied = self.config.tie_word_embeddings;
        let found = weights.find(config.parameters(), |path| names(path, tied))?;
        let score = with_head.then(|| ("weight".to_owned(), vec![1, config.hidden_size]));
        let score = weights.find(score, |_| vec![SCORE.to_owned()])?;
        // A weight that the architecture has no place for (a bias that config.json does not
        // announce, a layer too many) would be left out of the function without a word.
        weights.left_out(&[&found, &score], |name| match name {
            OUTPUT if tied => Some(LeftOut::Buffer),
            OUTPUT | SCORE => Some(LeftOut::Told),
            _ if name.ends_with("inv_freq") => Some(LeftOut::Buffer),
            _ => None,
        })?;
        let blank = Llama::blank(config, device).map_err(|e| self.json.invalid(e))?;
        let model = weights.fill(blank, &found)?.with_kept(self.kept.clone());
        if !with_head {
            return Ok((model, None));
        }
        let key = Key::new(0, "blank");
        let blank = ScalarHead::new(config.hidden_size, false, 0.0, key, device);
        Ok((model, Some(weights.fill(blank, &score)?)))
    }
}

/// The names that the tensor of a parameter may have, the preferred first.
fn names(path: &str, tied: bool) -> Vec<String> {
    let mut names = vec![path.to_owned()];
    // Checkpoints of the bare model carry no prefix.
    names.extend(path.strip_prefix("model.").map(str::to_owned));
    // A tied checkpoint may hold the shared matrix under the output's name alone.
    if tied && path == EMBEDDING {
        names.push(OUTPUT.to_owned());
    }
    names
}

/// `config.json` of the family's class that ends in `task`.
fn to_json(model: &Llama, task: &str) -> Value {
    let config = model.config();
    let family = config.family();
    let mut json = serde_json::to_value(config).unwrap_or_default();
    json["architectures"] = json!([format!("{}{task}", family.class)]);
    json["model_type"] = json!(family.model_type);
    json["hidden_act"] = json!("silu");
    json["head_dim"] = json!(config.head_dim());
    json["rope_scaling"] = json!(config.rope_scaling);
    json["torch_dtype"] = json!("float32");
    json["use_cache"] = json!(true);
    if let Value::Object(map) = &mut json {
        family.write(config, map);
    }
    json
}
