//! A judging model that shows its progress and stops on Ctrl-C.

use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

use collimate::core::{Answers, Completion, GenerateError, Generator, Prompt, Sampling, hand_out};
use collimate::lm::{self, Llama, TextGenerator, Watch};
use collimate::train::{Interrupt, Meter, Progress};

/// The model that writes judgements.
pub(crate) enum Source {
    Folder(Box<TextGenerator<Llama>>),
    Server(Box<dyn Generator>),
}

/// A judging model that stops between two calls, so that the results of a call are in the judge's
/// cache. A model in this process also stops within a call.
pub(crate) struct Watched {
    source: Source,
    interrupt: Interrupt,
    meter: Mutex<Option<(Meter, u64)>>,
}

impl Watched {
    pub(crate) fn new(source: Source, interrupt: Interrupt) -> Self {
        Self {
            source,
            interrupt,
            meter: Mutex::new(None),
        }
    }

    /// Shows the progress of at most `total` judgements from now on.
    pub(crate) fn begin(&self, label: &str, total: usize) {
        let meter = Progress::Auto.start(label, 0, total as u64);
        *self.meter.lock().unwrap_or_else(PoisonError::into_inner) = Some((meter, 0));
    }

    /// Stops showing progress.
    pub(crate) fn end(&self) {
        *self.meter.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn advance(&self, by: usize) {
        let mut meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((meter, done)) = meter.as_mut() {
            *done += by as u64;
            meter.set(*done, "judgements");
        }
    }
}

impl Generator for Watched {
    fn generate(
        &self,
        prompts: &[Prompt],
        sampling: &Sampling,
    ) -> Result<Vec<Vec<Completion>>, GenerateError> {
        if self.interrupt.is_set() {
            return Err(GenerateError::Interrupted);
        }
        let written = match &self.source {
            Source::Folder(model) => {
                let mut stop = Stop(self.interrupt.clone());
                model.generate_watched(prompts, sampling, &mut stop)
            }
            Source::Server(server) => server.generate(prompts, sampling),
        }?;
        self.advance(written.iter().map(Vec::len).sum());
        Ok(written)
    }

    /// Hands out a server's answers as they arrive, so that answers that were paid for are kept if
    /// a later one fails.
    fn hand_out(
        &self,
        prompts: &[Prompt],
        sampling: &Sampling,
        take: &mut dyn FnMut(usize, Answers),
    ) -> Result<(), GenerateError> {
        let Source::Server(server) = &self.source else {
            return hand_out(self, prompts, sampling, take);
        };
        if self.interrupt.is_set() {
            return Err(GenerateError::Interrupted);
        }
        server.hand_out(prompts, sampling, &mut |index, answers| {
            self.advance(match answers.refused {
                Some(_) => sampling.n,
                None => answers.completions.len(),
            });
            take(index, answers);
        })
    }
}

struct Stop(Interrupt);

impl Watch for Stop {
    fn progress(&mut self, _: lm::GenerationProgress) -> ControlFlow<()> {
        match self.0.is_set() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}
