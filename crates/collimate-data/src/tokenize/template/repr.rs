//! Values as Python prints them.

use minijinja::Value;
use minijinja::value::ValueKind;

use super::python::float;

/// Returns a value as Python's `str` writes it.
pub(super) fn string(value: &Value) -> String {
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable | ValueKind::Map | ValueKind::Number => {
            let mut out = String::new();
            repr(value, 0, &mut out);
            out
        }
        _ => value.to_string(),
    }
}

/// Nesting depth beyond which values are written as `...`, because the stack is finite.
const DEPTH: usize = 200;

/// Writes a value as Python's `repr` does.
fn repr(value: &Value, depth: usize, out: &mut String) {
    let items = || value.try_iter().into_iter().flatten();
    match value.kind() {
        _ if depth > DEPTH => out.push_str("..."),
        ValueKind::String => quoted(value.as_str().unwrap_or_default(), out),
        ValueKind::Number => match f64::try_from(value.clone()) {
            Ok(number) if !value.is_integer() => out.push_str(&float(number)),
            _ => out.push_str(&value.to_string()),
        },
        ValueKind::Undefined => out.push_str("Undefined"),
        ValueKind::Seq | ValueKind::Iterable => {
            let tuple = value.is_tuple();
            out.push(if tuple { '(' } else { '[' });
            let mut count = 0;
            for item in items() {
                if count > 0 {
                    out.push_str(", ");
                }
                repr(&item, depth + 1, out);
                count += 1;
            }
            out.push_str(match tuple {
                true if count == 1 => ",)",
                true => ")",
                false => "]",
            });
        }
        ValueKind::Map => {
            out.push('{');
            for (index, key) in items().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                repr(&key, depth + 1, out);
                out.push_str(": ");
                repr(&value.get_item(&key).unwrap_or_default(), depth + 1, out);
            }
            out.push('}');
        }
        _ => out.push_str(&value.to_string()),
    }
}

fn quoted(text: &str, out: &mut String) {
    let quote = match text.contains('\'') && !text.contains('"') {
        true => '"',
        false => '\'',
    };
    out.push(quote);
    for sign in text.chars() {
        match sign {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            sign if sign == quote => {
                out.push('\\');
                out.push(sign);
            }
            sign if is_printable(sign) => out.push(sign),
            sign => out.push_str(&match u32::from(sign) {
                code @ ..=0xff => format!("\\x{code:02x}"),
                code @ ..=0xffff => format!("\\u{code:04x}"),
                code => format!("\\U{code:08x}"),
            }),
        }
    }
    out.push(quote);
}

/// Returns true for characters that Python prints unescaped. Rust's own escapes leave the same
/// characters unescaped, except at the beginning of a text.
fn is_printable(sign: char) -> bool {
    sign == '"' || sign == '\'' || format!("a{sign}").escape_debug().count() == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values are printed by Python.
    #[test]
    fn texts_in_lists_are_escaped_as_in_python() {
        let written = |text: &str| string(&Value::from(vec![text.to_owned()]));
        assert_eq!(written("it's"), "[\"it's\"]");
        assert_eq!(written("'\"\\"), r#"['\'"\\']"#);
        assert_eq!(
            written("\u{a0}\u{2028}é\u{301}\u{feff}\u{e0001}\n"),
            "['\\xa0\\u2028é\u{301}\\ufeff\\U000e0001\\n']"
        );
        assert_eq!(string(&Value::from(vec![1e-7])), "[1e-07]");
    }
}
