//! Counts of the tokens of rows, taken part by part.

use collimate::data::{DataError, SftExample, TokenizeReport, TokenizedExample};

use super::counts::{Counted, Histogram};
use super::lines;
use super::read::Rows;
use super::tokens::{Model, TRUNCATION, Tokens};
use crate::common::Failure;

/// Counts of the tokens of a file's rows.
pub(super) struct TokenTally<'m> {
    model: &'m Model,
    lengths: Counted,
    /// Tokens of the prompt and the longest answer together.
    sequence: Histogram,
    /// Absent for prompts.
    cut: Option<TokenizeReport>,
    refused: usize,
    refused_lines: Vec<usize>,
    refused_why: Option<String>,
}

impl<'m> TokenTally<'m> {
    pub(super) fn new(model: &'m Model) -> Self {
        Self {
            model,
            lengths: Counted::default(),
            sequence: Histogram::default(),
            cut: None,
            refused: 0,
            refused_lines: Vec::new(),
            refused_why: None,
        }
    }

    /// Returns the counts of all rows.
    pub(super) fn finish(self) -> Tokens {
        Tokens {
            max_length: self.model.max_length,
            model_max_length: self.model.most,
            lengths: self.lengths.parts(),
            sequence: self.sequence.summary(),
            cut: self.cut,
            refused: self.refused,
            refused_lines: self.refused_lines,
            refused_why: self.refused_why,
        }
    }

    /// Tokenises rows. `places` holds the line of each row.
    pub(super) fn add(&mut self, rows: &Rows, places: &[usize]) -> Result<(), Failure> {
        let model = self.model;
        match rows {
            Rows::Pairs(pairs) => self.of(
                pairs,
                places,
                |rows, length| model.tokenizer.encode_pairs(rows, length, TRUNCATION),
                |pair| vec![pair.prompt.len(), pair.chosen.len(), pair.rejected.len()],
                &["prompt", "chosen", "rejected"],
            ),
            Rows::Sft(examples) => self.examples(examples, places),
            Rows::Scored(answers) => {
                let examples: Vec<_> = answers
                    .iter()
                    .map(|answer| SftExample {
                        prompt: answer.prompt.clone(),
                        completion: answer.completion.clone().into(),
                    })
                    .collect();
                self.examples(&examples, places)
            }
            Rows::Labelled(rows) => {
                let examples: Vec<_> = rows.iter().map(|row| row.example.clone()).collect();
                self.examples(&examples, places)
            }
            Rows::Unlabelled(rows) => {
                let (mut examples, mut lines) = (Vec::new(), Vec::new());
                for (row, line) in rows.iter().zip(places) {
                    for answer in &row.responses {
                        examples.push(SftExample {
                            prompt: row.prompt.clone(),
                            completion: answer.clone(),
                        });
                        lines.push(*line);
                    }
                }
                self.examples(&examples, &lines)
            }
            Rows::Prompts(prompts) => self.of(
                prompts,
                places,
                |rows, _| {
                    let ids = rows
                        .iter()
                        .map(|asked| model.tokenizer.encode_prompt(&asked.prompt));
                    Ok((
                        ids.collect::<Result<Vec<_>, _>>()?,
                        TokenizeReport::default(),
                    ))
                },
                |ids: &Vec<u32>| vec![ids.len()],
                &["prompt"],
            ),
        }
    }

    fn examples(&mut self, examples: &[SftExample], places: &[usize]) -> Result<(), Failure> {
        let model = self.model;
        self.of(
            examples,
            places,
            |rows, length| model.tokenizer.encode_examples(rows, length, TRUNCATION),
            |example: &TokenizedExample| vec![example.prompt.len(), example.completion.len()],
            &["prompt", "completion"],
        )
    }

    fn of<R: Clone, E>(
        &mut self,
        rows: &[R],
        places: &[usize],
        encode: impl Fn(&[R], usize) -> Result<(Vec<E>, TokenizeReport), DataError>,
        parts: impl Fn(&E) -> Vec<usize>,
        names: &[&'static str],
    ) -> Result<(), Failure> {
        // If any rows are refused, this holds the others.
        let mut good: Option<Vec<R>> = None;
        let whole = match encode(rows, usize::MAX) {
            Ok((whole, _)) => whole,
            Err(error) => {
                self.refused_why.get_or_insert(error.to_string());
                let mut left = Vec::new();
                for (index, row) in rows.iter().enumerate() {
                    match encode(std::slice::from_ref(row), usize::MAX) {
                        Ok(_) => left.push(row.clone()),
                        Err(_) => self.refuse(places.get(index).copied().unwrap_or(0)),
                    }
                }
                let (whole, _) = encode(&left, usize::MAX)?;
                good = Some(left);
                whole
            }
        };
        for row in &whole {
            let lengths = parts(row);
            for (name, length) in names.iter().zip(&lengths) {
                self.lengths.add(name, *length);
            }
            let answer = lengths.iter().skip(1).max().copied().unwrap_or(0);
            self.sequence.add(lengths[0] + answer);
        }
        if names.len() > 1 && !whole.is_empty() {
            let rows = good.as_deref().unwrap_or(rows);
            let (_, cut) = encode(rows, self.model.max_length)?;
            self.cut = Some(self.cut.unwrap_or_default() + cut);
        }
        Ok(())
    }

    fn refuse(&mut self, line: usize) {
        self.refused += 1;
        if self.refused_lines.len() < lines::NAMED {
            self.refused_lines.push(line);
        }
    }
}
