//! Pairs for a policy: from the synthetic world, or from files.

use std::collections::HashSet;

use collimate::core::{Key, PreferencePair, Prompt};
use collimate::data::{ReadReport, SftExample, swap_labels};
use collimate::recipes::world::{WorldData, plain_texts};
use collimate::world::World;

use crate::common::Failure;
use crate::files;
use crate::own::Own;

/// The data of a run.
pub(crate) struct Parts {
    /// Plain texts for a decoder from scratch; empty if the model is given.
    pub(crate) pretrain: Vec<SftExample>,
    /// Chosen answers on which a decoder from scratch is fine-tuned.
    pub(crate) sft: Vec<SftExample>,
    /// Pairs to learn from.
    pub(crate) train: Vec<PreferencePair>,
    /// Flags that mark the training pairs with a swapped label; absent without label noise.
    pub(crate) noisy: Option<Vec<bool>>,
    pub(crate) validation: Vec<PreferencePair>,
    /// Prompts that policies answer.
    pub(crate) prompts: Vec<Prompt>,
    /// Reports on the files that were read.
    pub(crate) reports: Vec<ReadReport>,
}

/// Options that all commands on pairs share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choices {
    pub(crate) seed: u64,
    /// Share of the training pairs whose label is swapped.
    pub(crate) label_noise: f64,
    /// Number of prompts that policies answer.
    pub(crate) prompts: usize,
}

/// Returns the chosen answers.
pub(crate) fn examples(pairs: &[PreferencePair]) -> Vec<SftExample> {
    pairs.iter().map(SftExample::from).collect()
}

/// Swaps a share of the labels and returns flags for the swapped ones.
fn noisy(choices: Choices, train: &mut [PreferencePair]) -> Result<Option<Vec<bool>>, Failure> {
    if choices.label_noise == 0.0 {
        return Ok(None);
    }
    let key = Key::new(choices.seed, "label noise");
    let hit = swap_labels(train, choices.label_noise, key)?;
    let mut noisy = vec![false; train.len()];
    for index in hit {
        noisy[index] = true;
    }
    Ok(Some(noisy))
}

/// Reads the pairs of the synthetic world, and the given number of plain texts.
pub(crate) fn from_world(
    world: &World,
    pretrain_texts: usize,
    choices: Choices,
) -> Result<Parts, Failure> {
    let mut data = WorldData::new(world, choices.seed)?;
    Ok(Parts {
        pretrain: plain_texts(world, pretrain_texts, choices.seed),
        noisy: noisy(choices, &mut data.train)?,
        prompts: data.test_prompts(choices.prompts),
        sft: data.demonstrations,
        train: data.train,
        validation: data.validation,
        reports: Vec::new(),
    })
}

/// Reads the user's files. A tenth of the prompts is for validation. `answered` maps the number of
/// validation prompts to the number that policies answer.
pub(crate) fn from_files(
    own: &Own<'_>,
    choices: Choices,
    answered: impl FnOnce(usize) -> usize,
) -> Result<Parts, Failure> {
    files::check(own.data.iter())?;
    let mut reports = Vec::new();
    let rows = files::pairs(own.data, own.data_weights, &own.reading, &mut reports)?;
    let [validation, mut train] = files::split(rows, [0.1, 0.9])?;
    let mut seen = HashSet::new();
    let prompts = validation.iter().map(|pair| pair.prompt.clone());
    let mut prompts: Vec<_> = prompts
        .filter(|prompt| seen.insert(prompt.clone()))
        .collect();
    prompts.truncate(answered(prompts.len()).min(choices.prompts));
    Ok(Parts {
        pretrain: Vec::new(),
        sft: Vec::new(),
        noisy: noisy(choices, &mut train)?,
        train,
        validation,
        prompts,
        reports,
    })
}
