//! Pairs whose labels would teach most.

use std::collections::HashMap;

/// Measures how much several models disagree about each pair, in nats: the entropy of the mean
/// probability minus the mean of the entropies.
///
/// ```text
/// D = H(mean_m p_m) − mean_m H(p_m),   H(p) = −p ln p − (1 − p) ln(1 − p)
/// ```
///
/// The disagreement is the mutual information between the label and the model (BALD,
/// [arXiv:1112.5745](https://arxiv.org/abs/1112.5745), equation 1). It is 0 if all models give the
/// same probability, however unsure they are. It is ln 2 if half of them are sure of each answer.
///
/// `models` holds, for each model, the probability of every pair that the first answer is better.
/// The disagreement of a pair is 0 if any model's probability for it is not in [0, 1].
///
/// # Examples
/// ```
/// let d = collimate_status::disagreement(&[vec![0.5, 1.0, 0.9], vec![0.5, 0.0, 0.9]]);
/// assert_eq!(d[0], 0.0);
/// assert!((d[1] - 2_f64.ln()).abs() < 1e-12 && d[2].abs() < 1e-12);
/// ```
pub fn disagreement(models: &[Vec<f64>]) -> Vec<f64> {
    let pairs = models.iter().map(Vec::len).min().unwrap_or(0);
    let n = models.len() as f64;
    (0..pairs)
        .map(|pair| {
            let p = || models.iter().map(|model| model[pair]);
            if !p().all(|p| (0.0..=1.0).contains(&p)) {
                return 0.0;
            }
            let mean = p().sum::<f64>() / n;
            (entropy(mean) - p().map(entropy).sum::<f64>() / n).max(0.0)
        })
        .collect()
}

fn entropy(p: f64) -> f64 {
    let part = |p: f64| if p > 0.0 { -p * p.ln() } else { 0.0 };
    part(p) + part(1.0 - p)
}

/// Returns the `count` pairs to ask about, largest disagreement first, spread over groups
/// (prompts): every group gives its best pair before any group gives its second. With equal
/// disagreement the smaller index comes first.
///
/// A pair beyond the end of `groups` is a group by itself. A pair whose disagreement is not finite
/// is never asked about.
///
/// # Examples
/// ```
/// let asked = collimate_status::ask_next(&[0.5, 0.6, 0.1, f64::NAN], &[0, 0, 1, 2], 3);
/// assert_eq!(asked, [1, 2, 0]);
/// ```
pub fn ask_next(disagreement: &[f64], groups: &[usize], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..disagreement.len())
        .filter(|&pair| disagreement[pair].is_finite())
        .collect();
    order.sort_by(|&a, &b| disagreement[b].total_cmp(&disagreement[a]).then(a.cmp(&b)));
    let mut taken: HashMap<usize, usize> = HashMap::new();
    let mut turns: Vec<(usize, usize)> = order
        .into_iter()
        .map(|pair| {
            let turn = match groups.get(pair) {
                Some(&group) => {
                    let turns = taken.entry(group).or_insert(0);
                    *turns += 1;
                    *turns - 1
                }
                None => 0,
            };
            (turn, pair)
        })
        .collect();
    // Stable: within a turn the pairs stay ordered by disagreement.
    turns.sort_by_key(|(turn, _)| *turn);
    turns
        .into_iter()
        .take(count)
        .map(|(_, pair)| pair)
        .collect()
}
