//! What a reader must know before believing a run.

use super::outcome::{LoopReport, PoolReport};

/// Assumptions that do not hold, loops without effect, test pairs that are no test.
pub(crate) fn warnings(loops: &[LoopReport], unseen: &[bool]) -> Vec<String> {
    let mut warnings = Vec::new();
    for l in loops {
        let Some(labels) = &l.labels else { continue };
        warnings.extend(assumptions(l.index, labels));
        if l.index == 1 && labels.kept == 0 {
            warnings.push(nothing_kept(labels));
        }
    }
    let seen = unseen.iter().filter(|unseen| !**unseen).count();
    if seen > 0 {
        warnings.push(format!(
            "{seen} of {} test pairs share a prompt, or without prompts a text, with the training \
             or validation rows: believe the column of the unseen ones.",
            unseen.len()
        ));
    }
    warnings
}

fn assumptions(index: usize, labels: &PoolReport) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(accuracy) = labels.pool_accuracy.filter(|accuracy| *accuracy <= 0.5) {
        warnings.push(format!(
            "Loop {index}: the self-labels of the whole pool are right in {:.1} % of the pairs. \
             The paper's Assumption 1 wants more than half: label more pairs.",
            100.0 * accuracy
        ));
    }
    if let Some(precision) = labels.label_precision.filter(|precision| *precision < 0.7) {
        warnings.push(format!(
            "Loop {index}: only {:.1} % of the kept self-labels are right. The paper's Assumption 2 \
             wants nearly all: raise the thresholds.",
            100.0 * precision
        ));
    }
    warnings
}

/// Why the evolved model is the seed model, and what may help.
fn nothing_kept(labels: &PoolReport) -> String {
    let p = &labels.probabilities;
    let counts = &labels.counts;
    let hint = if p.max <= 0.5 || p.min >= 0.5 {
        "all p lie on one side of 1/2: centre the scores (score_centre: seed_mean)"
    } else if p.sd < 0.1 {
        "the p hardly differ: train the seed model longer (epochs, learning rate, smaller batches) \
         or label more pairs"
    } else {
        "lower min_count, or label more pairs"
    };
    format!(
        "Loop 1 kept nothing, so the evolved model is the seed model: {} easy and {} hard pairs \
         where a status needs {}; p from {:.2} to {:.2}, {:.2} ± {:.2}. Perhaps {hint}.",
        counts.easy, counts.hard, labels.min_count, p.min, p.max, p.mean, p.sd
    )
}
