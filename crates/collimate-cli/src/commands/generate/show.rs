//! Shows completions while they are generated, and keeps the finished ones.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use collimate::core::Completion;
use collimate::lm::{GenerationProgress, Place, Watch};
use collimate::train::{self, Interrupt, Meter};

use crate::common;

/// Shows the text of a single completion, or the number of finished ones if there are several.
/// Keeps the finished completions.
pub(crate) struct Show {
    /// Progress bar; `None` if the text itself is shown.
    meter: Option<Meter>,
    interrupt: Interrupt,
    /// Reason why standard output accepts no more text.
    lost: Option<String>,
    started: Instant,
    tokens: usize,
    /// Completions of each prompt, up to the last finished sample.
    finished: Vec<Vec<Option<Completion>>>,
}

/// Delay of the first progress line, which says little before a completion is finished.
const FIRST_LINE: Duration = Duration::from_secs(1);

/// The finished completions, with their cost.
pub(crate) struct Found {
    /// Finished completions of each prompt, in order.
    pub(crate) completions: Vec<Vec<Completion>>,
    pub(crate) tokens: usize,
    pub(crate) elapsed: Duration,
    /// Reason why standard output accepts no more text.
    pub(crate) lost: Option<String>,
}

impl Found {
    pub(crate) fn count(&self) -> usize {
        self.completions.iter().map(Vec::len).sum()
    }
}

impl Show {
    pub(crate) fn new(prompts: usize, n: usize, live: bool, interrupt: Interrupt) -> Self {
        let total = prompts.saturating_mul(n) as u64;
        Self {
            meter: (!live).then(|| train::Progress::Auto.start("completions", 0, total)),
            interrupt,
            lost: None,
            started: Instant::now(),
            tokens: 0,
            finished: vec![Vec::new(); prompts],
        }
    }

    /// Ends the output and returns the finished completions.
    pub(crate) fn into_finished(mut self) -> Found {
        if self.meter.is_none() && self.tokens > 0 {
            self.write("\n");
        }
        let rows = self.finished.into_iter();
        Found {
            completions: rows
                .map(|row| row.into_iter().flatten().collect())
                .collect(),
            tokens: self.tokens,
            elapsed: self.started.elapsed(),
            lost: self.lost,
        }
    }

    /// Writes to standard output until a write fails. The first failure is the one that is
    /// reported.
    fn write(&mut self, text: &str) {
        if self.lost.is_none() {
            self.lost = common::print(text).err().map(|error| error.to_string());
        }
    }
}

impl Watch for Show {
    fn text(&mut self, _: Place, piece: &str) {
        if self.meter.is_none() {
            self.write(piece);
        }
    }

    fn finished(&mut self, place: Place, completion: &Completion) {
        let samples = &mut self.finished[place.prompt];
        if samples.len() <= place.sample {
            samples.resize(place.sample + 1, None);
        }
        samples[place.sample] = Some(completion.clone());
    }

    fn progress(&mut self, progress: GenerationProgress) -> ControlFlow<()> {
        self.tokens = progress.tokens;
        let elapsed = self.started.elapsed();
        let early = progress.finished == 0 && elapsed < FIRST_LINE;
        if let Some(meter) = self.meter.as_mut().filter(|_| !early) {
            let speed = progress.tokens as f64 / elapsed.as_secs_f64().max(1e-9);
            let message = format!("{} tokens, {speed:.0}/s", progress.tokens);
            meter.set(progress.finished as u64, &message);
        }
        let stop = self.lost.is_some() || self.interrupt.is_set();
        match stop && progress.finished < progress.total {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}
