//! Number types: f32 everywhere, f16 and bf16 where the device has them.

use burn::tensor::{DType, Device, FloatDType, Tensor};
use collimate::nn::{Adaptable, Precision, SaveOptions, StoredType};
use collimate::prelude::*;
use collimate_testkit::{Noise, host, tensor};

use crate::setup::{device, flex, model, near, pairs};

fn total(model: &Llama) -> f64 {
    let logps = collimate::direct::pair_logps(model, &pairs(4), Forward::EVAL, 256).unwrap();
    logps.iter().map(|pair| f64::from(pair.chosen)).sum()
}

/// Parameters are f32 on every device, whatever the number type of the file.
#[test]
fn a_folder_in_f16_is_computed_in_f32() {
    let (name, device) = device();
    let folder = tempfile::tempdir().unwrap();
    let options = SaveOptions {
        dtype: StoredType::F16,
        ..SaveOptions::default()
    };
    model(4, &flex())
        .save_with(&options, folder.path())
        .unwrap();
    let load = |device: &Device| Llama::load(folder.path(), device).unwrap();
    assert_eq!(load(&device).output_weight().dtype(), DType::F32);
    near(
        name,
        &[total(&load(&device))],
        &[total(&load(&flex()))],
        1e-5,
    );
}

#[test]
fn bf16_is_near_f32_or_refused_by_name() {
    let (name, device) = device();
    let full = model(4, &device);
    match full.clone().with_precision(Precision::Bf16) {
        Ok(half) => {
            assert!(device.supports_dtype(FloatDType::BF16), "{name}");
            let (half, full) = (total(&half), total(&full));
            assert!(half != full, "{name}: nothing was rounded");
            near(name, &[half], &[full], 0.03);
        }
        Err(error) => {
            assert!(!device.supports_dtype(FloatDType::BF16), "{name}");
            let wanted = "on this device, which does not multiply bf16";
            assert!(error.to_string().contains(wanted), "{error}");
        }
    }
    println!(
        "{name}: f16 {}, bf16 {}, f64 {}",
        device.supports_dtype(FloatDType::F16),
        device.supports_dtype(FloatDType::BF16),
        device.supports_dtype(FloatDType::F64)
    );
}

/// Tolerance: f16 has 11 bits, so products and sums of eight of them are off by some 1e-3.
#[test]
fn f16_tensors_where_the_device_has_them() {
    let (name, device) = device();
    if !device.supports_dtype(FloatDType::F16) {
        println!("{name} has no f16: nothing to test");
        return;
    }
    let values = |seed| Noise::new(seed).values(24, 1.0);
    let of = |values: &[f32], device: &Device| tensor::<2>(values, [3, 8], device);
    let run = |device: &Device, dtype: FloatDType| -> Vec<f64> {
        let [x, w] = [1, 2].map(|seed| of(&values(seed), device).cast(dtype));
        let scale = Tensor::<1>::ones([3], device).cast(dtype);
        let y = collimate::ops::linear(x, w, None);
        assert_eq!(y.dtype(), DType::from(dtype));
        let y = collimate::ops::rms_norm(y, scale, 1e-5);
        host(&collimate::ops::gelu(y))
            .into_iter()
            .map(f64::from)
            .collect()
    };
    let (half, full) = (run(&device, FloatDType::F16), run(&flex(), FloatDType::F32));
    assert!(half != full, "{name}: nothing was rounded");
    near(name, &half, &full, 5e-3);
}
