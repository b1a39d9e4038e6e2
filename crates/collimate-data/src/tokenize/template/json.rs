//! JSON as Python writes it.

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, Value};

use super::python::float;

/// Layout of JSON as in `json.dumps`.
struct Layout {
    ascii: bool,
    indent: Option<String>,
    item: String,
    key: String,
    sorted: bool,
}

/// Implements the filter `tojson` of transformers, which is Python's `json.dumps` with
/// `ensure_ascii=False` and keeps the order of keys. Jinja's own filter escapes `<`, `>`, `&` and
/// `'` for HTML pages, which would give other tokens.
pub(super) fn tojson(
    value: &Value,
    ascii: Option<Value>,
    indent: Option<Value>,
    separators: Option<Value>,
    options: Kwargs,
) -> Result<Value, Error> {
    let given = |positional: Option<Value>, name: &str| -> Result<Option<Value>, Error> {
        let value = match positional {
            Some(value) => Some(value),
            None => options.get::<Option<Value>>(name)?,
        };
        Ok(value.filter(|value| !value.is_none() && !value.is_undefined()))
    };
    let ascii = given(ascii, "ensure_ascii")?.is_some_and(|value| value.is_true());
    let sorted = given(None, "sort_keys")?.is_some_and(|value| value.is_true());
    let indent = match given(indent, "indent")? {
        None => None,
        Some(value) => Some(match value.as_str() {
            Some(text) => text.to_owned(),
            None => " ".repeat(usize::try_from(i64::try_from(value)?.clamp(0, 64)).unwrap_or(0)),
        }),
    };
    let mut layout = Layout {
        ascii,
        item: if indent.is_some() { "," } else { ", " }.to_owned(),
        key: ": ".to_owned(),
        indent,
        sorted,
    };
    if let Some(pair) = given(separators, "separators")? {
        let parts: Vec<Value> = pair.try_iter()?.collect();
        let [item, key] = parts.as_slice() else {
            let what = "tojson: separators must be two texts";
            return Err(Error::new(ErrorKind::InvalidOperation, what));
        };
        (layout.item, layout.key) = (item.to_string(), key.to_string());
    }
    options.assert_all_used()?;
    let mut text = String::new();
    write(value, &layout, 0, &mut text)?;
    Ok(Value::from(text))
}

/// Deepest nesting of objects. Templates build no deeper objects, and the stack is finite.
const DEPTH: usize = 200;

fn write(value: &Value, layout: &Layout, depth: usize, out: &mut String) -> Result<(), Error> {
    if depth > DEPTH {
        let what = "tojson: more than 200 levels";
        return Err(Error::new(ErrorKind::InvalidOperation, what));
    }
    match value.kind() {
        ValueKind::None => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => out.push_str(&number(value)),
        ValueKind::String => quoted(value.as_str().unwrap_or_default(), layout.ascii, out),
        ValueKind::Seq | ValueKind::Iterable => {
            let items: Vec<Value> = value.try_iter()?.collect();
            list(&items, ['[', ']'], layout, depth, out, |item, out| {
                write(item, layout, depth + 1, out)
            })?;
        }
        ValueKind::Map => {
            let mut keys: Vec<Value> = value.try_iter()?.collect();
            if layout.sorted {
                keys.sort();
            }
            list(&keys, ['{', '}'], layout, depth, out, |key, out| {
                name(key, layout.ascii, out)?;
                out.push_str(&layout.key);
                write(&value.get_item(key)?, layout, depth + 1, out)
            })?;
        }
        kind => {
            let what = format!("tojson: {kind} is not JSON");
            return Err(Error::new(ErrorKind::InvalidOperation, what));
        }
    }
    Ok(())
}

fn list(
    items: &[Value],
    [open, close]: [char; 2],
    layout: &Layout,
    depth: usize,
    out: &mut String,
    mut one: impl FnMut(&Value, &mut String) -> Result<(), Error>,
) -> Result<(), Error> {
    let line = |depth: usize, out: &mut String| {
        if let Some(indent) = &layout.indent {
            out.push('\n');
            out.push_str(&indent.repeat(depth));
        }
    };
    out.push(open);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push_str(&layout.item);
        }
        line(depth + 1, out);
        one(item, out)?;
    }
    if !items.is_empty() {
        line(depth, out);
    }
    out.push(close);
    Ok(())
}

fn number(value: &Value) -> String {
    match f64::try_from(value.clone()) {
        Ok(number) if !value.is_integer() => match number {
            n if n.is_nan() => "NaN".to_owned(),
            f64::INFINITY => "Infinity".to_owned(),
            f64::NEG_INFINITY => "-Infinity".to_owned(),
            n => float(n),
        },
        _ => value.to_string(),
    }
}

/// Writes a key of an object. Python writes numbers and constants as texts.
fn name(key: &Value, ascii: bool, out: &mut String) -> Result<(), Error> {
    let text = match key.kind() {
        ValueKind::String => key.as_str().unwrap_or_default().to_owned(),
        ValueKind::Number => number(key),
        ValueKind::Bool => key.is_true().to_string(),
        ValueKind::None => "null".to_owned(),
        kind => {
            let what = format!("tojson: {kind} cannot be a key");
            return Err(Error::new(ErrorKind::InvalidOperation, what));
        }
    };
    quoted(&text, ascii, out);
    Ok(())
}

fn quoted(text: &str, ascii: bool, out: &mut String) {
    out.push('"');
    for sign in text.chars() {
        match sign {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            sign if sign < ' ' || ascii && sign > '~' => {
                for unit in sign.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            sign => out.push(sign),
        }
    }
    out.push('"');
}
