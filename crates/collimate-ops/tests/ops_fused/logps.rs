//! Selected log-probabilities and entropies.

use super::*;

#[test]
fn selected_logp() {
    for (rows, width, vocab) in [(1, 3, 2), (9, 16, 40), (130, 24, 300)] {
        let mut noise = Noise::new(7);
        let mut targets: Vec<i64> = (0..rows).map(|_| noise.below(vocab) as i64).collect();
        // The last id of the vocabulary is also a target.
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
        // Each output is tested alone, and both with different weights.
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
fn capped_logits() {
    for (rows, width, vocab) in [(1, 3, 2), (9, 16, 40), (130, 24, 300)] {
        let mut noise = Noise::new(9);
        let targets: Vec<i64> = (0..rows).map(|_| noise.below(vocab) as i64).collect();
        let inputs = [values(1, rows, width), values(2, vocab, width)];
        for cap in [0.8, 5.0, 1000.0] {
            let of = |t: &[Tensor<2>]| {
                let targets = ids(&targets, &t[0].device());
                (t[0].clone(), t[1].clone(), targets)
            };
            agree(
                "selected_logp_capped",
                &inputs,
                &|t| {
                    let (h, w, ids) = of(t);
                    collimate_ops::selected_logp_capped(h, w, ids, Some(cap)).unsqueeze()
                },
                &|t| {
                    let (h, w, ids) = of(t);
                    naive::selected_logp_capped(h, w, ids, Some(cap)).unsqueeze()
                },
            );
            for [a, b] in [[0.0, 1.0], [0.3, -0.8]] {
                let sum = |(logp, entropy): (Tensor<1>, Tensor<1>)| -> Tensor<2> {
                    (logp.mul_scalar(a) + entropy.mul_scalar(b)).unsqueeze()
                };
                agree(
                    "selected_logp_entropy_capped",
                    &inputs,
                    &|t| {
                        let (h, w, ids) = of(t);
                        sum(collimate_ops::selected_logp_entropy_capped(
                            h,
                            w,
                            ids,
                            Some(cap),
                        ))
                    },
                    &|t| {
                        let (h, w, ids) = of(t);
                        sum(naive::selected_logp_entropy_capped(h, w, ids, Some(cap)))
                    },
                );
            }
        }
    }
}

#[test]
#[should_panic(expected = "softcap 0 must be positive")]
fn a_cap_of_zero_is_refused() {
    let device = flex().inner();
    let one = Tensor::<2>::ones([1, 1], &device);
    collimate_ops::selected_logp_capped(one.clone(), one, ids(&[0], &device), Some(0.0));
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
    // The logits make a token certain and would overflow without a shift.
    assert_eq!(entropy(&[3000.0, -3000.0, -3000.0]), [0.0, 0.0]);
}

/// Rows and vocabulary that give two chunks of 260 rows. The logits of one chunk are kept for
/// backward; those of both would exceed 12·2^20.
const TWO_CHUNKS: [usize; 2] = [520, 48_000];
/// One chunk, too large to keep, over a large vocabulary.
const NONE_KEPT: [usize; 2] = [19, 1 << 20];

type Logps = fn(Tensor<2>, Tensor<2>, Tensor<1, Int>) -> Tensor<1>;

#[test]
fn selected_logp_over_several_chunks() {
    for sizes in [TWO_CHUNKS, NONE_KEPT] {
        over_several_chunks(sizes, collimate_ops::selected_logp, naive::selected_logp);
    }
}

#[test]
fn capped_over_several_chunks() {
    over_several_chunks(
        TWO_CHUNKS,
        |h, w, ids| collimate_ops::selected_logp_capped(h, w, ids, Some(1.5)),
        |h, w, ids| naive::selected_logp_capped(h, w, ids, Some(1.5)),
    );
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

fn over_several_chunks([rows, vocab]: [usize; 2], fused: Logps, plain: Logps) {
    let width = 2;
    let targets: Vec<i64> = (0..rows as i64)
        .map(|i| i * 50_021 % vocab as i64)
        .collect();
    let device = flex();
    let hidden = values(1, rows, width).1;
    let weight = values(2, vocab, width).1;
    let run = |op: Logps| {
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
    // Rows of the weight that are no target have small gradients, of about 1e-5 in the large
    // vocabulary. They are compared in a unit of their own scale. A sum of 2^20 exponentials is
    // accurate to a few 1e-5.
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
