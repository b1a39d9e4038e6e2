//! Downloads from a hub without faults.
#![cfg(feature = "download")]

mod common;
mod server;

use std::cell::RefCell;
use std::fs;

use collimate_hub::{HubError, Progress, RepoKind, RepoName, Token, Wanted, Watch};
use common::{closed, files, hub, model, noise, repo_folder};
use server::{At, COMMIT, Reply, Server, Site};

const INDEX: &str = "model.safetensors.index.json";
const MAP: &[u8] = br#"{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}"#;

fn site() -> Site {
    Site::model(&[
        ("config.json", b"{}"),
        ("empty.txt", b""),
        ("sub dir/nöte.txt", b"x"),
        (INDEX, MAP),
        ("model-1.safetensors", &noise(1, 300_000)),
        ("model-2.safetensors", &noise(2, 1000)),
        ("consolidated.safetensors", b"all weights once more"),
        ("pytorch_model.bin", b"pickle"),
    ])
}

fn weights() -> Wanted {
    Wanted::new()
        .require("config.json")
        .require_one_of(["model.safetensors", INDEX])
        .allow("generation_config.json")
}

#[test]
fn the_wanted_files_come_and_the_second_call_needs_no_network() {
    let site = site();
    let server = Server::plain(site.clone());
    let cache = tempfile::tempdir().unwrap();
    let hub = hub(cache.path(), &server.url());
    let wanted = weights().matching(|path| path.ends_with(".txt"));
    let folder = hub
        .folder(&model("org/name"), &wanted, &Watch::default())
        .unwrap();
    assert!(folder.ends_with(COMMIT));
    let found = files(&folder);
    let names: Vec<&str> = found.keys().map(String::as_str).collect();
    let expected = [
        "config.json",
        "empty.txt",
        "model-1.safetensors",
        "model-2.safetensors",
        INDEX,
        "sub dir/nöte.txt",
    ];
    assert_eq!(names, expected);
    for (name, bytes) in found {
        assert_eq!(bytes, site.files[&name].bytes, "{name}");
    }
    // One request for the commit, one for the list, one or two for each file that is not empty.
    assert_eq!(server.seen().len(), 2 + 3 + 2 * 2);
    let again = closed(cache.path()).folder(&model("org/name"), &wanted, &Watch::default());
    assert_eq!(again.unwrap(), folder);
    let name = format!("org/name@{COMMIT}");
    let by_commit = closed(cache.path()).folder(&model(&name), &wanted, &Watch::default());
    assert_eq!(by_commit.unwrap(), folder);
}

#[cfg(unix)]
#[test]
fn the_layout_is_that_of_huggingface_hub() {
    let site = site();
    let server = Server::plain(site.clone());
    let cache = tempfile::tempdir().unwrap();
    let wanted = weights().matching(|path| path.ends_with(".txt"));
    let hub = hub(cache.path(), &server.url());
    hub.folder(&model("org/name"), &wanted, &Watch::default())
        .unwrap();
    let repo = repo_folder(cache.path());
    assert_eq!(fs::read_to_string(repo.join("refs/main")).unwrap(), COMMIT);
    let snapshot = repo.join("snapshots").join(COMMIT);
    for (name, up) in [
        ("config.json", "../../"),
        ("sub dir/nöte.txt", "../../../"),
        ("model-1.safetensors", "../../"),
    ] {
        let target = fs::read_link(snapshot.join(name)).unwrap();
        let expected = format!("{up}blobs/{}", site.files[name].etag());
        assert_eq!(target.to_str().unwrap(), expected);
    }
    let no_exist = repo.join(".no_exist").join(COMMIT);
    let absent: Vec<String> = files(&no_exist).into_keys().collect();
    assert_eq!(absent, ["generation_config.json", "model.safetensors"]);
    assert!(cache.path().join("CACHEDIR.TAG").is_file());
    let lock = format!(
        ".locks/models--org--name/{}.lock",
        site.files["config.json"].oid()
    );
    assert!(cache.path().join(lock).is_file());
    let blobs = files(&repo.join("blobs"));
    assert!(
        blobs.keys().all(|name| !name.contains('.')),
        "{:?}",
        blobs.keys()
    );
    // The list has every file of the repository, not only the wanted ones.
    let listing = fs::read_to_string(repo.join("trees").join(format!("{COMMIT}.json"))).unwrap();
    for name in site.files.keys() {
        assert!(listing.contains(&format!("\"{name}\"")), "{name}");
    }
}

#[test]
fn the_token_is_sent_to_the_hub_and_to_no_other_host() {
    let server = Server::plain(site());
    let cache = tempfile::tempdir().unwrap();
    let token = Token::new("hf_secret").unwrap();
    let hub = hub(cache.path(), &server.url()).token(Some(token));
    hub.folder(&model("org/name"), &weights(), &Watch::default())
        .unwrap();
    let seen = server.seen();
    assert!(seen.iter().any(|request| request.at == At::Cdn));
    for request in seen {
        let expected = (request.at == At::Hub).then_some("Bearer hf_secret");
        assert_eq!(
            request.authorization.as_deref(),
            expected,
            "{}",
            request.path
        );
        assert_eq!(request.query.contains("Signature"), request.at == At::Cdn);
    }
}

#[test]
fn a_redirect_on_the_hub_keeps_the_token_and_another_port_does_not_get_it() {
    // The listing of a renamed repository is redirected on the hub, a file to the other port.
    let cache = tempfile::tempdir().unwrap();
    let server = Server::start(site(), |request| match request.path.as_str() {
        "/api/models/old/name/revision/main" => {
            let headers = [("Location", "/api/models/org/name/revision/main")];
            Some(Reply::status(307, &headers))
        }
        path if path.starts_with("/api/models/old/name/tree") => {
            let target = path.replace("old/name", "org/name");
            Some(Reply::status(307, &[("Location", &target)]))
        }
        path if path.starts_with("/old/name/resolve") => {
            let target = path.replace("/old/name", "/org/name");
            Some(Reply::status(301, &[("Location", &target)]))
        }
        _ => None,
    });
    let token = Token::new("hf_secret").unwrap();
    let hub = hub(cache.path(), &server.url()).token(Some(token));
    let folder = hub
        .folder(&model("old/name"), &weights(), &Watch::default())
        .unwrap();
    assert!(folder.to_string_lossy().contains("models--old--name"));
    for request in server.seen() {
        assert_eq!(
            request.authorization.is_some(),
            request.at == At::Hub,
            "{request:?}"
        );
    }
}

#[test]
fn data_sets_and_references_have_their_own_addresses() {
    let mut site = Site::model(&[("default/train/0.parquet", b"rows"), ("README.md", b"#")]);
    site.kind = "datasets";
    let server = Server::plain(site);
    let cache = tempfile::tempdir().unwrap();
    let name = RepoName::parse(RepoKind::Dataset, "org/name@refs/convert/parquet").unwrap();
    let wanted = Wanted::new().matching(|path| path.ends_with(".parquet"));
    let hub = hub(cache.path(), &server.url());
    let folder = hub.folder(&name, &wanted, &Watch::default()).unwrap();
    assert_eq!(files(&folder).len(), 1);
    let paths = server.paths();
    assert_eq!(
        paths[0],
        "/api/datasets/org/name/revision/refs%2Fconvert%2Fparquet"
    );
    let file = format!("/datasets/org/name/resolve/{COMMIT}/default/train/0.parquet");
    assert_eq!(paths[2], file);
    let reference = cache
        .path()
        .join("datasets--org--name/refs/refs/convert/parquet");
    assert_eq!(fs::read_to_string(reference).unwrap(), COMMIT);
}

#[test]
fn long_listings_come_in_pages() {
    let names: Vec<String> = (0..25).map(|i| format!("f{i:02}.txt")).collect();
    let list: Vec<(&str, &[u8])> = names
        .iter()
        .map(|name| (name.as_str(), name.as_bytes()))
        .collect();
    let mut site = Site::model(&list);
    site.page = 10;
    let server = Server::plain(site);
    let cache = tempfile::tempdir().unwrap();
    let hub = hub(cache.path(), &server.url());
    let watch = Watch::default();
    let folder = hub
        .folder(&model("org/name"), &Wanted::everything(), &watch)
        .unwrap();
    assert_eq!(files(&folder).len(), 25);
}

#[test]
fn missing_things_are_named() {
    let server = Server::plain(site());
    let cache = tempfile::tempdir().unwrap();
    let hub = hub(cache.path(), &server.url());
    let error = |name: &str, wanted: Wanted| {
        hub.folder(&model(name), &wanted, &Watch::default())
            .unwrap_err()
    };
    let revision = error("org/name@v9", weights());
    assert!(
        matches!(revision, HubError::NoRevision { .. }),
        "{revision}"
    );
    assert!(
        revision.to_string().contains("no revision \"v9\""),
        "{revision}"
    );
    let repository = error("org/other", weights());
    assert!(
        matches!(repository, HubError::NoRepository { .. }),
        "{repository}"
    );
    let file = error(
        "org/name",
        Wanted::new().require_one_of(["a.gguf", "b.gguf"]),
    );
    assert!(
        file.to_string()
            .contains("has no file a.gguf or b.gguf; the repository has config.json")
    );
    // A failed call leaves no reference, so the cache does not look complete.
    assert!(!repo_folder(cache.path()).join("refs").exists());
}

#[test]
fn progress_counts_up_to_the_size_of_each_file() {
    let site = site();
    let server = Server::plain(site.clone());
    let cache = tempfile::tempdir().unwrap();
    let hub = hub(cache.path(), &server.url());
    let seen = RefCell::new(Vec::new());
    let report = |at: &Progress<'_>| {
        let file = at.file.to_owned();
        seen.borrow_mut()
            .push((file, at.received, at.size, at.number, at.files));
    };
    let watch = Watch::default().progress(&report);
    hub.folder(&model("org/name"), &weights(), &watch).unwrap();
    let seen = seen.into_inner();
    for name in [
        "config.json",
        INDEX,
        "model-1.safetensors",
        "model-2.safetensors",
    ] {
        let of_file: Vec<_> = seen.iter().filter(|entry| entry.0 == name).collect();
        assert!(of_file.is_sorted_by_key(|entry| entry.1), "{name}");
        let size = site.files[name].bytes.len() as u64;
        let last = of_file.last().unwrap();
        assert_eq!((last.1, last.2), (size, size), "{name}");
    }
    assert_eq!(
        seen.iter()
            .filter(|entry| entry.0 == "model-1.safetensors" && entry.1 > 0)
            .count()
            .min(2),
        2
    );
    assert_eq!(seen.last().map(|entry| (entry.3, entry.4)), Some((4, 4)));
}

#[test]
fn copies_are_written_if_links_are_off() {
    let server = Server::plain(site());
    let cache = tempfile::tempdir().unwrap();
    let variables = |name: &str| (name == "HF_HUB_DISABLE_SYMLINKS").then(|| "1".into());
    let hub = collimate_hub::Hub::from_vars(&variables).unwrap();
    let hub = hub
        .cache(cache.path())
        .endpoint(&server.url())
        .unwrap()
        .token(None);
    let watch = Watch::default();
    let folder = hub.folder(&model("org/name"), &weights(), &watch).unwrap();
    assert!(!folder.join("model-1.safetensors").is_symlink());
    assert_eq!(files(&folder).len(), 4);
    assert!(
        closed(cache.path())
            .folder(&model("org/name"), &weights(), &watch)
            .is_ok()
    );
}

#[test]
fn update_asks_for_a_newer_commit_and_the_old_one_stays() {
    let cache = tempfile::tempdir().unwrap();
    let old = Server::plain(Site::model(&[("config.json", b"old")]));
    let wanted = Wanted::new().require("config.json");
    let (name, watch) = (model("org/name"), Watch::default());
    let before = hub(cache.path(), &old.url())
        .folder(&name, &wanted, &watch)
        .unwrap();
    let mut site = Site::model(&[("config.json", b"new"), ("more.json", b"{}")]);
    site.commit = "f".repeat(40);
    let new = Server::plain(site);
    let hub = hub(cache.path(), &new.url());
    assert_eq!(hub.folder(&name, &wanted, &watch).unwrap(), before);
    assert_eq!(new.seen().len(), 0);
    // A file that the old commit lacks is looked up in the newest commit.
    let more = hub
        .folder(&name, &Wanted::new().require("more.json"), &watch)
        .unwrap();
    assert_ne!(more, before);
    let after = hub
        .clone()
        .update(true)
        .folder(&name, &wanted, &watch)
        .unwrap();
    assert_eq!(fs::read(after.join("config.json")).unwrap(), b"new");
    assert_eq!(fs::read(before.join("config.json")).unwrap(), b"old");
    // If the hub does not answer, the cached commit serves.
    let closed = closed(cache.path()).update(true);
    assert_eq!(closed.folder(&name, &wanted, &watch).unwrap(), after);
}

#[test]
fn offline_sends_no_request() {
    let server = Server::plain(site());
    let cache = tempfile::tempdir().unwrap();
    let hub = hub(cache.path(), &server.url()).offline(true);
    let error = hub
        .folder(&model("org/name"), &weights(), &Watch::default())
        .unwrap_err();
    assert!(matches!(error, HubError::Offline { .. }), "{error}");
    assert_eq!(server.seen().len(), 0);
}

#[test]
fn only_the_list_is_asked_for_if_the_required_files_are_cached() {
    let cache = tempfile::tempdir().unwrap();
    let repo = repo_folder(cache.path());
    let snapshot = repo.join("snapshots").join(COMMIT);
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir_all(repo.join("refs")).unwrap();
    fs::write(repo.join("refs/main"), COMMIT).unwrap();
    fs::write(snapshot.join("config.json"), "{}").unwrap();
    // The branch has moved, but nothing asks for the newest commit.
    let server = Server::start(site(), |request| {
        let newest = request.path.contains("/revision/");
        newest.then_some(Reply::status(500, &[]))
    });
    let wanted = Wanted::new().require("config.json").allow("empty.txt");
    let hub = hub(cache.path(), &server.url());
    let watch = Watch::default();
    assert_eq!(
        hub.folder(&model("org/name"), &wanted, &watch).unwrap(),
        snapshot
    );
    assert!(snapshot.join("empty.txt").is_file());
    // The list alone: the optional file is empty.
    assert_eq!(server.seen().len(), 1);
    assert!(hub.folder(&model("org/name"), &wanted, &watch).is_ok());
    assert_eq!(server.seen().len(), 1);
    // Without the list, the mark of an absent file says enough.
    fs::remove_dir_all(repo.join("trees")).unwrap();
    let wanted = Wanted::new().require("config.json").allow("vocab.json");
    let mark = repo.join(".no_exist").join(COMMIT);
    fs::create_dir_all(&mark).unwrap();
    fs::write(mark.join("vocab.json"), "").unwrap();
    assert!(hub.folder(&model("org/name"), &wanted, &watch).is_ok());
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn the_token_comes_from_the_first_place_that_has_one() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("token"), "hf_home\n").unwrap();
    fs::write(home.path().join("other"), "hf_other").unwrap();
    let other = home.path().join("other");
    let (other, path) = (other.to_str().unwrap(), home.path().to_str().unwrap());
    for (variables, expected) in [
        (&[][..], Some("hf_home")),
        (&[("HF_TOKEN_PATH", other)], Some("hf_other")),
        (&[("HF_TOKEN_PATH", "/none")], None),
        (
            &[
                ("HUGGING_FACE_HUB_TOKEN", "hf_old"),
                ("HF_TOKEN_PATH", other),
            ],
            Some("hf_old"),
        ),
        (
            &[("HUGGING_FACE_HUB_TOKEN", "hf_old"), ("HF_TOKEN", "hf_new")],
            Some("hf_new"),
        ),
        (
            &[
                ("HF_TOKEN", "hf_new"),
                ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1"),
            ],
            None,
        ),
    ] {
        let server = Server::plain(site());
        let cache = tempfile::tempdir().unwrap();
        let mut all = vec![("HF_HOME", path)];
        all.extend(variables);
        let get = |name: &str| {
            let found = all.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| std::ffi::OsString::from(value))
        };
        let hub = collimate_hub::Hub::from_vars(&get)
            .unwrap()
            .cache(cache.path());
        let hub = hub.endpoint(&server.url()).unwrap();
        let wanted = Wanted::new().require("config.json");
        hub.folder(&model("org/name"), &wanted, &Watch::default())
            .unwrap();
        let sent = server.seen()[0].authorization.clone();
        let expected = expected.map(|token| format!("Bearer {token}"));
        assert_eq!(sent, expected, "{variables:?}");
    }
}
