//! One run in one folder.

use std::ops::ControlFlow;
use std::time::Instant;

use collimate::core::{GenerateError, Key, Prompt};
use collimate::data::{SftExample, TextTokenizer, Truncation};
use collimate::lm::{Llama, Progress as Written, TextGenerator, Watch};
use collimate::nn::HfFolder;
use collimate::recipes::ppo::{Contender, PolicyData, reinforce, section, summary};
use collimate::recipes::{RecipeError, SftPlan, fine_tune};
use collimate::train::{
    FitContext, Interrupt, Meter, Progress, Report, RunFolder, TrainConfig, peak_memory_bytes,
};
use serde_json::{Map, Value, json};

use super::args::{Args, Config};
use crate::common::{self, Failure, Interrupted, REPORT};
use crate::rule::pairs::{self, Sizes};
use crate::runs;

pub(crate) struct Job<'a> {
    config: &'a Config,
    tokenizer: TextTokenizer,
    run: RunFolder,
    interrupt: Interrupt,
    pub(crate) about: String,
    summary: Map<String, Value>,
    started: Instant,
    /// How a run that stopped goes on.
    resume: String,
}

impl<'a> Job<'a> {
    pub(crate) fn open(
        args: &Args,
        config: &'a Config,
        tokenizer: TextTokenizer,
        about: String,
    ) -> Result<Self, Failure> {
        let out = args.out()?;
        let models = config.model.iter().chain(&config.reward_model);
        let run = runs::open(&out, config, config.prompts.iter(), models)?;
        if !about.is_empty() {
            common::tell(&about);
        }
        Ok(Self {
            config,
            tokenizer,
            run,
            interrupt: runs::interrupt(),
            about,
            summary: Map::new(),
            started: Instant::now(),
            resume: args.resume_command(&out),
        })
    }

    fn stopped(&self, error: RecipeError) -> Failure {
        runs::stopped(error, &self.resume)
    }

    /// Next-token prediction: on plain texts, or on chosen answers.
    pub(crate) fn fine_tune(
        &mut self,
        model: Llama,
        texts: &[SftExample],
        train: &TrainConfig,
    ) -> Result<Llama, Failure> {
        if texts.is_empty() {
            return Ok(model);
        }
        let plan = SftPlan {
            tokenizer: &self.tokenizer,
            max_length: self.config.policy.max_length,
            truncation: Truncation::default(),
            train: &TrainConfig {
                seed: self.config.policy.ppo.seed,
                ..train.clone()
            },
        };
        let context = FitContext::in_run(&self.run, &self.interrupt);
        let (model, outcome) =
            fine_tune(model, texts, &[], &plan, &context).map_err(|error| self.stopped(error))?;
        self.summary.insert(train.stage.clone(), json!(outcome));
        Ok(model)
    }

    /// Beginnings of texts by the model itself.
    pub(crate) fn openings(
        &self,
        generator: &TextGenerator<Llama>,
    ) -> Result<Vec<Prompt>, Failure> {
        let sizes = Sizes {
            train: self.config.openings,
            test: self.config.test_prompts,
            samples: 1,
            opening_tokens: self.config.opening_tokens,
            new_tokens: self.config.policy.ppo.max_new_tokens,
        };
        let mut watch = Watching {
            interrupt: &self.interrupt,
            meter: None,
        };
        let key = Key::new(self.config.policy.ppo.seed, "openings");
        match pairs::openings(generator, sizes, key, &mut watch) {
            Err(error) if matches!(error.downcast_ref(), Some(GenerateError::Interrupted)) => {
                let text = format!(
                    "interrupted while writing openings; begin anew with: {}",
                    self.resume
                );
                Err(Interrupted(text).into())
            }
            written => written,
        }
    }

    pub(crate) fn reinforce(
        &mut self,
        start: &Llama,
        contender: Contender<'_, Llama>,
        data: &PolicyData<'_>,
    ) -> Result<(), Failure> {
        let config = &self.config.policy;
        let outcome = reinforce(
            start,
            &self.tokenizer,
            &[contender],
            data,
            config,
            &mut self.run,
            &self.interrupt,
            Progress::Auto,
        )
        .map_err(|error| self.stopped(error))?;
        for (name, model) in std::iter::once(("start", start)).chain(
            outcome
                .policies
                .iter()
                .map(|p| (p.report.name.as_str(), &p.model)),
        ) {
            let folder = self.run.path().join("models").join(name);
            model.save(&folder)?;
            let tokenizer = self.tokenizer.clone().with_max_length(config.max_length);
            tokenizer.save(&folder)?;
        }
        let seconds = self.started.elapsed().as_secs_f64().max(outcome.seconds);
        let mut all = summary(&outcome, config);
        self.summary
            .insert("seed".to_owned(), json!(config.ppo.seed));
        self.summary.insert("seconds".to_owned(), json!(seconds));
        let memory = json!(peak_memory_bytes());
        self.summary.insert("peak_memory_bytes".to_owned(), memory);
        for (name, value) in &self.summary {
            all[name] = value.clone();
        }
        self.run.write_summary(&all)?;
        let report = Report::new("Reinforcement learning from a reward").text(&self.about);
        section(report, &outcome, config, &self.run)?
            .section("Files")
            .text(
                "`models/` holds the start and the policy: write with one by the example \
                 `generate`, or open it in Transformers. `metrics.jsonl` has a line per rollout; \
                 `docs/ppo.md` explains each number.",
            )
            .write(self.run.path())?;
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
        let report = self.run.path().join(REPORT);
        table += &format!("{seconds:.0} s; report: {}\n", report.display());
        common::print(&table)
    }
}

/// Shows how far writing is and stops it on Ctrl-C.
struct Watching<'a> {
    interrupt: &'a Interrupt,
    meter: Option<Meter>,
}

impl Watch for Watching<'_> {
    fn progress(&mut self, now: Written) -> ControlFlow<()> {
        let start = || Progress::Auto.start("openings", 0, now.total as u64);
        let meter = self.meter.get_or_insert_with(start);
        meter.set(now.finished as u64, &format!("{} tokens", now.tokens));
        match self.interrupt.is_set() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}
