//! `--dry-run`: rows, tokens, steps, memory and time of a run, before a model is loaded.

mod disk;
mod held;
mod memory;
mod pool;
mod speed;
mod weights;

use std::path::{Path, PathBuf};

use collimate::core::PreferencePair;
use collimate::data::{
    AnswerEnd, Format, Input, ReadOptions, SftExample, TextTokenizer, TokenizeReport, Truncation,
};
use collimate::prelude::Device;
use collimate::train::TrainConfig;

use crate::common::{self, Failure};
use crate::files;
use crate::loading::SavedActivations;
use crate::rendering::Rendering;
use crate::runs;

pub(crate) use disk::free_bytes;
pub(crate) use held::{Abilities, Beside, Held, TRAIN_ADAPTERS, Writing, largest, parameters};
pub(crate) use memory::{Limit, cap_micro_batches};
pub(crate) use pool::Pool;
use weights::Weights;

/// Number of rows whose tokens are counted. The other rows are assumed to be similar.
const SAMPLE: usize = 2000;

/// The parts of a run that determine rows, tokens, memory and time.
#[derive(Debug)]
pub(crate) struct Preview {
    pub(crate) model: PathBuf,
    /// True if the model must be a language model.
    pub(crate) writes: bool,
    pub(crate) files: Vec<PathBuf>,
    pub(crate) rows: RowsOf,
    pub(crate) reading: ReadOptions,
    pub(crate) rendering: Rendering,
    pub(crate) max_length: usize,
    pub(crate) max_prompt_length: Option<usize>,
    pub(crate) truncation: Truncation,
    /// If true, low-rank adapters are trained instead of all weights.
    pub(crate) lora: bool,
    pub(crate) saved_activations: SavedActivations,
    /// Pairs without labels, in addition to the files.
    pub(crate) pool: Option<Pool>,
    pub(crate) trainings: Vec<Training>,
    /// Number of models that the run saves.
    pub(crate) models: usize,
    /// Number of models beside the trained one that are held in memory, if all weights are trained.
    pub(crate) copies: usize,
    /// Description of the parts of the run that the estimate leaves out.
    pub(crate) left_out: Option<&'static str>,
}

/// Kind of rows that a training takes from files.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum RowsOf {
    /// Preference pairs.
    Pairs,
    /// Demonstrations, or the chosen answers of pairs.
    Demonstrations,
    /// Labelled answers, or both answers of pairs.
    Labelled,
}

/// One training of a run.
#[derive(Debug)]
pub(crate) struct Training {
    pub(crate) name: &'static str,
    /// Share of the rows that the training learns from.
    pub(crate) share: f64,
    /// If true, the training also learns from the pairs without labels.
    pub(crate) pool: bool,
    pub(crate) train: TrainConfig,
    /// Number of trainings of this kind, which run one after the other.
    pub(crate) times: u64,
    /// Number of passes over the rows without gradients, for the log-probabilities of a reference.
    pub(crate) passes: u64,
    /// Number of trainings whose checkpoints lie on disk at the same time, if not all.
    pub(crate) at_once: Option<u64>,
}

/// Rows of the files, read in full, as texts.
enum Rows {
    Pairs(Vec<PreferencePair>),
    Examples(Vec<SftExample>),
}

impl Preview {
    /// Prints the estimate of the run.
    pub(crate) fn print(&self, device: &Device, recompute: bool) -> Result<(), Failure> {
        let weights = Weights::of(&self.model)?;
        if self.writes {
            common::check_writer("--model", &self.model)?;
        }
        if weights.positions.is_some_and(|most| self.max_length > most) {
            let most = weights.positions.unwrap_or_default();
            return Err(format!(
                "max_length is {}, but the model takes at most {most} tokens: give --max-length \
                 {most}",
                self.max_length
            )
            .into());
        }
        let tokenizer = self.tokenizer()?;
        let (mut lines, mut rows) = (Vec::new(), 0);
        let (mut counted, mut tokens, mut cut) = (0, 0, 0);
        files::check(self.files.iter())?;
        for path in &self.files {
            let (part, report) = self.read(path)?;
            let (total, tokenized) = match part {
                Rows::Pairs(pairs) => (pairs.len(), self.pairs(&tokenizer, &pairs)?),
                Rows::Examples(rows) => (rows.len(), self.examples(&tokenizer, &rows)?),
            };
            lines.push(("data", report));
            rows += total;
            counted += tokenized.pairs;
            tokens += tokenized.tokens;
            cut += tokenized.truncated;
        }
        let mut unlabelled = 0;
        if let Some(pool) = &self.pool {
            let found = pool.read(&self.reading)?;
            let tokenized = self.pairs(&tokenizer, &found.pairs)?;
            lines.extend(found.lines.into_iter().map(|line| ("pool", line)));
            unlabelled = found.pairs.len() + found.written;
            counted += tokenized.pairs;
            tokens += tokenized.tokens;
            cut += tokenized.truncated;
        }
        if counted == 0 {
            return Err("no row is left to learn from: run `collimate data check`".into());
        }
        let per_row = tokens as f64 / counted as f64;
        lines.push((
            "tokens",
            format!(
                "{per_row:.0} per row (mean of {counted} rows), {:.1} % of the rows are cut to {} \
                 tokens",
                100.0 * cut as f64 / counted as f64,
                self.max_length
            ),
        ));
        let (mut flops, mut largest) = (0.0, 0.0_f64);
        let parameters = weights.multiplied(self.writes);
        for training in &self.trainings {
            let of_training = (training.share * rows as f64).round() as usize
                + if training.pool { unlabelled } else { 0 };
            let steps = training.train.total_steps(of_training);
            runs::warn_of_warmup(&training.train, of_training);
            let rows_of_step = training.train.batch_size.min(of_training);
            let seen = steps as f64 * rows_of_step as f64 * per_row;
            let times = training.times as f64;
            // Two products in the forward pass and four in the backward pass; adapters need no
            // gradients of frozen weights.
            let factor = if self.lora { 4.0 } else { 6.0 } + if recompute { 2.0 } else { 0.0 };
            let passes = 2.0 * training.passes as f64 * of_training as f64 * per_row;
            flops += times * parameters * (factor * seen + passes);
            let batch = rows_of_step as f64 * per_row;
            let most = training
                .train
                .micro_batch_tokens
                .map_or(f64::INFINITY, |most| most as f64);
            largest = largest.max(batch.min(most).max(per_row));
            let of_each = match training.times {
                1 => String::new(),
                times => format!("{times} times "),
            };
            lines.push((
                training.name,
                format!(
                    "{of_each}{steps} steps of {rows_of_step} rows, {of_training} rows, {:.2} million tokens",
                    seen / 1e6
                ),
            ));
        }
        lines.push(("model", weights.describe(self.lora)));
        let memory = self.held().memory(recompute, Abilities::of(device))?;
        lines.push(("memory", memory.describe(largest)));
        lines.push(("disk", self.disk(&weights)));
        let rate = speed::flops_per_second(device, weights.hidden);
        // Matrix products take about half of a training's time.
        let seconds = flops / (0.5 * rate);
        lines.push((
            "time",
            format!(
                "about {} (matrix products now run at {:.0} GFLOP/s on this machine)",
                duration(seconds),
                rate / 1e9
            ),
        ));
        if let Some(left_out) = self.left_out {
            lines.push(("left out", left_out.to_owned()));
        }
        let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let text: String = lines
            .iter()
            .map(|(name, text)| format!("{name:<width$}  {text}\n"))
            .collect();
        common::print(&text)
    }

    /// The tokenizer that the run would use for scores.
    pub(crate) fn tokenizer(&self) -> Result<TextTokenizer, Failure> {
        let tokenizer = self.rendering.open(&self.model)?;
        Ok(tokenizer
            .with_max_prompt_length(self.max_prompt_length)
            .with_answer_end(AnswerEnd::EveryAnswer))
    }

    /// The rows of a file, and a sentence on the file.
    fn read(&self, path: &Path) -> Result<(Rows, String), Failure> {
        let mut input = Input::open(path)?;
        let format = self.reading.format.or_else(|| input.format().ok());
        let single = matches!(
            format,
            Some(Format::Messages | Format::PromptCompletion) | None
        );
        if self.rows == RowsOf::Labelled && single {
            let (rows, _) = input.read_labelled()?;
            let report = format!("{}: {} labelled answers", path.display(), rows.len());
            let rows = rows.into_iter().map(|row| row.example).collect();
            return Ok((Rows::Examples(rows), report));
        }
        if self.rows == RowsOf::Demonstrations && single {
            let (rows, report) = input.read_sft(&self.reading)?;
            return Ok((Rows::Examples(rows), report.to_string()));
        }
        let (pairs, report) = input.read_pairs(&self.reading)?;
        let chosen = pairs.iter().map(SftExample::from);
        let rows = match self.rows {
            RowsOf::Pairs => Rows::Pairs(pairs),
            RowsOf::Demonstrations => Rows::Examples(chosen.collect()),
            RowsOf::Labelled => {
                let rejected = pairs.iter().map(|pair| SftExample {
                    prompt: pair.prompt.clone(),
                    completion: pair.rejected.clone(),
                });
                Rows::Examples(chosen.chain(rejected).collect())
            }
        };
        Ok((rows, report.to_string()))
    }

    fn pairs(
        &self,
        tokenizer: &TextTokenizer,
        rows: &[PreferencePair],
    ) -> Result<TokenizeReport, Failure> {
        let sample = sample(rows);
        let cut = self.truncation;
        Ok(tokenizer.encode_pairs(&sample, self.max_length, cut)?.1)
    }

    fn examples(
        &self,
        tokenizer: &TextTokenizer,
        rows: &[SftExample],
    ) -> Result<TokenizeReport, Failure> {
        let sample = sample(rows);
        let cut = self.truncation;
        Ok(tokenizer.encode_examples(&sample, self.max_length, cut)?.1)
    }
}

/// Picks rows at even distances.
fn sample<T: Clone>(rows: &[T]) -> Vec<T> {
    let step = rows.len().div_ceil(SAMPLE).max(1);
    rows.iter().step_by(step).cloned().collect()
}

fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{:.0} s", s.max(1.0)),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3600.0),
        s => format!("{:.1} days", s / 86_400.0),
    }
}
