//! `summary.json` and `report.md` of a reward model.

use std::fmt;

use collimate_nn::HfReward;
use collimate_run::{Figures, Histogram, LineChart, LineSeries, RunFolder, curve};
use serde_json::{Map, Value, json};

use super::config::RewardModelConfig;
use super::train::RewardModelOutcome;
use crate::{RecipeError, report};

impl<B: HfReward> fmt::Display for RewardModelOutcome<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} pairs, {} steps: ", self.pairs, self.steps)?;
        match (self.before, self.test, self.interval) {
            (Some(before), Some(test), Some(interval)) => write!(
                f,
                "test accuracy {:.4} ({:.4} to {:.4}; before training {:.4}, {} pairs)",
                test.accuracy, interval.low, interval.high, before.accuracy, test.pairs
            ),
            _ => write!(f, "no test pairs"),
        }?;
        match self.validation {
            Some(validation) => write!(f, ", validation {:.4}", validation.accuracy),
            None => Ok(()),
        }
    }
}

/// Writes `summary.json`, `report.md` and its plots. `about` is a paragraph on the data and the
/// model. `extra` is copied into the summary.
///
/// # Errors
/// A file that cannot be written, or a plot that cannot be drawn.
pub fn write_report<B: HfReward>(
    outcome: &RewardModelOutcome<B>,
    config: &RewardModelConfig,
    run: &RunFolder,
    about: &str,
    extra: &Map<String, Value>,
) -> Result<(), RecipeError> {
    let values = json!({
        "about": about,
        "config": config,
        "lengths": outcome.tokenize.to_string(),
        "dropped": outcome.tokenize.equal_answers,
    });
    let rows = run.metrics().rows()?;
    let figures = figures(outcome, &rows, &config.train.stage);
    report::write(
        run,
        "reward_model.md",
        json!(outcome),
        extra,
        values,
        figures,
    )
}

fn figures<B: HfReward>(
    outcome: &RewardModelOutcome<B>,
    rows: &[Map<String, Value>],
    stage: &str,
) -> Figures {
    let mut figures = Figures::new();
    let points = curve(rows, |of| of == stage, "loss");
    if points.len() > 1 {
        let chart = LineChart::new("Training loss", "step", "loss");
        let chart = chart.with(LineSeries::new("loss", points));
        figures.push(("loss".to_owned(), chart.into()));
    }
    if !outcome.margins.is_empty() {
        let margins = outcome.margins.iter().map(|&margin| f64::from(margin));
        let plot = Histogram::new(
            "Margins on the test part",
            "score of chosen minus score of rejected",
        )
        .with("test pairs", margins.collect());
        figures.push(("margins".to_owned(), plot.into()));
    }
    figures
}
