//! Linear layers, norms, activations, rotary positions, embeddings.

use super::*;

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
    // In a row of one element, the gradient is what x²/(x² + eps) leaves of 1. A small eps would
    // compare only rounding errors.
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
                &|t| {
                    collimate_ops::layer_norm(t[0].clone(), vector(&t[1]), Some(vector(&t[2])), eps)
                },
                &|t| naive::layer_norm(t[0].clone(), vector(&t[1]), Some(vector(&t[2])), eps),
            );
            agree(
                "layer_norm without bias",
                &inputs[..2],
                &|t| collimate_ops::layer_norm(t[0].clone(), vector(&t[1]), None, eps),
                &|t| naive::layer_norm(t[0].clone(), vector(&t[1]), None, eps),
            );
        }
    }
}

#[test]
fn activations() {
    for (rows, width) in [(1, 1), (3, 5), (130, 131)] {
        let inputs = [values(1, rows, width), values(2, rows, width)];
        type Plain = fn(Tensor<2>) -> Tensor<2>;
        let plain: [(&str, Plain, Plain); 2] = [
            ("gelu", collimate_ops::gelu, naive::gelu),
            ("gelu_tanh", collimate_ops::gelu_tanh, naive::gelu_tanh),
        ];
        for (name, fused, plain) in plain {
            let (fused, plain) = (
                |t: &[Tensor<2>]| fused(t[0].clone()),
                |t: &[Tensor<2>]| plain(t[0].clone()),
            );
            agree(name, &inputs[..1], &fused, &plain);
        }
        type Gated = fn(Tensor<2>, Tensor<2>) -> Tensor<2>;
        let gated: [(&str, Gated, Gated); 3] = [
            ("swiglu", collimate_ops::swiglu, naive::swiglu),
            ("geglu", collimate_ops::geglu, naive::geglu),
            ("geglu_tanh", collimate_ops::geglu_tanh, naive::geglu_tanh),
        ];
        for (name, fused, plain) in gated {
            let of = |op: Gated| move |t: &[Tensor<2>]| op(t[0].clone(), t[1].clone());
            agree(name, &inputs, &of(fused), &of(plain));
        }
    }
}

#[test]
fn rope() {
    for (tokens, heads, head_dim) in [(1, 1, 2), (5, 3, 8), (150, 2, 20)] {
        let positions: Vec<u32> = (0..tokens as u32).map(|i| i * 7 % 31).collect();
        let plain = RopeTable::new(&positions, head_dim, 10_000.0, &flex()).unwrap();
        let turns: Vec<f64> = (0..head_dim / 2).map(|i| 0.3 * i as f64).collect();
        let scaled = RopeTable::with_frequencies(&positions, &turns, 1.4, &flex()).unwrap();
        let partial = |more| scaled.clone().partial(head_dim + more).unwrap();
        for table in [
            plain,
            partial(0),
            partial(1),
            partial(6),
            partial(3 * head_dim),
        ] {
            agree(
                "rope",
                &[values(1, tokens, heads * table.head_dim())],
                &|t| collimate_ops::rope(t[0].clone(), &table),
                &|t| naive::rope(t[0].clone(), &table),
            );
        }
    }
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
