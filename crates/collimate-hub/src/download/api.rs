//! The commit of a revision and the list of files of a commit.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::client::{Client, Subject};
use super::fault::Fault;
use super::url::{encode, next_link, resolve};
use crate::listing::{Entry, Listing};
use crate::{HubError, path};

/// Largest size of one answer in bytes.
const MOST_BYTES: u64 = 64 << 20;
/// Largest number of files of a repository. The hub recommends at most 100,000.
const MOST_FILES: usize = 1_000_000;

#[derive(Deserialize)]
struct Information {
    sha: Option<String>,
}

#[derive(Deserialize)]
struct Node {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    #[serde(default)]
    oid: String,
    #[serde(default)]
    size: u64,
    lfs: Option<Lfs>,
    #[serde(rename = "xetHash")]
    xet_hash: Option<String>,
}

#[derive(Deserialize)]
struct Lfs {
    oid: String,
    size: u64,
}

/// Asks the hub for the commit of the revision.
pub(super) fn commit(client: &Client<'_>) -> Result<String, HubError> {
    let revision = encode(client.repo.revision(), "");
    let url = format!("{}/revision/{revision}", api(client));
    let (information, _): (Information, _) = get(client, &url)?;
    match information.sha {
        Some(sha) if path::is_commit(&sha) => Ok(sha),
        _ => Err(client.no_hub(&url, "the field sha does not hold a commit".into())),
    }
}

/// Asks the hub for the files of a commit.
pub(super) fn listing(client: &Client<'_>, commit: &str) -> Result<Listing, HubError> {
    let mut url = format!("{}/tree/{commit}?recursive=true&expand=false", api(client));
    let mut files = BTreeMap::new();
    loop {
        let (nodes, next): (Vec<Node>, _) = get(client, &url)?;
        let empty = nodes.is_empty();
        for node in nodes.into_iter().filter(|node| node.kind == "file") {
            let lfs = node.lfs.map(|lfs| (lfs.oid, lfs.size));
            let entry = Entry::new(node.size, node.oid, lfs, node.xet_hash)
                .map_err(|problem| client.no_hub(&url, format!("{}: {problem}", node.path)))?;
            files.insert(node.path, entry);
        }
        match next {
            None => return Ok(Listing::new(files)),
            // A server that always names a next page must not hold the caller for ever.
            Some(_) if empty || files.len() > MOST_FILES => {
                let problem = "the list of files has no end".to_owned();
                return Err(client.no_hub(&url, problem));
            }
            Some(next) => url = next,
        }
    }
}

fn api(client: &Client<'_>) -> String {
    let kind = client.repo.kind().plural();
    format!(
        "{}/api/{kind}/{}",
        client.endpoint,
        client.repo.repository()
    )
}

/// Requests JSON. Returns the value and the URL of the next page.
fn get<T: DeserializeOwned>(
    client: &Client<'_>,
    url: &str,
) -> Result<(T, Option<String>), HubError> {
    client.retry.run(client.stop, |attempt| {
        let answer = client.open(url, 0, Subject::Revision, attempt)?;
        let next = answer
            .header("link")
            .and_then(next_link)
            .and_then(|link| resolve(&answer.url, link));
        let mut response = answer.response;
        let body = response.body_mut().with_config().limit(MOST_BYTES);
        let bytes = body
            .read_to_vec()
            .map_err(|error| client.lost(url, &error, attempt))?;
        let value = serde_json::from_slice(&bytes)
            .map_err(|error| Fault::last(client.no_hub(url, error.to_string())))?;
        Ok((value, next))
    })
}
