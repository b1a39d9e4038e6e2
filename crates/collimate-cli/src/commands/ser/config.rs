//! Options that determine the result of a run, with their defaults.

use std::path::PathBuf;

use collimate::data::{ChatFallback, Format, HhTurns, OnBadRow, OnRewrittenPrompt};
use collimate::lm::LlamaConfig;
use collimate::nn::{Pooling, Precision};
use collimate::recipes::ppo::PolicyConfig;
use collimate::recipes::ser::{
    Adaptation, Control, EnsembleConfig, Heads, Recipe, RetrainFrom, SerConfig,
};
use collimate::status::ScoreCentre;
use collimate::train::TrainConfig;
use collimate::world::WorldConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::Failure;
use crate::files;
use crate::loading::SavedActivations;
use crate::own::{OnData, Own, defaults, own};
use crate::policy;
use crate::rendering::TemplateKwargs;

/// The last stage of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StopAfter {
    /// Stop after the evolved reward model.
    #[default]
    Rm,
    /// Stop after the policies trained with it.
    Ppo,
}

/// A reward that a policy is trained against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PolicyReward {
    /// The seed model.
    Loop0,
    /// The evolved reward model.
    Ser,
    /// The reward model trained on all labels.
    Full,
    /// The mean of the seed models (the control `seed_ensemble`).
    SeedEnsemble,
    /// The world's true reward.
    Gold,
}

/// Options that determine the result of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Pairs with your own labels to learn from: files of any format that is read as pairs, and
    /// files that `collimate label` writes. At least 20 pairs.
    #[serde(deserialize_with = "files::one_or_many")]
    pub(crate) labelled: Vec<PathBuf>,
    /// Pairs without labels, for the model to label: prompts with two or more answers, or pairs
    /// whose labels are ignored. With --policy, prompts without answers are allowed.
    #[serde(deserialize_with = "files::one_or_many")]
    pub(crate) unlabelled: Vec<PathBuf>,
    /// Labelled pairs to simulate on with `simulate`: hh-rlhf or TRL jsonl (.gz too),
    /// UltraFeedback, tables, OASST trees. Several files are read in turn. 10 % of the prompts are
    /// for validation. With a decoder, 30 % of the rest are for its fine-tuning and 5 % for a later
    /// policy.
    #[serde(deserialize_with = "files::one_or_many")]
    pub(crate) data: Vec<PathBuf>,
    /// Test pairs; if absent, a simulation takes 20 % of the prompts in `data`, chosen by hash.
    #[serde(deserialize_with = "files::one_or_many")]
    pub(crate) test: Vec<PathBuf>,
    /// Labelled pairs to evaluate on after every stage, in addition to your own labels.
    #[serde(deserialize_with = "files::one_or_many")]
    pub(crate) validation: Vec<PathBuf>,
    /// If true, the run uses a share of the labels of `data` and hides the others, to measure how
    /// much SER would help.
    pub(crate) simulate: bool,
    /// Judge that labels pairs of the pool, instead of people or in addition to them: the folder of
    /// a language model, or the base URL of an OpenAI-compatible server.
    pub(crate) labelled_by: Option<String>,
    /// Name of the judge's model on the server.
    pub(crate) labelled_by_model: Option<String>,
    /// Name of the environment variable that holds the key of the judge's server; if absent, no key
    /// is sent.
    pub(crate) labelled_by_key_env: Option<String>,
    /// Number of pairs that the judge labels, each in both orders, at least 20.
    pub(crate) label_count: usize,
    /// Maximum number of pairs from the answers to one prompt of the pool, at least 1.
    pub(crate) pairs_per_prompt: usize,
    /// Policy that answers prompts without answers: the folder of a language model, or the base URL
    /// of an OpenAI-compatible server.
    pub(crate) policy_source: Option<String>,
    /// Name of the policy's model on the server.
    pub(crate) policy_model: Option<String>,
    /// Name of the environment variable that holds the key of the policy's server; if absent, no
    /// key is sent.
    pub(crate) policy_key_env: Option<String>,
    /// Number of answers that the policy writes to each prompt, at least 2.
    pub(crate) responses: usize,
    /// Hugging Face folder, adapter, GGUF file or hub name of the decoder or encoder that the reward
    /// model starts from.
    pub(crate) model: Option<PathBuf>,
    /// Format of the files; if absent, it is detected.
    pub(crate) format: Option<Format>,
    /// Handling of rows that cannot be read: fail, or drop and count them.
    pub(crate) on_bad_row: OnBadRow,
    /// Prompt of an hh-rlhf dialogue: the last turn (as in the paper) or the full dialogue.
    pub(crate) hh_turns: HhTurns,
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
    /// Handling of rows whose prompt is tokenised differently once the answer follows: count them,
    /// or fail.
    pub(crate) on_rewritten_prompt: OnRewrittenPrompt,
    /// Precision of the products of linear layers: f32, or bf16, which is faster on processors with a
    /// unit for bf16.
    pub(crate) precision: Precision,
    /// Number type of the activations that are saved for the backward pass: f32, bf16 (half of the
    /// memory, gradients with about three digits), or auto, which is bf16 if adapters are trained
    /// beside frozen matrices of 16 bits, and f32 otherwise.
    pub(crate) saved_activations: SavedActivations,
    /// Pooling of an encoder; if absent, the model folder decides.
    pub(crate) pooling: Option<Pooling>,
    /// Label of a classifier whose score is the reward, by name or number, if the classifier has
    /// several labels.
    pub(crate) label: Option<String>,
    /// Number of unlabelled texts of the synthetic world that the decoder from scratch is
    /// pretrained on.
    pub(crate) pretrain_texts: usize,
    /// Pretraining of the decoder from scratch on plain texts.
    pub(crate) pretrain: TrainConfig,
    /// Fine-tuning of a decoder on chosen answers, before the reward model.
    pub(crate) sft: TrainConfig,
    /// Options of the reward model's evolution.
    pub(crate) ser: SerConfig,
    /// The synthetic world, used if no file is given.
    pub(crate) world: WorldConfig,
    /// The decoder that is trained from scratch on the synthetic world.
    pub(crate) llama: LlamaConfig,
    /// Last stage of the run: the evolved reward model, or the policies trained with it (decoders
    /// only).
    pub(crate) stop_after: StopAfter,
    /// Rewards that policies are trained against; gold is the true reward of the synthetic world.
    pub(crate) policy_rewards: Vec<PolicyReward>,
    /// Prompts that the policies learn on: one per line, or jsonl rows with `prompt` or `messages`. If
    /// absent, they come from the pool or, in a simulation, from 5 % of the training pairs.
    pub(crate) policy_prompts: Option<PathBuf>,
    /// Number of prompts whose answers are compared at the end.
    pub(crate) policy_test_prompts: usize,
    /// Number of rounds in which the policy's own answers become new unlabelled pairs, SER
    /// continues with them, and a new policy learns from the new reward model.
    pub(crate) policy_in_loop: usize,
    /// Options of the policies' training.
    pub(crate) policy: PolicyConfig,
}

impl Default for Config {
    fn default() -> Self {
        let mut ser = SerConfig::default();
        // A killed run then loses little work.
        ser.train.save_every = Some(200);
        ser.max_length = crate::lengths::DEFAULT;
        Self {
            labelled: Vec::new(),
            unlabelled: Vec::new(),
            data: Vec::new(),
            test: Vec::new(),
            validation: Vec::new(),
            simulate: false,
            labelled_by: None,
            labelled_by_model: None,
            labelled_by_key_env: None,
            label_count: 200,
            pairs_per_prompt: 3,
            policy_source: None,
            policy_model: None,
            policy_key_env: None,
            responses: 2,
            model: None,
            format: None,
            on_bad_row: OnBadRow::Fail,
            hh_turns: HhTurns::LastTurnOnly,
            chat_fallback: ChatFallback::default(),
            chat_template: None,
            chat_template_kwargs: TemplateKwargs::default(),
            template_date: None,
            on_rewritten_prompt: OnRewrittenPrompt::default(),
            precision: Precision::default(),
            saved_activations: SavedActivations::default(),
            pooling: None,
            label: None,
            pretrain_texts: 0,
            pretrain: defaults::pretrain(),
            sft: TrainConfig {
                warmup_steps: 2,
                ..defaults::own_sft()
            },
            ser,
            world: WorldConfig::default(),
            llama: LlamaConfig::default(),
            stop_after: StopAfter::default(),
            policy_rewards: vec![PolicyReward::Ser],
            policy_test_prompts: 200,
            policy_in_loop: 0,
            policy_prompts: None,
            policy: policy::for_own_reward_models(),
        }
    }
}

impl Config {
    /// Returns the defaults for the synthetic world: a small decoder from scratch needs larger
    /// steps. The values were chosen on validation pairs, with seeds that no reported run uses.
    pub(crate) fn of_world() -> Self {
        let default = Self::default();
        Self {
            pretrain_texts: defaults::plain_texts(),
            policy_rewards: vec![
                PolicyReward::Loop0,
                PolicyReward::Ser,
                PolicyReward::Full,
                PolicyReward::SeedEnsemble,
                PolicyReward::Gold,
            ],
            policy_test_prompts: 400,
            policy: policy::for_world(),
            sft: defaults::sft(),
            ser: SerConfig {
                recipe: Recipe::NoisyEnsemble,
                also: vec![Recipe::Paper],
                ensemble: EnsembleConfig {
                    heads: Heads::Fresh,
                    ..default.ser.ensemble
                },
                score_centre: ScoreCentre::SeedMean,
                retrain_from: RetrainFrom::Start,
                max_length: 128,
                train: TrainConfig {
                    learning_rate: 1e-3,
                    batch_size: 16,
                    epochs: 3.0,
                    warmup_ratio: 0.05,
                    ..default.ser.train
                },
                ..default.ser
            },
            llama: defaults::llama(),
            ..default
        }
    }
}

impl OnData for Config {
    fn own(&self) -> Own<'_> {
        Own {
            data: match (self.is_real(), self.labelled.is_empty()) {
                (false, _) => &self.data,
                (true, false) => &self.labelled,
                // A judge labels these pairs.
                (true, true) => &self.unlabelled,
            },
            test: &self.test,
            pooling: self.pooling.is_some(),
            label: self.label.is_some(),
            sft: Some(&self.sft),
            ..own!(self, self.ser, self.ser.seed)
        }
    }
}

impl Config {
    /// Returns true for a run on the user's own labels and an unlabelled pool.
    pub(crate) fn is_real(&self) -> bool {
        !self.unlabelled.is_empty()
    }

    /// Returns true if pairs are held out to measure reward models on.
    pub(crate) fn measures(&self) -> bool {
        !(self.test.is_empty() && self.validation.is_empty())
    }

    /// Returns true if policies are trained.
    pub(crate) fn trains_policies(&self) -> bool {
        self.stop_after == StopAfter::Ppo
    }

    /// Refuses rounds if no policy is trained, because then no policy can write the pairs of a
    /// round.
    pub(crate) fn check_no_rounds(&self) -> Result<(), Failure> {
        match self.policy_in_loop {
            0 => Ok(()),
            rounds => Err(format!(
                "--policy-in-loop {rounds}: a policy writes the pairs of each round, but this run \
                 trains no policy: remove --policy-in-loop, or train a language model with \
                 --stop-after ppo"
            )
            .into()),
        }
    }

    /// Refuses contradictory options of the policy stage.
    pub(crate) fn check_policies(&self) -> Result<(), Failure> {
        match &self.policy_prompts {
            Some(_) if !self.trains_policies() => {
                let text = "--policy-prompts has the prompts that policies learn on, but this run \
                            trains no policy: add --stop-after ppo, or remove --policy-prompts";
                return Err(text.into());
            }
            Some(_) if self.model.is_none() => {
                let text = "--policy-prompts: the policies of the synthetic world learn on prompts \
                            of the world: give data and --model too, or remove --policy-prompts";
                return Err(text.into());
            }
            _ => {}
        }
        if !self.trains_policies() {
            return self.check_no_rounds();
        }
        if self.policy_test_prompts == 0 {
            return Err("policy_test_prompts is 0 but must be at least 1".into());
        }
        let has = |reward| self.policy_rewards.contains(&reward);
        if has(PolicyReward::Gold) && self.model.is_some() {
            let text = "policy_rewards has gold, but only the synthetic world has a true reward: \
                        remove gold";
            return Err(text.into());
        }
        if has(PolicyReward::Full) && !self.ser.baseline {
            let text = "policy_rewards has full, but the all-labels model is not trained: remove \
                        --no-baseline, or remove full (--policy-rewards loop0,ser,gold)";
            return Err(text.into());
        }
        let ensemble = self.ser.controls.contains(&Control::SeedEnsemble);
        if has(PolicyReward::SeedEnsemble) && !ensemble {
            let text = "policy_rewards has seed_ensemble, but the control of that name is not run: \
                        add seed_ensemble to --controls, or remove it from --policy-rewards";
            return Err(text.into());
        }
        if self.policy_in_loop > 0 && self.ser.recipe != Recipe::Paper {
            let text = "--policy-in-loop filters by the paper's rule: add --recipe paper";
            return Err(text.into());
        }
        if self.policy_in_loop > 0 && !has(PolicyReward::Ser) {
            let text = "--policy-in-loop needs the policy of the evolved reward model, which \
                        writes the pairs: add ser to --policy-rewards";
            return Err(text.into());
        }
        if self.policy_in_loop > 0 && self.ser.max_loops == 0 {
            let text = "--policy-in-loop runs loops, so --loops must be at least 1";
            return Err(text.into());
        }
        Ok(self.policy.check()?)
    }
}
