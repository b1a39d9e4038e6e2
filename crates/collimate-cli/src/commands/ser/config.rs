//! Everything that decides a run's result, with its defaults.

use std::path::PathBuf;

use collimate::data::{ChatFallback, Format, HhTurns, OnBadRow, OnRewrittenPrompt};
use collimate::lm::LlamaConfig;
use collimate::nn::Pooling;
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
use crate::own::{OnData, Own, defaults, own};
use crate::policy;
use crate::rendering::TemplateKwargs;

/// The last stage of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StopAfter {
    /// The evolved reward model.
    #[default]
    Rm,
    /// Policies trained with it.
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
    /// The reward model with all labels.
    Full,
    /// The mean of the seed models (the control `seed_ensemble`).
    SeedEnsemble,
    /// The world's true reward.
    Gold,
}

/// Everything that decides a run's result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Pairs with labels of your own, to learn from: files of any format that is read as pairs, and
    /// what `collimate label` writes. At least 20 pairs.
    #[serde(deserialize_with = "files::one_or_many")]
    pub(crate) labelled: Vec<PathBuf>,
    /// Pairs without labels, for the model to label: prompts with two or more answers, or pairs whose
    /// label is not read; with --policy, prompts alone.
    #[serde(deserialize_with = "files::one_or_many")]
    pub(crate) unlabelled: Vec<PathBuf>,
    /// Labelled pairs to simulate on with `simulate`: hh-rlhf or TRL jsonl (.gz too), UltraFeedback,
    /// tables, OASST trees; several files are read in turn. 10 % of the prompts are for validation; with
    /// a decoder, 30 % of the rest for its fine-tuning and 5 % for a later policy.
    #[serde(deserialize_with = "files::one_or_many")]
    pub(crate) data: Vec<PathBuf>,
    /// Test pairs; without them a simulation takes 20 % of the data's prompts, chosen by hash.
    #[serde(deserialize_with = "files::one_or_many")]
    pub(crate) test: Vec<PathBuf>,
    /// Labelled pairs to look at after every stage, beside labels of your own.
    #[serde(deserialize_with = "files::one_or_many")]
    pub(crate) validation: Vec<PathBuf>,
    /// Use a share of the labels of `data` and hide the others, to find out what SER would bring.
    pub(crate) simulate: bool,
    /// Judge that labels pairs of the pool, in place of people or beside them: the folder of a language
    /// model, or the base URL of an OpenAI-compatible server.
    pub(crate) labelled_by: Option<String>,
    /// Name of the judge's model on its server.
    pub(crate) labelled_by_model: Option<String>,
    /// Name of the environment variable that holds the key of the judge's server; without it no key is
    /// sent.
    pub(crate) labelled_by_key_env: Option<String>,
    /// Number of pairs that the judge is asked about, each in both orders, at least 20.
    pub(crate) label_count: usize,
    /// Largest number of pairs that the answers to one prompt of the pool give, at least 1.
    pub(crate) pairs_per_prompt: usize,
    /// Writer of the answers to prompts alone: the folder of a language model, or the base URL of an
    /// OpenAI-compatible server.
    pub(crate) policy_source: Option<String>,
    /// Name of the policy's model on its server.
    pub(crate) policy_model: Option<String>,
    /// Name of the environment variable that holds the key of the policy's server; without it no key is
    /// sent.
    pub(crate) policy_key_env: Option<String>,
    /// Number of answers that the policy writes to each prompt, at least 2.
    pub(crate) responses: usize,
    /// Hugging Face folder (a decoder or an encoder) that the reward model starts from.
    pub(crate) model: Option<PathBuf>,
    /// Format of the files; without one it is recognised.
    pub(crate) format: Option<Format>,
    /// Treatment of a row that cannot be read: fail, or drop and count it.
    pub(crate) on_bad_row: OnBadRow,
    /// Prompt of an hh-rlhf dialogue: the last turn (as in the paper) or the full dialogue.
    pub(crate) hh_turns: HhTurns,
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
    /// Rows whose prompt has other tokens where the answer follows: count them, or fail.
    pub(crate) on_rewritten_prompt: OnRewrittenPrompt,
    /// Pooling of an encoder; without one the folder decides.
    pub(crate) pooling: Option<Pooling>,
    /// Label of a classifier whose score is the reward, by name or number, where it has several.
    pub(crate) label: Option<String>,
    /// Number of unlabelled texts of the synthetic world that its decoder reads first.
    pub(crate) pretrain_texts: usize,
    /// Training of the decoder from scratch on these texts.
    pub(crate) pretrain: TrainConfig,
    /// Fine-tuning of a decoder on chosen answers, before the reward model.
    pub(crate) sft: TrainConfig,
    /// The evolution of the reward model.
    pub(crate) ser: SerConfig,
    /// The synthetic world, where no file is given.
    pub(crate) world: WorldConfig,
    /// The decoder that is trained from scratch on the synthetic world.
    pub(crate) llama: LlamaConfig,
    /// Stage after which to stop: the evolved reward model, or the policies trained with it (decoders only).
    pub(crate) stop_after: StopAfter,
    /// Rewards that policies are trained against; gold is the true reward of the synthetic world.
    pub(crate) policy_rewards: Vec<PolicyReward>,
    /// Number of prompts whose answers are compared at the end.
    pub(crate) policy_test_prompts: usize,
    /// Rounds in which the policy's own answers become new unlabelled pairs, SER goes on with them, and a
    /// new policy learns from the new reward model.
    pub(crate) policy_in_loop: usize,
    /// Training of the policies.
    pub(crate) policy: PolicyConfig,
}

impl Default for Config {
    fn default() -> Self {
        let mut ser = SerConfig::default();
        // So that a killed run loses little.
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
            policy: policy::for_own_reward_models(),
        }
    }
}

impl Config {
    /// Defaults for the embedded world: a small decoder from scratch wants larger steps. Chosen on
    /// validation pairs with seeds that no reported run uses.
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
                // A judge labels them.
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
    /// True for labels of the user's own and a pool that nobody has labelled.
    pub(crate) fn is_real(&self) -> bool {
        !self.unlabelled.is_empty()
    }

    /// True where pairs are held out to measure reward models on.
    pub(crate) fn measures(&self) -> bool {
        !(self.test.is_empty() && self.validation.is_empty())
    }

    /// True where policies are trained.
    pub(crate) fn trains_policies(&self) -> bool {
        self.stop_after == StopAfter::Ppo
    }

    /// Where no policy is trained, none can write the pairs of a round.
    pub(crate) fn check_no_rounds(&self) -> Result<(), Failure> {
        match self.policy_in_loop {
            0 => Ok(()),
            rounds => Err(format!(
                "--policy-in-loop {rounds}: a policy writes the pairs of each round, and this run \
                 trains none: leave it out, or train a language model with --stop-after ppo"
            )
            .into()),
        }
    }

    /// Refuses policy stages that cannot be meant.
    pub(crate) fn check_policies(&self) -> Result<(), Failure> {
        if !self.trains_policies() {
            return self.check_no_rounds();
        }
        if self.policy_test_prompts == 0 {
            return Err("policy_test_prompts is 0: at least 1".into());
        }
        let has = |reward| self.policy_rewards.contains(&reward);
        if has(PolicyReward::Gold) && self.model.is_some() {
            let text = "policy_rewards has gold: only the synthetic world has a true reward";
            return Err(text.into());
        }
        if has(PolicyReward::Full) && !self.ser.baseline {
            let text = "policy_rewards has full, and the all-labels model is not trained: leave out \
                        --no-baseline, or full (--policy-rewards loop0,ser,gold)";
            return Err(text.into());
        }
        let ensemble = self.ser.controls.contains(&Control::SeedEnsemble);
        if has(PolicyReward::SeedEnsemble) && !ensemble {
            let text = "policy_rewards has seed_ensemble, and the control of that name is not run: add it \
                        to --controls, or leave it out of --policy-rewards";
            return Err(text.into());
        }
        if self.policy_in_loop > 0 && self.ser.recipe != Recipe::Paper {
            let text =
                "--policy-in-loop: its rounds filter by the paper's rule: add --recipe paper";
            return Err(text.into());
        }
        if self.policy_in_loop > 0 && !has(PolicyReward::Ser) {
            let text = "--policy-in-loop: the policy of the evolved reward model writes the pairs: \
                        --policy-rewards must have ser";
            return Err(text.into());
        }
        if self.policy_in_loop > 0 && self.ser.max_loops == 0 {
            let text = "--policy-in-loop: its rounds are loops: --loops must be at least 1";
            return Err(text.into());
        }
        Ok(self.policy.check()?)
    }
}
