//! HTTP requests to the hub and to the hosts to which the hub redirects.

use std::time::Duration;

use ureq::http::header::{ACCEPT_ENCODING, AUTHORIZATION, LOCATION, RANGE};
use ureq::http::{HeaderMap, Response};
use ureq::{Agent, Body, Proxy};

use super::fault::Fault;
use super::retry::Retry;
use super::stop::Stop;
use super::url::{Origin, resolve, shown};
use crate::{Hub, HubError, RepoKind, RepoName, Token};

/// Longest time to resolve a name or open a connection.
pub(super) const CONNECT: Duration = Duration::from_secs(20);
/// Largest number of redirects of one request.
const MOST_REDIRECTS: usize = 10;
/// The thing that a request asks for. A status 404 means that the thing does not exist.
#[derive(Debug, Clone, Copy)]
pub(super) enum Subject<'a> {
    Revision,
    File(&'a str),
}

/// Statements of the hub about a file, in the headers of the hub's last answer.
#[derive(Debug, Default)]
pub(super) struct Stated {
    pub(super) commit: Option<String>,
    pub(super) etag: Option<String>,
    pub(super) size: Option<u64>,
}

/// An answer with status 200 or 206.
#[derive(Debug)]
pub(super) struct Answer {
    /// URL after the redirects.
    pub(super) url: String,
    pub(super) stated: Stated,
    pub(super) response: Response<Body>,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        text(self.response.headers(), name)
    }
}

/// Connections for one download.
pub(super) struct Client<'a> {
    agent: Agent,
    pub(super) endpoint: &'a str,
    origin: Option<Origin>,
    pub(super) repo: &'a RepoName,
    pub(super) token: Option<Token>,
    pub(super) stop: &'a Stop,
    pub(super) retry: Retry,
    pub(super) timeout: Duration,
}

impl<'a> Client<'a> {
    pub(super) fn new(
        hub: &'a Hub,
        repo: &'a RepoName,
        token: Option<Token>,
        stop: &'a Stop,
    ) -> Self {
        let settings = Agent::config_builder()
            .http_status_as_error(false)
            // Redirects are followed here, because the token is for the hub's origin only.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("collimate-hub/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .timeout_per_read(Some(hub.timeout))
            .timeout_per_write(Some(hub.timeout))
            .build();
        Self {
            agent: Agent::new_with_config(settings),
            endpoint: &hub.endpoint,
            origin: Origin::of(&hub.endpoint),
            repo,
            token,
            stop,
            retry: Retry {
                retries: hub.retries,
                first_wait: hub.first_wait,
            },
            timeout: hub.timeout,
        }
    }

    pub(super) fn agent(&self) -> Agent {
        self.agent.clone()
    }

    /// Returns the address of the repository's page, which is also the start of the addresses of
    /// its files.
    pub(super) fn page(&self) -> String {
        let kind = match self.repo.kind() {
            RepoKind::Model => "",
            RepoKind::Dataset => "datasets/",
        };
        format!("{}/{kind}{}", self.endpoint, self.repo.repository())
    }

    /// Requests a URL from byte `offset` on, and follows redirects. `attempt` appears in errors.
    pub(super) fn open(
        &self,
        url: &str,
        offset: u64,
        subject: Subject<'_>,
        attempt: usize,
    ) -> Result<Answer, Fault> {
        let mut url = url.to_owned();
        let mut stated = Stated::default();
        for _ in 0..=MOST_REDIRECTS {
            let Some(origin) = Origin::of(&url) else {
                let problem = "the URL is invalid".to_owned();
                return Err(self.no_hub(&url, problem).into());
            };
            let trusted = self.origin.as_ref() == Some(&origin);
            let response = self.send(&url, &origin, trusted, offset, attempt)?;
            if trusted {
                stated = Stated::read(response.headers(), &stated);
            }
            let location = text(response.headers(), LOCATION.as_str());
            match (response.status().as_u16(), location) {
                (200 | 206, _) => {
                    return Ok(Answer {
                        url,
                        stated,
                        response,
                    });
                }
                (301 | 302 | 303 | 307 | 308, Some(location)) => {
                    url = self.redirect(&url, &origin, location)?;
                }
                _ => return Err(self.refused(&url, trusted, subject, attempt, response)),
            }
        }
        Err(HubError::Redirect {
            target: shown(&url),
            url: shown(&url),
            problem: "the request was redirected more than 10 times",
        }
        .into())
    }

    fn send(
        &self,
        url: &str,
        origin: &Origin,
        trusted: bool,
        offset: u64,
        attempt: usize,
    ) -> Result<Response<Body>, Fault> {
        // Without this header a server may compress, and offsets would count other bytes.
        let mut request = self.agent.get(url).header(ACCEPT_ENCODING, "identity");
        if let (true, Some(token)) = (trusted, &self.token) {
            request = request.header(AUTHORIZATION, token.bearer());
        }
        if offset > 0 {
            request = request.header(RANGE, format!("bytes={offset}-"));
        }
        let proxy = match origin.is_loopback() {
            true => None,
            false => Proxy::try_from_env(),
        };
        let request = request.config().proxy(proxy).build();
        request
            .call()
            .map_err(|error| self.lost(url, &error, attempt))
    }

    fn redirect(&self, url: &str, origin: &Origin, location: &str) -> Result<String, HubError> {
        let refuse = |problem| HubError::Redirect {
            url: shown(url),
            target: self.line(&shown(location)),
            problem,
        };
        let target = resolve(url, location).ok_or_else(|| refuse("the target is not a web URL"))?;
        match Origin::of(&target) {
            Some(next) if origin.secure && !next.secure => {
                Err(refuse("the target is not encrypted, so it is not followed"))
            }
            _ => Ok(target),
        }
    }
}

impl Stated {
    /// Reads the headers of an answer of the hub. `X-Linked-*` describe the file behind a redirect.
    fn read(headers: &HeaderMap, before: &Self) -> Self {
        let either = |new: Option<&str>, old: &Option<String>| {
            new.map(str::to_owned).or_else(|| old.clone())
        };
        let etag = text(headers, "x-linked-etag").or_else(|| text(headers, "etag"));
        let size = text(headers, "x-linked-size").and_then(|size| size.parse().ok());
        Self {
            commit: either(text(headers, "x-repo-commit"), &before.commit),
            etag: either(etag.map(plain_etag), &before.etag),
            size: size.or(before.size),
        }
    }
}

/// Removes the quotes and the mark of a weak etag.
fn plain_etag(etag: &str) -> &str {
    let etag = etag.trim();
    etag.strip_prefix("W/").unwrap_or(etag).trim_matches('"')
}

/// Returns a header that is visible ASCII.
pub(super) fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RepoKind, RepoName};

    #[test]
    fn an_encrypted_hub_does_not_redirect_to_an_open_address() {
        let hub = Hub::from_vars(&|_| None)
            .unwrap()
            .endpoint("https://hub.co")
            .unwrap();
        let repo = RepoName::parse(RepoKind::Model, "a/b").unwrap();
        let stop = Stop::default();
        let client = Client::new(&hub, &repo, None, &stop);
        let url = "https://hub.co/a/b/resolve/main/c";
        let origin = Origin::of(url).unwrap();
        let redirect = |location| client.redirect(url, &origin, location);
        assert_eq!(
            redirect("https://cdn.co/c?x").unwrap(),
            "https://cdn.co/c?x"
        );
        let error = redirect("http://hub.co/c?secret").unwrap_err().to_string();
        assert!(
            error.contains("not encrypted") && !error.contains("secret"),
            "{error}"
        );
    }

    #[test]
    fn etags_lose_quotes_and_the_mark_of_weakness() {
        for etag in ["abc", "\"abc\"", "W/\"abc\"", " W/abc "] {
            assert_eq!(plain_etag(etag), "abc");
        }
    }
}
