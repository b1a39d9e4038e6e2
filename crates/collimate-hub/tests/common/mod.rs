//! Helpers of the tests.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use collimate_hub::{Hub, RepoKind, RepoName};

/// Returns a hub with short waits and without any variable of the environment.
pub(crate) fn hub(cache: &Path, endpoint: &str) -> Hub {
    Hub::from_vars(&|_| None)
        .unwrap()
        .cache(cache)
        .endpoint(endpoint)
        .unwrap()
        .token(None)
        .retries(3, Duration::from_millis(5))
}

/// Returns a hub at an address that refuses connections.
pub(crate) fn closed(cache: &Path) -> Hub {
    hub(cache, "http://127.0.0.1:1").retries(0, Duration::from_millis(1))
}

pub(crate) fn model(text: &str) -> RepoName {
    RepoName::parse(RepoKind::Model, text).unwrap()
}

/// Returns all files under a folder with their bytes; the files behind links too.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    collect(folder, folder, &mut found);
    found
}

fn collect(root: &Path, folder: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, found);
        } else {
            let name = path.strip_prefix(root).unwrap().to_string_lossy();
            let name = name.replace('\\', "/");
            found.insert(name, fs::read(&path).unwrap_or_default());
        }
    }
}

/// Returns the folder of a model in the cache.
pub(crate) fn repo_folder(cache: &Path) -> PathBuf {
    cache.join("models--org--name")
}

/// Returns bytes without a pattern, the same for the same seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}
