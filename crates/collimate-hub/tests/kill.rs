//! A download that is killed at any moment. The test has no harness, because it starts itself as the
//! process that is killed.

mod common;
mod server;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use collimate_hub::{Wanted, Watch};
use common::{closed, files, hub, model, noise, repo_folder};
use server::{COMMIT, Content, Reply, Server, Site};

const CACHE: &str = "COLLIMATE_HUB_TEST_CACHE";
const URL: &str = "COLLIMATE_HUB_TEST_URL";
const PART: &str = ".incomplete";
const ROUNDS: usize = 40;

fn main() {
    match (std::env::var(CACHE), std::env::var(URL)) {
        (Ok(cache), Ok(url)) => child(&cache, &url),
        _ => a_killed_download_leaves_no_half_file_and_is_continued(),
    }
}

/// The process that is killed.
fn child(cache: &str, url: &str) {
    let hub = hub(Path::new(cache), url);
    hub.folder(&model("org/name"), &Wanted::everything(), &Watch::default())
        .unwrap();
}

fn site() -> Site {
    Site::model(&[
        ("config.json", &noise(1, 20_000)),
        ("model-1.safetensors", &noise(2, 250_000)),
        ("model-2.safetensors", &noise(3, 250_000)),
        ("sub/tokenizer.json", &noise(4, 60_000)),
    ])
}

fn a_killed_download_leaves_no_half_file_and_is_continued() {
    let server = Server::start(site(), |_| {
        Some(Reply::Slow(2000, Duration::from_micros(600)))
    });
    let cache = tempfile::tempdir().unwrap();
    let repo = repo_folder(cache.path());
    let snapshot = repo.join("snapshots").join(COMMIT);
    let (mut inside, mut finished) = (0, 0);
    for wait in noise(5, ROUNDS) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(CACHE, cache.path())
            .env(URL, server.url())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_millis(u64::from(wait)));
        child.kill().unwrap();
        child.wait().unwrap();
        check(&repo, &snapshot);
        let parts = files(&repo.join("blobs"));
        if repo.join("refs/main").exists() {
            finished += 1;
            fs::remove_dir_all(&repo).unwrap();
        } else if parts
            .iter()
            .any(|(name, bytes)| name.ends_with(PART) && !bytes.is_empty())
        {
            inside += 1;
        }
    }
    println!("of {ROUNDS} downloads {inside} ended inside a file and {finished} were complete");
    assert!(inside >= 3);
    let hub = hub(cache.path(), &server.url());
    let folder = hub
        .folder(&model("org/name"), &Wanted::everything(), &Watch::default())
        .unwrap();
    let found = files(&folder);
    assert_eq!(found.len(), 4);
    for (name, bytes) in found {
        assert!(bytes == site().files[&name].bytes, "{name}");
    }
    // Some download has started in the middle of a file.
    assert!(server.seen().iter().any(|request| request.range.is_some()));
    let leftover = files(&repo.join("blobs"));
    assert!(leftover.keys().all(|name| !name.ends_with(PART)));
}

/// Checks that everything under a final name is whole.
fn check(repo: &Path, snapshot: &Path) {
    let site = site();
    for (name, bytes) in files(snapshot) {
        assert!(bytes == site.files[&name].bytes, "half file {name}");
    }
    for (name, bytes) in files(&repo.join("blobs")) {
        if !name.ends_with(PART) {
            let git = Content { bytes, lfs: false };
            let lfs = Content {
                lfs: true,
                ..git.clone()
            };
            assert!(
                name == git.oid() || name == lfs.sha256(),
                "half content {name}"
            );
        }
    }
    let opened = closed(repo.parent().unwrap()).offline(true);
    let whole = opened
        .cached(&model("org/name"), &Wanted::everything())
        .unwrap();
    let references = files(&repo.join("refs"));
    if references.contains_key("main") {
        assert_eq!(references["main"], COMMIT.as_bytes());
        assert!(whole.is_some(), "a reference to a partial download");
    } else {
        assert_eq!(whole, None);
    }
}
