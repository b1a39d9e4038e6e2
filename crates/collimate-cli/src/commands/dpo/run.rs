//! Rows, training and report.

use std::path::Path;

use collimate::lm::Llama;
use collimate::recipes::AnswerScorer;
use collimate::recipes::direct::{AlignData, align, write_report};
use serde_json::json;

use super::args::{Config, Dpo};
use crate::commands::align::pairs::{Parts, examples};
use crate::commands::align::{Alignment, read_pairs};
use crate::common::Failure;
use crate::job::Job;
use crate::runs;

impl Alignment for Dpo {
    type Data<'a> = AlignData<'a>;

    fn read(config: &Config, dir: &Path) -> Result<(AlignData<'static>, String), Failure> {
        read_pairs::<Self>(config, dir, |all| match config.judge {
            None => 0,
            Some(_) => all,
        })
    }

    fn data(parts: Parts) -> AlignData<'static> {
        AlignData {
            held_out: examples(&parts.validation),
            prompts: parts.prompts,
            validation: parts.validation,
            train: parts.train,
            ..AlignData::default()
        }
    }

    fn judged<'a>(
        data: AlignData<'static>,
        eos: Vec<u32>,
        judge: Option<AnswerScorer<'a>>,
    ) -> AlignData<'a> {
        AlignData { eos, judge, ..data }
    }

    fn train_and_save(
        job: &mut Job,
        config: &Config,
        start: &Llama,
        data: AlignData<'_>,
    ) -> Result<(), Failure> {
        runs::warn_of_warmup(&config.align.train, data.train.len());
        let (tokenizer, mut context) = job.parts();
        let outcome = align(start, tokenizer, &data, &config.align, &mut context)
            .map_err(|error| job.stopped(error))?;
        if !config.data.is_empty() {
            job.tell_lengths(&outcome.tokenize);
        }
        job.save("models/start", start)?;
        job.save(&format!("models/{}", outcome.title), &outcome.model)?;
        let seconds = job.note_cost(outcome.seconds);
        let noise = json!(config.label_noise);
        job.summary.insert("label_noise".to_owned(), noise);
        write_report(&outcome, &config.align, &job.run, &job.about, &job.summary)?;
        job.print_end(&format!("{outcome}\n"), seconds)
    }
}
