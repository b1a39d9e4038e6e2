//! Short names of the options, and options that follow from others.

use collimate::data::TextTokenizer;
use collimate::recipes::ppo::PolicyConfig;
use collimate::recipes::ser::{Adaptation, Control, EnsembleConfig, Recipe, RetrainFrom};
use collimate::status::{MinCount, PairRule, ScoreCentre};
use serde_json::json;

use super::config::{Config, PolicyReward};
use super::{estimate, real};
use crate::common::{Failure, json_name};
use crate::lengths;
use crate::options::{Flag, Given, Inputs, Layered, Options};
use crate::own::flags::{self, Adapts};
use crate::own::{OnData, check_inputs};
use crate::policy::{self, HasPolicy};
use crate::preview::Preview;
use crate::start::Start;

/// Evolve a reward model from a few labels (self-evolved reward learning, arXiv:2411.00418).
///
/// Pass the pairs that you have labelled with --labelled, pairs without labels with --unlabelled,
/// and your model with --model. The run writes the evolved reward model, the labels that it gave,
/// and the pairs to label next. With --data FILE --simulate, a run on labelled pairs measures how
/// well this works: it hides most of the labels. Without files, a small language model is trained
/// from scratch on an embedded synthetic world whose true reward is known.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) options: Options<Ser>,
}

/// The command `ser`.
#[derive(Debug)]
pub(crate) struct Ser;

impl HasPolicy for Config {
    fn policy(&mut self) -> &mut PolicyConfig {
        &mut self.policy
    }
}

impl Adapts for Config {
    fn adaptation(&mut self) -> &mut Adaptation {
        &mut self.ser.adaptation
    }
}

/// Seeds that are set together by the seed of the run.
const SEEDS: [&str; 4] = ["ser.seed", "sft.seed", "pretrain.seed", "policy.ppo.seed"];

impl Layered for Ser {
    type Config = Config;
    const NAME: &'static str = "ser";
    const OWN: &'static str = "labelled";
    const ALSO_OWN: &'static [&'static str] = &["unlabelled", "data"];

    fn for_world() -> Result<Config, Failure> {
        Ok(Config::of_world())
    }

    fn flags() -> Vec<Flag<Config>> {
        let mut all = real::flags();
        all.extend([
            Flag::of("seed", "N", &SEEDS),
            Flag::of("seed-share", "SHARE", &["ser.seed_share"]),
            Flag::change(
                "recipe",
                "RECIPE",
                &["ser.recipe"],
                "How the model learns from the pool: calibrated, noisy_ensemble, or paper with the paper's \
                 options [default: calibrated; noisy_ensemble for the synthetic world]",
                |config: &mut Config, name, _| {
                    config.ser.recipe = json_name(name)?;
                    config.ser.also.retain(|recipe| json!(recipe) != name);
                    Ok(())
                },
            ),
            Flag::of("also", "LIST", &["ser.also"]).rare(),
            Flag::switch(
                "full",
                &["ser.ensemble"],
                "The full form of noisy_ensemble: 3 students per round and 3 rounds",
                |config: &mut Config, _, given| {
                    let full = EnsembleConfig {
                        students: 3,
                        rounds: 3,
                        ..config.ser.ensemble
                    };
                    if !given.typed("ser.ensemble.students") && !given.typed("ser.ensemble.rounds") {
                        config.ser.ensemble = full;
                    }
                    Ok(())
                },
            ),
            Flag::switch(
                "check-gain",
                &["ser.check_gain"],
                "Test by cross-fitting whether the recipe helps, from the human labels alone; runs the \
                 whole recipe once for each fold",
                |config: &mut Config, _, _| {
                    config.ser.check_gain = true;
                    Ok(())
                },
            ),
            Flag::of("loops", "N", &["ser.max_loops"]),
            Flag::of("lr", "RATE", &["ser.train.learning_rate"]),
            Flag::of("batch", "N", &["ser.train.batch_size"]),
            Flag::of("epochs", "N", &["ser.train.epochs"]),
            Flag::of("max-length", "N", &["ser.max_length", "policy.max_length"]),
            flags::lora(&["ser.adaptation"], flags::LORA),
            Flag::change(
                "controls",
                "LIST",
                &["ser.controls"],
                "Controls beside the recipe: all, none, or a list of longer_seed, seed_ensemble, unfiltered, \
                 easy_only, hard_only, either_per_pair, oracle_labels",
                |config: &mut Config, names, _| {
                    config.ser.controls = controls(names)?;
                    Ok(())
                },
            ),
            Flag::of("stop-after", "STAGE", &["stop_after"]),
        ]);
        all.extend(flags::lora_form(&["ser.adaptation"]));
        all.push(flags::precision());
        all.extend(flags::reading());
        all.extend([
            Flag::of("max-prompt-length", "N", &["ser.max_prompt_length"]).rare(),
            Flag::of("seed-steps", "RULE", &["ser.seed_steps"]).rare(),
            Flag::of("precision", "P", &["ser.calibrated.precision"]).rare(),
            Flag::of("ceiling", "P", &["ser.calibrated.ceiling"]).rare(),
            Flag::of("student-noise", "SHARE", &["ser.student_noise"]).rare(),
            Flag::switch(
                "go-anyway",
                &["ser.go_anyway"],
                "Let calibrated keep its surest pairs even if it would refuse",
                |config: &mut Config, _, _| {
                    config.ser.go_anyway = true;
                    Ok(())
                },
            )
            .rare(),
            Flag::of("statuses", "LIST", &["ser.statuses"]).rare(),
            Flag::of("ask", "N", &["ser.ask"]).rare(),
            Flag::of("max-kept", "N", &["ser.filter.max_kept"]).rare(),
            Flag::of("tau-high", "P", &["ser.filter.thresholds.tau_high"]).rare(),
            Flag::of("tau-low", "P", &["ser.filter.thresholds.tau_low"]).rare(),
            Flag::of("tau-delta", "P", &["ser.filter.thresholds.tau_delta"]).rare(),
            Flag::change(
                "min-count",
                "N",
                &[
                    "ser.filter.thresholds.min_count",
                    "ser.calibrated.min_count",
                ],
                "Minimum number of pairs for a learning status or for the calibrated filter \
                 [default: 1 % of the pool, at least 32]",
                |config: &mut Config, count, _| {
                    let count = count.parse().map_err(|_| "not a whole number".to_owned())?;
                    config.ser.filter.thresholds.min_count = MinCount::Absolute(count);
                    config.ser.calibrated.min_count = MinCount::Absolute(count);
                    Ok(())
                },
            )
            .rare(),
            Flag::change(
                "rule",
                "RULE",
                &["ser.filter.rule"],
                "Filter rule: status (the paper) or either_per_pair (the paper's released code) \
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
            Flag::of("label", "LABEL", &["label"]).rare(),
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
            Flag::of("policy-prompts", "FILE", &["policy_prompts"]).rare(),
            Flag::of("policy-in-loop", "ROUNDS", &["policy_in_loop"]).rare(),
        ]);
        // Policies are trained only if --stop-after asks for them.
        all.extend(policy::flags("policy-lora").into_iter().map(Flag::rare));
        all
    }

    fn settle(config: &mut Config, given: &Given) -> Result<(), Failure> {
        real::settle(config, given)?;
        if config.ser.recipe == Recipe::Paper {
            as_in_the_paper(config, given);
        }
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
        check_recipe_options(config, given)?;
        config.ser.check()?;
        check_inputs(&config.own(), given)?;
        real::check(config, given)
    }

    fn preview(config: &Config) -> Option<Preview> {
        estimate::preview(config)
    }

    fn check_rows(config: &Config, tokenizer: &TextTokenizer) -> Result<(), Failure> {
        estimate::check_rows(config, tokenizer)
    }

    fn inputs(config: &Config) -> Inputs<'_> {
        real::inputs(config)
    }

    fn run(start: &Start<'_, Config>) -> Result<(), Failure> {
        super::run(start)
    }
}

/// Refuses options of recipes that the run does not use, because they would have no effect.
fn check_recipe_options(config: &Config, given: &Given) -> Result<(), Failure> {
    const OF_A_RECIPE: [(&str, Recipe); 12] = [
        ("ser.statuses", Recipe::Paper),
        ("ser.until_hard", Recipe::Paper),
        ("ser.filter.rule", Recipe::Paper),
        ("ser.filter.max_kept", Recipe::Paper),
        ("ser.filter.thresholds.tau_high", Recipe::Paper),
        ("ser.filter.thresholds.tau_low", Recipe::Paper),
        ("ser.filter.thresholds.tau_delta", Recipe::Paper),
        ("ser.calibrated.precision", Recipe::Calibrated),
        ("ser.calibrated.ceiling", Recipe::Calibrated),
        ("ser.student_noise", Recipe::Calibrated),
        ("ser.go_anyway", Recipe::Calibrated),
        ("ser.ensemble.students", Recipe::NoisyEnsemble),
    ];
    let ser = &config.ser;
    let runs = |recipe: Recipe| ser.recipe == recipe || ser.also.contains(&recipe);
    if given.typed("ser.max_loops") && ser.recipes() == [Recipe::NoisyEnsemble] {
        return Err(
            "ser.max_loops belongs to the recipes paper and calibrated, but this run has \
             noisy_ensemble: remove ser.max_loops, or give --set ser.ensemble.rounds=N"
                .into(),
        );
    }
    if !ser.statuses.is_empty() && !matches!(ser.filter.rule, PairRule::Status { .. }) {
        return Err(
            "ser.statuses sets the status of each loop, but ser.filter.rule keeps pairs without a \
             status: remove one of them"
                .into(),
        );
    }
    // The other controls filter by the paper's thresholds.
    let own = [
        Control::LongerSeed,
        Control::SeedEnsemble,
        Control::OracleLabels,
    ];
    let filters = ser.controls.iter().any(|control| !own.contains(control));
    for (path, recipe) in OF_A_RECIPE {
        let by_control = filters && path.starts_with("ser.filter.");
        if given.typed(path) && !runs(recipe) && !by_control {
            let (name, runs) = (recipe.name(), ser.recipe.name());
            let path = match path {
                "ser.ensemble.students" => "--full or ser.ensemble",
                path => path,
            };
            return Err(format!(
                "{path} belongs to the recipe {name}, but this run has {runs}: remove {path}, or \
                 add --recipe {name} or --also {name}"
            )
            .into());
        }
    }
    Ok(())
}

/// Sets the paper's values of options whose defaults differ for the other recipes. A recipe that is
/// typed also replaces values of a configuration file.
fn as_in_the_paper(config: &mut Config, given: &Given) {
    let typed = given.typed("ser.recipe");
    let stays = |path: &str| {
        if typed {
            given.typed(path)
        } else {
            given.has(path)
        }
    };
    if !stays("ser.score_centre") {
        config.ser.score_centre = ScoreCentre::None;
    }
    if !stays("ser.retrain_from") {
        config.ser.retrain_from = RetrainFrom::Previous;
    }
    if !stays("ser.until_hard") {
        config.ser.until_hard = true;
    }
}

fn controls(names: &str) -> Result<Vec<Control>, Failure> {
    match names {
        "all" => return Ok(Control::ALL.to_vec()),
        "none" => return Ok(Vec::new()),
        _ => {}
    }
    names
        .split(',')
        .map(|name| json_name(name).map_err(Failure::from))
        .collect()
}
