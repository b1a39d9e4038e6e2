//! The headers of an answer, compared with the list of files.

use ureq::http::header::{CONTENT_ENCODING, CONTENT_RANGE};

use super::client::{Answer, Client};
use crate::listing::Entry;
use crate::{HubError, path};

/// Compares the headers of the hub with the list of files.
pub(super) fn check(
    client: &Client<'_>,
    answer: &Answer,
    commit: &str,
    entry: &Entry,
) -> Result<(), HubError> {
    let stated = &answer.stated;
    let no_hub = |problem: String| Err(client.no_hub(&answer.url, problem));
    if let Some(other) = stated.commit.as_deref().filter(|&other| other != commit) {
        return no_hub(format!("commit {other} instead of {commit}"));
    }
    // Other etags say nothing about the content.
    let is_hash = |etag: &&str| path::is_hex(etag, 40) || path::is_hex(etag, 64);
    let etag = stated.etag.as_deref().filter(is_hash);
    let listed = entry.etag();
    if let Some(etag) = etag.filter(|&etag| etag != listed) {
        return no_hub(format!("etag {etag}, but the list of files has {listed}"));
    }
    let listed = entry.size();
    if let Some(size) = stated.size.filter(|&size| size != listed) {
        return no_hub(format!("{size} bytes, but the list of files has {listed}"));
    }
    match answer.header(CONTENT_ENCODING.as_str()) {
        None | Some("identity" | "") => Ok(()),
        Some(encoding) => no_hub(format!("the file is encoded as {encoding}")),
    }
}

/// Returns the place of the first byte of the answer: 0, or `offset` if the server continues there.
/// Returns `None` for any other place.
pub(super) fn start(
    client: &Client<'_>,
    answer: &Answer,
    offset: u64,
    entry: &Entry,
) -> Result<Option<u64>, HubError> {
    if answer.response.status() == 200 {
        return Ok(Some(0));
    }
    let range = answer.header(CONTENT_RANGE.as_str()).unwrap_or_default();
    let Some((start, whole)) = parse_range(range) else {
        return Ok(None);
    };
    let listed = entry.size();
    if let Some(whole) = whole.filter(|&whole| whole != listed) {
        let problem = format!("{whole} bytes, but the list of files has {listed}");
        return Err(client.no_hub(&answer.url, problem));
    }
    Ok(Some(start).filter(|&start| start == offset))
}

/// Reads `bytes first-last/whole`; the whole size may be `*`.
fn parse_range(header: &str) -> Option<(u64, Option<u64>)> {
    let (range, whole) = header
        .trim()
        .strip_prefix("bytes")?
        .trim()
        .split_once('/')?;
    let (first, last) = range.split_once('-')?;
    last.trim().parse::<u64>().ok()?;
    let whole = match whole.trim() {
        "*" => None,
        whole => Some(whole.parse().ok()?),
    };
    Some((first.trim().parse().ok()?, whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_or_refused() {
        assert_eq!(parse_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(parse_range("bytes 5-9/*"), Some((5, None)));
        for bad in [
            "",
            "bytes",
            "bytes */10",
            "5-9/10",
            "bytes 5-/10",
            "bytes -1-2/3",
        ] {
            assert_eq!(parse_range(bad), None, "{bad}");
        }
    }
}
