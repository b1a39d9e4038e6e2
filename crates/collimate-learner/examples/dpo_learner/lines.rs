//! A renderer for plain text: every metric, epoch after epoch, at the end of a run.

use std::error::Error;

use burn_train::logger::{EvaluationProgressLogger, TrainingProgressLogger};
use burn_train::metric::MetricDefinition;
use burn_train::renderer::{
    EvaluationName, MetricState, MetricsRenderer, MetricsRendererEvaluation,
    MetricsRendererTraining,
};
use burn_train::{LearnerSummary, MetricSummary};

/// Burn's own plain renderer prints every batch.
pub(crate) struct Lines;

fn print(split: &str, metric: &MetricSummary) {
    let values = metric.entries.iter().map(|e| format!("{:8.3}", e.value));
    let values: String = values.collect();
    println!("  {split:<10} {:<18} {values}", metric.name);
}

impl MetricsRendererTraining for Lines {
    fn update_train(&mut self, _: MetricState) {}
    fn update_valid(&mut self, _: MetricState) {}

    fn on_train_end(&mut self, summary: Option<LearnerSummary>) -> Result<(), Box<dyn Error>> {
        let Some(summary) = summary else {
            return Ok(());
        };
        for metric in &summary.metrics.train {
            print("training", metric);
        }
        for metric in &summary.metrics.valid {
            print("validation", metric);
        }
        Ok(())
    }
}

impl TrainingProgressLogger for Lines {
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

impl MetricsRenderer for Lines {
    fn manual_close(&mut self) {}
    fn register_metric(&mut self, _: MetricDefinition) {}
}

// Nothing is evaluated outside of training.
impl MetricsRendererEvaluation for Lines {
    fn update_test(&mut self, _: EvaluationName, _: MetricState) {}
}

impl EvaluationProgressLogger for Lines {
    fn start_global_progress(&mut self, _: usize) {}
    fn start_test(&mut self, _: &str, _: usize) {}
    fn update_test_progress(&mut self, _: usize) {}
    fn end_test(&mut self) {}
    fn end_global_progress(&mut self) {}
    fn log_event_evaluation(&mut self, _: String) {}
}
