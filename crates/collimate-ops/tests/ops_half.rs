//! Frozen weights of 16-bit floats give the values and gradients of the same weights in f32.

use burn::tensor::{DType, Device, FloatDType, Int, Tensor};
use collimate_ops::{
    PackedLinear, PackedType, embedding, is_fused, linear, linear_bf16, naive, selected_logp,
    selected_logp_capped, selected_logp_entropy,
};
use collimate_testkit::{Noise, assert_close, flex, host, tensor};

const TYPES: [FloatDType; 2] = [FloatDType::BF16, FloatDType::F16];
const ROWS: usize = 5;
const INPUT: usize = 24;
const OUTPUT: usize = 37;

fn noise<const D: usize>(seed: u64, shape: [usize; D], device: &Device) -> Tensor<D> {
    tensor(
        &Noise::new(seed).values(shape.iter().product(), 1.0),
        shape,
        device,
    )
}

/// A weight of a 16-bit type, and its values as f32. Neither is trained.
fn weights(dtype: FloatDType, device: &Device) -> [Tensor<2>; 2] {
    let half = noise(1, [OUTPUT, INPUT], device).cast(dtype);
    let wide = half.clone().cast(FloatDType::F32);
    [half, wide]
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|v| f64::from(*v)).collect()
}

/// Compares value and gradient of a function of `x` for both weights.
fn same(what: &str, dtype: FloatDType, op: impl Fn(Tensor<2>, Tensor<2>) -> Tensor<2>) {
    let device = flex();
    let results = weights(dtype, &device).map(|weight| {
        assert!(is_fused(&weight), "{what}");
        let x = noise(2, [ROWS, INPUT], &device).require_grad();
        let y = op(x.clone(), weight);
        assert_eq!(y.dtype(), DType::F32, "{what}");
        let factors = noise(3, y.dims(), &device);
        let grads = (y.clone() * factors).sum().backward();
        [host(&y), host(&x.grad(&grads).expect("a gradient"))]
    });
    let [[y, grad], [expected, slope]] = &results;
    assert_close(what, y, &wide(expected), 1e-6);
    assert_close(&format!("{what}: gradient"), grad, &wide(slope), 1e-6);
}

#[test]
fn linear_layers() {
    for dtype in TYPES {
        same("linear", dtype, |x, w| linear(x, w, None));
        same("naive linear", dtype, |x, w| naive::linear(x, w, None));
        let device = flex();
        let bias = noise(4, [OUTPUT], &device);
        same("bias", dtype, |x, w| linear(x, w, Some(bias.clone())));
        let found = weights(dtype, &device).map(|weight| {
            let bias = bias.clone().require_grad();
            let y = linear(noise(2, [ROWS, INPUT], &device), weight, Some(bias.clone()));
            host(&bias.grad(&y.square().sum().backward()).expect("a gradient"))
        });
        assert_close("bias: its gradient", &found[0], &wide(&found[1]), 1e-6);
    }
}

#[test]
fn log_probabilities_and_entropies() {
    let device = flex();
    let targets =
        Tensor::<1, Int>::from_ints([0, 36, 7, 7, 20], &device.clone().without_autodiff());
    for dtype in TYPES {
        same("logp", dtype, |x, w| {
            selected_logp(x, w, targets.clone()).unsqueeze()
        });
        same("capped", dtype, |x, w| {
            selected_logp_capped(x, w, targets.clone(), Some(2.0)).unsqueeze()
        });
        same("entropy", dtype, |x, w| {
            let (logp, entropy) = selected_logp_entropy(x, w, targets.clone());
            Tensor::stack(vec![logp, entropy], 1)
        });
    }
}

#[test]
fn tables() {
    let device = flex();
    let ids = Tensor::<1, Int>::from_ints([3, 0, 36, 3], &device.clone().without_autodiff());
    for dtype in TYPES {
        let [half, wide] = weights(dtype, &device);
        for found in [
            embedding(half.clone(), ids.clone()),
            naive::embedding(half, ids.clone()),
        ] {
            assert!(found.device().is_autodiff());
            assert_eq!(found.dtype(), DType::F32);
            assert_eq!(host(&found), host(&embedding(wide.clone(), ids.clone())));
        }
    }
}

/// The gradient of a trained weight must not be lost.
#[test]
fn a_trained_weight_of_16_bits_gets_its_gradient() {
    let device = flex();
    let weight = noise(1, [OUTPUT, INPUT], &device).cast(FloatDType::BF16);
    let weight = weight.detach().require_grad();
    let x = noise(2, [ROWS, INPUT], &device);
    let grads = linear(x.clone(), weight.clone(), None).sum().backward();
    let found = weight
        .grad(&grads)
        .expect("a gradient")
        .cast(FloatDType::F32);
    let expected: Vec<f64> = wide(&host(&x.sum_dim(0))).repeat(OUTPUT);
    assert_close("gradient of the weight", &host(&found), &expected, 1e-2);
    let ids = Tensor::<1, Int>::from_ints([1, 1], &device.clone().without_autodiff());
    let grads = embedding(weight.clone(), ids).sum().backward();
    let found = weight
        .grad(&grads)
        .expect("a gradient")
        .cast(FloatDType::F32);
    assert_eq!(host(&found)[INPUT..2 * INPUT], [2.0; INPUT]);
}

#[test]
fn weights_laid_out_for_few_rows() {
    let device = flex().without_autodiff();
    for dtype in TYPES {
        let [half, wide_weight] = weights(dtype, &device);
        for rows in [1, 5, 40] {
            let x = noise(7, [rows, INPUT], &device);
            let expected = wide(&host(&naive::linear(x.clone(), wide_weight.clone(), None)));
            // bf16 holds only some digits of f16.
            let rounded = match dtype {
                FloatDType::BF16 => 1e-6,
                _ => 1e-2,
            };
            for (packed, tolerance) in [
                (PackedLinear::new(vec![(half.clone(), None)]), 1e-6),
                (
                    PackedLinear::with_type(vec![(half.clone(), None)], PackedType::F32),
                    1e-6,
                ),
                (
                    PackedLinear::with_type(vec![(half.clone(), None)], PackedType::Bf16),
                    rounded,
                ),
                (
                    PackedLinear::with_type(vec![(half.clone(), None)], PackedType::Int8),
                    3e-2,
                ),
            ] {
                let [y] = packed.forward(x.clone());
                assert_close(&format!("{packed:?}"), &host(&y), &expected, tolerance);
            }
        }
    }
}

/// Products of rounded factors, with a trained weight, a frozen weight and frozen weights of 16 bits.
#[test]
fn products_of_bf16() {
    let device = flex();
    let bias = noise(4, [OUTPUT], &device);
    let grads = |weight: Tensor<2>, bias: Option<Tensor<1>>, op: Linear| {
        let x = noise(2, [ROWS, INPUT], &device).require_grad();
        let bias = bias.map(Tensor::require_grad);
        let y = op(x.clone(), weight.clone(), bias.clone());
        let factors = noise(3, y.dims(), &device);
        let grads = (y.clone() * factors).sum().backward();
        let mut found = vec![host(&y), host(&x.grad(&grads).expect("a gradient"))];
        found.extend(bias.map(|bias| host(&bias.grad(&grads).expect("a gradient"))));
        found.extend(weight.grad(&grads).map(|grad| host(&grad)));
        found
    };
    let [half, exact] = weights(FloatDType::BF16, &device);
    let [f16, _] = weights(FloatDType::F16, &device);
    let rough = noise(1, [OUTPUT, INPUT], &device);
    for (what, weight, count) in [
        ("bf16", half, 2),
        ("exact", exact, 2),
        ("f16", f16, 2),
        ("trained", rough.require_grad(), 3),
    ] {
        for bias in [None, Some(bias.clone())] {
            let count = count + usize::from(bias.is_some());
            let found = grads(weight.clone(), bias.clone(), linear_bf16);
            let twin = grads(weight.clone(), bias.clone(), naive::linear_bf16);
            let exact = grads(weight.clone(), bias, linear);
            assert_eq!((found.len(), twin.len()), (count, count), "{what}");
            assert_close(what, &found[0], &wide(&twin[0]), 1e-6);
            assert_ne!(found[0], exact[0], "{what}: nothing was rounded");
            for ((found, twin), exact) in found.iter().zip(&twin).zip(&exact).skip(1) {
                // The twin does not round the gradient of the result.
                assert_close(what, found, &wide(twin), 2e-2);
                assert_close(what, found, &wide(exact), 2e-2);
            }
        }
    }
    // Gradients are rounded too: products with whole numbers that bf16 does not hold show it.
    let x: Tensor<2> = tensor(&[1.0], [1, 1], &device).require_grad();
    let weight: Tensor<2> = tensor(&[1.0], [1, 1], &device);
    let y = linear_bf16(x.clone(), weight, None) * 257.0;
    assert_eq!(host(&x.grad(&y.backward()).expect("a gradient")), [256.0]);
}

type Linear = fn(Tensor<2>, Tensor<2>, Option<Tensor<1>>) -> Tensor<2>;
