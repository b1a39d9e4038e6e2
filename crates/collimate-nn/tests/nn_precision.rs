//! Linear layers that multiply in bf16.

use burn::module::{Module, Param};
use burn::tensor::{DType, Device};
use collimate_nn::{Adaptable, Forward, Linear, Lora, Precision};
use collimate_testkit::{assert_close, flex, host, tensor};

/// One layer as a model.
#[derive(Module, Debug)]
struct One {
    layer: Linear,
}

impl Adaptable for One {
    fn linears_mut(&mut self) -> Vec<(String, &mut Linear)> {
        vec![("layer".to_owned(), &mut self.layer)]
    }
}

/// A number that bf16 cannot represent; it rounds to 1.
const ODD: f32 = 1.0 + 1.0 / 1024.0;

fn one(device: &Device) -> One {
    let param = |values: &[f32], shape| Param::from_tensor(tensor::<2>(values, shape, device));
    One {
        layer: Linear {
            weight: param(&[ODD, 2.0, -4.0, 0.5], [2, 2]),
            bias: Some(Param::from_tensor(tensor(&[ODD, 0.0], [2], device))),
            lora: Some(Lora {
                a: param(&[ODD, 0.0], [1, 2]),
                b: param(&[0.0, ODD], [2, 1]),
                scale: 1.0,
                dropout: 0.0,
            }),
            precision: Precision::F32,
            learned: Vec::new(),
        },
    }
}

#[test]
fn factors_are_rounded_and_sums_are_not() {
    let device = flex();
    let model = one(&device).with_precision(Precision::Bf16).unwrap();
    let x = tensor::<2>(&[ODD, 1.0], [1, 2], &device).require_grad();
    let y = model.layer.forward(x.clone(), Forward::EVAL);
    assert_eq!(y.dtype(), DType::F32);
    // The bias is added in f32; the adapter adds 1·1 to the second output.
    let exact = f64::from(ODD);
    assert_close(
        "bf16",
        &host(&y),
        &[1.0 + 2.0 + exact, -4.0 + 0.5 + 1.0],
        1e-7,
    );
    let full = one(&device).layer.forward(x.clone(), Forward::REFERENCE);
    let product = exact * exact + 2.0;
    assert_close(
        "f32",
        &host(&full),
        &[product + exact, -4.0 * exact + 0.5],
        1e-6,
    );

    // bf16 cannot represent 1 + 1/256 either, but sums are f32 on flex.
    let fine = Linear {
        weight: Param::from_tensor(tensor(&[1.0, 1.0 / 256.0], [1, 2], &device)),
        bias: None,
        lora: None,
        precision: Precision::Bf16,
        learned: Vec::new(),
    };
    let ones = tensor::<2>(&[1.0, 1.0], [1, 2], &device);
    assert_eq!(
        host(&fine.forward(ones, Forward::EVAL)),
        [1.0 + 1.0 / 256.0]
    );

    let grads = y.sum().backward();
    let weight = model.layer.weight.val().grad(&grads).unwrap();
    let bias = model.layer.bias.as_ref().unwrap().val();
    assert_eq!(
        [weight.dtype(), x.grad(&grads).unwrap().dtype()],
        [DType::F32; 2]
    );
    assert_close("weight", &host(&weight), &[1.0; 4], 1e-7);
    assert_close("bias", &host(&bias.grad(&grads).unwrap()), &[1.0; 2], 1e-7);
    let x = host(&x.grad(&grads).unwrap());
    assert_close("x", &x, &[1.0 - 4.0 + 1.0, 2.5], 1e-7);
}

#[test]
fn the_choice_lasts() {
    let device = flex();
    let model = one(&device).with_precision(Precision::Bf16).unwrap();
    assert_eq!(model.clone().valid().layer.precision, Precision::Bf16);
    assert_eq!(model.clone().merged().layer.precision, Precision::Bf16);
    let back = model.with_precision(Precision::F32).unwrap();
    assert_eq!(back.layer.precision, Precision::F32);
}

#[test]
#[allow(deprecated)] // burn-ndarray, as long as Burn has it
fn a_device_without_bf16_says_so() {
    let device = Device::ndarray();
    let error = one(&device).with_precision(Precision::Bf16).unwrap_err();
    let text = "precision is bf16 but must be f32 on this device, which does not multiply bf16";
    assert_eq!(error.to_string(), text);
    assert!(one(&device).with_precision(Precision::F32).is_ok());
}
