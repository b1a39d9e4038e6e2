//! The command line: options over a configuration file over defaults.

use std::path::{Path, PathBuf};

use collimate::data::{ChatFallback, Format, OnBadRow};
use collimate::judge::{PromptStyle, Rubric};
use collimate::lm::LlamaConfig;
use collimate::losses::{DirectLoss, PreferenceLoss};
use collimate::nn::LoraConfig;
use collimate::recipes::self_rewarding::{PairSource, PromptSource, SelfRewardingConfig};
use collimate::recipes::{Adaptation, ResponseSampling};
use collimate::train::{Schedule, TrainConfig};
use collimate::world::WorldConfig;
use serde::{Deserialize, Serialize};

use super::world::{self, SeedSizes};
use crate::commands::eval::judge_args::RubricName;
use crate::commands::rule::rules::Rule;
use crate::common::{Failure, json_name};
use crate::options::{MOST_TEXTS, RunArgs, assign, check_count, read_config};

/// Let a language model pose tasks, answer them, judge its own answers and learn from the pairs by
/// direct alignment, again and again (Self-Rewarding Language Models, arXiv:2401.10020).
///
/// Without --model, a small language model is trained from scratch on an embedded synthetic world
/// whose texts also teach it to judge and to pose tasks; the world's true reward compares the models
/// and tells how right the judge is. With --model, --ift and --eft, your model and your seed data
/// are used; a model that cannot judge is refused before anything is learnt from it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Hugging Face folder (Llama) of the model that everything starts from (M0)
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Demonstrations (IFT): JSON lines of {prompt, completion} or {messages}; a tenth is held out
    #[arg(long, value_name = "FILE", requires = "model")]
    ift: Option<PathBuf>,
    /// Judgements to learn to judge from (EFT): the judge's prompt and what it should write, as
    /// {prompt, completion} or {messages}
    #[arg(long, value_name = "FILE", requires = "model")]
    eft: Option<PathBuf>,
    /// Graded answers to make judgements of: JSON lines of {prompt, completion, score} and, if there
    /// is one, {justification}; scores in the rubric's range [0 to 5]
    #[arg(long, value_name = "FILE", requires = "model")]
    graded: Option<PathBuf>,
    /// Examples of posing a task, in the same layouts; a model that can be asked by few shots
    /// needs none
    #[arg(long, value_name = "FILE", requires = "model")]
    task_examples: Option<PathBuf>,
    /// Prompts that the pool of known tasks begins with: one a line, jsonl rows with `prompt` or
    /// `messages`, or a file of questions (Self-Instruct's seed tasks, MT-bench, AlpacaEval, …)
    /// [default: those of --ift]
    #[arg(long, value_name = "FILE", requires = "model")]
    seed_prompts: Option<PathBuf>,
    /// Preference pairs that every model judges, to see how often it agrees with them
    #[arg(long, value_name = "FILE", requires = "model")]
    judge_test: Option<PathBuf>,
    /// Folder of a reward model that compares the models' answers to held-out prompts
    #[arg(
        long,
        value_name = "DIR",
        requires = "model",
        conflicts_with = "evaluator_rule"
    )]
    evaluator: Option<PathBuf>,
    /// A rule that compares them (examples/src/rule/rules.rs)
    #[arg(long, value_enum, value_name = "RULE", requires = "model")]
    evaluator_rule: Option<Rule>,
    /// Format of --judge-test; by default recognised
    #[arg(long, value_parser = json_name::<Format>, value_name = "NAME", requires = "judge_test")]
    format: Option<Format>,
    /// What to do with a row that cannot be read: fail or drop (counted) [default: fail]
    #[arg(long, value_parser = json_name::<OnBadRow>, value_name = "POLICY")]
    on_bad_row: Option<OnBadRow>,
    /// Messages where the model has no chat template: refuse, or plain text with their roles
    /// [default: refuse]
    #[arg(long, value_parser = json_name::<ChatFallback>, value_name = "HOW")]
    chat_fallback: Option<ChatFallback>,
    /// What the judge is asked: additive (0 to 5) or mt_bench (1 to 10); one of your own goes into
    /// --config [default: additive; for the world its own]
    #[arg(long, value_enum, value_name = "NAME", requires = "model")]
    rubric: Option<RubricName>,
    /// How the judge is asked: chat, or text for a model without chat template [default: chat]
    #[arg(long, value_parser = json_name::<PromptStyle>, value_name = "STYLE")]
    judge_style: Option<PromptStyle>,
    /// Preference trainings: 2 end with M3 [default: 2]
    #[arg(long, value_name = "N")]
    iterations: Option<usize>,
    /// New tasks of each iteration [default: 1000; for the world 1500]
    #[arg(long, value_name = "N")]
    tasks: Option<usize>,
    /// Who poses them: fixed (M1 in all iterations) or current [default: fixed]
    #[arg(long, value_parser = json_name::<PromptSource>, value_name = "WHO")]
    prompt_source: Option<PromptSource>,
    /// Answers to each task [default: 4]
    #[arg(long, value_name = "N")]
    candidates: Option<usize>,
    /// Judgements of each answer [default: 3]
    #[arg(long, value_name = "N")]
    samples: Option<usize>,
    /// Share of judgements that must be readable, 0 to 1 [default: 0.5]
    #[arg(long, value_name = "P")]
    min_parse_rate: Option<f64>,
    /// Longest judgement in tokens [default: 512; for the world 16]
    #[arg(long, value_name = "N")]
    judge_tokens: Option<usize>,
    /// Longest answer in tokens [default: 512, at most half of --max-length; for the world 32]
    #[arg(long, value_name = "N")]
    response_tokens: Option<usize>,
    /// Branches with pairs by another source, with commas between: implicit_reward, evaluator, or
    /// none [default: implicit_reward; for the world evaluator too]
    #[arg(long, value_name = "SOURCES")]
    compare: Option<String>,
    /// Learn from the pairs of earlier iterations too
    #[arg(long)]
    accumulate: bool,
    /// Loss: dpo, ipo, slic_hf, simpo, … (docs/losses.md) [default: dpo]
    #[arg(long, value_name = "NAME")]
    loss: Option<String>,
    /// Strength of the pull towards the model before, above 0 [default: the loss's; with DPO 0.1,
    /// for the world 2]
    #[arg(long, value_name = "BETA")]
    beta: Option<f64>,
    /// Learning rate of preference training [default: 1e-6; for the world 1e-4]
    #[arg(long, value_name = "RATE")]
    lr: Option<f64>,
    /// Learning rate of fine-tuning [default: 5.5e-6; for the world 1e-3]
    #[arg(long, value_name = "RATE")]
    sft_lr: Option<f64>,
    /// Examples or pairs per optimiser step [default: 16; for the world 32 and 16]
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// Longest sequence in tokens [default: 1024, or what the model takes; for the world 128]
    #[arg(long, value_name = "N")]
    max_length: Option<usize>,
    /// Held-out prompts that every model answers [default: 400 on the world, else at most 200]
    #[arg(long, value_name = "N")]
    test_prompts: Option<usize>,
    /// Train low-rank adapters (r 8, alpha 32, dropout 0.1) in preference training
    #[arg(long)]
    lora: bool,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// Everything that decides a run's result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    pub(crate) model: Option<PathBuf>,
    pub(crate) ift: Option<PathBuf>,
    pub(crate) eft: Option<PathBuf>,
    pub(crate) graded: Option<PathBuf>,
    pub(crate) task_examples: Option<PathBuf>,
    pub(crate) seed_prompts: Option<PathBuf>,
    pub(crate) judge_test: Option<PathBuf>,
    pub(crate) evaluator: Option<PathBuf>,
    pub(crate) evaluator_rule: Option<Rule>,
    pub(crate) format: Option<Format>,
    pub(crate) on_bad_row: OnBadRow,
    pub(crate) chat_fallback: ChatFallback,
    pub(crate) test_prompts: usize,
    pub(crate) recipe: SelfRewardingConfig,
    /// Unlabelled texts of the embedded world that its decoder reads first.
    pub(crate) pretrain_texts: usize,
    pub(crate) pretrain: TrainConfig,
    /// Seed data made of the embedded world.
    pub(crate) seed_data: SeedSizes,
    /// The embedded world, where no model is given.
    pub(crate) world: WorldConfig,
    /// The decoder that is trained from scratch on it.
    pub(crate) llama: LlamaConfig,
}

impl Default for Config {
    fn default() -> Self {
        let mut recipe = SelfRewardingConfig::default();
        recipe.sft.save_every = Some(200);
        recipe.train.save_every = Some(200);
        recipe.max_length = crate::lengths::DEFAULT;
        Self {
            model: None,
            ift: None,
            eft: None,
            graded: None,
            task_examples: None,
            seed_prompts: None,
            judge_test: None,
            evaluator: None,
            evaluator_rule: None,
            format: None,
            on_bad_row: OnBadRow::Fail,
            chat_fallback: ChatFallback::default(),
            test_prompts: 200,
            recipe,
            pretrain_texts: 0,
            pretrain: stage("pretrain", 3e-3, 64, 2.0),
            seed_data: SeedSizes::default(),
            world: WorldConfig::default(),
            llama: LlamaConfig::default(),
        }
    }
}

fn stage(stage: &str, learning_rate: f64, batch_size: usize, epochs: f64) -> TrainConfig {
    TrainConfig {
        stage: stage.to_owned(),
        learning_rate,
        schedule: Schedule::Cosine,
        warmup_steps: 20,
        batch_size,
        epochs,
        save_every: Some(200),
        keep_best: false,
        ..TrainConfig::default()
    }
}

impl Config {
    /// Defaults for the embedded world: a small decoder from scratch wants larger steps. Chosen in
    /// another world (seed 99) and with a seed that no reported run uses.
    fn for_world() -> Result<Self, Failure> {
        let default = Self::default();
        let mut recipe = default.recipe;
        recipe.max_length = 128;
        recipe.sft = stage("sft", 1e-3, 32, 3.0);
        recipe.loss = recipe.loss.with_beta(2.0);
        recipe.train.learning_rate = 1e-4;
        recipe.train.epochs = 3.0;
        recipe.responses = ResponseSampling {
            temperature: 1.0,
            top_p: 1.0,
            max_new_tokens: 32,
        };
        recipe.tasks.per_iteration = 1_500;
        // At the paper's .6 most of what a small model writes is too like a known task.
        recipe.tasks.sampling = ResponseSampling {
            temperature: 1.0,
            top_p: 1.0,
            max_new_tokens: 24,
        };
        recipe.tasks.template = world::task_template();
        recipe.rubric = world::rubric()?;
        recipe.judge.style = PromptStyle::Text;
        recipe.judge.batch = 512;
        recipe.judge.sampling.max_new_tokens = 16;
        recipe.compare = vec![PairSource::ImplicitReward, PairSource::Evaluator];
        Ok(Self {
            test_prompts: 400,
            recipe,
            pretrain_texts: 24_000,
            llama: LlamaConfig {
                hidden_size: 96,
                intermediate_size: 256,
                num_hidden_layers: 3,
                num_attention_heads: 4,
                num_key_value_heads: 4,
                max_position_embeddings: 256,
                ..LlamaConfig::default()
            },
            ..Self::default()
        })
    }

    fn base(model: bool) -> Result<Self, Failure> {
        match model {
            true => Ok(Self::default()),
            false => Self::for_world(),
        }
    }

    /// The files that a run reads.
    pub(crate) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let files = [
            &self.ift,
            &self.eft,
            &self.graded,
            &self.task_examples,
            &self.seed_prompts,
            &self.judge_test,
        ];
        files.into_iter().flatten()
    }
}

/// The example's name: its run folder.
pub(crate) const NAME: &str = "self_rewarding";

impl Args {
    /// The options, checked.
    pub(crate) fn config(&self) -> Result<Config, Failure> {
        let file = self.run.options_file(NAME)?;
        let mut config = match file {
            None => Config::base(self.model.is_some())?,
            Some(path) => {
                let bases = [Config::base(false)?, Config::base(true)?];
                read_config(&path, |alone: &Config| {
                    let model = alone.model.is_some() || self.model.is_some();
                    bases[usize::from(model)].clone()
                })?
            }
        };
        for (to, from) in [
            (&mut config.model, &self.model),
            (&mut config.ift, &self.ift),
            (&mut config.eft, &self.eft),
            (&mut config.graded, &self.graded),
            (&mut config.task_examples, &self.task_examples),
            (&mut config.seed_prompts, &self.seed_prompts),
            (&mut config.judge_test, &self.judge_test),
            (&mut config.evaluator, &self.evaluator),
        ] {
            assign(to, from.clone().map(Some));
        }
        assign(&mut config.evaluator_rule, self.evaluator_rule.map(Some));
        assign(&mut config.format, self.format.map(Some));
        assign(&mut config.on_bad_row, self.on_bad_row);
        assign(&mut config.chat_fallback, self.chat_fallback);
        assign(&mut config.test_prompts, self.test_prompts);
        self.recipe(&mut config.recipe, config.model.as_deref())?;
        config.pretrain.validate()?;
        self.check(&config)?;
        Ok(config)
    }

    fn recipe(
        &self,
        recipe: &mut SelfRewardingConfig,
        model: Option<&Path>,
    ) -> Result<(), Failure> {
        assign(&mut recipe.seed, self.run.seed);
        assign(&mut recipe.iterations, self.iterations);
        assign(&mut recipe.tasks.per_iteration, self.tasks);
        assign(&mut recipe.tasks.source, self.prompt_source);
        assign(&mut recipe.candidates, self.candidates);
        let rubric = self.rubric.map(|name| match name {
            RubricName::Additive => Rubric::additive(),
            RubricName::MtBench => Rubric::mt_bench(),
        });
        assign(&mut recipe.rubric, rubric);
        assign(&mut recipe.judge.style, self.judge_style);
        assign(&mut recipe.judge.samples, self.samples);
        assign(&mut recipe.judge.min_parse_rate, self.min_parse_rate);
        assign(&mut recipe.judge.sampling.max_new_tokens, self.judge_tokens);
        assign(&mut recipe.responses.max_new_tokens, self.response_tokens);
        if let Some(sources) = &self.compare {
            let names = sources.split(',').filter(|name| *name != "none");
            recipe.compare = names
                .map(|name| {
                    json_name(name).map_err(|error| format!("--compare {name}: {error}, or none"))
                })
                .collect::<Result<_, String>>()?;
        }
        recipe.accumulate |= self.accumulate;
        if let Some(name) = &self.loss {
            let loss = name.parse::<PreferenceLoss>()?;
            if loss.name() != recipe.loss.name() {
                recipe.loss = loss;
            }
        }
        if let Some(beta) = self.beta {
            recipe.loss = recipe.loss.with_beta(beta);
        }
        assign(&mut recipe.train.learning_rate, self.lr);
        assign(&mut recipe.sft.learning_rate, self.sft_lr);
        assign(&mut recipe.train.batch_size, self.batch);
        assign(&mut recipe.sft.batch_size, self.batch);
        assign(&mut recipe.max_length, self.max_length);
        let given = self.max_length.is_some();
        crate::lengths::cap(&mut recipe.max_length, given, model);
        // A default gives way, what somebody said does not.
        if self.response_tokens.is_none() && self.run.options_file(NAME)?.is_none() {
            let longest = (recipe.max_length / 2).max(1);
            recipe.responses.max_new_tokens = recipe.responses.max_new_tokens.min(longest);
        }
        if self.lora {
            recipe.adaptation = Adaptation::Lora(LoraConfig::default());
        }
        Ok(recipe.check()?)
    }

    fn check(&self, config: &Config) -> Result<(), Failure> {
        check_count("test_prompts", config.test_prompts, 1..=MOST_TEXTS)?;
        check_count("pretrain_texts", config.pretrain_texts, 0..=MOST_TEXTS)?;
        let given = [
            ("ift", config.ift.is_some()),
            ("eft", config.eft.is_some()),
            ("graded", config.graded.is_some()),
            ("task_examples", config.task_examples.is_some()),
            ("seed_prompts", config.seed_prompts.is_some()),
            ("judge_test", config.judge_test.is_some()),
            ("evaluator", config.evaluator.is_some()),
            ("evaluator_rule", config.evaluator_rule.is_some()),
            ("judge_style", self.judge_style.is_some()),
            ("on_bad_row", self.on_bad_row.is_some()),
            ("chat_fallback", self.chat_fallback.is_some()),
        ];
        if config.model.is_none() {
            if let Some((name, _)) = given.into_iter().find(|(_, given)| *given) {
                return Err(format!("{name} needs --model: the world has its own").into());
            }
            return config.seed_data.check(&config.world, config.test_prompts);
        }
        if config.evaluator.is_some() && config.evaluator_rule.is_some() {
            return Err("evaluator and evaluator_rule: give one of them".into());
        }
        if config.recipe.compare.contains(&PairSource::Evaluator)
            && config.evaluator.is_none()
            && config.evaluator_rule.is_none()
        {
            return Err(
                "compare is evaluator: give --evaluator or --evaluator-rule, or leave it \
                        out"
                .into(),
            );
        }
        if config.ift.is_none() && config.seed_prompts.is_none() {
            return Err(
                "nothing to begin with: give demonstrations by --ift, or prompts by \
                        --seed-prompts"
                    .into(),
            );
        }
        let default = Config::default();
        let of_world = [
            ("world", config.world != default.world),
            ("llama", config.llama != default.llama),
            ("seed_data", config.seed_data != default.seed_data),
            ("pretrain", config.pretrain != default.pretrain),
            (
                "pretrain_texts",
                config.pretrain_texts != default.pretrain_texts,
            ),
        ];
        match of_world.into_iter().find(|(_, given)| *given) {
            Some((name, _)) => Err(format!(
                "{name} is for the synthetic world: leave it out, or leave out --model"
            )
            .into()),
            None => Ok(()),
        }
    }
}
