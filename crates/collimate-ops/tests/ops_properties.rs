//! Attention over random segment trees: the fused operation, the plain one and the definition.

use std::num::NonZeroUsize;

use burn::tensor::Tensor;
use collimate_core::Segment;
use collimate_ops::{AttentionPlan, Heads, OpsError, RopeTable, Scores, Visibility, naive};
use collimate_testkit::{Noise, devices, flex, host, max_relative_error, tensor};
use proptest::prelude::*;

/// Draws random lengths, and for each segment either a parent among the earlier segments or none.
fn tables() -> impl Strategy<Value = Vec<Segment>> {
    prop::collection::vec((1usize..40, any::<u32>()), 1..9).prop_map(|draws| {
        let mut start = 0;
        let segments = draws.into_iter().enumerate().map(|(index, (len, draw))| {
            let choice = draw as usize % (index + 1);
            let segment = Segment {
                start,
                len,
                parent: choice.checked_sub(1),
            };
            start += len;
            segment
        });
        segments.collect()
    })
}

fn outcome(
    inputs: &[Vec<f32>; 3],
    plan: &AttentionPlan,
    heads: Heads,
    device: &burn::tensor::Device,
    fused: bool,
) -> [Vec<f32>; 4] {
    let tokens = plan.tokens();
    let put = |x: &[f32], heads: usize, head_dim: usize| {
        tensor::<2>(x, [tokens, heads * head_dim], device).require_grad()
    };
    let q: Tensor<2> = put(&inputs[0], heads.query, heads.head_dim);
    let k = put(&inputs[1], heads.key_value, heads.head_dim);
    let v = put(&inputs[2], heads.key_value, heads.head_dim);
    let op = if fused {
        collimate_ops::segment_attention
    } else {
        naive::segment_attention
    };
    let out = op(q.clone(), k.clone(), v.clone(), plan, heads);
    let weights = Noise::new(1).values(out.shape().num_elements(), 1.0);
    let grads = (out.clone() * tensor(&weights, out.dims(), device))
        .sum()
        .backward();
    let grad = |t: &Tensor<2>| host(&t.grad(&grads).unwrap());
    [host(&out), grad(&q), grad(&k), grad(&v)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn attention_agrees_on_random_trees(
        table in tables(),
        causal in any::<bool>(),
        window in 0usize..90,
        scale in prop::option::of(-1.0..1.0),
        cap in 0.0..3.0,
        key_value in 1usize..3,
        group in 1usize..4,
        head_dim in 1usize..40,
        seed in any::<u64>(),
    ) {
        let visibility = if causal { Visibility::Causal } else { Visibility::Bidirectional };
        let plan = AttentionPlan::new(&table, visibility).unwrap();
        let softcap = (cap > 0.5).then_some(cap);
        let plan = plan.with_window(NonZeroUsize::new(window)).with_scores(Scores { scale, softcap });
        let heads = Heads::new(key_value * group, key_value, head_dim).unwrap();
        let mut noise = Noise::new(seed);
        let width = plan.tokens() * head_dim;
        let inputs = [
            noise.values(width * heads.query, 2.0),
            noise.values(width * key_value, 2.0),
            noise.values(width * key_value, 2.0),
        ];
        let fused = outcome(&inputs, &plan, heads, &flex(), true);
        for (_, device) in devices() {
            let plain = outcome(&inputs, &plan, heads, &device, false);
            for (fused, plain) in fused.iter().zip(&plain) {
                let scale = plain.iter().fold(1.0f32, |m, x| m.max(x.abs()));
                let unit: Vec<f32> = fused.iter().map(|x| x / scale).collect();
                let plain: Vec<f64> = plain.iter().map(|x| f64::from(x / scale)).collect();
                prop_assert!(max_relative_error(&unit, &plain) < 1e-5);
            }
        }
    }

    #[test]
    fn other_trees_do_not_matter(table in tables(), seed in any::<u64>()) {
        // Changing the tokens of one tree leaves every other tree's output unchanged, bit for bit.
        let plan = AttentionPlan::new(&table, Visibility::Causal).unwrap();
        let heads = Heads::new(2, 1, 8).unwrap();
        let root = |mut index: usize| {
            while let Some(parent) = table[index].parent {
                index = parent;
            }
            index
        };
        let tokens = plan.tokens();
        let mut noise = Noise::new(seed);
        let q = noise.values(tokens * 16, 1.0);
        let k = noise.values(tokens * 8, 1.0);
        let mut changed = k.clone();
        for (index, segment) in table.iter().enumerate().filter(|(index, _)| root(*index) == 0) {
            let _ = index;
            for x in &mut changed[segment.start * 8..(segment.start + segment.len) * 8] {
                *x += 1.0;
            }
        }
        let device = flex();
        let run = |k: &[f32]| {
            let k: Tensor<2> = tensor(k, [tokens, 8], &device);
            let q = tensor(&q, [tokens, 16], &device);
            host(&collimate_ops::segment_attention(q, k.clone(), k, &plan, heads))
        };
        let (before, after) = (run(&k), run(&changed));
        for (index, segment) in table.iter().enumerate() {
            let range = segment.start * 16..(segment.start + segment.len) * 16;
            prop_assert_eq!(before[range.clone()] == after[range], root(index) != 0);
        }
    }
}

/// Uses heads that no constructor checked; the shapes fit them.
fn attend_with_unchecked_heads(fused: bool) {
    let heads = Heads {
        query: 3,
        key_value: 2,
        head_dim: 2,
    };
    let segment = Segment {
        start: 0,
        len: 2,
        parent: None,
    };
    let plan = AttentionPlan::new(&[segment], Visibility::Causal).unwrap();
    outcome(
        &[vec![1.0; 12], vec![1.0; 8], vec![1.0; 8]],
        &plan,
        heads,
        &flex(),
        fused,
    );
}

#[test]
#[should_panic(expected = "3 query heads over 2 key/value heads")]
fn attention_refuses_heads_that_share_unevenly() {
    attend_with_unchecked_heads(true);
}

#[test]
#[should_panic(expected = "3 query heads over 2 key/value heads")]
fn plain_attention_refuses_heads_that_share_unevenly() {
    attend_with_unchecked_heads(false);
}

#[test]
fn descriptions_are_refused_with_a_reason() {
    let gap = [Segment {
        start: 1,
        len: 2,
        parent: None,
    }];
    let error = AttentionPlan::new(&gap, Visibility::Causal).unwrap_err();
    assert!(
        error.to_string().contains("starts at token 1, expected 0"),
        "{error}"
    );
    assert_eq!(
        Heads::new(3, 2, 8),
        Err(OpsError::Heads {
            query: 3,
            key_value: 2,
            head_dim: 8
        })
    );
    assert!(matches!(
        RopeTable::new(&[0], 3, 1e4, &flex()),
        Err(OpsError::RopeWidth { head_dim: 3 })
    ));
    assert!(matches!(
        RopeTable::with_frequencies(&[0], &[], 1.0, &flex()),
        Err(OpsError::RopeWidth { head_dim: 0 })
    ));
    let table = RopeTable::new(&[0], 4, 1e4, &flex()).unwrap();
    let error = table.partial(3).unwrap_err().to_string();
    assert!(
        error.contains("4 elements of a head turn, but a head has only 3"),
        "{error}"
    );
}
