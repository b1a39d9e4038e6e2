//! Refusal of requests that do not come from the page.

use oxhttp::model::header::{CONTENT_TYPE, HOST, HeaderName, ORIGIN};
use oxhttp::model::{Body, Request, StatusCode};

use super::Shared;
use super::reply::Reply;

/// Name of the header that carries the key of the address.
const KEY: &str = "x-collimate-key";

/// Returns the value of a header that occurs once and is a text.
fn header<'r>(request: &'r Request<Body>, name: &HeaderName) -> Option<&'r str> {
    let mut values = request.headers().get_all(name).iter();
    let value = values.next()?;
    match values.next() {
        None => value.to_str().ok(),
        Some(_) => None,
    }
}

/// Returns the names under which a browser on this computer reaches the port.
fn names(port: u16) -> impl Iterator<Item = String> {
    let hosts = ["127.0.0.1", "[::1]", "localhost"];
    let bare = (port == 80).then_some(hosts).into_iter().flatten();
    let named = hosts.map(|host| format!("{host}:{port}"));
    named.into_iter().chain(bare.map(str::to_owned))
}

/// Refuses a request with a foreign host name. Another site may have pointed its name to this
/// computer.
pub(super) fn host(request: &Request<Body>, port: u16) -> Result<(), Reply> {
    let host = header(request, &HOST).unwrap_or_default();
    match names(port).any(|name| name.eq_ignore_ascii_case(host)) {
        true => Ok(()),
        false => Err(forbidden(
            "this page can be reached only as 127.0.0.1, localhost or [::1]",
        )),
    }
}

/// Refuses a request that comes from another page, lacks the key, or has a type other than JSON.
pub(super) fn caller(request: &Request<Body>, shared: &Shared) -> Result<(), Reply> {
    if request.headers().contains_key(ORIGIN) {
        let origin = header(request, &ORIGIN).unwrap_or_default();
        let host = origin.strip_prefix("http://").unwrap_or_default();
        if !names(shared.port).any(|name| name.eq_ignore_ascii_case(host)) {
            return Err(forbidden("requests from another page are refused"));
        }
    }
    let site = HeaderName::from_static("sec-fetch-site");
    if request.headers().contains_key(&site) && header(request, &site) != Some("same-origin") {
        return Err(forbidden("requests from another page are refused"));
    }
    let key = header(request, &HeaderName::from_static(KEY)).unwrap_or_default();
    // Hashes are compared in constant time.
    if blake3::hash(key.as_bytes()) != blake3::hash(shared.key.as_bytes()) {
        return Err(forbidden(
            "the key in the address is wrong: open the address that the program shows",
        ));
    }
    let kind = header(request, &CONTENT_TYPE).unwrap_or_default();
    match kind.split(';').next().unwrap_or_default().trim() {
        "application/json" => Ok(()),
        _ => Err(Reply::error(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "send application/json",
        )),
    }
}

fn forbidden(text: &str) -> Reply {
    Reply::error(StatusCode::FORBIDDEN, text)
}
