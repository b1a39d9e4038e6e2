//! Makes a cache for `fixtures/open_cache.py`, which opens the cache with `huggingface_hub`.
#![cfg(feature = "download")]

mod common;
mod server;

use std::path::PathBuf;

use collimate_hub::{RepoKind, RepoName, Wanted, Watch};
use common::{hub, model, noise};
use server::{Server, Site};

/// `COLLIMATE_HUB_FOR_PYTHON` names an empty folder that keeps the cache.
#[test]
fn makes_a_cache_for_huggingface_hub() {
    let temporary = tempfile::tempdir().unwrap();
    let kept = std::env::var_os("COLLIMATE_HUB_FOR_PYTHON").map(PathBuf::from);
    let cache = kept.unwrap_or_else(|| temporary.path().to_owned());
    let map = br#"{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}"#;
    let server = Server::plain(Site::model(&[
        ("config.json", b"{\"model_type\": \"tiny\"}"),
        ("model.safetensors.index.json", map),
        ("model-1.safetensors", &noise(1, 200_000)),
        ("model-2.safetensors", &noise(2, 1000)),
        ("sub/empty.txt", b""),
        ("pytorch_model.bin", b"pickle"),
    ]));
    let wanted = Wanted::new()
        .require("config.json")
        .require_one_of(["model.safetensors", "model.safetensors.index.json"])
        .allow("generation_config.json")
        .matching(|path| path.ends_with(".txt"));
    let watch = Watch::default();
    let folder = hub(&cache, &server.url())
        .folder(&model("org/name"), &wanted, &watch)
        .unwrap();
    assert_eq!(
        std::fs::read(folder.join("model-1.safetensors")).unwrap(),
        noise(1, 200_000)
    );
    assert_eq!(std::fs::read(folder.join("sub/empty.txt")).unwrap(), b"");
    assert!(!folder.join("pytorch_model.bin").exists());

    let mut site = Site::model(&[("default/train/0.parquet", b"rows")]);
    site.kind = "datasets";
    let server = Server::plain(site);
    let rows = RepoName::parse(RepoKind::Dataset, "org/name@refs/convert/parquet").unwrap();
    let hub = hub(&cache, &server.url());
    let folder = hub.folder(&rows, &Wanted::everything(), &watch).unwrap();
    let file = folder.join("default/train/0.parquet");
    assert_eq!(std::fs::read(file).unwrap(), b"rows");
}
