//! Laws of margins, ensemble, selection and bootstrapping.

use collimate_core::{Kept, Key, LeaveReason, Left, Selection};
use collimate_irm::{
    CutPolicy, ImplicitReward, KeepRule, Logps, Response, best_and_worst, bootstrap_pairs,
    ensemble, keep_k, policy_agreement, random_k, rewards_with_start, top_k, unlikely_responses,
};
use proptest::prelude::*;

/// Sorts all scores, stably, and takes the first k.
fn naive_top_k(scores: &[f64], k: usize) -> Selection {
    let finite = |&index: &usize| scores[index].is_finite();
    let mut order: Vec<usize> = (0..scores.len()).filter(finite).collect();
    order.sort_by(|&a, &b| scores[b].partial_cmp(&scores[a]).expect("finite"));
    let mut chosen = vec![false; scores.len()];
    order.iter().take(k).for_each(|&index| chosen[index] = true);
    let mut selection = Selection::default();
    for (index, &score) in scores.iter().enumerate() {
        if chosen[index] {
            selection.kept.push(Kept {
                index,
                swapped: false,
                score,
            });
        } else {
            let reason = if score.is_finite() {
                LeaveReason::OverLimit
            } else {
                LeaveReason::NotFinite
            };
            selection.left.push(Left { index, reason });
        }
    }
    selection
}

/// Sorts the usable responses: the best and the worst index, if their rewards and texts differ.
fn naive_best_and_worst(responses: &[Response<'_>]) -> Option<(usize, usize)> {
    let usable = |&index: &usize| {
        let Response {
            text,
            finished,
            unlikely,
            ..
        } = responses[index];
        finished && !unlikely && !text.is_empty()
    };
    let mut order: Vec<usize> = (0..responses.len()).filter(usable).collect();
    if order.iter().any(|&i| !responses[i].reward.is_finite()) {
        return None;
    }
    let reward = |index: &usize| responses[*index].reward;
    order.sort_by(|a, b| reward(a).total_cmp(&reward(b)));
    let worst = *order.first()?;
    order.sort_by(|a, b| reward(b).total_cmp(&reward(a)));
    let best = *order.first()?;
    let differ = responses[best].reward != responses[worst].reward
        && responses[best].text != responses[worst].text;
    differ.then_some((best, worst))
}

fn scores() -> impl Strategy<Value = Vec<f64>> {
    let score = prop_oneof![
        4 => -4.0_f64..4.0,
        4 => (-3_i8..3).prop_map(f64::from),
        1 => any::<f64>(),
        1 => prop_oneof![Just(0.0), Just(-0.0)],
        1 => prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY)],
    ];
    prop::collection::vec(score, 0..80)
}

fn logps(n: usize) -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(-50.0_f64..0.0, n)
}

fn kind() -> impl Strategy<Value = ImplicitReward> {
    prop_oneof![
        Just(ImplicitReward::LogRatio),
        Just(ImplicitReward::LengthNormalizedLogRatio),
        Just(ImplicitReward::MeanLogp),
    ]
}

type Columns = (Vec<f64>, Vec<f64>, Vec<usize>);

fn columns(n: usize) -> impl Strategy<Value = Columns> {
    (logps(n), logps(n), prop::collection::vec(1_usize..100, n))
}

fn view((policy, reference, tokens): &Columns) -> Logps<'_, f64> {
    Logps {
        policy,
        reference: Some(reference),
        tokens: Some(tokens),
    }
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn top_k_is_the_head_of_a_stable_sort(scores in scores(), k in 0_usize..100) {
        let selection = top_k(&scores, k);
        let naive = naive_top_k(&scores, k);
        prop_assert_eq!(&selection.kept, &naive.kept);
        prop_assert_eq!(&selection.left, &naive.left);
    }

    #[test]
    fn a_permutation_permutes_the_selection(
        (scores, order) in scores().prop_flat_map(|scores| {
            let order: Vec<usize> = (0..scores.len()).collect();
            (Just(scores), Just(order).prop_shuffle())
        }),
        k in 0_usize..100,
    ) {
        let plain = top_k(&scores, k);
        let permuted: Vec<f64> = order.iter().map(|&i| scores[i]).collect();
        let selection = top_k(&permuted, k);
        // With equal scores another of them may stay; the kept scores are the same.
        let sorted = |selection: &Selection| {
            let mut kept: Vec<f64> = selection.kept.iter().map(|kept| kept.score + 0.0).collect();
            kept.sort_by(f64::total_cmp);
            kept
        };
        prop_assert_eq!(sorted(&plain), sorted(&selection));
        let mut distinct: Vec<f64> = scores.iter().map(|score| score + 0.0).collect();
        distinct.sort_by(f64::total_cmp);
        if distinct.windows(2).all(|pair| pair[0] != pair[1]) {
            let mut kept: Vec<usize> = selection.kept.iter().map(|k| order[k.index]).collect();
            kept.sort_unstable();
            let expected: Vec<usize> = plain.kept.iter().map(|kept| kept.index).collect();
            prop_assert_eq!(kept, expected);
        }
    }

    #[test]
    fn a_constant_changes_no_selection(
        quarters in prop::collection::vec(-40_i16..40, 0..80),
        shift in -100_i16..100,
        k in 0_usize..100,
    ) {
        // Quarters are exact, so the shift is too.
        let at = |shift: i16| -> Vec<f64> {
            quarters.iter().map(|&q| f64::from(q + shift) / 4.0).collect()
        };
        let plain = top_k(&at(0), k);
        let mut shifted = top_k(&at(shift), k);
        for kept in &mut shifted.kept {
            kept.score -= f64::from(shift) / 4.0;
        }
        prop_assert_eq!(plain, shifted);
    }

    #[test]
    fn exchanging_the_answers_negates_the_margin(
        (kind, chosen, rejected) in (1_usize..20).prop_flat_map(|n| (kind(), columns(n), columns(n))),
    ) {
        let there = kind.margins(view(&chosen), view(&rejected)).unwrap();
        let back = kind.margins(view(&rejected), view(&chosen)).unwrap();
        prop_assert!(there.iter().zip(&back).all(|(there, back)| *there == -back));
        let itself = kind.margins(view(&chosen), view(&chosen)).unwrap();
        prop_assert!(itself.iter().all(|&margin| margin == 0.0));
    }

    #[test]
    fn a_margin_is_the_difference_of_rewards(
        (kind, chosen, rejected) in (1_usize..20).prop_flat_map(|n| (kind(), columns(n), columns(n))),
    ) {
        let margins = kind.margins(view(&chosen), view(&rejected)).unwrap();
        let good = kind.rewards(view(&chosen)).unwrap();
        let bad = kind.rewards(view(&rejected)).unwrap();
        let differences: Vec<f64> = good.iter().zip(&bad).map(|(good, bad)| good - bad).collect();
        prop_assert_eq!(bits(&margins), bits(&differences));
    }

    #[test]
    fn the_ends_of_gamma_are_the_two_models(
        (current, previous) in (0_usize..20).prop_flat_map(|n| (logps(n), logps(n))),
    ) {
        prop_assert_eq!(&ensemble(&current, Some(&previous), 0.0).unwrap(), &current);
        prop_assert_eq!(&ensemble(&current, Some(&previous), 1.0).unwrap(), &previous);
    }

    #[test]
    fn the_ensemble_is_linear(
        values in prop::collection::vec((-99_i8..99, -99_i8..99, -99_i8..99, -99_i8..99), 0..20),
        eighths in 0_u8..=8,
        scale in -8_i8..8,
    ) {
        // Small integers and eighths: every operation is exact.
        let gamma = f64::from(eighths) / 8.0;
        let scale = f64::from(scale);
        let column = |of: fn(&(i8, i8, i8, i8)) -> i8| -> Vec<f64> {
            values.iter().map(|value| f64::from(of(value))).collect()
        };
        let (a, b) = (column(|v| v.0), column(|v| v.1));
        let (c, d) = (column(|v| v.2), column(|v| v.3));
        let sum = |x: &[f64], y: &[f64]| -> Vec<f64> {
            x.iter().zip(y).map(|(x, y)| x + scale * y).collect()
        };
        let left = ensemble(&sum(&a, &c), Some(&sum(&b, &d)), gamma).unwrap();
        let first = ensemble(&a, Some(&b), gamma).unwrap();
        let second = ensemble(&c, Some(&d), gamma).unwrap();
        prop_assert_eq!(left, sum(&first, &second));
    }

    #[test]
    fn random_selections_are_nested(n in 0_usize..60, seed in any::<u64>()) {
        let key = Key::new(seed, "sera2");
        let mut smaller = Vec::new();
        for k in 0..=n {
            let kept: Vec<usize> = random_k(n, k, key).kept.iter().map(|kept| kept.index).collect();
            prop_assert_eq!(kept.len(), k);
            prop_assert!(smaller.iter().all(|index| kept.contains(index)));
            smaller = kept;
        }
    }

    #[test]
    fn best_and_worst_are_the_ends_of_a_stable_sort(
        responses in prop::collection::vec(
            (prop::sample::select(vec!["", "a", "b", "c", "d", "e"]), -4_i8..4, 0_u8..10),
            0..8,
        ),
    ) {
        let responses: Vec<Response<'_>> = responses
            .iter()
            .map(|&(text, reward, dice)| Response {
                text,
                reward: if dice == 0 { f64::NAN } else { f64::from(reward) },
                finished: dice != 1,
                unlikely: dice == 2,
            })
            .collect();
        let outcome = best_and_worst(&responses, CutPolicy::Drop);
        let expected = naive_best_and_worst(&responses);
        prop_assert_eq!(outcome.ok().map(|pair| (pair.chosen, pair.rejected)), expected);
        if let Ok(pair) = outcome {
            let margin = responses[pair.chosen].reward - responses[pair.rejected].reward;
            prop_assert!(pair.margin == margin && margin > 0.0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_gate_is_a_rank_in_a_sorted_list(
        values in prop::collection::vec((-9_i8..0).prop_map(f64::from), 1..40),
        samples in prop::collection::vec((-6_i8..0).prop_map(f64::from), 1..40),
        quantile in 0.001_f64..0.999,
    ) {
        let unlikely = unlikely_responses(&values, &samples, quantile).unwrap();
        // A value is unlikely if it is smaller than every sample from the rank on in the sorted list.
        let mut sorted = samples.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (quantile * samples.len() as f64) as usize;
        for (value, unlikely) in values.iter().zip(&unlikely) {
            prop_assert_eq!(*unlikely, sorted[rank..].iter().all(|other| value < other));
        }
        let own = unlikely_responses(&samples, &samples, quantile).unwrap();
        prop_assert!(own.iter().filter(|&&unlikely| unlikely).count() <= rank);
        let open = unlikely_responses(&values, &samples, 0.0).unwrap();
        prop_assert_eq!(open, vec![false; values.len()]);
    }

    #[test]
    fn weight_0_ranks_as_the_rewards_do(
        (rewards, start) in (2_usize..30).prop_flat_map(|n| {
            let whole = (-4_i8..4).prop_map(f64::from);
            (prop::collection::vec(whole, n), logps(n))
        }),
    ) {
        let found = rewards_with_start(&rewards, &start, 0.0).unwrap();
        for i in 0..rewards.len() {
            for j in 0..rewards.len() {
                prop_assert_eq!(found[i] < found[j], rewards[i] < rewards[j]);
            }
        }
        // Scale and offset of either list change nothing.
        let scaled: Vec<f64> = rewards.iter().map(|r| 2.0 * r + 8.0).collect();
        let [plain, other] = [&rewards, &scaled].map(|r| rewards_with_start(r, &start, 1.5).unwrap());
        for (a, b) in plain.iter().zip(&other) {
            prop_assert!((a - b).abs() < 1e-9 * b.abs().max(1.0));
        }
    }

    #[test]
    fn a_policy_agrees_with_itself_and_never_with_the_opposite(
        rows in prop::collection::vec(prop::collection::vec(-4_i8..4, 4), 1..20),
    ) {
        let texts = ["a", "b", "c", "d"];
        let rows: Vec<Vec<f64>> =
            rows.iter().map(|row| row.iter().map(|&r| f64::from(r)).collect()).collect();
        let responses: Vec<Vec<Response<'_>>> = rows
            .iter()
            .map(|row| {
                let all = texts.iter().zip(row);
                let response = |(&text, &reward): (&&'static str, &f64)| Response {
                    text,
                    reward,
                    finished: true,
                    unlikely: false,
                };
                all.map(response).collect()
            })
            .collect();
        let made = bootstrap_pairs(&responses, CutPolicy::Drop);
        let pairs: Vec<_> = made.pairs().collect();
        let same = policy_agreement(&pairs, &rows, &rows).unwrap();
        prop_assert!(same.agrees.iter().all(|&agrees| agrees));
        prop_assert_eq!(same.share(), (!pairs.is_empty()).then_some(1.0));
        let opposite: Vec<Vec<f64>> =
            rows.iter().map(|row| row.iter().map(|r| -r).collect()).collect();
        let none = policy_agreement(&pairs, &rows, &opposite).unwrap();
        prop_assert!(!none.agrees.contains(&true));
    }

    #[test]
    fn choices_keep_as_many_as_the_largest_do(scores in scores(), k in 0_usize..100) {
        let key = Key::new(7, "choice");
        let largest = keep_k(&scores, k, KeepRule::Largest, key);
        prop_assert_eq!(&largest, &top_k(&scores, k));
        for rule in [KeepRule::Middle, KeepRule::Random] {
            let selection = keep_k(&scores, k, rule, key);
            prop_assert_eq!(selection.kept.len(), largest.kept.len());
            prop_assert_eq!(selection.kept.len() + selection.left.len(), scores.len());
            for kept in &selection.kept {
                prop_assert_eq!(kept.score, scores[kept.index]);
            }
        }
        // Sorting by the distance from the median finds the same.
        let mut finite: Vec<f64> = scores.iter().copied().filter(|s| s.is_finite()).collect();
        finite.sort_by(f64::total_cmp);
        prop_assume!(!finite.is_empty() && finite.iter().all(|s| s.abs() < 1e100));
        let n = finite.len();
        let median = if n % 2 == 1 { finite[n / 2] } else { (finite[n / 2 - 1] + finite[n / 2]) / 2.0 };
        let distance = |index: &usize| (scores[*index] - median).abs();
        let mut order: Vec<usize> = (0..scores.len()).filter(|&i| scores[i].is_finite()).collect();
        order.sort_by(|a, b| distance(a).total_cmp(&distance(b)));
        let mut expected: Vec<usize> = order.into_iter().take(k).collect();
        expected.sort_unstable();
        let middle = keep_k(&scores, k, KeepRule::Middle, key);
        let found: Vec<usize> = middle.kept.iter().map(|kept| kept.index).collect();
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn random_k_is_fair() {
    // 2,000 keys keep 3 of 10: each index about 600 times, with a standard deviation of 20.5.
    let mut counts = [0_u32; 10];
    for seed in 0..2_000 {
        for kept in random_k(10, 3, Key::new(seed, "fair")).kept {
            counts[kept.index] += 1;
        }
    }
    assert!(
        counts.iter().all(|count| (500..700).contains(count)),
        "{counts:?}"
    );
}

#[test]
fn the_thread_count_changes_nothing() {
    // Several pieces of parallel work, with many equal scores, some of them at the limit.
    let n = 300_000;
    let wave = |i: usize| (i as f64 * 0.37).sin() * 64.0;
    let coarse: Vec<f64> = (0..n).map(|i| wave(i).floor() / 16.0).collect();
    let fine: Vec<f64> = (0..n).map(wave).collect();
    let counts: Vec<usize> = (0..n).map(|i| 1 + i % 50).collect();
    let texts = ["a", "b", "c"];
    let prompts: Vec<Vec<Response<'_>>> = (0..5_000)
        .map(|prompt| {
            (0..4)
                .map(|i| Response {
                    text: texts[(prompt + i) % 3],
                    reward: coarse[4 * prompt + i],
                    finished: (prompt + i) % 7 != 0,
                    unlikely: false,
                })
                .collect()
        })
        .collect();
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let logps = |policy| Logps {
                policy,
                reference: Some(&fine),
                tokens: Some(&counts),
            };
            let kind = ImplicitReward::LengthNormalizedLogRatio;
            let margins = kind.margins(logps(&coarse), logps(&fine)).unwrap();
            let mean = ensemble(&margins, Some(&fine), 0.3).unwrap();
            let made = bootstrap_pairs(&prompts, CutPolicy::Drop);
            (
                top_k(&coarse, 210_000),
                top_k(&mean, 90_000),
                random_k(n, 1_000, Key::new(1, "threads")),
                made,
            )
        })
    };
    let one = with(1);
    assert_eq!(one, with(2));
    assert_eq!(one, with(4));
    assert_eq!(one.0, naive_top_k(&coarse, 210_000));
    let selection = &one.0;
    assert_eq!(selection.kept.len(), 210_000);
    let least = selection
        .kept
        .iter()
        .map(|kept| kept.score)
        .fold(f64::INFINITY, f64::min);
    let ties = coarse.iter().filter(|&&score| score == least).count();
    let kept_ties = selection
        .kept
        .iter()
        .filter(|kept| kept.score == least)
        .count();
    assert!(
        0 < kept_ties && kept_ties < ties,
        "the limit is among equal scores"
    );
}
