//! URLs: parts of the hub's URLs, targets of redirects, and the origin that may see the token.

use ureq::http::Uri;

/// Scheme, host and port: the token is sent to one origin only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) secure: bool,
    host: String,
    port: u16,
}

impl Origin {
    /// Returns the origin of an absolute URL, or `None` for any other text.
    pub(super) fn of(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let secure = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = uri.authority()?;
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return None;
        }
        let default = if secure { 443 } else { 80 };
        // A port that is not a number must not count as the default.
        let port = match authority.as_str().len() > authority.host().len() {
            true => authority.port_u16()?,
            false => default,
        };
        Some(Self {
            secure,
            host: authority.host().to_ascii_lowercase(),
            port,
        })
    }

    /// Returns true if the origin is this machine.
    pub(super) fn is_loopback(&self) -> bool {
        let host = self.host.trim_matches(['[', ']']);
        let address: Option<std::net::IpAddr> = host.parse().ok();
        host == "localhost" || address.is_some_and(|address| address.is_loopback())
    }
}

/// Writes every byte except letters, digits, `-._~` and those of `keep` as `%` and two digits.
pub(super) fn encode(text: &str, keep: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if plain || keep.as_bytes().contains(&byte) {
            encoded.push(byte.into());
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// Returns the absolute URL of a redirect or link on the page `base`.
pub(super) fn resolve(base: &str, target: &str) -> Option<String> {
    let target = target.trim();
    let target = target.split('#').next().unwrap_or_default();
    let (scheme, rest) = base.split_once("://")?;
    let root = match rest.find(['/', '?']) {
        Some(end) => &base[..scheme.len() + 3 + end],
        None => base,
    };
    let has_scheme = target
        .split_once(':')
        .is_some_and(|(before, _)| !before.contains(['/', '?']));
    let url = if target.is_empty() {
        return None;
    } else if has_scheme {
        target.to_owned()
    } else if target.starts_with("//") {
        format!("{scheme}:{target}")
    } else if target.starts_with('/') {
        format!("{root}{target}")
    } else {
        let path = base.split('?').next().unwrap_or_default();
        let folder = match path.len() > root.len() {
            true => path.rsplit_once('/')?.0,
            false => root,
        };
        match target.starts_with('?') {
            true => format!("{path}{target}"),
            false => format!("{folder}/{target}"),
        }
    };
    Origin::of(&url).map(|_| url)
}

/// Returns a URL for errors: without the query and without a user, which may hold a secret.
pub(super) fn shown(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let url = &url[..end];
    let start = url.find("//").map_or(0, |slashes| slashes + 2);
    let path = url[start..]
        .find('/')
        .map_or(url.len(), |slash| start + slash);
    let host = match url[start..path].rfind('@') {
        Some(at) => start + at + 1,
        None => start,
    };
    let text = format!("{}{}", &url[..start], &url[host..]);
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

/// Returns the target of `rel="next"` in the header `Link`.
pub(super) fn next_link(header: &str) -> Option<&str> {
    header.split(',').find_map(|link| {
        let (url, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = |parameter: &str| {
            let (name, value) = parameter.split_once('=').unwrap_or_default();
            name.trim().eq_ignore_ascii_case("rel") && value.trim().trim_matches('"') == "next"
        };
        parameters.split(';').any(is_next).then_some(url)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_differ_by_scheme_host_or_port() {
        let same = |a, b| Origin::of(a).unwrap() == Origin::of(b).unwrap();
        assert!(same("https://Hub.co/a", "https://hub.co:443/b?c"));
        assert!(same("http://127.0.0.1:80", "http://127.0.0.1/x"));
        assert!(!same("http://127.0.0.1:80", "http://127.0.0.1:81"));
        assert!(!same("http://hub.co", "https://hub.co"));
        assert!(!same("https://hub.co", "https://hub.co.evil.example"));
        for none in [
            "ftp://a/b",
            "hub.co/a",
            "https://",
            "https://user@hub.co/",
            "/a",
            "https://a:x",
        ] {
            assert_eq!(Origin::of(none), None, "{none}");
        }
        assert!(Origin::of("http://[::1]:8080/x").unwrap().is_loopback());
        assert!(!Origin::of("https://hub.co").unwrap().is_loopback());
    }

    #[test]
    fn targets_are_resolved_against_the_page() {
        let base = "https://hub.co/a/b?c=/d";
        for (target, expected) in [
            ("https://cdn.co/x?y", Some("https://cdn.co/x?y")),
            ("//cdn.co/x", Some("https://cdn.co/x")),
            ("/x/y?z#part", Some("https://hub.co/x/y?z")),
            ("x:80/y", None),
            ("x/y:z", Some("https://hub.co/a/x/y:z")),
            ("?page=2", Some("https://hub.co/a/b?page=2")),
            ("ftp://cdn.co/x", None),
            ("file:///etc/passwd", None),
            ("", None),
        ] {
            assert_eq!(resolve(base, target).as_deref(), expected, "{target}");
        }
        assert_eq!(
            resolve("https://hub.co", "x").as_deref(),
            Some("https://hub.co/x")
        );
    }

    #[test]
    fn encoding_and_links() {
        assert_eq!(encode("a b/ä%?#", "/"), "a%20b/%C3%A4%25%3F%23");
        assert_eq!(encode("refs/pr/1", ""), "refs%2Fpr%2F1");
        assert_eq!(shown("https://a/b?Signature=secret"), "https://a/b");
        assert_eq!(shown("https://me:secret@a/b@c"), "https://a/b@c");
        let header = r#"<https://a/1>; rel="prev", <https://a/2?x=1>; rel="next""#;
        assert_eq!(next_link(header), Some("https://a/2?x=1"));
        assert_eq!(next_link("<https://a/1>; rel=\"last\""), None);
    }
}
