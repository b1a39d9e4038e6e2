//! Lengths and repetitions of rows.

use std::collections::HashSet;
use std::hash::Hash;

use collimate::core::{PreferencePair, Prompt};
use collimate::data::Candidates;
use serde::Serialize;

use super::lines;
use super::read::Rows;

/// Summary of the distribution of some lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Lengths {
    /// Median: half of the lengths are at most this.
    pub(super) median: usize,
    /// 95th percentile: 95 % of the lengths are at most this.
    pub(super) p95: usize,
    /// Maximum length.
    pub(super) max: usize,
}

impl Lengths {
    /// Summarises lengths; `None` if there are none. A quantile is the smallest length with the
    /// given share of lengths at or below it.
    pub(super) fn of(lengths: impl Iterator<Item = usize>) -> Option<Self> {
        let mut sorted: Vec<usize> = lengths.collect();
        sorted.sort_unstable();
        let at = |per_cent: usize| {
            let rank = (sorted.len() * per_cent).div_ceil(100);
            sorted.get(rank.saturating_sub(1)).copied()
        };
        Some(Self {
            median: at(50)?,
            p95: at(95)?,
            max: at(100)?,
        })
    }
}

/// Lengths of the parts of rows, by the name of the part.
pub(super) type Parts = Vec<(&'static str, Lengths)>;

/// Returns the lengths in characters.
pub(super) fn characters(rows: &Rows) -> Parts {
    let text = |text: &str| text.chars().count();
    let prompt = |prompt: &Prompt| text(&prompt.to_plain());
    let parts: Vec<(&'static str, Option<Lengths>)> = match rows {
        Rows::Pairs(pairs) => vec![
            (
                "prompt",
                Lengths::of(pairs.iter().map(|p| prompt(&p.prompt))),
            ),
            (
                "chosen",
                Lengths::of(pairs.iter().map(|p| text(&p.chosen.text))),
            ),
            (
                "rejected",
                Lengths::of(pairs.iter().map(|p| text(&p.rejected.text))),
            ),
        ],
        Rows::Sft(examples) => vec![
            (
                "prompt",
                Lengths::of(examples.iter().map(|e| prompt(&e.prompt))),
            ),
            (
                "completion",
                Lengths::of(examples.iter().map(|e| text(&e.completion.text))),
            ),
        ],
        Rows::Prompts(prompts) => {
            vec![(
                "prompt",
                Lengths::of(prompts.iter().map(|p| prompt(&p.prompt))),
            )]
        }
        Rows::Scored(answers) => vec![
            (
                "prompt",
                Lengths::of(answers.iter().map(|a| prompt(&a.prompt))),
            ),
            (
                "completion",
                Lengths::of(answers.iter().map(|a| text(&a.completion))),
            ),
        ],
        Rows::Labelled(rows) => vec![
            (
                "prompt",
                Lengths::of(rows.iter().map(|r| prompt(&r.example.prompt))),
            ),
            (
                "completion",
                Lengths::of(rows.iter().map(|r| text(&r.example.completion.text))),
            ),
        ],
        Rows::Unlabelled(rows) => {
            let answers = rows.iter().flat_map(|r| &r.responses);
            vec![
                (
                    "prompt",
                    Lengths::of(rows.iter().map(|r| prompt(&r.prompt))),
                ),
                ("answer", Lengths::of(answers.map(|a| text(&a.text)))),
            ]
        }
    };
    let known = parts
        .into_iter()
        .filter_map(|(name, lengths)| Some((name, lengths?)));
    known.collect()
}

/// Rows that occur more than once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Repeats {
    /// Number of rows with the same content as an earlier row.
    pub(super) equal_rows: usize,
    /// Lines of the first of these rows.
    pub(super) equal_lines: Vec<usize>,
    /// Number of rows whose prompt occurs in an earlier row.
    pub(super) equal_prompts: usize,
    /// Number of pairs whose two answers occur in an earlier row with the labels swapped.
    pub(super) swapped_pairs: usize,
    /// Lines of the first of these rows.
    pub(super) swapped_lines: Vec<usize>,
}

/// Counts repeated rows. `places` are the line numbers of the rows.
pub(super) fn repeats(rows: &Rows, places: &[usize]) -> Repeats {
    let mut found = match rows {
        Rows::Pairs(pairs) => {
            let mut found = equal(pairs.iter().map(key), places);
            let (count, lines) = swapped(pairs, places);
            (found.swapped_pairs, found.swapped_lines) = (count, lines);
            found
        }
        Rows::Sft(examples) => equal(
            examples.iter().map(|e| (&e.prompt, &e.completion.text)),
            places,
        ),
        Rows::Prompts(prompts) => equal(prompts.iter().map(|p| &p.prompt), places),
        Rows::Scored(answers) => equal(
            answers
                .iter()
                .map(|a| (&a.prompt, &a.completion, a.score.to_bits())),
            places,
        ),
        Rows::Labelled(rows) => equal(
            rows.iter()
                .map(|r| (&r.example.prompt, &r.example.completion.text, r.desirable)),
            places,
        ),
        Rows::Unlabelled(rows) => {
            let texts = |r: &Candidates| -> Vec<String> {
                r.responses.iter().map(|a| a.text.clone()).collect()
            };
            equal(rows.iter().map(|r| (&r.prompt, texts(r))), places)
        }
    };
    found.equal_prompts = repeated(prompts(rows).into_iter());
    found
}

/// Returns the prompts of the rows that have one.
pub(super) fn prompts(rows: &Rows) -> Vec<&Prompt> {
    let all: Vec<&Prompt> = match rows {
        Rows::Pairs(pairs) => pairs.iter().map(|p| &p.prompt).collect(),
        Rows::Sft(examples) => examples.iter().map(|e| &e.prompt).collect(),
        Rows::Prompts(prompts) => prompts.iter().map(|p| &p.prompt).collect(),
        Rows::Scored(answers) => answers.iter().map(|a| &a.prompt).collect(),
        Rows::Labelled(rows) => rows.iter().map(|r| &r.example.prompt).collect(),
        Rows::Unlabelled(rows) => rows.iter().map(|r| &r.prompt).collect(),
    };
    all.into_iter()
        .filter(|prompt| !prompt.is_empty())
        .collect()
}

/// Counts the rows without a prompt.
pub(super) fn without_prompt(rows: &Rows, kept: usize) -> usize {
    kept - prompts(rows).len()
}

fn key(pair: &PreferencePair) -> (&Prompt, &str, &str) {
    (&pair.prompt, &pair.chosen.text, &pair.rejected.text)
}

fn repeated<K: Eq + Hash>(keys: impl Iterator<Item = K>) -> usize {
    let mut seen = HashSet::new();
    keys.fold(0, |count, key| count + usize::from(!seen.insert(key)))
}

fn equal<K: Eq + Hash>(keys: impl Iterator<Item = K>, places: &[usize]) -> Repeats {
    let mut seen = HashSet::new();
    let mut lines = Vec::new();
    for (index, key) in keys.enumerate() {
        if !seen.insert(key) {
            lines.push(places.get(index).copied().unwrap_or(0));
        }
    }
    Repeats {
        equal_rows: lines.len(),
        equal_lines: lines::first(&lines),
        ..Repeats::default()
    }
}

fn swapped(pairs: &[PreferencePair], places: &[usize]) -> (usize, Vec<usize>) {
    let mut seen = HashSet::new();
    let mut lines = Vec::new();
    for (index, pair) in pairs.iter().enumerate() {
        let (prompt, chosen, rejected) = key(pair);
        if seen.contains(&(prompt, rejected, chosen)) {
            lines.push(places.get(index).copied().unwrap_or(0));
        }
        seen.insert((prompt, chosen, rejected));
    }
    (lines.len(), lines::first(&lines))
}
