//! Openings, training, and the files that a run writes.

use std::ops::ControlFlow;

use collimate::core::{GenerateError, Key, Prompt};
use collimate::lm::{GenerationProgress, Llama, TextGenerator, Watch};
use collimate::recipes::ppo::{
    PolicyData, PolicyInputs, RewardArm, reinforce as train, write_report,
};
use collimate::train::{Interrupt, Meter, Progress};
use serde_json::json;

use super::args::Config;
use crate::commands::rule::pairs::{self, Sizes};
use crate::common::{Failure, Interrupted};
use crate::job::Job;
use crate::policy;

/// Lets the model write beginnings of texts.
pub(crate) fn openings(
    job: &Job,
    config: &Config,
    generator: &TextGenerator<Llama>,
) -> Result<Vec<Prompt>, Failure> {
    let sizes = Sizes {
        train: config.openings,
        test: config.test_prompts,
        samples: 1,
        opening_tokens: config.opening_tokens,
        new_tokens: config.policy.ppo.max_new_tokens,
    };
    let mut watch = Watching {
        interrupt: &job.interrupt,
        meter: None,
    };
    let key = Key::new(config.policy.ppo.seed, "openings");
    match pairs::openings(generator, sizes, key, &mut watch) {
        Err(error) if matches!(error.downcast_ref(), Some(GenerateError::Interrupted)) => {
            let resume = &job.resume;
            let text = format!("interrupted while writing openings; start again with: {resume}");
            Err(Interrupted(text).into())
        }
        written => written,
    }
}

/// Trains the policy, saves it beside the start model, and writes the report.
pub(crate) fn reinforce(
    job: &mut Job,
    config: &Config,
    start: &Llama,
    arm: RewardArm<'_, Llama>,
    data: &PolicyData<'_>,
) -> Result<(), Failure> {
    let config = &config.policy;
    let (tokenizer, mut context) = job.parts();
    let inputs = PolicyInputs { arms: &[arm], data };
    let outcome = train(start, tokenizer, &inputs, config, &mut context)
        .map_err(|error| job.stopped(error))?;
    job.save("models/start", start)?;
    let method = match config.ppo.estimator.name() {
        "critic" => "ppo",
        other => other,
    };
    for policy in &outcome.policies {
        job.save(&format!("models/{method}"), &policy.model)?;
    }
    let seconds = job.note_cost(outcome.seconds);
    job.summary
        .insert("seed".to_owned(), json!(config.ppo.seed));
    write_report(&outcome, config, &job.run, &job.about, &job.summary)?;
    let mut table = String::new();
    for policy in &outcome.policies {
        let r = &policy.report;
        table += &format!(
            "{:<14} reward {:.3} → {:.3}  win rate {:.3}  kl {:.2}  {:.1} tokens\n",
            r.name,
            r.reward_before.estimate,
            r.reward_after.estimate,
            r.answers.win_rate.estimate,
            r.kl.estimate,
            r.answers.mean_tokens,
        );
    }
    policy::warn(&outcome.policies);
    job.print_end(&table, seconds)
}

/// Shows the progress of writing and stops it on Ctrl-C.
struct Watching<'a> {
    interrupt: &'a Interrupt,
    meter: Option<Meter>,
}

impl Watch for Watching<'_> {
    fn progress(&mut self, now: GenerationProgress) -> ControlFlow<()> {
        let start = || Progress::Auto.start("openings", 0, now.total as u64);
        let meter = self.meter.get_or_insert_with(start);
        meter.set(now.finished as u64, &format!("{} tokens", now.tokens));
        match self.interrupt.is_set() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}
