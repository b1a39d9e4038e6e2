//! Downloads over a bad network.
#![cfg(feature = "download")]

mod common;
mod server;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use collimate_hub::{HubError, Wanted, Watch};
use common::{files, hub, model, noise, repo_folder};
use server::{At, Content, Reply, Request, Server, Site};

const SIZE: usize = 400_000;
const BIG: &str = "model.safetensors";

fn bytes() -> Vec<u8> {
    noise(7, SIZE)
}

fn site() -> Site {
    Site::model(&[(BIG, &bytes()), ("config.json", &noise(9, 5000))])
}

fn big() -> Wanted {
    Wanted::new().require(BIG)
}

fn etag() -> String {
    Content {
        bytes: bytes(),
        lfs: true,
    }
    .sha256()
}

fn part(cache: &Path) -> std::path::PathBuf {
    let name = format!("blobs/{}.incomplete", etag());
    repo_folder(cache).join(name)
}

/// Downloads the large file and checks the content.
fn succeeds(cache: &Path, server: &Server) {
    let hub = hub(cache, &server.url());
    let folder = hub
        .folder(&model("org/name"), &big(), &Watch::default())
        .unwrap();
    assert_eq!(fs::read(folder.join(BIG)).unwrap(), bytes());
    assert!(!part(cache).exists());
}

fn fails(cache: &Path, server: &Server, wanted: &Wanted) -> HubError {
    let hub = hub(cache, &server.url());
    hub.folder(&model("org/name"), wanted, &Watch::default())
        .unwrap_err()
}

/// Returns places at which a connection is cut: the edges and random places, the same every time.
fn places() -> Vec<usize> {
    let random = noise(3, 60);
    let random = random.chunks(3).map(|three| {
        let number = three
            .iter()
            .fold(0, |sum, &byte| sum * 256 + usize::from(byte));
        number % SIZE
    });
    [0, 1, SIZE - 1].into_iter().chain(random).collect()
}

fn ranges(server: &Server) -> Vec<Option<u64>> {
    let at_cdn = |request: &Request| request.at == At::Cdn;
    let seen = server.seen();
    seen.iter()
        .filter(|request| at_cdn(request))
        .map(|request| request.range)
        .collect()
}

#[test]
fn a_cut_connection_is_continued_in_the_same_call() {
    for place in places() {
        let server = Server::start(site(), move |request| {
            let first = request.at == At::Cdn && request.number == 0;
            first.then_some(Reply::Cut(place))
        });
        let cache = tempfile::tempdir().unwrap();
        succeeds(cache.path(), &server);
        let continued = (place > 0).then_some(place as u64);
        assert_eq!(ranges(&server), [None, continued], "{place}");
    }
}

#[test]
fn a_cut_download_is_continued_by_the_next_call() {
    for place in places() {
        let cache = tempfile::tempdir().unwrap();
        let failing = Server::start(site(), move |request| match (request.at, request.number) {
            (At::Cdn, 0) => Some(Reply::Cut(place)),
            (At::Cdn, _) => Some(Reply::status(503, &[])),
            _ => None,
        });
        let error = fails(cache.path(), &failing, &big());
        assert!(
            matches!(error, HubError::Status { status: 503, .. }),
            "{error}"
        );
        assert_eq!(fs::read(part(cache.path())).unwrap(), bytes()[..place]);
        let server = Server::plain(site());
        succeeds(cache.path(), &server);
        assert_eq!(
            ranges(&server),
            [(place > 0).then_some(place as u64)],
            "{place}"
        );
    }
}

#[test]
fn many_cuts_in_one_call_are_no_failure_while_bytes_come() {
    let server = Server::start(site(), |request| {
        (request.at == At::Cdn).then_some(Reply::Cut(SIZE / 20))
    });
    let cache = tempfile::tempdir().unwrap();
    succeeds(cache.path(), &server);
    assert_eq!(ranges(&server).len(), 20);
}

#[test]
fn a_server_without_ranges_sends_everything_again() {
    for place in [1, SIZE / 2, SIZE - 1] {
        let cache = tempfile::tempdir().unwrap();
        let server = Server::start(site(), move |request| match (request.at, request.number) {
            (At::Cdn, 0) => Some(Reply::Cut(place)),
            (At::Cdn, _) => Some(Reply::NoRange),
            _ => None,
        });
        succeeds(cache.path(), &server);
    }
    // Such a server that always cuts at the same place makes no progress.
    let cache = tempfile::tempdir().unwrap();
    let server = Server::start(site(), |request| {
        (request.at == At::Cdn).then_some(Reply::CutNoRange(1000))
    });
    let error = fails(cache.path(), &server, &big());
    assert!(matches!(error, HubError::Network { .. }), "{error}");
    assert_eq!(ranges(&server).len(), 1 + 4);
}

#[test]
fn refused_or_wrong_ranges_lead_to_a_whole_download() {
    for reply in [
        Reply::status(416, &[("Content-Range", "bytes */400000")]),
        Reply::status(206, &[("Content-Range", "bytes 0-399999/400000")]),
        Reply::status(206, &[]),
    ] {
        let cache = tempfile::tempdir().unwrap();
        fs::create_dir_all(part(cache.path()).parent().unwrap()).unwrap();
        fs::write(part(cache.path()), &bytes()[..5000]).unwrap();
        let server = Server::start(site(), move |request| {
            (request.at == At::Cdn && request.range.is_some()).then(|| reply.clone())
        });
        succeeds(cache.path(), &server);
        assert_eq!(ranges(&server), [Some(5000), None]);
    }
}

#[test]
fn a_silent_server_is_left_and_the_download_continues() {
    let server = Server::start(site(), |request| match (request.at, request.number) {
        (At::Cdn, 0 | 1) => Some(Reply::Silent(1000)),
        (At::Cdn, 2) => Some(Reply::Mute),
        _ => None,
    });
    let cache = tempfile::tempdir().unwrap();
    let hub = hub(cache.path(), &server.url()).timeout(Duration::from_millis(300));
    let start = Instant::now();
    hub.folder(&model("org/name"), &big(), &Watch::default())
        .unwrap();
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(ranges(&server), [None, Some(1000), Some(2000), Some(2000)]);
}

#[test]
fn an_interrupt_ends_a_silent_download_at_once_and_keeps_the_bytes() {
    for (reply, path) in [
        (Reply::Silent(1000), "/blob"),
        (Reply::Silent(3), "/api"),
        (Reply::Slow(1000, Duration::from_millis(20)), "/blob"),
        (Reply::status(503, &[("Retry-After", "100")]), "/blob"),
    ] {
        let server = Server::start(site(), move |request| {
            request.path.starts_with(path).then(|| reply.clone())
        });
        let cache = tempfile::tempdir().unwrap();
        let start = Instant::now();
        let stop = || start.elapsed() > Duration::from_millis(400);
        let hub = hub(cache.path(), &server.url());
        let watch = Watch::default().stop(&stop);
        let error = hub.folder(&model("org/name"), &big(), &watch).unwrap_err();
        let stopped = start.elapsed();
        let message = error.to_string();
        let interrupted = matches!(error, HubError::Interrupted { .. });
        assert!(interrupted, "{message}");
        assert!(stopped < Duration::from_secs(3), "{stopped:?}");
        let server = Server::plain(site());
        succeeds(cache.path(), &server);
    }
}

#[test]
fn other_bytes_are_deleted_and_never_open() {
    let mut wrong = bytes();
    wrong[SIZE / 3] ^= 1;
    let small = Wanted::new().require("config.json");
    for (wanted, at, name, reply) in [
        (big(), At::Cdn, "/blob", Reply::Other(wrong)),
        (big(), At::Cdn, "/blob", Reply::Longer(1)),
        (
            small.clone(),
            At::Hub,
            "/org",
            Reply::Other(noise(19, 5000)),
        ),
        (small, At::Hub, "/org", Reply::Longer(100)),
    ] {
        let server = Server::start(site(), move |request| {
            let replaced = request.at == at && request.path.starts_with(name);
            replaced.then(|| reply.clone())
        });
        let cache = tempfile::tempdir().unwrap();
        let error = fails(cache.path(), &server, &wanted);
        assert!(matches!(error, HubError::Checksum { .. }), "{error}");
        assert!(
            error
                .to_string()
                .contains("the download was deleted, run the command again")
        );
        let repo = repo_folder(cache.path());
        assert_eq!(files(&repo.join("blobs")).len(), 0);
        assert_eq!(files(&repo.join("snapshots")).len(), 0);
        assert!(!repo.join("refs").exists());
        succeeds(cache.path(), &Server::plain(site()));
    }
}

#[test]
fn a_damaged_or_too_long_part_does_no_harm() {
    let cache = tempfile::tempdir().unwrap();
    fs::create_dir_all(part(cache.path()).parent().unwrap()).unwrap();
    fs::write(part(cache.path()), vec![0; 5000]).unwrap();
    let server = Server::plain(site());
    let error = fails(cache.path(), &server, &big());
    assert!(matches!(error, HubError::Checksum { .. }), "{error}");
    fs::write(part(cache.path()), vec![0; SIZE + 1]).unwrap();
    succeeds(cache.path(), &server);
}

#[test]
fn failing_servers_are_asked_again_a_limited_number_of_times() {
    for status in [408, 429, 500, 502, 503, 504] {
        let server = Server::start(site(), move |request| {
            (request.number < 1).then_some(Reply::status(status, &[]))
        });
        let cache = tempfile::tempdir().unwrap();
        succeeds(cache.path(), &server);
    }
    for (status, attempts) in [(500, 4), (429, 4), (400, 1), (410, 1), (501, 1)] {
        let server = Server::start(site(), move |_| Some(Reply::status(status, &[])));
        let cache = tempfile::tempdir().unwrap();
        let error = fails(cache.path(), &server, &big());
        assert!(matches!(error, HubError::Status { .. }), "{error}");
        assert_eq!(server.seen().len(), attempts, "{status}");
        let says = format!("answered {status} after {attempts} attempt");
        assert!(error.to_string().contains(&says), "{error}");
    }
    // A signed address that has expired: the hub gives a fresh one.
    let server = Server::start(site(), |request| {
        let expired = request.at == At::Cdn && request.number == 0;
        expired.then_some(Reply::status(403, &[]))
    });
    succeeds(tempfile::tempdir().unwrap().path(), &server);
}

#[test]
fn the_server_sets_the_shortest_wait() {
    let server = Server::start(site(), |request| {
        let first = request.number == 0 && request.at == At::Cdn;
        first.then_some(Reply::status(429, &[("Retry-After", "1")]))
    });
    let cache = tempfile::tempdir().unwrap();
    succeeds(cache.path(), &server);
    let seen = server.seen();
    let times: Vec<Instant> = seen
        .iter()
        .filter(|r| r.at == At::Cdn)
        .map(|r| r.time)
        .collect();
    let wait = times[1] - times[0];
    assert!(
        wait >= Duration::from_secs(1) && wait < Duration::from_secs(5),
        "{wait:?}"
    );
}

#[test]
fn callers_at_the_same_time_download_once() {
    let server = Server::start(site(), |request| {
        (request.at == At::Cdn).then_some(Reply::Slow(40_000, Duration::from_millis(20)))
    });
    let cache = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| succeeds(cache.path(), &server));
        }
    });
    assert_eq!(ranges(&server).len(), 1);
}
