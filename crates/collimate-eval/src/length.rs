//! Accuracy separated by answer length, to detect a preference for long answers.

use serde::{Deserialize, Serialize};

use crate::accuracy::{Accuracy, pairwise_accuracy};
use crate::error::{EvalError, check_pairs, check_same_length};

/// Accuracy by the longer answer of each pair. A part is `None` if it has no pairs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct AccuracyByLength {
    /// Pairs whose chosen answer is longer. A model that prefers long answers is right here.
    pub chosen_longer: Option<Accuracy>,
    /// Pairs whose chosen answer is shorter. A model that prefers long answers is wrong here.
    pub chosen_shorter: Option<Accuracy>,
    /// Pairs with answers of equal length.
    pub equal: Option<Accuracy>,
}

/// Returns the accuracy of pairs (chosen, rejected), separated by their lengths (chosen, rejected).
///
/// # Errors
/// As [`pairwise_accuracy`]. [`EvalError::Length`] if the numbers of lengths and pairs differ.
///
/// # Examples
/// ```
/// let scores = [(2.0, 1.0), (3.0, 0.0), (0.0, 1.0)];
/// let parts = collimate_eval::accuracy_by_length(&scores, &[(9, 4), (8, 1), (3, 7)])?;
/// assert_eq!(parts.chosen_longer.map(|part| part.accuracy), Some(1.0));
/// assert_eq!(parts.chosen_shorter.map(|part| part.accuracy), Some(0.0));
/// assert_eq!(parts.equal, None);
/// # Ok::<(), collimate_eval::EvalError>(())
/// ```
pub fn accuracy_by_length(
    scores: &[(f32, f32)],
    lengths: &[(usize, usize)],
) -> Result<AccuracyByLength, EvalError> {
    check_pairs("accuracy by length", scores)?;
    check_same_length("accuracy by length", scores.len(), lengths.len())?;
    let part = |keep: fn(&(usize, usize)) -> bool| {
        let kept = scores
            .iter()
            .zip(lengths)
            .filter(|(_, length)| keep(length));
        let kept: Vec<(f32, f32)> = kept.map(|(&score, _)| score).collect();
        match kept.is_empty() {
            true => Ok(None),
            false => pairwise_accuracy(&kept).map(Some),
        }
    };
    Ok(AccuracyByLength {
        chosen_longer: part(|(chosen, rejected)| chosen > rejected)?,
        chosen_shorter: part(|(chosen, rejected)| chosen < rejected)?,
        equal: part(|(chosen, rejected)| chosen == rejected)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pair_is_in_one_part() {
        let scores = [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.0, 1.0), (2.0, 1.0)];
        let lengths = [(5, 1), (9, 8), (2, 1), (1, 2), (4, 4)];
        let parts = accuracy_by_length(&scores, &lengths).unwrap();
        let longer = parts.chosen_longer.unwrap();
        // Right, wrong, tie.
        assert_eq!((longer.pairs, longer.ties, longer.accuracy), (3, 1, 0.5));
        assert_eq!(parts.chosen_shorter.unwrap().accuracy, 0.0);
        assert_eq!(parts.equal.unwrap().accuracy, 1.0);
        assert!(accuracy_by_length(&scores, &lengths[1..]).is_err());
        assert!(accuracy_by_length(&[], &[]).is_err());
    }
}
