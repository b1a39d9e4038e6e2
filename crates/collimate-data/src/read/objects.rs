//! JSON objects of a file that is one array or has one object per line.

use std::io::Read;
use std::path::Path;

use serde_json::Value;

use super::fields::Object;
use super::lines::{open, reading};
use super::{Bad, kind, parse};
use crate::error::DataError;

/// Hands on each object with the line where it begins. Files of prompts and answers are published in
/// both forms.
///
/// # Errors
/// A file that cannot be read or holds no object; the first object that is none or that `take`
/// refuses, with its line.
pub(super) fn each_object(
    path: &Path,
    mut take: impl FnMut(usize, &Object) -> Result<(), Bad>,
) -> Result<(), DataError> {
    let mut bytes = Vec::new();
    open(path)?
        .read_to_end(&mut bytes)
        .map_err(|error| reading(path, 1, error))?;
    let wrong = |line: usize, bad: Bad| DataError::Row {
        path: path.to_owned(),
        line,
        what: format!("{}; repair the row", bad.what),
    };
    let mut any = false;
    let mut each = |line: usize, row: &Object| {
        any = true;
        take(line, row).map_err(|bad| wrong(line, bad))
    };
    if bytes.trim_ascii_start().starts_with(b"[") {
        array(&bytes, &mut each, &wrong)?;
    } else {
        for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
            if line.trim_ascii().is_empty() {
                continue;
            }
            let mut holder = None;
            let row = parse(line, &mut holder).map_err(|bad| wrong(index + 1, bad))?;
            each(index + 1, row)?;
        }
    }
    match any {
        true => Ok(()),
        false => Err(DataError::Empty {
            path: path.to_owned(),
        }),
    }
}

/// The objects of an array, one after the other, so that each has its line.
fn array(
    bytes: &[u8],
    each: &mut dyn FnMut(usize, &Object) -> Result<(), DataError>,
    wrong: &dyn Fn(usize, Bad) -> DataError,
) -> Result<(), DataError> {
    let malformed = |line: usize, what: &str| wrong(line, Bad::malformed(what));
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = lines(&bytes[..error.valid_up_to()]) + 1;
        malformed(line, "not valid UTF-8")
    })?;
    let mut at = text.find('[').map_or(0, |open| open + 1);
    // Lines up to `at` are counted piece by piece: an array may be long.
    let mut line = lines(&bytes[..at]) + 1;
    let mut first = true;
    loop {
        let from = at;
        at += space(&text[at..]);
        line += lines(&bytes[from..at]);
        if first && text[at..].starts_with(']') {
            break;
        }
        first = false;
        let mut values = serde_json::Deserializer::from_str(&text[at..]).into_iter::<Value>();
        match values.next() {
            Some(Ok(Value::Object(row))) => each(line, &row)?,
            Some(Ok(_)) => return Err(malformed(line, "not a JSON object")),
            Some(Err(error)) => {
                let what = format!("not valid JSON ({})", kind(&error));
                return Err(malformed(line + error.line().saturating_sub(1), &what));
            }
            None => return Err(malformed(line, "the array has no end")),
        }
        let from = at;
        at += values.byte_offset();
        at += space(&text[at..]);
        line += lines(&bytes[from..at]);
        match bytes.get(at) {
            Some(b',') => at += 1,
            Some(b']') => break,
            Some(_) => return Err(malformed(line, "no comma between two objects")),
            None => return Err(malformed(line, "the array has no end")),
        }
    }
    match text[at + 1..].trim() {
        "" => Ok(()),
        _ => Err(malformed(line, "there is more after the end of the array")),
    }
}

fn lines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte == b'\n').count()
}

/// White space at the beginning, in bytes.
fn space(text: &str) -> usize {
    text.len() - text.trim_start().len()
}
