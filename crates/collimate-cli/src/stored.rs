//! The pairs of the user's files as tokens on disk (`--token-store`).

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use collimate::core::PreferencePair;
use collimate::data::{
    DataError, Input, ReadOptions, ReadReport, RowStream, StoreKey, StorePlan, TextTokenizer,
    TokenStore, TokenizedPair, Truncation, part_by_hash,
};
use collimate::train::{Interrupt, Progress};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::common::{Failure, Interrupted, tell};
use crate::files::{self, weigh};

/// Largest number of pairs of a part that measures the model. They are kept in memory.
const MEASURED: usize = 2048;

/// The pairs of several files that are split by the hash of the prompt: parts that measure the
/// model, then the part to learn from.
#[derive(Debug, Clone)]
pub(crate) struct Source<'a> {
    pub(crate) paths: &'a [PathBuf],
    /// Weights of the files.
    pub(crate) weights: &'a [f64],
    pub(crate) reading: ReadOptions,
    /// Share of each part; the last part is the one to learn from.
    pub(crate) shares: &'a [f64],
    /// If true, margins stay with their pairs.
    pub(crate) margins: bool,
}

/// Lengths of sequences.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    pub(crate) max_length: usize,
    pub(crate) truncation: Truncation,
}

/// Facts about the files that a store was made of.
#[derive(Debug, Default, Serialize, Deserialize)]
struct About {
    reports: Vec<ReadReport>,
    /// Margins and weights of the training pairs.
    numbers: files::Numbers,
}

/// Pairs on disk, with sentences about the files that they were made of.
pub(crate) struct Stored {
    pub(crate) pairs: TokenStore<TokenizedPair>,
    pub(crate) about: String,
}

impl Source<'_> {
    /// Reads the first pairs of each part that measures the model.
    pub(crate) fn measured(&self) -> Result<Vec<Vec<PreferencePair>>, Failure> {
        let learned = self.shares.len() - 1;
        let mut parts = vec![Vec::new(); learned];
        let reports = RefCell::default();
        for row in self.rows(&reports) {
            for pair in row? {
                let part = part_by_hash(&pair, self.shares)?;
                if part < learned && parts[part].len() < MEASURED {
                    parts[part].push(pair);
                }
            }
            if parts.iter().all(|part| part.len() == MEASURED) {
                break;
            }
        }
        if parts.iter().any(Vec::is_empty) {
            tell(
                "warning: the validation or test part is empty: the data have too few different \
                 prompts (rows with the same prompt stay together)",
            );
        }
        Ok(parts)
    }

    /// Tokenises the part to learn from into a folder in `dir`, or opens the folder if an earlier
    /// run has done so. The name of the folder depends on files, tokenizer and options.
    pub(crate) fn tokenized(
        &self,
        dir: &Path,
        tokenizer: &TextTokenizer,
        cut: Cut,
        interrupt: &Interrupt,
    ) -> Result<Stored, Failure> {
        let options = json!([self.reading, self.weights, self.shares, self.margins]).to_string();
        let mut input = StoreKey::new("training pairs").text(&options);
        for path in self.paths {
            // The ending of the name decides how a table without a header is read.
            let ending = path.extension().unwrap_or_default().to_string_lossy();
            input = input.text(&ending).file(path)?;
        }
        let mut plan = StorePlan {
            dir: dir.to_owned(),
            input,
            max_length: cut.max_length,
            truncation: cut.truncation,
        };
        let key = plan.key(tokenizer)?;
        plan.dir = dir.join(&key[..16]);
        tell(&format!(
            "tokens of the training pairs: {}",
            plan.dir.display()
        ));
        let about = RefCell::new(About::default());
        let reports = RefCell::default();
        let learned = self.shares.len() - 1;
        let rows = self.rows(&reports).map(|row| {
            let mut kept = Vec::new();
            for mut pair in row? {
                if part_by_hash(&pair, self.shares)? != learned {
                    continue;
                }
                about.borrow_mut().numbers.add(&pair);
                if pair.weight.is_some_and(|weight| weight as f32 == 0.0) {
                    continue;
                }
                if !self.margins {
                    pair.margin = None;
                }
                kept.push(pair);
            }
            Ok(kept)
        });
        let mut meter = Progress::Auto.start_unknown("tokens");
        let mut done = 0;
        let store = tokenizer.store_pairs(
            &plan,
            rows,
            || {
                let mut about = about.take();
                about.reports = reports.take();
                json!(about)
            },
            |rows| {
                done = rows;
                meter.set(rows, "rows");
                match interrupt.is_set() {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            },
        )?;
        let Some(pairs) = store else {
            return Err(Interrupted(format!(
                "stopped: the tokens of {done} rows are in {}: the same command continues there",
                plan.dir.display()
            ))
            .into());
        };
        if pairs.is_empty() {
            return Err(
                "no pair is left to learn from: the pairs were dropped or have weight 0, as \
                 `collimate data check` says, or all prompts fell into the parts that measure the model: give rows with \
                 more different prompts"
                    .into(),
            );
        }
        let about: About = serde_json::from_value(pairs.about().clone()).unwrap_or_default();
        Ok(Stored {
            about: about.said(pairs.len(), self.margins),
            pairs,
        })
    }

    /// Returns the pairs of each row of all files. `reports` gets the report on each file that has
    /// ended.
    fn rows<'r>(&'r self, reports: &'r RefCell<Vec<ReadReport>>) -> FileRows<'r> {
        FileRows {
            paths: self.paths.iter().enumerate(),
            weights: self.weights,
            file: 0,
            reading: &self.reading,
            open: None,
            reports,
        }
    }
}

impl About {
    fn said(&self, pairs: usize, margins_used: bool) -> String {
        let mut said = format!(
            "There are {pairs} training pairs, whose tokens are read from the disk. A part that is \
             split off to measure the model holds at most {MEASURED} pairs."
        );
        said += &self.numbers.said(margins_used);
        for report in &self.reports {
            said += &format!(" {report}.");
        }
        said
    }
}

/// The rows of several files, one file after another.
struct FileRows<'a> {
    paths: std::iter::Enumerate<std::slice::Iter<'a, PathBuf>>,
    weights: &'a [f64],
    /// Index of the open file.
    file: usize,
    reading: &'a ReadOptions,
    open: Option<RowStream<PreferencePair>>,
    reports: &'a RefCell<Vec<ReadReport>>,
}

impl Iterator for FileRows<'_> {
    type Item = Result<Vec<PreferencePair>, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(rows) = &mut self.open {
                match rows.next() {
                    Some(row) => {
                        let weighed = |(_, mut pair): (usize, PreferencePair)| {
                            weigh(&mut pair, self.weights, self.file);
                            pair
                        };
                        return Some(row.map(|row| row.kept.into_iter().map(weighed).collect()));
                    }
                    None => {
                        let report = rows.report();
                        if report.kept == 0 {
                            let what = format!("{report}: no pair is left: correct the file");
                            return Some(Err(DataError::Format {
                                path: report.path,
                                what,
                            }));
                        }
                        self.reports.borrow_mut().push(report);
                    }
                }
                self.open = None;
            }
            let (file, path) = self.paths.next()?;
            self.file = file;
            match Input::open(path).and_then(|input| input.stream_pairs(self.reading)) {
                Ok(rows) => self.open = Some(rows),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
