//! Jaccard similarity of the pairs that runs selected, across losses, models and settings.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Selected {
    prompt: Value,
    chosen: Value,
    rejected: Value,
    source: String,
}

/// Reads the selected offline pairs of a file that SeRA wrote (`selections/NAME-2.jsonl`). A pair
/// is its prompt with its two answers in any order: a swapped label gives the same pair.
fn selected(path: &Path) -> Result<BTreeSet<String>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut pairs = BTreeSet::new();
    for (index, line) in text.lines().enumerate() {
        let row: Selected = serde_json::from_str(line)
            .with_context(|| format!("{}:{}: not a selected pair", path.display(), index + 1))?;
        if row.source == "offline" {
            let mut answers = [row.chosen.to_string(), row.rejected.to_string()];
            answers.sort();
            pairs.insert(format!("{} {}", row.prompt, answers.join(" ")));
        }
    }
    Ok(pairs)
}

/// Makes a table of the similarity of every two files: the number of shared pairs over the number
/// of all pairs.
///
/// # Errors
/// Returns an error for a file that cannot be read, or a line that is not a selected pair.
pub fn overlap_table(files: &[PathBuf]) -> Result<String> {
    let sets = files.iter().map(|path| selected(path));
    let sets = sets.collect::<Result<Vec<BTreeSet<String>>>>()?;
    let mut table = String::from("| | pairs |");
    for number in 1..=files.len() {
        write!(table, " {number} |")?;
    }
    writeln!(table, "\n|---|---|{}", "---|".repeat(files.len()))?;
    for (index, (file, set)) in files.iter().zip(&sets).enumerate() {
        write!(
            table,
            "| {} {} | {} |",
            index + 1,
            file.display(),
            set.len()
        )?;
        for other in &sets {
            let similarity = match set.union(other).count() {
                0 => 1.0,
                all => set.intersection(other).count() as f64 / all as f64,
            };
            write!(table, " {similarity:.3} |")?;
        }
        table.push('\n');
    }
    Ok(table)
}
