//! The command line: options over a configuration file over defaults.

use std::path::PathBuf;

use collimate::data::ChatFallback;
use collimate::lm::LlamaConfig;
use collimate::recipes::ppo::PolicyConfig;
use collimate::train::{Schedule, TrainConfig};
use collimate::world::WorldConfig;
use serde::{Deserialize, Serialize};

use crate::commands::rule::rules::Rule;
use crate::common::{Failure, json_name};
use crate::options::{MOST_TEXTS, MOST_TOKENS, RunArgs, assign, check_count, read_config};
use crate::policy::{self, PolicyOptions};

/// Train a language model by reinforcement learning against a reward: PPO, RLOO or GRPO.
///
/// Without --model, a small language model is trained from scratch on an embedded synthetic world,
/// fine-tuned, and then trained against the world's true reward. With --model, your model learns from a saved
/// reward model (--reward-model), or from a rule written in Rust (--reward; examples/src/rule/rules.rs), over your
/// prompts (--prompts) or openings that it writes itself.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Hugging Face folder (Llama) of the policy: fine-tuned already, it is the reference
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Prompts, one a line, or jsonl rows with `prompt` or `messages`; a tenth of them, at most
    /// 200, are kept for the comparison at the end
    #[arg(long, value_name = "FILE")]
    prompts: Option<PathBuf>,
    /// Without --prompts: openings that the model writes itself, for training [default: 600]
    #[arg(long, value_name = "N", conflicts_with = "prompts")]
    openings: Option<usize>,
    /// Length of an opening in tokens [default: 10]
    #[arg(long, value_name = "N", conflicts_with = "prompts")]
    opening_tokens: Option<usize>,
    /// Folder of a reward model: a Llama or a BERT with a score head
    #[arg(long, value_name = "DIR", conflicts_with = "reward")]
    reward_model: Option<PathBuf>,
    /// A rule as the reward [default, without --reward-model: happy]
    #[arg(long, value_enum, value_name = "RULE")]
    reward: Option<Rule>,
    /// A rule that compares the final answers, to see what a reward model's policy is worth; one of the
    /// options of a run, so it cannot be changed later [default: the reward itself]
    #[arg(long, value_enum, value_name = "RULE")]
    judge: Option<Rule>,
    /// Messages where the model has no chat template: refuse, or plain text with their roles
    /// [default: refuse]
    #[arg(long, value_parser = json_name::<ChatFallback>, value_name = "HOW")]
    chat_fallback: Option<ChatFallback>,
    /// Prompts whose answers are compared at the end [default: 400 on the world, else 200]
    #[arg(long, value_name = "N")]
    test_prompts: Option<usize>,
    /// Longest sequence in tokens [default: 1024, or what the model takes; for the world 128]
    #[arg(long, value_name = "N")]
    max_length: Option<usize>,
    #[command(flatten)]
    policy: PolicyOptions,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// Everything that decides a run's result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    pub(crate) model: Option<PathBuf>,
    pub(crate) prompts: Option<PathBuf>,
    pub(crate) openings: usize,
    pub(crate) opening_tokens: usize,
    pub(crate) reward_model: Option<PathBuf>,
    pub(crate) reward: Option<Rule>,
    pub(crate) judge: Option<Rule>,
    pub(crate) chat_fallback: ChatFallback,
    pub(crate) test_prompts: usize,
    pub(crate) policy: PolicyConfig,
    /// Unlabelled texts of the embedded world that its decoder reads first.
    pub(crate) pretrain_texts: usize,
    pub(crate) pretrain: TrainConfig,
    /// Fine-tuning of the decoder from scratch on chosen answers.
    pub(crate) sft: TrainConfig,
    /// The embedded world, where no model is given.
    pub(crate) world: WorldConfig,
    /// The decoder that is trained from scratch on it.
    pub(crate) llama: LlamaConfig,
}

impl Default for Config {
    fn default() -> Self {
        let stage = |stage: &str, learning_rate, batch_size, epochs| TrainConfig {
            stage: stage.to_owned(),
            learning_rate,
            schedule: Schedule::Cosine,
            warmup_steps: 20,
            batch_size,
            epochs,
            save_every: Some(200),
            keep_best: false,
            ..TrainConfig::default()
        };
        Self {
            model: None,
            prompts: None,
            openings: 600,
            opening_tokens: 10,
            reward_model: None,
            reward: None,
            judge: None,
            chat_fallback: ChatFallback::default(),
            test_prompts: 200,
            policy: policy::defaults(),
            pretrain_texts: 0,
            pretrain: stage("pretrain", 3e-3, 64, 2.0),
            sft: stage("sft", 1e-3, 32, 3.0),
            world: WorldConfig::default(),
            llama: LlamaConfig::default(),
        }
    }
}

impl Config {
    /// Defaults for the embedded world, with the decoder of the examples `ser` and `sera`.
    fn for_world() -> Self {
        Self {
            test_prompts: 400,
            policy: policy::for_world(),
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
        }
    }
}

/// The example's name: its run folder.
pub(crate) const NAME: &str = "ppo";

impl Args {
    /// The options, checked.
    pub(crate) fn config(&self) -> Result<Config, Failure> {
        let file = self.run.options_file(NAME)?;
        let mut config = match file {
            None if self.model.is_some() => Config::default(),
            None => Config::for_world(),
            Some(path) => read_config(&path, |alone: &Config| {
                match alone.model.is_some() || self.model.is_some() {
                    true => Config::default(),
                    false => Config::for_world(),
                }
            })?,
        };
        assign(&mut config.model, self.model.clone().map(Some));
        assign(&mut config.prompts, self.prompts.clone().map(Some));
        assign(&mut config.openings, self.openings);
        assign(&mut config.opening_tokens, self.opening_tokens);
        assign(
            &mut config.reward_model,
            self.reward_model.clone().map(Some),
        );
        assign(&mut config.reward, self.reward.map(Some));
        assign(&mut config.judge, self.judge.map(Some));
        assign(&mut config.chat_fallback, self.chat_fallback);
        assign(&mut config.test_prompts, self.test_prompts);
        assign(&mut config.policy.max_length, self.max_length);
        let (given, model) = (self.max_length.is_some(), config.model.as_deref());
        crate::lengths::cap(&mut config.policy.max_length, given, model);
        assign(&mut config.policy.ppo.seed, self.run.seed);
        self.policy.apply(&mut config.policy);
        config.policy.check()?;
        config.sft.validate()?;
        config.pretrain.validate()?;
        for (name, value, least, most) in [
            ("test_prompts", config.test_prompts, 1, MOST_TEXTS),
            ("openings", config.openings, 1, MOST_TEXTS),
            ("opening_tokens", config.opening_tokens, 1, MOST_TOKENS),
            ("pretrain_texts", config.pretrain_texts, 0, MOST_TEXTS),
        ] {
            check_count(name, value, least..=most)?;
        }
        if config.reward_model.is_some() && config.reward.is_some() {
            return Err("reward_model and reward: give one of them".into());
        }
        if config.model.is_none() {
            let given = [
                ("prompts", config.prompts.is_some()),
                ("reward_model", config.reward_model.is_some()),
                ("reward", config.reward.is_some()),
                ("judge", config.judge.is_some()),
                ("openings", self.openings.is_some()),
                ("opening_tokens", self.opening_tokens.is_some()),
                ("chat_fallback", self.chat_fallback.is_some()),
            ];
            if let Some((name, _)) = given.into_iter().find(|(_, given)| *given) {
                return Err(format!("{name} needs --model: the world has its own").into());
            }
        }
        Ok(config)
    }
}
