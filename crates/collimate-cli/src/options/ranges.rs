//! Ranges of numbers in the JSON schema, read from the messages of the checks that refuse a value.

use serde_json::{Map, Value, json};

use super::Layered;
use super::docs::Docs;
use super::layers::{Given, overlay};

/// A bound in a schema: keyword and number.
type Bound = (&'static str, f64);

/// Returns the schema of a command's options with the ranges of numbers. Each number in turn is set
/// far outside any range, and the check that refuses it names the allowed range. A range is
/// therefore declared only once.
pub(super) fn with_ranges<L: Layered>(docs: &Docs) -> Value {
    let mut schema = docs.schema().clone();
    let config = serde_json::to_value(L::for_world().ok()).unwrap_or_default();
    let mut paths = Vec::new();
    leaves(&config, "", &mut paths);
    for path in paths {
        let Some(node) = docs.pointer(&path).and_then(|at| schema.pointer_mut(&at)) else {
            continue;
        };
        for (keyword, number) in range::<L>(&config, &path, outside(node)) {
            node[keyword] = match number.fract() == 0.0 && number.abs() < 1e15 {
                true => json!(number as i64),
                false => json!(number),
            };
        }
    }
    schema
}

/// Returns values outside almost any range, for a number that the schema describes.
fn outside(node: &Value) -> Vec<Value> {
    let takes = |kind: &str| match &node["type"] {
        Value::Array(kinds) => kinds.iter().any(|of| of == kind),
        of => of == kind,
    };
    match (takes("integer"), takes("number")) {
        (true, _) => vec![json!(0), json!(1_000_000_000_000_000_000_u64)],
        (_, true) => vec![json!(-1e300), json!(1e300)],
        _ => Vec::new(),
    }
}

/// Returns the range of an option, as the checks of the command report it for these values.
fn range<L: Layered>(config: &Value, path: &str, values: Vec<Value>) -> Vec<Bound> {
    let told = values.into_iter().find_map(|value| {
        let mut changed = config.clone();
        let nested = path.rsplit('.').fold(value, |inner, part| {
            Value::Object(Map::from_iter([(part.to_owned(), inner)]))
        });
        overlay(&mut changed, nested);
        let mut changed: L::Config = serde_json::from_value(changed).ok()?;
        let error = L::settle(&mut changed, &Given::default()).err()?;
        allowed(&error.to_string(), path).map(str::to_owned)
    });
    told.map_or_else(Vec::new, |words| bounds(&words))
}

/// Returns the words after an option's name and value: `rate is 2 but must be at
/// most 1`, `rate is 2: at most 1`.
fn allowed<'a>(error: &'a str, path: &str) -> Option<&'a str> {
    let name = path.rsplit('.').next()?;
    let (before, rest) = error.split_once(name)?;
    let whole = before.is_empty() || before.ends_with(['.', ' ']);
    let rest = rest.strip_prefix(" is ").or(rest.strip_prefix(" = "));
    let (_, words) = rest
        .filter(|_| whole)
        .and_then(|rest| rest.split_once(" must be ").or(rest.split_once(": ")))?;
    Some(words)
}

/// Finds the bounds in words like `above 0, at most 1`, `0 to 1` or `in [0, 1)`.
fn bounds(words: &str) -> Vec<Bound> {
    let words: Vec<&str> = words.split_whitespace().collect();
    let mut found = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let next = |n: usize| words.get(at + n).copied().unwrap_or_default();
        let bound = match (*word, next(1)) {
            ("above", number) => number_of(number).map(|n| ("exclusiveMinimum", n)),
            ("below", number) => number_of(number).map(|n| ("exclusiveMaximum", n)),
            ("at", "least") => number_of(next(2)).map(|n| ("minimum", n)),
            ("at", "most") => number_of(next(2)).map(|n| ("maximum", n)),
            ("in", least) if least.starts_with('[') => {
                found.extend(number_of(least).map(|n| ("minimum", n)));
                let open = next(2).ends_with(')');
                let keyword = if open { "exclusiveMaximum" } else { "maximum" };
                number_of(next(2)).map(|n| (keyword, n))
            }
            (least, "to") => {
                let ends = number_of(least).zip(number_of(next(2)));
                found.extend(ends.map(|(least, _)| ("minimum", least)));
                ends.map(|(_, most)| ("maximum", most))
            }
            _ => None,
        };
        found.extend(bound);
    }
    found
}

/// Parses a number inside a sentence: `1,`, `[0`, `10^6`.
fn number_of(word: &str) -> Option<f64> {
    let word = word.trim_matches(|c| matches!(c, ',' | ':' | ';' | '[' | ']' | '(' | ')'));
    match word.split_once('^') {
        Some((base, power)) => Some(base.parse::<f64>().ok()?.powi(power.parse().ok()?)),
        None => word.parse().ok().filter(|number: &f64| number.is_finite()),
    }
}

/// Collects the paths of all values that are not groups of options.
fn leaves(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                let inner = match path {
                    "" => name.clone(),
                    path => format!("{path}.{name}"),
                };
                leaves(value, &inner, found);
            }
        }
        _ => found.push(path.to_owned()),
    }
}
