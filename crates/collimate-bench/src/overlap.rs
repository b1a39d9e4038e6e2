//! Do runs select the same pairs? Jaccard similarity of selection files, across losses, models and
//! settings.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use collimate::eval::jaccard;
use serde_json::Value;

use crate::BenchError;

/// The selected offline pairs of a file that the SeRA recipe wrote (`selections/NAME-2.jsonl`). A
/// pair is its prompt and its two answers, in whatever order: a swapped label makes no other pair.
///
/// # Errors
/// A file that cannot be read, or a line that is no selected pair.
pub fn selected(path: &Path) -> Result<Vec<String>, BenchError> {
    let text = std::fs::read_to_string(path).map_err(BenchError::io(path))?;
    let mut pairs = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let wrong = |reason: String| BenchError::Row {
            path: path.to_owned(),
            line: index + 1,
            reason,
        };
        let row: Value = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
        let field = |name: &str| {
            let value = row.get(name).map(Value::to_string);
            value.ok_or_else(|| wrong(format!("has no {name}")))
        };
        if field("source")? != "\"offline\"" {
            continue;
        }
        let mut answers = [field("chosen")?, field("rejected")?];
        answers.sort();
        pairs.push(format!("{} {}", field("prompt")?, answers.join(" ")));
    }
    Ok(pairs)
}

/// A table of the similarity of every two files.
///
/// # Errors
/// As [`selected`].
pub fn overlap_table(files: &[PathBuf]) -> Result<String, BenchError> {
    let sets: Vec<Vec<String>> = files
        .iter()
        .map(|path| selected(path))
        .collect::<Result<_, _>>()?;
    let mut table = String::from("| | pairs |");
    for number in 1..=files.len() {
        let _ = write!(table, " {number} |");
    }
    let _ = write!(table, "\n|---|---|{}\n", "---|".repeat(files.len()));
    for (number, (file, set)) in files.iter().zip(&sets).enumerate() {
        let _ = write!(
            table,
            "| {} {} | {} |",
            number + 1,
            file.display(),
            set.len()
        );
        for other in &sets {
            let _ = write!(table, " {:.3} |", jaccard(set, other));
        }
        table.push('\n');
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_of_answers_and_own_pairs_make_no_difference() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, rows: &[&str]| {
            let path = folder.path().join(name);
            std::fs::write(&path, rows.join("\n")).unwrap();
            path
        };
        let a = write(
            "a.jsonl",
            &[
                r#"{"prompt":"p","chosen":"x","rejected":"y","source":"offline"}"#,
                r#"{"prompt":"q","chosen":"x","rejected":"y","source":"offline"}"#,
            ],
        );
        let b = write(
            "b.jsonl",
            &[
                r#"{"prompt":"p","chosen":"y","rejected":"x","source":"offline"}"#,
                r#"{"prompt":"q","chosen":"x","rejected":"y","source":"bootstrapped"}"#,
            ],
        );
        let table = overlap_table(&[a.clone(), b]).unwrap();
        assert!(table.contains("| 2 | 1.000 | 0.500 |"), "{table}");
        assert!(table.contains("| 1 | 0.500 | 1.000 |"), "{table}");
        let bad = write("bad.jsonl", &[r#"{"prompt":"p"}"#]);
        let error = overlap_table(&[a, bad]).unwrap_err().to_string();
        assert!(
            error.ends_with("bad.jsonl:1: not a row of such a file: has no source"),
            "{error}"
        );
    }
}
