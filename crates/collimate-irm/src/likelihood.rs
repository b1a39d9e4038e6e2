//! Likelihood of responses under the start model, as a gate and as a part of the ranking.

use collimate_core::Range;

use crate::IrmError;
use crate::error::same_length;

/// Finds the responses that are unlikely under the start model: below the `quantile` of the start
/// model's own samples.
///
/// ```text
/// unlikely_i = a_i < b_(⌊q·n⌋)        a, b = log ρ(y|x)/|y|; the n values b are sorted upwards
///                                     and counted from 0
/// ```
///
/// The largest log-ratios of a policy may belong to answers that the start model would never have
/// given. The threshold does not move with the policy: a policy that has left the start model may
/// lose all its responses. With q = 0 no response is unlikely.
///
/// # Shapes
/// `mean_logps` has one value per response of the policy, and `samples` one value per sample of the
/// start model, over all prompts. Both are mean log-probabilities per token under the start model,
/// in nats.
///
/// # Errors
/// Returns [`IrmError::OutOfRange`] for a `quantile` outside [0, 1), [`IrmError::NotFinite`] for a
/// value that is not a finite number, and [`IrmError::Length`] for responses without samples to
/// compare with.
///
/// # Examples
/// ```
/// // The start model's own samples: their first quartile is −3.
/// let samples = [-1.0, -4.0, -2.0, -3.0];
/// let unlikely = collimate_irm::unlikely_responses(&[-2.5, -3.5, -9.0], &samples, 0.25)?;
/// assert_eq!(unlikely, [false, true, true]);
/// # Ok::<(), collimate_irm::IrmError>(())
/// ```
pub fn unlikely_responses(
    mean_logps: &[f64],
    samples: &[f64],
    quantile: f64,
) -> Result<Vec<bool>, IrmError> {
    Range::BelowOne.check("gate", quantile)?;
    finite("start", mean_logps)?;
    finite("samples", samples)?;
    if quantile == 0.0 || mean_logps.is_empty() {
        return Ok(vec![false; mean_logps.len()]);
    }
    let n = samples.len();
    if n == 0 {
        same_length("responses", "samples", n, 1)?;
    }
    // A quantile just below 1 may round up to n.
    let rank = ((quantile * n as f64).floor() as usize).min(n - 1);
    let mut sorted = samples.to_vec();
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
