//! One run in one folder.

use std::path::Path;

use collimate::core::{Completion, GenerateError, Generator, Prompt, Sampling};
use collimate::data::{ChatFallback, TextTokenizer, Truncation};
use collimate::judge::PromptStyle;
use collimate::lm::{Llama, Pretrained, TextGenerator, eos_token_ids};
use collimate::nn::{Adaptable, Backbone, HfFolder};
use collimate::recipes::AnswerScorer;
use collimate::recipes::self_rewarding::{
    SelfRewardingConfig, SelfRewardingData, self_reward, write_report,
};
use collimate::recipes::world::{EftSource, SELF_REWARDING_WORDS, WorldModel, plain_texts};
use collimate::train::{TrainConfig, model_hash};
use collimate::world::World;

use super::args::Config;
use super::files;
use crate::commands::rule::rules;
use crate::common::{self, Failure};
use crate::job::Job;
use crate::loading;
use crate::rendering::rendering;
use crate::runs;
use crate::scorer::reward_model;
use crate::start::Start;

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
    let world = World::new(&config.world)?;
    let recipe = &config.recipe;
    let (length, seed) = (recipe.max_length, recipe.seed);
    let of_world = WorldModel {
        seed,
        llama: config.llama.clone(),
        max_length: length,
        ..WorldModel::default()
    };
    let of_world = of_world.with_words(&SELF_REWARDING_WORDS);
    let Pretrained {
        model, tokenizer, ..
    } = of_world.fresh(&world, start.device)?;
    let model = model.with_recompute(start.args.gradient_checkpointing);
    let model = config.saved_activations.of(model);
    let model = config.generation_weights.of(model);
    let model = config.generation_cache.of(model);
    let model = model.with_precision(config.precision)?;
    let source = config.eft_source;
    let sizes = config.seed_data;
    let mut data = sizes.data(&world, source, config.test_prompts, recipe)?;
    let (judged, how) = match source {
        EftSource::Gold => (data.eft.len(), "judged by the gold reward"),
        EftSource::Ranks => (
            data.ranked.iter().map(|list| list.answers.len()).sum(),
            "ranked by the annotator",
        ),
    };
    let about = format!(
        "The data are from the synthetic world (`docs/methods/synthetic-world.md`). M0 is a Llama \
         decoder from scratch with {} parameters that was trained on {} plain texts. The seed data \
         are {} demonstrations, {} answers {how}, and {} lists of tasks that continue with a new \
         task. The models answer {} held-out prompts, and judge {} held-out pairs and {} held-out \
         lists. The gold reward gives the true order of the pairs and lists.",
        model.num_parameters(),
        config.pretrain_texts,
        data.ift.len(),
        judged,
        data.tasks.len(),
        data.prompts.len(),
        data.judge_test.len(),
        data.rank_test.len(),
    );
    let mut job = start.open(tokenizer, length)?.about(about);
    let texts = plain_texts(&world, config.pretrain_texts, seed);
    let train = TrainConfig {
        seed,
        ..config.pretrain.clone()
    };
    let model = job.learn(model, &texts, Truncation::default(), &train)?;
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

/// Trains the user's model, starting from it unchanged.
fn from_folder(start: &Start<'_, Config>, dir: &Path) -> Result<(), Failure> {
    let config = start.config;
    common::check_writer("--model", dir)?;
    let tokenizer = rendering!(config).open(dir)?;
    let recipe = &config.recipe;
    let chats = |style| style == PromptStyle::Chat;
    if tokenizer.chat_template().is_none() && config.chat_fallback == ChatFallback::Refuse {
        if chats(recipe.judge.style) {
            return Err("the model has no chat template: give --judge-style text".into());
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
    // The first stages train all weights.
    let model = Llama::load(dir, start.device)?.with_recompute(start.args.gradient_checkpointing);
    let model = config.saved_activations.of(model);
    let model = config.generation_weights.of(model);
    let model = config.generation_cache.of(model);
    let model = model.with_precision(config.precision)?;
    runs::check_length(recipe.max_length, &model)?;
    let scorer = match &config.evaluator {
        Some(dir) => Some(reward_model(
            "--evaluator",
            dir,
            config.chat_fallback,
            start.device,
        )?),
        None => None,
    };
    let rule = config.evaluator_rule.map(rules::scorer);
    let judge = match &config.eft_judge {
        Some(dir) => Some(eft_judge(config, dir, start)?),
        None => None,
    };
    data.eft_judge = judge
        .as_ref()
        .map(|(name, judge)| -> (&str, &dyn Generator) { (name, judge) });
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
        "The start model M0 is `{}`. Seed data: {} demonstrations, {} judgements, {} lists of \
         ranked answers, {} examples of writing new tasks, {} known tasks. The models answer {} \
         held-out prompts, and judge {} held-out pairs and {} held-out lists.",
        dir.display(),
        data.ift.len(),
        data.eft.len(),
        data.ranked.len(),
        data.tasks.len(),
        data.seed_prompts.len(),
        data.prompts.len(),
        data.judge_test.len(),
        data.rank_test.len(),
    );
    let mut job = start.open(tokenizer, recipe.max_length)?.about(about);
    run_loop(&mut job, recipe, &model, &data)
}

/// Opens the language model that judges ranked answers, with the chat template of its own folder.
/// The returned name depends on the weights.
fn eft_judge(
    config: &Config,
    dir: &Path,
    start: &Start<'_, Config>,
) -> Result<(String, ShortLived), Failure> {
    common::check_writer("--eft-judge", dir)?;
    let tokenizer = TextTokenizer::from_folder(dir)?.with_chat_fallback(config.chat_fallback);
    let model = Llama::load(dir, loading::frozen(start.device))?;
    let name = format!("{} ({})", dir.display(), model_hash(&model));
    let generator = TextGenerator::new(model, tokenizer).with_eos_of(dir)?;
    Ok((name, ShortLived(generator)))
}

/// A generator that frees its copies of the weights after each call, because models are trained
/// between its calls.
struct ShortLived(TextGenerator<Llama>);

impl Generator for ShortLived {
    fn generate(
        &self,
        prompts: &[Prompt],
        sampling: &Sampling,
    ) -> Result<Vec<Vec<Completion>>, GenerateError> {
        let written = self.0.generate(prompts, sampling);
        self.0.forget();
        written
    }
}

fn run_loop(
    job: &mut Job,
    recipe: &SelfRewardingConfig,
    m0: &Llama,
    data: &SelfRewardingData<'_>,
) -> Result<(), Failure> {
    let (tokenizer, mut context) = job.parts();
    let outcome = self_reward(m0, tokenizer, data, recipe, &mut context)
        .map_err(|error| job.stopped(error))?;
    for (report, model) in outcome.models.iter().zip(&outcome.weights) {
        job.save(&format!("models/{}", report.name), model)?;
    }
    let seconds = job.note_cost(outcome.seconds);
    write_report(&outcome, recipe, &job.run, &job.about, &job.summary)?;
    job.print_end(&outcome.to_string(), seconds)
}
