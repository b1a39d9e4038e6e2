//! Reading and writing of Hugging Face folders of encoders.

use std::path::Path;

use collimate_nn::{
    AdapterBase, Backbone, HfFolder, LoadError, LoadOptions, SaveError, SaveOptions,
};
use serde_json::{Value, json};

use super::config::EncoderConfig;
use super::families::Family;
use super::model::Encoder;
use crate::hf::{Architecture, Found, JsonConfig, Kept, LeftOut, Weights, Written, save_weights};
use crate::peft::{Chain, Form, Place, Whole, save_adapter};

pub(super) const HEAD: &str = "head.";

impl HfFolder for Encoder {
    fn load<'a>(dir: &Path, options: impl Into<LoadOptions<'a>>) -> Result<Self, LoadError> {
        let folder = Folder::read(dir)?;
        let found = folder.find(folder.config.parameters())?;
        folder.left_out(&[&found], true)?;
        folder.fill(&found, false, options.into())
    }

    fn save_with(&self, options: &SaveOptions, dir: &Path) -> Result<(), SaveError> {
        save(self, dir, "Model", options, Vec::new())?;
        self.kept()
            .write(dir, to_json(self.config(), "Model", options))
    }

    fn save_adapter(
        &self,
        base: &AdapterBase<'_>,
        options: &SaveOptions,
        dir: &Path,
    ) -> Result<(), SaveError> {
        let task = "FEATURE_EXTRACTION";
        write_adapter(self, base, options, (task, ""), Vec::new(), dir)
    }

    fn context_length(&self) -> usize {
        self.max_positions()
    }
}

/// Writes the adapters with the layers' names in a class in which they begin with `prefix`.
pub(super) fn write_adapter(
    model: &Encoder,
    base: &AdapterBase<'_>,
    options: &SaveOptions,
    (task, prefix): (&'static str, &str),
    whole: Vec<Whole>,
    dir: &Path,
) -> Result<(), SaveError> {
    let family = model.config().family();
    let form = Form {
        task: Some(task),
        transposed: false,
        prefix: prefix.to_owned(),
        whole,
    };
    save_adapter(model, base, options, form, dir, |path| {
        (!path.starts_with(HEAD)).then(|| Place {
            names: stored_names(family, path),
            transposed: false,
        })
    })
}

/// Returns the names that a parameter of the encoder may have in a file, the bare name first.
fn stored_names(family: &Family, path: &str) -> Vec<String> {
    let bare = family.name(path);
    let prefixed = format!("{}{bare}", family.prefix);
    let old = [old_name(&bare), old_name(&prefixed)];
    let old = old.into_iter().flatten();
    [bare, prefixed].into_iter().chain(old).collect()
}

/// Returns the other name of a norm's parameter in files converted from TensorFlow.
fn old_name(name: &str) -> Option<String> {
    let gamma = name.strip_suffix("LayerNorm.weight");
    let gamma = gamma.map(|stem| format!("{stem}LayerNorm.gamma"));
    gamma.or_else(|| {
        let stem = name.strip_suffix("LayerNorm.bias")?;
        Some(format!("{stem}LayerNorm.beta"))
    })
}

impl EncoderConfig {
    /// Reads the shape of the encoder in a folder, without its weights.
    ///
    /// # Errors
    /// There is no `config.json`, it does not describe an encoder, or an option is not implemented.
    pub fn of_folder(dir: &Path) -> Result<Self, LoadError> {
        Self::read(&JsonConfig::read(dir)?)
    }

    fn read(json: &JsonConfig) -> Result<Self, LoadError> {
        let kind = json.string("model_type")?.unwrap_or_default();
        let family = match (json.kind()?, Family::named(&kind)) {
            (Architecture::Encoder, Some(family)) => family,
            _ => {
                let name = json.architecture()?.unwrap_or_default();
                let what = format!("architecture {name} as an encoder");
                return Err(json.unsupported(what, &Family::classes("Model")));
            }
        };
        let config = Self {
            model_type: family.kind,
            ..(family.read)(json)?
        };
        config.check().map_err(|error| json.invalid(error))?;
        Ok(config)
    }
}

/// A folder whose tensor values have not been read yet.
pub(super) struct Folder {
    pub(super) json: JsonConfig,
    pub(super) config: EncoderConfig,
    /// True if the folder's class has a head with a score for each label.
    pub(super) classifies: bool,
    pub(super) weights: Weights,
    kept: Kept,
    /// Adapters over the weights.
    chain: Chain,
    /// Prefix of the names of the encoder's tensors.
    prefix: &'static str,
}

impl Folder {
    pub(super) fn read(dir: &Path) -> Result<Self, LoadError> {
        let json = JsonConfig::read(dir)?;
        let name = json.architecture()?.unwrap_or_default();
        let config = EncoderConfig::read(&json)?;
        let family = config.family();
        let chain = Chain::open(dir)?;
        let kept = Kept::read(&chain.base, &json)?;
        let mut weights = Weights::open(&chain.base)?;
        chain.replace(&mut weights);
        let words = family.name("embeddings.word_embeddings.weight");
        let prefix = match weights.contains(&format!("{}{words}", family.prefix)) {
            true => family.prefix,
            false => "",
        };
        let head = format!("{}.weight", family.head.output);
        Ok(Self {
            // An adapter may bring the head of a class that the base model is not.
            classifies: family.classifies(&name) || chain.brings(&head),
            json,
            config,
            weights,
            kept,
            chain,
            prefix,
        })
    }

    /// Finds the tensors of parameters of encoder and head, and compares shapes.
    pub(super) fn find(
        &self,
        parameters: impl IntoIterator<Item = (String, Vec<usize>)>,
    ) -> Result<Found, LoadError> {
        let family = self.config.family();
        self.weights
            .find(parameters, |path| match path.strip_prefix(HEAD) {
                Some(part) => family.head_names(part),
                None => {
                    let name = format!("{}{}", self.prefix, family.name(path));
                    let old = old_name(&name);
                    [name].into_iter().chain(old).collect()
                }
            })
    }

    /// Refuses tensors that were not found, because they (such as an extra layer) would be silently
    /// left out of the function. Heads of other tasks and index buffers are allowed. `headless` is
    /// true if the classification head is not read.
    pub(super) fn left_out(&self, found: &[&Found], headless: bool) -> Result<(), LoadError> {
        let family = self.config.family();
        let head = &family.head;
        let parts = head.dense.iter().chain([&head.output]).chain(&head.norm);
        let parts: Vec<String> = parts.map(|name| format!("{name}.")).collect();
        self.weights.left_out(found, |name| {
            let bare = name.strip_prefix(family.prefix).unwrap_or(name);
            let other = family.other_tasks.iter().any(|task| bare.starts_with(task));
            let head = self.classifies && parts.iter().any(|part| name.starts_with(part));
            match (head, other) {
                (true, _) if !headless => None,
                (true, _) | (_, true) => Some(LeftOut::Told),
                _ => bare.ends_with("position_ids").then_some(LeftOut::Buffer),
            }
        })
    }

    /// Creates the encoder with the values found.
    pub(super) fn fill(
        &self,
        found: &Found,
        head: bool,
        options: LoadOptions<'_>,
    ) -> Result<Encoder, LoadError> {
        let blank = Encoder::blank(&self.config, head, options.device);
        let blank = blank.map_err(|e| self.json.invalid(e))?;
        let model = self.weights.fill_as(blank, found, options.weights)?;
        let prefix = self.config.family().prefix;
        let names = |path: &str| vec![path.to_owned(), format!("{prefix}{path}")];
        let model = self.chain.apply(model, names)?;
        Ok(model.with_kept(self.kept.clone()))
    }
}

/// Writes the weights of the class that ends in `task`. The head is written if both the encoder and
/// the class have one.
pub(super) fn save(
    model: &Encoder,
    dir: &Path,
    task: &str,
    options: &SaveOptions,
    extra: Vec<Written>,
) -> Result<(), SaveError> {
    let family = model.config().family();
    let (prefix, bare) = match task {
        "Model" => ("", true),
        _ => (family.prefix, false),
    };
    let name = |path: &str| match path.strip_prefix(HEAD) {
        Some(_) if bare => None,
        Some(part) => family.head_names(part).into_iter().next(),
        None => Some(format!("{prefix}{}", family.name(path))),
    };
    save_weights(model, dir, options, name, extra)
}

/// Returns `config.json` of the family's class that ends in `task`.
pub(super) fn to_json(config: &EncoderConfig, task: &str, options: &SaveOptions) -> Value {
    let family = config.family();
    let mut json = serde_json::to_value(config).unwrap_or_default();
    json["architectures"] = json!([format!("{}{task}", family.class)]);
    json["torch_dtype"] = json!(options.dtype.name());
    if let Value::Object(map) = &mut json {
        family.write(config, map);
    }
    json
}
