//! Every estimator learns what the reward likes.

use collimate_core::{Completion, Prompt};
use collimate_ppo::{
    ActorCritic, CriticConfig, Estimator, KlControl, PpoConfig, metrics as names, train,
};
use collimate_testkit::flex;
use collimate_train::FitContext;

use crate::setup::{head, likes_yes, llama, options, task, tokenizer, with_critic};

fn longer(estimator: Estimator) -> PpoConfig {
    PpoConfig {
        estimator,
        rollouts: 16,
        rollout_size: 32,
        samples_per_prompt: 4,
        mini_batch_size: 16,
        ppo_epochs: 2,
        sample_every: Some(8),
        ..options()
    }
}

#[test]
fn every_estimator_learns_the_word() {
    let tokenizer = tokenizer();
    let device = flex();
    let critic = Estimator::Critic(CriticConfig {
        gae_lambda: 0.9,
        ..CriticConfig::default()
    });
    for (name, estimator, model) in [
        ("critic", critic, with_critic(&device)),
        (
            "value head",
            critic,
            ActorCritic::with_value_head(llama(1, &device), head(&device)),
        ),
        (
            "rloo",
            Estimator::Rloo,
            ActorCritic::policy_only(llama(1, &device)),
        ),
        (
            "grpo",
            Estimator::Grpo { scale: true },
            ActorCritic::policy_only(llama(1, &device)),
        ),
    ] {
        let task = task(&tokenizer, &likes_yes, llama(1, &device));
        let done = train(model, &task, &longer(estimator), &FitContext::silent()).unwrap();
        let score = done.metrics[names::SCORES];
        println!(
            "{name}: score {score:.3}, kl {:.2}",
            done.metrics[names::KL]
        );
        assert!(score > 0.6, "{name}: {score}");
        // Chance is one word in eleven.
        let first: Vec<f32> = done
            .answers
            .iter()
            .filter(|a| a.rollout == 0)
            .map(|a| a.score)
            .collect();
        let last: Vec<f32> = done
            .answers
            .iter()
            .filter(|a| a.rollout == 16)
            .map(|a| a.score)
            .collect();
        assert_eq!((first.len(), last.len()), (2, 2), "{name}");
        assert!(
            last.iter().sum::<f32>() > first.iter().sum::<f32>(),
            "{name}"
        );
    }
}

#[test]
fn the_critic_learns_the_value_of_the_start() {
    let tokenizer = tokenizer();
    let device = flex();
    // The reward is constant, so the value before any token becomes this constant.
    let always = |_: &Prompt, _: &Completion| 0.7f32;
    let task = task(&tokenizer, &always, llama(1, &device));
    let config = PpoConfig {
        rollouts: 30,
        estimator: Estimator::Critic(CriticConfig {
            value_coef: 1.0,
            ..CriticConfig::default()
        }),
        kl: KlControl::Fixed { coefficient: 0.0 },
        ..options()
    };
    let done = train(with_critic(&device), &task, &config, &FitContext::silent()).unwrap();
    let value = done.metrics[names::VALUE];
    assert!((value - 0.7).abs() < 0.1, "{value}");
}

/// Only the last token of a response carries the score. So a reward for answers of one token is
/// learned, although most answers are longer.
#[test]
fn the_score_reaches_the_token_that_ends_a_response() {
    let tokenizer = tokenizer();
    let device = flex();
    let short = |_: &Prompt, answer: &Completion| match answer.tokens.as_ref().map(Vec::len) {
        Some(1..=2) => 1.0f32,
        _ => 0.0,
    };
    let task = task(&tokenizer, &short, llama(1, &device));
    let critic = Estimator::default();
    let done = train(
        with_critic(&device),
        &task,
        &longer(critic),
        &FitContext::silent(),
    )
    .unwrap();
    assert!(
        done.metrics[names::LENGTH] < 3.0,
        "{}",
        done.metrics[names::LENGTH]
    );
    assert!(
        done.metrics[names::EOS] > 0.8,
        "{}",
        done.metrics[names::EOS]
    );
}
