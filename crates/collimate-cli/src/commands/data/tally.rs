//! Counts of the rows of a file, taken part by part.

use std::collections::BTreeMap;

use collimate::core::Prompt;
use collimate::data::{DropReason, DroppedRow};

use super::counts::{self, Contents, Counted};
use super::facts::Dropped;
use super::lines;
use super::read::{Rows, Visitor};
use super::token_tally::TokenTally;
use super::tokens::Model;
use crate::common::Failure;

/// Counts of the rows of a file. Memory does not grow with the number of rows.
pub(super) struct Tally<'m> {
    /// Kind of the rows; `None` before the first rows.
    pub(super) kind: Option<&'static str>,
    pub(super) conversations: usize,
    pub(super) with_prompt: usize,
    pub(super) with_scores: usize,
    pub(super) with_margins: usize,
    pub(super) with_weights: usize,
    pub(super) with_weight_zero: usize,
    /// Number of answers that are labelled good, if the rows have labels.
    pub(super) labelled_good: Option<usize>,
    pub(super) characters: Counted,
    pub(super) contents: Contents,
    pub(super) tokens: Option<TokenTally<'m>>,
    pub(super) dropped: BTreeMap<DropReason, Dropped>,
}

impl<'m> Tally<'m> {
    pub(super) fn new(model: Option<&'m Model>) -> Self {
        Self {
            kind: None,
            conversations: 0,
            with_prompt: 0,
            with_scores: 0,
            with_margins: 0,
            with_weights: 0,
            with_weight_zero: 0,
            labelled_good: None,
            characters: Counted::default(),
            contents: Contents::default(),
            tokens: model.map(TokenTally::new),
            dropped: BTreeMap::new(),
        }
    }
}

impl Visitor for Tally<'_> {
    fn take(&mut self, rows: Rows, lines: Vec<usize>) -> Result<(), Failure> {
        self.kind.get_or_insert(kind(&rows));
        let prompts = counts::prompts(&rows);
        self.with_prompt += prompts.len();
        let chat = |prompt: &&&Prompt| matches!(prompt, Prompt::Chat(_));
        self.conversations += prompts.iter().filter(chat).count();
        match &rows {
            Rows::Pairs(pairs) => {
                for pair in pairs {
                    self.with_scores += usize::from(pair.score_gap.is_some());
                    self.with_margins += usize::from(pair.margin.is_some());
                    self.with_weights += usize::from(pair.weight.is_some());
                    let zero = pair.weight.is_some_and(|weight| weight as f32 == 0.0);
                    self.with_weight_zero += usize::from(zero);
                }
            }
            Rows::Scored(answers) => self.with_scores += answers.len(),
            Rows::Labelled(rows) => {
                let good = rows.iter().filter(|row| row.desirable).count();
                *self.labelled_good.get_or_insert(0) += good;
            }
            Rows::Sft(_) | Rows::Prompts(_) | Rows::Unlabelled(_) => {}
        }
        counts::characters(&rows, &mut self.characters);
        self.contents.add(&rows, &lines).map_err(|error| {
            format!("a temporary file cannot be written: {error}: TMPDIR names their folder")
        })?;
        match &mut self.tokens {
            Some(tokens) => tokens.add(&rows, &lines),
            None => Ok(()),
        }
    }

    fn dropped(&mut self, rows: Vec<DroppedRow>) {
        for row in rows {
            let dropped = self.dropped.entry(row.reason).or_insert(Dropped {
                reason: row.reason,
                count: 0,
                lines: Vec::new(),
                first: None,
            });
            dropped.count += 1;
            // Several comparisons of one row have the same line.
            if dropped.lines.len() < lines::NAMED && dropped.lines.last() != Some(&row.line) {
                dropped.lines.push(row.line);
            }
            if dropped.first.is_none() {
                dropped.first = row.what;
            }
        }
    }
}

fn kind(rows: &Rows) -> &'static str {
    match rows {
        Rows::Pairs(_) => "pair",
        Rows::Sft(_) => "example",
        Rows::Prompts(_) => "prompt",
        Rows::Scored(_) => "scored answer",
        Rows::Labelled(_) => "labelled answer",
        Rows::Unlabelled(_) => "answer list",
    }
}
