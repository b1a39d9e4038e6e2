//! Sampling in layers: the program's defaults, the model folder, a file, flags, `--set`.

use std::path::{Path, PathBuf};

use collimate::core::{GenerateError, Sampling};
use collimate::data::{ChatFallback, OnRewrittenPrompt};
use collimate::lm::{FolderSampling, Llama};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::commands::generate::said;
use crate::common::{self, Failure, usage};
use crate::loading::{GenerationCache, GenerationWeights};
use crate::options::{Docs, Layers, Source, assignment, read_file};
use crate::rendering::{KWARGS, RenderArgs, Rendering, TemplateKwargs};

/// Flags of the commands that write answers.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SamplingArgs {
    /// Softmax temperature; 0 always takes the likeliest token [default: from the model folder,
    /// otherwise 1]
    #[arg(long, value_name = "T")]
    temperature: Option<f64>,
    /// Sample from the smallest set of tokens with at least this total probability; 1 means all
    /// tokens [default: from the model folder, otherwise 1]
    #[arg(long, value_name = "P")]
    top_p: Option<f64>,
    /// Sample from the K likeliest tokens; 0 means all tokens [default: from the model folder,
    /// otherwise 0]
    #[arg(long, value_name = "K")]
    top_k: Option<usize>,
    /// Penalty on tokens that have already occurred: values above 1 make them less likely, 1
    /// changes nothing [default: from the model folder, otherwise 1]
    #[arg(long, value_name = "R")]
    repetition_penalty: Option<f64>,
    /// Maximum length of an answer in tokens, including EOS; the model's context may end it earlier
    /// [default: from the model folder, otherwise 128; 512 in chat]
    #[arg(long, value_name = "N")]
    max_new_tokens: Option<usize>,
    /// Text or special token that ends an answer; may be given several times
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// Seed of the random numbers [default: 0]
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
    /// Number type of the weights that the model writes with [default: exact]
    #[arg(long, value_name = "TYPE", value_enum)]
    generation_weights: Option<GenerationWeights>,
    /// Number type of the keys and values that the model keeps while it writes [default: exact]
    #[arg(long, value_name = "TYPE", value_enum)]
    generation_cache: Option<GenerationCache>,
    #[command(flatten)]
    render: RenderArgs,
    /// YAML, TOML or JSON file with these options; flags take precedence
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set one of these options; takes precedence over the file and the flags; may be given several
    /// times
    #[arg(long, value_name = "OPTION=VALUE")]
    set: Vec<String>,
}

/// The options that a file and `--set` can give.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Answering {
    temperature: f64,
    top_p: f64,
    top_k: usize,
    repetition_penalty: f64,
    max_new_tokens: usize,
    stop: Vec<String>,
    seed: u64,
    generation_weights: GenerationWeights,
    generation_cache: GenerationCache,
    chat_fallback: ChatFallback,
    chat_template: Option<String>,
    chat_template_kwargs: TemplateKwargs,
    template_date: Option<String>,
}

impl Default for Answering {
    fn default() -> Self {
        Self::of(Sampling::default())
    }
}

impl Answering {
    fn of(sampling: Sampling) -> Self {
        Self {
            temperature: sampling.temperature,
            top_p: sampling.top_p,
            top_k: sampling.top_k,
            repetition_penalty: sampling.repetition_penalty,
            max_new_tokens: sampling.max_new_tokens,
            stop: sampling.stop,
            seed: sampling.seed,
            generation_weights: GenerationWeights::default(),
            generation_cache: GenerationCache::default(),
            chat_fallback: ChatFallback::default(),
            chat_template: None,
            chat_template_kwargs: TemplateKwargs::default(),
            template_date: None,
        }
    }

    fn sampling(&self, n: usize) -> Sampling {
        Sampling {
            n,
            seed: self.seed,
            temperature: self.temperature,
            top_p: self.top_p,
            top_k: self.top_k,
            repetition_penalty: self.repetition_penalty,
            max_new_tokens: self.max_new_tokens,
            stop: self.stop.clone(),
        }
    }
}

/// Options of a command that writes answers, merged and checked.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) sampling: Sampling,
    pub(crate) rendering: Rendering,
    weights: GenerationWeights,
    cache: GenerationCache,
    /// The folder's values that take effect, and its values that cannot be applied.
    of_folder: Option<String>,
}

impl Settled {
    /// Returns the model with the number types that it writes with.
    pub(crate) fn writes_with(&self, model: Llama) -> Llama {
        self.cache.of(self.weights.of(model))
    }

    /// Reports the options that the folder has decided.
    pub(crate) fn tell(&self) {
        if let Some(line) = &self.of_folder {
            common::tell(line);
        }
    }
}

impl SamplingArgs {
    /// Checks the values of flags before a folder is read.
    pub(crate) fn check(&self, n: usize) -> Result<(), Failure> {
        let default = Sampling::default();
        let typed = Sampling {
            n,
            temperature: self.temperature.unwrap_or(default.temperature),
            top_p: self.top_p.unwrap_or(default.top_p),
            repetition_penalty: self
                .repetition_penalty
                .unwrap_or(default.repetition_penalty),
            max_new_tokens: self.max_new_tokens.unwrap_or(default.max_new_tokens),
            stop: self.stop.clone(),
            ..default
        };
        typed.check().map_err(|error| said(error, &[]))
    }

    /// Merges the layers for the model in a folder. `base` holds the program's defaults. `name` is
    /// the command, for messages.
    pub(crate) fn settle(
        &self,
        name: &str,
        dir: &Path,
        base: &Sampling,
    ) -> Result<Settled, Failure> {
        self.check(base.n)?;
        let FolderSampling {
            sampling,
            taken,
            left_out,
        } = FolderSampling::read(dir, base)?;
        let docs = Docs::of_type::<Answering>();
        let mut layers = Layers::new(serde_json::to_value(Answering::of(sampling))?);
        if let Some(path) = &self.config {
            let value = read_file::<Answering>(path, name)?;
            layers.put("", value, &Source::File(path.clone()));
        }
        for (name, value, text) in self.typed()? {
            let source = Source::flag(&name.replace('_', "-"), &[text]);
            layers.put(name, value, &source);
        }
        let sets = self.set.iter().map(|text| assignment(text, &docs));
        for set in sets.collect::<Result<Vec<_>, _>>().map_err(usage)? {
            layers.put(&set.path, set.value, &Source::Set(set.text));
        }
        let merged: Answering = layers.read()?;
        let sampling = merged.sampling(base.n);
        sampling.check().map_err(|error| match error {
            GenerateError::Option { .. } => layers.given().explain(error.into()),
            error => error.into(),
        })?;
        let counts = |taken: &&String| {
            let option = match taken.split(' ').next().unwrap_or_default() {
                "do_sample" => "temperature",
                "stop_strings" => "stop",
                option => option,
            };
            !layers.given().has(option)
        };
        let taken: Vec<&str> = taken.iter().filter(counts).map(String::as_str).collect();
        Ok(Settled {
            sampling,
            rendering: Rendering {
                chat_fallback: merged.chat_fallback,
                template: merged.chat_template,
                kwargs: merged.chat_template_kwargs,
                date: merged.template_date,
                on_rewritten: OnRewrittenPrompt::default(),
            },
            weights: merged.generation_weights,
            cache: merged.generation_cache,
            of_folder: line(dir, &taken, &left_out),
        })
    }

    /// Returns the given flags, each as option, value and text.
    fn typed(&self) -> Result<Vec<(&'static str, Value, String)>, Failure> {
        let render = &self.render;
        let mut typed = Vec::new();
        let mut add = |name, value: Option<Value>| {
            if let Some(value) = value {
                let text = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                typed.push((name, value, text));
            }
        };
        add("temperature", self.temperature.map(|v| json!(v)));
        add("top_p", self.top_p.map(|v| json!(v)));
        add("top_k", self.top_k.map(|v| json!(v)));
        add(
            "repetition_penalty",
            self.repetition_penalty.map(|v| json!(v)),
        );
        add("max_new_tokens", self.max_new_tokens.map(|v| json!(v)));
        add("stop", (!self.stop.is_empty()).then(|| json!(self.stop)));
        add("seed", self.seed.map(|v| json!(v)));
        add(
            "generation_weights",
            self.generation_weights.map(|v| json!(v)),
        );
        add("generation_cache", self.generation_cache.map(|v| json!(v)));
        add("chat_fallback", render.chat_fallback.map(|v| json!(v)));
        add(
            "chat_template",
            render.chat_template.as_ref().map(|v| json!(v)),
        );
        let kwargs = render.chat_template_kwargs.as_ref();
        add(KWARGS, kwargs.map(serde_json::to_value).transpose()?);
        add(
            "template_date",
            render.template_date.as_ref().map(|v| json!(v)),
        );
        Ok(typed)
    }
}

/// Returns the line that reports what the folder's file has decided, or `None` if it has decided
/// nothing.
fn line(dir: &Path, taken: &[&str], left_out: &[String]) -> Option<String> {
    if taken.is_empty() && left_out.is_empty() {
        return None;
    }
    let file = dir.join("generation_config.json");
    let not_applied = match left_out {
        [] => None,
        all => Some(format!("not applied: {}", all.join(", "))),
    };
    let taken = (!taken.is_empty()).then(|| taken.join(", "));
    let parts: Vec<String> = taken.into_iter().chain(not_applied).collect();
    Some(format!("{}: {}", file.display(), parts.join("; ")))
}
