//! Methods of Python's strings, lists and dictionaries.

use minijinja::value::{Kwargs, Tuple, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State, Value};

use super::python::{lines, strip, title, words};
use super::repr::string;

/// Calls a method as Python does. Methods that change a list or an object are refused, as in the
/// sandbox of transformers.
pub(super) fn call(
    state: &mut State,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    let own = match value.kind() {
        ValueKind::String => text(value.as_str().unwrap_or_default(), method, args)?,
        ValueKind::Seq | ValueKind::Iterable => sequence(value, method, args)?,
        ValueKind::Map if method == "copy" => Some(value.clone()),
        _ => None,
    };
    match own {
        Some(value) => Ok(value),
        None => minijinja_contrib::pycompat::unknown_method_callback(state, value, method, args),
    }
}

fn wrong(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, what.into())
}

fn text(text: &str, method: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    let parts = |parts: Vec<&str>| parts.into_iter().map(Value::from).collect::<Value>();
    let three =
        |[a, b, c]: [&str; 3]| Value::from(Tuple::from([a, b, c].map(Value::from).to_vec()));
    let places = |text: &str, at: usize| text[..at].chars().count() as i64;
    Ok(Some(match method {
        "strip" | "lstrip" | "rstrip" => {
            let (chars,): (Option<Value>,) = from_args(args)?;
            let chars = chars.filter(|chars| !chars.is_none());
            let ends = [method != "rstrip", method != "lstrip"];
            match &chars {
                Some(chars) if chars.as_str().is_none() => {
                    return Err(wrong(format!("{method} takes a text")));
                }
                chars => strip(text, chars.as_ref().and_then(Value::as_str), ends).into(),
            }
        }
        "split" | "rsplit" => {
            let (separator, most) = split_arguments(args)?;
            parts(match (&separator, method) {
                (None, "split") => words(text, most),
                (None, _) => {
                    let all = words(text, None);
                    if most.is_some_and(|most| most + 1 < all.len()) {
                        return Err(wrong("rsplit with a number of splits needs a separator"));
                    }
                    all
                }
                (Some(by), _) if by.is_empty() => return Err(wrong("empty separator")),
                (Some(by), "split") => match most {
                    Some(most) => text.splitn(most + 1, by.as_str()).collect(),
                    None => text.split(by.as_str()).collect(),
                },
                (Some(by), _) => {
                    let mut found: Vec<&str> = match most {
                        Some(most) => text.rsplitn(most + 1, by.as_str()).collect(),
                        None => text.rsplit(by.as_str()).collect(),
                    };
                    found.reverse();
                    found
                }
            })
        }
        "splitlines" => {
            let (keep, options): (Option<bool>, Kwargs) = from_args(args)?;
            let keep = match keep {
                Some(keep) => Some(keep),
                None => options.get("keepends")?,
            };
            options.assert_all_used()?;
            parts(lines(text, keep.unwrap_or(false)))
        }
        "partition" => {
            let (by,): (&str,) = from_args(args)?;
            match text.split_once(by) {
                Some((before, after)) => three([before, by, after]),
                None => three([text, "", ""]),
            }
        }
        "rpartition" => {
            let (by,): (&str,) = from_args(args)?;
            match text.rsplit_once(by) {
                Some((before, after)) => three([before, by, after]),
                None => three(["", "", text]),
            }
        }
        "removeprefix" => {
            let (prefix,): (&str,) = from_args(args)?;
            text.strip_prefix(prefix).unwrap_or(text).into()
        }
        "removesuffix" => {
            let (suffix,): (&str,) = from_args(args)?;
            text.strip_suffix(suffix).unwrap_or(text).into()
        }
        "index" | "rindex" => {
            let (what,): (&str,) = from_args(args)?;
            let at = if method == "index" {
                text.find(what)
            } else {
                text.rfind(what)
            };
            places(text, at.ok_or_else(|| wrong("substring not found"))?).into()
        }
        "title" => {
            let () = from_args(args)?;
            title(text).into()
        }
        "casefold" => {
            let () = from_args(args)?;
            text.to_lowercase().into()
        }
        "swapcase" => {
            let () = from_args(args)?;
            let swap = |sign: char| match sign.is_uppercase() {
                true => sign.to_lowercase().collect::<String>(),
                false => sign.to_uppercase().collect(),
            };
            text.chars().map(swap).collect::<String>().into()
        }
        "isspace" => {
            let () = from_args(args)?;
            (!text.is_empty() && text.chars().all(super::python::is_space)).into()
        }
        "isdecimal" => {
            let () = from_args(args)?;
            (!text.is_empty() && text.chars().all(|sign| sign.is_ascii_digit())).into()
        }
        "zfill" => {
            let (width,): (usize,) = from_args(args)?;
            let (sign, digits) = match text.strip_prefix(['+', '-']) {
                Some(digits) => text.split_at(text.len() - digits.len()),
                None => ("", text),
            };
            let zeros = missing(text, width)?;
            format!("{sign}{}{digits}", "0".repeat(zeros)).into()
        }
        "ljust" | "rjust" | "center" => {
            let (width, fill): (usize, Option<&str>) = from_args(args)?;
            let (fill, all) = (fill.unwrap_or(" "), missing(text, width)?);
            let left = match method {
                "ljust" => 0,
                "rjust" => all,
                // For odd padding, Python puts the extra character on the left if `width` is odd.
                _ => all / 2 + (all & width & 1),
            };
            format!("{}{text}{}", fill.repeat(left), fill.repeat(all - left)).into()
        }
        "join" => {
            let (values,): (&Value,) = from_args(args)?;
            let mut items = Vec::new();
            for item in values.try_iter()? {
                match item.as_str() {
                    Some(item) => items.push(item.to_owned()),
                    None => return Err(wrong(format!("join: {} is not a text", string(&item)))),
                }
            }
            items.join(text).into()
        }
        _ => return Ok(None),
    }))
}

/// Returns the number of characters that a text lacks to be `width` wide.
fn missing(text: &str, width: usize) -> Result<usize, Error> {
    match width {
        0..=10_000 => Ok(width.saturating_sub(text.chars().count())),
        _ => Err(wrong("a width above 10000")),
    }
}

fn split_arguments(args: &[Value]) -> Result<(Option<String>, Option<usize>), Error> {
    let (by, most, options): (Option<Value>, Option<i64>, Kwargs) = from_args(args)?;
    let by = match by {
        Some(by) => Some(by),
        None => options.get::<Option<Value>>("sep")?,
    };
    let most = match most {
        Some(most) => Some(most),
        None => options.get::<Option<i64>>("maxsplit")?,
    };
    options.assert_all_used()?;
    let by = match by {
        Some(by) if by.is_none() => None,
        Some(by) => match by.as_str() {
            Some(by) => Some(by.to_owned()),
            None => return Err(wrong("split takes a text")),
        },
        None => None,
    };
    Ok((by, most.and_then(|most| usize::try_from(most).ok())))
}

fn sequence(value: &Value, method: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    Ok(Some(match method {
        "copy" => value.clone(),
        "index" => {
            let (what,): (&Value,) = from_args(args)?;
            let at = value.try_iter()?.position(|item| item == *what);
            let at = at.ok_or_else(|| wrong(format!("{what} is not in the list")))?;
            (at as i64).into()
        }
        "count" => {
            let (what,): (&Value,) = from_args(args)?;
            (value.try_iter()?.filter(|item| item == what).count() as i64).into()
        }
        _ => return Ok(None),
    }))
}
