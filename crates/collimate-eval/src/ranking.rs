//! Agreement between the scores of a judge and a ranking by people.

use collimate_core::outcome;
use serde::{Deserialize, Serialize};

use crate::correlation::spearman;
use crate::error::{EvalError, check_same_length, check_values};

/// The answers to one prompt, with the scores of a judge and the merits given by people.
///
/// A larger merit means a better answer. A merit is a score as given, or a rank with its sign
/// changed. For equal merits no answer is better.
#[derive(Debug, Clone, PartialEq)]
pub struct RankedScores {
    /// Score of each answer.
    pub scores: Vec<f64>,
    /// Merit of each answer.
    pub merits: Vec<f64>,
}

/// Agreement of a judge with rankings, in the measures of Self-Rewarding's table 4
/// ([arXiv:2401.10020](https://arxiv.org/abs/2401.10020)).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RankAgreement {
    /// Number of lists with at least two answers.
    pub lists: usize,
    /// Number of answers in these lists.
    pub answers: usize,
    /// Number of pairs of answers to one prompt with different merits.
    pub pairs: usize,
    /// Number of pairs in which the better answer has the higher score.
    pub correct: usize,
    /// Number of pairs with equal scores.
    pub ties: usize,
    /// (correct + ties / 2) / pairs, or `None` without pairs.
    pub pairwise: Option<f64>,
    /// Number of lists whose scores put all answers in the order of their merits, including ties.
    pub exact: usize,
    /// exact / lists, or `None` without lists.
    pub exact_match: Option<f64>,
    /// Number of answers with the top score.
    pub top: usize,
    /// Number of answers with the top score that no other answer of their list exceeds in merit.
    pub top_best: usize,
    /// top_best / top, the "5-best" of the paper, or `None` if no answer has the top score.
    pub top_share: Option<f64>,
    /// Number of lists in which scores and merits both vary. The correlations are means over these
    /// lists.
    pub correlated: usize,
    /// Mean of Spearman's correlation within a list, or `None` without such lists.
    pub spearman: Option<f64>,
    /// Mean of Kendall's τ-b within a list, or `None` without such lists.
    pub kendall: Option<f64>,
}

/// Measures list by list how well the scores of a judge follow the merits. `top` is the highest
/// score that the judge can give.
///
/// Lists with fewer than two answers contain no information and are left out. A list whose scores
/// (or merits) are all equal has no correlation and counts in neither mean. It still counts in the
/// pairs and in the exact matches.
///
/// # Errors
/// [`EvalError::Length`] for a list with different numbers of scores and merits.
/// [`EvalError::NotFinite`] with the index in the list.
///
/// # Examples
/// ```
/// use collimate_eval::{RankedScores, rank_agreement};
/// let lists = [
///     RankedScores { scores: vec![5.0, 3.0, 3.0], merits: vec![0.0, -1.0, -2.0] },
///     RankedScores { scores: vec![5.0, 4.0], merits: vec![-1.0, 0.0] },
/// ];
/// let found = rank_agreement(&lists, 5.0)?;
/// // Two of four pairs are right and one is a tie; one of two fives is the best of its list.
/// assert_eq!((found.pairwise, found.top_share, found.exact), (Some(0.625), Some(0.5), 0));
/// # Ok::<(), collimate_eval::EvalError>(())
/// ```
pub fn rank_agreement(lists: &[RankedScores], top: f64) -> Result<RankAgreement, EvalError> {
    let mut found = RankAgreement {
        lists: 0,
        answers: 0,
        pairs: 0,
        correct: 0,
        ties: 0,
        pairwise: None,
        exact: 0,
        exact_match: None,
        top: 0,
        top_best: 0,
        top_share: None,
        correlated: 0,
        spearman: None,
        kendall: None,
    };
    let (mut rho, mut tau) = (0.0, 0.0);
    for list in lists {
        let (scores, merits) = (&list.scores[..], &list.merits[..]);
        check_same_length("ranked answers", scores.len(), merits.len())?;
        check_values("ranked answers", scores, 0)?;
        check_values("ranked answers", merits, 0)?;
        if scores.len() < 2 {
            continue;
        }
        found.lists += 1;
        found.answers += scores.len();
        for outcome in outcomes(scores, merits) {
            found.pairs += 1;
            found.correct += usize::from(outcome == 1.0);
            found.ties += usize::from(outcome == 0.5);
        }
        found.exact += usize::from(is_exact(list));
        let best = merits.iter().copied().fold(f64::MIN, f64::max);
        for (score, merit) in scores.iter().zip(merits) {
            if *score >= top {
                found.top += 1;
                found.top_best += usize::from(*merit == best);
            }
        }
        match (spearman(scores, merits), kendall_tau_b(scores, merits)) {
            (Ok(r), Ok(t)) => {
                found.correlated += 1;
                rho += r;
                tau += t;
            }
            (Err(EvalError::Constant { .. }), _) | (_, Err(EvalError::Constant { .. })) => {}
            (Err(error), _) | (_, Err(error)) => return Err(error),
        }
    }
    let share = |part: f64, of: usize| (of > 0).then(|| part / of as f64);
    found.pairwise = share(found.correct as f64 + 0.5 * found.ties as f64, found.pairs);
    found.exact_match = share(found.exact as f64, found.lists);
    found.top_share = share(found.top_best as f64, found.top);
    found.spearman = share(rho, found.correlated);
    found.kendall = share(tau, found.correlated);
    Ok(found)
}

/// Returns the outcome of each pair of answers to one prompt with different merits, and the index
/// of the list of each pair. The outcome is 1 if the better answer has the higher score, ½ for
/// equal scores, and 0 otherwise.
///
/// Pairs of one list are not independent. Draw them together by [`Groups::By`](crate::Groups).
pub fn ranked_outcomes(lists: &[RankedScores]) -> (Vec<f64>, Vec<usize>) {
    let each = lists.iter().enumerate().flat_map(|(index, list)| {
        let pairs = outcomes(&list.scores, &list.merits);
        pairs.into_iter().map(move |outcome| (outcome, index))
    });
    each.unzip()
}

/// Returns true if the scores put all answers of the list in the order of their merits, including
/// ties.
pub fn is_exact(list: &RankedScores) -> bool {
    let (scores, merits) = (&list.scores, &list.merits);
    let order = |values: &[f64], i: usize, j: usize| values[i].partial_cmp(&values[j]);
    let n = scores.len().min(merits.len());
    (0..n).all(|i| (0..i).all(|j| order(scores, i, j) == order(merits, i, j)))
}

/// Returns the outcomes of the pairs with different merits.
fn outcomes(scores: &[f64], merits: &[f64]) -> Vec<f64> {
    let n = scores.len().min(merits.len());
    let mut found = Vec::new();
    for i in 0..n {
        for j in 0..n {
            if merits[i] > merits[j] {
                found.push(outcome(scores[i].partial_cmp(&scores[j])));
            }
        }
    }
    found
}

/// Returns Kendall's rank correlation τ-b, which allows for ties. The time is quadratic in the
/// number of values.
///
/// ```text
/// (C − D) / √((C + D + T_x)(C + D + T_y))
/// ```
/// C and D count pairs in the same and in the opposite order. T_x and T_y count pairs with a tie on
/// only one side.
///
/// # Errors
/// As [`pearson`](crate::pearson).
///
/// # Examples
/// ```
/// let tau = collimate_eval::kendall_tau_b(&[1.0, 2.0, 3.0], &[1.0, 3.0, 2.0])?;
/// assert!((tau - 1.0 / 3.0).abs() < 1e-15);
/// # Ok::<(), collimate_eval::EvalError>(())
/// ```
pub fn kendall_tau_b(x: &[f64], y: &[f64]) -> Result<f64, EvalError> {
    let what = "kendall";
    check_same_length(what, x.len(), y.len())?;
    check_values(what, x, 2)?;
    check_values(what, y, 2)?;
    let (mut same, mut ordered_x, mut ordered_y) = (0_i64, 0_i64, 0_i64);
    for i in 0..x.len() {
        for j in 0..i {
            let (a, b) = (sign(x[i], x[j]), sign(y[i], y[j]));
            same += a * b;
            ordered_x += a * a;
            ordered_y += b * b;
        }
    }
    if ordered_x == 0 || ordered_y == 0 {
        return Err(EvalError::Constant { what });
    }
    let root = (ordered_x as f64).sqrt() * (ordered_y as f64).sqrt();
    Ok((same as f64 / root).clamp(-1.0, 1.0))
}

fn sign(a: f64, b: f64) -> i64 {
    i64::from(a > b) - i64::from(a < b)
}
