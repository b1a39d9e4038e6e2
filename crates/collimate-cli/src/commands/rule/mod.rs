//! Aligns a language model to a preference written in Rust: `collimate rule --help`.

pub(crate) mod pairs;
pub mod rules;

use std::ops::ControlFlow;
use std::path::PathBuf;

use collimate::core::{GenerateError, Key};
use collimate::data::{SftExample, TextTokenizer};
use collimate::files::atomic_write;
use collimate::lm::{Architecture, GenerationProgress, Llama, TextGenerator, Watch, eos_token_ids};
use collimate::losses::PreferenceLoss;
use collimate::nn::{Backbone, HfFolder, LoraConfig};
use collimate::recipes::Adaptation;
use collimate::recipes::sera::{AnswerScorer, Method, SeraConfig, SeraData, align, write_report};
use collimate::train::{Interrupt, Meter, Progress, TrainConfig};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    common::{self, DeviceName, Failure, Interrupted},
    job::{Job, has_ended},
    options::{self, MOST_TEXTS, MOST_TOKENS},
    runs,
};

use pairs::Sizes;
use rules::Rule;

/// Align a language model to a preference that is a function in Rust (rules.rs of this crate).
///
/// The model begins texts, writes each several times to its end, and the rule makes pairs of the best and
/// the worst. Then the loss alone, its iterative form and SeRA learn from these pairs with the same number
/// of steps, and write to openings that no pair has. The report shows texts before and after; the
/// pairs are in pairs.jsonl, in TRL's format.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Hugging Face folder (Llama) of a model that writes texts from nothing
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// What is preferred
    #[arg(long, value_enum, default_value_t = Rule::Happy)]
    prefer: Rule,
    /// Openings whose texts make pairs
    #[arg(long, value_name = "N", default_value_t = 600)]
    prompts: usize,
    /// Openings that are written to in the end, by every policy
    #[arg(long, value_name = "N", default_value_t = 200)]
    test_prompts: usize,
    /// Texts to each opening, of which the best and the worst make the pair
    #[arg(long, value_name = "N", default_value_t = 4)]
    samples: usize,
    /// Length of an opening in tokens
    #[arg(long, value_name = "N", default_value_t = 10)]
    opening_tokens: usize,
    /// Longest text in tokens; texts that do not end by then make no pair
    #[arg(long, value_name = "N", default_value_t = 256)]
    new_tokens: usize,
    /// Loss, as in the command dpo
    #[arg(long, value_name = "NAME", default_value = "dpo")]
    loss: String,
    /// Strength of the pull towards the reference, above 0; lambda of orpo [default: the loss's]
    #[arg(long, value_name = "BETA")]
    beta: Option<f64>,
    /// Learning rate
    #[arg(long, value_name = "RATE", default_value_t = 2e-4)]
    lr: f64,
    /// Pairs per optimiser step
    #[arg(long, value_name = "N", default_value_t = 16)]
    batch: usize,
    /// Trainings of a method, the first one over all pairs
    #[arg(long, value_name = "N", default_value_t = 3)]
    iterations: usize,
    /// Train low-rank adapters (r 8, alpha 32, dropout 0.1) instead of all weights
    #[arg(long)]
    lora: bool,
    /// Keep only the inputs of a model's blocks from forward to backward and compute the rest again:
    /// less memory for long sequences and large models, one more forward pass of time, the same
    /// results
    #[arg(long)]
    gradient_checkpointing: bool,
    /// Seed of everything random
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Where to compute
    #[arg(long, value_enum, default_value_t = DeviceName::Flex)]
    device: DeviceName,
    /// Run folder; by default the first free one under runs/
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with the run in the folder --out; the other options must be the same
    #[arg(long)]
    resume: bool,
}

/// Everything that decides a run's result.
#[derive(Debug, Serialize, Deserialize)]
struct Config {
    model: PathBuf,
    prefer: Rule,
    prompts: usize,
    test_prompts: usize,
    samples: usize,
    opening_tokens: usize,
    align: SeraConfig,
}

impl Args {
    fn config(&self) -> Result<Config, Failure> {
        let mut loss: PreferenceLoss = self.loss.parse()?;
        if let Some(beta) = self.beta {
            loss = loss.with_beta(beta);
        }
        // Before anything is added up or made in this number.
        for (name, value, most) in [
            ("--prompts", self.prompts, MOST_TEXTS),
            ("--test-prompts", self.test_prompts, MOST_TEXTS),
            ("--opening-tokens", self.opening_tokens, MOST_TOKENS),
            ("--new-tokens", self.new_tokens, MOST_TOKENS),
        ] {
            if !(1..=most).contains(&value) {
                return Err(format!("{name} {value}: at least 1, at most {most}").into());
            }
        }
        if !(2..=1000).contains(&self.samples) {
            return Err(format!(
                "--samples {}: a pair needs 2 texts, and 1000 are the most",
                self.samples
            )
            .into());
        }
        let mut align = SeraConfig {
            seed: self.seed,
            loss,
            methods: vec![Method::Base, Method::Iterative, Method::Sera],
            iterations: self.iterations,
            max_length: self.opening_tokens + self.new_tokens + 2,
            train: TrainConfig {
                learning_rate: self.lr,
                batch_size: self.batch,
                save_every: Some(50),
                ..SeraConfig::default().train
            },
            ..SeraConfig::default()
        };
        align.responses.max_new_tokens = self.new_tokens;
        // As the pairs that the run begins with.
        align.responses.temperature = 1.0;
        align.responses.top_p = 1.0;
        if self.lora {
            align.adaptation = Adaptation::Lora(LoraConfig::default());
        }
        align.check()?;
        Ok(Config {
            model: self.model.clone(),
            prefer: self.prefer,
            prompts: self.prompts,
            test_prompts: self.test_prompts,
            samples: self.samples,
            opening_tokens: self.opening_tokens,
            align,
        })
    }
}

/// Does what the options say.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let config = args.config()?;
    let device = args.device.open()?;
    if common::architecture(&args.model)? != Architecture::Decoder {
        let dir = args.model.display();
        return Err(format!("--model {dir}: name a folder of a LlamaForCausalLM").into());
    }
    let out = options::run_folder(args.out.as_deref(), args.resume, "rule")?;
    if has_ended(&out, &config)? {
        return Ok(());
    }
    let tokenizer = TextTokenizer::from_folder(&args.model)?;
    let model = Llama::load(&args.model, &device)?.with_recompute(args.gradient_checkpointing);
    runs::check_length(config.align.max_length, &model)?;
    let eos = eos_token_ids(&args.model)?;
    let resume = format!("the same command with --resume --out {}", out.display());
    let models = [&args.model].into_iter();
    let (files, length) = ([].iter(), config.align.max_length);
    let job = Job::open(
        &out,
        &config,
        files,
        models,
        tokenizer.clone(),
        length,
        resume,
    )?;
    let generator =
        TextGenerator::new(model.clone(), tokenizer.clone()).with_eos_of(&args.model)?;
    let sizes = Sizes {
        train: config.prompts,
        test: config.test_prompts,
        samples: config.samples,
        opening_tokens: config.opening_tokens,
        new_tokens: args.new_tokens,
    };
    let mut watch = Watching {
        interrupt: &job.interrupt,
        meter: None,
    };
    let key = Key::new(args.seed, "pairs");
    let written = match pairs::write(&generator, args.prefer, sizes, key, &mut watch) {
        Err(error) if matches!(error.downcast_ref(), Some(GenerateError::Interrupted)) => {
            let text = format!(
                "interrupted while writing texts; begin anew with: {}",
                job.resume
            );
            return Err(Interrupted(text).into());
        }
        written => written?,
    };
    drop(watch);
    let rows = written.train.iter().map(|pair| {
        json!({
            "prompt": pair.prompt, "chosen": pair.chosen.text, "rejected": pair.rejected.text,
            "score_chosen": args.prefer.score(&pair.chosen.text),
            "score_rejected": args.prefer.score(&pair.rejected.text),
        })
    });
    let lines: String = rows.map(|row| format!("{row}\n")).collect();
    atomic_write(&job.run.path().join("pairs.jsonl"), lines.as_bytes())?;
    let about = format!(
        "Start and first reference: `{}`. Preferred: {}. The start wrote {} texts ({} did not end \
         within {} tokens), mean score {:.3}; {} pairs to learn from, {} validation pairs, {} \
         openings for the answers below.",
        args.model.display(),
        args.prefer.about(),
        written.texts,
        written.cut,
        args.new_tokens,
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
            out.display()
        )
        .into());
    }
    let rule = rules::scorer(args.prefer);
    let held_out = written.held_out.into_iter();
    let data = SeraData {
        train: written.train,
        noisy: None,
        validation: written.validation,
        held_out: held_out
            .map(|(prompt, completion)| SftExample { prompt, completion })
            .collect(),
        prompts: written.test,
        eos,
        judge: Some(AnswerScorer {
            name: "the rule".to_owned(),
            scorer: &rule,
        }),
    };
    let (_, mut context) = job.parts();
    let outcome = align(&model, &tokenizer, &data, &config.align, &mut context)
        .map_err(|error| job.stopped(error))?;
    job.save("models/start", &model)?;
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

/// Shows how far writing is and stops it on Ctrl-C.
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
