//! Options of the command `ppo`, and their short names.

use std::path::{Path, PathBuf};

use collimate::data::ChatFallback;
use collimate::lm::{Architecture, LlamaConfig};
use collimate::nn::{LoraConfig, Precision};
use collimate::recipes::Adaptation;
use collimate::recipes::ppo::{CriticStart, PolicyConfig};
use collimate::train::TrainConfig;
use collimate::world::WorldConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::commands::rule::rules::Rule;
use crate::common::{self, Failure};
use crate::loading::{GenerationCache, GenerationWeights, SavedActivations};
use crate::options::{Flag, Given, Inputs, Layered, MOST_TEXTS, MOST_TOKENS, Options, check_count};
use crate::own::defaults;
use crate::own::flags::{self, Adapts};
use crate::policy::{self, HasPolicy};
use crate::preview::{Beside, Held, TRAIN_ADAPTERS, Writing, largest, parameters};
use crate::rendering::TemplateKwargs;
use crate::start::Start;

/// Train a language model by reinforcement learning against a reward: PPO, RLOO or GRPO.
///
/// Without --model, a small language model is trained from scratch on an embedded synthetic world,
/// fine-tuned, and then trained against the world's true reward. With --model, your model learns
/// from a saved reward model (--reward-model) or from a rule written in Rust (--reward). The
/// prompts are yours (--prompts) or openings that the model writes itself.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) options: Options<Ppo>,
}

/// Options that determine the result of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Hugging Face folder, adapter, GGUF file or hub name of the policy. It should already be fine-tuned, because it is also the
    /// reference model.
    pub(crate) model: Option<PathBuf>,
    /// Prompts: one per line, or jsonl rows with `prompt` or `messages`. A tenth of them, at most
    /// 200, is kept for the comparison at the end.
    pub(crate) prompts: Option<PathBuf>,
    /// Number of openings that the model writes itself for training if no prompts are given.
    pub(crate) openings: usize,
    /// Length of an opening in tokens.
    pub(crate) opening_tokens: usize,
    /// Folder of a reward model: a decoder or an encoder with a score head.
    pub(crate) reward_model: Option<PathBuf>,
    /// Label of the reward model whose score is the reward, by name or number, if the model has
    /// several labels.
    pub(crate) label: Option<String>,
    /// Rule that serves as the reward. Without a rule and a reward model, `happy` is used.
    pub(crate) reward: Option<Rule>,
    /// Rule that compares the final answers, as an independent check of a policy trained on a
    /// reward model. If absent, the reward itself compares them. The rule is part of the run and
    /// cannot be changed later.
    pub(crate) judge: Option<Rule>,
    /// Handling of messages if the model has no chat template: refuse them, or write them as plain
    /// text with their roles.
    pub(crate) chat_fallback: ChatFallback,
    /// Name of a chat template in the model folder; if absent, `default` is used.
    pub(crate) chat_template: Option<String>,
    /// Variables passed to the chat template for all rows, such as `enable_thinking: false`.
    pub(crate) chat_template_kwargs: TemplateKwargs,
    /// Date that the chat template uses as today, such as `2025-01-31`; if absent, the day of the
    /// run in UTC.
    pub(crate) template_date: Option<String>,
    /// Precision of the products of linear layers: f32, or bf16, which is faster on processors with a
    /// unit for bf16.
    pub(crate) precision: Precision,
    /// Number type of the activations that are saved for the backward pass: f32, bf16 (half of the
    /// memory, gradients with about three digits), or auto, which is bf16 if adapters are trained
    /// beside frozen matrices of 16 bits, and f32 otherwise.
    pub(crate) saved_activations: SavedActivations,
    /// Number type of the weights that answers are written with. Training, log-probabilities
    /// and scores use the exact weights.
    pub(crate) generation_weights: GenerationWeights,
    /// Number type of the keys and values that the model keeps while it writes answers.
    pub(crate) generation_cache: GenerationCache,
    /// Number of prompts whose answers are compared at the end.
    pub(crate) test_prompts: usize,
    /// Options of the policy's training.
    pub(crate) policy: PolicyConfig,
    /// Number of unlabelled texts of the synthetic world that the decoder from scratch is
    /// pretrained on.
    pub(crate) pretrain_texts: usize,
    /// Pretraining of the decoder from scratch on plain texts.
    pub(crate) pretrain: TrainConfig,
    /// Fine-tuning of the decoder from scratch on chosen answers.
    pub(crate) sft: TrainConfig,
    /// The synthetic world, used if no model is given.
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
            precision: Precision::default(),
            saved_activations: SavedActivations::default(),
            generation_weights: GenerationWeights::default(),
            generation_cache: GenerationCache::default(),
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

/// Returns true for the folder of an encoder, whose weights are never trained here.
fn is_encoder(folder: &Path) -> bool {
    common::architecture(folder).is_ok_and(|found| found == Architecture::Encoder)
}

/// The command `ppo`.
#[derive(Debug)]
pub(crate) struct Ppo;

impl HasPolicy for Config {
    fn policy(&mut self) -> &mut PolicyConfig {
        &mut self.policy
    }
}

impl Adapts for Config {
    fn adaptation(&mut self) -> &mut Adaptation {
        &mut self.policy.adaptation
    }

    fn fresh_adapters(&self) -> LoraConfig {
        policy::adapters()
    }
}

impl Layered for Ppo {
    type Config = Config;
    const NAME: &'static str = "ppo";
    const OWN: &'static str = "model";
    const ESTIMATES: bool = false;

    /// Uses the same decoder as the other commands.
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
            flags::precision(),
            flags::saved_activations(),
            flags::generation_weights(),
            flags::generation_cache(),
            Flag::of("max-length", "N", &["policy.max_length"]),
            Flag::of("seed", "N", &["policy.ppo.seed"]),
        ];
        flags.extend(policy::flags("lora"));
        flags.extend(flags::lora_form(&["policy.adaptation"]));
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
            return Err("reward_model and reward exclude each other: give one of them".into());
        }
        if config.label.is_some() && config.reward_model.is_none() {
            return Err(
                "label needs reward_model, because label names a label of that model".into(),
            );
        }
        if given.typed("policy.critic")
            && config.policy.critic == CriticStart::RewardModel
            && config.reward_model.is_none()
        {
            return Err("critic is reward_model, but there is none: give --reward-model".into());
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
                return Err(format!(
                    "{name} needs --model, because the synthetic world has its own"
                )
                .into());
            }
        }
        Ok(())
    }

    fn held(config: &Config) -> Option<Held> {
        let model = config.model.clone()?;
        let (policy, ppo) = (&config.policy, &config.policy.ppo);
        let lora = matches!(policy.adaptation, Adaptation::Lora(_));
        let reward_model = config.reward_model.clone().map(|folder| Beside {
            keeps_half: lora || is_encoder(&folder),
            folder,
        });
        Some(Held {
            lora,
            keeps_half: lora,
            // With adapters the reference is the policy without them.
            copies: usize::from(!lora),
            saved_activations: config.saved_activations,
            critic: policy::critic_folder(
                policy,
                parameters(&model),
                config.reward_model.as_deref(),
            ),
            beside: reward_model.into_iter().collect(),
            asked: largest(
                ppo.mini_batch_size,
                policy.max_length,
                ppo.micro_batch_tokens,
            ),
            longest: policy.max_length,
            advice: TRAIN_ADAPTERS,
            writing: Some(Writing {
                weights: config.generation_weights,
                cache: config.generation_cache,
                max_length: policy.max_length,
            }),
            model,
        })
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
