//! Selection of layers by name, by the rules of PEFT.

use std::collections::BTreeMap;

use collimate_core::OptionError;
use fancy_regex::Regex;

/// Returns true if a path is one of the names, or ends in one of them.
pub(crate) fn names_layer(names: &[String], path: &str) -> bool {
    let ends = |name: &String| {
        path.strip_suffix(name.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    names.iter().any(ends)
}

/// Returns the value of the pattern that matches the end of a path.
pub(crate) fn by_pattern<V: Copy + PartialEq>(
    option: &'static str,
    patterns: &BTreeMap<String, V>,
    path: &str,
) -> Result<Option<V>, OptionError> {
    let mut found: Option<(&str, V)> = None;
    for (pattern, value) in patterns {
        if !is_whole(option, &format!(r"(?:.*\.)?(?:{pattern})"), path)? {
            continue;
        }
        match found {
            Some((other, before)) if before != *value => {
                let both = format!("{other} and {pattern}");
                let allowed = format!("a single pattern with a value for {path}");
                return Err(OptionError::new(option, both, &allowed));
            }
            _ => found = Some((pattern, *value)),
        }
    }
    Ok(found.map(|(_, value)| value))
}

/// Returns true if a regular expression matches the whole path.
pub(crate) fn is_whole(
    option: &'static str,
    pattern: &str,
    path: &str,
) -> Result<bool, OptionError> {
    let malformed = |error: fancy_regex::Error| {
        OptionError::new(
            option,
            pattern,
            &format!("a regular expression that can be used ({error})"),
        )
    };
    let regex = Regex::new(&format!("^(?:{pattern})$")).map_err(malformed)?;
    regex.is_match(path).map_err(malformed)
}
