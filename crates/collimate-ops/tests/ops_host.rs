//! Every operation against a plain f64 computation of its formula, on every device.

use burn::tensor::{Device, Int, Tensor, TensorData};
use collimate_core::Segment;
use collimate_ops::{
    AdamW, AdamWState, AttentionPlan, Heads, RopeTable, Visibility, adamw_step, adamw_step_scaled,
    global_norm, sum_of_squares,
};
use collimate_testkit::{Noise, assert_close, devices, finite_difference, host, tensor};

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|v| f64::from(*v)).collect()
}

/// Value and gradient of `op` at `x` on every device, against `reference` and its central
/// differences; the scalar is a fixed weighting of the output.
fn check(
    name: &str,
    x: &[f32],
    shape: [usize; 2],
    op: &dyn Fn(Tensor<2>) -> Tensor<2>,
    reference: &dyn Fn(&[f64]) -> Vec<f64>,
) {
    let expected = reference(&wide(x));
    let weights = Noise::new(5).values(expected.len(), 1.0);
    let scalar = |x: &[f64]| -> f64 {
        reference(x)
            .iter()
            .zip(&weights)
            .map(|(y, w)| y * f64::from(*w))
            .sum()
    };
    let slope = finite_difference(scalar, &wide(x), 1e-5);
    for (device_name, device) in devices() {
        let x: Tensor<2> = tensor(x, shape, &device).require_grad();
        let y = op(x.clone());
        assert_close(
            &format!("{name} on {device_name}"),
            &host(&y),
            &expected,
            1e-5,
        );
        let weights: Tensor<2> = tensor(&weights, y.dims(), &device);
        let grads = (y * weights).sum().backward();
        let grad = host(&x.grad(&grads).unwrap());
        assert_close(
            &format!("{name} gradient on {device_name}"),
            &grad,
            &slope,
            2e-5,
        );
    }
}

#[test]
fn rms_norm_and_layer_norm() {
    let (rows, width) = (3, 8);
    let mut noise = Noise::new(1);
    let x = noise.values(rows * width, 2.0);
    let (w, b) = (noise.values(width, 2.0), noise.values(width, 2.0));
    let norm = |centred: bool| {
        let (w, b) = (wide(&w), wide(&b));
        move |x: &[f64]| -> Vec<f64> {
            let rows = x.chunks(width).flat_map(|row| {
                let mean = if centred {
                    row.iter().sum::<f64>() / width as f64
                } else {
                    0.0
                };
                let var = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width as f64;
                let root = (var + 1e-3).sqrt();
                let shift = if centred { 1.0 } else { 0.0 };
                let unit: Vec<f64> = row.iter().map(|x| (x - mean) / root).collect();
                unit.into_iter()
                    .zip(w.iter().zip(&b))
                    .map(move |(u, (w, b))| u * w + shift * b)
                    .collect::<Vec<_>>()
            });
            rows.collect()
        }
    };
    let vector = |values: &[f32], like: &Tensor<2>| tensor::<1>(values, [width], &like.device());
    check(
        "rms_norm",
        &x,
        [rows, width],
        &|x| collimate_ops::rms_norm(x.clone(), vector(&w, &x), 1e-3),
        &norm(false),
    );
    check(
        "layer_norm",
        &x,
        [rows, width],
        &|x| collimate_ops::layer_norm(x.clone(), vector(&w, &x), vector(&b, &x), 1e-3),
        &norm(true),
    );
}

/// `erf` by its Taylor series: exact to f64 for the arguments used here.
fn erf(x: f64) -> f64 {
    let mut term = x;
    let mut sum = x;
    for n in 1..200 {
        term *= -x * x / n as f64;
        sum += term / (2 * n + 1) as f64;
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}

#[test]
fn activations() {
    let x: Vec<f32> = (0..40).map(|i| -4.0 + 0.2 * i as f32).collect();
    check("gelu", &x, [4, 10], &collimate_ops::gelu, &|x| {
        x.iter()
            .map(|x| 0.5 * x * (1.0 + erf(x / 2f64.sqrt())))
            .collect()
    });
    let up = Noise::new(2).values(40, 2.0);
    let silu = |x: f64| x / (1.0 + (-x).exp());
    check(
        "swiglu, gate",
        &x,
        [4, 10],
        &|x| collimate_ops::swiglu(x.clone(), tensor(&up, [4, 10], &x.device())),
        &|x| {
            x.iter()
                .zip(&up)
                .map(|(x, u)| silu(*x) * f64::from(*u))
                .collect()
        },
    );
    check(
        "swiglu, up",
        &up,
        [4, 10],
        &|u| collimate_ops::swiglu(tensor(&x, [4, 10], &u.device()), u),
        &|u| {
            x.iter()
                .zip(u)
                .map(|(x, u)| silu(f64::from(*x)) * u)
                .collect()
        },
    );
}

#[test]
fn rope_rotates_each_pair_by_its_angle() {
    let positions = [0u32, 3, 1, 900];
    let (heads, head_dim) = (2, 6);
    let x = Noise::new(3).values(4 * heads * head_dim, 1.0);
    check(
        "rope",
        &x,
        [4, heads * head_dim],
        &|x| {
            let table = RopeTable::new(&positions, head_dim, 10_000.0, &x.device()).unwrap();
            collimate_ops::rope(x, &table)
        },
        &|x| {
            let mut y = vec![0.0; x.len()];
            for (t, position) in positions.iter().enumerate() {
                for h in 0..heads {
                    for i in 0..3 {
                        let angle =
                            f64::from(*position) / 10_000f64.powf(2.0 * i as f64 / head_dim as f64);
                        let low = t * heads * head_dim + h * head_dim + i;
                        let (a, b) = (x[low], x[low + 3]);
                        y[low] = a * angle.cos() - b * angle.sin();
                        y[low + 3] = b * angle.cos() + a * angle.sin();
                    }
                }
            }
            y
        },
    );
}

/// Attention by its definition: for each query a softmax over the keys that it may see.
fn attention(
    q: &[f64],
    k: &[f64],
    v: &[f64],
    segments: &[Segment],
    causal: bool,
    heads: Heads,
) -> Vec<f64> {
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
            let visible: Vec<usize> = (0..tokens).filter(|s| sees(t, *s)).collect();
            let weights: Vec<f64> = visible
                .iter()
                .map(|s| {
                    let dot: f64 = q.iter().zip(&k[at(*s)..]).map(|(a, b)| a * b).sum();
                    (dot / (head_dim as f64).sqrt()).exp()
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
    for visibility in [Visibility::Causal, Visibility::Bidirectional] {
        let causal = visibility == Visibility::Causal;
        let plan = AttentionPlan::new(&segments, visibility).unwrap();
        let run = |q: Tensor<2>, k: Tensor<2>, v: Tensor<2>| {
            collimate_ops::segment_attention(q, k, v, &plan, heads)
        };
        let put = |x: &[f32], width: usize, device: &Device| tensor::<2>(x, [12, width], device);
        check(
            "attention, q",
            &q,
            [12, 16],
            &|t| run(t.clone(), put(&k, 8, &t.device()), put(&v, 8, &t.device())),
            &|x| attention(x, &wide(&k), &wide(&v), &segments, causal, heads),
        );
        check(
            "attention, k",
            &k,
            [12, 8],
            &|t| run(put(&q, 16, &t.device()), t.clone(), put(&v, 8, &t.device())),
            &|x| attention(&wide(&q), x, &wide(&v), &segments, causal, heads),
        );
        check(
            "attention, v",
            &v,
            [12, 8],
            &|t| run(put(&q, 16, &t.device()), put(&k, 8, &t.device()), t.clone()),
            &|x| attention(&wide(&q), &wide(&k), x, &segments, causal, heads),
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

fn logp(h: &[f64], w: &[f64], width: usize, targets: &[i64]) -> Vec<f64> {
    let rows = h.chunks(width).zip(targets).map(|(h, target)| {
        let z: Vec<f64> = w
            .chunks(width)
            .map(|w| w.iter().zip(h).map(|(a, b)| a * b).sum())
            .collect();
        let max = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        z[*target as usize] - max - z.iter().map(|z| (z - max).exp()).sum::<f64>().ln()
    });
    rows.collect()
}

fn ids(values: &[i64], device: &Device) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
}

#[test]
fn selected_logp_by_definition() {
    let (rows, width, vocab) = (4, 5, 11);
    let mut noise = Noise::new(6);
    let (h, w) = (
        noise.values(rows * width, 1.5),
        noise.values(vocab * width, 1.5),
    );
    let targets = [10, 0, 3, 3];
    check(
        "selected_logp, hidden",
        &h,
        [rows, width],
        &|h| {
            let w = tensor(&w, [vocab, width], &h.device());
            let targets = ids(&targets, &h.device());
            collimate_ops::selected_logp(h, w, targets).unsqueeze()
        },
        &|x| logp(x, &wide(&w), width, &targets),
    );
    check(
        "selected_logp, weight",
        &w,
        [vocab, width],
        &|w| {
            let h = tensor(&h, [rows, width], &w.device());
            let targets = ids(&targets, &w.device());
            collimate_ops::selected_logp(h, w, targets).unsqueeze()
        },
        &|x| logp(&wide(&h), x, width, &targets),
    );
}

#[test]
fn selected_logp_stays_finite_for_huge_logits() {
    for (name, device) in devices() {
        let hidden: Tensor<2> = tensor(&[1e4, -1e4], [2, 1], &device).require_grad();
        let weight: Tensor<2> = tensor(&[1.0, -1.0, 0.0], [3, 1], &device).require_grad();
        let out =
            collimate_ops::selected_logp(hidden.clone(), weight.clone(), ids(&[0, 0], &device));
        assert_close(name, &host(&out), &[0.0, -2e4], 1e-6);
        let grads = out.sum().backward();
        assert_close(
            name,
            &host(&hidden.grad(&grads).unwrap()),
            &[0.0, 2.0],
            1e-6,
        );
        assert_close(
            name,
            &host(&weight.grad(&grads).unwrap()),
            &[-1e4, 1e4, 0.0],
            1e-6,
        );
    }
}

#[test]
fn embedding_sums_repeated_rows() {
    for (name, device) in devices() {
        let table: Tensor<2> = tensor(&[1., 2., 3., 4., 5., 6.], [3, 2], &device).require_grad();
        let out = collimate_ops::embedding(table.clone(), ids(&[2, 0, 2], &device));
        assert_close(name, &host(&out), &[5., 6., 1., 2., 5., 6.], 0.0);
        let weights = tensor(&[1., 2., 4., 8., 16., 32.], [3, 2], &device);
        let grads = (out * weights).sum().backward();
        let expected = [4., 8., 0., 0., 17., 34.];
        assert_close(name, &host(&table.grad(&grads).unwrap()), &expected, 0.0);
    }
}

#[test]
fn adamw_follows_its_formula_for_many_steps() {
    let cfg = AdamW {
        beta1: 0.8,
        beta2: 0.95,
        eps: 1e-6,
        weight_decay: 0.1,
    };
    let count = 20_000;
    let start = Noise::new(8).values(count, 1.0);
    for (name, device) in devices() {
        let mut param: Tensor<2> = tensor(&start, [100, 200], &device);
        let mut state = AdamWState::zeros([100, 200], &device);
        let mut p = wide(&start);
        let (mut m, mut v) = (vec![0.0; count], vec![0.0; count]);
        for step in 1..=5u64 {
            let grad = Noise::new(100 + step).values(count, 2.0);
            let lr = 0.01 * step as f64;
            param = adamw_step(
                param,
                tensor(&grad, [100, 200], &device),
                &mut state,
                step,
                lr,
                &cfg,
            );
            for i in 0..count {
                let g = f64::from(grad[i]);
                m[i] = cfg.beta1 * m[i] + (1.0 - cfg.beta1) * g;
                v[i] = cfg.beta2 * v[i] + (1.0 - cfg.beta2) * g * g;
                let m_hat = m[i] / (1.0 - cfg.beta1.powi(step as i32));
                let v_hat = v[i] / (1.0 - cfg.beta2.powi(step as i32));
                p[i] -= lr * cfg.weight_decay * p[i];
                p[i] -= lr * m_hat / (v_hat.sqrt() + cfg.eps);
            }
        }
        assert_close(&format!("parameter on {name}"), &host(&param), &p, 1e-6);
        assert_close(
            &format!("first moment on {name}"),
            &host(&state.first),
            &m,
            1e-6,
        );
        assert_close(
            &format!("second moment on {name}"),
            &host(&state.second),
            &v,
            1e-6,
        );
        assert!(!param.device().is_autodiff());
    }
}

#[test]
fn adamw_leaves_other_holders_of_the_parameter_alone() {
    for (name, device) in devices() {
        let device = device.inner();
        let param: Tensor<1> = tensor(&[1.0, 2.0, 3.0], [3], &device);
        let view = param.clone().narrow(0, 1, 2);
        let mut state = AdamWState::zeros([2], &device);
        let grad = tensor(&[1.0, -1.0], [2], &device);
        let cfg = AdamW {
            weight_decay: 0.0,
            ..AdamW::default()
        };
        let updated = adamw_step(view, grad, &mut state, 1, 0.5, &cfg);
        assert_close(name, &host(&param), &[1.0, 2.0, 3.0], 0.0);
        assert_close(name, &host(&updated), &[1.5, 3.5], 1e-6);
    }
}

#[test]
fn a_scaled_step_is_a_step_with_the_scaled_gradient() {
    for (name, device) in devices() {
        let put = |values: &[f32]| tensor::<1>(values, [3], &device);
        let run = |grad: &[f32], scale: f64| {
            let mut state = AdamWState::zeros([3], &device);
            let cfg = AdamW::default();
            let param = put(&[1.0, 2.0, 3.0]);
            let param = adamw_step_scaled(param, put(grad), scale, &mut state, 1, 0.1, &cfg);
            [host(&param), host(&state.first), host(&state.second)]
        };
        assert_eq!(
            run(&[4.0, -2.0, 8.0], 0.25),
            run(&[1.0, -0.5, 2.0], 1.0),
            "{name}"
        );
    }
}

#[test]
fn gradient_norm() {
    for (name, device) in devices() {
        let mut noise = Noise::new(9);
        let values = noise.values(50_001, 3.0);
        let expected: f64 = wide(&values).iter().map(|x| x * x).sum();
        let t: Tensor<1> = tensor(&values, [50_001], &device);
        let part = sum_of_squares(t);
        assert!(
            (part / expected - 1.0).abs() < 1e-5,
            "{name}: {part} for {expected}"
        );
        assert!((global_norm([part, 0.0]) / expected.sqrt() - 1.0).abs() < 1e-5);
    }
}
