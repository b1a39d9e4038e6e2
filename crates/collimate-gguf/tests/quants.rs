//! Values of all types that are read, and bytes of all types that are written, against the
//! reference code of llama.cpp.

mod common;

use collimate_gguf::{Gguf, GgufWriter, TensorType};
use common::{Copy, floats, path};

#[test]
fn every_type_gives_the_values_of_the_reference_bit_for_bit() {
    let gguf = Gguf::open(path("quants.gguf")).unwrap();
    let expected = floats("quants.f32");
    let mut rest = expected.as_slice();
    let mut types = Vec::new();
    for info in gguf
        .tensors()
        .iter()
        .filter(|info| info.kind != TensorType::Iq4Nl)
    {
        let values = gguf.values(&info.name).unwrap();
        assert_eq!(info.shape, [2, 768]);
        assert_eq!(info.kind.name(), info.name);
        let (own, others) = rest.split_at(values.len());
        rest = others;
        let bits = |values: &[f32]| {
            values
                .iter()
                .map(|value| value.to_bits())
                .collect::<Vec<_>>()
        };
        assert_eq!(bits(&values), bits(own), "{}", info.name);
        types.push(info.kind.name());
    }
    assert!(rest.is_empty());
    assert_eq!(types.len(), 14);
}

#[test]
fn a_type_that_is_not_read_is_named() {
    let gguf = Gguf::open(path("quants.gguf")).unwrap();
    let error = gguf.values("IQ4_NL").unwrap_err().to_string();
    assert!(
        error.contains("the tensor IQ4_NL has the type IQ4_NL, which is not read"),
        "{error}"
    );
    assert!(error.contains("Q8_0, Q4_0"), "{error}");
    let error = gguf.values("Q4_3").unwrap_err().to_string();
    assert!(
        error.ends_with("the tensor Q4_3 is not in the file"),
        "{error}"
    );
}

/// Writes one tensor and returns the bytes of the data.
fn data(kind: TensorType, shape: [usize; 2], values: &[f32]) -> Result<Vec<u8>, String> {
    let copy = Copy::of(b"");
    let mut writer = GgufWriter::new();
    writer.add_tensor("t", shape.to_vec(), kind).unwrap();
    writer
        .write(&copy.path, |_| Ok(values.to_vec()))
        .map_err(|error| error.to_string())?;
    let bytes = std::fs::read(&copy.path).unwrap();
    let length = shape[0] * shape[1] / kind.block_values() * kind.block_bytes();
    let end = length.next_multiple_of(32);
    Ok(bytes[bytes.len() - end..][..length].to_vec())
}

#[test]
fn q8_0_gives_the_bytes_of_the_reference() {
    let bytes = data(TensorType::Q8_0, [12, 64], &floats("q8_0.f32")).unwrap();
    assert_eq!(bytes, std::fs::read(path("q8_0.bin")).unwrap());
}

#[test]
fn halves_are_rounded_to_even() {
    // 1 + 2^-11 lies between two halves of 16 bits, and 1 + 2^-8 between two of bf16.
    let values = [
        1.0 + 2f32.powi(-11),
        1.0 + 3.0 * 2f32.powi(-11),
        -0.0,
        65504.0,
    ];
    let halves = data(TensorType::F16, [1, 4], &values).unwrap();
    assert_eq!(halves, [0x00, 0x3c, 0x02, 0x3c, 0x00, 0x80, 0xff, 0x7b]);
    let values = [1.0 + 2f32.powi(-8), 1.0 + 3.0 * 2f32.powi(-8), -0.0, 3e38];
    let halves = data(TensorType::Bf16, [1, 4], &values).unwrap();
    assert_eq!(halves, [0x80, 0x3f, 0x82, 0x3f, 0x00, 0x80, 0x62, 0x7f]);
}

#[test]
fn values_that_do_not_fit_are_refused() {
    for (kind, value) in [
        (TensorType::F32, f32::NAN),
        (TensorType::F16, 65520.0),
        (TensorType::F16, f32::INFINITY),
        (TensorType::Bf16, f32::MAX),
        (TensorType::Q8_0, 1e9),
    ] {
        let mut values = [1.0; 64];
        values[5] = value;
        let error = data(kind, [2, 32], &values).unwrap_err();
        assert!(error.starts_with("t cannot be written"), "{error}");
        assert!(error.contains(&format!("too large for {kind}")), "{error}");
    }
    let error = data(TensorType::F32, [2, 2], &[1.0; 3]).unwrap_err();
    assert!(
        error.contains("3 values came for the shape [2, 2]"),
        "{error}"
    );
}

#[test]
fn values_that_are_not_finite_are_refused_at_reading() {
    let mut bytes = std::fs::read(path("quants.gguf")).unwrap();
    // The scale of the first block of Q8_0 becomes infinite.
    let gguf = Gguf::open(path("quants.gguf")).unwrap();
    let before: usize = gguf
        .tensors()
        .iter()
        .take(4)
        .map(|info| info.count() / info.kind.block_values() * info.kind.block_bytes())
        .sum();
    let data: usize = gguf
        .tensors()
        .iter()
        .map(|info| info.count() / info.kind.block_values() * info.kind.block_bytes())
        .map(|length| length.next_multiple_of(32))
        .sum();
    let at = bytes.len() - data + before;
    bytes[at..at + 2].copy_from_slice(&[0x00, 0x7c]);
    let error = Copy::of(&bytes)
        .open()
        .values("Q8_0")
        .unwrap_err()
        .to_string();
    assert!(error.contains("the tensor Q8_0 holds "), "{error}");
    assert!(error.contains(" at index "), "{error}");
}

#[test]
fn tensors_larger_than_the_buffers_are_whole() {
    let count = 3 << 19;
    let values: Vec<f32> = (0..count).map(|index| (index % 127) as f32).collect();
    for kind in [TensorType::F32, TensorType::F16, TensorType::Q8_0] {
        let copy = Copy::of(b"");
        let mut writer = GgufWriter::new();
        writer.add_tensor("t", vec![count / 32, 32], kind).unwrap();
        writer.write(&copy.path, |_| Ok(values.clone())).unwrap();
        let read = copy.open().values("t").unwrap();
        let close = |(one, other): (&f32, &f32)| (one - other).abs() < 0.6;
        assert_eq!(read.len(), values.len(), "{kind}");
        assert!(read.iter().zip(&values).all(close), "{kind}");
    }
}
