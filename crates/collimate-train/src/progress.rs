//! Display of the progress of long work.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Display of progress on standard error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Progress {
    /// A bar on a terminal, otherwise a line every ten seconds.
    #[default]
    Auto,
    /// Lines, at most one per given duration.
    Lines(Duration),
    /// No display.
    Silent,
}

const LINE_EVERY: Duration = Duration::from_secs(10);

impl Progress {
    /// Starts the display of work of `total` parts, of which `done` are already done.
    pub fn start(self, label: &str, done: u64, total: u64) -> Meter {
        self.begin(label, done, Some(total))
    }

    /// Starts the display of work of an unknown number of parts, such as the rows of a file that is
    /// read once.
    pub fn start_unknown(self, label: &str) -> Meter {
        self.begin(label, 0, None)
    }

    fn begin(self, label: &str, done: u64, total: Option<u64>) -> Meter {
        let show = match self {
            Self::Silent => Show::Nothing,
            Self::Lines(every) => Show::Lines { every, last: None },
            Self::Auto if std::io::stderr().is_terminal() => Show::Bar(bar(label, done, total)),
            Self::Auto => Show::Lines {
                every: LINE_EVERY,
                last: None,
            },
        };
        Meter {
            show,
            label: label.to_owned(),
            done,
            total,
            first: done,
            started: Instant::now(),
        }
    }
}

fn bar(label: &str, done: u64, total: Option<u64>) -> ProgressBar {
    let template = match total {
        Some(_) => "{prefix} {wide_bar:.cyan/dim} {pos}/{len} [{elapsed} < {eta}] {msg}",
        None => "{prefix} {spinner} {pos} {msg} [{elapsed}, {per_sec}]",
    };
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─");
    ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr())
        .with_style(style)
        .with_prefix(label.to_owned())
        .with_position(done)
}

#[derive(Debug)]
enum Show {
    Bar(ProgressBar),
    Lines {
        every: Duration,
        last: Option<Instant>,
    },
    Nothing,
}

/// Display of work in progress.
#[derive(Debug)]
pub struct Meter {
    show: Show,
    label: String,
    done: u64,
    total: Option<u64>,
    first: u64,
    started: Instant,
}

impl Meter {
    /// Reports that `done` parts are done, with a short message.
    pub fn set(&mut self, done: u64, message: &str) {
        self.done = done;
        let line = self.line(message);
        match &mut self.show {
            Show::Bar(bar) => {
                bar.set_position(done);
                bar.set_message(message.to_owned());
            }
            Show::Lines { every, last } => {
                if last.is_none_or(|last| last.elapsed() >= *every) || Some(done) == self.total {
                    *last = Some(Instant::now());
                    tell(&line);
                }
            }
            Show::Nothing => {}
        }
    }

    /// Prints a line without breaking the bar.
    pub fn say(&self, line: &str) {
        match &self.show {
            Show::Bar(bar) => bar.suspend(|| tell(line)),
            Show::Lines { .. } => tell(line),
            Show::Nothing => {}
        }
    }

    fn line(&self, message: &str) -> String {
        let elapsed = self.started.elapsed();
        let Self { label, done, .. } = self;
        let Some(total) = self.total else {
            return format!("{label} {done} {message} [{}]", duration(elapsed));
        };
        let here = done.saturating_sub(self.first);
        let left = total.saturating_sub(*done);
        let eta = match here {
            0 => "?".to_owned(),
            _ => {
                let seconds = elapsed.as_secs_f64() * left as f64 / here as f64;
                Duration::try_from_secs_f64(seconds).map_or_else(|_| "?".to_owned(), duration)
            }
        };
        format!(
            "{label} {done}/{total} [{} < {eta}] {message}",
            duration(elapsed)
        )
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Show::Bar(bar) = &self.show {
            bar.abandon();
        }
    }
}

/// Writes a line to standard error. A closed standard error must not stop the work.
fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        let texts = [5, 65, 3723].map(|s| duration(Duration::from_secs(s)));
        assert_eq!(texts, ["5s", "1m05s", "1h02m"]);
    }

    #[test]
    fn a_line_says_where_the_work_is() {
        let mut meter = Progress::Silent.start("sft", 2, 10);
        meter.set(2, "loss 0.5");
        assert_eq!(meter.line("loss 0.5"), "sft 2/10 [0s < ?] loss 0.5");
        let mut meter = Progress::Silent.start_unknown("score");
        meter.set(7, "rows");
        assert_eq!(meter.line("rows"), "score 7 rows [0s]");
    }
}
