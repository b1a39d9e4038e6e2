//! Line numbers in sentences.

/// Line numbers that a sentence names at most.
const NAMED: usize = 5;

/// The first few of some line numbers: `line 3`, `lines 3, 8 and 4 more`.
pub(super) fn named(lines: &[usize]) -> String {
    let first: Vec<String> = lines.iter().take(NAMED).map(usize::to_string).collect();
    let word = if lines.len() == 1 { "line" } else { "lines" };
    match lines.len() - first.len() {
        0 => format!("{word} {}", first.join(", ")),
        more => format!("{word} {} and {more} more", first.join(", ")),
    }
}

/// A number with its noun: `1 row`, `3 rows`.
pub(super) fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

/// The lines that a report keeps.
pub(super) fn first(lines: &[usize]) -> Vec<usize> {
    lines.iter().take(NAMED).copied().collect()
}
