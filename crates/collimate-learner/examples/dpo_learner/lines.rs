//! Prints the metrics of a run as lines of text.

use std::error::Error;
use std::fs;
use std::path::Path;

use burn_train::LearnerSummary;
use burn_train::logger::{EvaluationProgressLogger, TrainingProgressLogger};
use burn_train::metric::MetricDefinition;
use burn_train::renderer::{
    EvaluationName, MetricState, MetricsRenderer, MetricsRendererEvaluation,
    MetricsRendererTraining,
};

/// Prints every metric, one column per epoch, from the files of a finished run. The last line of
/// each file is the value of the epoch. (Burn's own summary reads the files while they are still
/// written.)
pub(crate) fn print(folder: &Path, epochs: usize) -> Result<(), Box<dyn Error>> {
    for split in ["train", "valid"] {
        let mut names: Vec<_> = fs::read_dir(folder.join(split).join("epoch-1"))?
            .map(|entry| Ok(entry?.file_name()))
            .collect::<Result<_, std::io::Error>>()?;
        names.sort();
        for name in names {
            let mut line = String::new();
            for epoch in 1..=epochs {
                let file = folder
                    .join(split)
                    .join(format!("epoch-{epoch}"))
                    .join(&name);
                let text = fs::read_to_string(&file)?;
                let last = text.trim_end().lines().last().unwrap_or_default();
                let value: f64 = last.split(',').next().unwrap_or_default().parse()?;
                line += &format!("{value:8.3}");
            }
            let metric = Path::new(&name).with_extension("");
            println!("  {split:<6} {:<20} {line}", metric.display());
        }
    }
    Ok(())
}

/// A renderer that prints only which training begins: Burn's plain renderer prints every batch.
pub(crate) struct Quiet;

impl MetricsRendererTraining for Quiet {
    fn update_train(&mut self, _: MetricState) {}
    fn update_valid(&mut self, _: MetricState) {}
    fn on_train_end(&mut self, _: Option<LearnerSummary>) -> Result<(), Box<dyn Error>> {
        Ok(())
    }
}

impl TrainingProgressLogger for Quiet {
    fn start(&mut self, epochs: usize, _: usize, _: Option<usize>, label: Option<&str>) {
        println!("{}, {epochs} epochs", label.unwrap_or("training"));
    }
    fn update_epoch(&mut self, _: usize) {}
    fn start_split(&mut self, _: &str, _: usize) {}
    fn update_split(&mut self, _: usize) {}
    fn end_split(&mut self) {}
    fn end(&mut self) {}
    fn log_event_training(&mut self, _: String) {}
}

impl MetricsRenderer for Quiet {
    fn manual_close(&mut self) {}
    fn register_metric(&mut self, _: MetricDefinition) {}
}

// Nothing is evaluated outside of training.
impl MetricsRendererEvaluation for Quiet {
    fn update_test(&mut self, _: EvaluationName, _: MetricState) {}
}

impl EvaluationProgressLogger for Quiet {
    fn start_global_progress(&mut self, _: usize) {}
    fn start_test(&mut self, _: &str, _: usize) {}
    fn update_test_progress(&mut self, _: usize) {}
    fn end_test(&mut self) {}
    fn end_global_progress(&mut self) {}
    fn log_event_evaluation(&mut self, _: String) {}
}
