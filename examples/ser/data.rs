//! Where the pairs come from: the synthetic world, or files.

use collimate::core::{Key, PreferencePair};
use collimate::data::world::World;
use collimate::data::{
    ReadOptions, ReadReport, SER_SHARES, SftExample, SpecialTokenIds, TextTokenizer, read_pairs,
    split_by_fraction, split_by_hash,
};

use crate::args::Config;
use crate::common::Failure;

/// The parts of a run, before the seed is drawn.
pub(crate) struct Parts {
    /// For supervised fine-tuning; empty for encoders.
    pub(crate) sft: Vec<SftExample>,
    /// Held out from fine-tuning.
    pub(crate) sft_held_out: Vec<SftExample>,
    /// For the reward model.
    pub(crate) train: Vec<PreferencePair>,
    pub(crate) validation: Vec<PreferencePair>,
    pub(crate) test: Vec<PreferencePair>,
    /// What was read.
    pub(crate) reports: Vec<ReadReport>,
}

fn examples(pairs: &[PreferencePair]) -> Vec<SftExample> {
    pairs.iter().map(SftExample::from).collect()
}

/// The synthetic world and its tokenizer.
pub(crate) fn from_world(config: &Config) -> Result<(Parts, TextTokenizer), Failure> {
    let world = World::new(&config.world)?;
    let pairs = |rows: Vec<collimate::data::world::WorldPair>| -> Vec<PreferencePair> {
        rows.into_iter().map(|row| row.pair).collect()
    };
    let validation = pairs(world.validation_pairs());
    let key = Key::new(config.ser.seed, "split");
    let [sft, train, _ppo] = three(split_by_fraction(
        pairs(world.train_pairs()),
        &SER_SHARES,
        key,
    )?);
    let special = World::SPECIAL;
    let special = SpecialTokenIds {
        bos: Some(special.bos),
        eos: special.eos,
        pad: Some(special.pad),
    };
    let tokenizer = TextTokenizer::new(world.tokenizer(), special, None)?;
    let parts = Parts {
        sft: examples(&sft),
        sft_held_out: examples(&validation),
        train,
        validation,
        test: pairs(world.test_pairs()),
        reports: Vec::new(),
    };
    Ok((parts, tokenizer))
}

/// The user's files. A decoder is fine-tuned first and needs a part of the pairs for that.
pub(crate) fn from_files(config: &Config, needs_sft: bool) -> Result<Parts, Failure> {
    let data = config.data.as_ref().ok_or("no data file")?;
    let options = ReadOptions {
        format: config.format,
        on_bad_row: config.on_bad_row,
        hh_turns: config.hh_turns,
        ..ReadOptions::default()
    };
    let (rows, report) = read_pairs(data, &options)?;
    let mut reports = vec![report];
    let (rest, validation, test) = match &config.test {
        Some(path) => {
            let (test, report) = read_pairs(path, &options)?;
            reports.push(report);
            let [validation, rest] = two(split_by_hash(rows, &[0.1, 0.9])?);
            (rest, validation, test)
        }
        None => {
            let [test, validation, rest] = three(split_by_hash(rows, &[0.2, 0.1, 0.7])?);
            (rest, validation, test)
        }
    };
    let (sft, train) = if needs_sft {
        let key = Key::new(config.ser.seed, "split");
        let [sft, train, _ppo] = three(split_by_fraction(rest, &SER_SHARES, key)?);
        (sft, train)
    } else {
        (Vec::new(), rest)
    };
    Ok(Parts {
        sft: examples(&sft),
        sft_held_out: examples(&validation),
        train,
        validation,
        test,
        reports,
    })
}

fn three<T>(mut parts: Vec<Vec<T>>) -> [Vec<T>; 3] {
    std::array::from_fn(|i| parts.get_mut(i).map(std::mem::take).unwrap_or_default())
}

fn two<T>(mut parts: Vec<Vec<T>>) -> [Vec<T>; 2] {
    std::array::from_fn(|i| parts.get_mut(i).map(std::mem::take).unwrap_or_default())
}
