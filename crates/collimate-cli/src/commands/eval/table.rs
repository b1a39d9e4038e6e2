//! Tables as text.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table as Columns};
use serde::Serialize;

/// A table with a name; its first column is text, the others are numbers.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Table {
    pub(crate) title: String,
    pub(crate) header: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<const N: usize>(title: &str, header: [&str; N]) -> Self {
        Self {
            title: title.to_owned(),
            header: header.map(str::to_owned).into(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Writes the columns side by side, for a terminal.
    pub(crate) fn text(&self) -> String {
        let mut columns = Columns::new();
        columns.load_style(NOTHING).set_header(&self.header);
        columns.add_rows(&self.rows);
        for (index, column) in columns.column_iter_mut().enumerate() {
            match index {
                0 => column.set_padding((0, 0)),
                _ => {
                    column.set_cell_alignment(CellAlignment::Right);
                    column.set_padding((2, 0))
                }
            };
        }
        format!("{}\n{}\n", self.title, columns.trim_fmt())
    }
}

/// Writes a number with three decimals, or a dash.
pub(crate) fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"))
}

/// Writes `[low, high]`, or a dash.
pub(crate) fn interval(value: Option<collimate::eval::Interval>) -> String {
    value.map_or_else(
        || "-".to_owned(),
        |value| format!("[{:.3}, {:.3}]", value.low, value.high),
    )
}

/// Writes a share in per cent.
pub(crate) fn per_cent(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{:.1} %", 100.0 * value))
}
