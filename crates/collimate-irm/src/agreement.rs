//! Agreement of two policies on pairs of responses.

use crate::error::same_length;
use crate::{BestWorst, IrmError};

/// Verdict of a second policy on pairs that a first policy made.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyAgreement {
    /// True for each pair that both policies rank alike.
    pub agrees: Vec<bool>,
}

impl PolicyAgreement {
    /// Returns the share of pairs that both policies rank alike; `None` without pairs.
    pub fn share(&self) -> Option<f64> {
        let n = self.agrees.len();
        let count = self.agrees.iter().filter(|&&agrees| agrees).count();
        (n > 0).then(|| count as f64 / n as f64)
    }

    /// Returns true if the share reaches `least`; false without pairs.
    pub fn reaches(&self, least: f64) -> bool {
        self.share().is_some_and(|share| share >= least)
    }
}

/// Asks a second, independently trained policy for the sign of each pair's margin.
///
/// ```text
/// agrees = [r₂(x, y_w) > r₂(x, y_l)]        y_w, y_l by the first policy's r₁
/// ```
///
/// The verdict of one policy on its own answers may be noise of its training. Two policies trained
/// apart agree on half of the pairs by chance. The second policy does not agree if its rewards are
/// equal, or if a reward is not a number.
///
/// # Shapes
/// `pairs` are (prompt, pair) as in [`Bootstrapped::pairs`](crate::Bootstrapped::pairs). `second`
/// holds the second policy's rewards of all responses, a row per prompt.
///
/// # Errors
/// Returns [`IrmError::Length`] for a prompt without rewards, or with too few of them for the pair.
///
/// # Examples
/// ```
/// use collimate_irm::{BestWorst, policy_agreement};
/// let pair = |chosen, rejected| BestWorst { chosen, rejected, margin: 1.0 };
/// let found = policy_agreement(&[(0, pair(1, 0)), (1, pair(0, 1))], &[[0.0, 2.0], [0.5, 0.5]])?;
/// assert_eq!(found.agrees, [true, false]);
/// assert_eq!(found.share(), Some(0.5));
/// assert!(!found.reaches(0.6));
/// # Ok::<(), collimate_irm::IrmError>(())
/// ```
pub fn policy_agreement<P: AsRef<[f64]>>(
    pairs: &[(usize, BestWorst)],
    second: &[P],
) -> Result<PolicyAgreement, IrmError> {
    let agrees = pairs
        .iter()
        .map(|&(prompt, pair)| {
            let row = second.get(prompt).map_or(&[][..], AsRef::as_ref);
            let needed = pair.chosen.max(pair.rejected) + 1;
            if row.len() < needed {
                same_length("responses", "second", row.len(), needed)?;
            }
            Ok(row[pair.chosen] > row[pair.rejected])
        })
        .collect::<Result<_, IrmError>>()?;
    Ok(PolicyAgreement { agrees })
}
