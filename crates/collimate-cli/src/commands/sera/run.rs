//! Rows, trainings and report.

use std::path::Path;

use collimate::data::TextTokenizer;
use collimate::lm::Llama;
use collimate::recipes::sera::{AnswerScorer, Method, SeraData, align, write_report};
use serde_json::json;

use super::args::{Config, Sera};
use crate::commands::align::pairs::{Parts, examples};
use crate::commands::align::{Alignment, read_pairs};
use crate::common::Failure;
use crate::job::Job;
use crate::runs;

impl Alignment for Sera {
    type Data<'a> = SeraData<'a>;

    fn read(
        config: &Config,
        dir: &Path,
        _: &TextTokenizer,
    ) -> Result<(SeraData<'static>, String), Failure> {
        let chooses = config.align.methods.contains(&Method::BestSera);
        read_pairs::<Self>(config, dir, |all| match (&config.judge, chooses) {
            (None, _) => 0,
            // The other half is used for choosing the share of own pairs.
            (Some(_), true) => all / 2,
            (Some(_), false) => all,
        })
    }

    fn data(parts: Parts) -> SeraData<'static> {
        SeraData {
            noisy: parts.noisy,
            held_out: examples(&parts.validation),
            prompts: parts.prompts,
            validation: parts.validation,
            train: parts.train,
            ..SeraData::default()
        }
    }

    fn judged<'a>(
        data: SeraData<'static>,
        eos: Vec<u32>,
        judge: Option<AnswerScorer<'a>>,
    ) -> SeraData<'a> {
        SeraData { eos, judge, ..data }
    }

    fn train_and_save(
        job: &mut Job,
        config: &Config,
        start: &Llama,
        data: SeraData<'_>,
    ) -> Result<(), Failure> {
        runs::warn_of_warmup(&config.align.train, data.train.len());
        let (tokenizer, mut context) = job.parts();
        let outcome = align(start, tokenizer, &data, &config.align, &mut context)
            .map_err(|error| job.stopped(error))?;
        if !config.data.is_empty() {
            job.tell_lengths(&outcome.tokenize);
        }
        job.save("models/start", start)?;
        for policy in &outcome.policies {
            job.save(&format!("models/{}", policy.title), &policy.model)?;
        }
        let seconds = job.note_cost(outcome.seconds);
        let noise = json!(config.label_noise);
        job.summary.insert("label_noise".to_owned(), noise);
        write_report(&outcome, &config.align, &job.run, &job.about, &job.summary)?;
        job.print_end(&outcome.to_string(), seconds)
    }
}
