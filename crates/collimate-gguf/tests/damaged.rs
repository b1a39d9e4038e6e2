//! Files that are cut off, damaged, or of another kind.

mod common;

use collimate_gguf::{Gguf, GgufError, GgufWriter, MetadataValue, TensorType};
use std::path::Path;

use common::{Copy, MODELS, open, path};
use proptest::prelude::*;
use tempfile::TempDir;

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap()
}

fn error(bytes: &[u8]) -> GgufError {
    Gguf::open(Copy::of(bytes).path.clone()).expect_err("refused")
}

/// Opens a file from a folder that lives long enough.
fn refused(bytes: &[u8]) -> String {
    let copy = Copy::of(bytes);
    let text = Gguf::open(&copy.path).expect_err("refused").to_string();
    assert!(!text.contains('\n'), "{text}");
    text
}

/// Everything that reads a file. Errors are fine, panics are not.
fn read_all(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
    let Ok(gguf) = Gguf::open(path) else {
        return;
    };
    for info in gguf.tensors() {
        let _ = gguf.values(&info.name);
    }
    let Ok(model) = gguf.hugging_face() else {
        return;
    };
    let _ = model.config();
    let _ = model.tokenizer();
    let _ = model.tokenizer_config();
    let _ = model.generation_config();
    for tensor in model.tensors() {
        let _ = model.values(&tensor.name);
    }
}

#[test]
fn every_truncation_is_refused_in_one_line() {
    for name in ["tiny_pieces.gguf", "quants.gguf"] {
        let whole = bytes(name);
        let last = Gguf::open(path(name)).unwrap();
        let last = last.tensors().last().unwrap();
        let padding = {
            let length = last.count() / last.kind.block_values() * last.kind.block_bytes();
            length.next_multiple_of(32) - length
        };
        for length in (0..whole.len() - padding)
            .step_by(97)
            .chain([whole.len() - padding - 1])
        {
            let text = refused(&whole[..length]);
            let expected = match length {
                0..4 => "is not a GGUF file",
                _ => "is truncated or damaged",
            };
            assert!(text.contains(expected), "{length}: {text}");
        }
    }
}

#[test]
fn other_files_versions_and_byte_orders_are_named() {
    assert!(refused(b"PK\x03\x04 and more").contains("the file does not begin with GGUF"));
    assert!(refused(b"").contains("the file does not begin with GGUF"));
    let mut old = bytes("quants.gguf");
    old[4] = 1;
    assert!(refused(&old).contains("has GGUF version 1, but versions 2 and 3 are read"));
    let mut turned = bytes("quants.gguf");
    turned[4..8].reverse();
    assert!(refused(&turned).contains("is a big-endian GGUF file"));
    let mut two = bytes("quants.gguf");
    two[4] = 2;
    assert_eq!(Copy::of(&two).open().version(), 2);
    let missing = Gguf::open("/nowhere/model.gguf").unwrap_err();
    assert!(matches!(missing, GgufError::Io { .. }), "{missing}");
}

/// A file with the given number of tensors and metadata values, and what follows.
fn file(tensors: u64, values: u64, rest: &[&[u8]]) -> Vec<u8> {
    let mut bytes = b"GGUF\x03\0\0\0".to_vec();
    bytes.extend(tensors.to_le_bytes());
    bytes.extend(values.to_le_bytes());
    bytes.extend(rest.concat());
    bytes
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

fn tensor(name: &str, lengths: &[u64], kind: u32, offset: u64) -> Vec<u8> {
    let mut bytes = string(name);
    bytes.extend((lengths.len() as u32).to_le_bytes());
    lengths
        .iter()
        .for_each(|length| bytes.extend(length.to_le_bytes()));
    bytes.extend(kind.to_le_bytes());
    bytes.extend(offset.to_le_bytes());
    bytes
}

#[test]
fn impossible_headers_are_refused_before_anything_is_allocated() {
    let value = |kind: u32, value: &[u8]| [&string("k"), &kind.to_le_bytes()[..], value].concat();
    let huge = u64::MAX.to_le_bytes();
    let list = |kind: u32, count: u64| [&kind.to_le_bytes()[..], &count.to_le_bytes()].concat();
    let deep: Vec<u8> = (0..9).flat_map(|_| list(9, 1)).collect();
    let data = [0; 256];
    let cases: [(Vec<u8>, &str); 19] = [
        (file(0, u64::MAX, &[]), "the metadata ends at byte"),
        (file(u64::MAX, 0, &[]), "the table of tensors ends at byte"),
        (
            file(0, 1, &[&huge, &[0; 8]]),
            "the key of a metadata value ends at byte",
        ),
        (
            file(0, 1, &[&value(8, &huge), &[0; 8]]),
            "the metadata value k ends at byte",
        ),
        (
            file(0, 1, &[&value(9, &list(10, u64::MAX / 8 + 1))]),
            "the metadata value k ends at byte",
        ),
        (
            file(0, 1, &[&value(9, &list(8, 100))]),
            "the metadata value k ends at byte",
        ),
        (
            file(0, 1, &[&value(13, &[0; 8])]),
            "the metadata value k has the unknown type 13",
        ),
        (
            file(0, 1, &[&value(9, &list(13, 1)), &[0; 8]]),
            "the metadata value k has the unknown type 13",
        ),
        (
            file(0, 1, &[&value(7, &[2])]),
            "the metadata value k is 2 but must be 0 or 1",
        ),
        (
            file(0, 1, &[&value(9, &deep), &data]),
            "has lists in lists deeper than 8 levels",
        ),
        (
            file(
                0,
                1,
                &[&value(8, &[&1u64.to_le_bytes()[..], &[0xff]].concat())],
            ),
            "is not UTF-8",
        ),
        (
            file(0, 2, &[&value(0, &[1]), &value(0, &[1])]),
            "the metadata value k occurs twice",
        ),
        (
            file(1, 0, &[&tensor("t", &[], 0, 0), &data]),
            "the tensor t has 0 dimensions",
        ),
        (
            file(1, 0, &[&tensor("t", &[1; 5], 0, 0), &data]),
            "the tensor t has 5 dimensions",
        ),
        (
            file(1, 0, &[&tensor("t", &[0], 0, 0), &data]),
            "the impossible dimensions",
        ),
        (
            file(1, 0, &[&tensor("t", &[1 << 40, 1 << 40], 0, 0), &data]),
            "the impossible dimensions",
        ),
        (
            file(1, 0, &[&tensor("t", &[33], 8, 0), &data]),
            "rows of 33 values, but Q8_0 needs a multiple of 32",
        ),
        (
            file(1, 0, &[&tensor("t", &[1], 4, 0), &data]),
            "has the unknown type number 4",
        ),
        (
            file(1, 0, &[&tensor("t", &[1], 0, 8), &data]),
            "begins at 8, but the alignment is 32",
        ),
    ];
    for (bytes, part) in cases {
        let text = refused(&bytes);
        assert!(text.contains(part), "{text}\n{part}");
    }
    let far = file(1, 0, &[&tensor("t", &[1], 0, u64::MAX - 31), &data]);
    assert!(matches!(error(&far), GgufError::Truncated { .. }));
    let twice = file(
        2,
        0,
        &[&tensor("t", &[1], 0, 0), &tensor("t", &[1], 0, 32), &data],
    );
    assert!(refused(&twice).contains("the tensor t occurs twice"));
    let over = file(
        2,
        0,
        &[&tensor("t", &[9], 0, 0), &tensor("u", &[1], 0, 32), &data],
    );
    assert!(refused(&over).contains("the tensor u overlaps the tensor t"));
    let alignment = [
        &string("general.alignment"),
        &4u32.to_le_bytes()[..],
        &24u32.to_le_bytes(),
    ]
    .concat();
    assert!(
        refused(&file(0, 1, &[&alignment]))
            .contains("general.alignment is 24 but must be a power of two")
    );
}

#[test]
fn another_alignment_moves_the_data() {
    let alignment = [
        &string("general.alignment"),
        &4u32.to_le_bytes()[..],
        &128u32.to_le_bytes(),
    ]
    .concat();
    let mut bytes = file(1, 1, &[&alignment, &tensor("t", &[2], 0, 128)]);
    bytes.resize(bytes.len().next_multiple_of(128) + 128, 9);
    bytes.extend([1.5f32, -2.0].iter().flat_map(|value| value.to_le_bytes()));
    assert_eq!(Copy::of(&bytes).open().values("t").unwrap(), [1.5, -2.0]);
}

#[test]
fn a_file_that_shrinks_after_opening_is_refused() {
    let copy = Copy::of(&bytes("quants.gguf"));
    let gguf = copy.open();
    std::fs::write(&copy.path, &bytes("quants.gguf")[..5000]).unwrap();
    let error = gguf.values("Q6_K").unwrap_err();
    assert!(matches!(error, GgufError::Truncated { .. }), "{error}");
}

/// Writes a model in three parts, the first without tensors of layers.
fn split(folder: &TempDir) -> Vec<std::path::PathBuf> {
    let gguf = open("tiny_llama");
    let tensors = gguf.tensors();
    let total = i32::try_from(tensors.len()).unwrap();
    let mut paths = Vec::new();
    for (part, infos) in tensors.chunks(tensors.len().div_ceil(3)).enumerate() {
        let mut writer = GgufWriter::new();
        if part == 0 {
            for (key, value) in gguf.metadata() {
                writer.set(key, value.clone()).unwrap();
            }
        }
        writer
            .set("split.no", MetadataValue::U16(part as u16))
            .unwrap();
        writer.set("split.count", MetadataValue::U16(3)).unwrap();
        writer
            .set("split.tensors.count", MetadataValue::I32(total))
            .unwrap();
        for info in infos {
            writer
                .add_tensor(&info.name, info.shape.clone(), TensorType::F32)
                .unwrap();
        }
        let path = folder
            .path()
            .join(format!("m-{:05}-of-00003.gguf", part + 1));
        writer.write(&path, |name| Ok(gguf.values(name)?)).unwrap();
        paths.push(path);
    }
    paths
}

#[test]
fn parts_of_a_model_are_read_together() {
    let folder = TempDir::new().unwrap();
    let paths = split(&folder);
    let whole = open("tiny_llama");
    for path in &paths {
        let gguf = Gguf::open(path).unwrap();
        assert_eq!(gguf.tensors(), whole.tensors());
        for info in whole.tensors() {
            assert_eq!(
                gguf.values(&info.name).unwrap(),
                whole.values(&info.name).unwrap()
            );
        }
        assert_eq!(
            gguf.hugging_face().unwrap().config().unwrap()["model_type"],
            "llama"
        );
    }
    let other = folder.path().join("other.gguf");
    std::fs::copy(&paths[0], &other).unwrap();
    let text = Gguf::open(&other).unwrap_err().to_string();
    assert!(
        text.contains("the name of the file must end with -00001-of-00003.gguf"),
        "{text}"
    );
    // The third part again, under the name of the second.
    std::fs::copy(&paths[2], &paths[1]).unwrap();
    let text = Gguf::open(&paths[0]).unwrap_err().to_string();
    assert!(
        text.contains("split.no does not say that the file is part 2 of 3"),
        "{text}"
    );
    std::fs::remove_file(&paths[1]).unwrap();
    let text = Gguf::open(&paths[0]).unwrap_err().to_string();
    assert!(text.contains("is one of 3 parts, but "), "{text}");
    assert!(
        text.contains("m-00002-of-00003.gguf is not beside the file"),
        "{text}"
    );
}

/// Largest size of the address space in kilobytes since the start of the process, where the system
/// tells.
fn most_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmPeak:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Number of cases per property.
const CASES: u32 = 400;

/// Runs a property in a process of its own, so that other tests do not change the memory.
fn alone(name: &str, check: impl FnOnce(&Path)) {
    const ALONE: &str = "COLLIMATE_GGUF_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--test-threads=1"])
            .env(ALONE, "1")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
        return;
    }
    let copy = Copy::of(b"");
    for name in MODELS {
        read_all(&copy.path, &bytes(&format!("{name}.gguf")));
    }
    let before = most_memory();
    check(&copy.path);
    // The files have less than 50 kB, and the sound ones were read already.
    if let (Some(before), Some(after)) = (before, most_memory()) {
        assert!(
            after < before + 16 * 1024,
            "the memory grew from {before} to {after} kB"
        );
    }
}

#[test]
fn damaged_bytes_never_panic_and_never_take_memory() {
    alone("damaged_bytes_never_panic_and_never_take_memory", |place| {
        let models: Vec<Vec<u8>> = MODELS
            .iter()
            .map(|name| bytes(&format!("{name}.gguf")))
            .collect();
        let config = ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::with_cases(CASES)
        };
        // Half of the changes hit the first kilobyte, where most counts are.
        let at = prop_oneof![0..1024usize, 0..20_000usize];
        let change = (at, any::<u8>());
        let changes = proptest::collection::vec(change, 1..6);
        let cut = proptest::option::weighted(0.2, 0..20_000usize);
        let mut runner = proptest::test_runner::TestRunner::new(config);
        let strategy = (0..models.len(), changes, cut);
        let result = runner.run(&strategy, |(model, changes, cut)| {
            let mut damaged = models[model].clone();
            for (at, byte) in changes {
                let length = damaged.len();
                damaged[at % length] = byte;
            }
            damaged.truncate(cut.unwrap_or(damaged.len()));
            read_all(place, &damaged);
            Ok(())
        });
        result.unwrap();
    });
}

#[test]
fn every_damaged_number_of_the_header_never_panics_and_never_takes_memory() {
    alone(
        "every_damaged_number_of_the_header_never_panics_and_never_takes_memory",
        |place| {
            let whole = bytes("tiny_pieces.gguf");
            // The metadata before the vocabulary, and the table of tensors behind the metadata.
            let table = whole.len() - 28_000;
            for at in (0..900).chain((table..table + 6_000).step_by(7)) {
                for number in [1 << 20, 1 << 33, u64::MAX] {
                    let mut damaged = whole.clone();
                    damaged[at..at + 8].copy_from_slice(&number.to_le_bytes());
                    read_all(place, &damaged);
                }
            }
        },
    );
}
