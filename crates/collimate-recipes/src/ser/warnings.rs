//! Warnings that a reader must see before trusting a run.

use collimate_status::{GainTest, LearningStatus};

use super::outcome::{CrossFitReport, LoopReport, PoolReport};
use super::recipe::Recipe;

/// Warning of a run without held-out pairs.
pub(crate) const NOT_MEASURED: &str = "Without validation and test pairs no accuracy of the evolved \
     model is known, and no control was run. What is known comes from the labels alone: the accuracy \
     and calibration of seed models on labels that they have not seen.";

/// Warns if the cross-fitted test finds no clear gain of the recipe.
pub(crate) fn no_gain(test: &GainTest) -> Option<String> {
    (test.z <= 1.0).then(|| {
        format!(
            "The cross-fitted test finds no gain: the log loss of human labels that the models have \
             not seen changes by {:+.4} ± {:.4} nats (z = {:.1}, a gain is likely above 1). Prefer Loop \
             0, or label more pairs (ask-next.jsonl).",
            -test.mean, test.standard_error, test.z
        )
    })
}

/// Warns if the seed models are no better than a coin on labels that they have not seen.
pub(crate) fn coin(cross: &CrossFitReport) -> Option<String> {
    let accuracy = cross.accuracy.accuracy;
    (accuracy <= 0.5 || cross.calibration.slope == 0.0).then(|| {
        format!(
            "Seed models order {:.1} % of the labels right that they have not seen, no better than a coin: \
             labels that such models give teach their errors. Label more pairs (ask-next.jsonl) before \
             you use the evolved model.",
            100.0 * accuracy
        )
    })
}

/// Warns about assumptions that do not hold, a first loop that kept nothing, and test pairs that
/// are not unseen.
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
    // Soft labels are not filtered: their probability says how certain they are.
    let soft = labels.rule == Recipe::NoisyEnsemble.name();
    let precision = labels.label_precision.filter(|precision| *precision < 0.7);
    if let Some(precision) = precision.filter(|_| !soft) {
        warnings.push(format!(
            "Loop {index}: only {:.1} % of the kept self-labels are right. The paper's Assumption 2 \
             wants nearly all: raise the thresholds.",
            100.0 * precision
        ));
    }
    warnings
}

/// Explains why the evolved model is the seed model, and what may help.
fn nothing_kept(labels: &PoolReport) -> String {
    let p = &labels.probabilities;
    let counts = &labels.counts;
    if labels.status == Some(LearningStatus::NoConfidence) {
        return format!(
            "The recipe refuses, so the evolved model is the seed model: {} of {} pairs have a label \
             that is right with the wanted probability, and {} are needed. The surest label has {:.2}. \
             Label as many pairs again as there are labels now, those of ask-next.jsonl first; where \
             the annotators themselves are right in a share c of the pairs, say so \
             (ser.calibrated.ceiling); --go-anyway continues without the refusal.",
            counts.confident, labels.pool, labels.min_count, p.max
        );
    }
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
