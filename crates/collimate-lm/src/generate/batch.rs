//! One lane of generation: a batch of rows that grow together. Rows enter, take steps and leave.

use std::collections::HashMap;

use collimate_core::{Completion, Finish, GenerateError, Key};
use collimate_nn::{CausalLm, KvCache};
use rayon::prelude::*;

use super::generator::{BatchLimits, TextGenerator};
use super::lanes::Work;
use super::row::Row;
use super::text::GrowingText;
use super::watch::Place;

/// A prompt that is the last row of the cache and waits for room for its samples.
struct Parked {
    prompt: usize,
    /// Number of the next sample.
    next: usize,
    logits: Vec<f32>,
}

/// Finished completions by prompt and sample; samples that are not finished are `None`.
pub(super) type Written = HashMap<usize, Vec<Option<Completion>>>;

/// One lane: a batch of rows that grow together.
pub(super) struct Batch<'a, 'w, M: CausalLm> {
    generator: &'a TextGenerator<M>,
    work: &'a Work<'a, 'w>,
    limits: BatchLimits,
    /// True if this is the only lane, which then has all threads.
    alone: bool,
    cache: M::Cache,
    /// The rows in the order of the cache's first rows.
    rows: Vec<Row<'a>>,
    parked: Option<Parked>,
    results: Written,
    /// Number of tokens since the last report.
    tokens: usize,
}

impl<'a, 'w, M: CausalLm> Batch<'a, 'w, M> {
    pub(super) fn new(
        generator: &'a TextGenerator<M>,
        cache: M::Cache,
        work: &'a Work<'a, 'w>,
        limits: BatchLimits,
        alone: bool,
    ) -> Self {
        Self {
            generator,
            work,
            limits,
            alone,
            cache,
            rows: Vec::new(),
            parked: None,
            results: Written::new(),
            tokens: 0,
        }
    }

    pub(super) fn run(mut self) -> Result<Written, GenerateError> {
        loop {
            self.admit()?;
            if self.rows.is_empty() && self.parked.is_none() {
                // Completions that ended with their first token have been reported.
                return Ok(self.results);
            }
            self.step()?;
            self.report()?;
        }
    }

    /// Reports the progress. A request to stop is ignored once the last completion is finished.
    fn report(&mut self) -> Result<(), GenerateError> {
        let tokens = std::mem::take(&mut self.tokens);
        let shared = &mut *self.work.shared();
        shared.progress.tokens += tokens;
        let stop = shared.watch.progress(shared.progress).is_break();
        let ended = self.work.ended();
        if (stop || ended) && shared.progress.finished < shared.progress.total {
            return Err(GenerateError::Interrupted);
        }
        Ok(())
    }

    /// Returns the number of tokens that the cache may come to hold for the rows and the parked
    /// prompt.
    fn reserved(&self) -> usize {
        let mut prompts: Vec<usize> = self.rows.iter().map(|row| row.place.prompt).collect();
        prompts.extend(self.parked.as_ref().map(|parked| parked.prompt));
        prompts.sort_unstable();
        prompts.dedup();
        let prompts: usize = prompts
            .iter()
            .map(|&prompt| self.work.prompts[prompt].len())
            .sum();
        prompts + self.rows.iter().map(|row| row.limit).sum::<usize>()
    }

    /// Returns the largest number of new tokens after a prompt.
    fn limit(&self, prompt: usize) -> usize {
        let context = self.generator.model().max_positions();
        self.work
            .sampling
            .max_new_tokens
            .min(context - self.work.prompts[prompt].len())
    }

    /// Admits waiting samples once there is room for several of them: a pass that reads prompts
    /// costs as much as a step.
    fn admit(&mut self) -> Result<(), GenerateError> {
        let limits = self.limits;
        if self.rows.len() > limits.rows - limits.rows / 4 {
            return Ok(());
        }
        while self.rows.len() < limits.rows {
            if self.parked.is_none() {
                let next = self.work.next();
                if next >= self.work.prompts.len() {
                    break;
                }
                let needed = self.work.prompts[next].len() + self.limit(next);
                if !self.rows.is_empty() && self.reserved() + needed > limits.tokens {
                    break;
                }
                // If another lane has taken the prompt, this lane looks for the next one.
                if self.work.takes(next) {
                    self.read_prompt(next)?;
                } else {
                    continue;
                }
            }
            let done = self.enter()?;
            self.report()?;
            if !done {
                break;
            }
        }
        Ok(())
    }

    /// Reads a prompt in a pass alone, because its result must not depend on other rows.
    fn read_prompt(&mut self, prompt: usize) -> Result<(), GenerateError> {
        let row = self.cache.push();
        let logits = self.logits(&[(row, &self.work.prompts[prompt])])?;
        self.parked = Some(Parked {
            prompt,
            next: 0,
            logits,
        });
        Ok(())
    }

    /// Admits samples of the parked prompt. Returns true if the prompt has no samples left.
    fn enter(&mut self) -> Result<bool, GenerateError> {
        let mut reserved = self.reserved();
        let Some(mut parked) = self.parked.take() else {
            return Ok(true);
        };
        let limits = self.limits;
        let (prompt, limit) = (parked.prompt, self.limit(parked.prompt));
        let row = self.rows.len();
        let mut kept: Vec<usize> = (0..row).collect();
        while parked.next < self.work.sampling.n
            && self.rows.len() < limits.rows
            && (self.rows.is_empty() || reserved + limit <= limits.tokens)
        {
            let mut new = self.row(prompt, parked.next, limit)?;
            parked.next += 1;
            let id = new.choose(&self.work.rule, &parked.logits)?;
            if let Some(finish) = self.take(&mut new, id)? {
                self.finish(&new, finish);
                self.report()?;
            } else {
                reserved += limit;
                self.rows.push(new);
                kept.push(row);
            }
        }
        let done = parked.next == self.work.sampling.n;
        if !done {
            kept.push(row);
            self.parked = Some(parked);
        }
        self.cache.keep(&kept);
        Ok(done)
    }

    fn row(&self, prompt: usize, sample: usize, limit: usize) -> Result<Row<'a>, GenerateError> {
        let ids = &self.work.prompts[prompt];
        let seed = Key::new(self.work.sampling.seed, "generate");
        let key = ids.iter().fold(seed, |key, &id| key.with(u64::from(id)));
        // A repeated prompt continues the numbers of its earlier samples.
        let number = self.work.repeats[prompt] * self.work.sampling.n + sample;
        let key = key.with(ids.len() as u64).with(number as u64);
        let (tokenizer, stops) = (self.generator.tokenizer(), &self.work.sampling.stop);
        let text =
            GrowingText::new(tokenizer, ids, stops).map_err(|error| GenerateError::Prompt {
                index: prompt,
                message: error.to_string(),
            })?;
        let seen = if self.work.rule.looks_back() {
            ids.as_slice()
        } else {
            &[]
        };
        Ok(Row::new(Place { prompt, sample }, key, seen, text, limit))
    }

    /// Reads each row's last token and chooses its next token.
    fn step(&mut self) -> Result<(), GenerateError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let last: Vec<[u32; 1]> = self.rows.iter().map(|row| [row.last()]).collect();
        let reads: Vec<(usize, &[u32])> = last.iter().map(|id| id.as_slice()).enumerate().collect();
        let logits = self.logits(&reads)?;
        let vocab = logits.len() / self.rows.len();
        let rule = self.work.rule;
        let choose = |(row, logits): (&Row<'_>, &[f32])| row.choose(&rule, logits);
        let chosen: Vec<Result<u32, GenerateError>> = match self.alone {
            true => {
                let rows = self.rows.par_iter();
                rows.zip(logits.par_chunks_exact(vocab))
                    .map(choose)
                    .collect()
            }
            false => {
                let rows = self.rows.iter();
                rows.zip(logits.chunks_exact(vocab)).map(choose).collect()
            }
        };
        let parked = self.rows.len();
        let (mut rows, mut kept) = (Vec::with_capacity(parked), Vec::with_capacity(parked + 1));
        for (index, (mut row, id)) in std::mem::take(&mut self.rows)
            .into_iter()
            .zip(chosen)
            .enumerate()
        {
            match self.take(&mut row, id?)? {
                Some(finish) => self.finish(&row, finish),
                None => {
                    rows.push(row);
                    kept.push(index);
                }
            }
        }
        self.rows = rows;
        if kept.len() < parked {
            kept.extend(self.parked.is_some().then_some(parked));
            self.cache.keep(&kept);
        }
        Ok(())
    }

    fn logits(&mut self, reads: &[(usize, &[u32])]) -> Result<Vec<f32>, GenerateError> {
        let model = self.generator.model();
        let logits = model.extend(reads, &mut self.cache).into_data();
        logits
            .try_into_vec_as::<f32>()
            .map_err(|error| GenerateError::Other(format!("the logits cannot be read: {error}")))
    }

    /// Adds a token to a row. Returns the reason if the row ends with it.
    fn take(&mut self, row: &mut Row<'_>, id: u32) -> Result<Option<Finish>, GenerateError> {
        self.tokens += 1;
        let ending = match self.generator.eos().contains(&id) {
            true => Some(Finish::Eos),
            false => self.work.stop_ids.contains(&id).then_some(Finish::Stop),
        };
        let finish = row.take(id, ending, self.work.rule.looks_back())?;
        let piece = row.text.show(finish.is_some());
        if !piece.is_empty() {
            self.work.shared().watch.text(row.place, piece);
        }
        Ok(finish)
    }

    fn finish(&mut self, row: &Row<'_>, finish: Finish) {
        let completion = Completion {
            text: row.text.text().to_owned(),
            tokens: Some(row.tokens.clone()),
            finish,
        };
        {
            let shared = &mut *self.work.shared();
            shared.progress.finished += 1;
            shared.watch.finished(row.place, &completion);
        }
        let Place { prompt, sample } = row.place;
        let samples = self.results.entry(prompt).or_default();
        if samples.len() <= sample {
            samples.resize(sample + 1, None);
        }
        samples[sample] = Some(completion);
    }
}
