//! Proximal policy optimisation (PPO) against a reward that is a Rust closure.
//!
//! ```text
//! cargo run --example ppo
//! ```
//!
//! The closure here asks the synthetic world how good an answer is. A rule of your own, a reward model
//! (`RewardScorer`) or a language model as a judge stands in the same place.

use collimate::ppo::{
    CriticConfig, Estimator, KlControl, RewardConfig, RewardScaling, metrics, train,
};
use collimate::prelude::*;
use collimate::world::{World, WorldConfig, WorldData, WorldModel};

fn main() -> Result<(), collimate::Error> {
    let world = World::new(&WorldConfig::default())?;
    let data = WorldData::new(&world, 0)?;
    let context = FitContext::default();
    let start =
        WorldModel::small().train(&world, &data.demonstrations, &Device::flex(), &context)?;

    // The reward: any function of a prompt and an answer.
    let reward = |prompt: &Prompt, answer: &Completion| {
        world.gold_reward(&prompt.to_plain(), &answer.text) as f32
    };

    let task = PpoTask {
        tokenizer: &start.tokenizer,
        eos: start.eos.clone(),
        prompts: data.train.iter().map(|pair| pair.prompt.clone()).collect(),
        watched: data
            .validation
            .iter()
            .map(|pair| pair.prompt.clone())
            .take(2)
            .collect(),
        reward: &reward,
        // The policy pays for every nat that it moves away from the start model: a reward that is not quite what
        // you mean is otherwise soon exploited.
        reference: KlReference::Model(start.model.clone()),
    };
    let options = PpoConfig {
        // `Estimator::Rloo` and `Estimator::Grpo` compare several answers to a prompt, and need no critic.
        estimator: Estimator::Critic(CriticConfig {
            value_coef: 0.5,
            ..CriticConfig::default()
        }),
        rollouts: 16,
        rollout_size: 128,
        mini_batch_size: 32,
        ppo_epochs: 2,
        max_new_tokens: 32,
        learning_rate: 1e-3,
        kl: KlControl::Fixed { coefficient: 0.2 },
        // Mean 0 and variance 1 over all scores so far: the KL coefficient then means the same for any reward.
        reward: RewardConfig {
            scaling: RewardScaling::Running,
            ..RewardConfig::default()
        },
        sample_every: Some(8),
        ..PpoConfig::default()
    };
    let policy = ActorCritic::with_fresh_value_head(start.model.clone(), Key::new(0, "value head"));
    let trained = train(policy, &task, &options, &context)?;

    for answer in &trained.answers {
        let (rollout, score) = (answer.rollout, answer.score);
        println!(
            "after {rollout:2} rollouts  {score:.2}  {} → {}",
            answer.prompt, answer.answer
        );
    }
    // Both policies answer the same held-out prompts.
    let prompts = data.test_prompts(300);
    let mean_reward = |policy: &Pretrained<Llama>| -> Result<f64, collimate::Error> {
        let sampling = Sampling {
            max_new_tokens: options.max_new_tokens,
            ..Sampling::default()
        };
        let answers = policy.generator().generate(&prompts, &sampling)?;
        let items: Vec<_> = prompts
            .iter()
            .cloned()
            .zip(answers.into_iter().flatten())
            .collect();
        let scores = reward.score(&items)?;
        Ok(scores.iter().map(|&score| f64::from(score)).sum::<f64>() / items.len() as f64)
    };
    let before = mean_reward(&start)?;
    let after = mean_reward(&start.with_model(trained.model.policy))?;
    println!("\nmean reward of the start model  {before:.3}");
    println!("mean reward after PPO           {after:.3}");
    println!(
        "divergence from the start model {:.1} nats per answer",
        trained.metrics[metrics::KL]
    );
    Ok(())
}
