//! Rows, training and report.

use std::path::Path;

use collimate::core::PreferencePair;
use collimate::data::SftExample;
use collimate::data::TextTokenizer;
use collimate::lm::Llama;
use collimate::recipes::AnswerScorer;
use collimate::recipes::direct::{UnpairedData, align_unpaired, write_report};

use super::args::{Config, Kto};
use super::labelled;
use crate::commands::align::Alignment;
use crate::commands::align::pairs::{Parts, examples};
use crate::common::Failure;
use crate::job::Job;
use crate::runs;

impl Alignment for Kto {
    type Data<'a> = UnpairedData<'a>;

    const LABELS: &'static str = ", with a label for each single answer";

    fn read(
        config: &Config,
        dir: &Path,
        _: &TextTokenizer,
    ) -> Result<(UnpairedData<'static>, String), Failure> {
        let (rows, reports) = labelled::read(config)?;
        let good = rows.train.iter().filter(|(_, good)| *good).count();
        let mut about = format!(
            "The start model and reference model is `{}`. There are {good} good and {} bad answers \
             for training; {} good answers are held out.",
            dir.display(),
            rows.train.len() - good,
            rows.held_out.len(),
        );
        for report in &reports {
            about += &format!(" {report}.");
        }
        Ok((rows, about))
    }

    fn data(parts: Parts) -> UnpairedData<'static> {
        UnpairedData {
            train: both(&parts.train),
            held_out: examples(&parts.validation),
            prompts: parts.prompts,
            ..UnpairedData::default()
        }
    }

    fn judged<'a>(
        data: UnpairedData<'static>,
        eos: Vec<u32>,
        judge: Option<AnswerScorer<'a>>,
    ) -> UnpairedData<'a> {
        UnpairedData { eos, judge, ..data }
    }

    fn train_and_save(
        job: &mut Job,
        config: &Config,
        start: &Llama,
        data: UnpairedData<'_>,
    ) -> Result<(), Failure> {
        runs::warn_of_warmup(&config.align.train, data.train.len());
        let (tokenizer, mut context) = job.parts();
        let outcome = align_unpaired(start, tokenizer, &data, &config.align, &mut context)
            .map_err(|error| job.stopped(error))?;
        if !config.data.is_empty() {
            job.tell_lengths(&outcome.tokenize);
        }
        job.save("models/start", start)?;
        job.save(&format!("models/{}", outcome.title), &outcome.model)?;
        let seconds = job.note_cost(outcome.seconds);
        write_report(&outcome, &config.align, &job.run, &job.about, &job.summary)?;
        job.print_end(&format!("{outcome}\n"), seconds)
    }
}

/// Returns both answers of every pair: the chosen one as good, the rejected one as bad.
pub(super) fn both(pairs: &[PreferencePair]) -> Vec<(SftExample, bool)> {
    let bad = |pair: &PreferencePair| SftExample {
        prompt: pair.prompt.clone(),
        completion: pair.rejected.clone(),
    };
    let rows = pairs.iter();
    rows.flat_map(|pair| [(SftExample::from(pair), true), (bad(pair), false)])
        .collect()
}
