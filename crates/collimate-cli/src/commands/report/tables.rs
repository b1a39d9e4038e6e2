//! A summary as tables.

use serde_json::{Map, Value, json};

/// Returns the numbers of a summary in the form that the overview reads: single values in one
/// table, and each list of objects in its own table.
pub(super) fn of(summary: &Value) -> Value {
    let mut single = Vec::new();
    let mut lists = Vec::new();
    flatten("", summary, &mut single, &mut lists);
    let table = |(name, rows): (String, Rows)| {
        let (header, rows) = table(&rows);
        json!({"title": name, "header": header, "rows": rows})
    };
    let lists: Vec<Value> = lists.into_iter().map(table).collect();
    json!({"single": single, "lists": lists})
}

/// Rows of a list, each an object with single values.
type Rows = Vec<Map<String, Value>>;

/// Walks through a value. Lists of objects go to `lists`; other values go to `single` under their
/// path.
fn flatten(
    path: &str,
    value: &Value,
    single: &mut Vec<[String; 2]>,
    lists: &mut Vec<(String, Rows)>,
) {
    let below = |key: &str| match path.is_empty() {
        true => key.to_owned(),
        false => format!("{path}.{key}"),
    };
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                flatten(&below(key), value, single, lists);
            }
        }
        Value::Array(items) if !items.is_empty() && items.iter().all(Value::is_object) => {
            lists.push((path.to_owned(), items.iter().map(row).collect()));
        }
        other => single.push([path.to_owned(), shown(other)]),
    }
}

/// Returns an object with the single values inside `item`, each under its path.
fn row(item: &Value) -> Map<String, Value> {
    let (mut single, mut lists) = (Vec::new(), Vec::new());
    flatten("", item, &mut single, &mut lists);
    let counts = lists
        .into_iter()
        .map(|(name, rows)| (name, Value::String(format!("{} rows", rows.len()))));
    let single = single
        .into_iter()
        .map(|[name, text]| (name, Value::String(text)));
    single.chain(counts).collect()
}

fn table(rows: &Rows) -> (Vec<String>, Vec<Vec<String>>) {
    let mut header: Vec<String> = Vec::new();
    for key in rows.iter().flat_map(Map::keys) {
        if !header.contains(key) {
            header.push(key.clone());
        }
    }
    let cells = |row: &Map<String, Value>| {
        let cell = |key: &String| row.get(key).map_or_else(|| "–".to_owned(), shown);
        header.iter().map(cell).collect()
    };
    let cells = rows.iter().map(cells).collect();
    (header, cells)
}

/// Maximum length of a cell, in characters.
const CELL: usize = 80;

/// Writes a value as a cell: numbers with six significant digits, long texts cut.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            Some(float) if !number.is_u64() && !number.is_i64() => significant(float),
            _ => number.to_string(),
        },
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(shown).collect();
            items.join(", ")
        }
        other => other.to_string(),
    };
    match text.chars().count() > CELL {
        true => text.chars().take(CELL).chain(['…']).collect(),
        false => text,
    }
}

fn significant(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let digits = 5 - value.abs().log10().floor() as i32;
    match (0..=12).contains(&digits) {
        true => {
            let text = format!("{value:.*}", digits as usize);
            match text.contains('.') {
                true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
                false => text,
            }
        }
        false => format!("{value:e}"),
    }
}
