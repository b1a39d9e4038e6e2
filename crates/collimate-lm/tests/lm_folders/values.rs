//! Types and values of tensors.

use super::*;
use safetensors::Dtype;

const Q: &str = "model.layers.0.self_attn.q_proj.weight";

/// Copies the tied fixture with one tensor changed.
fn changed(name: &str, change: impl FnOnce(&mut common::Raw)) -> tempfile::TempDir {
    let dir = copy(&fixture("llama-gqa-tied"));
    edit_tensors(dir.path(), |tensors| {
        change(tensors.iter_mut().find(|t| t.0 == name).unwrap());
    });
    dir
}

#[test]
fn types_that_are_not_read_are_named() {
    for (dtype, bytes) in [
        (Dtype::I8, 1),
        (Dtype::U8, 1),
        (Dtype::F8_E4M3, 1),
        (Dtype::F8_E5M2, 1),
        (Dtype::BOOL, 1),
        (Dtype::I16, 2),
        (Dtype::I32, 4),
        (Dtype::I64, 8),
    ] {
        let dir = changed(Q, |tensor| {
            tensor.1 = dtype;
            tensor.3 = vec![0; 32 * 32 * bytes];
        });
        let shown = format!("tensor {Q} is {dtype:?}");
        refused(dir.path(), &[&shown, "F32, F64, F16 and BF16"]);
    }
    // GPTQ replaces a matrix by a tensor with another name and another shape.
    let dir = changed(Q, |tensor| {
        tensor.0 = Q.replace("weight", "qweight");
        tensor.1 = Dtype::I32;
    });
    refused(dir.path(), &["q_proj.qweight is I32"]);
    // The fault is in the head of a reward model.
    let dir = copy(&fixture("llama-reward"));
    edit_tensors(dir.path(), |tensors| {
        let score = tensors.iter_mut().find(|t| t.0 == "score.weight").unwrap();
        (score.1, score.3) = (Dtype::I8, vec![0; 32]);
    });
    let error = Llama::load_reward(dir.path(), &device()).unwrap_err();
    check(&error, &["tensor score.weight is I8"]);
}

#[test]
fn values_that_are_no_numbers_are_refused_by_name() {
    for (value, shown) in [
        (f32::NAN, "NaN"),
        (f32::INFINITY, "inf"),
        (f32::NEG_INFINITY, "-inf"),
    ] {
        let dir = changed(Q, |tensor| {
            tensor.3[40..44].copy_from_slice(&value.to_le_bytes())
        });
        let error = refused(dir.path(), &[Q, &format!("holds {shown} at index 10")]);
        assert!(matches!(error, LoadError::NotFinite { index: 10, .. }));
    }
    // The values are too large for f32, or infinities of the half types.
    for (dtype, bytes) in [
        (Dtype::F64, 1e300f64.to_le_bytes().to_vec()),
        (Dtype::F16, vec![0x00, 0x7c]),
        (Dtype::BF16, vec![0x80, 0x7f]),
    ] {
        let dir = changed("model.norm.weight", |tensor| {
            tensor.1 = dtype;
            tensor.3 = bytes.repeat(32);
        });
        refused(dir.path(), &["model.norm.weight", "holds inf at index 0"]);
    }
    let dir = copy(&fixture("bert-mean"));
    let name = "encoder.layer.1.output.LayerNorm.bias";
    edit_tensors(dir.path(), |tensors| {
        let tensor = tensors.iter_mut().find(|t| t.0 == name).unwrap();
        tensor.3[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    });
    check(
        &Encoder::load(dir.path(), &device()).unwrap_err(),
        &[name, "NaN"],
    );
}

#[test]
fn what_is_left_out_is_told_in_one_line() {
    // The fixture's pooler and classifier are not part of an encoder; index buffers cause no
    // warning.
    let (_, told) = warned(|| Encoder::load(&fixture("bert-cls-prefixed"), &device()).unwrap());
    assert_eq!(told.lines().count(), 1, "{told}");
    for part in [
        "bert.pooler.dense",
        "classifier.weight",
        "neither read nor saved",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains("position_ids"), "{told}");
    let dir = copy(&fixture("llama-gqa-tied"));
    edit_tensors(dir.path(), |tensors| {
        let buffer = "model.layers.0.self_attn.rotary_emb.inv_freq".to_owned();
        tensors.push((buffer, Dtype::F32, vec![1], vec![0; 4]));
    });
    let (_, told) = warned(|| Llama::load(dir.path(), &device()).unwrap());
    assert_eq!(told, "");
    edit_tensors(dir.path(), |tensors| {
        tensors.push(("score.weight".to_owned(), Dtype::F32, vec![1], vec![0; 4]));
    });
    let (_, told) = warned(|| Llama::load(dir.path(), &device()).unwrap());
    assert!(
        told.contains("score.weight") && told.lines().count() == 1,
        "{told}"
    );
}
