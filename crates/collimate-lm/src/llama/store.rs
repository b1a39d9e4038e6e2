//! Reading and writing of Hugging Face folders of decoders.

use std::path::Path;

use collimate_core::Key;
use collimate_data::TextTokenizer;
use collimate_gguf::{Export, OutType};
use collimate_nn::{
    AdapterBase, Backbone, HfFolder, HfReward, LoadError, LoadOptions, Pooling, RewardParts,
    SaveError, SaveOptions, ScalarHead,
};
use serde_json::{Value, json};

use super::config::LlamaConfig;
use super::families::{Family, Task};
use super::model::Llama;
use super::read::read_config;
use crate::hf::{
    Architecture, JsonConfig, Kept, LeftOut, Stored, Weights, Written, save_gguf, save_weights,
};
use crate::peft::{Chain, Form, Place, Whole, save_adapter};

/// Paths of the embedding and of the output matrix.
const EMBEDDING: &str = "model.embed_tokens.weight";
const OUTPUT: &str = "lm_head.weight";
const SCORE: &str = "score.weight";

impl HfFolder for Llama {
    fn load<'a>(dir: &Path, options: impl Into<LoadOptions<'a>>) -> Result<Self, LoadError> {
        let json = JsonConfig::read(dir)?;
        if json.kind()? != Architecture::Decoder {
            let name = json.architecture()?.unwrap_or_default();
            return Err(json.unsupported(
                format!("architecture {name} as a language model"),
                &Family::classes(Task::CausalLm),
            ));
        }
        let folder = Folder::read(Chain::open(dir)?, json)?;
        let (model, _) = folder.decoder(&folder.config, false, options.into())?;
        Ok(model)
    }

    fn save_with(&self, options: &SaveOptions, dir: &Path) -> Result<(), SaveError> {
        let name = |path: &str| Some(self.stored(path));
        save_weights(self, dir, options, name, Vec::new())?;
        self.kept()
            .write(dir, to_json(self, Task::CausalLm, options))
    }

    fn save_adapter(
        &self,
        base: &AdapterBase<'_>,
        options: &SaveOptions,
        dir: &Path,
    ) -> Result<(), SaveError> {
        self.write_adapter(base, options, "CAUSAL_LM", Vec::new(), dir)
    }

    fn context_length(&self) -> usize {
        self.max_positions()
    }
}

impl HfReward for Llama {
    const DEFAULT_POOLING: Pooling = Pooling::LastToken;
    const HEAD_BIAS: bool = false;

    fn load_reward<'a>(
        dir: &Path,
        options: impl Into<LoadOptions<'a>>,
    ) -> Result<RewardParts<Self>, LoadError> {
        let json = JsonConfig::read(dir)?;
        let chain = Chain::open(dir)?;
        let is_reward = match json.kind()? {
            Architecture::DecoderReward => true,
            Architecture::Decoder => chain.brings(SCORE),
            Architecture::Encoder => {
                return Err(json.unsupported(
                    "an encoder as a decoder reward model".to_owned(),
                    &Family::classes(Task::Reward),
                ));
            }
        };
        if json.kind()? == Architecture::DecoderReward {
            json.one_label()?;
        }
        let folder = Folder::read(chain, json)?;
        let family = folder.config.family();
        if !family.has_reward {
            return Err(folder.json.unsupported(
                format!("a {} as a reward model", family.class),
                &Family::classes(Task::Reward),
            ));
        }
        // A reward model needs no output matrix.
        let config = LlamaConfig {
            tie_word_embeddings: true,
            ..folder.config.clone()
        };
        let (backbone, head) = folder.decoder(&config, is_reward, options.into())?;
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
        options: &SaveOptions,
        dir: &Path,
    ) -> Result<(), SaveError> {
        self.expects(head, pooling, dir)?;
        let score = Written::of(SCORE.to_owned(), head.weight.val());
        let keep = |path: &str| (path != OUTPUT).then(|| self.stored(path));
        save_weights(self, dir, options, keep, vec![score])?;
        let mut json = to_json(self, Task::Reward, options);
        json["num_labels"] = json!(1);
        json["id2label"] = json!({"0": "reward"});
        json["label2id"] = json!({"reward": 0});
        json["problem_type"] = json!("regression");
        // Transformers scores the last token that is not padding, so the padding id must not end a
        // text.
        let config = self.config();
        let pad_token_id = options.pad_token_id;
        json["pad_token_id"] = json!(pad_token_id.or(config.pad_token_id).or(config.bos_token_id));
        self.kept().write(dir, json)
    }

    fn save_reward_adapter(
        &self,
        head: &ScalarHead,
        pooling: Pooling,
        base: &AdapterBase<'_>,
        options: &SaveOptions,
        dir: &Path,
    ) -> Result<(), SaveError> {
        self.expects(head, pooling, dir)?;
        let score = Whole {
            module: SCORE.trim_end_matches(".weight").to_owned(),
            tensors: vec![Written::of(SCORE.to_owned(), head.weight.val())],
        };
        self.write_adapter(base, options, "SEQ_CLS", vec![score], dir)
    }
}

impl Llama {
    /// Writes the model with its tokenizer and chat template as a GGUF file, which llama.cpp and
    /// Ollama run. Adapters are folded into the weights. The returned [`Export`] names what the file
    /// cannot hold.
    ///
    /// # Errors
    /// A file cannot be written. llama.cpp does not know the family, an option or the tokenizer.
    pub fn save_gguf(
        &self,
        tokenizer: &TextTokenizer,
        out_type: OutType,
        path: &Path,
    ) -> Result<Export, SaveError> {
        let own = to_json(self, Task::CausalLm, &SaveOptions::default());
        let (config, generation) = (self.kept().config(own), self.kept().generation());
        let files = (&config, generation.as_ref());
        save_gguf(self, files, tokenizer, out_type, path, |path| {
            self.stored(path)
        })
    }

    /// Refuses a head that the family's reward class does not have.
    fn expects(&self, head: &ScalarHead, pooling: Pooling, dir: &Path) -> Result<(), SaveError> {
        let fail = |message| SaveError::Serialize {
            path: dir.to_owned(),
            message,
        };
        let family = self.config().family();
        let Some(class) = family.class_of(Task::Reward) else {
            let message = format!(
                "no class of transformers reads a {} reward model",
                family.class
            );
            return Err(fail(message));
        };
        if pooling != Pooling::LastToken || head.bias.is_some() {
            return Err(fail(format!(
                "{class} reads the last token and has no bias: use pooling last_token and a head \
                 without bias"
            )));
        }
        Ok(())
    }

    fn write_adapter(
        &self,
        base: &AdapterBase<'_>,
        options: &SaveOptions,
        task: &'static str,
        whole: Vec<Whole>,
        dir: &Path,
    ) -> Result<(), SaveError> {
        let family = self.config().family();
        let form = Form {
            task: Some(task),
            transposed: family.names.transposed,
            prefix: String::new(),
            whole,
        };
        let tied = self.lm_head.is_none();
        save_adapter(self, base, options, form, dir, |path| {
            // A reward model needs no output matrix.
            (task == "CAUSAL_LM" || path != OUTPUT).then(|| Place {
                names: names(family, path, tied),
                transposed: family.names.is_transposed(path),
            })
        })
    }

    /// Returns the name and layout of a parameter in the files of the family.
    fn stored(&self, path: &str) -> Stored {
        let names = &self.config().family().names;
        Stored {
            name: names.of(path),
            transposed: names.is_transposed(path),
        }
    }
}

/// A folder whose tensor values have not been read yet.
struct Folder {
    json: JsonConfig,
    kept: Kept,
    weights: Weights,
    /// Adapters over the weights.
    chain: Chain,
    /// Configuration of the decoder in the folder; tied only if the weights are.
    config: LlamaConfig,
}

impl Folder {
    fn read(chain: Chain, json: JsonConfig) -> Result<Self, LoadError> {
        let dir = &chain.base;
        let mut config = read_config(&json)?;
        if dir.join("adapter_config.json").exists() {
            return Err(json.unsupported(
                "adapter_config.json beside the weights".to_owned(),
                "folders without an adapter: merge the adapter into the weights, or remove its \
                 files",
            ));
        }
        let kept = Kept::read(dir, &json)?;
        let mut weights = Weights::open(dir)?;
        chain.replace(&mut weights);
        // A tied checkpoint may hold the shared matrix under both names. If the two differ, the
        // weights are right and the configuration is wrong, as in transformers.
        let family = config.family();
        let first = |mut all: Vec<String>| {
            all.retain(|name| weights.contains(name));
            all.into_iter().next()
        };
        let embedding = first(names(family, EMBEDDING, false));
        let output = first(names(family, OUTPUT, false));
        if let (true, Some(embedding), Some(output)) =
            (config.tie_word_embeddings, embedding, output)
            && !weights.equal(&embedding, &output)?
        {
            tracing::warn!(
                "{}: tie_word_embeddings = true, but {output} differs from {embedding}: the two \
                 are not tied, and the model is saved with tie_word_embeddings = false",
                json.path.display()
            );
            config.tie_word_embeddings = false;
        }
        Ok(Self {
            json,
            kept,
            weights,
            chain,
            config,
        })
    }

    /// Creates the decoder that `config` describes and, if asked for, the head of a reward model.
    /// Names and shapes are compared before memory is allocated.
    fn decoder(
        &self,
        config: &LlamaConfig,
        with_head: bool,
        options: LoadOptions<'_>,
    ) -> Result<(Llama, Option<ScalarHead>), LoadError> {
        let weights = &self.weights;
        let tied = self.config.tie_word_embeddings;
        let family = config.family();
        let names = |path: &str| names(family, path, tied);
        let is_transposed = |path: &str| family.names.is_transposed(path);
        let found = weights.find_stored(config.parameters(), names, is_transposed)?;
        let score = with_head.then(|| ("weight".to_owned(), vec![1, config.hidden_size]));
        let score = weights.find(score, |_| vec![SCORE.to_owned()])?;
        // A weight without a place in the architecture (a bias that config.json does not announce,
        // an extra layer) would be silently left out of the function.
        let files = &family.names;
        weights.left_out(&[&found, &score], |name| match name {
            name if files.output.contains(&name) && tied => Some(LeftOut::Buffer),
            name if files.output.contains(&name) || name == SCORE => Some(LeftOut::Told),
            name => {
                let mut buffers = files.buffers.iter();
                let is_buffer = buffers.any(|buffer| name.ends_with(buffer));
                is_buffer.then_some(LeftOut::Buffer)
            }
        })?;
        let device = options.device;
        let blank = Llama::blank(config, device).map_err(|e| self.json.invalid(e))?;
        let model = weights
            .fill_as(blank, &found, options.weights)?
            .with_kept(self.kept.clone());
        let model = self.chain.apply(model, names)?;
        if !with_head {
            return Ok((model, None));
        }
        let key = Key::new(0, "blank");
        let blank = ScalarHead::new(config.hidden_size, false, 0.0, key, device);
        Ok((model, Some(weights.fill(blank, &score)?)))
    }
}

/// Returns the names that the tensor of a parameter may have, the preferred name first.
fn names(family: &Family, path: &str, tied: bool) -> Vec<String> {
    let files = &family.names;
    if path == OUTPUT {
        return files.output.iter().map(|&name| name.to_owned()).collect();
    }
    let name = files.of(path);
    // Checkpoints of the bare model have no prefix.
    let bare = name.strip_prefix(files.prefix).map(str::to_owned);
    let mut names: Vec<String> = [name].into_iter().chain(bare).collect();
    // A tied checkpoint may hold the shared matrix only under the output's name.
    if tied && path == EMBEDDING {
        names.extend(files.output.iter().map(|&name| name.to_owned()));
    }
    names
}

/// Returns `config.json` of the family's class for a task.
fn to_json(model: &Llama, task: Task, options: &SaveOptions) -> Value {
    let config = model.config();
    let family = config.family();
    let mut json = serde_json::to_value(config).unwrap_or_default();
    json["architectures"] = json!([family.class_of(task)]);
    json["model_type"] = json!(family.model_type);
    json["hidden_act"] = json!(family.activations[0]);
    json["head_dim"] = json!(config.head_dim());
    json["rope_scaling"] = json!(config.rope_scaling);
    json["torch_dtype"] = json!(options.dtype.name());
    json["use_cache"] = json!(true);
    if let Value::Object(map) = &mut json {
        family.write(config, map);
    }
    json
}
