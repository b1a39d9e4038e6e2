//! Agreement of two policies on pairs of responses.

use crate::error::same_length;
use crate::{BestWorst, IrmError};

/// Verdict of a second policy on pairs that a first policy made.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyAgreement {
    /// True for each pair whose margin has the same sign under both policies.
    pub agrees: Vec<bool>,
}

impl PolicyAgreement {
    /// Returns the share of pairs on which both policies agree; `None` without pairs.
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

/// Compares the sign of each pair's margin under two policies that were trained apart.
///
/// ```text
/// agrees = [sign m₁ = sign m₂ ≠ 0]        m_i = r_i(x, y_w) − r_i(x, y_l)
/// ```
///
/// The verdict of one policy on its own answers may be noise of its training. Two policies trained
/// apart agree on half of the pairs by chance. They do not agree if a margin is 0 or not a number.
///
/// Pass plain implicit rewards. A term that both policies share, such as the start model's
/// likelihood ([`rewards_with_start`](crate::rewards_with_start)), makes them agree whatever they
/// have learnt. If such a term chose the pair, both margins may be negative, and the policies agree
/// too.
///
/// # Shapes
/// `pairs` are (prompt, pair) as in [`Bootstrapped::pairs`](crate::Bootstrapped::pairs). `first` and
/// `second` hold the implicit rewards of all responses under each policy, a row per prompt.
///
/// # Errors
/// Returns [`IrmError::Length`] for a prompt without rewards, or with too few of them for the pair.
///
/// # Examples
/// ```
/// use collimate_irm::{BestWorst, policy_agreement};
/// let pair = |chosen, rejected| BestWorst { chosen, rejected, margin: 1.0 };
/// let pairs = [(0, pair(1, 0)), (1, pair(0, 1))];
/// let found = policy_agreement(&pairs, &[[0.0, 1.0], [3.0, 1.0]], &[[0.0, 2.0], [0.5, 0.5]])?;
/// assert_eq!(found.agrees, [true, false]);
/// assert_eq!(found.share(), Some(0.5));
/// assert!(!found.reaches(0.6));
/// # Ok::<(), collimate_irm::IrmError>(())
/// ```
pub fn policy_agreement<P: AsRef<[f64]>>(
    pairs: &[(usize, BestWorst)],
    first: &[P],
    second: &[P],
) -> Result<PolicyAgreement, IrmError> {
    let agrees = pairs
        .iter()
        .map(|&(prompt, pair)| {
            let one = margin("first", first, prompt, pair)?;
            let other = margin("second", second, prompt, pair)?;
            Ok((one > 0.0 && other > 0.0) || (one < 0.0 && other < 0.0))
        })
        .collect::<Result<_, IrmError>>()?;
    Ok(PolicyAgreement { agrees })
}

/// Returns the margin of a pair under one policy.
fn margin<P: AsRef<[f64]>>(
    name: &'static str,
    rewards: &[P],
    prompt: usize,
    pair: BestWorst,
) -> Result<f64, IrmError> {
    let row = rewards.get(prompt).map_or(&[][..], AsRef::as_ref);
    let needed = pair.chosen.max(pair.rejected) + 1;
    if row.len() < needed {
        same_length("responses", name, row.len(), needed)?;
    }
    Ok(row[pair.chosen] - row[pair.rejected])
}
