//! Likelihood of responses under the start model, as a gate and as a part of the ranking.

use collimate_core::Range;

use crate::IrmError;
use crate::error::same_length;

/// Finds the responses that are unlikely under the start model: below the `quantile` of all values.
///
/// ```text
/// unlikely_i = a_i < a_(⌊q·n⌋)        a = log ρ(y|x)/|y|, sorted upwards, counted from 0
/// ```
///
/// The largest log-ratios of a policy may belong to answers that the start model would never have
/// given. At most the share q of the responses is unlikely. With q = 0, or if all values are equal,
/// no response is.
///
/// # Shapes
/// `mean_logps` has one value per response, over all prompts: mean log-probabilities per token, in
/// nats.
///
/// # Errors
/// Returns [`IrmError::OutOfRange`] for a `quantile` outside [0, 1), and [`IrmError::NotFinite`]
/// for a value that is not a finite number.
///
/// # Examples
/// ```
/// let unlikely = collimate_irm::unlikely_responses(&[-1.0, -4.0, -2.0, -3.0], 0.25)?;
/// assert_eq!(unlikely, [false, true, false, false]);
/// # Ok::<(), collimate_irm::IrmError>(())
/// ```
pub fn unlikely_responses(mean_logps: &[f64], quantile: f64) -> Result<Vec<bool>, IrmError> {
    Range::BelowOne.check("gate", quantile)?;
    finite("start", mean_logps)?;
    let rank = (quantile * mean_logps.len() as f64).floor() as usize;
    if rank == 0 {
        return Ok(vec![false; mean_logps.len()]);
    }
    let mut sorted = mean_logps.to_vec();
    let (_, &mut threshold, _) = sorted.select_nth_unstable_by(rank, f64::total_cmp);
    Ok(mean_logps.iter().map(|&value| value < threshold).collect())
}

/// Adds the likelihood under the start model to the rewards.
///
/// ```text
/// r'_i = z(r_i) + λ·z(a_i)        z(v) = (v − mean)/standard deviation, over all responses
/// ```
///
/// With λ = 0 the rewards keep their order, so best, worst and the order of the margins stay the
/// same. A list whose values are all equal has z = 0.
///
/// # Shapes
/// Both lists have one value per response, over all prompts.
///
/// # Numerics
/// The standard deviation is that of the population. A reward that is not finite is left out of
/// mean and deviation. It is not finite in the result, and
/// [`best_and_worst`](crate::best_and_worst) reports it.
///
/// # Errors
/// Returns [`IrmError::OutOfRange`] for a negative `weight` λ, [`IrmError::Length`] for lists of
/// different length, and [`IrmError::NotFinite`] for a mean log-probability that is not a finite
/// number.
///
/// # Examples
/// ```
/// // The second response gained most, but the start would hardly write it.
/// let rewards = collimate_irm::rewards_with_start(&[1.0, 2.0, 0.0], &[-1.0, -7.0, -1.0], 1.0)?;
/// assert!(rewards[0] > rewards[1]);
/// # Ok::<(), collimate_irm::IrmError>(())
/// ```
pub fn rewards_with_start(
    rewards: &[f64],
    mean_logps: &[f64],
    weight: f64,
) -> Result<Vec<f64>, IrmError> {
    Range::NotNegative.check("start_weight", weight)?;
    same_length("responses", "start", mean_logps.len(), rewards.len())?;
    finite("start", mean_logps)?;
    let pairs = standardized(rewards)
        .into_iter()
        .zip(standardized(mean_logps));
    Ok(pairs
        .map(|(reward, start)| reward + weight * start)
        .collect())
}

/// Scales the finite values to mean 0 and standard deviation 1.
fn standardized(values: &[f64]) -> Vec<f64> {
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let n = finite().count().max(1) as f64;
    let mean = finite().sum::<f64>() / n;
    let deviation = (finite().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt();
    let scale = if deviation > 0.0 {
        1.0 / deviation
    } else {
        0.0
    };
    values.iter().map(|value| (value - mean) * scale).collect()
}

fn finite(name: &'static str, values: &[f64]) -> Result<(), IrmError> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) => Err(IrmError::NotFinite {
            list: "responses",
            name,
            index,
            value: values[index],
        }),
    }
}
