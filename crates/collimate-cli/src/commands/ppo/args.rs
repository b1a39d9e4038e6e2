//! Options of the command `ppo`, and their short names.

use std::path::PathBuf;

use collimate::data::ChatFallback;
use collimate::lm::LlamaConfig;
use collimate::recipes::ppo::PolicyConfig;
use collimate::train::TrainConfig;
use collimate::world::WorldConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::commands::rule::rules::Rule;
use crate::common::Failure;
use crate::options::{Flag, Given, Inputs, Layered, MOST_TEXTS, MOST_TOKENS, Options, check_count};
use crate::own::defaults;
use crate::policy::{self, HasPolicy};
use crate::rendering::TemplateKwargs;
use crate::start::Start;

/// Train a language model by reinforcement learning against a reward: PPO, RLOO or GRPO.
///
/// Without --model, a small language model is trained from scratch on an embedded synthetic world,
/// fine-tuned, and then trained against the world's true reward. With --model, your model learns from a saved
/// reward model (--reward-model), or from a rule written in Rust (--reward), over your
/// prompts (--prompts) or openings that it writes itself.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) options: Options<Ppo>,
}

/// Everything that decides a run's result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Hugging Face folder of the policy: fine-tuned already, it is the reference.
    pub(crate) model: Option<PathBuf>,
    /// Prompts, one a line, or jsonl rows with `prompt` or `messages`; a tenth of them, at most 200, are
    /// kept for the comparison at the end.
    pub(crate) prompts: Option<PathBuf>,
    /// Number of openings that the model writes itself for training, where no prompts are given.
    pub(crate) openings: usize,
    /// Length of an opening in tokens.
    pub(crate) opening_tokens: usize,
    /// Folder of a reward model: a decoder or an encoder with a score head.
    pub(crate) reward_model: Option<PathBuf>,
    /// Label of the reward model whose score is the reward, by name or number, where it has several.
    pub(crate) label: Option<String>,
    /// Rule as the reward; without one, and without a reward model, happy.
    pub(crate) reward: Option<Rule>,
    /// Rule that compares the final answers, to see how good a reward model's policy is; without one
    /// the reward itself compares them. Part of the run: it cannot be changed later.
    pub(crate) judge: Option<Rule>,
    /// Treatment of messages where the model has no chat template: refuse them, or write plain text with
    /// their roles.
    pub(crate) chat_fallback: ChatFallback,
    /// Name of one of the chat templates of the model's folder; without one it is `default`.
    pub(crate) chat_template: Option<String>,
    /// Variables of the chat template, such as `enable_thinking: false`, for all rows.
    pub(crate) chat_template_kwargs: TemplateKwargs,
    /// Day that a chat template writes as today, such as `2025-01-31`; without one, the day of the run
    /// in UTC.
    pub(crate) template_date: Option<String>,
    /// Number of prompts whose answers are compared at the end.
    pub(crate) test_prompts: usize,
    /// Training of the policy.
    pub(crate) policy: PolicyConfig,
    /// Number of unlabelled texts of the synthetic world that its decoder reads first.
    pub(crate) pretrain_texts: usize,
    /// Training of the decoder from scratch on these texts.
    pub(crate) pretrain: TrainConfig,
    /// Fine-tuning of the decoder from scratch on chosen answers.
    pub(crate) sft: TrainConfig,
    /// The synthetic world, where no model is given.
    pub(crate) world: WorldConfig,
    /// The decoder that is trained from scratch on the synthetic world.
    pub(crate) llama: LlamaConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            model: None,
            prompts: None,
            openings: 600,
            opening_tokens: 10,
            reward_model: None,
            label: None,
            reward: None,
            judge: None,
            chat_fallback: ChatFallback::default(),
            chat_template: None,
            chat_template_kwargs: TemplateKwargs::default(),
            template_date: None,
            test_prompts: 200,
            policy: policy::defaults(),
            pretrain_texts: 0,
            pretrain: defaults::pretrain(),
            sft: defaults::sft(),
            world: WorldConfig::default(),
            llama: LlamaConfig::default(),
        }
    }
}

/// The command `ppo`.
#[derive(Debug)]
pub(crate) struct Ppo;

impl HasPolicy for Config {
    fn policy(&mut self) -> &mut PolicyConfig {
        &mut self.policy
    }
}

impl Layered for Ppo {
    type Config = Config;
    const NAME: &'static str = "ppo";
    const OWN: &'static str = "model";
    const ESTIMATES: bool = false;

    /// With the decoder of the other commands.
    fn for_world() -> Result<Config, Failure> {
        Ok(Config {
            test_prompts: 400,
            policy: policy::for_world(),
            pretrain_texts: defaults::plain_texts(),
            llama: defaults::llama(),
            ..Config::default()
        })
    }

    fn flags() -> Vec<Flag<Config>> {
        let mut flags = vec![
            Flag::of("model", "DIR", &["model"]),
            Flag::of("prompts", "FILE", &["prompts"]),
            Flag::of("openings", "N", &["openings"]).conflicts("prompts"),
            Flag::of("opening-tokens", "N", &["opening_tokens"]).conflicts("prompts"),
            Flag::of("reward-model", "DIR", &["reward_model"]).conflicts("reward"),
            Flag::of("label", "LABEL", &["label"])
                .conflicts("reward")
                .rare(),
            Flag::of("reward", "RULE", &["reward"]),
            Flag::of("judge", "RULE", &["judge"]),
            Flag::of("chat-fallback", "HOW", &["chat_fallback"]).rare(),
            Flag::of("chat-template", "NAME", &["chat_template"]).rare(),
            Flag::of("chat-template-kwargs", "JSON", &["chat_template_kwargs"]).rare(),
            Flag::of("template-date", "DATE", &["template_date"]).rare(),
            Flag::of("test-prompts", "N", &["test_prompts"]),
            Flag::of("max-length", "N", &["policy.max_length"]),
            Flag::of("seed", "N", &["policy.ppo.seed"]),
        ];
        flags.extend(policy::flags());
        flags
    }

    fn settle(config: &mut Config, given: &Given) -> Result<(), Failure> {
        let model = config.model.as_deref();
        let length = &mut config.policy.max_length;
        crate::lengths::cap(length, given.has("policy.max_length"), model);
        policy::settle(&mut config.policy, given);
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
        if config.label.is_some() && config.reward_model.is_none() {
            return Err("label needs reward_model: it is one of the labels of that model".into());
        }
        if config.model.is_none() {
            let given = [
                ("prompts", config.prompts.is_some()),
                ("reward_model", config.reward_model.is_some()),
                ("reward", config.reward.is_some()),
                ("judge", config.judge.is_some()),
                ("openings", given.typed("openings")),
                ("opening_tokens", given.typed("opening_tokens")),
                ("chat_fallback", given.typed("chat_fallback")),
                ("chat_template", given.typed("chat_template")),
                ("chat_template_kwargs", given.typed("chat_template_kwargs")),
                ("template_date", given.typed("template_date")),
            ];
            if let Some((name, _)) = given.into_iter().find(|(_, given)| *given) {
                return Err(format!("{name} needs --model: the world has its own").into());
            }
        }
        Ok(())
    }

    fn inputs(config: &Config) -> Inputs<'_> {
        Inputs {
            files: config.prompts.iter().collect(),
            models: config.model.iter().chain(&config.reward_model).collect(),
        }
    }

    fn run(start: &Start<'_, Config>) -> Result<(), Failure> {
        super::run(start)
    }
}
