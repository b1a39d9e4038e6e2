//! Short names of the options, and the options that follow from others.

use collimate::nn::LoraConfig;
use collimate::prelude::Device;
use collimate::recipes::ppo::PolicyConfig;
use collimate::recipes::ser::{Adaptation, Control};
use collimate::status::{MinCount, PairRule};

use super::config::{Config, PolicyReward};
use crate::common::{Failure, json_name, usage};
use crate::files;
use crate::lengths;
use crate::options::{Flag, Given, Layered, MOST_TEXTS, Options, RunArgs, check_count};
use crate::policy::{self, HasPolicy};
use crate::preview::{Preview, RowsOf, Training};

/// Evolve a reward model from a few labels (self-evolved reward learning, arXiv:2411.00418).
///
/// Without --data, a small language model is trained from scratch on an embedded synthetic world
/// whose true reward is known. With --data and --model, your pairs and your model folder are used.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) options: Options<Ser>,
}

/// The command `ser`.
#[derive(Debug)]
pub(crate) struct Ser;

/// The command's name: its run folder.
pub(crate) const NAME: &str = "ser";

impl HasPolicy for Config {
    fn policy(&mut self) -> &mut PolicyConfig {
        &mut self.policy
    }
}

/// Options that every training takes its seed from.
const SEEDS: [&str; 4] = ["ser.seed", "sft.seed", "pretrain.seed", "policy.ppo.seed"];

impl Layered for Ser {
    type Config = Config;
    const NAME: &'static str = NAME;
    const OWN: &'static str = "data";

    fn defaults(own: bool) -> Result<Config, Failure> {
        Ok(match own {
            true => Config::default(),
            false => Config::for_world(),
        })
    }

    fn flags() -> Vec<Flag<Config>> {
        let mut flags = vec![
            Flag::of("data", "FILE", &["data"]),
            Flag::of("test", "FILE", &["test"]),
            Flag::of("model", "DIR", &["model"]),
            Flag::of("seed", "N", &SEEDS),
            Flag::of("seed-share", "SHARE", &["ser.seed_share"]),
            Flag::of("loops", "N", &["ser.max_loops"]),
            Flag::of("lr", "RATE", &["ser.train.learning_rate"]),
            Flag::of("batch", "N", &["ser.train.batch_size"]),
            Flag::of("epochs", "N", &["ser.train.epochs"]),
            Flag::of("max-length", "N", &["ser.max_length", "policy.max_length"]),
            Flag::switch(
                "lora",
                &["ser.adaptation"],
                "Train low-rank adapters (r 8, alpha 32, dropout 0.1) instead of all weights",
                |config: &mut Config, _, _| {
                    config.ser.adaptation = Adaptation::Lora(LoraConfig::default());
                    Ok(())
                },
            ),
            Flag::change(
                "controls",
                "LIST",
                &["ser.controls"],
                "Also run controls at equal steps: all, or a list of longer_seed, unfiltered, \
                 easy_only, hard_only, either_per_pair, oracle_labels",
                |config: &mut Config, names, _| {
                    config.ser.controls = controls(names)?;
                    Ok(())
                },
            ),
            Flag::of("stop-after", "STAGE", &["stop_after"]),
            Flag::of("format", "NAME", &["format"]).rare(),
            Flag::of("on-bad-row", "POLICY", &["on_bad_row"]).rare(),
            Flag::of("hh-turns", "TURNS", &["hh_turns"]).rare(),
            Flag::of("chat-fallback", "HOW", &["chat_fallback"]).rare(),
            Flag::of("max-prompt-length", "N", &["ser.max_prompt_length"]).rare(),
            Flag::of("max-kept", "N", &["ser.filter.max_kept"]).rare(),
            Flag::of("tau-high", "P", &["ser.filter.thresholds.tau_high"]).rare(),
            Flag::of("tau-low", "P", &["ser.filter.thresholds.tau_low"]).rare(),
            Flag::of("tau-delta", "P", &["ser.filter.thresholds.tau_delta"]).rare(),
            Flag::change(
                "min-count",
                "N",
                &["ser.filter.thresholds.min_count"],
                "Pairs that a learning status needs [default: 1 % of the pool, at least 32]",
                |config: &mut Config, count, _| {
                    let count = count.parse().map_err(|_| "not a whole number".to_owned())?;
                    config.ser.filter.thresholds.min_count = MinCount::Absolute(count);
                    Ok(())
                },
            )
            .rare(),
            Flag::change(
                "rule",
                "RULE",
                &["ser.filter.rule"],
                "Filter rule: status (the paper) or either_per_pair (its released code) \
                 [default: status]",
                |config: &mut Config, name, _| {
                    config.ser.filter.rule = match name {
                        "status" => PairRule::default(),
                        "either_per_pair" => PairRule::EitherPerPair,
                        _ => return Err("give status or either_per_pair".into()),
                    };
                    Ok(())
                },
            )
            .rare(),
            Flag::of("score-centre", "CENTRE", &["ser.score_centre"]).rare(),
            Flag::of("retrain-from", "FROM", &["ser.retrain_from"]).rare(),
            Flag::of("pooling", "POOLING", &["pooling"]).rare(),
            Flag::switch(
                "no-baseline",
                &["ser.baseline"],
                "Do not train the all-labels model for comparison",
                |config: &mut Config, _, given| {
                    config.ser.baseline = false;
                    if !given.typed("policy_rewards") {
                        config.policy_rewards.retain(|r| *r != PolicyReward::Full);
                    }
                    Ok(())
                },
            ),
            Flag::of("policy-rewards", "LIST", &["policy_rewards"]).rare(),
            Flag::of("policy-in-loop", "ROUNDS", &["policy_in_loop"]).rare(),
        ];
        flags.extend(policy::flags());
        flags
    }

    fn settle(config: &mut Config, given: &Given) -> Result<(), Failure> {
        let model = config.model.as_deref();
        lengths::cap(
            &mut config.ser.max_length,
            given.has("ser.max_length"),
            model,
        );
        let seed = config.ser.seed;
        for (path, own) in [
            ("sft.seed", &mut config.sft.seed),
            ("pretrain.seed", &mut config.pretrain.seed),
            ("policy.ppo.seed", &mut config.policy.ppo.seed),
        ] {
            if !given.has(path) {
                *own = seed;
            }
        }
        if !given.has("policy.max_length") {
            config.policy.max_length = config.ser.max_length;
        }
        policy::settle(&mut config.policy, given);
        config.check_policies()?;
        config.ser.check()?;
        config.sft.validate()?;
        config.pretrain.validate()?;
        check_count("pretrain_texts", config.pretrain_texts, 0..=MOST_TEXTS)?;
        if config.data.is_empty() == config.model.is_some() {
            return Err(usage(
                "data and model go together: give both --data and --model, or neither",
            ));
        }
        match config.data.is_empty() {
            true => refuse_file_options(config, given),
            false => Ok(()),
        }
    }

    fn preview(config: &Config) -> Option<Preview> {
        Some(Preview {
            model: config.model.clone()?,
            writes: false,
            files: config.data.clone(),
            rows: RowsOf::Pairs,
            reading: files::options(config.format, config.on_bad_row, config.hh_turns),
            chat_fallback: config.chat_fallback,
            max_length: config.ser.max_length,
            max_prompt_length: config.ser.max_prompt_length,
            truncation: config.ser.truncation,
            lora: matches!(config.ser.adaptation, Adaptation::Lora(_)),
            trainings: vec![
                Training {
                    name: "seed",
                    share: 0.7 * config.ser.seed_share,
                    train: config.ser.train.clone(),
                    times: 1,
                    passes: 0,
                },
                Training {
                    name: "loops, all kept",
                    share: 0.7,
                    train: config.ser.train.clone(),
                    times: config.ser.max_loops as u64,
                    passes: 1,
                },
            ],
            left_out: Some(
                "fine-tuning, controls, the all-labels model and policies; a loop keeps a part of the rows only",
            ),
        })
    }

    fn run(config: &Config, run: &RunArgs, device: &Device) -> Result<(), Failure> {
        if run.resume {
            find_files(config, run)?;
        }
        super::run_with(config, run, device)
    }
}

/// Refuses options that the synthetic world has no use for.
fn refuse_file_options(config: &Config, given: &Given) -> Result<(), Failure> {
    let given = [
        ("test", !config.test.is_empty()),
        ("format", config.format.is_some()),
        ("pooling", config.pooling.is_some()),
        ("on_bad_row", given.typed("on_bad_row")),
        ("hh_turns", given.typed("hh_turns")),
        ("chat_fallback", given.typed("chat_fallback")),
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
fn find_files(config: &Config, run: &RunArgs) -> Result<(), Failure> {
    let mut paths = config.data.iter().chain(&config.test).chain(&config.model);
    match paths.find(|path| path.is_relative() && !path.exists()) {
        None => Ok(()),
        Some(path) => Err(format!(
            "{}: {} is not there: its paths are relative to the folder that the run was \
             started in: resume it there",
            run.out(NAME)?.join("config.json").display(),
            path.display()
        )
        .into()),
    }
}

fn controls(names: &str) -> Result<Vec<Control>, Failure> {
    if names == "all" {
        return Ok(Control::ALL.to_vec());
    }
    names
        .split(',')
        .map(|name| json_name(name).map_err(Failure::from))
        .collect()
}
