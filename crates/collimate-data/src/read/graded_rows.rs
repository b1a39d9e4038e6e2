//! Answers with grades, one answer a row, the answers to a prompt in rows that follow each other.

use collimate_core::{PreferencePair, Prompt};

use super::fields::{Object, content, number, text};
use super::numbers::PairNumbers;
use super::sink::Sink;
use super::{Bad, DropReason};

/// Columns of a row.
const NEEDED: [&str; 3] = ["prompt", "response", "helpfulness"];

/// Returns true for a row with a graded answer.
pub(super) fn is_row(row: &Object) -> bool {
    NEEDED.iter().all(|name| row.contains_key(*name))
}

/// Compares the answers of rows that follow each other and have the same prompt.
#[derive(Debug, Default)]
pub(super) struct GradedRows {
    prompt: Option<Prompt>,
    answers: Vec<(f64, String)>,
    /// Number of the first of these rows.
    line: usize,
    /// Values of the columns that the caller asked for, of the first of these rows.
    labels: Vec<Option<String>>,
    numbers: PairNumbers,
}

impl GradedRows {
    /// Takes a row. Answers to the prompt before are compared when the prompt changes.
    pub(super) fn row(&mut self, row: &Object, sink: &mut Sink<PreferencePair>) -> Result<(), Bad> {
        sink.seen.columns(row, &NEEDED)?;
        let prompt = content(row, "prompt", &mut sink.seen)?.into_prompt();
        let answer = (
            number(row, "helpfulness")?,
            text(row, "response")?.to_owned(),
        );
        if self.prompt.as_ref() != Some(&prompt) {
            self.finish(sink);
            self.prompt = Some(prompt);
            self.line = sink.line;
            self.labels = sink.labels.of(row)?;
            self.numbers = sink.numbers;
        }
        self.answers.push(answer);
        Ok(())
    }

    /// Compares the answers to the last prompt.
    pub(super) fn finish(&mut self, sink: &mut Sink<PreferencePair>) {
        let Some(prompt) = self.prompt.take() else {
            return;
        };
        let mut answers = std::mem::take(&mut self.answers);
        answers.sort_by(|a, b| b.0.total_cmp(&a.0));
        let now = std::mem::replace(&mut sink.line, self.line);
        let numbers_now = std::mem::replace(&mut sink.numbers, self.numbers);
        if answers.len() < 2 {
            sink.drop_one(DropReason::NoComparison);
        }
        for (i, (better, chosen)) in answers.iter().enumerate() {
            for (worse, rejected) in &answers[i + 1..] {
                if better == worse {
                    sink.drop_one(DropReason::EqualScores);
                    continue;
                }
                let gap = Some(better - worse);
                sink.pair(prompt.clone(), chosen.clone(), rejected.clone(), gap);
            }
        }
        sink.labels
            .keep(std::mem::take(&mut self.labels), sink.out.len());
        sink.place();
        sink.line = now;
        sink.numbers = numbers_now;
    }
}
