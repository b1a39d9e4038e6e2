//! JSON objects of an input that is one array or has one object per row.

use std::collections::BTreeSet;

use serde_json::Value;

use super::fields::Object;
use super::input::Input;
use super::ordered::Ordered;
use super::{Bad, kind_of_error};
use crate::error::DataError;

impl Input {
    /// Reads the JSON objects of a file whose rows are none of the kinds that this crate knows: one
    /// object a line, or one array. A function makes something of each object and the number of its
    /// line, from 1. Also returns the names of the fields that are not in `known` and not null.
    ///
    /// # Errors
    /// The input cannot be read or has no object. An item is not an object, or the function refuses
    /// it; the error names its line.
    ///
    /// # Examples
    /// ```
    /// use collimate_data::Input;
    /// let input = Input::from_reader("n.jsonl", &b"{\"n\": 3, \"by\": \"hand\"}"[..])?;
    /// let (found, unused) = input.read_objects(&["n"], |_, row| {
    ///     let number = row.get("n").and_then(|n| n.as_u64());
    ///     number.ok_or_else(|| "n is not a whole number".to_owned())
    /// })?;
    /// assert_eq!(found, [3]);
    /// assert!(unused.contains("by"));
    /// # Ok::<(), collimate_data::DataError>(())
    /// ```
    pub fn read_objects<T>(
        self,
        known: &[&str],
        mut of: impl FnMut(usize, &Object) -> Result<T, String>,
    ) -> Result<(Vec<T>, BTreeSet<String>), DataError> {
        let mut all = Vec::new();
        let mut unused = BTreeSet::new();
        each_object(self, |line, row| {
            let others = row
                .iter()
                .filter(|(name, value)| !known.contains(&name.as_str()) && !value.is_null());
            unused.extend(others.map(|(name, _)| name.clone()));
            all.push(of(line, row).map_err(Bad::fields)?);
            Ok(())
        })?;
        Ok((all, unused))
    }
}

/// Passes each object and the number of its row to `take`. Files of prompts and answers are published in
/// both forms.
///
/// # Errors
/// The input cannot be read or has no object. An item is not an object, or `take` refuses it; the
/// error names its line.
pub(super) fn each_object(
    mut input: Input,
    mut take: impl FnMut(usize, &Object) -> Result<(), Bad>,
) -> Result<(), DataError> {
    let path = input.path().to_owned();
    let numbering = input.numbering();
    let wrong = |line: usize, bad: Bad| {
        numbering.row_error(&path, line, format!("{}; repair the row", bad.what))
    };
    let mut any = false;
    let mut each = |line: usize, row: &Object| {
        any = true;
        take(line, row).map_err(|bad| wrong(line, bad))
    };
    if input.is_array()? {
        array(&input.into_text()?, &mut each, &wrong)?;
    } else {
        input.first_row()?;
        let mut rows = input.into_rows()?;
        while let Some((line, row)) = rows.next_row()? {
            each(line, &row.map_err(|bad| wrong(line, bad))?)?;
        }
    }
    match any {
        true => Ok(()),
        false => Err(DataError::Empty { path }),
    }
}

/// Passes the objects of an array to `take` one by one, each with its line.
fn array(
    text: &str,
    each: &mut dyn FnMut(usize, &Object) -> Result<(), DataError>,
    wrong: &dyn Fn(usize, Bad) -> DataError,
) -> Result<(), DataError> {
    let malformed = |line: usize, what: &str| wrong(line, Bad::malformed(what));
    let bytes = text.as_bytes();
    let mut at = text.find('[').map_or(0, |open| open + 1);
    // Count lines up to `at` piece by piece, because an array may be long.
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
        let mut values = serde_json::Deserializer::from_str(&text[at..]).into_iter::<Ordered>();
        match values.next() {
            Some(Ok(Ordered(Value::Object(row)))) => each(line, &row)?,
            Some(Ok(_)) => return Err(malformed(line, "not a JSON object")),
            Some(Err(error)) => {
                let what = format!("not valid JSON ({})", kind_of_error(&error));
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

/// Returns the length of the leading white space in bytes.
fn space(text: &str) -> usize {
    text.len() - text.trim_start().len()
}
