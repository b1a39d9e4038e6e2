//! One run in one folder.

use std::path::Path;

use collimate::core::{Key, PreferencePair};
use collimate::data::{Format, Input, ReadOptions, ReadReport, SftExample};
use collimate::lm::Llama;
use collimate::nn::Adaptable;
use collimate::recipes::world::plain_texts;
use collimate::recipes::{Adaptation, SftOutcome};
use collimate::run::{Figures, LineChart, LineSeries, curve};
use collimate::world::WorldPair;
use serde_json::json;

use super::args::Config;
use crate::common::Failure;
use crate::files;
use crate::job::Job;
use crate::start::Start;
use crate::templates::TEMPLATES;

/// Runs the command.
pub(crate) fn run(start: &Start<'_, Config>) -> Result<(), Failure> {
    match start.config.model.as_deref() {
        None => from_scratch(start),
        Some(dir) => from_folder(start, dir),
    }
}

/// Trains a small decoder from scratch on the synthetic world.
fn from_scratch(start: &Start<'_, Config>) -> Result<(), Failure> {
    let config = start.config;
    let (world, tokenizer, model) = start.of_world()?;
    let examples = |rows: Vec<WorldPair>| -> Vec<SftExample> {
        rows.iter().map(|row| SftExample::from(&row.pair)).collect()
    };
    let (train, held_out) = (
        examples(world.train_pairs()),
        examples(world.validation_pairs()),
    );
    let about = format!(
        "The data are from the synthetic world (`docs/methods/synthetic-world.md`): {} chosen \
         answers for training and {} held-out answers. The model is a Llama decoder from scratch \
         with {} parameters.",
        train.len(),
        held_out.len(),
        model.num_parameters(),
    );
    let texts = plain_texts(&world, config.pretrain_texts, config.sft.seed);
    let mut job = start.job(tokenizer, about)?;
    let model = job.learn(model, &texts, config.truncation, &config.pretrain)?;
    train_and_save(&mut job, config, model, &train, &held_out)
}

/// Fine-tunes the user's model on the user's demonstrations.
fn from_folder(start: &Start<'_, Config>, dir: &Path) -> Result<(), Failure> {
    let config = start.config;
    let tokenizer = start.writer()?;
    let (held_out, train, reports) = read(config)?;
    let model = start.language_model(true)?;
    let mut about = format!(
        "The start model is `{}`. There are {} demonstrations for training and {} held-out \
         demonstrations.",
        dir.display(),
        train.len(),
        held_out.len(),
    );
    for report in &reports {
        about += &format!(" {report}.");
    }
    let mut job = start.job(tokenizer, about)?;
    train_and_save(&mut job, config, model, &train, &held_out)
}

type Demonstrations = Vec<SftExample>;

/// Reads the user's files. Returns the held-out demonstrations, those to learn from, and a report on
/// each file.
pub(super) fn read(
    config: &Config,
) -> Result<(Demonstrations, Demonstrations, Vec<ReadReport>), Failure> {
    files::check(config.data.iter())?;
    let options = files::options(config.format, config.on_bad_row, config.hh_turns);
    let (mut rows, mut reports) = (Vec::new(), Vec::new());
    for path in &config.data {
        let (part, report) = read_file(path, &options)?;
        if part.is_empty() {
            return Err(format!("{report}: no row is left: correct the file").into());
        }
        rows.extend(part);
        reports.push(report);
    }
    let (held_out, train) = hold_out(rows)?;
    Ok((held_out, train, reports))
}

/// Reads demonstrations, or the chosen answers of preference pairs.
fn read_file(path: &Path, options: &ReadOptions) -> Result<(Vec<SftExample>, ReadReport), Failure> {
    let mut input = Input::open(path)?;
    let format = match options.format {
        Some(format) => format,
        None => input.format()?,
    };
    Ok(match format {
        Format::Messages | Format::PromptCompletion => input.read_sft(options)?,
        _ => {
            let (pairs, report) = input.read_pairs(options)?;
            (pairs.iter().map(SftExample::from).collect(), report)
        }
    })
}

/// Splits off a tenth of the prompts, chosen by hash, and returns both parts.
fn hold_out(rows: Vec<SftExample>) -> Result<(Vec<SftExample>, Vec<SftExample>), Failure> {
    let pair = |row: SftExample| PreferencePair::new(row.prompt, row.completion, "");
    let all = rows.into_iter().map(pair).collect();
    let [held_out, rest] = files::split(all, [0.1, 0.9])?;
    let back = |pairs: Vec<PreferencePair>| pairs.iter().map(SftExample::from).collect();
    Ok((back(held_out), back(rest)))
}

fn train_and_save(
    job: &mut Job,
    config: &Config,
    model: Llama,
    train: &[SftExample],
    held_out: &[SftExample],
) -> Result<(), Failure> {
    let model = match &config.adaptation {
        Adaptation::Full => model,
        Adaptation::Lora(lora) => {
            let key = Key::new(config.sft.seed, &config.sft.stage);
            model.with_lora(lora, key)?
        }
    };
    let (model, outcome) = job.fine_tune(model, train, held_out, config.truncation, &config.sft)?;
    let outcome = outcome.ok_or("no demonstration is left to learn from: give more data")?;
    job.save("model", &model.settled())?;
    if !config.data.is_empty() {
        job.tell_lengths(&outcome.tokenize);
    }
    let seconds = job.note_cost(0.0);
    job.run.write_summary(&json!(job.summary))?;
    report(job, config, &outcome)?;
    let line = match (outcome.perplexity_before, outcome.perplexity_after) {
        (Some(before), Some(after)) => format!("held-out perplexity {before:.3} → {after:.3}"),
        _ => "no held-out rows".to_owned(),
    };
    job.print_end(&format!("{} steps: {line}\n", outcome.steps), seconds)
}

fn report(job: &Job, config: &Config, outcome: &SftOutcome) -> Result<(), Failure> {
    let values = json!({
        "about": job.about,
        "outcome": outcome,
        "train": config.sft,
        "max_length": config.max_length,
        "lengths": outcome.tokenize.to_string(),
    });
    let rows = job.run.metrics().rows()?;
    let points = curve(&rows, |stage| stage == config.sft.stage, "loss");
    let mut figures = Figures::new();
    if points.len() > 1 {
        let chart = LineChart::new("Training loss", "step", "loss");
        let chart = chart.with(LineSeries::new("loss", points));
        figures.push(("loss".to_owned(), chart.into()));
    }
    let report = TEMPLATES.render("sft.md", &values, figures)?;
    report.write(job.run.path())?;
    Ok(())
}
