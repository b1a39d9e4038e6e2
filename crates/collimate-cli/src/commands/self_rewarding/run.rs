//! One run in one folder.

use std::path::PathBuf;

use collimate::core::{Completion, Prompt};
use collimate::data::{ChatFallback, TextTokenizer, Truncation};
use collimate::judge::PromptStyle;
use collimate::lm::{Architecture, Llama, eos_token_ids};
use collimate::nn::{Backbone, HfFolder};
use collimate::prelude::Device;
use collimate::recipes::AnswerScorer;
use collimate::recipes::self_rewarding::{
    SelfRewardingConfig, SelfRewardingData, self_reward, write_report,
};
use collimate::run::RunContext;
use collimate::train::{Progress, TrainConfig};
use collimate::world::World;

use super::args::{Config, NAME};
use super::{files, world};
use crate::commands::rule::rules;
use crate::common::{self, Failure};
use crate::job::{Job, fresh_llama, has_ended, world_tokenizer_with};
use crate::options::RunArgs;
use crate::runs;
use crate::scorer::reward_model;

/// Runs the command with these options.
pub(crate) fn run(config: &Config, args: &RunArgs, device: &Device) -> Result<(), Failure> {
    let out = args.out(NAME)?;
    if has_ended(&out, config)? {
        return Ok(());
    }
    match &config.model {
        None => from_scratch(args, config, out, device),
        Some(_) => from_folder(args, config, out, device),
    }
}

/// A small decoder, trained from scratch on the synthetic world.
fn from_scratch(
    args: &RunArgs,
    config: &Config,
    out: PathBuf,
    device: &Device,
) -> Result<(), Failure> {
    let world = World::new(&config.world)?;
    let tokenizer = world_tokenizer_with(&world, &world::WORDS)?;
    let recipe = &config.recipe;
    let (length, seed) = (recipe.max_length, recipe.seed);
    let model = fresh_llama(&config.llama, &tokenizer, length, seed, device)?
        .with_recompute(args.gradient_checkpointing);
    let mut data = world::data(&world, config.seed_data, config.test_prompts, recipe)?;
    let about = format!(
        "Data: the synthetic world (`docs/synthetic-world.md`). M0 is a Llama decoder from scratch \
         with {} parameters that has read {} plain texts. Its seed data are {} demonstrations, {} \
         answers judged by the gold reward, and {} lists of tasks that go on with another one. The \
         models answer {} held-out prompts, and judge {} held-out pairs.",
        model.num_parameters(),
        config.pretrain_texts,
        data.ift.len(),
        data.eft.len(),
        data.tasks.len(),
        data.prompts.len(),
        data.judge_test.len(),
    );
    let mut job = open(args, config, tokenizer, &out)?.about(about);
    let texts = runs::plain_texts(&world, config.pretrain_texts, seed);
    let train = TrainConfig {
        seed,
        ..config.pretrain.clone()
    };
    let (model, _) = job.fine_tune(model, &texts, &[], Truncation::default(), &train)?;
    let gold = world.scorer();
    data.evaluator = Some(AnswerScorer {
        name: "the gold reward".to_owned(),
        scorer: &gold,
    });
    let right = |prompt: &Prompt, answer: &Completion| {
        let parts = world.gold_parts(&prompt.to_plain(), &answer.text);
        f32::from(u8::from(parts.content == 1.0))
    };
    data.task_accuracy = Some(AnswerScorer {
        name: "the right result".to_owned(),
        scorer: &right,
    });
    run_loop(&mut job, recipe, &model, &data)
}

/// The user's model, as it is.
fn from_folder(
    args: &RunArgs,
    config: &Config,
    out: PathBuf,
    device: &Device,
) -> Result<(), Failure> {
    let dir = config.model.as_deref().ok_or("no model folder")?;
    if common::architecture(dir)? != Architecture::LlamaCausal {
        return Err(format!(
            "--model {}: holds no language model that writes: name a folder of a LlamaForCausalLM",
            dir.display()
        )
        .into());
    }
    let tokenizer = TextTokenizer::from_folder(dir)?.with_chat_fallback(config.chat_fallback);
    let recipe = &config.recipe;
    let chats = |style| style == PromptStyle::Chat;
    if tokenizer.chat_template().is_none() && config.chat_fallback == ChatFallback::Refuse {
        if chats(recipe.judge.style) {
            return Err(
                "the model has no chat template: ask the judge by --judge-style text".into(),
            );
        }
        if chats(recipe.tasks.template.style) {
            return Err(
                "the model has no chat template: set recipe.tasks.template.style to text \
                        in --config"
                    .into(),
            );
        }
    }
    let mut data = files::data(
        config,
        eos_token_ids(dir)?,
        tokenizer.chat_template().is_some(),
    )?;
    let model = Llama::load(dir, device)?.with_recompute(args.gradient_checkpointing);
    runs::check_length(recipe.max_length, &model)?;
    let scorer = match &config.evaluator {
        Some(dir) => Some(reward_model(
            "--evaluator",
            dir,
            config.chat_fallback,
            device,
        )?),
        None => None,
    };
    let rule = config.evaluator_rule.map(rules::scorer);
    data.evaluator = match (&scorer, &rule) {
        (Some(scorer), _) => Some(AnswerScorer {
            name: "the reward model of --evaluator".to_owned(),
            scorer: scorer.as_ref(),
        }),
        (None, Some(rule)) => Some(AnswerScorer {
            name: "the rule of --evaluator-rule".to_owned(),
            scorer: rule,
        }),
        (None, None) => None,
    };
    let about = format!(
        "M0: `{}`. Seed data: {} demonstrations, {} judgements, {} examples of posing tasks, {} \
         known tasks. The models answer {} held-out prompts, and judge {} held-out pairs.",
        dir.display(),
        data.ift.len(),
        data.eft.len(),
        data.tasks.len(),
        data.seed_prompts.len(),
        data.prompts.len(),
        data.judge_test.len(),
    );
    let mut job = open(args, config, tokenizer, &out)?.about(about);
    run_loop(&mut job, recipe, &model, &data)
}

fn open(
    args: &RunArgs,
    config: &Config,
    tokenizer: TextTokenizer,
    out: &std::path::Path,
) -> Result<Job, Failure> {
    let models = config.model.iter().chain(&config.evaluator);
    let length = config.recipe.max_length;
    let resume = args.resume_command(out);
    Job::open(
        out,
        config,
        config.files(),
        models,
        tokenizer,
        length,
        resume,
    )
}

fn run_loop(
    job: &mut Job,
    recipe: &SelfRewardingConfig,
    m0: &Llama,
    data: &SelfRewardingData<'_>,
) -> Result<(), Failure> {
    let mut context = RunContext {
        run: &mut job.run,
        interrupt: &job.interrupt,
        progress: Progress::Auto,
    };
    let outcome = self_reward(m0, &job.tokenizer, data, recipe, &mut context)
        .map_err(|error| job.stopped(error))?;
    let mut table = String::new();
    for (report, model) in outcome.models.iter().zip(&outcome.weights) {
        job.save(&format!("models/{}", report.name), model)?;
        table += &format!("{:<20}", report.name);
        if let Some(answers) = &report.answers {
            table += &format!(
                "score {:.3}  win rate {:.3}  ",
                answers.mean_score.estimate, answers.win_rate.estimate
            );
        }
        if let Some(judge) = &report.judge {
            table += &format!(
                "judge: parsed {:.2}{}",
                judge.parse_rate,
                judge
                    .agreement
                    .map_or_else(String::new, |a| format!(", agrees {:.3}", a.estimate))
            );
        }
        table = table.trim_end().to_owned() + "\n";
    }
    if let Some(reason) = &outcome.stopped {
        common::tell(&format!("the loop ended early: {reason}"));
    }
    let seconds = job.note_cost(outcome.seconds);
    write_report(&outcome, recipe, &job.run, &job.about, &job.summary)?;
    job.print_end(&table, seconds)
}
