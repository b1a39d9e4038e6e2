//! Line numbers in sentences.

/// Maximum number of line numbers in a sentence.
pub(super) const NAMED: usize = 5;

/// Lists the first few numbers of lines: `line 3`, `lines 3, 8 and 4 more`. `unit` is `line`, or `row`
/// for files without lines.
pub(super) fn named(unit: &str, lines: &[usize]) -> String {
    let first: Vec<String> = lines.iter().take(NAMED).map(usize::to_string).collect();
    let plural = if lines.len() == 1 { "" } else { "s" };
    match lines.len() - first.len() {
        0 => format!("{unit}{plural} {}", first.join(", ")),
        more => format!("{unit}{plural} {} and {more} more", first.join(", ")),
    }
}

/// Writes a number with its noun: `1 row`, `3 rows`.
pub(super) fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}
