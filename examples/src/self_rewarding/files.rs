//! Seed data from files.

use std::path::Path;

use collimate::core::{PreferencePair, Prompt};
use collimate::data::{ReadOptions, SftExample, read_pairs, read_sft, split_by_hash};
use collimate::recipes::self_rewarding::SelfRewardingData;

use super::args::Config;
use crate::common::{self, Failure};
use crate::generate::prompts;

/// What the files hold, with a tenth of the demonstrations held out.
pub(crate) fn data(config: &Config, eos: Vec<u32>) -> Result<SelfRewardingData<'static>, Failure> {
    let rows = |path: &Option<std::path::PathBuf>| match path {
        Some(path) => examples(path, config),
        None => Ok(Vec::new()),
    };
    let asked: Vec<Prompt> = match &config.seed_prompts {
        Some(file) => prompts::read(&[], Some(file))?
            .into_iter()
            .map(|asked| asked.prompt)
            .collect(),
        None => Vec::new(),
    };
    // By the prompt, so that no prompt is on both sides.
    let (held_out, ift) = held_out(rows(&config.ift)?)?;
    let mut prompts: Vec<Prompt> = held_out.iter().map(|row| row.prompt.clone()).collect();
    let mut seed_prompts: Vec<Prompt> = match asked.is_empty() {
        true => ift.iter().map(|row| row.prompt.clone()).collect(),
        false => asked,
    };
    if config.ift.is_none() {
        // Without demonstrations a tenth of the prompts is held out.
        let n = seed_prompts.len() / 10;
        prompts = seed_prompts.split_off(seed_prompts.len() - n);
    }
    prompts.dedup();
    prompts.truncate(config.test_prompts);
    if prompts.is_empty() && (config.evaluator.is_some() || config.evaluator_rule.is_some()) {
        return Err(
            "no prompt is left to evaluate on: a tenth of --ift or --seed-prompts is held \
                    out, so give at least ten rows"
                .into(),
        );
    }
    let judge_test = match &config.judge_test {
        Some(path) => pairs(path, config)?,
        None => Vec::new(),
    };
    Ok(SelfRewardingData {
        eft: rows(&config.eft)?,
        tasks: rows(&config.task_examples)?,
        ift,
        seed_prompts,
        judge_test,
        held_out,
        prompts,
        eos,
        ..SelfRewardingData::default()
    })
}

/// A tenth by the hash of the prompt, and the rest.
fn held_out(rows: Vec<SftExample>) -> Result<(Vec<SftExample>, Vec<SftExample>), Failure> {
    let pair = |row: SftExample| PreferencePair::new(row.prompt, row.completion, "");
    let mut parts = split_by_hash(rows.into_iter().map(pair).collect(), &[0.1, 0.9])?;
    let back = |pairs: Option<Vec<PreferencePair>>| -> Vec<SftExample> {
        let pairs = pairs.unwrap_or_default();
        pairs.iter().map(SftExample::from).collect()
    };
    let rest = back(parts.pop());
    Ok((back(parts.pop()), rest))
}

fn options(config: &Config) -> ReadOptions {
    ReadOptions {
        on_bad_row: config.on_bad_row,
        ..ReadOptions::default()
    }
}

fn examples(path: &Path, config: &Config) -> Result<Vec<SftExample>, Failure> {
    let (rows, report) = read_sft(path, &options(config))?;
    if rows.is_empty() {
        return Err(format!("{report}: no row is left: look at the reasons").into());
    }
    common::tell(&report.to_string());
    Ok(rows)
}

fn pairs(path: &Path, config: &Config) -> Result<Vec<PreferencePair>, Failure> {
    let options = ReadOptions {
        format: config.format,
        ..options(config)
    };
    let (rows, report) = read_pairs(path, &options)?;
    if rows.is_empty() {
        return Err(format!("{report}: no pair is left: look at the reasons").into());
    }
    common::tell(&report.to_string());
    Ok(rows)
}
