//! Rules of sampling: their laws, and the numbers of transformers.

#[path = "common/mod.rs"]
mod common;

use collimate_core::Sampling;
use collimate_lm::sample::{Candidate, SampleRule, argmax, penalise, softmax, top_k, top_p};
use proptest::prelude::*;

fn logits() -> impl Strategy<Value = Vec<f32>> {
    // The values are coarse, so that equal values are common.
    let value = prop_oneof![(-8i32..8).prop_map(|v| v as f32 / 2.0), -30.0f32..30.0];
    prop::collection::vec(value, 1..40)
}

fn probability(candidates: &[Candidate], id: u32) -> f64 {
    let found = candidates.iter().find(|c| c.id == id);
    found.map_or(0.0, |c| c.probability)
}

proptest! {
    #[test]
    fn temperature_zero_is_argmax(logits in logits(), k in 0usize..50, p in 0.01f64..1.0, at in 0.0f64..1.0) {
        let sampling = Sampling { temperature: 0.0, top_k: k, top_p: p, ..Sampling::default() };
        let rule = SampleRule::new(&sampling).unwrap();
        let best = rule.choose(&logits, &[], at).unwrap();
        let largest = logits.iter().copied().fold(f32::MIN, f32::max);
        prop_assert_eq!(Some(best as usize), logits.iter().position(|&l| l == largest));
        prop_assert_eq!(argmax(&logits), Ok(best));
    }

    #[test]
    fn top_k_takes_the_largest_and_the_smaller_ids(logits in logits(), k in 1usize..50) {
        let kept = top_k(&logits, k);
        prop_assert_eq!(kept.len(), k.min(logits.len()));
        prop_assert!(kept.is_sorted());
        for out in (0..logits.len() as u32).filter(|id| !kept.contains(id)) {
            for &kept in &kept {
                let (a, b) = (logits[kept as usize], logits[out as usize]);
                prop_assert!(a > b || (a == b && kept < out));
            }
        }
    }

    #[test]
    fn top_p_takes_the_smallest_set(logits in logits(), p in 0.01f64..1.0) {
        let ids: Vec<u32> = (0..logits.len() as u32).collect();
        let all = softmax(&logits, ids, 1.0);
        let kept = top_p(all.clone(), p);
        let mass = |set: &[Candidate]| set.iter().map(|c| probability(&all, c.id)).sum::<f64>();
        prop_assert!(mass(&kept) >= p - 1e-9);
        // Without its least likely member, the set would fall short, and no token outside it is
        // likelier.
        let least = kept.iter().map(|c| probability(&all, c.id)).fold(f64::MAX, f64::min);
        prop_assert!(mass(&kept) - least < p + 1e-9);
        for out in all.iter().filter(|c| kept.iter().all(|k| k.id != c.id)) {
            prop_assert!(out.probability <= least);
        }
        let total: f64 = kept.iter().map(|c| c.probability).sum();
        prop_assert!((total - 1.0).abs() < 1e-9);
        prop_assert!(kept.is_sorted_by_key(|c| c.id));
    }

    #[test]
    fn a_penalty_never_lifts_a_token_seen(logits in logits(), seen in prop::collection::btree_set(0u32..40, 0..10), penalty in 1.0f32..5.0) {
        let seen: Vec<u32> = seen.into_iter().collect();
        let mut after = logits.clone();
        penalise(&mut after, &seen, penalty);
        for (id, (&before, &after)) in logits.iter().zip(&after).enumerate() {
            if seen.contains(&(id as u32)) {
                prop_assert!(after <= before);
                prop_assert!(after * before >= 0.0, "the sign stays");
            } else {
                prop_assert_eq!(after, before);
            }
        }
    }

    #[test]
    fn only_candidates_are_drawn(logits in logits(), k in 0usize..9, p in 0.05f64..=1.0, t in 0.05f64..4.0, at in 0.0f64..1.0) {
        let sampling = Sampling { temperature: t, top_k: k, top_p: p, ..Sampling::default() };
        let rule = SampleRule::new(&sampling).unwrap();
        let id = rule.choose(&logits, &[], at).unwrap();
        let candidates = rule.candidates(&logits, &[]).unwrap();
        prop_assert!(probability(&candidates, id) > 0.0);
        let below: f64 = candidates.iter().filter(|c| c.id < id).map(|c| c.probability).sum();
        prop_assert!(below <= at + 1e-9 && at < below + probability(&candidates, id) + 1e-9);
    }
}

#[test]
fn probabilities_are_those_of_transformers() {
    let expected = common::json(&common::fixtures().join("generation.json"));
    let cases = expected["processors"].as_array().unwrap();
    assert_eq!(cases.len(), 7);
    for case in cases {
        let number = |key: &str| case[key].as_f64().unwrap();
        let sampling = Sampling {
            temperature: number("temperature"),
            top_k: number("top_k") as usize,
            top_p: number("top_p"),
            repetition_penalty: number("repetition_penalty"),
            ..Sampling::default()
        };
        let logits: Vec<f32> = common::numbers(&case["logits"])
            .iter()
            .map(|&v| v as f32)
            .collect();
        let mut seen = common::ids(&case["seen"]);
        seen.sort_unstable();
        seen.dedup();
        let rule = SampleRule::new(&sampling).unwrap();
        let candidates = rule.candidates(&logits, &seen).unwrap();
        for (id, wanted) in common::numbers(&case["probabilities"])
            .into_iter()
            .enumerate()
        {
            let found = probability(&candidates, id as u32);
            assert!(
                (found - wanted).abs() < 1e-6,
                "{sampling:?}: token {id}: {found}, {wanted}"
            );
            assert_eq!(found > 0.0, wanted > 1e-9, "{sampling:?}: token {id}");
        }
    }
}
