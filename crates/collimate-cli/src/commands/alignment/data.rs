//! Where the pairs come from: the synthetic world, or files.

use std::collections::HashSet;

use collimate::core::{Key, PreferencePair};
use collimate::data::{
    ReadReport, SftExample, TextTokenizer, split_by_fraction, split_by_hash, swap_labels,
};
use collimate::recipes::sera::{Method, SeraData};
use collimate::world::World;

use super::args::Config;
use crate::common::Failure;
use crate::files;
use crate::job::world_tokenizer;
use crate::runs::plain_texts;

/// A run's data.
pub(crate) struct Parts<'a> {
    /// Plain texts for a decoder from scratch; empty where the model is given.
    pub(crate) pretrain: Vec<SftExample>,
    /// Chosen answers for its fine-tuning.
    pub(crate) sft: Vec<SftExample>,
    pub(crate) align: SeraData<'a>,
    /// What was read.
    pub(crate) reports: Vec<ReadReport>,
}

fn examples(pairs: &[PreferencePair]) -> Vec<SftExample> {
    pairs.iter().map(SftExample::from).collect()
}

/// Swaps a share of the labels and remembers which.
fn noisy(config: &Config, train: &mut [PreferencePair]) -> Result<Option<Vec<bool>>, Failure> {
    if config.label_noise == 0.0 {
        return Ok(None);
    }
    let key = Key::new(config.align.seed, "label noise");
    let hit = swap_labels(train, config.label_noise, key)?;
    let mut noisy = vec![false; train.len()];
    for index in hit {
        noisy[index] = true;
    }
    Ok(Some(noisy))
}

/// The synthetic world and its tokenizer.
pub(crate) fn from_world(
    config: &Config,
    world: &World,
) -> Result<(Parts<'static>, TextTokenizer), Failure> {
    let pairs = |rows: Vec<collimate::world::WorldPair>| -> Vec<PreferencePair> {
        rows.into_iter().map(|row| row.pair).collect()
    };
    let key = Key::new(config.align.seed, "split");
    let mut parts = split_by_fraction(pairs(world.train_pairs()), &[0.3, 0.7], key)?;
    let mut train = parts.pop().unwrap_or_default();
    let sft = parts.pop().unwrap_or_default();
    let validation = pairs(world.validation_pairs());
    let tokenizer = world_tokenizer(world)?;
    let prompts = pairs(world.test_pairs()).into_iter().take(config.prompts);
    let align = SeraData {
        noisy: noisy(config, &mut train)?,
        held_out: examples(&validation),
        prompts: prompts.map(|pair| pair.prompt).collect(),
        eos: Vec::new(),
        judge: None,
        validation,
        train,
    };
    let parts = Parts {
        pretrain: plain_texts(world, config.pretrain_texts, config.align.seed),
        sft: examples(&sft),
        align,
        reports: Vec::new(),
    };
    Ok((parts, tokenizer))
}

/// The user's files.
pub(crate) fn from_files(config: &Config) -> Result<Parts<'static>, Failure> {
    let options = files::options(config.format, config.on_bad_row, config.hh_turns);
    files::check(config.data.iter())?;
    let mut reports = Vec::new();
    let rows = files::pairs(&config.data, &options, &mut reports)?;
    let mut parts = split_by_hash(rows, &[0.1, 0.9])?;
    let mut train = parts.pop().unwrap_or_default();
    let validation = parts.pop().unwrap_or_default();
    let mut seen = HashSet::new();
    let prompts = validation.iter().map(|pair| pair.prompt.clone());
    let prompts = prompts.filter(|prompt| seen.insert(prompt.clone()));
    let prompts: Vec<_> = match config.judge {
        Some(_) => {
            let mut prompts: Vec<_> = prompts.collect();
            if config.align.methods.contains(&Method::BestSera) {
                // The other half is to choose on.
                prompts.truncate(prompts.len() / 2);
            }
            prompts.truncate(config.prompts);
            prompts
        }
        None => Vec::new(),
    };
    Ok(Parts {
        pretrain: Vec::new(),
        sft: Vec::new(),
        align: SeraData {
            noisy: noisy(config, &mut train)?,
            held_out: examples(&validation),
            prompts,
            eos: Vec::new(),
            judge: None,
            validation,
            train,
        },
        reports,
    })
}
