//! Judgements to learn from (EFT), made from answers that people have ranked.

use collimate_core::{Key, Purpose};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::parse::{Numbers, ScoreFormat};
use crate::rubric::Rubric;

/// Rule by which the scores of a judge must follow a ranking. Answers of equal rank may have any
/// scores.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OrderRule {
    /// The better answer of every pair has the higher score.
    #[default]
    Strict,
    /// No better answer has a lower score, and at least one better answer has a higher score. A
    /// list may thus have more answers than the rubric has scores.
    Weak,
}

/// Reason why the judgements of a list of ranked answers are not used for training. Of several
/// reasons for one list, the first in this order counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RankRefusal {
    /// Answers of different merits have equal scores.
    Tied,
    /// A better answer has the lower score.
    Contrary,
    /// A judgement states no score.
    Unparsed,
    /// The prompt of the judge for an answer is longer than the judge's limit.
    TooLong,
}

impl OrderRule {
    /// Checks that the scores follow the merits, where a larger merit is a better answer.
    ///
    /// # Errors
    /// [`RankRefusal::Contrary`] or [`RankRefusal::Tied`] if they do not.
    ///
    /// # Examples
    /// ```
    /// use collimate_judge::{OrderRule, RankRefusal};
    /// let merits = [0.0, -1.0, -2.0];
    /// assert_eq!(OrderRule::Strict.follows(&[5.0, 3.0, 2.0], &merits), Ok(()));
    /// assert_eq!(OrderRule::Strict.follows(&[5.0, 3.0, 3.0], &merits), Err(RankRefusal::Tied));
    /// assert_eq!(OrderRule::Weak.follows(&[5.0, 3.0, 3.0], &merits), Ok(()));
    /// assert_eq!(OrderRule::Weak.follows(&[5.0, 2.0, 3.0], &merits), Err(RankRefusal::Contrary));
    /// ```
    pub fn follows(self, scores: &[f64], merits: &[f64]) -> Result<(), RankRefusal> {
        let (mut right, mut tied) = (0, 0);
        let answers = || scores.iter().zip(merits);
        for (score, merit) in answers() {
            for (other, _) in answers().filter(|(_, other)| *other < merit) {
                if score < other {
                    return Err(RankRefusal::Contrary);
                }
                right += usize::from(score > other);
                tied += usize::from(score == other);
            }
        }
        let follows = match self {
            Self::Strict => tied == 0,
            Self::Weak => right > 0,
        };
        if follows {
            Ok(())
        } else {
            Err(RankRefusal::Tied)
        }
    }
}

/// Returns the score for a rank if nothing else is known of an answer.
///
/// The position of the answer in the list is a quantile. The range of quantiles is cut into as many
/// equal parts as the rubric has whole scores:
/// ```text
/// q = (worse answers + (answers of equal merit) / 2) / answers        score = min + ⌊q (max − min + 1)⌋
/// ```
/// The additive rubric (0 to 5) gives four answers 5, 3, 2 and 0, and two answers 4 and 1. A rubric
/// with decimal numbers gives min + q (max − min). The scores contain all errors of the annotators
/// and depend on the other answers in the list: the best of four bad answers gets a 5.
///
/// # Panics
/// If `index` is outside the list.
///
/// # Examples
/// ```
/// use collimate_judge::{Rubric, score_of_rank};
/// let merits = [-3.0, -1.0, 0.0, -2.0];
/// let scores = [0, 1, 2, 3].map(|index| score_of_rank(&Rubric::additive(), &merits, index));
/// assert_eq!(scores, [0.0, 3.0, 5.0, 2.0]);
/// ```
pub fn score_of_rank(rubric: &Rubric, merits: &[f64], index: usize) -> f64 {
    let merit = merits[index];
    let worse = merits.iter().filter(|&&other| other < merit).count();
    let equal = merits.iter().filter(|&&other| other == merit).count();
    // Count in halves, so that no quotient is rounded before the cut.
    let (part, whole) = (2 * worse + equal, 2 * merits.len());
    let range = rubric.range();
    let numbers = match rubric.format() {
        ScoreFormat::LastLine { numbers, .. } | ScoreFormat::Brackets { numbers, .. } => numbers,
    };
    match numbers {
        Numbers::Decimal => range.min + part as f64 / whole as f64 * (range.max - range.min),
        Numbers::Whole => {
            let (low, high) = (range.min.ceil(), range.max.floor());
            let scores = high - low + 1.0;
            low + (part as f64 * scores / whole as f64)
                .floor()
                .min(scores - 1.0)
        }
    }
}

/// Thins the examples of the most common score to the number of the second most common score, and
/// returns the indices of the remaining examples in order.
///
/// Self-Rewarding's data are thinned in this way, because most judgements of the model gave a 4
/// ([arXiv:2401.10020](https://arxiv.org/abs/2401.10020), section 3.1). The paper does not say how
/// far. The examples that stay are drawn by the key.
///
/// # Examples
/// ```
/// use collimate_core::Key;
/// let scores = [4.0, 4.0, 2.0, 4.0, 2.0, 5.0, 4.0];
/// let kept = collimate_judge::thin_common_score(&scores, Key::new(0, "eft"));
/// let fours = kept.iter().filter(|&&index| scores[index] == 4.0).count();
/// assert_eq!((kept.len(), fours), (5, 2));
/// ```
pub fn thin_common_score(scores: &[f64], key: Key) -> Vec<usize> {
    let mut sorted = scores.to_vec();
    sorted.sort_by(f64::total_cmp);
    let mut counts: Vec<(usize, f64)> = sorted
        .chunk_by(|a, b| a == b)
        .map(|run| (run.len(), run[0]))
        .collect();
    counts.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    let mut kept: Vec<usize> = (0..scores.len()).collect();
    if let [(most, common), (second, _), ..] = counts[..]
        && most > second
    {
        let of_common = |index: &usize| scores[*index] == common;
        let mut drawn: Vec<usize> = kept.iter().copied().filter(of_common).collect();
        drawn.shuffle(&mut key.rng(Purpose::Data));
        let gone: std::collections::HashSet<usize> = drawn.split_off(second).into_iter().collect();
        kept.retain(|index| !gone.contains(index));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::ScoreRange;
    use crate::places::TemplateKind;
    use crate::template::Template;

    fn scores(rubric: &Rubric, merits: &[f64]) -> Vec<f64> {
        (0..merits.len())
            .map(|index| score_of_rank(rubric, merits, index))
            .collect()
    }

    /// Quantiles by hand: three answers have 5/6, 1/2 and 1/6; times six parts gives 5, 3 and 1.
    #[test]
    fn ranks_become_scores_by_their_quantile() {
        let additive = Rubric::additive();
        assert_eq!(scores(&additive, &[2.0, 1.0]), [4.0, 1.0]);
        assert_eq!(scores(&additive, &[0.0, -1.0, -2.0]), [5.0, 3.0, 1.0]);
        let six = [6.0, 5.0, 4.0, 3.0, 2.0, 1.0];
        assert_eq!(scores(&additive, &six), [5.0, 4.0, 3.0, 2.0, 1.0, 0.0]);
        // The two best of three have (1 + 2/2)/3 = 2/3, times six gives 4. The last has 1/6.
        assert_eq!(scores(&additive, &[1.0, 1.0, 0.0]), [4.0, 4.0, 1.0]);
        // Equal answers are in the middle, and so is a list of one.
        assert_eq!(scores(&additive, &[1.0, 1.0]), [3.0, 3.0]);
        assert_eq!(scores(&additive, &[7.0]), [3.0]);
        // Ten whole scores from 1: quantiles 3/4 and 1/4.
        let text = "{question}\n{answer}\nScore:";
        let template = Template::new("t", TemplateKind::Answer, None, text).unwrap();
        let range = ScoreRange {
            min: 1.0,
            max: 10.0,
        };
        let rubric = |numbers| {
            let label = "Score:".to_owned();
            let format = ScoreFormat::LastLine { label, numbers };
            Rubric::new(template.clone(), format, range).unwrap()
        };
        assert_eq!(scores(&rubric(Numbers::Whole), &[1.0, 0.0]), [8.0, 3.0]);
        // 1 + 9 · 3/4 and 1 + 9 · 1/4.
        assert_eq!(scores(&rubric(Numbers::Decimal), &[1.0, 0.0]), [7.75, 3.25]);
    }

    #[test]
    fn people_may_rank_answers_alike() {
        let merits = [1.0, 1.0, 0.0];
        for rule in [OrderRule::Strict, OrderRule::Weak] {
            assert_eq!(rule.follows(&[3.0, 5.0, 2.0], &merits), Ok(()));
            assert_eq!(
                rule.follows(&[4.0, 4.0, 4.0], &merits),
                Err(RankRefusal::Tied)
            );
            assert_eq!(
                rule.follows(&[1.0, 5.0, 2.0], &merits),
                Err(RankRefusal::Contrary)
            );
        }
        let tied = [5.0, 2.0, 2.0];
        assert_eq!(
            OrderRule::Strict.follows(&tied, &merits),
            Err(RankRefusal::Tied)
        );
        assert_eq!(OrderRule::Weak.follows(&tied, &merits), Ok(()));
        assert!(RankRefusal::Tied < RankRefusal::Contrary);
        assert!(RankRefusal::Contrary < RankRefusal::Unparsed);
    }

    #[test]
    fn only_the_most_common_score_is_thinned() {
        let key = Key::new(1, "eft");
        assert_eq!(thin_common_score(&[1.0, 2.0], key), [0, 1]);
        // A single score has no second most common score.
        assert_eq!(thin_common_score(&[4.0; 3], key), [0, 1, 2]);
        assert!(thin_common_score(&[], key).is_empty());
        let many: Vec<f64> = (0..100).map(|i| if i < 80 { 4.0 } else { 2.0 }).collect();
        let kept = thin_common_score(&many, key);
        assert_eq!((kept.len(), kept.is_sorted()), (40, true));
        assert_ne!(kept, thin_common_score(&many, Key::new(2, "eft")));
        assert!(
            kept.iter().any(|&index| index > 19 && index < 80),
            "drawn, not cut"
        );
    }
}
