//! The environment variables of hub clients.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::HubError;
use crate::token::{Token, TokenFrom};

/// URL of the hub if `HF_ENDPOINT` is not set.
const ENDPOINT: &str = "https://huggingface.co";

/// Function that returns the value of a variable.
pub(crate) type Get<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Values of the environment.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) cache: PathBuf,
    pub(crate) endpoint: String,
    pub(crate) token: TokenFrom,
    pub(crate) offline: bool,
    pub(crate) symlinks: bool,
    pub(crate) timeout: Option<Duration>,
}

impl Settings {
    pub(crate) fn read(get: Get<'_>) -> Result<Self, HubError> {
        let vars = Vars { get };
        let home = vars.hub_home();
        let offline = match vars.switch("HF_HUB_OFFLINE")? {
            Some(offline) => offline,
            None => vars.switch("TRANSFORMERS_OFFLINE")?.unwrap_or(false),
        };
        let seconds = vars.text("HF_HUB_DOWNLOAD_TIMEOUT")?;
        Ok(Self {
            cache: vars.cache(&home)?,
            endpoint: match vars.text("HF_ENDPOINT")? {
                Some(url) => endpoint("HF_ENDPOINT", &url)?,
                None => ENDPOINT.to_owned(),
            },
            token: vars.token(&home)?,
            offline,
            symlinks: !vars.switch("HF_HUB_DISABLE_SYMLINKS")?.unwrap_or(false),
            timeout: seconds.map(|text| timeout(&text)).transpose()?,
        })
    }
}

fn timeout(text: &str) -> Result<Duration, HubError> {
    match text.parse::<u32>() {
        Ok(seconds) if seconds > 0 => Ok(Duration::from_secs(seconds.into())),
        _ => Err(setting(
            "HF_HUB_DOWNLOAD_TIMEOUT",
            "must be a whole number of seconds above 0",
        )),
    }
}

/// Checks the URL of a hub and removes slashes at the end.
pub(crate) fn endpoint(name: &str, url: &str) -> Result<String, HubError> {
    let url = url.trim_end_matches('/');
    let host = ["https://", "http://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme));
    let form = "must be a URL of the form https://host or http://host:port";
    let Some(host) = host else {
        return Err(setting(name, form));
    };
    // A password in the URL would appear in errors.
    let forbidden = |byte: u8| !byte.is_ascii_graphic() || matches!(byte, b'@' | b'?' | b'#');
    if host.is_empty() || host.starts_with(['/', ':']) || host.bytes().any(forbidden) {
        return Err(setting(
            name,
            &format!("{form}, without user, query or fragment"),
        ));
    }
    Ok(url.to_owned())
}

fn setting(name: &str, problem: &str) -> HubError {
    HubError::Setting {
        name: name.to_owned(),
        problem: problem.to_owned(),
    }
}

struct Vars<'a> {
    get: Get<'a>,
}

impl Vars<'_> {
    /// Returns a variable that is set and not empty.
    fn value(&self, name: &str) -> Option<OsString> {
        (self.get)(name).filter(|value| !value.is_empty())
    }

    fn text(&self, name: &str) -> Result<Option<String>, HubError> {
        self.value(name)
            .map(|value| {
                value
                    .into_string()
                    .map_err(|_| setting(name, "is not valid Unicode"))
            })
            .transpose()
    }

    fn switch(&self, name: &str) -> Result<Option<bool>, HubError> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        match text.to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => Ok(Some(true)),
            "0" | "false" | "no" | "off" => Ok(Some(false)),
            _ => Err(setting(
                name,
                "must be 1, true, yes or on, or 0, false, no or off",
            )),
        }
    }

    fn path(&self, name: &str) -> Result<Option<PathBuf>, HubError> {
        self.value(name)
            .map(|value| self.expand(name, value))
            .transpose()
    }

    /// Returns the folder of hub clients.
    fn hub_home(&self) -> Result<PathBuf, HubError> {
        if let Some(home) = self.path("HF_HOME")? {
            return Ok(home);
        }
        let caches = match self.path("XDG_CACHE_HOME")? {
            Some(caches) => caches,
            None => self.user_home("HF_HOME")?.join(".cache"),
        };
        Ok(caches.join("huggingface"))
    }

    fn cache(&self, home: &Result<PathBuf, HubError>) -> Result<PathBuf, HubError> {
        for name in ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"] {
            if let Some(cache) = self.path(name)? {
                return Ok(cache);
            }
        }
        match home {
            Ok(home) => Ok(home.join("hub")),
            Err(error) => Err(setting("HF_HUB_CACHE", &error.to_string())),
        }
    }

    fn token(&self, home: &Result<PathBuf, HubError>) -> Result<TokenFrom, HubError> {
        if self.switch("HF_HUB_DISABLE_IMPLICIT_TOKEN")? == Some(true) {
            return Ok(TokenFrom::Nowhere);
        }
        for name in ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"] {
            // The first variable that is not empty counts, even if the variable holds only spaces.
            if let Some(text) = self.text(name)? {
                match Token::read(name, &text)? {
                    Some(token) => return Ok(TokenFrom::Value(token)),
                    None => break,
                }
            }
        }
        if let Some(path) = self.path("HF_TOKEN_PATH")? {
            return Ok(TokenFrom::File(path));
        }
        Ok(match home {
            Ok(home) => TokenFrom::File(home.join("token")),
            Err(_) => TokenFrom::Nowhere,
        })
    }

    fn user_home(&self, name: &str) -> Result<PathBuf, HubError> {
        let variable = if cfg!(windows) { "USERPROFILE" } else { "HOME" };
        self.value(variable)
            .map(PathBuf::from)
            .or_else(std::env::home_dir)
            .filter(|home| !home.as_os_str().is_empty())
            .ok_or_else(|| {
                let problem = format!("the home folder is unknown: set HF_HUB_CACHE or {variable}");
                setting(name, &problem)
            })
    }

    /// Replaces `~` at the start of a path, and `$NAME` and `${NAME}` anywhere. An unknown variable
    /// stays as written.
    fn expand(&self, name: &str, value: OsString) -> Result<PathBuf, HubError> {
        let Some(text) = value.to_str() else {
            return Ok(PathBuf::from(value));
        };
        let text = match text.strip_prefix('~') {
            None => self.variables(text)?,
            Some(rest) if rest.is_empty() || rest.starts_with(is_separator) => {
                let rest = self.variables(rest)?;
                let rest = Path::new(rest.trim_start_matches(is_separator)).to_owned();
                return Ok(self.user_home(name)?.join(rest));
            }
            Some(_) => {
                return Err(setting(
                    name,
                    "starts with the home folder of another user: write the whole path",
                ));
            }
        };
        Ok(PathBuf::from(text))
    }

    fn variables(&self, text: &str) -> Result<String, HubError> {
        let mut expanded = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            expanded.push_str(before);
            let (name, written) = match after.strip_prefix('{').and_then(|in_| in_.split_once('}'))
            {
                Some((name, _)) => (name, name.len() + 2),
                None => {
                    let word = |character: char| character.is_alphanumeric() || character == '_';
                    let end = after.find(|character| !word(character));
                    let name = &after[..end.unwrap_or(after.len())];
                    (name, name.len())
                }
            };
            match (self.get)(name).filter(|_| !name.is_empty()) {
                Some(value) => {
                    let value = value
                        .into_string()
                        .map_err(|_| setting(name, "is not valid Unicode"))?;
                    expanded.push_str(&value);
                }
                None => {
                    expanded.push('$');
                    expanded.push_str(&after[..written]);
                }
            }
            rest = &after[written..];
        }
        expanded.push_str(rest);
        Ok(expanded)
    }
}

fn is_separator(character: char) -> bool {
    character == '/' || (cfg!(windows) && character == '\\')
}
