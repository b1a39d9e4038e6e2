//! `summary.json` and `report.md` of a reward model.

use std::fmt;

use collimate_eval::Accuracy;
use collimate_nn::HfReward;
use collimate_run::{Histogram, LineChart, LineSeries, Report, RunFolder};
use serde_json::{Map, Value, json};

use super::config::RewardModelConfig;
use super::train::RewardModelOutcome;
use crate::RecipeError;

fn percent(accuracy: Option<Accuracy>) -> String {
    accuracy.map_or_else(
        || "–".to_owned(),
        |a| format!("{:.1} %", 100.0 * a.accuracy),
    )
}

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
/// model; `extra` goes into the summary as it is.
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
    let mut summary = json!(outcome);
    for (name, value) in extra {
        summary[name] = value.clone();
    }
    run.write_summary(&summary)?;
    let mut report = Report::new("Reward model").text(about).section("Accuracy").text(
        "Share of pairs whose chosen answer scores higher; a tie counts one half. The interval is a \
         95 % bootstrap over prompts.",
    );
    let interval = outcome.interval.map_or_else(
        || "–".to_owned(),
        |i| format!("{:.1} % – {:.1} %", 100.0 * i.low, 100.0 * i.high),
    );
    report = report.table(
        ["part", "before training", "after", "95 % interval", "pairs"],
        [
            [
                "test".to_owned(),
                percent(outcome.before),
                percent(outcome.test),
                interval,
                outcome.test.map_or(0, |a| a.pairs).to_string(),
            ],
            [
                "validation".to_owned(),
                "–".to_owned(),
                percent(outcome.validation),
                "–".to_owned(),
                outcome.validation.map_or(0, |a| a.pairs).to_string(),
            ],
        ],
    );
    report = report.section("Training").text(&format!(
        "{} pairs, {} steps of {} pairs, learning rate {:e}. Longest sequence: {} tokens; {}.",
        outcome.pairs,
        outcome.steps,
        config.train.batch_size,
        config.train.learning_rate,
        config.max_length,
        outcome.tokenize
    ));
    if let Some(curve) = curve(run, &config.train.stage)? {
        report = report.figure("loss", curve, "Loss of each step's pairs, in nats.");
    }
    if let Some(calibration) = &outcome.calibration {
        report = report.section("Calibration").text(&format!(
            "The score difference of a pair is a probability by the logistic function. Expected \
             calibration error {:.3}, Brier score {:.3} (0.250 knows nothing), log loss {:.3} nats.",
            calibration.ece, calibration.brier, calibration.log_loss
        ));
        let rows = calibration
            .bins
            .iter()
            .filter(|bin| bin.count > 0)
            .map(|bin| {
                [
                    format!("{:.2}", bin.confidence),
                    format!("{:.2}", bin.accuracy),
                    bin.count.to_string(),
                ]
            });
        report = report.table(["confidence", "right", "pairs"], rows.collect::<Vec<_>>());
    }
    if !outcome.margins.is_empty() {
        let margins = outcome
            .margins
            .iter()
            .map(|&margin| f64::from(margin))
            .collect();
        let plot = Histogram::new("Margins on the test part", "score of chosen less rejected")
            .with("test pairs", margins);
        report = report.figure(
            "margins",
            plot,
            "Right of 0 the model agrees with the label.",
        );
    }
    report = report.section("Files").text(
        "`model/` opens in transformers, or for an encoder in sentence-transformers. `metrics.jsonl` \
         has a row for every logged step, `summary.json` the numbers above.",
    );
    report.write(run.path())?;
    Ok(())
}

/// The loss of the logged steps.
fn curve(run: &RunFolder, stage: &str) -> Result<Option<LineChart>, RecipeError> {
    let rows = run.metrics().rows()?;
    let of_stage = rows
        .iter()
        .filter(|row| row.get("stage").and_then(Value::as_str) == Some(stage));
    let points: Vec<(f64, f64)> = of_stage
        .filter_map(|row| Some((row.get("step")?.as_f64()?, row.get("loss")?.as_f64()?)))
        .collect();
    Ok((points.len() > 1)
        .then(|| LineChart::new("Training", "step", "loss").with(LineSeries::new("loss", points))))
}
