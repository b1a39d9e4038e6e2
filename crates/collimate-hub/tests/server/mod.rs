//! A hub on this machine: an API, files in git and in LFS, and a second address for LFS.
#![allow(dead_code)]

mod wire;

use std::collections::{BTreeMap, HashMap};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use serde_json::json;

pub(crate) use wire::{At, Reply, Request};

pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

#[derive(Clone)]
pub(crate) struct Content {
    pub(crate) bytes: Vec<u8>,
    pub(crate) lfs: bool,
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Content {
    pub(crate) fn oid(&self) -> String {
        let mut object = format!("blob {}\0", self.bytes.len()).into_bytes();
        object.extend(&self.bytes);
        hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, &object).as_ref())
    }

    pub(crate) fn sha256(&self) -> String {
        hex(digest(&SHA256, &self.bytes).as_ref())
    }

    pub(crate) fn etag(&self) -> String {
        if self.lfs { self.sha256() } else { self.oid() }
    }
}

/// One repository at one commit.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) repo: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) commit: String,
    pub(crate) files: BTreeMap<String, Content>,
    /// Number of files on a page of the listing.
    pub(crate) page: usize,
}

impl Site {
    pub(crate) fn model(files: &[(&str, &[u8])]) -> Self {
        let content = |name: &str, bytes: &[u8]| Content {
            bytes: bytes.to_vec(),
            lfs: name.ends_with(".safetensors") || name.ends_with(".parquet"),
        };
        Self {
            repo: "org/name",
            kind: "models",
            commit: COMMIT.to_owned(),
            files: files
                .iter()
                .map(|(name, bytes)| ((*name).to_owned(), content(name, bytes)))
                .collect(),
            page: 1000,
        }
    }
}

pub(crate) type Hook = dyn Fn(&Request) -> Option<Reply> + Send + Sync;

pub(crate) struct Server {
    pub(crate) hub: SocketAddr,
    pub(crate) cdn: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Starts a hub. `hook` may replace the reply to a request.
    pub(crate) fn start(
        site: Site,
        hook: impl Fn(&Request) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (hub, cdn) = (listen(), listen());
        let server = Self {
            hub: hub.local_addr().unwrap(),
            cdn: cdn.local_addr().unwrap(),
            seen: Arc::default(),
        };
        let site = Arc::new(site);
        let hook: Arc<Hook> = Arc::new(hook);
        let counts: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
        for (at, listener) in [(At::Hub, hub), (At::Cdn, cdn)] {
            let (site, hook, seen) = (site.clone(), hook.clone(), server.seen.clone());
            let (cdn, counts) = (server.cdn, counts.clone());
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let (site, hook, seen) = (site.clone(), hook.clone(), seen.clone());
                    let counts = counts.clone();
                    thread::spawn(move || {
                        let Some(mut request) = wire::read(&stream, at) else {
                            return;
                        };
                        let mut counts = counts.lock().unwrap();
                        let count = counts.entry(request.path.clone()).or_default();
                        request.number = *count;
                        *count += 1;
                        drop(counts);
                        seen.lock().unwrap().push(request.clone());
                        let reply = hook(&request).unwrap_or(Reply::Normal);
                        let normal = answer(&site, cdn, &request);
                        wire::write(stream, &request, reply, normal);
                    });
                }
            });
        }
        server
    }

    pub(crate) fn plain(site: Site) -> Self {
        Self::start(site, |_| None)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.hub)
    }

    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    /// Returns the paths of the requests.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.seen()
            .into_iter()
            .map(|request| request.path)
            .collect()
    }
}

type Whole = (u16, Vec<(String, String)>, Vec<u8>);

fn header(name: &str, value: impl ToString) -> (String, String) {
    (name.to_owned(), value.to_string())
}

fn error(status: u16, code: &str) -> Whole {
    (status, vec![header("X-Error-Code", code)], Vec::new())
}

/// Returns the reply of a hub without faults, before ranges are applied.
fn answer(site: &Site, cdn: SocketAddr, request: &Request) -> Whole {
    let path = request.path.trim_start_matches('/');
    if request.at == At::Cdn {
        let sha256 = path.trim_start_matches("blob/");
        let found = site.files.values().find(|file| file.sha256() == sha256);
        return match found {
            Some(file) => (200, vec![header("ETag", "\"cdn\"")], file.bytes.clone()),
            None => error(404, ""),
        };
    }
    let api = format!("api/{}/{}", site.kind, site.repo);
    if let Some(rest) = path.strip_prefix(&api) {
        if let Some(revision) = rest.strip_prefix("/revision/") {
            let known = ["main", "v1", "refs%2Fconvert%2Fparquet"];
            return match known.contains(&revision) {
                true => (
                    200,
                    Vec::new(),
                    json!({"sha": site.commit}).to_string().into_bytes(),
                ),
                false => error(404, "RevisionNotFound"),
            };
        }
        if rest == format!("/tree/{}", site.commit) {
            return tree(site, request);
        }
        return error(404, "RevisionNotFound");
    }
    let prefix = if site.kind == "datasets" {
        "datasets/"
    } else {
        ""
    };
    let resolve = format!("{prefix}{}/resolve/{}/", site.repo, site.commit);
    let Some(name) = path.strip_prefix(&resolve) else {
        return error(404, "RepoNotFound");
    };
    let Some(file) = site
        .files
        .get(&name.replace("%20", " ").replace("%C3%B6", "ö"))
    else {
        return error(404, "EntryNotFound");
    };
    let mut headers = vec![header("X-Repo-Commit", &site.commit)];
    if file.lfs {
        let target = format!("http://{cdn}/blob/{}?Signature=secret", file.sha256());
        headers.push(header("Location", target));
        headers.push(header("X-Linked-Etag", format!("\"{}\"", file.sha256())));
        headers.push(header("X-Linked-Size", file.bytes.len()));
        return (302, headers, Vec::new());
    }
    headers.push(header("ETag", format!("W/\"{}\"", file.oid())));
    (200, headers, file.bytes.clone())
}

fn tree(site: &Site, request: &Request) -> Whole {
    let start: usize = request
        .query
        .split('&')
        .find_map(|pair| pair.strip_prefix("cursor=")?.parse().ok())
        .unwrap_or(0);
    let mut nodes = vec![json!({"type": "directory", "path": "sub", "oid": "x", "size": 0})];
    for (name, file) in site.files.iter().skip(start).take(site.page) {
        let mut node = json!({
            "type": "file", "path": name, "oid": file.oid(), "size": file.bytes.len(),
        });
        if file.lfs {
            node["lfs"] = json!({
                "oid": file.sha256(), "size": file.bytes.len(), "pointerSize": 134,
            });
        }
        nodes.push(node);
    }
    let mut headers = Vec::new();
    let next = start + site.page;
    if next < site.files.len() {
        let link = format!(
            "<{}?recursive=true&cursor={next}>; rel=\"next\"",
            request.path
        );
        headers.push(header("Link", link));
    }
    (200, headers, json!(nodes).to_string().into_bytes())
}
