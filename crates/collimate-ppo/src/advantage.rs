//! Advantages: pure functions over the rewards and values of a rollout.

/// Advantages and returns of one response, one value per token.
#[derive(Debug, Clone, PartialEq)]
pub struct Advantages {
    /// Advantages A_t.
    pub advantages: Vec<f64>,
    /// The returns A_t + V_t, which are the targets of the critic.
    pub returns: Vec<f64>,
}

/// Computes advantages by generalised advantage estimation (GAE) over the tokens of one response.
///
/// ```text
/// δ_t = r_t + γ V_{t+1} − V_t,   A_t = δ_t + γλ A_{t+1},   V after the last token = 0
/// ```
///
/// [arXiv:1506.02438](https://arxiv.org/abs/1506.02438), equation 16. With λ = 1, A_t is the
/// discounted sum of rewards minus V_t; with λ = 0, it is the one-step error δ_t.
///
/// # Panics
/// If `rewards` and `values` differ in length.
///
/// # Examples
/// ```
/// use collimate_ppo::gae;
/// let found = gae(&[0.0, 1.0], &[0.5, 0.25], 1.0, 0.5);
/// assert_eq!(found.advantages, [0.125, 0.75]); // −.25 + .5 · .75, and 1 − .25
/// assert_eq!(found.returns, [0.625, 1.0]);
/// ```
pub fn gae(rewards: &[f64], values: &[f64], gamma: f64, gae_lambda: f64) -> Advantages {
    assert_eq!(rewards.len(), values.len(), "one value per reward");
    let mut advantages = vec![0.0; rewards.len()];
    let (mut next_value, mut next) = (0.0, 0.0);
    for t in (0..rewards.len()).rev() {
        let delta = rewards[t] + gamma * next_value - values[t];
        next = delta + gamma * gae_lambda * next;
        advantages[t] = next;
        next_value = values[t];
    }
    let returns = advantages.iter().zip(values).map(|(a, v)| a + v).collect();
    Advantages {
        advantages,
        returns,
    }
}

/// Shifts and scales the values to mean 0 and variance 1 over all rows.
///
/// ```text
/// (x − μ) / √(σ² + 1e-8),   σ² the unbiased variance
/// ```
///
/// A single value becomes 0.
///
/// # Examples
/// ```
/// let mut rows = vec![vec![1.0], vec![2.0, 3.0]];
/// collimate_ppo::whiten(&mut rows);
/// assert!((rows[0][0] + 1.0).abs() < 1e-8 && rows[1][0] == 0.0);
/// ```
pub fn whiten(rows: &mut [Vec<f64>]) {
    let n = rows.iter().map(Vec::len).sum::<usize>() as f64;
    let mean = rows.iter().flatten().sum::<f64>() / n;
    let squares: f64 = rows.iter().flatten().map(|x| (x - mean).powi(2)).sum();
    let variance = if n > 1.0 { squares / (n - 1.0) } else { 0.0 };
    let scale = 1.0 / (variance + 1e-8).sqrt();
    for x in rows.iter_mut().flatten() {
        *x = (*x - mean) * scale;
    }
}

/// Computes REINFORCE leave-one-out (RLOO) advantages: each reward minus the mean of the prompt's
/// other rewards.
///
/// ```text
/// A_i = R_i − mean_{j ≠ i} R_j
/// ```
///
/// [arXiv:2402.14740](https://arxiv.org/abs/2402.14740), section 3.4. The advantage of a single
/// reward is 0, because there is no other reward to compare it with.
///
/// # Examples
/// ```
/// assert_eq!(collimate_ppo::rloo_advantages(&[1.0, 0.0, 2.0]), [0.0, -1.5, 1.5]);
/// ```
pub fn rloo_advantages(rewards: &[f64]) -> Vec<f64> {
    if rewards.len() < 2 {
        return vec![0.0; rewards.len()];
    }
    let sum: f64 = rewards.iter().sum();
    let others = (rewards.len() - 1) as f64;
    rewards.iter().map(|r| r - (sum - r) / others).collect()
}

/// Computes group-relative (GRPO) advantages: each reward minus the mean of the prompt's rewards.
/// With `scale`, the difference is divided by the standard deviation of the prompt's rewards.
///
/// ```text
/// A_i = (R_i − mean R) / (std R + 1e-4),   std unbiased;   without scale: R_i − mean R
/// ```
///
/// [arXiv:2402.03300](https://arxiv.org/abs/2402.03300), section 4.1.2; without scale:
/// [arXiv:2503.20783](https://arxiv.org/abs/2503.20783).
///
/// # Examples
/// ```
/// assert_eq!(collimate_ppo::grpo_advantages(&[1.0, 0.0, 2.0], false), [0.0, -1.0, 1.0]);
/// ```
pub fn grpo_advantages(rewards: &[f64], scale: bool) -> Vec<f64> {
    let n = rewards.len() as f64;
    let mean = rewards.iter().sum::<f64>() / n;
    let squares: f64 = rewards.iter().map(|r| (r - mean).powi(2)).sum();
    let std = (squares / (n - 1.0).max(1.0)).sqrt();
    let unit = if scale { std + 1e-4 } else { 1.0 };
    rewards.iter().map(|r| (r - mean) / unit).collect()
}

/// Returns the share of the returns' variance that the critic explains: 1 explains all of it, 0 no
/// more than the mean of the returns does. Below 0 is worse than the mean. `None` if the returns do
/// not vary.
///
/// ```text
/// 1 − Var(R − V) / Var(R)
/// ```
pub fn explained_variance(values: &[f64], returns: &[f64]) -> Option<f64> {
    let variance = |xs: &mut dyn Iterator<Item = f64>| {
        let xs: Vec<f64> = xs.collect();
        let mean = xs.iter().sum::<f64>() / xs.len() as f64;
        xs.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / xs.len() as f64
    };
    let all = variance(&mut returns.iter().copied());
    let left = variance(&mut returns.iter().zip(values).map(|(r, v)| r - v));
    (all > 0.0).then(|| 1.0 - left / all)
}
