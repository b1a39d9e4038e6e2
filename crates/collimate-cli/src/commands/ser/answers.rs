//! A policy's answers to prompts without answers, as a stage of the run.

use std::ops::ControlFlow;
use std::path::PathBuf;

use collimate::core::{Completion, Finish, GenerateError, Prompt, Purpose, Sampling};
use collimate::data::{Candidates, ReadOptions, read_unlabelled};
use collimate::files::atomic_write;
use collimate::lm::{FolderSampling, GenerationProgress, Watch};
use collimate::prelude::Device;
use collimate::run::StageState;
use collimate::train::{Interrupt, Progress, hash_json};
use rand::RngExt;
use serde_json::json;

use super::Run;
use super::asked::is_url;
use super::config::Config;
use super::real::pool_key;
use crate::commands::eval::watched::Source;
use crate::commands::generate::prompts::Asked;
use crate::commands::generate::said;
use crate::common::{Failure, Interrupted};
use crate::trl_rows::{Row, answer, asked, lines};

/// File of answers in the run folder.
const POOL: &str = "pool.jsonl";

/// Number of prompts that are answered before the file is written again.
const AT_ONCE: usize = 32;

/// Maximum length of an answer in tokens, if the folder sets none.
const MOST_TOKENS: usize = 512;

/// A policy that writes answers, with its sampling options.
pub(super) struct Writer {
    source: Source,
    sampling: Sampling,
    /// A hash of everything beside the prompts that the answers depend on.
    identity: String,
}

struct Stop<'a>(&'a Interrupt);

impl Watch for Stop<'_> {
    fn progress(&mut self, _: GenerationProgress) -> ControlFlow<()> {
        match self.0.is_set() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

impl Writer {
    /// Opens the policy that `--policy` names; `None` if the option is absent.
    pub(super) fn open(config: &Config, device: &Device) -> Result<Option<Self>, Failure> {
        let named = config.writer();
        let Some((source, identity)) = named.open(config, device)? else {
            return Ok(None);
        };
        let base = Sampling {
            n: config.responses,
            seed: pool_key(config).rng(Purpose::Sampling).random(),
            max_new_tokens: MOST_TOKENS,
            ..Sampling::default()
        };
        let sampling = match named.source.filter(|name| !is_url(name)) {
            Some(dir) => FolderSampling::read(dir.as_ref(), &base)?.sampling,
            None => base,
        };
        Ok(Some(Self {
            source,
            sampling,
            identity,
        }))
    }

    fn write(
        &self,
        prompts: &[Prompt],
        interrupt: &Interrupt,
    ) -> Result<Vec<Vec<Completion>>, GenerateError> {
        if interrupt.is_set() {
            return Err(GenerateError::Interrupted);
        }
        match &self.source {
            Source::Folder(model) => {
                model.generate_watched(prompts, &self.sampling, &mut Stop(interrupt))
            }
            Source::Server(server) => server.generate(prompts, &self.sampling),
        }
    }
}

/// Lets the policy answer the prompts without answers. Returns all rows with answers, and a
/// sentence on the policy's answers. A resumed run reuses the answers that it has already written.
pub(super) fn complete(
    run: &mut Run<'_>,
    writer: &Writer,
    candidates: Vec<Candidates>,
) -> Result<(Vec<Candidates>, String), Failure> {
    let (mut rows, alone): (Vec<_>, Vec<_>) = candidates
        .into_iter()
        .partition(|row| !row.responses.is_empty());
    let mut seen = std::collections::HashSet::new();
    let prompts = alone.into_iter().map(|row| row.prompt);
    let prompts: Vec<Prompt> = prompts
        .filter(|prompt| seen.insert(prompt.clone()))
        .collect();
    let path = answers(run, writer, &prompts)?;
    let (written, report) = read_unlabelled(&path, &ReadOptions::default())?;
    if written.is_empty() {
        return Err(format!(
            "{report}: no pair is left, because no prompt has two different answers that end \
             within {} tokens: give another policy",
            writer.sampling.max_new_tokens
        )
        .into());
    }
    rows.extend(written);
    Ok((rows, format!(" {report}.")))
}

/// Writes the answers to all prompts into the run folder.
fn answers(run: &mut Run<'_>, writer: &Writer, prompts: &[Prompt]) -> Result<PathBuf, Failure> {
    let path = run.job.run.path().join(POOL);
    let sampling = format!("{:?}", writer.sampling);
    let inputs = hash_json(&(prompts, sampling, &writer.identity));
    if let StageState::Done(_) = run.job.run.stage("pool", &inputs)? {
        return Ok(path);
    }
    // Answers that a stopped run has already written.
    let mut text = std::fs::read_to_string(&path).unwrap_or_default();
    let mut done = text.lines().count().min(prompts.len());
    let mut meter = Progress::Auto.start("answers", done as u64, prompts.len() as u64);
    while done < prompts.len() {
        let some = &prompts[done..(done + AT_ONCE).min(prompts.len())];
        let found = writer
            .write(some, &run.job.interrupt)
            .map_err(|error| match error {
                GenerateError::Interrupted => Interrupted(format!(
                    "interrupted after the answers to {done} of {} prompts; continue with: {}",
                    prompts.len(),
                    run.job.resume
                ))
                .into(),
                error => {
                    let places = some.iter().zip(done + 1..).map(|(prompt, number)| Asked {
                        prompt: prompt.clone(),
                        place: format!("--unlabelled: prompt number {number}"),
                    });
                    said(error, &places.collect::<Vec<_>>())
                }
            })?;
        for (prompt, found) in some.iter().zip(found) {
            text += &row(prompt, &found)?;
        }
        atomic_write(&path, text.as_bytes())?;
        done += some.len();
        meter.set(done as u64, "prompts");
    }
    run.job
        .run
        .complete("pool", &json!({"prompts": prompts.len()}))?;
    Ok(path)
}

/// Writes a row with the finished answers.
fn row(prompt: &Prompt, found: &[Completion]) -> Result<String, Failure> {
    let ended = |answer: &&Completion| answer.finish != Finish::Length;
    let texts = found.iter().filter(ended);
    let texts: Result<Vec<_>, Failure> = texts.map(|found| answer(prompt, &found.text)).collect();
    lines(vec![Row::from_iter([
        ("prompt".to_owned(), asked(prompt)?),
        ("responses".to_owned(), collimate::core::Json::List(texts?)),
    ])])
}
