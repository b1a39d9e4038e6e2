//! The command line: options over a configuration file over defaults.

use std::path::PathBuf;

use collimate::data::{ChatFallback, Format, HhTurns, OnBadRow};
use collimate::nn::{LoraConfig, Pooling};
use collimate::recipes::ser::{Adaptation, Control, RetrainFrom};
use collimate::status::{MinCount, PairRule, ScoreCentre};

use super::config::{Config, PolicyReward, StopAfter};
use crate::common::{Failure, json_name};
use crate::lengths;
use crate::options::{MOST_TEXTS, RunArgs, assign, check_count, read_config};
use crate::policy::PolicyOptions;

/// Evolve a reward model from a few labels (self-evolved reward learning, arXiv:2411.00418).
///
/// Without --data, a small language model is trained from scratch on an embedded synthetic world
/// whose true reward is known. With --data and --model, your pairs and your model folder are used.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Preference pairs: hh-rlhf or TRL jsonl (.gz too), UltraFeedback, two-column CSV, OASST trees;
    /// give it several times to read several files. 10 % of the prompts are for validation; with a
    /// decoder, 30 % of the rest for its fine-tuning and 5 % for a later policy
    #[arg(long, value_name = "FILE", requires = "model")]
    data: Vec<PathBuf>,
    /// Test pairs; by default 20 % of the data's prompts, chosen by hash
    #[arg(long, value_name = "FILE", requires = "data")]
    test: Vec<PathBuf>,
    /// Hugging Face folder (Llama or BERT) that the reward model starts from
    #[arg(long, value_name = "DIR", requires = "data")]
    model: Option<PathBuf>,
    /// Format of the files: trl, hh_rlhf, ultra_feedback, two_column_csv, oasst_trees,
    /// summarize_comparisons or scored_answers; by default recognised
    #[arg(long, value_parser = json_name::<Format>, value_name = "NAME")]
    format: Option<Format>,
    /// What to do with a row that cannot be read: fail or drop (counted in the report)
    /// [default: fail]
    #[arg(long, value_parser = json_name::<OnBadRow>, value_name = "POLICY")]
    on_bad_row: Option<OnBadRow>,
    /// Prompt of an hh-rlhf dialogue: last_turn_only (as in the paper) or full
    /// [default: last_turn_only]
    #[arg(long, value_parser = json_name::<HhTurns>, value_name = "TURNS")]
    hh_turns: Option<HhTurns>,
    /// Messages where the model has no chat template: refuse, or plain text with their roles
    /// [default: refuse]
    #[arg(long, value_parser = json_name::<ChatFallback>, value_name = "HOW")]
    chat_fallback: Option<ChatFallback>,
    /// Share of the training pairs whose human label is used, between 0 and 1 [default: 0.15]
    #[arg(long, value_name = "SHARE")]
    seed_share: Option<f64>,
    /// At most this many loops after the seed model; 0 trains the seed model only
    /// [default: 3]
    #[arg(long, value_name = "N")]
    loops: Option<usize>,
    /// Keep at most this many self-labelled pairs per loop, the surest first [default: all]
    #[arg(long, value_name = "N")]
    max_kept: Option<usize>,
    /// An answer with p above this is surely good [default: 0.55]
    #[arg(long, value_name = "P")]
    tau_high: Option<f64>,
    /// An answer with p below this is surely bad [default: 0.45]
    #[arg(long, value_name = "P")]
    tau_low: Option<f64>,
    /// A pair whose p differ by more than this is told apart [default: 0.3]
    #[arg(long, value_name = "P")]
    tau_delta: Option<f64>,
    /// Pairs that a learning status needs; by default 1 % of the pool, at least 32
    #[arg(long, value_name = "N")]
    min_count: Option<usize>,
    /// Filter rule: status (the paper) or either_per_pair (its released code)
    /// [default: status]
    #[arg(long, value_parser = ["status", "either_per_pair"], value_name = "RULE")]
    rule: Option<String>,
    /// Score that is worth p = 1/2: none (zero, the paper) or seed_mean
    /// [default: none; for the world seed_mean]
    #[arg(long, value_parser = json_name::<ScoreCentre>, value_name = "CENTRE")]
    score_centre: Option<ScoreCentre>,
    /// Weights that a loop's training starts from: previous (those of the loop before) or start
    /// (those of the seed stage's start) [default: previous; for the world start]
    #[arg(long, value_parser = json_name::<RetrainFrom>, value_name = "FROM")]
    retrain_from: Option<RetrainFrom>,
    /// Train low-rank adapters (r 8, alpha 32, dropout 0.1) instead of all weights
    #[arg(long)]
    lora: bool,
    /// Pooling of an encoder: mean, cls or last_token; by default what the folder says
    #[arg(long, value_parser = json_name::<Pooling>, value_name = "POOLING")]
    pooling: Option<Pooling>,
    /// Learning rate of the reward model [default: 2e-5; for the world 1e-3]
    #[arg(long, value_name = "RATE")]
    lr: Option<f64>,
    /// Pairs per optimiser step [default: 4; for the world 16]
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// Passes over the pairs in each loop [default: 2; for the world 3]
    #[arg(long, value_name = "N")]
    epochs: Option<f64>,
    /// Longest sequence in tokens [default: 1024, or what the model takes; for the world 128]
    #[arg(long, value_name = "N")]
    max_length: Option<usize>,
    /// Tokens that a prompt keeps where prompt and answer are longer than that [default: half of it]
    #[arg(long, value_name = "N")]
    max_prompt_length: Option<usize>,
    /// Also run the controls at equal steps: all, or a list of longer_seed, unfiltered, easy_only,
    /// hard_only, either_per_pair, oracle_labels
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    controls: Vec<String>,
    /// Do not train the all-labels model for comparison
    #[arg(long)]
    no_baseline: bool,
    /// Stage after which to stop: rm, the evolved reward model, or ppo, the policies trained with it
    /// (decoders only) [default: ppo]
    #[arg(long, value_parser = json_name::<StopAfter>, value_name = "STAGE")]
    stop_after: Option<StopAfter>,
    /// Rewards that policies are trained against: loop0, ser, full and, on the world, gold, several
    /// with commas between [default: ser; on the world all four]
    #[arg(long, value_parser = json_name::<PolicyReward>, value_delimiter = ',', value_name = "LIST")]
    policy_rewards: Vec<PolicyReward>,
    /// Rounds in which the policy's own answers become new unlabelled pairs, SER goes on with them,
    /// and a new policy learns from the new reward model [default: 0]
    #[arg(long, value_name = "ROUNDS")]
    policy_in_loop: Option<usize>,
    #[command(flatten)]
    policy: PolicyOptions,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// The example's name: its run folder.
pub(crate) const NAME: &str = "ser";

impl Args {
    /// The options, checked.
    pub(crate) fn config(&self) -> Result<Config, Failure> {
        let file = self.run.options_file(NAME)?;
        let mut config = match file {
            Some(path) => read_config(&path, |alone: &Config| {
                match !alone.data.is_empty() || !self.data.is_empty() {
                    true => Config::default(),
                    false => Config::for_world(),
                }
            })?,
            None if !self.data.is_empty() => Config::default(),
            None => Config::for_world(),
        };
        for (to, from) in [
            (&mut config.data, &self.data),
            (&mut config.test, &self.test),
        ] {
            if !from.is_empty() {
                to.clone_from(from);
            }
        }
        if self.model.is_some() {
            config.model.clone_from(&self.model);
        }
        if let Some(format) = self.format {
            config.format = Some(format);
        }
        if let Some(pooling) = self.pooling {
            config.pooling = Some(pooling);
        }
        assign(&mut config.on_bad_row, self.on_bad_row);
        assign(&mut config.hh_turns, self.hh_turns);
        assign(&mut config.chat_fallback, self.chat_fallback);
        let ser = &mut config.ser;
        assign(&mut ser.seed, self.run.seed);
        assign(&mut ser.seed_share, self.seed_share);
        assign(&mut ser.max_loops, self.loops);
        assign(&mut ser.score_centre, self.score_centre);
        assign(&mut ser.retrain_from, self.retrain_from);
        assign(&mut ser.max_length, self.max_length);
        assign(&mut ser.max_prompt_length, self.max_prompt_length.map(Some));
        let given = self.max_length.is_some();
        lengths::cap(&mut ser.max_length, given, config.model.as_deref());
        assign(&mut ser.train.learning_rate, self.lr);
        assign(&mut ser.train.batch_size, self.batch);
        assign(&mut ser.train.epochs, self.epochs);
        assign(&mut ser.filter.thresholds.tau_high, self.tau_high);
        assign(&mut ser.filter.thresholds.tau_low, self.tau_low);
        assign(&mut ser.filter.thresholds.tau_delta, self.tau_delta);
        assign(
            &mut ser.filter.thresholds.min_count,
            self.min_count.map(MinCount::Absolute),
        );
        if self.max_kept.is_some() {
            ser.filter.max_kept = self.max_kept;
        }
        match self.rule.as_deref() {
            Some("either_per_pair") => ser.filter.rule = PairRule::EitherPerPair,
            Some(_) => ser.filter.rule = PairRule::default(),
            None => {}
        }
        if self.lora {
            ser.adaptation = Adaptation::Lora(LoraConfig::default());
        }
        if self.no_baseline {
            ser.baseline = false;
        }
        if !self.controls.is_empty() {
            ser.controls = controls(&self.controls)?;
        }
        config.sft.seed = config.ser.seed;
        config.pretrain.seed = config.ser.seed;
        assign(&mut config.stop_after, self.stop_after);
        if !self.policy_rewards.is_empty() {
            config.policy_rewards.clone_from(&self.policy_rewards);
        } else if self.no_baseline {
            config.policy_rewards.retain(|r| *r != PolicyReward::Full);
        }
        assign(&mut config.policy_in_loop, self.policy_in_loop);
        config.policy.ppo.seed = config.ser.seed;
        config.policy.max_length = config.ser.max_length;
        self.policy.apply(&mut config.policy);
        config.check_policies()?;
        config.ser.check()?;
        config.sft.validate()?;
        config.pretrain.validate()?;
        check_count("pretrain_texts", config.pretrain_texts, 0..=MOST_TEXTS)?;
        if config.data.is_empty() == config.model.is_some() {
            return Err(
                "data and model go together: give both --data and --model, or neither".into(),
            );
        }
        if config.data.is_empty() {
            self.refuse_file_options(&config)?;
        }
        if self.run.resume {
            self.find_files(&config)?;
        }
        Ok(config)
    }

    /// Options that the embedded world has no use for.
    fn refuse_file_options(&self, config: &Config) -> Result<(), Failure> {
        let given = [
            ("test", !config.test.is_empty()),
            ("format", config.format.is_some()),
            ("pooling", config.pooling.is_some()),
            ("on_bad_row", self.on_bad_row.is_some()),
            ("hh_turns", self.hh_turns.is_some()),
            ("chat_fallback", self.chat_fallback.is_some()),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            Some((name, _)) => Err(format!(
                "{name} is for data files: give --data and --model too, or leave it out"
            )
            .into()),
            None => Ok(()),
        }
    }

    /// A resumed run may have been started in another folder.
    fn find_files(&self, config: &Config) -> Result<(), Failure> {
        let mut paths = config.data.iter().chain(&config.test).chain(&config.model);
        match paths.find(|path| path.is_relative() && !path.exists()) {
            None => Ok(()),
            Some(path) => Err(format!(
                "{}: {} is not there: its paths are relative to the folder that the run was \
                 started in: resume it there",
                self.run.out(NAME)?.join("config.json").display(),
                path.display()
            )
            .into()),
        }
    }
}

fn controls(names: &[String]) -> Result<Vec<Control>, Failure> {
    if names == ["all"] {
        return Ok(Control::ALL.to_vec());
    }
    names
        .iter()
        .map(|name| json_name(name).map_err(|error| format!("--controls {name}: {error}").into()))
        .collect()
}
