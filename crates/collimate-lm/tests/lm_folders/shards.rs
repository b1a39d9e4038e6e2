//! Weights in several files.

use super::*;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Splits the tied fixture into two shards with an index.
fn sharded() -> tempfile::TempDir {
    let dir = copy(&fixture("llama-gqa-tied"));
    let all = read_tensors(&dir.path().join(SINGLE));
    let (left, right) = all.split_at(5);
    let mut map = serde_json::Map::new();
    for (shard, part) in [("a.safetensors", left), ("b.safetensors", right)] {
        write_tensors(&dir.path().join(shard), part);
        map.extend(part.iter().map(|t| (t.0.clone(), shard.into())));
    }
    std::fs::remove_file(dir.path().join(SINGLE)).unwrap();
    write_index(dir.path(), &value!({"weight_map": map}));
    dir
}

fn write_index(dir: &Path, index: &Value) {
    std::fs::write(dir.join(INDEX), index.to_string()).unwrap();
}

fn edit_shard(dir: &Path, name: &str, edit: impl FnOnce(&mut Vec<common::Raw>)) {
    let path = dir.join(name);
    let mut tensors = read_tensors(&path);
    edit(&mut tensors);
    write_tensors(&path, &tensors);
}

#[test]
fn shards_and_index_agree() {
    let dir = sharded();
    let (_, told) = warned(|| Llama::load(dir.path(), &device()).unwrap());
    assert_eq!(told, "");
    // The index names the wrong shard for a tensor.
    let mut index = json(&dir.path().join(INDEX));
    let name = "model.embed_tokens.weight";
    assert_eq!(index["weight_map"][name], "a.safetensors");
    index["weight_map"][name] = "b.safetensors".into();
    write_index(dir.path(), &index);
    refused(dir.path(), &[INDEX, name, "b.safetensors"]);
    // A tensor that the index does not name is read, as in transformers, and a warning names it.
    index["weight_map"].as_object_mut().unwrap().remove(name);
    write_index(dir.path(), &index);
    let (_, told) = warned(|| Llama::load(dir.path(), &device()).unwrap());
    assert!(
        told.contains(name) && told.contains("index does not name it"),
        "{told}"
    );
    // The shard lies in another folder.
    for elsewhere in [
        "../a.safetensors",
        "/elsewhere/a.safetensors",
        "x/a.safetensors",
        "",
        "..",
    ] {
        index["weight_map"][name] = elsewhere.into();
        write_index(dir.path(), &index);
        refused(
            dir.path(),
            &[INDEX, &format!("{elsewhere:?}"), "beside the index"],
        );
    }
}

#[test]
fn a_tensor_in_two_shards_is_one_tensor() {
    let dir = sharded();
    let copied = read_tensors(&dir.path().join("a.safetensors"))[0].clone();
    edit_shard(dir.path(), "b.safetensors", |tensors| {
        tensors.push(copied.clone())
    });
    Llama::load(dir.path(), &device()).unwrap();
    edit_shard(dir.path(), "b.safetensors", |tensors| {
        let tensor = tensors.iter_mut().find(|t| t.0 == copied.0).unwrap();
        tensor.3[2] ^= 1;
    });
    refused(
        dir.path(),
        &[&copied.0, "a.safetensors", "b.safetensors", "other values"],
    );
}

#[test]
fn a_shard_that_is_not_there() {
    let dir = sharded();
    std::fs::remove_file(dir.path().join("b.safetensors")).unwrap();
    refused(dir.path(), &["b.safetensors", "cannot read"]);
}

#[test]
fn one_file_beside_an_index() {
    let dir = sharded();
    let single = fixture("llama-gqa-tied").join(SINGLE);
    std::fs::copy(single, dir.path().join(SINGLE)).unwrap();
    let (_, told) = warned(|| Llama::load(dir.path(), &device()).unwrap());
    assert!(told.contains(INDEX) && told.contains("not read"), "{told}");
    // Some writers give a single file an index.
    let mut index = json(&dir.path().join(INDEX));
    for (_, shard) in index["weight_map"].as_object_mut().unwrap() {
        *shard = SINGLE.into();
    }
    write_index(dir.path(), &index);
    let (_, told) = warned(|| Llama::load(dir.path(), &device()).unwrap());
    assert_eq!(told, "");
}

#[test]
fn weights_of_another_kind_are_named() {
    for other in [
        "pytorch_model.bin",
        "model-q4.gguf",
        "adapter_model.safetensors",
    ] {
        let dir = copy(&fixture("llama-gqa-tied"));
        std::fs::rename(dir.path().join(SINGLE), dir.path().join(other)).unwrap();
        refused(dir.path(), &[other, "model.safetensors"]);
    }
}
