//! The estimate of a run, and a check of its rows, for `--dry-run`.

use collimate::data::{SER_SHARES, TextTokenizer};
use collimate::lm::{Architecture, detect_architecture};
use collimate::recipes::ser::{Control, Recipe, SeedSteps};
use collimate::train::TrainConfig;

use super::config::Config;
use super::data;
use super::labels::{LabelFiles, Labels, candidates};
use super::policy_prompts;
use super::real::pool_key;
use crate::common::Failure;
use crate::own::OnData;
use crate::preview::{Pool, Preview, RowsOf, Training};

/// Rows that a training learns from.
#[derive(Debug, Clone, Copy)]
struct Rows {
    /// Share of the rows of the files.
    share: f64,
    /// True if the pool is learnt too, and lies in files of its own.
    pool: bool,
}

/// The estimate of a run on files.
pub(super) fn preview(config: &Config) -> Option<Preview> {
    let real = config.is_real();
    let (labels, learnt, left_out) = match real {
        true => (
            1.0,
            1.0,
            "answers of a policy, labels of a judge, and policies; a loop of the recipes paper and \
             calibrated keeps only a part of the pool",
        ),
        false => (
            train_share(config) * config.ser.seed_share,
            train_share(config),
            "fine-tuning and policies; a loop of the recipes paper and calibrated keeps only a \
             part of the rows",
        ),
    };
    let labels = Rows {
        share: labels,
        pool: false,
    };
    let whole = Rows {
        share: learnt,
        pool: real,
    };
    let trainings = trainings(config, labels, whole);
    let own = config
        .own()
        .preview(RowsOf::Pairs, trainings, Some(left_out))?;
    let preview = Preview {
        writes: false,
        // Loop 0 or the start, for later loops and controls.
        copies: 1,
        ..own
    };
    if !real {
        return Some(preview);
    }
    Some(Preview {
        files: config.labelled.clone(),
        pool: Some(Pool {
            files: config.unlabelled.clone(),
            per_prompt: config.pairs_per_prompt,
            key: pool_key(config),
            responses: match config.policy_source {
                Some(_) => config.responses,
                None => 0,
            },
        }),
        ..preview
    })
}

/// Returns the share of the rows of a simulation that reward models learn from, after the parts that
/// measure. A decoder gives a part to the fine-tuning and a part to the policies.
fn train_share(config: &Config) -> f64 {
    let left = match config.test.is_empty() {
        true => 0.7,
        false => 0.9,
    };
    match writes(config) {
        // The part of the policies is learnt too if they have prompts of their own.
        true if config.policy_prompts.is_some() => left * (1.0 - SER_SHARES[0]),
        true => left * SER_SHARES[1],
        false => left,
    }
}

/// Returns true if the model is a decoder.
fn writes(config: &Config) -> bool {
    let kind = config.model.as_deref().map(detect_architecture);
    matches!(kind, Some(Ok(Architecture::Decoder)))
}

/// Refuses rows that the run itself would refuse. Rows that a policy or a judge has yet to write are
/// not checked.
pub(super) fn check_rows(config: &Config, tokenizer: &TextTokenizer) -> Result<(), Failure> {
    if !config.is_real() {
        let parts = data::from_files(config, writes(config))?;
        return parts.prepare(config, tokenizer).map(drop);
    }
    let files = LabelFiles::read(config)?;
    let (candidates, _) = candidates(config)?;
    policy_prompts::check(config, tokenizer)?;
    if config.policy_source.is_some() || config.labelled_by.is_some() {
        return Ok(());
    }
    let labels = Labels::of(files, Vec::new(), config, tokenizer)?;
    labels.with_pool(&candidates, config, tokenizer)?;
    Ok(())
}

/// The trainings of a run, each with the rows that it learns from at most.
fn trainings(config: &Config, labels: Rows, whole: Rows) -> Vec<Training> {
    let ser = &config.ser;
    let training = |name, rows: Rows, times: usize, passes: usize| Training {
        name,
        share: rows.share,
        pool: rows.pool,
        train: ser.train.clone(),
        times: times as u64,
        passes: passes as u64,
        at_once: None,
    };
    let mut all: Vec<Training> = cross_fit(config, labels).into_iter().collect();
    all.push(training("seed", labels, 1, 0));
    let recipes = ser.recipes();
    for recipe in &recipes {
        match recipe {
            Recipe::Paper => all.push(training("paper, all kept", whole, ser.max_loops, 1)),
            Recipe::Calibrated => {
                all.push(training("calibrated, all kept", whole, ser.max_loops, 1));
            }
            Recipe::NoisyEnsemble => {
                let ensemble = ser.ensemble;
                let earlier = ensemble.rounds.saturating_sub(1) * ensemble.students;
                let students = earlier + 1;
                let scored = (ensemble.models + earlier).div_ceil(students);
                all.push(training("teachers", labels, ensemble.models, 0));
                all.push(training("students", whole, students, scored));
            }
        }
    }
    if !config.is_real() && ser.baseline {
        all.push(training("all labels", whole, 1, 0));
    }
    let mut loops = 0;
    for control in &ser.controls {
        match control {
            Control::LongerSeed => all.push(training("longer_seed", whole, 1, 0)),
            // The teachers are the ensemble.
            Control::SeedEnsemble if recipes.contains(&Recipe::NoisyEnsemble) => {}
            Control::SeedEnsemble => {
                let others = ser.ensemble.models.saturating_sub(1);
                all.push(training("seed_ensemble", labels, others, 0));
            }
            _ => loops += ser.max_loops,
        }
    }
    if loops > 0 {
        all.push(training("other controls, all kept", whole, loops, 1));
    }
    if ser.check_gain {
        let of_recipe = match ser.recipe {
            Recipe::NoisyEnsemble => {
                ser.ensemble.rounds.saturating_sub(1) * ser.ensemble.students + 1
            }
            _ => ser.max_loops,
        };
        let times = ser.folds * of_recipe;
        all.push(training("check of the gain, all kept", whole, times, 1));
    }
    all
}

/// The trainings in which labels are predicted by models that have not seen them.
fn cross_fit(config: &Config, labels: Rows) -> Option<Training> {
    let ser = &config.ser;
    let (lengths, passes) = match (ser.seed_steps, ser.cross_fits()) {
        // As many passes as the options say, then twice as many, up to sixteen times.
        (SeedSteps::CrossFitted, _) => (5, 31.0),
        (SeedSteps::Epochs, true) => (1, 1.0),
        (SeedSteps::Epochs, false) => return None,
    };
    let folds = ser.folds as f64;
    Some(Training {
        name: "cross-fit, at most",
        share: labels.share * (1.0 - 1.0 / folds),
        pool: false,
        train: TrainConfig {
            epochs: ser.train.epochs * passes / lengths as f64,
            ..ser.train.clone()
        },
        times: lengths * ser.folds as u64,
        passes: 0,
        // The folds of a try are removed once the next try has ended.
        at_once: Some(2 * ser.folds as u64),
    })
}
