//! Accuracy on pairs, overall and by parts, shown and saved.

use collimate::core::PreferencePair;
use collimate::data::{Labels, ReadReport};
use collimate::eval::{
    Accuracy, AccuracyByLength, Bootstrap, Groups, Interval, RewardBench, accuracy_by_length,
    outcomes, pairwise_accuracy, reward_bench, reward_bench_section, wilson_interval,
};
use serde_json::{Value, json};

use super::cases::{Numbers, question};
use super::out::Places;
use super::sheet::chars;
use super::show::correlation_words;
use super::stats::{LengthCorrelation, correlation, key};
use super::table::{Table, interval, number};
use crate::common::Failure;
use crate::templates::TEMPLATES;

/// The results of `eval pairs`.
pub(crate) struct Found {
    scores: Vec<(f32, f32)>,
    labels: Option<Labels>,
    overall: Accuracy,
    interval: Interval,
    rows: Vec<(String, Accuracy)>,
    bench: Option<RewardBench>,
    by_length: AccuracyByLength,
    length: LengthCorrelation,
}

impl Found {
    pub(crate) fn new(
        pairs: &[PreferencePair],
        labels: Option<Labels>,
        scores: Vec<(f32, f32)>,
    ) -> Result<Self, Failure> {
        let mut numbers = Numbers::default();
        let group = |(at, pair): (usize, &PreferencePair)| match question(&pair.prompt) {
            // Pairs without a prompt do not share a group.
            none if none.is_empty() => numbers.of(&format!("\0pair {at}")),
            question => numbers.of(&question),
        };
        let prompts: Vec<usize> = pairs.iter().enumerate().map(group).collect();
        let interval =
            Bootstrap::default().mean(&outcomes(&scores)?, Groups::By(&prompts), key())?;
        let mut parts: Vec<(String, Vec<(f32, f32)>)> = Vec::new();
        for (label, &score) in labels.iter().flat_map(|labels| &labels.values).zip(&scores) {
            let name = label.as_deref().unwrap_or("(none)");
            match parts.iter_mut().find(|(part, _)| part == name) {
                Some((_, part)) => part.push(score),
                None => parts.push((name.to_owned(), vec![score])),
            }
        }
        let mut rows = Vec::new();
        for (name, part) in parts {
            rows.push((name, pairwise_accuracy(&part)?));
        }
        let named: Vec<(&str, Accuracy)> = rows
            .iter()
            .map(|(name, accuracy)| (name.as_str(), *accuracy))
            .collect();
        let has_section = named
            .iter()
            .any(|(name, _)| reward_bench_section(name).is_some());
        let lengths: Vec<(usize, usize)> = pairs
            .iter()
            .map(|pair| {
                (
                    pair.chosen.text.chars().count(),
                    pair.rejected.text.chars().count(),
                )
            })
            .collect();
        let both = pairs
            .iter()
            .zip(&scores)
            .flat_map(|(pair, &(chosen, rejected))| {
                [
                    (f64::from(chosen), chars(&pair.chosen.text)),
                    (f64::from(rejected), chars(&pair.rejected.text)),
                ]
            });
        Ok(Self {
            overall: pairwise_accuracy(&scores)?,
            interval,
            bench: has_section.then(|| reward_bench(&named)).transpose()?,
            by_length: accuracy_by_length(&scores, &lengths)?,
            length: correlation(&both.collect::<Vec<_>>()),
            rows,
            labels,
            scores,
        })
    }

    fn tables(&self) -> Result<Vec<Table>, Failure> {
        let row = |name: &str, accuracy: &Accuracy, ends: Interval| {
            vec![
                name.to_owned(),
                accuracy.pairs.to_string(),
                accuracy.correct.to_string(),
                accuracy.ties.to_string(),
                number(Some(accuracy.accuracy)),
                interval(Some(ends)),
            ]
        };
        let by_share = |accuracy: &Accuracy| {
            let right = accuracy.correct as f64 + 0.5 * accuracy.ties as f64;
            wilson_interval(right, accuracy.pairs, 0.95)
        };
        let header = ["", "pairs", "right", "ties", "accuracy", "95 %"];
        let mut all = Table::new("Accuracy", header);
        all.row(row("all", &self.overall, self.interval));
        let parts = [
            ("chosen answer is longer", &self.by_length.chosen_longer),
            ("chosen answer is shorter", &self.by_length.chosen_shorter),
            ("equal length", &self.by_length.equal),
        ];
        for (name, accuracy) in parts {
            if let Some(accuracy) = accuracy {
                all.row(row(name, accuracy, by_share(accuracy)?));
            }
        }
        let mut tables = vec![all];
        if let Some(labels) = &self.labels {
            let mut table = Table::new(&format!("By {}", labels.column), header);
            for (name, accuracy) in &self.rows {
                let shown = match (&self.bench, reward_bench_section(name)) {
                    (None, _) => name.clone(),
                    (Some(_), Some(section)) => format!("{name} ({section})"),
                    (Some(_), None) => format!("{name} (no section)"),
                };
                table.row(row(&shown, accuracy, by_share(accuracy)?));
            }
            tables.push(table);
        }
        if let Some(bench) = &self.bench {
            let mut table = Table::new("RewardBench", ["section", "pairs", "score"]);
            for section in &bench.sections {
                let pairs = section.pairs.to_string();
                table.row(vec![
                    section.section.clone(),
                    pairs,
                    number(Some(section.score)),
                ]);
            }
            table.row(vec![
                "score".to_owned(),
                String::new(),
                number(Some(bench.score)),
            ]);
            tables.push(table);
        }
        Ok(tables)
    }

    pub(crate) fn show(
        &self,
        notes: &[String],
        read: &ReadReport,
        pairs: &[PreferencePair],
        places: Places<'_>,
    ) -> Result<(), Failure> {
        let tables = self.tables()?;
        let mut notes = notes.to_vec();
        notes.push(format!(
            "reward and length: {}",
            correlation_words(&self.length)
        ));
        if let Some(bench) = self.bench.as_ref().filter(|bench| !bench.complete) {
            notes.push(format!(
                "some subsets of RewardBench are missing ({} of 4 sections are present), so the \
                 score is not comparable with the leaderboard",
                bench.sections.len()
            ));
        }
        let mut text = String::new();
        for table in &tables {
            text += &table.text();
            text.push('\n');
        }
        text.extend(notes.iter().map(|note| format!("{note}\n")));
        let by: Vec<Value> = self
            .rows
            .iter()
            .map(|(name, accuracy)| json!({"name": name, "accuracy": accuracy}))
            .collect();
        let summary = json!({
            "notes": notes, "read": read, "accuracy": self.overall, "interval": self.interval,
            "by": by, "column": self.labels.as_ref().map(|labels| &labels.column),
            "reward_bench": self.bench, "by_length": self.by_length,
            "reward_and_length": self.length,
        });
        places.print(&text, &summary)?;
        let Some(out) = places.out else {
            return Ok(());
        };
        let rows = pairs.iter().zip(&self.scores).enumerate().map(|(at, (pair, scores))| {
            let label = self.labels.as_ref().and_then(|labels| labels.values[at].clone());
            json!({
                "prompt": pair.prompt, "chosen": pair.chosen.text, "rejected": pair.rejected.text,
                "chosen_score": scores.0, "rejected_score": scores.1, "label": label,
            })
        });
        out.lines("scores.jsonl", rows)?;
        let told = [notes.clone(), vec![read.to_string()]].concat();
        let values = json!({"title": "Preference accuracy", "notes": told, "tables": tables});
        let report = TEMPLATES.render("eval.md", &values, Vec::new())?;
        out.finish(&report, &summary)
    }
}
