//! `eval pairs` on rows with several right and wrong answers: RewardBench 2.

use std::path::Path;

use collimate::core::Prompt;
use collimate::data::{AnswerLists, Input, SftExample, not_used};
use collimate::eval::{
    AnswerScores, Bootstrap, Groups, Interval, RewardBench2, best_of, reward_bench_2,
};
use collimate::lm::Architecture;
use collimate::prelude::Device;
use serde_json::{Value, json};

use super::cases::as_chat;
use super::out::Places;
use super::stats::key;
use super::table::{Table, interval, number};
use crate::commands::score::{self, Column, Rows, Task};
use crate::common::{self, Failure, Interrupted};
use crate::rendering::Rendering;
use crate::runs;
use crate::templates::TEMPLATES;

/// Texts to score, and the model that scores them.
pub(super) struct Lists<'a> {
    pub(super) data: &'a Path,
    pub(super) model: &'a Path,
    pub(super) reference: Option<&'a Path>,
    pub(super) kind: Architecture,
    pub(super) label: Option<&'a String>,
    pub(super) first: Option<usize>,
    pub(super) max_length: Option<usize>,
    pub(super) as_chat: bool,
    pub(super) rendering: Rendering,
}

/// Returns true if the file has lists of right and wrong answers. A pipe is not checked, because it
/// can be read only once.
pub(super) fn holds(data: &Path) -> Result<bool, Failure> {
    Ok(data.is_file() && Input::open(data)?.holds_answer_lists()?)
}

/// The rows with the scores of their answers, in the order of the answers.
fn with_scores(rows: &[AnswerLists], mut scores: impl Iterator<Item = f64>) -> Vec<AnswerScores> {
    rows.iter()
        .map(|row| AnswerScores {
            id: row.id.clone(),
            subset: row.subset.clone().unwrap_or_else(|| "(none)".to_owned()),
            right: scores.by_ref().take(row.chosen.len()).collect(),
            wrong: scores.by_ref().take(row.rejected.len()).collect(),
        })
        .collect()
}

impl Lists<'_> {
    /// Scores the answers and reports the subsets.
    pub(super) fn run(
        &self,
        notes: &[String],
        device: &Device,
        places: Places<'_>,
    ) -> Result<(), Failure> {
        let (mut rows, unused) = Input::open(self.data)?.read_answer_lists()?;
        rows.truncate(self.first.unwrap_or(usize::MAX));
        if self.as_chat {
            rows.iter_mut().for_each(|row| as_chat(&mut row.prompt));
        }
        common::tell(&format!(
            "{}: {} rows with lists of answers{}",
            self.data.display(),
            rows.len(),
            not_used(&unused).map_or_else(String::new, |unused| format!("; {unused}"))
        ));
        // Bad ids are refused before the scoring, which is what takes long.
        reward_bench_2(&with_scores(&rows, std::iter::repeat(0.0)))?;
        let scored = with_scores(&rows, self.scores(&rows, device)?.into_iter());
        show(notes, &rows, &scored, places)
    }

    /// Returns the reward of each answer, row by row. The right answers of a row come first.
    fn scores(&self, rows: &[AnswerLists], device: &Device) -> Result<Vec<f64>, Failure> {
        let example = |prompt: &Prompt, answer: &String| SftExample {
            prompt: prompt.clone(),
            completion: answer.as_str().into(),
        };
        let examples = rows.iter().flat_map(|row| {
            let answers = row.chosen.iter().chain(&row.rejected);
            answers.map(move |answer| example(&row.prompt, answer))
        });
        let rows = Rows::Single(examples.collect());
        let all = rows.len();
        let columns = |dir: &Path| -> Result<Vec<Column>, Failure> {
            let task = Task {
                tokenizer: self.rendering.open(dir)?,
                max_length: self.max_length,
                label: self.label.cloned(),
                interrupt: runs::interrupt(),
            };
            let logprobs = self.kind == Architecture::Decoder;
            let model = task.open(dir, self.kind, logprobs, device)?;
            let columns = task.columns(dir, &*model, &rows)?;
            let done = score::scored(&columns);
            if done < all {
                let text =
                    format!("stopped: {done} of {all} answers are scored, but nothing is written");
                return Err(Interrupted(text).into());
            }
            Ok(columns)
        };
        let of = |columns: &[Column], name: &str| -> Vec<f64> {
            let column = columns.iter().find(|(column, _)| *column == name);
            let values = column.into_iter().flat_map(|(_, values)| values);
            values
                .map(|value| value.as_f64().unwrap_or(f64::NAN))
                .collect()
        };
        let own = columns(self.model)?;
        let with = |other: Vec<f64>, join: fn(f64, f64) -> f64| -> Vec<f64> {
            let logps = of(&own, "logps");
            logps
                .into_iter()
                .zip(other)
                .map(|(own, other)| join(own, other))
                .collect()
        };
        Ok(match (self.kind, self.reference) {
            (Architecture::Decoder, Some(reference)) => {
                with(of(&columns(reference)?, "logps"), |own, other| own - other)
            }
            (Architecture::Decoder, None) => with(of(&own, "tokens"), |sum, tokens| sum / tokens),
            _ => of(&own, "score"),
        })
    }
}

fn show(
    notes: &[String],
    rows: &[AnswerLists],
    scored: &[AnswerScores],
    places: Places<'_>,
) -> Result<(), Failure> {
    let bench = reward_bench_2(scored)?;
    let right = |row: &AnswerScores| best_of(&row.right, &row.wrong);
    let mut table = Table::new("Best of several", ["subset", "rows", "score", "95 %"]);
    for subset in &bench.subsets {
        let of_subset = scored.iter().filter(|row| row.subset == subset.subset);
        let values: Vec<f64> = of_subset.map(right).collect();
        // The score of ties is not a mean over rows.
        let ends: Option<Interval> = match subset.ties {
            Some(_) => None,
            None => Some(Bootstrap::default().mean(&values, Groups::Items, key())?),
        };
        table.row(vec![
            subset.subset.clone(),
            subset.rows.to_string(),
            number(Some(subset.score)),
            interval(ends),
        ]);
    }
    let all = rows.len().to_string();
    table.row(vec![
        "mean of subsets".to_owned(),
        all,
        number(Some(bench.score)),
        "-".to_owned(),
    ]);
    let mut notes = notes.to_vec();
    if !bench.complete {
        notes.push(
            "some subsets of RewardBench 2 are missing, so the score is not comparable with the \
             leaderboard"
                .to_owned(),
        );
    }
    let tables = [table];
    let text: String = tables.iter().map(Table::text).collect::<String>()
        + "\n"
        + &notes
            .iter()
            .map(|note| format!("{note}\n"))
            .collect::<String>();
    let summary = summary(&notes, &bench, rows.len());
    places.print(&text, &summary)?;
    let Some(out) = places.out else {
        return Ok(());
    };
    let lines = rows.iter().zip(scored).map(|(row, scores)| {
        json!({
            "id": row.id, "subset": row.subset, "prompt": row.prompt, "chosen": row.chosen,
            "rejected": row.rejected, "chosen_scores": scores.right, "rejected_scores": scores.wrong,
        })
    });
    out.lines("scores.jsonl", lines)?;
    let values = json!({"title": "Best of several answers", "notes": notes, "tables": tables});
    let report = TEMPLATES.render("eval.md", &values, Vec::new())?;
    out.finish(&report, &summary)
}

fn summary(notes: &[String], bench: &RewardBench2, rows: usize) -> Value {
    json!({"notes": notes, "rows": rows, "reward_bench_2": bench})
}
