//! Warnings that a reader must see before trusting a run.

use collimate_status::{GainTest, LearningStatus};

use super::outcome::{CrossFitReport, LoopReport, PoolReport};
use super::recipe::Recipe;

/// Warning of a run without held-out pairs.
pub(crate) const NOT_MEASURED: &str = "There are no validation or test pairs, so the accuracy of \
                                       the evolved model is unknown and no control was run. The \
                                       labels give only the accuracy and calibration of seed \
                                       models on labels that these models have not seen.";

/// Minimum number of human labels from which a calibration is more than a guess.
const CALIBRATING: usize = 100;

/// Advice on a length balance that leaves out too many pairs.
const ALL_LENGTHS: &str = "The option --set ser.calibrated.length_balance=false keeps all sure \
                           pairs, and teaches the model their lengths.";

/// Facts of a run that the advice depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    /// True if the run lists pairs to label next.
    pub(crate) asks: bool,
    /// True if the option `go_anyway` is set.
    pub(crate) go_anyway: bool,
}

impl Facts {
    /// Returns the name of the file of pairs to label next, in brackets and after a blank; empty if
    /// there is no such file.
    fn in_file(self) -> &'static str {
        match self.asks {
            true => " (ask-next.jsonl)",
            false => "",
        }
    }

    /// Returns a clause on the pairs to label first; empty if the run lists none.
    fn beginning(self) -> &'static str {
        match self.asks {
            true => ", beginning with the pairs of ask-next.jsonl",
            false => "",
        }
    }
}

/// Warns if the cross-fitted test finds no clear gain of the recipe.
pub(crate) fn no_gain(test: &GainTest, facts: Facts) -> Option<String> {
    (test.z <= 1.0).then(|| {
        format!(
            "The cross-fitted test finds no clear gain. On human labels that the models have not \
             seen, the log loss changes by {:+.4} ± {:.4} nats (z = {:.1}; a gain is likely if z \
             is above 1). Prefer Loop 0, or label more pairs{}.",
            -test.mean,
            test.standard_error,
            test.z,
            facts.in_file()
        )
    })
}

/// Warns if the seed models are no better than a coin on labels that they have not seen.
pub(crate) fn coin(cross: &CrossFitReport, facts: Facts) -> Option<String> {
    let accuracy = cross.accuracy.accuracy;
    let finding = match (accuracy <= 0.5, cross.calibration.slope == 0.0) {
        (true, _) => "which is no better than chance",
        (false, true) => "but a larger score gap is not more often right",
        (false, false) => return None,
    };
    Some(format!(
        "Seed models order {:.1} % of unseen labelled pairs correctly, {finding}. Self-labels of such \
         models teach the models' errors. Label more pairs{} before you use the evolved model.",
        100.0 * accuracy,
        facts.in_file()
    ))
}

/// Warns about a calibration on few labels, assumptions that do not hold, a first loop that kept
/// nothing, and test pairs that are not unseen.
pub(crate) fn warnings(loops: &[LoopReport], unseen: &[bool], facts: Facts) -> Vec<String> {
    let mut warnings: Vec<String> = few_labels(loops).into_iter().collect();
    for l in loops {
        let Some(labels) = &l.labels else { continue };
        warnings.extend(assumptions(l.index, labels));
        warnings.extend(forced(l.index, labels));
        if l.index == 1 && labels.kept == 0 {
            warnings.push(nothing_kept(labels, l.human_labels, facts));
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

/// Warns if the probabilities of `calibrated` rest on few human labels.
fn few_labels(loops: &[LoopReport]) -> Option<String> {
    let calibrated = |l: &&LoopReport| {
        let labels = l.labels.as_ref();
        labels.is_some_and(|labels| labels.rule == Recipe::Calibrated.name())
    };
    let labels = loops.iter().find(calibrated)?.human_labels;
    (labels < CALIBRATING).then(|| {
        format!(
            "The calibration is a guess: {labels} human labels hardly tell how often the seed model \
             is right at a given score gap. Read the probabilities of the self-labels with care, \
             or label at least {CALIBRATING} pairs."
        )
    })
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
        let advice = match labels.rule == Recipe::Calibrated.name() {
            true => "Raise the required precision, or label more pairs",
            false => "Raise the thresholds",
        };
        warnings.push(format!(
            "Loop {index}: only {:.1} % of the kept self-labels are right. The paper's Assumption \
             2 requires nearly all. {advice}.",
            100.0 * precision
        ));
    }
    warnings
}

/// Warns if a loop of `calibrated` kept pairs although too few are sure enough.
fn forced(index: usize, labels: &PoolReport) -> Option<String> {
    let PoolReport {
        kept, min_count, ..
    } = *labels;
    let confident = labels.counts.confident;
    let calibrated = labels.rule == Recipe::Calibrated.name();
    (calibrated && kept > 0 && kept.min(confident) < min_count).then(|| {
        format!(
            "Loop {index}: without --go-anyway the recipe refuses to continue here. {confident} of {} \
             pairs have a self-label that is right with the required probability, and {min_count} \
             are needed. The loop kept the {kept} surest pairs.",
            labels.pool
        )
    })
}

/// Explains why the evolved model is the seed model, and what may help.
fn nothing_kept(labels: &PoolReport, human_labels: usize, facts: Facts) -> String {
    let p = &labels.probabilities;
    let counts = &labels.counts;
    if labels.status == Some(LearningStatus::NoConfidence) {
        return match facts.go_anyway {
            true => nothing_left(labels),
            false => refused(labels, human_labels, facts),
        };
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

/// Explains the refusal of `calibrated`, and what may help.
fn refused(labels: &PoolReport, human_labels: usize, facts: Facts) -> String {
    let counts = &labels.counts;
    let (pool, needed, beginning) = (labels.pool, labels.min_count, facts.beginning());
    let twice = 2 * human_labels;
    if counts.confident >= needed {
        return format!(
            "The recipe refuses to continue, so the evolved model is the seed model. {} of {pool} \
             pairs have a self-label that is right with the required probability, but fewer than \
             {needed} are left once the longer answer wins in the same share as among the human \
             labels: the model is sure of one kind of pair. Give {twice} human labels instead of \
             {human_labels}{beginning}. {ALL_LENGTHS}",
            counts.confident
        );
    }
    format!(
        "The recipe refuses to continue, so the evolved model is the seed model. {} of {pool} pairs \
         have a self-label that is right with the required probability, but {needed} are needed. \
         The surest self-label has probability {:.2}. Give {twice} human labels instead of \
         {human_labels}{beginning}. If the annotators are right in only a share c of the pairs, \
         set ser.calibrated.ceiling to c. The option --go-anyway continues in spite of the refusal.",
        counts.confident, labels.probabilities.max
    )
}

/// Explains why `calibrated` kept nothing although it was told to go anyway.
fn nothing_left(labels: &PoolReport) -> String {
    let counts = &labels.counts;
    if counts.ties + counts.not_finite == counts.pairs {
        return format!(
            "The evolved model is the seed model, in spite of --go-anyway: of the {} pairs of the \
             pool, {} have two equal scores, and {} have a score that is not finite. Label more \
             pairs, or train the seed model longer.",
            counts.pairs, counts.ties, counts.not_finite
        );
    }
    format!(
        "The evolved model is the seed model, in spite of --go-anyway: the length balance left out \
         all of the surest pairs. Their self-labels prefer one kind of answer, the longer or the \
         shorter, which hardly ever wins among the human labels. {ALL_LENGTHS}"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const FACTS: Facts = Facts {
        asks: true,
        go_anyway: false,
    };

    /// Returns Loop 0 and a loop of `calibrated` that kept none of 200 pairs, of which 32 were needed.
    fn loops(human_labels: usize, confident: usize, ties: usize) -> Vec<LoopReport> {
        let labels = json!({
            "pool": 200, "status": "no_confidence", "rule": "calibrated", "min_count": 32,
            "counts": {
                "pairs": 200, "easy": 0, "confident_answers": 0, "hard": 0, "hard_same_side": 0,
                "confident": confident, "ties": ties, "not_finite": 0,
            },
            "kept": 0, "swapped": 0, "left": [], "centre": 0.0,
            "probabilities": {"mean": 0.6, "sd": 0.1, "min": 0.5, "max": 0.87},
            "label_precision": null, "pool_accuracy": null, "precision_curve": [],
        });
        let of_loop = |(index, labels): (usize, Value)| -> LoopReport {
            let report = json!({
                "index": index, "labels": labels, "train_pairs": human_labels,
                "human_labels": human_labels, "steps": 0, "validation": null, "gap": null,
                "seconds": 1.0,
            });
            serde_json::from_value(report).unwrap()
        };
        let both = [Value::Null, labels].into_iter().enumerate();
        both.map(of_loop).collect()
    }

    /// Returns the only warning.
    #[track_caller]
    fn only(loops: &[LoopReport], facts: Facts) -> String {
        let mut found = warnings(loops, &[], facts);
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    #[track_caller]
    fn says(text: &str, parts: &[&str], not: &[&str]) {
        for part in parts {
            assert!(text.contains(part), "{part}: {text}");
        }
        for part in not {
            assert!(!text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn a_refusal_names_numbers_and_files() {
        let told = only(&loops(120, 7, 0), FACTS);
        says(
            &told,
            &[
                "7 of 200 pairs",
                "but 32 are needed",
                "probability 0.87",
                "Give 240 human labels instead of 120, beginning with the pairs of ask-next.jsonl.",
                "--go-anyway continues",
            ],
            &["Double", "length"],
        );
        let balance = only(&loops(120, 40, 0), FACTS);
        says(
            &balance,
            &[
                "40 of 200 pairs",
                "fewer than 32 are left once the longer answer wins",
                "Give 240 human labels instead of 120, beginning with the pairs of ask-next.jsonl.",
                "length_balance=false",
            ],
            &[],
        );
    }

    #[test]
    fn a_loop_that_goes_on_in_spite_of_the_refusal_says_so() {
        let mut loops = loops(120, 7, 0);
        let labels = loops[1].labels.as_mut().unwrap();
        (labels.kept, labels.status) = (20, Some(LearningStatus::Confident));
        let facts = Facts {
            go_anyway: true,
            ..FACTS
        };
        says(
            &only(&loops, facts),
            &[
                "Loop 1: without --go-anyway the recipe refuses",
                "7 of 200 pairs",
                "32 are needed",
                "kept the 20 surest",
            ],
            &[],
        );
        let labels = loops[1].labels.as_mut().unwrap();
        (labels.kept, labels.counts.confident) = (40, 41);
        assert!(warnings(&loops, &[], facts).is_empty());
    }

    #[test]
    fn no_file_is_named_that_the_run_does_not_write() {
        let silent = Facts {
            asks: false,
            ..FACTS
        };
        for confident in [7, 40] {
            let told = only(&loops(120, confident, 0), silent);
            says(
                &told,
                &["Give 240 human labels instead of 120."],
                &["ask-next"],
            );
        }
        let test = GainTest {
            pairs: 120,
            mean: 0.0,
            standard_error: 0.1,
            z: 0.0,
        };
        let told = |facts| no_gain(&test, facts).unwrap();
        says(&told(FACTS), &["label more pairs (ask-next.jsonl)."], &[]);
        says(&told(silent), &["label more pairs."], &["ask-next"]);
        let cross: CrossFitReport = serde_json::from_value(json!({
            "folds": 5, "tried": [], "epochs": 2.0,
            "accuracy": {"pairs": 120, "correct": 54, "ties": 0, "accuracy": 0.45},
            "calibration": {"slope": 0.5},
            "reliability": {"bins": [], "ece": 0.1, "brier": 0.3, "log_loss": 0.8},
        }))
        .unwrap();
        let told = |facts| coin(&cross, facts).unwrap();
        says(
            &told(FACTS),
            &["Label more pairs (ask-next.jsonl) before"],
            &[],
        );
        says(&told(silent), &["Label more pairs before"], &["ask-next"]);
    }

    /// Under `go_anyway` the recipe keeps nothing only if the balance of lengths leaves out all of the
    /// surest pairs, or if there are only ties.
    #[test]
    fn a_run_that_goes_anyway_is_not_told_to_go_anyway() {
        let anyway = Facts {
            go_anyway: true,
            ..FACTS
        };
        for confident in [7, 40] {
            let told = only(&loops(120, confident, 0), anyway);
            says(
                &told,
                &["in spite of --go-anyway: the length balance left out all"],
                &["refuses", "are needed", "continues"],
            );
        }
        let told = only(&loops(120, 0, 200), anyway);
        says(&told, &["200 have two equal scores"], &["length balance"]);
    }

    #[test]
    fn a_calibration_on_few_labels_is_called_a_guess() {
        let told = warnings(&loops(99, 7, 0), &[], FACTS);
        says(
            &told[0],
            &[
                "calibration is a guess: 99 human labels",
                "at least 100 pairs",
            ],
            &[],
        );
        assert_eq!(told.len(), 2);
        only(&loops(100, 7, 0), FACTS);
        // Other recipes keep pairs without these probabilities.
        let mut other = loops(99, 7, 0);
        for l in &mut other {
            l.labels
                .iter_mut()
                .for_each(|labels| labels.rule = "status".to_owned());
        }
        only(&other, FACTS);
    }
}
