//! Lengths and repetitions of rows, counted row by row.

use std::collections::BTreeMap;
use std::io;

use collimate::core::{PreferencePair, Prompt};
use serde::Serialize;

use super::lines;
use super::read::Rows;
use super::spill::{Distinct, Record, Spill, digest};

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

/// Number of occurrences of each length.
#[derive(Debug, Clone, Default)]
pub(super) struct Histogram(BTreeMap<usize, usize>);

impl Histogram {
    pub(super) fn add(&mut self, length: usize) {
        *self.0.entry(length).or_insert(0) += 1;
    }

    /// Summarises the lengths; `None` if there are none. A quantile is the smallest length with the
    /// given share of lengths at or below it.
    pub(super) fn summary(&self) -> Option<Lengths> {
        let all: usize = self.0.values().sum();
        let at = |per_cent: usize| {
            let rank = (all * per_cent).div_ceil(100);
            let mut below = 0;
            self.0.iter().find_map(|(length, count)| {
                below += count;
                (below >= rank).then_some(*length)
            })
        };
        Some(Lengths {
            median: at(50)?,
            p95: at(95)?,
            max: at(100)?,
        })
    }
}

/// Lengths of the parts of rows, by the name of the part.
pub(super) type Parts = Vec<(&'static str, Lengths)>;

/// Counted lengths of the parts of rows, in the order in which the parts were first counted.
#[derive(Debug, Clone, Default)]
pub(super) struct Counted(Vec<(&'static str, Histogram)>);

impl Counted {
    pub(super) fn add(&mut self, name: &'static str, length: usize) {
        let at = self.0.iter().position(|(known, _)| *known == name);
        let at = at.unwrap_or_else(|| {
            self.0.push((name, Histogram::default()));
            self.0.len() - 1
        });
        self.0[at].1.add(length);
    }

    pub(super) fn parts(&self) -> Parts {
        let parts = self.0.iter();
        parts
            .filter_map(|(name, lengths)| Some((*name, lengths.summary()?)))
            .collect()
    }
}

/// Counts the lengths of rows in characters.
pub(super) fn characters(rows: &Rows, counted: &mut Counted) {
    let text = |text: &str| text.chars().count();
    let prompt = |prompt: &Prompt| text(&prompt.to_plain());
    match rows {
        Rows::Pairs(pairs) => {
            for pair in pairs {
                counted.add("prompt", prompt(&pair.prompt));
                counted.add("chosen", text(&pair.chosen.text));
                counted.add("rejected", text(&pair.rejected.text));
            }
        }
        Rows::Sft(examples) => {
            for example in examples {
                counted.add("prompt", prompt(&example.prompt));
                counted.add("completion", text(&example.completion.text));
            }
        }
        Rows::Prompts(prompts) => {
            for asked in prompts {
                counted.add("prompt", prompt(&asked.prompt));
            }
        }
        Rows::Scored(answers) => {
            for answer in answers {
                counted.add("prompt", prompt(&answer.prompt));
                counted.add("completion", text(&answer.completion));
            }
        }
        Rows::Labelled(rows) => {
            for row in rows {
                counted.add("prompt", prompt(&row.example.prompt));
                counted.add("completion", text(&row.example.completion.text));
            }
        }
        Rows::Unlabelled(rows) => {
            for row in rows {
                counted.add("prompt", prompt(&row.prompt));
                for answer in &row.responses {
                    counted.add("answer", text(&answer.text));
                }
            }
        }
    }
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

/// Digests of the contents and prompts of rows.
#[derive(Debug, Default)]
pub(super) struct Contents {
    rows: Spill,
    prompts: Spill,
    seen: u64,
}

impl Contents {
    /// Adds rows and the line of each.
    ///
    /// # Errors
    /// A temporary file cannot be written.
    pub(super) fn add(&mut self, rows: &Rows, lines: &[usize]) -> io::Result<()> {
        for (index, (digest, turned)) in contents(rows).into_iter().enumerate() {
            let line = lines.get(index).copied().unwrap_or(0);
            self.rows.push(Record {
                digest,
                index: self.seen,
                line: line as u64,
                turned,
            })?;
            self.seen += 1;
        }
        for prompt in prompts(rows) {
            self.prompts.push(Record {
                digest: digest(prompt),
                index: 0,
                line: 0,
                turned: false,
            })?;
        }
        Ok(())
    }

    /// Counts the repeated rows, and returns the different prompts.
    ///
    /// # Errors
    /// A temporary file cannot be read or written.
    pub(super) fn repeats(self) -> io::Result<(Repeats, Distinct)> {
        let mut found = Repeats::default();
        let (mut equal, mut swapped) = (First::default(), First::default());
        self.rows.sorted(|rows| {
            for same in rows.chunk_by(|a, b| a.digest == b.digest) {
                let mut seen = [false; 2];
                for row in same {
                    let order = usize::from(row.turned);
                    if seen[order] {
                        equal.add(row);
                    }
                    if seen[1 - order] {
                        swapped.add(row);
                    }
                    seen[order] = true;
                }
            }
        })?;
        (found.equal_rows, found.equal_lines) = equal.lines();
        (found.swapped_pairs, found.swapped_lines) = swapped.lines();
        let mut distinct = Distinct::default();
        let mut result = Ok(());
        self.prompts.sorted(|prompts| {
            let same = prompts.chunk_by(|a, b| a.digest == b.digest);
            found.equal_prompts += prompts.len() - same.count();
            if result.is_ok() {
                result = distinct.extend(prompts);
            }
        })?;
        result.map(|()| (found, distinct))
    }
}

/// Number of rows, and the first of them.
#[derive(Debug, Default)]
struct First {
    count: usize,
    /// Index and line of the first rows.
    rows: BTreeMap<u64, usize>,
}

impl First {
    fn add(&mut self, row: &Record) {
        self.count += 1;
        self.rows.insert(row.index, row.line as usize);
        if self.rows.len() > lines::NAMED {
            self.rows.pop_last();
        }
    }

    fn lines(self) -> (usize, Vec<usize>) {
        (self.count, self.rows.into_values().collect())
    }
}

/// Returns a digest of the content of each row, and true for pairs whose answers are in the second
/// of the two orders.
fn contents(rows: &Rows) -> Vec<(u128, bool)> {
    let plain = |digest: u128| (digest, false);
    match rows {
        Rows::Pairs(pairs) => pairs.iter().map(of_pair).collect(),
        Rows::Sft(examples) => {
            let rows = examples.iter().map(|e| (&e.prompt, &e.completion.text));
            rows.map(|key| plain(digest(&key))).collect()
        }
        Rows::Prompts(prompts) => prompts.iter().map(|p| plain(digest(&p.prompt))).collect(),
        Rows::Scored(answers) => {
            let rows = answers.iter();
            rows.map(|a| plain(digest(&(&a.prompt, &a.completion, a.score.to_bits()))))
                .collect()
        }
        Rows::Labelled(rows) => {
            let rows = rows.iter().map(|r| (&r.example, r.desirable));
            rows.map(|(e, good)| plain(digest(&(&e.prompt, &e.completion.text, good))))
                .collect()
        }
        Rows::Unlabelled(rows) => {
            let texts = |responses: &[collimate::core::Completion]| -> Vec<String> {
                responses.iter().map(|a| a.text.clone()).collect()
            };
            rows.iter()
                .map(|r| plain(digest(&(&r.prompt, texts(&r.responses)))))
                .collect()
        }
    }
}

/// Returns one digest for both orders of the answers, and the order.
fn of_pair(pair: &PreferencePair) -> (u128, bool) {
    let (chosen, rejected) = (&pair.chosen.text, &pair.rejected.text);
    let turned = chosen > rejected;
    let (low, high) = match turned {
        true => (rejected, chosen),
        false => (chosen, rejected),
    };
    (digest(&(&pair.prompt, low, high)), turned)
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
