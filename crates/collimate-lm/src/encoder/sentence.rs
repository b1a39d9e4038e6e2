//! The modules of a sentence-transformers folder around an encoder: pooling and a Dense layer of
//! one output as a reward head.

use std::path::Path;

use burn::module::Param;
use burn::tensor::{Device, Tensor};
use collimate_core::Key;
use collimate_nn::{LoadError, Pooling, SaveError, ScalarHead, StoredType};
use serde::Deserialize;
use serde_json::json;

use crate::hf::{JsonConfig, Weights, Written, prepare, write_json, write_tensors};

const MODULES: &str = "modules.json";
const POOLING: &str = "1_Pooling";
const DENSE: &str = "2_Dense";
const SETTINGS: &str = "sentence_bert_config.json";
const PROMPTS: &str = "config_sentence_transformers.json";
const WEIGHTS: &str = "model.safetensors";

/// Folder of each module.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Modules {
    pooling: Option<String>,
    dense: Option<String>,
}

/// An entry of `modules.json`.
#[derive(Deserialize)]
struct Module {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

impl Modules {
    /// Reads `modules.json`. Without the file, looks for the modules in folders with the usual
    /// names.
    pub(super) fn read(dir: &Path) -> Result<Self, LoadError> {
        let path = dir.join(MODULES);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let there = |name: &str| dir.join(name).exists().then(|| name.to_owned());
                return Ok(Self {
                    pooling: there(POOLING),
                    dense: there(DENSE),
                });
            }
            Err(source) => return Err(LoadError::Io { path, source }),
        };
        let list: Vec<Module> =
            serde_json::from_str(&text).map_err(|error| LoadError::Invalid {
                path: path.clone(),
                message: format!("not a list of modules ({error}): copy the file again"),
            })?;
        let mut modules = Self::default();
        let mut normalised = false;
        for (index, module) in list.into_iter().enumerate() {
            let kind = module.kind.rsplit('.').next().unwrap_or_default();
            let at = Some(module.path);
            match kind {
                "Transformer" if index == 0 => {}
                "Pooling" if index == 1 => modules.pooling = at,
                "Dense" if index == 2 => modules.dense = at,
                "Normalize" if index > 1 && modules.dense.is_none() => normalised = true,
                _ => return Err(unsupported(&path, format!("module {index} of type {kind}"))),
            }
        }
        if normalised && modules.dense.is_some() {
            let what = "Normalize before the Dense layer".to_owned();
            return Err(unsupported(&path, what));
        }
        if normalised {
            tracing::warn!(
                "{}: Normalize is not part of the reward model: the head reads the pooled states \
                 without normalisation",
                path.display()
            );
        }
        Ok(modules)
    }

    /// Returns the pooling of the folder, or `default` if the folder does not name one.
    pub(super) fn pooling(&self, dir: &Path, default: Pooling) -> Result<Pooling, LoadError> {
        match &self.pooling {
            Some(folder) => read_pooling(dir.join(folder).join("config.json")),
            None => Ok(default),
        }
    }

    /// Reads the head if the folder has one: a Dense layer with one output and no activation.
    pub(super) fn head(
        &self,
        dir: &Path,
        width: usize,
        device: &Device,
    ) -> Result<Option<ScalarHead>, LoadError> {
        let Some(folder) = &self.dense else {
            return Ok(None);
        };
        let dir = dir.join(folder);
        let json = JsonConfig::read_file(dir.join("config.json"))?;
        let outputs: usize = json.require("out_features")?;
        if outputs != 1 {
            return Err(json.unsupported(
                format!("out_features = {outputs}"),
                "a reward head, out_features = 1",
            ));
        }
        // sentence-transformers takes an absent activation as Tanh.
        let _: String = json.require("activation_function")?;
        json.only("activation_function", &["torch.nn.modules.linear.Identity"])?;
        json.neutral(&[("use_residual", 0.0)])?;
        let bias = json.get("bias")?.unwrap_or(true);
        let mut shapes = vec![("weight".to_owned(), vec![1, width])];
        shapes.extend(bias.then(|| ("bias".to_owned(), vec![1])));
        let weights = Weights::read(&dir.join(WEIGHTS))?;
        let found = weights.find(shapes, |path| vec![format!("linear.{path}")])?;
        weights.left_out(&[&found], |_| None)?;
        let blank = ScalarHead::new(width, bias, 0.0, Key::new(0, "blank"), device);
        weights.fill(blank, &found).map(Some)
    }
}

fn unsupported(path: &Path, what: String) -> LoadError {
    LoadError::Unsupported {
        path: path.to_owned(),
        what,
        supported: "Transformer, Pooling, and then a Dense layer of one output or Normalize"
            .to_owned(),
    }
}

/// Warns of text rules that apply before the tokenizer and are not followed here.
pub(super) fn tell_text_rules(dir: &Path) -> Result<(), LoadError> {
    if let Some(settings) = JsonConfig::read_if_there(dir.join(SETTINGS))?
        && settings.get("do_lower_case")? == Some(true)
    {
        tracing::warn!(
            "{}: do_lower_case is ignored: texts are lower-cased only if tokenizer.json says so",
            settings.path.display()
        );
    }
    if let Some(prompts) = JsonConfig::read_if_there(dir.join(PROMPTS))?
        && let Some(name) = prompts.string("default_prompt_name")?
    {
        tracing::warn!(
            "{}: default_prompt_name = {name} is ignored: texts get no prompt, and a folder saved \
             from this one has no prompt name",
            prompts.path.display()
        );
    }
    Ok(())
}

fn read_pooling(path: std::path::PathBuf) -> Result<Pooling, LoadError> {
    let json = JsonConfig::read_file(path)?;
    // Newer versions name the mode; older versions set one flag per mode.
    if let Some(mode) = json.string("pooling_mode")? {
        return match mode.as_str() {
            "mean" => Ok(Pooling::Mean),
            "cls" => Ok(Pooling::Cls),
            "lasttoken" => Ok(Pooling::LastToken),
            other => Err(json.unsupported(format!("pooling {other}"), "mean, cls, lasttoken")),
        };
    }
    let mut found = Vec::new();
    for key in json.map().keys() {
        let Some(mode) = key.strip_prefix("pooling_mode_") else {
            continue;
        };
        if json.get(key)?.unwrap_or(false) {
            let pooling = match mode {
                "mean_tokens" => Some(Pooling::Mean),
                "cls_token" => Some(Pooling::Cls),
                "lasttoken" => Some(Pooling::LastToken),
                _ => None,
            };
            found.push((key.as_str(), pooling));
        }
    }
    // If several modes are set, their vectors are concatenated.
    if let [(_, Some(pooling))] = found[..] {
        return Ok(pooling);
    }
    let names: Vec<&str> = found.iter().map(|(key, _)| *key).collect();
    let names = match names[..] {
        [] => "no mode".to_owned(),
        _ => names.join(" and "),
    };
    Err(json.unsupported(
        format!("pooling with {names}"),
        "one of mean, cls, lasttoken",
    ))
}

/// Writes the modules around a saved encoder.
pub(super) fn write(
    dir: &Path,
    head: &ScalarHead,
    pooling: Pooling,
    width: usize,
    max_length: usize,
) -> Result<(), SaveError> {
    let weight = head.weight.val();
    let bias = head.bias.as_ref().map(Param::val);
    let bias = bias.unwrap_or_else(|| Tensor::zeros([1], &weight.device()));
    let (dense, pool) = (dir.join(DENSE), dir.join(POOLING));
    prepare(&dense)?;
    prepare(&pool)?;
    // sentence-transformers runs this layer in f32, whatever the type of the encoder.
    let layer = [
        Written::of("linear.bias".to_owned(), bias),
        Written::of("linear.weight".to_owned(), weight),
    ];
    write_tensors(&dense.join(WEIGHTS), &layer, StoredType::F32)?;
    write_json(
        &dense.join("config.json"),
        &json!({
            "in_features": width, "out_features": 1, "bias": true,
            "activation_function": "torch.nn.modules.linear.Identity",
        }),
    )?;
    write_json(
        &pool.join("config.json"),
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
        &dir.join(SETTINGS),
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
