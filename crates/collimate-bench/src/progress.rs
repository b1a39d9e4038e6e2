//! What the runner says while it works, on standard error.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::Row;
use crate::tables::{duration, fields_line};

pub(crate) fn progress_bar(total: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar:.cyan/dim} {pos}/{len} [{elapsed}]")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr())
        .with_style(style);
    bar.enable_steady_tick(Duration::from_secs(1));
    bar
}

pub(crate) fn say(bar: &ProgressBar, text: &str) {
    bar.suspend(|| eprintln!("{text}"));
}

pub(crate) fn line(row: &Row, count: usize, total: usize, elapsed: Duration) -> String {
    let result = match &row.error {
        Some(error) => format!("FAILED: {error}"),
        None => fields_line(&row.fields),
    };
    let left = elapsed.as_secs_f64() / count as f64 * total.saturating_sub(count) as f64;
    let left = match total.saturating_sub(count) {
        0 => String::new(),
        cells => format!("; {cells} left, about {}", duration(left)),
    };
    let took = duration(row.seconds);
    format!("[{count}/{total}] {} in {took}: {result}{left}", row.cell)
}
