//! Opens the judge that the options name.

use std::path::Path;
use std::sync::Arc;

use collimate::core::{Generator, Scorer};
use collimate::data::{ChatFallback, TextTokenizer};
use collimate::judge::{Cache, JudgeOptions, Rubric};
use collimate::lm::{Architecture, Llama, TextGenerator};
use collimate::nn::HfFolder;
use collimate::prelude::Device;
#[cfg(feature = "remote")]
use collimate::remote::{RemoteConfig, RemoteGenerator};
use collimate::run::hash_file;
use collimate::train::{Interrupt, hash_json};

use super::judge_args::{Ask, JudgeArgs, RubricName};
use super::out::Out;
use super::watched::{Source, Watched};
use crate::commands::rule::rules::scorer;
use crate::common::{self, Failure};
use crate::loading;
use crate::runs::model_files;
use crate::scorer::reward_model;

/// A judge that is ready to use.
pub(crate) struct Judging {
    pub(crate) name: String,
    pub(crate) tie_within: f64,
    /// True if the judge treats a prompt that is a text differently from one that is a message.
    pub(crate) renders_prompts: bool,
    pub(crate) kind: Kind,
}

/// The two kinds of judges.
pub(crate) enum Kind {
    /// A scorer, which gives each answer a number.
    Scorer(Box<dyn Scorer>),
    /// A language model, which writes a text about one answer or two.
    Model(Box<Asked>),
}

/// A language model as judge, with the kinds of judgement to ask for.
pub(crate) struct Asked {
    /// Name that distinguishes this judge from others in the cache.
    pub(crate) identity: String,
    pub(crate) generator: Arc<Watched>,
    pub(crate) single: Option<(RubricName, JudgeOptions)>,
    pub(crate) pairwise: Option<JudgeOptions>,
    pub(crate) cache: Option<Arc<Cache>>,
}

impl Judging {
    /// Caches judgements in the folder of results, unless a cache was named.
    pub(crate) fn cache_in(&mut self, out: Option<&Out>) -> Result<(), Failure> {
        if let (Kind::Model(asked), Some(out)) = (&mut self.kind, out)
            && asked.cache.is_none()
        {
            let path = out.file("judge-cache.jsonl")?;
            asked.cache = Some(Arc::new(Cache::open(path)?));
        }
        Ok(())
    }
}

impl Asked {
    /// Returns the rubrics for the answers to a first and to a second question.
    pub(crate) fn rubrics(name: RubricName) -> [Rubric; 2] {
        match name {
            RubricName::Additive => [Rubric::additive(), Rubric::additive()],
            RubricName::MtBench => [Rubric::mt_bench(), Rubric::mt_bench_two_turns()],
        }
    }
}

impl JudgeArgs {
    /// Opens the judge. `two_sides` is true if there are two answers to each question.
    pub(crate) fn open(
        &self,
        two_sides: bool,
        fallback: ChatFallback,
        device: &Device,
        interrupt: &Interrupt,
    ) -> Result<Judging, Failure> {
        let tie_within = self.tie_within;
        if !(tie_within >= 0.0 && tie_within.is_finite()) {
            return Err(format!("--tie-within is {tie_within} but must be at least 0").into());
        }
        if !two_sides && tie_within > 0.0 {
            return Err(
                "--tie-within compares two sides, but there is only one side: remove --tie-within"
                    .into(),
            );
        }
        let given = [
            self.judge.is_some(),
            self.judge_rule.is_some(),
            self.judge_url.is_some(),
        ];
        if given.iter().filter(|&&given| given).count() != 1 {
            return Err(
                "name one judge: --judge DIR, --judge-rule RULE, or --judge-url URL with \
                        --judge-model NAME"
                    .into(),
            );
        }
        let (name, kind) = match (&self.judge, self.judge_rule) {
            (_, Some(rule)) => {
                self.refuse_asking("a rule")?;
                let name = format!("the rule: {}", rule.about());
                (name, Kind::Scorer(Box::new(scorer(rule))))
            }
            (Some(dir), _) => self.folder(dir, two_sides, fallback, device, interrupt)?,
            (None, None) => {
                let server = self.server()?;
                let url = self.judge_url.as_deref().unwrap_or_default();
                let model = self.judge_model.as_deref().unwrap_or_default();
                let name = format!("{model} at {url}");
                let identity = format!("server {url} {model}");
                let source = Source::Server(server);
                // Ctrl-C waits for a batch, and a killed process loses one.
                let batch = self.concurrency.unwrap_or(8).saturating_mul(4);
                (
                    name,
                    self.asked(source, identity, batch, two_sides, interrupt)?,
                )
            }
        };
        Ok(Judging {
            name,
            tie_within,
            renders_prompts: self.judge.is_some() && matches!(kind, Kind::Scorer(_)),
            kind,
        })
    }

    fn folder(
        &self,
        dir: &Path,
        two_sides: bool,
        fallback: ChatFallback,
        device: &Device,
        interrupt: &Interrupt,
    ) -> Result<(String, Kind), Failure> {
        let shown = dir.display();
        let kind = common::architecture(dir)
            .map_err(|error| error.to_string().replacen("--model", "--judge", 1))?;
        if kind != Architecture::Decoder {
            self.refuse_asking("a reward model")?;
            let scorer = reward_model("--judge", dir, fallback, device)?;
            return Ok((format!("the reward model `{shown}`"), Kind::Scorer(scorer)));
        }
        let tokenizer = TextTokenizer::from_folder(dir)?.with_chat_fallback(fallback);
        let model = Llama::load(dir, loading::frozen(device))?;
        let generator = TextGenerator::new(model, tokenizer).with_eos_of(dir)?;
        let identity = format!("folder {} {fallback:?}", hash_folder(dir)?);
        let source = Source::Folder(Box::new(generator));
        let kind = self.asked(source, identity, 16, two_sides, interrupt)?;
        Ok((format!("the language model `{shown}`"), kind))
    }

    #[cfg(not(feature = "remote"))]
    fn server(&self) -> Result<Box<dyn Generator>, Failure> {
        Err(
            "--judge-url: this program was built without servers: build with --features remote"
                .into(),
        )
    }

    #[cfg(feature = "remote")]
    fn server(&self) -> Result<Box<dyn Generator>, Failure> {
        let mut config = RemoteConfig {
            base_url: self.judge_url.clone().unwrap_or_default(),
            model: self.judge_model.clone().unwrap_or_default(),
            api_key_env: self.judge_key_env.clone(),
            ..RemoteConfig::default()
        };
        if let Some(concurrency) = self.concurrency {
            config.concurrency = concurrency;
        }
        match RemoteGenerator::new(&config) {
            Ok(server) => Ok(Box::new(server)),
            Err(error) => Err(format!("the judge's server: {error}").into()),
        }
    }

    fn asked(
        &self,
        source: Source,
        identity: String,
        batch: usize,
        two_sides: bool,
        interrupt: &Interrupt,
    ) -> Result<Kind, Failure> {
        let ask = match (self.ask, two_sides) {
            (None, true) => Ask::Both,
            (None, false) => Ask::Single,
            (Some(Ask::Single), _) | (Some(_), true) => self.ask.unwrap_or(Ask::Single),
            (Some(_), false) => {
                return Err(
                    "--ask pairwise and both need two answers to each question: give \
                            --against DIR"
                        .into(),
                );
            }
        };
        let rubric = match (self.rubric, ask) {
            (Some(_), Ask::Pairwise) => {
                return Err(
                    "--rubric works only with --ask single or both: remove --rubric".into(),
                );
            }
            (rubric, _) => rubric.unwrap_or(RubricName::MtBench),
        };
        if self.samples.is_some() && ask == Ask::Pairwise {
            return Err(
                "--samples works only with --ask single or both, because a pair is judged once in \
                 each order: remove --samples"
                    .into(),
            );
        }
        if self.tie_within > 0.0 && ask == Ask::Pairwise {
            return Err(
                "--tie-within works only with --ask single or both, because side by side the judge \
                 itself decides on a tie: remove --tie-within".into(),
            );
        }
        let single = match rubric {
            RubricName::Additive => JudgeOptions::default(),
            RubricName::MtBench => JudgeOptions::greedy(),
        };
        let single = self.options(single, batch)?;
        if single.samples > 1 && single.sampling.temperature == 0.0 {
            return Err(format!(
                "--samples {}: at temperature 0 all judgements of an answer are equal: give \
                 --judge-temperature too",
                single.samples
            )
            .into());
        }
        // One judgement in each order, regardless of --samples.
        let pairwise = JudgeOptions {
            samples: 1,
            ..self.options(JudgeOptions::greedy(), batch)?
        };
        let cache = self.judge_cache.as_ref();
        let cache = cache
            .map(|path| Cache::open(path).map(Arc::new))
            .transpose()?;
        Ok(Kind::Model(Box::new(Asked {
            identity,
            generator: Arc::new(Watched::new(source, interrupt.clone())),
            single: (ask != Ask::Pairwise).then_some((rubric, single)),
            pairwise: (ask != Ask::Single).then_some(pairwise),
            cache,
        })))
    }
}

/// Hashes the files of a model folder, so that another checkpoint in the same folder counts as
/// another judge.
fn hash_folder(dir: &Path) -> Result<String, Failure> {
    let files = model_files(dir);
    let hashes = files.iter().map(|path| hash_file(path));
    let hashes = hashes.collect::<Result<Vec<String>, _>>()?;
    Ok(hash_json(&hashes))
}
