//! Rows, training and report.

use std::collections::HashSet;
use std::path::Path;

use collimate::data::TextTokenizer;
use collimate::lm::Llama;
use collimate::recipes::AnswerScorer;
use collimate::recipes::direct::{AlignData, align, write_report};
use serde_json::json;

use super::args::{Config, Dpo};
use crate::commands::align::pairs::{Parts, examples};
use crate::commands::align::{Alignment, read_pairs};
use crate::common::Failure;
use crate::files;
use crate::job::Job;
use crate::own::OnData;
use crate::runs;
use crate::stored::{Cut, Source};

impl Alignment for Dpo {
    type Data<'a> = AlignData<'a>;

    fn read(
        config: &Config,
        dir: &Path,
        tokenizer: &TextTokenizer,
    ) -> Result<(AlignData<'static>, String), Failure> {
        if let Some(store) = &config.token_store {
            return read_stored(config, dir, tokenizer, store);
        }
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
            train: parts.train.into(),
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

/// Reads the validation part of the user's files, and tokenises the rest into a store.
fn read_stored(
    config: &Config,
    dir: &Path,
    tokenizer: &TextTokenizer,
    store: &Path,
) -> Result<(AlignData<'static>, String), Failure> {
    let own = config.own();
    files::check(own.data.iter())?;
    let source = Source {
        paths: own.data,
        weights: own.data_weights,
        reading: own.reading,
        shares: &[0.1, 0.9],
        margins: config.align.use_margins,
    };
    let validation = source.measured()?.pop().unwrap_or_default();
    let cut = Cut {
        max_length: own.max_length,
        truncation: own.truncation,
    };
    let tokenizer = tokenizer.clone();
    let tokenizer = tokenizer.with_max_prompt_length(own.max_prompt_length);
    let stored = source.tokenized(store, &tokenizer, cut, &runs::interrupt())?;
    let mut prompts = Vec::new();
    if config.judge.is_some() {
        let mut seen = HashSet::new();
        let all = validation.iter().map(|pair| pair.prompt.clone());
        prompts.extend(
            all.filter(|prompt| seen.insert(prompt.clone()))
                .take(config.prompts),
        );
    }
    let about = format!(
        "The start model and first reference model is `{}`. There are {} validation pairs. {}",
        dir.display(),
        validation.len(),
        stored.about
    );
    let data = AlignData {
        held_out: examples(&validation),
        prompts,
        validation,
        train: stored.pairs.into(),
        ..AlignData::default()
    };
    Ok((data, about))
}
