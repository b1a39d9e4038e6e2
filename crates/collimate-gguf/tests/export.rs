//! Hugging Face folders become GGUF files and come back.

mod common;

use std::path::Path;

use collimate_gguf::{Gguf, GgufError, GgufWriter, HfTensor, MetadataValue, OutType, TensorType};
use common::{Folder, MODELS, open};
use serde_json::json;
use tempfile::TempDir;

#[test]
fn every_architecture_makes_the_round_trip() {
    for name in MODELS {
        let original = open(name);
        let folder = Folder::of(&original);
        let target = TempDir::new().unwrap();
        let path = target.path().join("model.gguf");
        let export = folder.write(&path, OutType::F32).unwrap();
        assert_eq!(export.left_out, [""; 0], "{name}");
        assert_eq!(export.bytes, std::fs::metadata(&path).unwrap().len());
        let gguf = Gguf::open(&path).unwrap();
        // llama.cpp's converter wrote the same tensors.
        for info in original.tensors() {
            assert_eq!(gguf.tensor(&info.name), Some(info), "{name}");
            let (own, other) = (
                gguf.values(&info.name).unwrap(),
                original.values(&info.name).unwrap(),
            );
            match info.name.as_str() {
                "rope_freqs.weight" => {
                    let close =
                        |(one, other): (&f32, &f32)| (one - other).abs() < 1e-6 * other.abs();
                    assert!(own.iter().zip(&other).all(close), "{own:?} {other:?}");
                }
                _ => assert_eq!(own, other, "{name} {}", info.name),
            }
        }
        assert_eq!(gguf.tensors().len(), original.tensors().len());
        // The scores of pieces differ, their order does not.
        for (key, value) in original.metadata() {
            if key != "tokenizer.ggml.scores" {
                assert_eq!(gguf.get(key), Some(value), "{name} {key}");
            }
        }
        let again = Folder::of(&gguf);
        assert_eq!(again.config, folder.config, "{name}");
        assert_eq!(again.tokenizer, folder.tokenizer, "{name}");
        assert_eq!(again.settings, folder.settings, "{name}");
        assert_eq!(again.generation, folder.generation, "{name}");
        assert_eq!(again.tensors, folder.tensors, "{name}");
    }
}

#[test]
fn matrices_get_the_type_and_norms_stay_f32() {
    let folder = Folder::of(&open("tiny_qwen3"));
    let target = TempDir::new().unwrap();
    let path = target.path().join("model.gguf");
    for (out_type, kind, number) in [
        (OutType::F16, TensorType::F16, 1),
        (OutType::Bf16, TensorType::Bf16, 32),
        // Rows of 8 values are no blocks of 32.
        (OutType::Q8_0, TensorType::F16, 7),
    ] {
        folder.write(&path, out_type).unwrap();
        let gguf = Gguf::open(&path).unwrap();
        let file_type = gguf.get("general.file_type").cloned();
        assert_eq!(file_type, Some(MetadataValue::U32(number)));
        for info in gguf.tensors() {
            let expected = match info.name.ends_with("norm.weight") {
                true => TensorType::F32,
                false => kind,
            };
            assert_eq!(info.kind, expected, "{}", info.name);
        }
    }
    let wide = {
        let mut folder = Folder::of(&open("tiny_llama"));
        folder.config["intermediate_size"] = json!(32);
        for tensor in &mut folder.tensors {
            tensor
                .shape
                .iter_mut()
                .filter(|length| **length == 12)
                .for_each(|length| *length = 32);
        }
        folder
    };
    wide.write(&path, OutType::Q8_0).unwrap();
    let gguf = Gguf::open(&path).unwrap();
    assert_eq!(
        gguf.tensor("blk.0.ffn_down.weight").unwrap().kind,
        TensorType::Q8_0
    );
    assert_eq!(
        gguf.tensor("blk.0.ffn_up.weight").unwrap().kind,
        TensorType::F16
    );
}

#[test]
fn tokens_and_tensors_that_no_text_reaches_are_reported() {
    let mut folder = Folder::of(&open("tiny_gemma2"));
    let vocab = folder.config["vocab_size"].as_u64().unwrap();
    let added = folder.tokenizer["added_tokens"].as_array_mut().unwrap();
    let mut image = added[0].clone();
    image["id"] = json!(vocab);
    image["content"] = json!("<image>");
    added.push(image);
    let head = HfTensor {
        name: "lm_head.weight".to_owned(),
        shape: vec![vocab as usize, 8],
    };
    folder.tensors.push(head);
    let target = TempDir::new().unwrap();
    let export = folder
        .write(&target.path().join("a.gguf"), OutType::F32)
        .unwrap();
    assert_eq!(
        export.left_out,
        [
            format!("the token \"<image>\" with the id {vocab}"),
            "the tensor lm_head.weight".to_owned()
        ]
    );
}

#[test]
fn the_space_before_texts_has_several_spellings() {
    let mut folder = Folder::of(&open("tiny_pieces"));
    let target = TempDir::new().unwrap();
    let path = target.path().join("a.gguf");
    let mut spaces = |scheme: &str| {
        folder.tokenizer["normalizer"] = json!(null);
        folder.tokenizer["pre_tokenizer"] = json!({
            "type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": scheme, "split": false,
        });
        let export = folder.write(&path, OutType::F32).unwrap();
        let gguf = Gguf::open(&path).unwrap();
        let key = "tokenizer.ggml.add_space_prefix";
        (
            gguf.get(key).and_then(|value| value.as_bool()),
            export.left_out.len(),
        )
    };
    assert_eq!(spaces("always"), (Some(true), 0));
    assert_eq!(spaces("never"), (Some(false), 0));
    // llama.cpp also puts a space behind special tokens.
    assert_eq!(spaces("first"), (Some(true), 1));
}

#[test]
fn user_defined_marks_become_spaces() {
    let original = open("tiny_gemma2");
    let mut folder = Folder::of(&original);
    let tokenizer = &mut folder.tokenizer;
    // The spelling of Google's tokenizers: the normalizer has put marks in place of spaces.
    for (spaces, marks) in [
        ("  ", "\u{2581}\u{2581}"),
        ("   ", "\u{2581}\u{2581}\u{2581}"),
    ] {
        let vocab = tokenizer["model"]["vocab"].as_object_mut().unwrap();
        vocab.remove(marks);
        let id = vocab.remove(spaces).unwrap();
        vocab.insert(marks.to_owned(), id);
        for token in tokenizer["added_tokens"].as_array_mut().unwrap() {
            if token["content"] == spaces {
                token["content"] = json!(marks);
            }
        }
    }
    let merges = tokenizer["model"]["merges"].as_array_mut().unwrap();
    merges.retain(|pair| !pair.to_string().contains("\u{2581}\u{2581}"));
    merges.insert(0, json!(["\u{2581}", "\u{2581}"]));
    let target = TempDir::new().unwrap();
    let path = target.path().join("a.gguf");
    folder.write(&path, OutType::F32).unwrap();
    let gguf = Gguf::open(&path).unwrap();
    let token = |id: usize| {
        let tokens = gguf
            .get("tokenizer.ggml.tokens")
            .and_then(|value| value.as_array());
        tokens.unwrap().as_strings().unwrap()[id].clone()
    };
    assert_eq!((token(6), token(7)), ("  ".to_owned(), "   ".to_owned()));
}

#[test]
fn a_list_of_ends_becomes_the_ends_of_turns_and_messages() {
    let mut folder = Folder::of(&open("tiny_llama"));
    folder.generation["eos_token_id"] = json!([288, 290, 289, 291]);
    let target = TempDir::new().unwrap();
    let path = target.path().join("a.gguf");
    let export = folder.write(&path, OutType::F32).unwrap();
    assert_eq!(export.left_out, ["the end of a text with the token 291"]);
    let gguf = Gguf::open(&path).unwrap();
    let id = |key: &str| {
        gguf.get(&format!("tokenizer.ggml.{key}"))
            .and_then(|value| value.as_u64())
    };
    assert_eq!(id("eos_token_id"), Some(290));
    assert_eq!(id("eot_token_id"), Some(288));
    assert_eq!(id("eom_token_id"), Some(289));
}

#[test]
fn plans_that_contradict_the_format_are_refused() {
    let mut writer = GgufWriter::new();
    writer.set("a", MetadataValue::U8(1)).unwrap();
    writer.add_tensor("t", vec![1], TensorType::F32).unwrap();
    let long = "n".repeat(64);
    let errors = [
        writer.set("a", MetadataValue::U8(2)).unwrap_err(),
        writer
            .set("general.alignment", MetadataValue::U32(64))
            .unwrap_err(),
        writer
            .add_tensor("t", vec![1], TensorType::F32)
            .unwrap_err(),
        writer.add_tensor("u", vec![], TensorType::F32).unwrap_err(),
        writer
            .add_tensor("u", vec![1; 5], TensorType::F32)
            .unwrap_err(),
        writer
            .add_tensor("u", vec![2, 0], TensorType::F32)
            .unwrap_err(),
        writer
            .add_tensor("u", vec![usize::MAX, 2], TensorType::F32)
            .unwrap_err(),
        writer
            .add_tensor("u", vec![31], TensorType::Q8_0)
            .unwrap_err(),
        writer
            .add_tensor("u", vec![256], TensorType::Q6K)
            .unwrap_err(),
        writer
            .add_tensor(&long, vec![1], TensorType::F32)
            .unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, GgufError::Plan { .. }), "{error}");
    }
}

#[test]
fn a_failed_write_leaves_the_earlier_file() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, "earlier").unwrap();
    let mut writer = GgufWriter::new();
    writer.add_tensor("one", vec![4], TensorType::F32).unwrap();
    writer.add_tensor("two", vec![4], TensorType::F32).unwrap();
    let error = writer.write(&path, |name| match name {
        "one" => Ok(vec![1.0; 4]),
        _ => Err("the disk is gone".into()),
    });
    let text = error.unwrap_err().to_string();
    assert_eq!(text, "the values of two cannot be read: the disk is gone");
    assert_eq!(std::fs::read(&path).unwrap(), b"earlier");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let error = writer.write(&folder.path().join("no/model.gguf"), |_| Ok(vec![1.0; 4]));
    assert!(matches!(error.unwrap_err(), GgufError::File(_)));
}

/// Folder of the process that is killed.
const KILLED: &str = "COLLIMATE_GGUF_KILLED";

#[test]
fn a_killed_write_leaves_no_file_of_that_name() {
    if let Some(folder) = std::env::var_os(KILLED) {
        let mut writer = GgufWriter::new();
        writer
            .add_tensor("one", vec![1 << 20], TensorType::F32)
            .unwrap();
        writer.add_tensor("two", vec![4], TensorType::F32).unwrap();
        let _ = writer.write(&Path::new(&folder).join("model.gguf"), |name| match name {
            "one" => Ok(vec![1.0; 1 << 20]),
            _ => std::process::abort(),
        });
        return;
    }
    let folder = TempDir::new().unwrap();
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_killed_write_leaves_no_file_of_that_name"])
        .env(KILLED, folder.path())
        .output()
        .unwrap()
        .status;
    assert!(!status.success());
    assert!(!folder.path().join("model.gguf").exists());
    let removed = collimate_files::remove_unfinished(folder.path()).unwrap();
    assert_eq!(removed.len(), 1);
    assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none());
}
