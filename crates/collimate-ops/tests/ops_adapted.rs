//! Linear layers with a low-rank update, against sums written out in f64.

use burn::tensor::{Device, FloatDType, Tensor};
use collimate_ops::{
    DropMask, LowRankUpdate, adapted_linear, adapted_linear_bf16, dropped, linear, linear_bf16,
    naive,
};
use collimate_testkit::{Noise, assert_close, devices, flex, host, tensor};

const ROWS: usize = 7;
const INPUT: usize = 70;
const OUTPUT: usize = 19;
const RANK: usize = 3;
const SCALE: f64 = 1.75;

fn values(seed: u64, len: usize) -> Vec<f32> {
    // Multiples of 1/8 below 2, which bf16 and f16 hold.
    let noise = Noise::new(seed).values(len, 1.0);
    let steps = noise.iter().map(|value| (value * 8.0).round() / 8.0);
    steps.map(|value| value.clamp(-1.875, 1.875)).collect()
}

fn noise<const D: usize>(seed: u64, shape: [usize; D], device: &Device) -> Tensor<D> {
    tensor(&values(seed, shape.iter().product()), shape, device)
}

fn mask() -> DropMask {
    let bytes = Noise::new(9).values(2 * ROWS * INPUT, 100.0);
    let bytes: Vec<u8> = bytes.iter().map(|value| value.abs() as u8).collect();
    DropMask::new([ROWS, INPUT], 0.3, &bytes)
}

/// Value, then the gradients of x, A and B, for the sum of the result times fixed factors.
fn expected(masked: bool, biased: bool) -> [Vec<f64>; 4] {
    let of = |seed, len| -> Vec<f64> { values(seed, len).iter().map(|v| f64::from(*v)).collect() };
    let (x, w, bias) = (of(1, ROWS * INPUT), of(2, OUTPUT * INPUT), of(3, OUTPUT));
    let (a, b, g) = (
        of(4, RANK * INPUT),
        of(5, OUTPUT * RANK),
        of(6, ROWS * OUTPUT),
    );
    let m: Vec<f64> = match masked {
        true => host(&mask().to_tensor(&Device::flex()))
            .iter()
            .map(|v| f64::from(*v))
            .collect(),
        false => vec![1.0; ROWS * INPUT],
    };
    let sum = |len: usize, f: &dyn Fn(usize) -> f64| (0..len).map(f).sum::<f64>();
    let low = |t: usize, r: usize| {
        sum(INPUT, &|i| {
            m[t * INPUT + i] * x[t * INPUT + i] * a[r * INPUT + i]
        })
    };
    let up = |t: usize, r: usize| SCALE * sum(OUTPUT, &|o| g[t * OUTPUT + o] * b[o * RANK + r]);
    let mut found = [vec![], vec![], vec![], vec![]];
    for t in 0..ROWS {
        for o in 0..OUTPUT {
            let frozen = sum(INPUT, &|i| x[t * INPUT + i] * w[o * INPUT + i]);
            let update = SCALE * sum(RANK, &|r| low(t, r) * b[o * RANK + r]);
            found[0].push(frozen + update + if biased { bias[o] } else { 0.0 });
        }
        for i in 0..INPUT {
            let frozen = sum(OUTPUT, &|o| g[t * OUTPUT + o] * w[o * INPUT + i]);
            let update = sum(RANK, &|r| up(t, r) * a[r * INPUT + i]);
            found[1].push(frozen + m[t * INPUT + i] * update);
        }
    }
    for r in 0..RANK {
        for i in 0..INPUT {
            found[2].push(sum(ROWS, &|t| {
                up(t, r) * m[t * INPUT + i] * x[t * INPUT + i]
            }));
        }
    }
    for o in 0..OUTPUT {
        for r in 0..RANK {
            found[3].push(SCALE * sum(ROWS, &|t| g[t * OUTPUT + o] * low(t, r)));
        }
    }
    found
}

type Layer = fn(Tensor<2>, Tensor<2>, Option<Tensor<1>>, LowRankUpdate) -> Tensor<2>;

/// Compares a layer with the sums. `weight` prepares the weight.
fn check(
    what: &str,
    layer: Layer,
    device: &Device,
    weight: impl Fn(Tensor<2>) -> Tensor<2>,
    tolerance: f64,
) {
    for (masked, biased) in [(false, false), (true, false), (false, true), (true, true)] {
        let x = noise(1, [ROWS, INPUT], device).require_grad();
        let a = noise(4, [RANK, INPUT], device).require_grad();
        let b = noise(5, [OUTPUT, RANK], device).require_grad();
        let update = LowRankUpdate {
            a: a.clone(),
            b: b.clone(),
            scale: SCALE,
            mask: masked.then(mask),
        };
        let bias = biased.then(|| noise(3, [OUTPUT], device));
        let weight = weight(noise(2, [OUTPUT, INPUT], device));
        let y = layer(x.clone(), weight, bias, update);
        let grads = (y.clone() * noise(6, [ROWS, OUTPUT], device))
            .sum()
            .backward();
        let found = [&x, &a, &b].map(|leaf| host(&leaf.grad(&grads).expect("a gradient")));
        let names = ["value", "gradient of x", "gradient of A", "gradient of B"];
        let found = [vec![host(&y)], found.to_vec()].concat();
        for ((name, found), expected) in names.iter().zip(found).zip(expected(masked, biased)) {
            let what = format!("{what}, mask {masked}, bias {biased}: {name}");
            assert_close(&what, &found, &expected, tolerance);
        }
    }
}

#[test]
fn values_and_gradients_are_the_sums() {
    for (name, device) in devices() {
        check(name, adapted_linear, &device, |w| w, 2e-6);
        check(
            &format!("naive on {name}"),
            naive::adapted_linear,
            &device,
            |w| w,
            2e-6,
        );
        // A trained weight takes the way of separate operations.
        check(
            &format!("{name}, trained"),
            adapted_linear,
            &device,
            Tensor::require_grad,
            2e-6,
        );
    }
    for dtype in [FloatDType::BF16, FloatDType::F16] {
        check("16 bits", adapted_linear, &flex(), |w| w.cast(dtype), 2e-6);
    }
}

#[test]
fn rounded_products_are_those_of_separate_layers() {
    // Sums of a dozen rounded numbers around 4, of which some cancel.
    check("bf16", adapted_linear_bf16, &flex(), |w| w, 0.1);
    let device = flex();
    let [x, w, g] = [
        (7, [ROWS, INPUT]),
        (8, [OUTPUT, INPUT]),
        (10, [ROWS, OUTPUT]),
    ]
    .map(|(seed, shape)| {
        tensor(
            &Noise::new(seed).values(shape[0] * shape[1], 1.0),
            shape,
            &device,
        )
    });
    let run = |together: bool| {
        let a = noise(4, [RANK, INPUT], &device).require_grad();
        let b = noise(5, [OUTPUT, RANK], &device).require_grad();
        let x = x.clone().require_grad();
        let y = match together {
            true => {
                let (a, b, mask) = (a.clone(), b.clone(), Some(mask()));
                let update = LowRankUpdate {
                    a,
                    b,
                    scale: SCALE,
                    mask,
                };
                adapted_linear_bf16(x.clone(), w.clone(), None, update)
            }
            false => {
                let low = linear_bf16(dropped(x.clone(), &mask()), a.clone(), None);
                let update = linear_bf16(low.mul_scalar(SCALE), b.clone(), None);
                linear_bf16(x.clone(), w.clone(), None) + update
            }
        };
        let grads = (y.clone() * g.clone()).sum().backward();
        let leaves = [x, a, b].map(|leaf| host(&leaf.grad(&grads).expect("a gradient")));
        [vec![host(&y)], leaves.to_vec()].concat()
    };
    for (found, expected) in run(true).iter().zip(run(false)) {
        let expected: Vec<f64> = expected.iter().map(|v| f64::from(*v)).collect();
        assert_close("bf16", found, &expected, 1e-6);
    }
}

#[test]
fn only_what_trains_gets_a_gradient() {
    let device = flex();
    let x = noise(1, [ROWS, INPUT], &device);
    let [a, b] =
        [(4, [RANK, INPUT]), (5, [OUTPUT, RANK])].map(|(seed, shape)| noise(seed, shape, &device));
    let weight = noise(2, [OUTPUT, INPUT], &device);
    for trained in [[true, false], [false, true]] {
        let [a, b] = [(&a, trained[0]), (&b, trained[1])]
            .map(|(leaf, trained)| leaf.clone().set_require_grad(trained));
        let update = LowRankUpdate {
            a: a.clone(),
            b: b.clone(),
            scale: SCALE,
            mask: Some(mask()),
        };
        let y = adapted_linear(x.clone(), weight.clone(), None, update);
        let grads = (y * noise(6, [ROWS, OUTPUT], &device)).sum().backward();
        let [_, _, of_a, of_b] = expected(true, false);
        for ((leaf, trained), expected) in [a, b].iter().zip(trained).zip([of_a, of_b]) {
            let found = leaf.grad(&grads).map(|grad| host(&grad));
            assert_eq!(found.is_some(), trained);
            if let Some(found) = found {
                assert_close("alone", &found, &expected, 2e-6);
            }
        }
        assert!(x.grad(&grads).is_none() && weight.grad(&grads).is_none());
    }
}

#[test]
fn an_update_of_zero_changes_no_bit() {
    let device = Device::flex();
    let (x, w) = (
        noise(1, [ROWS, INPUT], &device),
        noise(2, [OUTPUT, INPUT], &device),
    );
    let update = LowRankUpdate {
        a: noise(4, [RANK, INPUT], &device),
        b: Tensor::zeros([OUTPUT, RANK], &device),
        scale: SCALE,
        mask: None,
    };
    let y = adapted_linear(x.clone(), w.clone(), None, update);
    assert_eq!(host(&y), host(&linear(x, w, None)));
}

#[test]
fn masks_drop_their_share_and_keep_the_mean() {
    for (probability, factor) in [(0.0, 1.0), (0.25, 4.0 / 3.0), (1.0, 0.0)] {
        let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        // Rows of an odd width do not end with a word of the mask.
        let mask = DropMask::new([1, 65_536], probability, &bytes);
        let factors = host(&mask.to_tensor(&Device::flex()));
        let dropped = factors.iter().filter(|value| **value == 0.0).count();
        assert_eq!(dropped as f64, probability * 65_536.0);
        let kept = factors
            .iter()
            .all(|value| *value == 0.0 || *value == factor as f32);
        assert!(kept, "{probability}");
        let narrow = DropMask::new([64, 1023], probability, &bytes[..2 * 64 * 1023]);
        let narrow = host(&narrow.to_tensor(&Device::flex()));
        assert_eq!(narrow, factors[..64 * 1023]);
    }
}

#[test]
fn dropout_scales_the_gradient_as_the_value() {
    for (name, device) in devices() {
        let x = noise(1, [ROWS, INPUT], &device).require_grad();
        let y = dropped(x.clone(), &mask());
        let factors = host(&mask().to_tensor(&device));
        let grads = (y.clone() * noise(2, [ROWS, INPUT], &device))
            .sum()
            .backward();
        let grad = host(&x.grad(&grads).expect("a gradient"));
        let of = |seed| values(seed, ROWS * INPUT);
        for (index, factor) in factors.iter().enumerate() {
            assert_eq!(host(&y)[index], of(1)[index] * factor, "{name}");
            assert_eq!(grad[index], of(2)[index] * factor, "{name}");
        }
    }
}
