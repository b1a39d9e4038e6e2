//! A cache that `huggingface_hub` has written (see `fixtures/make_cache.py`), without a network.
#![cfg(unix)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use collimate_hub::{HubError, RepoKind, RepoName, Wanted, Watch};
use common::{closed, model};
use serde_json::Value;
use tempfile::TempDir;

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const INDEX: &str = "model.safetensors.index.json";

/// Unpacks the fixture.
fn cache() -> TempDir {
    let text = include_str!("fixtures/cache.json");
    let fixture: Value = serde_json::from_str(text).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    };
    for (name, text) in fixture["files"].as_object().unwrap() {
        fs::write(place(name), text.as_str().unwrap()).unwrap();
    }
    for (name, target) in fixture["links"].as_object().unwrap() {
        std::os::unix::fs::symlink(target.as_str().unwrap(), place(name)).unwrap();
    }
    folder
}

fn open(cache: &Path, name: &RepoName, wanted: &Wanted) -> Result<PathBuf, HubError> {
    let closed = closed(cache);
    let opened = closed.folder(name, wanted, &Watch::default());
    // Offline, only the error may differ.
    let offline = closed.offline(true).folder(name, wanted, &Watch::default());
    assert_eq!(opened.is_ok(), offline.is_ok());
    opened
}

fn weights() -> Wanted {
    Wanted::new()
        .require("config.json")
        .require_one_of(["model.safetensors", INDEX])
}

#[test]
fn a_snapshot_opens_by_branch_and_by_commit() {
    let cache = cache();
    let wanted = weights().matching(|path| path.ends_with(".txt"));
    for name in ["tiny/model", &format!("tiny/model@{A}")] {
        let folder = open(cache.path(), &model(name), &wanted).unwrap();
        let text = fs::read_to_string(folder.join("sub/nested/notes.txt")).unwrap();
        assert_eq!(text, "nested\n");
        assert!(folder.ends_with(A));
    }
    let name = RepoName::parse(RepoKind::Dataset, "tiny/rows@refs/convert/parquet").unwrap();
    let rows = Wanted::new().matching(|path| path.ends_with(".parquet"));
    let folder = open(cache.path(), &name, &rows).unwrap();
    assert!(folder.join("default/train/0000.parquet").is_file());
}

#[test]
fn plain_files_instead_of_links_open_too() {
    let cache = cache();
    let wanted = weights().matching(|_| true);
    let folder = open(cache.path(), &model("tiny/copies"), &wanted).unwrap();
    assert!(!folder.join("config.json").is_symlink());
}

#[test]
fn a_partial_snapshot_is_not_complete() {
    let cache = cache();
    let name = model("tiny/model");
    // The listing has a file that was not downloaded.
    let error = open(cache.path(), &name, &Wanted::everything()).unwrap_err();
    let tried = matches!(error, HubError::Network { .. });
    assert_eq!(tried, cfg!(feature = "download"), "{error}");
    let hub = closed(cache.path()).offline(true);
    let watch = Watch::default();
    let error = hub
        .folder(&name, &Wanted::everything(), &watch)
        .unwrap_err();
    assert!(
        error.to_string().contains("pytorch_model.bin is missing"),
        "{error}"
    );
    assert_eq!(hub.cached(&name, &Wanted::everything()).unwrap(), None);
    // A shard of the index is missing, and the caller named only the index.
    let snapshot = hub.cached(&name, &weights()).unwrap().unwrap();
    let shard = snapshot.join("model-00002-of-00002.safetensors");
    fs::remove_file(&shard).unwrap();
    let error = hub.folder(&name, &weights(), &watch).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("model-00002-of-00002.safetensors is missing"),
        "{error}"
    );
    // A dangling link and a shortened copy are not the file.
    std::os::unix::fs::symlink("../../blobs/none", &shard).unwrap();
    assert_eq!(hub.cached(&name, &weights()).unwrap(), None);
    fs::remove_file(&shard).unwrap();
    fs::write(&shard, "second shard ").unwrap();
    assert_eq!(hub.cached(&name, &weights()).unwrap(), None);
}

#[test]
fn without_a_listing_the_named_files_and_shards_count() {
    let cache = cache();
    let trees = cache.path().join("models--tiny--model/trees");
    fs::remove_dir_all(trees).unwrap();
    let hub = closed(cache.path()).offline(true);
    let name = model("tiny/model");
    let snapshot = hub.cached(&name, &weights()).unwrap().unwrap();
    fs::remove_file(snapshot.join("model-00001-of-00002.safetensors")).unwrap();
    let error = hub
        .folder(&name, &weights(), &Watch::default())
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("model-00001-of-00002.safetensors is missing"),
        "{error}"
    );
    fs::remove_file(snapshot.join(INDEX)).unwrap();
    let error = hub
        .folder(&name, &weights(), &Watch::default())
        .unwrap_err();
    let says = format!("model.safetensors or {INDEX} is missing");
    assert!(error.to_string().contains(&says), "{error}");
}

#[test]
fn a_listing_or_the_mark_no_exist_settles_optional_files() {
    let cache = cache();
    let name = model("tiny/listed-by-name");
    let hub = closed(cache.path());
    let watch = Watch::default();
    // The mark says that the repository has no such file, so no request is needed.
    let marked = weights().allow("generation_config.json");
    assert!(open(cache.path(), &name, &marked).is_ok());
    // Without mark and listing the hub is asked, and the folder serves if there is no answer.
    let unknown = weights().allow("tokenizer.json");
    assert!(hub.folder(&name, &unknown, &watch).is_ok());
    assert!(hub.cached(&name, &unknown).unwrap().is_some());
    // The listing says the same about another repository.
    let listed = weights().allow("tokenizer.json");
    assert!(open(cache.path(), &model("tiny/model"), &listed).is_ok());
    let error = hub
        .offline(true)
        .folder(&name, &Wanted::new().require("x.json"), &watch);
    assert!(matches!(error, Err(HubError::Offline { .. })));
}

#[test]
fn absent_things_give_errors_that_say_what_to_do() {
    let cache = cache();
    let hub = closed(cache.path()).offline(true);
    let error = |name: &str, wanted: &Wanted| {
        let error = hub
            .folder(&model(name), wanted, &Watch::default())
            .unwrap_err();
        error.to_string()
    };
    let absent = error("tiny/none", &weights());
    assert!(
        absent.contains("config.json, model.safetensors or"),
        "{absent}"
    );
    let says = if cfg!(feature = "download") {
        "unset HF_HUB_OFFLINE"
    } else {
        "feature download"
    };
    assert!(absent.contains(says), "{absent}");
    let revision = error("tiny/model@v9", &Wanted::everything());
    assert!(revision.contains("the revision is missing"), "{revision}");
    // The listing knows the files of the repository.
    let name = format!("tiny/model@{A}");
    let lacks = error(&name, &Wanted::new().require("vocab.json"));
    assert!(
        lacks.contains("has no file vocab.json; the repository has config.json"),
        "{lacks}"
    );
    let unsafe_path = error(&name, &Wanted::new().require("../../refs/main"));
    assert!(
        unsafe_path.contains("not a path inside a repository"),
        "{unsafe_path}"
    );
}

#[test]
fn damaged_files_are_refused_or_ignored() {
    let cache = cache();
    let folder = cache.path().join("models--tiny--model");
    let hub = closed(cache.path()).offline(true);
    let name = model("tiny/model");
    for text in [
        "",
        "main",
        "../../..",
        &A[1..],
        &"A".repeat(40),
        &"f".repeat(9000),
    ] {
        fs::write(folder.join("refs/main"), text).unwrap();
        let error = hub
            .folder(&name, &weights(), &Watch::default())
            .unwrap_err();
        assert!(
            error
                .to_string()
                .contains("does not hold the hash of a commit"),
            "{error}"
        );
    }
    fs::write(folder.join("refs/main"), format!("{A}\n")).unwrap();
    assert!(hub.cached(&name, &weights()).unwrap().is_some());
    let listing = folder.join("trees").join(format!("{A}.json"));
    for text in [
        "",
        "{}",
        "[]",
        r#"{"format_version": 2, "files": {}}"#,
        r#"{"format_version": 1, "files": {"a": {"size": -1, "blob_id": "x"}}}"#,
    ] {
        fs::write(&listing, text).unwrap();
        // The named files still decide.
        assert!(hub.cached(&name, &weights()).unwrap().is_some(), "{text}");
    }
    let index = hub.cached(&name, &weights()).unwrap().unwrap().join(INDEX);
    fs::remove_file(&index).unwrap();
    for text in [
        "",
        "{}",
        r#"{"weight_map": {}}"#,
        r#"{"weight_map": {"a": 1}}"#,
    ] {
        fs::write(&index, text).unwrap();
        let error = hub.cached(&name, &weights()).unwrap_err();
        assert!(matches!(error, HubError::Content { .. }), "{error}");
    }
    fs::write(&index, r#"{"weight_map": {"a": "../../../refs/main"}}"#).unwrap();
    let error = hub.cached(&name, &weights()).unwrap_err();
    assert!(matches!(error, HubError::Path { .. }), "{error}");
}
