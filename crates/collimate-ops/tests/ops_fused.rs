//! Every fused operation equals its plain twin on flex, in value and in every gradient.

use std::num::NonZeroUsize;

use burn::tensor::{Device, Int, Tensor, TensorData};
use collimate_core::Segment;
use collimate_ops::{AttentionPlan, Heads, RopeTable, Visibility, naive};
use collimate_testkit::{Noise, assert_close, flex, host, tensor};

/// Shape and values of one input.
type Values = (Vec<usize>, Vec<f32>);

/// Output and gradients of `op` for a fixed random output gradient; inputs not in `tracked`
/// require none.
fn evaluate(
    inputs: &[Values],
    tracked: &[bool],
    device: &Device,
    op: &dyn Fn(&[Tensor<2>]) -> Tensor<2>,
) -> Vec<Option<Vec<f32>>> {
    let tensors: Vec<Tensor<2>> = inputs
        .iter()
        .zip(tracked)
        .map(|((shape, values), tracked)| {
            let t = tensor(values, [shape[0], shape[1]], device);
            if *tracked { t.require_grad() } else { t }
        })
        .collect();
    let out = op(&tensors);
    let mut results = vec![Some(host(&out))];
    if tracked.contains(&true) {
        let weights = Noise::new(99).values(out.shape().num_elements(), 1.0);
        let weights: Tensor<2> = tensor(&weights, out.dims(), device);
        let grads = (out * weights).sum().backward();
        results.extend(tensors.iter().map(|t| t.grad(&grads).map(|g| host(&g))));
    }
    results
}

/// [`assert_close`] with the largest expected value as the unit, however small it is; one where all
/// are zero.
fn assert_close_in_scale(what: &str, actual: &[f32], expected: &[f32], tolerance: f64) {
    let largest = expected.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    let scale = if largest > 0.0 { largest } else { 1.0 };
    let actual: Vec<f32> = actual.iter().map(|v| v / scale).collect();
    let expected: Vec<f64> = expected.iter().map(|v| f64::from(v / scale)).collect();
    assert_close(what, &actual, &expected, tolerance);
}

#[test]
#[should_panic(expected = "element 1")]
fn small_values_are_compared_in_their_own_scale() {
    assert_close_in_scale("x", &[1e-6, 2e-7], &[1e-6, 1e-7], 1e-5);
}

/// Compares both twins for every choice of tracked inputs.
fn agree(
    name: &str,
    inputs: &[Values],
    fused: &dyn Fn(&[Tensor<2>]) -> Tensor<2>,
    plain: &dyn Fn(&[Tensor<2>]) -> Tensor<2>,
) {
    let device = flex();
    for choice in 0..1usize << inputs.len() {
        let tracked: Vec<bool> = (0..inputs.len()).map(|i| choice >> i & 1 == 1).collect();
        let actual = evaluate(inputs, &tracked, &device, fused);
        let expected = evaluate(inputs, &tracked, &device, plain);
        assert_eq!(actual.len(), expected.len());
        for (i, (actual, expected)) in actual.iter().zip(&expected).enumerate() {
            let what = format!("{name}, tracked {tracked:?}, result {i}");
            assert_eq!(actual.is_some(), expected.is_some(), "{what}: presence");
            if let (Some(actual), Some(expected)) = (actual, expected) {
                assert_close_in_scale(&what, actual, expected, 1e-5);
            }
        }
        let again = evaluate(inputs, &tracked, &device, fused);
        assert_eq!(actual, again, "{name}: repeated runs differ");
    }
}

fn values(seed: u64, rows: usize, columns: usize) -> Values {
    (
        vec![rows, columns],
        Noise::new(seed).values(rows * columns, 1.5),
    )
}

fn vector(t: &Tensor<2>) -> Tensor<1> {
    t.clone().flatten(0, 1)
}

#[test]
fn linear() {
    for (rows, input, output) in [(1, 1, 1), (5, 7, 3), (70, 33, 130), (260, 96, 128)] {
        let inputs = [
            values(1, rows, input),
            values(2, output, input),
            values(3, 1, output),
        ];
        agree(
            "linear",
            &inputs[..2],
            &|t| collimate_ops::linear(t[0].clone(), t[1].clone(), None),
            &|t| naive::linear(t[0].clone(), t[1].clone(), None),
        );
        agree(
            "linear with bias",
            &inputs,
            &|t| collimate_ops::linear(t[0].clone(), t[1].clone(), Some(vector(&t[2]))),
            &|t| naive::linear(t[0].clone(), t[1].clone(), Some(vector(&t[2]))),
        );
    }
}

#[test]
fn norms() {
    // In a row of one element the gradient is what x²/(x² + eps) leaves of one: a small eps would
    // compare rounding errors.
    for (rows, width, eps) in [
        (1, 1, 0.1),
        (3, 5, 1e-5),
        (64, 64, 1e-5),
        (200, 48, 1e-5),
        (65, 130, 1e-5),
    ] {
        let inputs = [
            values(1, rows, width),
            values(2, 1, width),
            values(3, 1, width),
        ];
        agree(
            "rms_norm",
            &inputs[..2],
            &|t| collimate_ops::rms_norm(t[0].clone(), vector(&t[1]), eps),
            &|t| naive::rms_norm(t[0].clone(), vector(&t[1]), eps),
        );
        if width > 1 {
            agree(
                "layer_norm",
                &inputs,
                &|t| collimate_ops::layer_norm(t[0].clone(), vector(&t[1]), vector(&t[2]), eps),
                &|t| naive::layer_norm(t[0].clone(), vector(&t[1]), vector(&t[2]), eps),
            );
        }
    }
}

#[test]
fn activations() {
    for (rows, width) in [(1, 1), (3, 5), (130, 131)] {
        let inputs = [values(1, rows, width), values(2, rows, width)];
        agree(
            "gelu",
            &inputs[..1],
            &|t| collimate_ops::gelu(t[0].clone()),
            &|t| naive::gelu(t[0].clone()),
        );
        agree(
            "swiglu",
            &inputs,
            &|t| collimate_ops::swiglu(t[0].clone(), t[1].clone()),
            &|t| naive::swiglu(t[0].clone(), t[1].clone()),
        );
    }
}

#[test]
fn rope() {
    for (tokens, heads, head_dim) in [(1, 1, 2), (5, 3, 8), (150, 2, 20)] {
        let positions: Vec<u32> = (0..tokens as u32).map(|i| i * 7 % 31).collect();
        let plain = RopeTable::new(&positions, head_dim, 10_000.0, &flex()).unwrap();
        let turns: Vec<f64> = (0..head_dim / 2).map(|i| 0.3 * i as f64).collect();
        let scaled = RopeTable::with_frequencies(&positions, &turns, 1.4, &flex()).unwrap();
        for table in [plain, scaled] {
            agree(
                "rope",
                &[values(1, tokens, heads * head_dim)],
                &|t| collimate_ops::rope(t[0].clone(), &table),
                &|t| naive::rope(t[0].clone(), &table),
            );
        }
    }
}

fn ids(values: &[i64], device: &Device) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
}

#[test]
fn embedding() {
    let chosen = [4i64, 0, 4, 2, 4, 6];
    agree(
        "embedding",
        &[values(1, 7, 9)],
        &|t| collimate_ops::embedding(t[0].clone(), ids(&chosen, &t[0].device())),
        &|t| naive::embedding(t[0].clone(), ids(&chosen, &t[0].device())),
    );
}

#[test]
fn selected_logp() {
    for (rows, width, vocab) in [(1, 3, 2), (9, 16, 40), (130, 24, 300)] {
        let mut noise = Noise::new(7);
        let mut targets: Vec<i64> = (0..rows).map(|_| noise.below(vocab) as i64).collect();
        // The last id of the vocabulary is a target too.
        targets[rows - 1] = vocab as i64 - 1;
        agree(
            "selected_logp",
            &[values(1, rows, width), values(2, vocab, width)],
            &|t| {
                let targets = ids(&targets, &t[0].device());
                collimate_ops::selected_logp(t[0].clone(), t[1].clone(), targets).unsqueeze()
            },
            &|t| {
                let targets = ids(&targets, &t[0].device());
                naive::selected_logp(t[0].clone(), t[1].clone(), targets).unsqueeze()
            },
        );
    }
}

#[test]
fn log_probability_and_entropy_together() {
    for (rows, width, vocab) in [(1, 3, 2), (9, 16, 40), (130, 24, 300)] {
        let mut noise = Noise::new(8);
        let targets: Vec<i64> = (0..rows).map(|_| noise.below(vocab) as i64).collect();
        let inputs = [values(1, rows, width), values(2, vocab, width)];
        type Both = fn(Tensor<2>, Tensor<2>, Tensor<1, Int>) -> (Tensor<1>, Tensor<1>);
        let (fused, plain): (Both, Both) = (
            collimate_ops::selected_logp_entropy,
            naive::selected_logp_entropy,
        );
        // Each alone, and both with different weights.
        for [a, b] in [[1.0, 0.0], [0.0, 1.0], [0.3, -0.8]] {
            let of = |op: Both, t: &[Tensor<2>]| {
                let (logp, entropy) = op(t[0].clone(), t[1].clone(), ids(&targets, &t[0].device()));
                (logp.mul_scalar(a) + entropy.mul_scalar(b)).unsqueeze()
            };
            agree("selected_logp_entropy", &inputs, &|t| of(fused, t), &|t| {
                of(plain, t)
            });
        }
    }
}

#[test]
fn entropy_at_its_ends() {
    let device = flex().inner();
    let entropy = |weight: &[f32]| {
        let vocab = weight.len();
        let hidden = tensor::<2>(&[1.0], [1, 1], &device);
        let weight = tensor::<2>(weight, [vocab, 1], &device);
        let (logp, entropy) =
            collimate_ops::selected_logp_entropy(hidden, weight, ids(&[0], &device));
        [host(&logp)[0], host(&entropy)[0]]
    };
    let [logp, uniform] = entropy(&[0.5; 40]);
    assert!((uniform - 40f32.ln()).abs() < 1e-5 && (logp + 40f32.ln()).abs() < 1e-5);
    // A certain token, and logits that overflow without a shift.
    assert_eq!(entropy(&[3000.0, -3000.0, -3000.0]), [0.0, 0.0]);
}

/// Rows and vocabulary: two chunks of 260 rows. The logits of one are kept for backward, those of both
/// would be more than 12·2^20.
const TWO_CHUNKS: [usize; 2] = [520, 48_000];
/// One chunk, too large to keep, over a large vocabulary.
const NONE_KEPT: [usize; 2] = [19, 1 << 20];

type Scores = fn(Tensor<2>, Tensor<2>, Tensor<1, Int>) -> Tensor<1>;

#[test]
fn selected_logp_over_several_chunks() {
    for sizes in [TWO_CHUNKS, NONE_KEPT] {
        over_several_chunks(sizes, collimate_ops::selected_logp, naive::selected_logp);
    }
}

#[test]
fn entropy_over_several_chunks() {
    over_several_chunks(
        TWO_CHUNKS,
        |hidden, weight, targets| {
            let (logp, entropy) = collimate_ops::selected_logp_entropy(hidden, weight, targets);
            logp + entropy.mul_scalar(0.4)
        },
        |hidden, weight, targets| {
            let (logp, entropy) = naive::selected_logp_entropy(hidden, weight, targets);
            logp + entropy.mul_scalar(0.4)
        },
    );
}

fn over_several_chunks([rows, vocab]: [usize; 2], fused: Scores, plain: Scores) {
    let width = 2;
    let targets: Vec<i64> = (0..rows as i64)
        .map(|i| i * 50_021 % vocab as i64)
        .collect();
    let device = flex();
    let hidden = values(1, rows, width).1;
    let weight = values(2, vocab, width).1;
    let run = |op: Scores| {
        let hidden = tensor::<2>(&hidden, [rows, width], &device).require_grad();
        let weight = tensor::<2>(&weight, [vocab, width], &device).require_grad();
        let out = op(hidden.clone(), weight.clone(), ids(&targets, &device));
        let grads = out.clone().sum().backward();
        [
            host(&out),
            host(&hidden.grad(&grads).unwrap()),
            host(&weight.grad(&grads).unwrap()),
        ]
    };
    let (actual, expected) = (run(fused), run(plain));
    for (actual, expected) in actual.iter().zip(&expected) {
        let expected: Vec<f64> = expected.iter().map(|v| f64::from(*v)).collect();
        assert_close("in chunks", actual, &expected, 2e-5);
    }
    // The weight's rows of no target have small gradients, over the large vocabulary of about 1e-5 only:
    // compared in a unit of their own. A sum of 2^20 exponentials is good to a few 1e-5.
    let others = |grad: &[f32]| -> Vec<f32> {
        grad.chunks_exact(width)
            .enumerate()
            .filter(|(row, _)| !targets.contains(&(*row as i64)))
            .flat_map(|(_, values)| values.iter().copied())
            .collect()
    };
    assert_close_in_scale(
        "rows of no target",
        &others(&actual[2]),
        &others(&expected[2]),
        1e-4,
    );
}

#[test]
fn attention() {
    let segment = |start, len, parent| Segment { start, len, parent };
    let tables: [Vec<Segment>; 4] = [
        vec![segment(0, 1, None)],
        vec![segment(0, 70, None), segment(70, 3, None)],
        // A chain of depth three with a sibling, and an unrelated tree in between.
        vec![
            segment(0, 4, None),
            segment(4, 5, None),
            segment(9, 1, Some(0)),
            segment(10, 40, Some(2)),
            segment(50, 2, Some(0)),
            segment(52, 17, Some(3)),
        ],
        vec![
            segment(0, 33, None),
            segment(33, 33, Some(0)),
            segment(66, 20, Some(0)),
        ],
    ];
    for table in &tables {
        let tokens = table.iter().map(|s| s.len).sum();
        let causal = AttentionPlan::new(table, Visibility::Causal).unwrap();
        let mut plans = vec![
            causal.clone(),
            AttentionPlan::new(table, Visibility::Bidirectional).unwrap(),
        ];
        let windows = [1, 5, 16, 40, 500].into_iter();
        plans.extend(windows.map(|window| causal.clone().with_window(NonZeroUsize::new(window))));
        for plan in plans {
            for (query, key_value, head_dim) in [(1, 1, 2), (4, 2, 16), (3, 3, 20), (6, 1, 32)] {
                let heads = Heads::new(query, key_value, head_dim).unwrap();
                let inputs = [
                    values(1, tokens, query * head_dim),
                    values(2, tokens, key_value * head_dim),
                    values(3, tokens, key_value * head_dim),
                ];
                agree(
                    &format!(
                        "attention {:?} {:?} {heads:?} {table:?}",
                        plan.visibility(),
                        plan.window()
                    ),
                    &inputs,
                    &|t| {
                        let [q, k, v] = [0, 1, 2].map(|i| t[i].clone());
                        collimate_ops::segment_attention(q, k, v, &plan, heads)
                    },
                    &|t| {
                        let [q, k, v] = [0, 1, 2].map(|i| t[i].clone());
                        naive::segment_attention(q, k, v, &plan, heads)
                    },
                );
            }
        }
    }
}

#[test]
fn views_mixed_devices_and_untracked_inputs() {
    let device = flex();
    let inner = device.clone().inner();
    let x: Tensor<2> = tensor(&values(1, 6, 10).1, [6, 10], &device).require_grad();
    let weight: Tensor<2> = tensor(&values(2, 10, 4).1, [10, 4], &inner);
    // A transposed view, a narrowed view, a constant of the untracked device.
    let run = |fused: bool| {
        let op = if fused {
            collimate_ops::linear
        } else {
            naive::linear
        };
        let part = x.clone().narrow(0, 1, 4);
        let out = op(part, weight.clone().transpose(), None);
        let grads = out.clone().square().sum().backward();
        [host(&out), host(&x.grad(&grads).unwrap())]
    };
    for (actual, expected) in run(true).iter().zip(run(false)) {
        let expected: Vec<f64> = expected.iter().map(|v| f64::from(*v)).collect();
        assert_close("views", actual, &expected, 1e-5);
    }
    let plain = collimate_ops::gelu(tensor(&[1.0], [1, 1], &inner));
    assert!(!plain.device().is_autodiff());
    let untracked = collimate_ops::gelu(tensor(&[1.0], [1, 1], &device));
    assert!(untracked.device().is_autodiff() && !untracked.is_require_grad());
}

#[test]
fn gradient_checkpointing_gives_the_same_gradient() {
    let run = |device: &Device| {
        let x: Tensor<2> = tensor(&values(1, 6, 10).1, [6, 10], device).require_grad();
        let y = collimate_ops::gelu((x.clone() * 2.0).exp());
        let grads = (y.clone() * y).sum().backward();
        host(&x.grad(&grads).unwrap())
    };
    let plain = Device::flex().autodiff();
    let balanced = Device::flex().autodiff().gradient_checkpointing();
    assert_eq!(run(&plain), run(&balanced));
}
