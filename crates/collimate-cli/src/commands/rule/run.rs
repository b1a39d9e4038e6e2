//! Texts, pairs, training and report.

use std::ops::ControlFlow;

use collimate::core::{GenerateError, Key};
use collimate::data::SftExample;
use collimate::files::atomic_write;
use collimate::lm::{GenerationProgress, Llama, Pretrained, Watch};
use collimate::nn::Backbone;
use collimate::recipes::sera::{AnswerScorer, SeraData, align, write_report};
use collimate::train::{Interrupt, Meter, Progress};
use serde_json::json;

use super::args::Config;
use super::pairs::{self, Sizes};
use super::rules;
use crate::common::{self, Failure, Interrupted};
use crate::start::Start;

/// Runs the command.
pub(crate) fn run(start: &Start<'_, Config>) -> Result<(), Failure> {
    let config = start.config;
    let dir = config.model.as_deref().ok_or("no model folder")?;
    common::check_writer("--model", dir)?;
    let mut from = Pretrained::<Llama>::from_folder(dir, start.device)?
        .with_max_length(config.align.max_length);
    from.model = from.model.with_recompute(start.args.gradient_checkpointing);
    let (length, most) = (from.max_length, from.model.max_positions());
    if length > most {
        return Err(format!(
            "an opening of {} tokens, {} new ones and the marks around them are {length} tokens, \
             but the model takes at most {most} tokens: give fewer --new-tokens",
            config.opening_tokens, config.align.responses.max_new_tokens
        )
        .into());
    }
    let job = start.open(from.tokenizer.clone(), from.max_length)?;
    let generator = from.generator();
    let new_tokens = config.align.responses.max_new_tokens;
    let sizes = Sizes {
        train: config.prompts,
        test: config.test_prompts,
        samples: config.samples,
        opening_tokens: config.opening_tokens,
        new_tokens,
    };
    let mut watch = Watching {
        interrupt: &job.interrupt,
        meter: None,
    };
    let key = Key::new(config.align.seed, "pairs");
    let written = match pairs::write(&generator, config.prefer, sizes, key, &mut watch) {
        Err(error) if matches!(error.downcast_ref(), Some(GenerateError::Interrupted)) => {
            let text = format!(
                "interrupted while writing texts; start again with: {}",
                job.resume
            );
            return Err(Interrupted(text).into());
        }
        written => written?,
    };
    drop(watch);
    // Its copies of the weights are not needed any more.
    drop(generator);
    let rows = written.train.iter().map(|pair| {
        json!({
            "prompt": pair.prompt, "chosen": pair.chosen.text, "rejected": pair.rejected.text,
            "score_chosen": config.prefer.score(&pair.chosen.text),
            "score_rejected": config.prefer.score(&pair.rejected.text),
        })
    });
    let lines: String = rows.map(|row| format!("{row}\n")).collect();
    atomic_write(&job.run.path().join("pairs.jsonl"), lines.as_bytes())?;
    let about = format!(
        "The start model and first reference model is `{}`. Preferred: {}. The start model wrote \
         {} texts ({} did not end within {} tokens) with mean score {:.3}. There are {} training \
         pairs, {} validation pairs, and {} openings for the answers below.",
        dir.display(),
        config.prefer.about(),
        written.texts,
        written.cut,
        new_tokens,
        written.mean_score,
        written.train.len(),
        written.validation.len(),
        written.test.len(),
    );
    let mut job = job.about(about);
    if written.train.len() < config.align.train.batch_size {
        return Err(format!(
            "{} pairs are fewer than a batch: give more --prompts, --samples or --new-tokens, and \
             another --out than {}",
            written.train.len(),
            start.out.display()
        )
        .into());
    }
    let rule = rules::scorer(config.prefer);
    let held_out = written.held_out.into_iter();
    let data = SeraData {
        train: written.train,
        noisy: None,
        validation: written.validation,
        held_out: held_out
            .map(|(prompt, completion)| SftExample { prompt, completion })
            .collect(),
        prompts: written.test,
        eos: from.eos,
        judge: Some(AnswerScorer {
            name: "the rule".to_owned(),
            scorer: &rule,
        }),
    };
    let (_, mut context) = job.parts();
    let outcome = align(
        &from.model,
        &from.tokenizer,
        &data,
        &config.align,
        &mut context,
    )
    .map_err(|error| job.stopped(error))?;
    job.save("models/start", &from.model)?;
    let mut table = String::new();
    for policy in &outcome.policies {
        job.save(&format!("models/{}", policy.title), &policy.model)?;
        if let Some(answers) = &policy.answers {
            table += &format!(
                "{:<32}win rate {:.3}  score {:.3}\n",
                policy.title, answers.win_rate.estimate, answers.mean_score.estimate
            );
        }
    }
    let seconds = job.note_cost(outcome.seconds);
    write_report(&outcome, &config.align, &job.run, &job.about, &job.summary)?;
    job.print_end(&table, seconds)
}

/// Shows the progress of writing and stops it on Ctrl-C.
struct Watching<'a> {
    interrupt: &'a Interrupt,
    meter: Option<Meter>,
}

impl Watch for Watching<'_> {
    fn progress(&mut self, now: GenerationProgress) -> ControlFlow<()> {
        if now.finished < 1 {
            self.meter = None;
        }
        let start = || Progress::Auto.start("texts", 0, now.total as u64);
        let meter = self.meter.get_or_insert_with(start);
        meter.set(now.finished as u64, &format!("{} tokens", now.tokens));
        match self.interrupt.is_set() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}
