//! Number types and sizes of saved weight files.

use burn::tensor::{bf16, f16};
use collimate_core::Key;
use collimate_nn::{Adaptable, LoraConfig, SaveError, SaveOptions, StoredType};
use collimate_testkit::Noise;
use safetensors::tensor::Dtype;

use super::*;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

fn form(dtype: StoredType, shard_bytes: Option<u64>) -> SaveOptions {
    SaveOptions {
        dtype,
        shard_bytes,
        ..SaveOptions::default()
    }
}

fn model() -> Llama {
    Llama::load(&fixture("llama-untied"), &device()).unwrap()
}

/// Returns the files with weights in a folder and their sizes without the header.
fn files(dir: &Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".safetensors") {
            let bytes = std::fs::read(entry.path()).unwrap();
            let header = u64::from_le_bytes(bytes[..8].try_into().unwrap());
            assert_eq!(header % 8, 0, "the values are aligned");
            found.push((name, bytes.len() as u64 - 8 - header));
        }
    }
    found.sort();
    found
}

#[test]
fn numbers_are_rounded_to_the_type_of_the_file() {
    type Rounding = fn(f32) -> f32;
    let rounded: [(_, _, _, Rounding); 3] = [
        (StoredType::F32, Dtype::F32, "float32", |v| v),
        (StoredType::Bf16, Dtype::BF16, "bfloat16", |v| {
            bf16::from_f32(v).to_f32()
        }),
        (StoredType::F16, Dtype::F16, "float16", |v| {
            f16::from_f32(v).to_f32()
        }),
    ];
    let exact = tempfile::tempdir().unwrap();
    model().save(exact.path()).unwrap();
    let exact = read_tensors(&exact.path().join(SINGLE));
    for (dtype, stored, name, round) in rounded {
        let dir = tempfile::tempdir().unwrap();
        model().save_with(&form(dtype, None), dir.path()).unwrap();
        assert_eq!(json(&dir.path().join("config.json"))["torch_dtype"], name);
        let raw = read_tensors(&dir.path().join(SINGLE));
        assert!(raw.iter().all(|tensor| tensor.1 == stored));
        // Read again and saved in f32, each value is the rounded one.
        let again = tempfile::tempdir().unwrap();
        let read = Llama::load(dir.path(), &device()).unwrap();
        read.save(again.path()).unwrap();
        let again = read_tensors(&again.path().join(SINGLE));
        for (before, after) in exact.iter().zip(&again) {
            assert_eq!(before.0, after.0);
            let number = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().unwrap());
            for (a, b) in before.3.chunks_exact(4).zip(after.3.chunks_exact(4)) {
                assert_eq!(
                    round(number(a)).to_bits(),
                    number(b).to_bits(),
                    "{}",
                    before.0
                );
            }
        }
    }
}

#[test]
fn a_value_that_the_type_cannot_hold_is_named() {
    let dir = copy(&fixture("llama-untied"));
    edit_tensors(dir.path(), |tensors| {
        let norm = tensors.iter_mut().find(|t| t.0 == "model.norm.weight");
        norm.unwrap().3[..4].copy_from_slice(&70_000f32.to_le_bytes());
    });
    let model = Llama::load(dir.path(), &device()).unwrap();
    let out = tempfile::tempdir().unwrap();
    let error = model.save_with(&form(StoredType::F16, None), out.path());
    let text = error.expect_err("70000 in f16").to_string();
    for part in [SINGLE, "model.norm.weight", "70000", "bf16"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert_eq!(files(out.path()), [], "no half file stays");
    model
        .save_with(&form(StoredType::Bf16, None), out.path())
        .unwrap();
}

#[test]
fn shards_are_no_larger_than_asked_and_read_as_the_same_model() {
    let whole = tempfile::tempdir().unwrap();
    model().save(whole.path()).unwrap();
    let whole_tensors = read_tensors(&whole.path().join(SINGLE));
    let largest = whole_tensors
        .iter()
        .map(|t| t.3.len() as u64)
        .max()
        .unwrap();
    let total: u64 = whole_tensors.iter().map(|t| t.3.len() as u64).sum();
    for most in [1, largest / 2, largest, total / 2, total] {
        let dir = tempfile::tempdir().unwrap();
        let options = form(StoredType::F32, Some(most));
        model().save_with(&options, dir.path()).unwrap();
        let shards = files(dir.path());
        assert_eq!(shards.iter().map(|(_, size)| size).sum::<u64>(), total);
        if most == total {
            assert_eq!(shards, [(SINGLE.to_owned(), total)]);
            continue;
        }
        for (name, size) in &shards {
            let alone = read_tensors(&dir.path().join(name)).len() == 1;
            assert!(*size <= most || alone, "{name} has {size} bytes of {most}");
        }
        let count = shards.len();
        assert_eq!(
            shards[0].0,
            format!("model-00001-of-{count:05}.safetensors")
        );
        let index = json(&dir.path().join(INDEX));
        assert_eq!(index["metadata"]["total_size"], total);
        assert_eq!(index["metadata"]["total_parameters"], total / 4);
        let again = tempfile::tempdir().unwrap();
        let read = Llama::load(dir.path(), &device()).unwrap();
        read.save(again.path()).unwrap();
        assert_eq!(read_tensors(&again.path().join(SINGLE)), whole_tensors);
    }
}

#[test]
fn no_file_of_an_earlier_save_is_taken_for_the_new_model() {
    let dir = tempfile::tempdir().unwrap();
    let small = form(StoredType::F32, Some(1000));
    model().save_with(&small, dir.path()).unwrap();
    let many = files(dir.path()).len();
    // Fewer shards replace many.
    let larger = form(StoredType::Bf16, Some(10_000));
    model().save_with(&larger, dir.path()).unwrap();
    let few = files(dir.path());
    assert!(few.len() < many, "{few:?}");
    Llama::load(dir.path(), &device()).unwrap();
    // One file does not go beside shards, and shards do not go beside one file.
    let refused = |error: Result<(), SaveError>, part: &str| {
        let text = error.expect_err("other weights").to_string();
        assert!(text.contains(part), "{text}");
    };
    refused(model().save(dir.path()), INDEX);
    let single = tempfile::tempdir().unwrap();
    model().save(single.path()).unwrap();
    refused(model().save_with(&small, single.path()), SINGLE);
    // Shards without their index, as a killed save leaves them, are no model.
    std::fs::remove_file(dir.path().join(INDEX)).unwrap();
    Llama::load(dir.path(), &device()).expect_err("no index");
}

#[test]
fn folding_while_saving_equals_folding_before() {
    for name in ["llama-untied", "gpt2-plain"] {
        let model = Llama::load(&fixture(name), &device()).unwrap();
        let lora = LoraConfig::default();
        let mut model = model.with_lora(&lora, Key::new(3, "lora")).unwrap();
        let mut noise = Noise::new(5);
        for (_, linear) in model.linears_mut() {
            let adapter = linear.lora.as_mut().unwrap();
            let shape = adapter.b.dims();
            let values = noise.values(shape.iter().product(), 0.1);
            let values = collimate_testkit::tensor(&values, shape, &device());
            adapter.b = burn::module::Param::from_tensor(values);
        }
        let [folded, before] = [model.clone(), model.merged()].map(|model| {
            let dir = tempfile::tempdir().unwrap();
            model.save(dir.path()).unwrap();
            std::fs::read(dir.path().join(SINGLE)).unwrap()
        });
        assert!(folded == before, "{name}");
        let plain = std::fs::read(fixture(name).join(SINGLE)).unwrap();
        assert!(
            read_tensors_of(&folded) != read_tensors_of(&plain),
            "{name}"
        );
    }
}

/// Returns the bytes of all values of a file, without the header.
fn read_tensors_of(file: &[u8]) -> &[u8] {
    let header = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    &file[8 + header..]
}
