//! Labelled answers from files.

use std::collections::HashSet;
use std::path::Path;

use collimate::core::PreferencePair;
use collimate::data::{Format, Input, SftExample, not_used};
use collimate::recipes::direct::UnpairedData;

use super::args::Config;
use super::run::both;
use crate::common::{self, Failure};
use crate::files;

/// Reads the rows of all files, with a sentence on each file. A tenth of the prompts, chosen by
/// hash, is held out.
pub(super) fn read(config: &Config) -> Result<(UnpairedData<'static>, Vec<String>), Failure> {
    files::check(config.data.iter())?;
    let (mut rows, mut reports) = (Vec::new(), Vec::new());
    for path in &config.data {
        let (part, report) = file(path, config)?;
        rows.extend(part);
        reports.push(report);
    }
    for (label, word) in [(true, "good"), (false, "bad")] {
        if !rows.iter().any(|(_, good)| *good == label) {
            return Err(format!(
                "no answer is labelled {word} ({label}), but KTO learns from good and bad answers: \
                 add such answers"
            )
            .into());
        }
    }
    // A pair carries the row through the split. The sign of its score gap is the label.
    let pair = |(example, good): (SftExample, bool)| PreferencePair {
        score_gap: Some(if good { 1.0 } else { -1.0 }),
        ..PreferencePair::new(example.prompt, example.completion, "")
    };
    let all = rows.into_iter().map(pair).collect();
    let [held_out, train] = files::split(all, [0.1, 0.9])?;
    let good = |pair: &PreferencePair| pair.score_gap.is_some_and(|gap| gap > 0.0);
    let mut seen = HashSet::new();
    let prompts = held_out.iter().map(|pair| pair.prompt.clone());
    let prompts = prompts.filter(|prompt| !prompt.is_empty() && seen.insert(prompt.clone()));
    let answered = match config.judge {
        Some(_) => config.prompts,
        None => 0,
    };
    let data = UnpairedData {
        train: train
            .iter()
            .map(|pair| (SftExample::from(pair), good(pair)))
            .collect(),
        prompts: prompts.take(answered).collect(),
        held_out: held_out
            .iter()
            .filter(|pair| good(pair))
            .map(SftExample::from)
            .collect(),
        ..UnpairedData::default()
    };
    Ok((data, reports))
}

/// Reads the rows of one file: labelled answers, or both answers of preference pairs.
fn file(path: &Path, config: &Config) -> Result<(Vec<(SftExample, bool)>, String), Failure> {
    let mut input = Input::open(path)?;
    let format = config.format.or_else(|| input.format().ok());
    let name = path.display();
    // Labelled answers have no format of their own. The reader reports missing keys of a row.
    if !matches!(
        format,
        Some(Format::PromptCompletion | Format::Messages) | None
    ) {
        let options = files::options(config.format, config.on_bad_row, config.hh_turns);
        let (pairs, report) = input.read_pairs(&options)?;
        return match pairs.is_empty() {
            true => Err(format!("{report}: no pair is left: correct the file").into()),
            false => Ok((both(&pairs), report.to_string())),
        };
    }
    let (rows, unused) = input.read_labelled()?;
    if let Some(unused) = not_used(&unused) {
        common::tell(&format!("{name}: {unused}"));
    }
    let report = format!("{name}: {} labelled answers", rows.len());
    let rows = rows.into_iter().map(|row| (row.example, row.desirable));
    Ok((rows.collect(), report))
}
