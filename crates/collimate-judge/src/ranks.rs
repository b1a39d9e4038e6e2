//! Judgements to learn from (EFT), out of answers that people have ranked.

use collimate_core::{Key, Purpose};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::parse::{Numbers, ScoreFormat};
use crate::rubric::Rubric;

/// Rule by which the scores of a judge follow a ranking. Answers that people rank alike may get any
/// scores.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OrderRule {
    /// The better answer of every pair has the higher score.
    #[default]
    Strict,
    /// No better answer has the lower score, and not all scores are equal: more answers than the
    /// rubric has scores can follow too.
    Weak,
}

/// Why the judgements of a list of ranked answers are not learnt from. A list that was judged several
/// times has the reason that comes first here.
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
    /// The judge's prompt for an answer is longer than the judge takes.
    TooLong,
}

impl OrderRule {
    /// Checks that the scores follow the merits, where a larger merit is a better answer.
    ///
    /// # Errors
    /// [`RankRefusal::Contrary`] or [`RankRefusal::Tied`].
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

/// The score that a rank is worth where nothing else is known of an answer.
///
/// The place of the answer in the list is a quantile, which is cut into as many equal parts as the
/// rubric has whole scores:
/// ```text
/// q = (worse answers + (answers of equal merit) / 2) / answers        score = min + ⌊q (max − min + 1)⌋
/// ```
/// The additive rubric (0 to 5) gives four answers 5, 3, 2 and 0, and two answers 4 and 1. A rubric with
/// decimal numbers gives min + q (max − min). Whatever the annotators got wrong is in these scores,
/// and so is the draw of the list: the best of four bad answers gets a 5.
///
/// # Panics
/// If `index` is no place of the list.
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
    // In halves, so that no quotient is rounded before it is cut.
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

/// The examples that are left after those of the most common score were thinned to as many as the
/// second most common score has, in order. Self-Rewarding's data are thinned so, because most
/// judgements of the model gave a 4 ([arXiv:2401.10020](https://arxiv.org/abs/2401.10020), section
/// 3.1); the paper does not say how far. Which examples stay is drawn by the key.
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

    /// Quantiles by hand: of three answers 5/6, 1/2, 1/6, times six parts 5, 3, 1.
    #[test]
    fn ranks_become_scores_by_their_quantile() {
        let additive = Rubric::additive();
        assert_eq!(scores(&additive, &[2.0, 1.0]), [4.0, 1.0]);
        assert_eq!(scores(&additive, &[0.0, -1.0, -2.0]), [5.0, 3.0, 1.0]);
        let six = [6.0, 5.0, 4.0, 3.0, 2.0, 1.0];
        assert_eq!(scores(&additive, &six), [5.0, 4.0, 3.0, 2.0, 1.0, 0.0]);
        // Two best of three: (1 + 2/2)/3 = 2/3, times six is 4; the last is at 1/6.
        assert_eq!(scores(&additive, &[1.0, 1.0, 0.0]), [4.0, 4.0, 1.0]);
        // All alike are in the middle, and a list of one too.
        assert_eq!(scores(&additive, &[1.0, 1.0]), [3.0, 3.0]);
        assert_eq!(scores(&additive, &[7.0]), [3.0]);
        // Ten whole scores from 1 on: quantiles 3/4 and 1/4.
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
        // One score alone has no second to be thinned to.
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
