//! Laws of the pure parts, on random inputs.

use burn::tensor::Tensor;
use collimate_core::Finish;
use collimate_ppo::{
    KlControl, KlEstimator, MissingEos, RewardConfig, RewardScaling, RunningMoments,
    clipped_policy_loss, clipped_value_loss, gae, grpo_advantages, rloo_advantages, token_rewards,
    whiten,
};
use collimate_testkit::{devices, host, tensor};
use proptest::prelude::*;

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * b.abs().max(1.0)
}

/// Rewards and values of one response.
fn response() -> impl Strategy<Value = (Vec<f64>, Vec<f64>)> {
    (1usize..24).prop_flat_map(|n| {
        let numbers = || prop::collection::vec(-5.0..5.0f64, n);
        (numbers(), numbers())
    })
}

/// Equation 16 written out: a double loop over the one-step errors.
fn naive(rewards: &[f64], values: &[f64], gamma: f64, lambda: f64) -> Vec<f64> {
    let n = rewards.len();
    let value = |t: usize| if t < n { values[t] } else { 0.0 };
    (0..n)
        .map(|t| {
            (t..n)
                .map(|l| {
                    let delta = rewards[l] + gamma * value(l + 1) - value(l);
                    (gamma * lambda).powi((l - t) as i32) * delta
                })
                .sum()
        })
        .collect()
}

proptest! {
    #[test]
    fn gae_is_the_double_loop((rewards, values) in response(), gamma in 0.1..1.0f64, lambda in 0.0..1.0f64) {
        let found = gae(&rewards, &values, gamma, lambda);
        for (t, expected) in naive(&rewards, &values, gamma, lambda).into_iter().enumerate() {
            prop_assert!(near(found.advantages[t], expected));
            prop_assert!(near(found.returns[t], expected + values[t]));
        }
    }

    #[test]
    fn lambda_one_is_monte_carlo((rewards, values) in response(), gamma in 0.1..1.0f64) {
        let found = gae(&rewards, &values, gamma, 1.0);
        for t in 0..rewards.len() {
            let to_go: f64 = rewards[t..].iter().zip(0..).map(|(r, i)| gamma.powi(i) * r).sum();
            prop_assert!(near(found.advantages[t], to_go - values[t]));
        }
    }

    #[test]
    fn lambda_zero_is_one_step((rewards, values) in response(), gamma in 0.1..1.0f64) {
        let found = gae(&rewards, &values, gamma, 0.0);
        for t in 0..rewards.len() {
            let next = values.get(t + 1).copied().unwrap_or(0.0);
            prop_assert!(near(found.advantages[t], rewards[t] + gamma * next - values[t]));
        }
    }

    #[test]
    fn whitened_numbers_have_mean_0_and_variance_1(
        rows in prop::collection::vec(prop::collection::vec(-9.0..9.0f64, 0..6), 2..6),
    ) {
        let before: Vec<f64> = rows.concat();
        prop_assume!(before.len() > 2);
        let spread = before.iter().copied().fold(f64::MIN, f64::max) - before.iter().copied().fold(f64::MAX, f64::min);
        prop_assume!(spread > 0.1);
        let mut after = rows.clone();
        whiten(&mut after);
        let all: Vec<f64> = after.concat();
        let n = all.len() as f64;
        let mean = all.iter().sum::<f64>() / n;
        let variance = all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
        prop_assert!(mean.abs() < 1e-9 && (variance - 1.0).abs() < 1e-4);
        for (row, new) in rows.iter().zip(&after) {
            prop_assert_eq!(row.len(), new.len());
        }
        for (i, j) in (0..before.len()).zip(1..before.len()) {
            prop_assert_eq!(before[i] < before[j], all[i] < all[j]);
        }
    }

    #[test]
    fn groups_sum_to_0_and_a_shift_changes_nothing(
        rewards in prop::collection::vec(-3.0..3.0f64, 2..9), shift in -5.0..5.0f64,
    ) {
        let moved: Vec<f64> = rewards.iter().map(|r| r + shift).collect();
        for (found, shifted) in [
            (rloo_advantages(&rewards), rloo_advantages(&moved)),
            (grpo_advantages(&rewards, false), grpo_advantages(&moved, false)),
            (grpo_advantages(&rewards, true), grpo_advantages(&moved, true)),
        ] {
            prop_assert!(found.iter().sum::<f64>().abs() < 1e-6);
            // The division by the spread magnifies rounding if the spread is small.
            prop_assert!(found.iter().zip(&shifted).all(|(a, b)| (a - b).abs() < 1e-6));
        }
        // Leave-one-out advantages are k / (k − 1) times the distance to the mean.
        let k = rewards.len() as f64;
        for (a, b) in rloo_advantages(&rewards).iter().zip(grpo_advantages(&rewards, false)) {
            prop_assert!(near(*a, b * k / (k - 1.0)));
        }
    }

    #[test]
    fn divergences_are_0_at_equality_and_not_negative(d in -8.0..8.0f64) {
        for estimator in [KlEstimator::K1, KlEstimator::K2, KlEstimator::K3] {
            prop_assert_eq!(estimator.value(0.0), 0.0);
        }
        prop_assert!(KlEstimator::K2.value(d) >= 0.0 && KlEstimator::K3.value(d) >= 0.0);
    }

    #[test]
    fn the_coefficient_follows_the_divergence(kl in 0.0..40.0f64, coefficient in 0.001..2.0f64, n in 1usize..512) {
        let next = KlControl::default().next(coefficient, kl, 0.0, n);
        prop_assert_eq!(next > coefficient, kl > 6.0);
        let most = coefficient * 0.2 * n as f64 / 1e4;
        // The difference of two near numbers has the rounding error of the larger one.
        prop_assert!((next - coefficient).abs() <= most * (1.0 + 1e-12) + 4.0 * f64::EPSILON * coefficient);
        let fixed = KlControl::Fixed { coefficient };
        prop_assert_eq!(fixed.next(coefficient, kl, 0.0, n), coefficient);
    }

    #[test]
    fn the_score_is_in_the_last_token_only(n in 1usize..20, score in -4.0..4.0f64) {
        let logps = vec![-1.5; n];
        let rewards = token_rewards(&logps, &logps, 0.3, score);
        prop_assert_eq!(rewards.iter().position(|&r| r != 0.0).unwrap_or(n - 1), n - 1);
        prop_assert_eq!(rewards[n - 1], score);
    }

    #[test]
    fn scaled_scores_stay_in_range_and_in_order(scores in prop::collection::vec(-30.0..30.0f64, 2..20)) {
        let mut seen = RunningMoments::default();
        for scaling in [
            RewardScaling::PAPER,
            RewardScaling::PAPER.centred(Some(-12.5)),
            RewardScaling::SymmetricClip { limit: 3.0, min: -1.0, max: 1.0 },
        ] {
            let scaled = scaling.apply(&scores, &mut seen);
            prop_assert!(scaled.iter().all(|s| (-1.0..=1.0).contains(s)));
            for (i, j) in (0..scores.len()).zip(1..scores.len()) {
                if scores[i] <= scores[j] {
                    prop_assert!(scaled[i] <= scaled[j] + 1e-12);
                }
            }
        }
    }

    #[test]
    fn running_moments_do_not_see_the_cut(scores in prop::collection::vec(-9.0..9.0f64, 2..30), at in 0usize..30) {
        let (mut whole, mut parts) = (RunningMoments::default(), RunningMoments::default());
        whole.add(&scores);
        let (first, second) = scores.split_at(at.min(scores.len()));
        parts.add(first);
        parts.add(second);
        prop_assert!((whole.mean() - parts.mean()).abs() < 1e-9);
        prop_assert!((whole.variance() - parts.variance()).abs() < 1e-9);
        let mean = scores.iter().sum::<f64>() / scores.len() as f64;
        let variance = scores.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / (scores.len() - 1) as f64;
        prop_assert!((whole.mean() - mean).abs() < 1e-9 && (whole.variance() - variance).abs() < 1e-9);
    }

    #[test]
    fn gradients_are_the_policys_at_ratio_1_and_0_past_the_clip(
        advantages in prop::collection::vec(prop_oneof![-3.0..-0.1f32, 0.1..3.0f32], 1..8), over in 0.25..1.5f32,
    ) {
        for (_, device) in devices() {
            let n = advantages.len();
            let constant = |values: &[f32]| -> Tensor<1> { tensor(values, [n], &device) };
            let gradient = |moved: f32| {
                let old = constant(&vec![-2.0; n]);
                let logps = constant(&vec![-2.0 + moved; n]).require_grad();
                let loss = clipped_policy_loss(logps.clone(), old, constant(&advantages), 0.2, None);
                host(&logps.grad(&loss.sum().backward()).unwrap())
            };
            for (g, a) in gradient(0.0).iter().zip(&advantages) {
                prop_assert_eq!(*g, -a);
            }
            // The gradient is 0 past the bound on the side that the advantage pulls to, and
            // complete on the other side.
            for (moved, side) in [(over, 1.0), (-over, -1.0f32)] {
                for (g, a) in gradient(moved).iter().zip(&advantages) {
                    prop_assert_eq!(*g == 0.0, a * side > 0.0, "moved {}, advantage {}, gradient {}", moved, a, g);
                }
            }
        }
    }

    #[test]
    fn a_value_past_its_clip_on_the_way_to_the_return_has_no_gradient(v in 0.5..3.0f32, r in 4.0..9.0f32) {
        for (_, device) in devices() {
            let gradient = |value: f32| {
                let value: Tensor<1> = tensor(&[value], [1], &device).require_grad();
                let loss = clipped_value_loss(
                    value.clone(), tensor(&[0.0], [1], &device), tensor(&[r], [1], &device), 0.2,
                );
                host(&value.grad(&loss.sum().backward()).unwrap())[0]
            };
            // Further from the return than the clipped value, the gradient is the plain slope V −
            // R.
            prop_assert!((gradient(-v) - (-v - r)).abs() < 1e-4);
            prop_assert_eq!(gradient(v), 0.0);
        }
    }
}

#[test]
fn a_response_without_an_end() {
    let cut = |rule: MissingEos| {
        let config = RewardConfig {
            clip: Some(2.0),
            missing_eos: rule,
            ..RewardConfig::default()
        };
        let ends = [Finish::Eos, Finish::Length, Finish::Stop];
        config.apply(&[1.0, 5.0, -5.0], &ends, &mut RunningMoments::default())
    };
    assert_eq!(cut(MissingEos::Keep), [1.0, 2.0, -2.0]);
    assert_eq!(cut(MissingEos::Penalty { amount: 1.5 }), [1.0, 0.5, -2.0]);
    assert_eq!(cut(MissingEos::Fixed { score: -7.0 }), [1.0, -7.0, -2.0]);
}
