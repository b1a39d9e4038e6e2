//! The layout of rendered Markdown.

use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;

/// Aligns the columns of tables and leaves one blank line between blocks.
///
/// A table is a sequence of lines that begin with `|`. The second line is the rule below the
/// header.
pub(crate) fn tidy(text: &str) -> String {
    let is_row = |line: &str| line.starts_with('|');
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let blocks = lines.chunk_by(|a, b| is_row(a) == is_row(b));
    let laid_out = blocks.flat_map(|block| match is_row(block[0]) {
        true => aligned(block),
        false => block.iter().map(|&line| line.to_owned()).collect(),
    });
    let mut tidy: Vec<String> = laid_out.collect();
    tidy.dedup_by(|line, before| line.is_empty() && before.is_empty());
    tidy.join("\n").trim().to_owned() + "\n"
}

fn aligned(lines: &[&str]) -> Vec<String> {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(cells(lines[0]));
    table.add_rows(lines.iter().skip(2).map(|line| cells(line)));
    table.lines().collect()
}

/// Splits a row into cells; an escaped `|` belongs to a cell.
fn cells(line: &str) -> Vec<&str> {
    let inner = &line[1..];
    let inner = inner.strip_suffix('|').unwrap_or(inner);
    let mut cells = Vec::new();
    let mut start = 0;
    for (at, _) in inner.match_indices('|') {
        if !inner[..at].ends_with('\\') {
            cells.push(inner[start..at].trim());
            start = at + 1;
        }
    }
    cells.push(inner[start..].trim());
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_blank_lines_are_single() {
        let text = "\n# A\n\n\n| a\\|b | c|\n|---|---|\n| é | 22 |\n|  |\n\n\n> |x|\nend\n\n";
        let expected =
            "# A\n\n| a\\|b | c  |\n|------|----|\n| é    | 22 |\n|      |    |\n\n> |x|\nend\n";
        assert_eq!(tidy(text), expected);
    }
}
