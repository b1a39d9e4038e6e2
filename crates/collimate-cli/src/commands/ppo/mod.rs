//! Reinforcement learning from a reward: `collimate ppo --help`.

mod args;
mod run;

use std::path::Path;

use collimate::core::{PreferencePair, Prompt, Scorer};
use collimate::data::{OnRewrittenPrompt, SftExample, TextTokenizer, Truncation};
use collimate::lm::{Architecture, Encoder, Llama, Pretrained, TextGenerator, eos_token_ids};
use collimate::nn::{Adaptable, Backbone, HfFolder, HfReward, LoadOptions, ValueModel};
use collimate::prelude::Device;
use collimate::recipes::ppo::{CriticStart, PolicyData, RewardArm};
use collimate::recipes::world::WorldModel;
use collimate::recipes::{Adaptation, AnswerScorer};
use collimate::reward::{RewardModel, RewardScorer};
use collimate::train::TrainConfig;
use collimate::world::World;

use crate::commands::align::pairs::{self, Choices, examples};
use crate::commands::generate::prompts;
use crate::commands::rule::rules::{self, Rule};
use crate::common::{self, Failure};
use crate::loading;
use crate::rendering::Rendering;
use crate::start::Start;
use crate::{policy, runs};
use args::Config;
pub(crate) use args::{Args, Ppo};

/// Runs the command.
fn run(start: &Start<'_, Config>) -> Result<(), Failure> {
    match start.config.model.as_deref() {
        None => from_scratch(start),
        Some(dir) => from_folder(start, dir),
    }
}

/// Trains a small decoder from scratch on the synthetic world, then against the world's true
/// reward.
fn from_scratch(start: &Start<'_, Config>) -> Result<(), Failure> {
    let config = start.config;
    let (seed, length) = (config.policy.ppo.seed, config.policy.max_length);
    let world = World::new(&config.world)?;
    let choices = Choices {
        seed,
        label_noise: 0.0,
        prompts: config.test_prompts,
    };
    let parts = pairs::from_world(&world, config.pretrain_texts, choices)?;
    let prompts = |pairs: &[PreferencePair]| -> Vec<Prompt> {
        pairs.iter().map(|pair| pair.prompt.clone()).collect()
    };
    let gold = world.scorer();
    let data = PolicyData {
        prompts: prompts(&parts.train),
        watched: prompts(&parts.validation),
        test: parts.prompts,
        held_out: examples(&parts.validation),
        eos: Vec::new(),
        judge: Some(AnswerScorer {
            name: "the gold reward".to_owned(),
            scorer: &gold,
        }),
    };
    let of_world = WorldModel {
        seed,
        llama: config.llama.clone(),
        max_length: length,
        ..WorldModel::default()
    };
    let Pretrained {
        model, tokenizer, ..
    } = of_world.fresh(&world, start.device)?;
    let model = model.with_recompute(start.args.gradient_checkpointing);
    let model = config.saved_activations.of(model);
    let model = config.generation_weights.of(model);
    let model = config.generation_cache.of(model);
    let model = model.with_precision(config.precision)?;
    let about = format!(
        "The data are from the synthetic world (`docs/methods/synthetic-world.md`). The start \
         model is a Llama decoder from scratch with {} parameters, fine-tuned on {} chosen \
         answers. The reward is the gold reward, the world's true reward. The policy is trained on \
         {} prompts, and the answers to {} other prompts are compared.",
        model.num_parameters(),
        parts.sft.len(),
        data.prompts.len(),
        data.test.len(),
    );
    let mut job = start.open(tokenizer, length)?.about(about);
    let mut learn = |model, texts: &[SftExample], train: &TrainConfig| {
        let train = TrainConfig {
            seed,
            ..train.clone()
        };
        job.learn(model, texts, Truncation::default(), &train)
    };
    let model = learn(model, &parts.pretrain, &config.pretrain)?;
    let policy = learn(model, &parts.sft, &config.sft)?;
    let arm = RewardArm {
        name: "gold".to_owned(),
        reward: &gold,
        centre: None,
        critic: None,
    };
    run::reinforce(&mut job, config, &policy, arm, &data)
}

/// Trains the user's policy, starting from it unchanged.
fn from_folder(start: &Start<'_, Config>, dir: &Path) -> Result<(), Failure> {
    let config = start.config;
    common::check_writer("--model", dir)?;
    let rendering = Rendering {
        chat_fallback: config.chat_fallback,
        template: config.chat_template.clone(),
        kwargs: config.chat_template_kwargs.clone(),
        date: config.template_date.clone(),
        on_rewritten: OnRewrittenPrompt::default(),
    };
    let tokenizer = rendering.open(dir)?;
    runs::check_lasting(&config.prompts)?;
    let model = Llama::load(dir, held(config, start.device))?
        .with_recompute(start.args.gradient_checkpointing);
    let model = config.saved_activations.of(model);
    let model = config.generation_weights.of(model);
    let model = config.generation_cache.of(model);
    let model = model.with_precision(config.precision)?;
    let length = config.policy.max_length;
    runs::check_length(length, &model)?;
    let (name, scorer, critic, reward) = reward(start, &tokenizer, &model)?;
    let eos = eos_token_ids(dir)?;
    let asked = match &config.prompts {
        Some(file) => prompts::read(&[], Some(file))?
            .into_iter()
            .map(|a| a.prompt)
            .collect(),
        None => Vec::new(),
    };
    let job = start.open(tokenizer.clone(), length)?;
    let all: Vec<Prompt> = match asked.is_empty() {
        false => asked,
        true => {
            let generator = TextGenerator::new(model.clone(), tokenizer).with_eos_of(dir)?;
            run::openings(&job, config, &generator)?
        }
    };
    let mut data = split(all, config, eos)?;
    let rule = config.judge.map(rules::scorer);
    if let (Some(name), Some(scorer)) = (config.judge, &rule) {
        let name = format!(
            "the rule `{}`",
            serde_json::json!(name).as_str().unwrap_or_default()
        );
        data.judge = Some(AnswerScorer { name, scorer });
    }
    let about = format!(
        "The start model and reference model is `{}`. The reward is {reward}. The policy is \
         trained on {} prompts, and the answers to {} other prompts are compared.",
        dir.display(),
        data.prompts.len(),
        data.test.len(),
    );
    let mut job = job.about(about);
    let arm = RewardArm {
        name,
        reward: scorer.as_ref(),
        // The labelled answers of the reward model are unknown here; a configuration file may set a
        // centre.
        centre: None,
        critic,
    };
    run::reinforce(&mut job, config, &model, arm, &data)
}

/// Splits the prompts into those to learn from, a few to watch, and the last ones for the
/// comparison.
fn split(
    mut all: Vec<Prompt>,
    config: &Config,
    eos: Vec<u32>,
) -> Result<PolicyData<'static>, Failure> {
    let mut seen = std::collections::HashSet::new();
    all.retain(|prompt| seen.insert(prompt.clone()));
    // A file gives at most a tenth of its prompts; the number of openings allows for more.
    let wanted = match config.prompts {
        Some(_) => config.test_prompts.min(all.len() / 10),
        None => config.test_prompts.min(all.len() / 3),
    };
    let watched = config.policy.watched.min(all.len() / 10);
    if wanted < config.test_prompts {
        common::tell(&format!(
            "of {} different prompts, {wanted} are for the comparison at the end ({} were \
             requested)",
            all.len(),
            config.test_prompts,
        ));
    }
    if wanted == 0 {
        return Err(format!(
            "{} different prompts are too few: give at least 10",
            all.len()
        )
        .into());
    }
    let test = all.split_off(all.len() - wanted);
    let watched = all.split_off(all.len() - watched);
    Ok(PolicyData {
        prompts: all,
        watched,
        test,
        eos,
        ..PolicyData::default()
    })
}

type Reward = (String, Box<dyn Scorer>, Option<ValueModel<Llama>>, String);

/// Returns the reward: its name, the scorer, a start for the critic if there is one, and a short
/// description.
fn reward(
    start: &Start<'_, Config>,
    tokenizer: &TextTokenizer,
    policy: &Llama,
) -> Result<Reward, Failure> {
    let (config, device) = (start.config, start.device);
    let Some(dir) = &config.reward_model else {
        let rule = config.reward.unwrap_or(Rule::Happy);
        let about = format!("a rule: {}", rule.about());
        let scorer = Box::new(rules::scorer(rule));
        return Ok(("rule".to_owned(), scorer, None, about));
    };
    let own = TextTokenizer::from_folder(dir)?.with_chat_fallback(config.chat_fallback);
    let about = format!("the reward model `{}`", dir.display());
    let scored = |length: usize| own.max_length().unwrap_or(length).min(length);
    fn scorer<B: HfReward>(
        model: RewardModel<B>,
        tokenizer: TextTokenizer,
        length: usize,
    ) -> Box<dyn Scorer> {
        Box::new(RewardScorer::new(
            model,
            tokenizer,
            length,
            Truncation::KeepEnd,
        ))
    }
    let name = "reward_model".to_owned();
    let label = config.label.as_deref();
    if common::architecture(dir)? == Architecture::Encoder {
        let model = RewardModel::<Encoder>::load_label(dir, label, loading::frozen(device))?;
        if config.policy.critic == CriticStart::RewardModel {
            return Err(
                "critic is reward_model, but the reward model is an encoder: leave --critic out"
                    .into(),
            );
        }
        let length = scored(model.backbone.max_positions());
        return Ok((name, scorer(model, own, length), None, about));
    }
    // The critic starts from this model, so its matrices are frozen only beside adapters.
    let mut model = RewardModel::<Llama>::load_label(dir, label, held(config, device))?;
    let saved = config.saved_activations.beside(&mut model.backbone);
    let model = model
        .with_saved(saved)
        .with_recompute(start.args.gradient_checkpointing)
        .with_precision(config.precision)?;
    let room = model.backbone.max_positions();
    let reasons = [
        (
            !config
                .policy
                .critic
                .takes_reward_model(policy.num_parameters() as u64),
            "a second model of this size would cost much time and memory (--critic reward_model \
             trains one)",
        ),
        (
            own.inner().get_vocab(true) != tokenizer.inner().get_vocab(true),
            "the reward model has another vocabulary",
        ),
        (
            room < config.policy.max_length,
            "the reward model reads only shorter texts",
        ),
    ];
    let against = reasons.iter().find(|(holds, _)| *holds);
    let critic = against.is_none().then(|| policy::critic(&model));
    if let Some((_, why)) = against
        && config.policy.critic != CriticStart::ValueHead
        && config.policy.ppo.estimator.critic().is_some()
    {
        if config.policy.critic == CriticStart::RewardModel {
            return Err(format!("critic is reward_model, but {why}: leave --critic out").into());
        }
        common::tell(&format!("the critic is a value head on the policy: {why}"));
    }
    let length = scored(room);
    Ok((name, scorer(model, own, length), critic, about))
}

/// Returns the options of loading a model that PPO trains: with adapters, matrices of 16 bits are
/// frozen.
fn held<'d>(config: &Config, device: &'d Device) -> LoadOptions<'d> {
    match &config.policy.adaptation {
        Adaptation::Lora(_) => loading::frozen(device),
        Adaptation::Full => device.into(),
    }
}
