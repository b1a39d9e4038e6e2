//! The addresses of the server and their handlers.

use std::io::Read;
use std::sync::PoisonError;

use oxhttp::model::{Body, Method, Request, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::reply::Reply;
use super::view::View;
use super::{Shared, guard, random_hex};
use crate::desk::Desk;
use crate::error::LabelError;
use crate::event::Choice;
use crate::session::labeller_name;

/// The page. `{{nonce}}` and `{{labeller}}` are replaced.
const PAGE: &str = include_str!("../../assets/page.html");

/// Maximum number of bytes in a request's body.
const MOST: u64 = 16 * 1024;

/// A request that only names the labeller.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    labeller: String,
}

/// A request to decide a pair.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Decide {
    labeller: String,
    token: String,
    choice: Choice,
    seconds: f64,
}

/// A request to take back the last decision.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Undo {
    labeller: String,
    token: String,
}

/// Answers a request.
pub(super) fn answer(shared: &Shared, request: &mut Request<Body>) -> Response<Body> {
    let reply = guard::host(request, shared.port).and_then(|()| route(shared, request));
    reply.unwrap_or_else(|refused| refused).into_response()
}

fn route(shared: &Shared, request: &mut Request<Body>) -> Result<Reply, Reply> {
    let path = request.uri().path().to_owned();
    let method = match path.as_str() {
        "/" => Method::GET,
        "/api/state" | "/api/decide" | "/api/undo" | "/api/finish" => Method::POST,
        _ => {
            return Err(Reply::error(
                StatusCode::NOT_FOUND,
                "there is nothing at this address",
            ));
        }
    };
    if *request.method() != method {
        return Err(Reply::method(match method == Method::GET {
            true => "GET",
            false => "POST",
        }));
    }
    if path == "/" {
        return page(shared);
    }
    guard::caller(request, shared)?;
    let body = body(request)?;
    let mut desk = shared.desk.lock().unwrap_or_else(PoisonError::into_inner);
    let desk = desk.as_mut().ok_or_else(|| {
        Reply::error(
            StatusCode::SERVICE_UNAVAILABLE,
            "the program has stopped: start it again to continue",
        )
    })?;
    let labeller = match path.as_str() {
        "/api/decide" => {
            let asked: Decide = parse(&body)?;
            let labeller = named(&asked.labeller)?;
            desk.decide(&labeller, &asked.token, asked.choice, asked.seconds)
                .map_err(refusal)?;
            labeller
        }
        "/api/undo" => {
            let asked: Undo = parse(&body)?;
            let labeller = named(&asked.labeller)?;
            desk.undo(&labeller, &asked.token).map_err(refusal)?;
            labeller
        }
        "/api/finish" => {
            let asked: Ask = parse(&body)?;
            let finish = shared.finish.lock().unwrap_or_else(PoisonError::into_inner);
            // Sending fails only if nothing waits any more: the program is about to end.
            let _ = finish.send(());
            named(&asked.labeller)?
        }
        _ => {
            let asked: Ask = parse(&body)?;
            named(&asked.labeller)?
        }
    };
    Ok(state(desk, &labeller, shared))
}

fn state(desk: &mut Desk, labeller: &str, shared: &Shared) -> Reply {
    let next = shared.page.command(desk.session());
    Reply::json(&View::new(desk, labeller, next))
}

fn named(name: &str) -> Result<String, Reply> {
    labeller_name(name).map_err(refusal)
}

fn refusal(error: LabelError) -> Reply {
    let status = match &error {
        LabelError::Stale => StatusCode::CONFLICT,
        LabelError::File(_) | LabelError::Random(_) => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    };
    Reply::error(status, &error.to_string())
}

/// Reads a body up to a limit.
fn body(request: &mut Request<Body>) -> Result<Vec<u8>, Reply> {
    let mut bytes = Vec::new();
    let read = request.body_mut().take(MOST + 1).read_to_end(&mut bytes);
    match read {
        Err(error) => Err(Reply::error(StatusCode::BAD_REQUEST, &error.to_string())),
        Ok(_) if bytes.len() as u64 > MOST => Err(Reply::error(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the request is too long for a decision",
        )),
        Ok(_) => Ok(bytes),
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Reply> {
    serde_json::from_slice(body)
        .map_err(|error| Reply::error(StatusCode::BAD_REQUEST, &error.to_string()))
}

/// Answers with the page and a fresh nonce. No other script and no other style can run in it.
fn page(shared: &Shared) -> Result<Reply, Reply> {
    let nonce = random_hex().map_err(refusal)?;
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let text = PAGE
        .replace("{{nonce}}", &nonce)
        .replace("{{labeller}}", &attribute(&shared.page.labeller));
    Ok(Reply::page(text, &policy))
}

/// Escapes a text for an attribute value in double quotes.
fn attribute(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('"', "&quot;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
