//! Norms, activations, rotary positions, embeddings.

use super::logps::ids;
use super::*;

#[test]
fn rms_norm_and_layer_norm() {
    let (rows, width) = (3, 8);
    let mut noise = Noise::new(1);
    let x = noise.values(rows * width, 2.0);
    let (w, b) = (noise.values(width, 2.0), noise.values(width, 2.0));
    let norm = |centred: bool, shift: f64| {
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
        &norm(false, 0.0),
    );
    check(
        "layer_norm",
        &x,
        [rows, width],
        &|x| collimate_ops::layer_norm(x.clone(), vector(&w, &x), Some(vector(&b, &x)), 1e-3),
        &norm(true, 1.0),
    );
    check(
        "layer_norm without bias",
        &x,
        [rows, width],
        &|x| collimate_ops::layer_norm(x.clone(), vector(&w, &x), None, 1e-3),
        &norm(true, 0.0),
    );
}

/// Computes `erf` by its Taylor series, which is exact to f64 for the arguments used here.
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
    let gelu = |x: f64| 0.5 * x * (1.0 + erf(x / 2f64.sqrt()));
    let gelu_tanh = |x: f64| {
        let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
        0.5 * x * (1.0 + inner.tanh())
    };
    check("gelu_tanh", &x, [4, 10], &collimate_ops::gelu_tanh, &|x| {
        x.iter().map(|x| gelu_tanh(*x)).collect()
    });
    type Gated = fn(Tensor<2>, Tensor<2>) -> Tensor<2>;
    type Activation<'a> = &'a dyn Fn(f64) -> f64;
    let gated: [(&str, Gated, Activation<'_>); 3] = [
        ("swiglu", collimate_ops::swiglu, &silu),
        ("geglu", collimate_ops::geglu, &gelu),
        ("geglu_tanh", collimate_ops::geglu_tanh, &gelu_tanh),
    ];
    for (name, op, activation) in gated {
        check(
            &format!("{name}, gate"),
            &x,
            [4, 10],
            &|x| op(x.clone(), tensor(&up, [4, 10], &x.device())),
            &|x| {
                let pairs = x.iter().zip(&up);
                pairs.map(|(x, u)| activation(*x) * f64::from(*u)).collect()
            },
        );
        check(
            &format!("{name}, up"),
            &up,
            [4, 10],
            &|u| op(tensor(&x, [4, 10], &u.device()), u),
            &|u| {
                let pairs = x.iter().zip(u);
                pairs.map(|(x, u)| activation(f64::from(*x)) * u).collect()
            },
        );
    }
}

#[test]
fn activations_stay_finite_far_out() {
    let x = [-1e30f32, -1e4, -50.0, 50.0, 1e4, 1e30];
    let fused = |device: &Device| collimate_ops::is_fused(&Tensor::<2>::ones([1, 1], device));
    let devices = devices().into_iter().filter(|(_, device)| fused(device));
    for (name, device) in devices {
        let x: Tensor<2> = tensor(&x, [1, 6], &device).require_grad();
        for op in [collimate_ops::gelu, collimate_ops::gelu_tanh] {
            let y = op(x.clone());
            assert_close(name, &host(&y), &[0.0, 0.0, 0.0, 50.0, 1e4, 1e30], 1e-6);
            let grad = x.grad(&y.sum().backward()).unwrap();
            assert_close(name, &host(&grad), &[0.0, 0.0, 0.0, 1.0, 1.0, 1.0], 1e-6);
        }
    }
}

#[test]
fn rope_rotates_each_pair_by_its_angle() {
    rotation(6);
}

#[test]
fn a_part_of_each_head_rotates() {
    for head_dim in [7, 8, 15] {
        rotation(head_dim);
    }
}

/// Turns the first six elements of each head, in halves of this part.
fn rotation(head_dim: usize) {
    let positions = [0u32, 3, 1, 900];
    let (heads, rotary) = (2, 6);
    let x = Noise::new(3).values(4 * heads * head_dim, 1.0);
    check(
        "rope",
        &x,
        [4, heads * head_dim],
        &|x| {
            let table = RopeTable::new(&positions, rotary, 10_000.0, &x.device()).unwrap();
            let table = table.partial(head_dim).unwrap();
            assert_eq!((table.head_dim(), table.tokens()), (head_dim, 4));
            collimate_ops::rope(x, &table)
        },
        &|x| {
            let mut y = x.to_vec();
            for (t, position) in positions.iter().enumerate() {
                for h in 0..heads {
                    for i in 0..3 {
                        let angle =
                            f64::from(*position) / 10_000f64.powf(2.0 * i as f64 / rotary as f64);
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
