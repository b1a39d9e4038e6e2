//! Attention compared with its definition.

use super::*;

/// Computes attention by its definition: for each query a softmax over the keys that it may see.
fn attention(
    q: &[f64],
    k: &[f64],
    v: &[f64],
    segments: &[Segment],
    (causal, window): (bool, Option<usize>),
    scores: Scores,
    heads: Heads,
) -> Vec<f64> {
    let scale = scores.scale.unwrap_or(1.0 / (heads.head_dim as f64).sqrt());
    let Heads {
        query,
        key_value,
        head_dim,
    } = heads;
    let tokens: usize = segments.iter().map(|s| s.len).sum();
    let owner = |t: usize| {
        segments
            .iter()
            .position(|s| s.range().contains(&t))
            .unwrap()
    };
    let sees = |t: usize, other: usize| {
        let (mine, theirs) = (owner(t), owner(other));
        if mine == theirs {
            return !causal || other <= t;
        }
        let mut ancestor = segments[mine].parent;
        while let Some(index) = ancestor {
            if index == theirs {
                return true;
            }
            ancestor = segments[index].parent;
        }
        false
    };
    let mut out = vec![0.0; tokens * query * head_dim];
    for t in 0..tokens {
        for h in 0..query {
            let kv = h / (query / key_value);
            let at = |s: usize| s * key_value * head_dim + kv * head_dim;
            let q = &q[t * query * head_dim + h * head_dim..][..head_dim];
            // Ancestors lie before their descendants, so the list is in reading order.
            let mut visible: Vec<usize> = (0..tokens).filter(|s| sees(t, *s)).collect();
            if let Some(window) = window {
                // Positions are in reading order: the token comes after its ancestors' tokens.
                let place = visible.iter().position(|s| *s == t).unwrap();
                let places = 0..visible.len();
                let near = places.filter(|other| place.abs_diff(*other) < window);
                visible = near.map(|place| visible[place]).collect();
            }
            let weights: Vec<f64> = visible
                .iter()
                .map(|s| {
                    let dot: f64 = q.iter().zip(&k[at(*s)..]).map(|(a, b)| a * b).sum();
                    let score = scale * dot;
                    match scores.softcap {
                        Some(cap) => (cap * (score / cap).tanh()).exp(),
                        None => score.exp(),
                    }
                })
                .collect();
            let total: f64 = weights.iter().sum();
            for (s, w) in visible.iter().zip(&weights) {
                for d in 0..head_dim {
                    out[t * query * head_dim + h * head_dim + d] += w / total * v[at(*s) + d];
                }
            }
        }
    }
    out
}

#[test]
fn attention_by_definition() {
    let segments = [
        Segment {
            start: 0,
            len: 3,
            parent: None,
        },
        Segment {
            start: 3,
            len: 1,
            parent: Some(0),
        },
        Segment {
            start: 4,
            len: 2,
            parent: None,
        },
        Segment {
            start: 6,
            len: 4,
            parent: Some(1),
        },
        Segment {
            start: 10,
            len: 2,
            parent: Some(0),
        },
    ];
    let heads = Heads::new(4, 2, 4).unwrap();
    let mut noise = Noise::new(4);
    let (q, k, v) = (
        noise.values(12 * 16, 1.5),
        noise.values(12 * 8, 1.5),
        noise.values(96, 1.5),
    );
    let form = |scale, softcap| Scores { scale, softcap };
    let default = Scores::default();
    for (visibility, window, scores) in [
        (Visibility::Causal, None, default),
        (Visibility::Bidirectional, None, default),
        (Visibility::Causal, Some(1), default),
        (Visibility::Causal, Some(2), default),
        (Visibility::Causal, Some(5), default),
        (Visibility::Causal, Some(8), default),
        (Visibility::Bidirectional, Some(1), default),
        (Visibility::Bidirectional, Some(2), default),
        (Visibility::Bidirectional, Some(4), default),
        (Visibility::Causal, None, form(Some(0.3), None)),
        (Visibility::Causal, None, form(None, Some(0.9))),
        (Visibility::Bidirectional, None, form(Some(-0.7), Some(1.5))),
        (
            Visibility::Bidirectional,
            Some(3),
            form(Some(0.2), Some(0.5)),
        ),
        (Visibility::Causal, Some(3), form(Some(2.0), Some(50.0))),
    ] {
        let seen = (visibility == Visibility::Causal, window);
        let plan = AttentionPlan::new(&segments, visibility).unwrap();
        let plan = plan.with_window(window.and_then(NonZeroUsize::new));
        let plan = plan.with_scores(scores);
        let run = |q: Tensor<2>, k: Tensor<2>, v: Tensor<2>| {
            collimate_ops::segment_attention(q, k, v, &plan, heads)
        };
        let put = |x: &[f32], width: usize, device: &Device| tensor::<2>(x, [12, width], device);
        check(
            "attention, q",
            &q,
            [12, 16],
            &|t| run(t.clone(), put(&k, 8, &t.device()), put(&v, 8, &t.device())),
            &|x| attention(x, &wide(&k), &wide(&v), &segments, seen, scores, heads),
        );
        check(
            "attention, k",
            &k,
            [12, 8],
            &|t| run(put(&q, 16, &t.device()), t.clone(), put(&v, 8, &t.device())),
            &|x| attention(&wide(&q), x, &wide(&v), &segments, seen, scores, heads),
        );
        check(
            "attention, v",
            &v,
            [12, 8],
            &|t| run(put(&q, 16, &t.device()), put(&k, 8, &t.device()), t.clone()),
            &|x| attention(&wide(&q), &wide(&k), x, &segments, seen, scores, heads),
        );
    }
}

#[test]
fn attention_stays_finite_for_huge_scores() {
    let segments = [Segment {
        start: 0,
        len: 3,
        parent: None,
    }];
    let plan = AttentionPlan::new(&segments, Visibility::Causal).unwrap();
    let heads = Heads::new(1, 1, 1).unwrap();
    for (name, device) in devices() {
        let put = |values: &[f32]| tensor::<2>(values, [3, 1], &device).require_grad();
        // The last two tokens see scores of 0, 1e4 and -1e4.
        let (q, k, v) = (
            put(&[1e2; 3]),
            put(&[0.0, 1e2, -1e2]),
            put(&[1.0, 2.0, 3.0]),
        );
        let out = collimate_ops::segment_attention(q.clone(), k, v.clone(), &plan, heads);
        assert_close(name, &host(&out), &[1.0, 2.0, 2.0], 1e-6);
        let grads = out.sum().backward();
        assert_close(
            name,
            &host(&v.grad(&grads).unwrap()),
            &[1.0, 2.0, 0.0],
            1e-6,
        );
        assert_close(name, &host(&q.grad(&grads).unwrap()), &[0.0; 3], 1e-6);
    }
}
