//! Checks of texts that become parts of paths in the cache.

use std::path::{Path, PathBuf};

use crate::HubError;

/// Longest path of a file in a repository, in bytes.
const MOST_BYTES: usize = 1024;
/// Longest segment of a path, in bytes: the limit of common file systems.
const MOST_SEGMENT: usize = 255;

/// Returns the problem of a relative path with `/` between the segments, or `None` for a path that
/// stays inside the folder to which the path is joined, on every system.
pub(crate) fn problem(path: &str) -> Option<&'static str> {
    if path.len() > MOST_BYTES {
        return Some("the path is longer than 1024 bytes");
    }
    if path.chars().any(char::is_control) {
        return Some("the path has a control character");
    }
    if path.contains('\\') {
        return Some("the path has a backslash");
    }
    path.split('/').find_map(|segment| match segment {
        "" => Some("a segment of the path is empty"),
        "." | ".." => Some("the path has a segment . or .."),
        long if long.len() > MOST_SEGMENT => Some("a segment of the path exceeds 255 bytes"),
        // `C:name` leaves the folder on Windows, and `name:stream` names another stream.
        _ if cfg!(windows) && segment.contains(':') => Some("the path has a colon"),
        drive if is_drive(drive) => Some("the path starts with a drive"),
        _ => None,
    })
}

fn is_drive(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    bytes.len() >= 2 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':'
}

/// Checks a path of a file in a repository.
pub(crate) fn check(path: &str) -> Result<(), HubError> {
    match problem(path) {
        None => Ok(()),
        Some(problem) => Err(HubError::Path {
            path: path.chars().take(MOST_SEGMENT).collect(),
            problem,
        }),
    }
}

/// Joins a checked path of a repository to a folder, with the separators of the system.
pub(crate) fn join(folder: &Path, path: &str) -> Result<PathBuf, HubError> {
    check(path)?;
    let mut joined = folder.to_owned();
    joined.extend(path.split('/'));
    Ok(joined)
}

/// Returns true for the full hash of a commit: 40 lower-case hexadecimal digits.
pub(crate) fn is_commit(text: &str) -> bool {
    is_hex(text, 40)
}

/// Returns true for a text of `digits` lower-case hexadecimal digits.
pub(crate) fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Component;

    #[test]
    fn paths_that_leave_the_folder_are_refused() {
        for bad in [
            "",
            "/etc/passwd",
            "..",
            "a/../b",
            "a/..",
            "./a",
            "a//b",
            "a/",
            "a\\b",
            "C:\\x",
            "C:x",
            "a/D:x",
            "a\nb",
            "a\0b",
        ] {
            assert!(problem(bad).is_some(), "{bad:?}");
        }
        assert!(problem(&"a".repeat(300)).is_some());
        assert!(problem(&"a/".repeat(600)).is_some());
        for good in [
            "config.json",
            "a/b/c.safetensors",
            ".gitattributes",
            "..a",
            "a b",
            "é",
        ] {
            assert_eq!(problem(good), None, "{good:?}");
        }
    }

    proptest! {
        #[test]
        fn an_accepted_path_stays_inside(path in "[a-zA-Z./\\\\: \u{0}-\u{1f}é]{0,40}") {
            let folder = Path::new("cache");
            if let Ok(joined) = join(folder, &path) {
                let inside = joined.strip_prefix(folder).unwrap();
                prop_assert!(inside.components().all(|part| matches!(part, Component::Normal(_))));
                prop_assert!(inside.components().count() >= 1);
            }
        }
    }
}
