//! Warnings that a reader must see before trusting a run.

use collimate_status::{GainTest, LearningStatus};

use super::outcome::{CrossFitReport, LoopReport, PoolReport};
use super::recipe::Recipe;

/// Warning of a run without held-out pairs.
pub(crate) const NOT_MEASURED: &str = "There are no validation or test pairs, so the accuracy of \
                                       the evolved model is unknown and no control was run. The \
                                       labels give only the accuracy and calibration of seed \
                                       models on labels that these models have not seen.";

/// Warns if the cross-fitted test finds no clear gain of the recipe.
pub(crate) fn no_gain(test: &GainTest) -> Option<String> {
    (test.z <= 1.0).then(|| {
        format!(
            "The cross-fitted test finds no clear gain. On human labels that the models have not \
             seen, the log loss changes by {:+.4} ± {:.4} nats (z = {:.1}; a gain is likely if z \
             is above 1). Prefer Loop 0, or label more pairs (ask-next.jsonl).",
            -test.mean, test.standard_error, test.z
        )
    })
}

/// Warns if the seed models are no better than a coin on labels that they have not seen.
pub(crate) fn coin(cross: &CrossFitReport) -> Option<String> {
    let accuracy = cross.accuracy.accuracy;
    let finding = match (accuracy <= 0.5, cross.calibration.slope == 0.0) {
        (true, _) => "which is no better than chance",
        (false, true) => "but a larger score gap is not more often right",
        (false, false) => return None,
    };
    Some(format!(
        "Seed models order {:.1} % of unseen labelled pairs correctly, {finding}. Self-labels of such \
         models teach the models' errors. Label more pairs (ask-next.jsonl) before you use the evolved \
         model.",
        100.0 * accuracy
    ))
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
            "{seen} of {} test pairs share a prompt (or a text, if they have no prompt) with the \
             training or validation rows. Use the accuracy in the column of unseen pairs.",
            unseen.len()
        ));
    }
    warnings
}

fn assumptions(index: usize, labels: &PoolReport) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(accuracy) = labels.pool_accuracy.filter(|accuracy| *accuracy <= 0.5) {
        warnings.push(format!(
            "Loop {index}: {:.1} % of the self-labels of the whole pool are right. The paper's \
             Assumption 1 requires more than half. Label more pairs.",
            100.0 * accuracy
        ));
    }
    // Soft labels are not filtered: their probability says how certain they are.
    let soft = labels.rule == Recipe::NoisyEnsemble.name();
    let precision = labels.label_precision.filter(|precision| *precision < 0.7);
    if let Some(precision) = precision.filter(|_| !soft) {
        warnings.push(format!(
            "Loop {index}: only {:.1} % of the kept self-labels are right. The paper's Assumption \
             2 requires nearly all. Raise the thresholds.",
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
        if counts.confident >= labels.min_count {
            return format!(
                "The recipe refuses to continue, so the evolved model is the seed model. {} of {} \
                 pairs have a self-label that is right with the required probability, but fewer \
                 than {} are left once the longer answer wins in the same share as among the human \
                 labels: the model is sure of one kind of pair. Label more pairs, beginning with \
                 the pairs of ask-next.jsonl. The option --set ser.calibrated.length_balance=false \
                 keeps all sure pairs, and teaches the model their lengths.",
                counts.confident, labels.pool, labels.min_count
            );
        }
        return format!(
            "The recipe refuses to continue, so the evolved model is the seed model. {} of {} \
             pairs have a self-label that is right with the required probability, but {} are \
             needed. The surest self-label has probability {:.2}. Double the number of human \
             labels, beginning with the pairs of ask-next.jsonl. If the annotators are right in \
             only a share c of the pairs, set ser.calibrated.ceiling to c. The option --go-anyway \
             continues in spite of the refusal.",
            counts.confident, labels.pool, labels.min_count, p.max
        );
    }
    let hint = if p.max <= 0.5 || p.min >= 0.5 {
        "All p lie on one side of 1/2, so centre the scores (score_centre: seed_mean)"
    } else if p.sd < 0.1 {
        "The p hardly differ, so train the seed model longer (epochs, learning rate, smaller \
         batches) or label more pairs"
    } else {
        "Lower min_count, or label more pairs"
    };
    format!(
        "Loop 1 kept no pair, so the evolved model is the seed model. There are {} easy and {} \
         hard pairs, but a status needs {}. p lies between {:.2} and {:.2}, with mean and standard \
         deviation {:.2} ± {:.2}. {hint}.",
        counts.easy, counts.hard, labels.min_count, p.min, p.max, p.mean, p.sd
    )
}
