//! Environment variables.

use std::ffi::OsString;
use std::path::Path;

use collimate_hub::{Hub, HubError};

fn hub(variables: &[(&str, &str)]) -> Result<Hub, HubError> {
    Hub::from_vars(&|name| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| OsString::from(value))
    })
}

#[cfg(unix)]
#[test]
fn the_cache_is_where_huggingface_hub_looks() {
    for (variables, expected) in [
        (&[][..], "/home/me/.cache/huggingface/hub"),
        (&[("XDG_CACHE_HOME", "/xdg")], "/xdg/huggingface/hub"),
        (&[("XDG_CACHE_HOME", "/xdg"), ("HF_HOME", "/hf")], "/hf/hub"),
        (&[("HF_HOME", "~/hf")], "/home/me/hf/hub"),
        (&[("HF_HOME", "$DISK/${NAME}/$NONE")], "/disk/it/$NONE/hub"),
        (
            &[("HF_HOME", "/hf"), ("HUGGINGFACE_HUB_CACHE", "/old")],
            "/old",
        ),
        (
            &[("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HUB_CACHE", "~")],
            "/home/me",
        ),
        (&[("HF_HUB_CACHE", "")], "/home/me/.cache/huggingface/hub"),
    ] {
        let base = [("HOME", "/home/me"), ("DISK", "/disk"), ("NAME", "it")];
        let all: Vec<_> = base.iter().chain(variables).copied().collect();
        assert_eq!(
            hub(&all).unwrap().cache_folder(),
            Path::new(expected),
            "{variables:?}"
        );
    }
    let error = hub(&[("HOME", "/home/me"), ("HF_HOME", "~you/hf")])
        .unwrap_err()
        .to_string();
    assert!(error.contains("another user"), "{error}");
}

#[test]
fn invalid_values_are_refused_by_name() {
    for (name, value, says) in [
        ("HF_HUB_OFFLINE", "maybe", "must be 1"),
        ("TRANSFORMERS_OFFLINE", "2", "must be 1"),
        ("HF_HUB_DISABLE_SYMLINKS", "x", "must be 1"),
        ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "x", "must be 1"),
        ("HF_ENDPOINT", "hub.example", "https://host"),
        ("HF_ENDPOINT", "ftp://hub.example", "https://host"),
        ("HF_ENDPOINT", "file:///etc", "https://host"),
        (
            "HF_ENDPOINT",
            "https://me:secret@hub.example",
            "without user",
        ),
        (
            "HF_ENDPOINT",
            "https://hub.example?x=secret",
            "without user",
        ),
        ("HF_ENDPOINT", "https://", "https://host"),
        ("HF_HUB_DOWNLOAD_TIMEOUT", "0", "above 0"),
        ("HF_HUB_DOWNLOAD_TIMEOUT", "-1", "above 0"),
        ("HF_TOKEN", "hf secret", "visible ASCII"),
        ("HUGGING_FACE_HUB_TOKEN", "hf secret", "visible ASCII"),
    ] {
        let error = hub(&[(name, value), ("HOME", "/h")]).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains(name) && text.contains(says), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
    for value in ["1", "true", "YES", "On", "0", "False", "no", "OFF", ""] {
        assert!(
            hub(&[("HF_HUB_OFFLINE", value), ("HOME", "/h")]).is_ok(),
            "{value}"
        );
    }
}

#[test]
fn the_token_is_in_no_debug_output() {
    let hub = hub(&[("HF_TOKEN", "hf_secret"), ("HOME", "/h")]).unwrap();
    let text = format!("{hub:?} {hub:#?}");
    assert!(!text.contains("hf_secret"), "{text}");
    assert!(text.contains("REDACTED"), "{text}");
}
