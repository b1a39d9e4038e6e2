//! The user's files of pairs.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use collimate::core::PreferencePair;
use collimate::data::{
    Format, HhTurns, OnBadRow, ReadOptions, ReadReport, read_pairs, split_by_hash,
};

use serde::{Deserialize, Deserializer, Serialize};

use crate::common::{Failure, tell};
use crate::runs::check_lasting;

/// Returns the options for reading pairs.
pub(crate) fn options(
    format: Option<Format>,
    on_bad_row: OnBadRow,
    hh_turns: HhTurns,
) -> ReadOptions {
    ReadOptions {
        format,
        on_bad_row,
        hh_turns,
        ..ReadOptions::default()
    }
}

/// Refuses files that a run cannot read again, and a file that is given twice under any name.
pub(crate) fn check<'p>(paths: impl Iterator<Item = &'p PathBuf> + Clone) -> Result<(), Failure> {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mut names: Vec<(PathBuf, &PathBuf)> =
        paths.clone().map(|path| (real(path), path)).collect();
    names.sort();
    if let Some(twice) = names.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        let name = twice[1].1.display();
        return Err(format!("{name} is given twice: give each file once").into());
    }
    check_lasting(paths)
}

/// Multiplies the weight of a pair by the weight of the file at `index`. Files beyond the end of the
/// list have weight 1.
pub(crate) fn weigh(pair: &mut PreferencePair, weights: &[f64], index: usize) {
    if let Some(weight) = weights.get(index).filter(|weight| **weight != 1.0) {
        pair.weight = Some(pair.weight.unwrap_or(1.0) * weight);
    }
}

/// Refuses a weight of a file that is not above 0.
pub(crate) fn check_weights(weights: &[f64]) -> Result<(), Failure> {
    let fits = |weight: &f64| *weight > 0.0 && weight.is_finite();
    match weights.iter().find(|weight| !fits(weight)) {
        Some(weight) => Err(format!("data_weights has {weight} but must be above 0").into()),
        None => Ok(()),
    }
}

/// Reads the pairs of all files, with a report on each file. `weights` are the weights of the files.
pub(crate) fn pairs(
    paths: &[PathBuf],
    weights: &[f64],
    options: &ReadOptions,
    reports: &mut Vec<ReadReport>,
) -> Result<Vec<PreferencePair>, Failure> {
    let mut rows = Vec::new();
    for (index, path) in paths.iter().enumerate() {
        let (mut part, report) = read_pairs(path, options)?;
        part.iter_mut().for_each(|pair| weigh(pair, weights, index));
        if part.is_empty() {
            return Err(format!("{report}: no pair is left: correct the file").into());
        }
        rows.extend(part);
        reports.push(report);
    }
    Ok(rows)
}

/// Counts of the margins and weights of pairs.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Numbers {
    pairs: usize,
    pub(crate) margins: usize,
    weights: usize,
    /// Number of pairs of weight 0.
    zero: usize,
    /// Sum of the weights.
    sum: f64,
}

impl Numbers {
    pub(crate) fn of(pairs: &[PreferencePair]) -> Self {
        let mut numbers = Self::default();
        pairs.iter().for_each(|pair| numbers.add(pair));
        numbers
    }

    pub(crate) fn add(&mut self, pair: &PreferencePair) {
        self.pairs += 1;
        self.margins += usize::from(pair.margin.is_some());
        self.weights += usize::from(pair.weight.is_some());
        self.zero += usize::from(pair.weight.is_some_and(|weight| weight as f32 == 0.0));
        self.sum += pair.weight.unwrap_or(1.0);
    }

    /// Describes the margins and weights in sentences; empty if there are none.
    pub(crate) fn said(&self, margins_used: bool) -> String {
        let mut said = String::new();
        let (margins, weights, zero) = (self.margins, self.weights, self.zero);
        if weights > 0 {
            let mean = self.sum / self.pairs as f64;
            said += &format!(
                " The loss uses the weights of {weights} training pairs (the mean weight is \
                 {mean:.3}, and {zero} pairs of weight 0 are left out)."
            );
        }
        if margins > 0 {
            said += &match margins_used {
                true => format!(" The loss uses the margins of {margins} training pairs."),
                false => format!(
                    " The margins of {margins} training pairs are not used (--use-margins uses \
                     margins with the losses dpo, simpo and slic_hf)."
                ),
            };
        }
        said
    }
}

/// Cuts rows into parts by the hash of the prompt: parts to measure on, then the part to learn from.
/// Warns if a part to measure on is empty.
///
/// # Errors
/// Rows of which none falls into the last part: rows with one prompt stay together.
pub(crate) fn split<const N: usize>(
    rows: Vec<PreferencePair>,
    shares: [f64; N],
) -> Result<[Vec<PreferencePair>; N], Failure> {
    let all = rows.len();
    let prompts: HashSet<_> = rows.iter().map(|row| row.prompt.clone()).collect();
    let prompts = prompts.len();
    let found = parts(split_by_hash(rows, &shares)?);
    if all > 0 && found.last().is_none_or(Vec::is_empty) {
        return Err(format!(
            "no row is left to learn from: rows with one prompt stay together, and all {all} rows \
             ({prompts} different prompts) fell into the parts that measure: give rows with more \
             different prompts"
        )
        .into());
    }
    if all > 0 && found.iter().any(Vec::is_empty) {
        tell(&format!(
            "warning: a part that measures the model is empty: rows with one prompt stay together, and \
             the {all} rows have {prompts} different prompts"
        ));
    }
    Ok(found)
}

/// Takes the parts of a split, in order.
pub(crate) fn parts<T, const N: usize>(mut all: Vec<Vec<T>>) -> [Vec<T>; N] {
    std::array::from_fn(|i| all.get_mut(i).map(std::mem::take).unwrap_or_default())
}

/// Reads a path, a list of paths, or null.
pub(crate) fn one_or_many<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<PathBuf>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a path or a list of paths")]
    enum Paths {
        None,
        One(PathBuf),
        Many(Vec<PathBuf>),
    }
    Ok(match Paths::deserialize(from)? {
        Paths::None => Vec::new(),
        Paths::One(path) => vec![path],
        Paths::Many(paths) => paths,
    })
}
