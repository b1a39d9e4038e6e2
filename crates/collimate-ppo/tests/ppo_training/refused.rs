//! Inputs that cannot be used for training give an error that says what to do, and no panic.

use collimate_core::{Completion, Key, Prompt, ScoreError, Scorer};
use collimate_lm::Llama;
use collimate_nn::ValueModel;
use collimate_ppo::{
    ActorCritic, CriticConfig, Estimator, KlControl, KlReference, KlUnit, MissingEos, PpoConfig,
    RewardScaling, train,
};
use collimate_testkit::flex;
use collimate_train::FitContext;

use crate::setup::{config, head, likes_yes, llama, options, task, tokenizer, with_critic};

fn error(
    reward: &dyn Scorer,
    change: impl FnOnce(&mut PpoConfig, &mut ActorCritic<Llama>),
) -> String {
    let tokenizer = tokenizer();
    let device = flex();
    let (mut config, mut model) = (options(), with_critic(&device));
    change(&mut config, &mut model);
    let task = task(&tokenizer, reward, llama(1, &device));
    let outcome = train(model, &task, &config, &FitContext::silent());
    outcome.map(|_| ()).unwrap_err().to_string()
}

struct Wrong(usize, f32);

impl Scorer for Wrong {
    fn score(&self, items: &[(Prompt, Completion)]) -> Result<Vec<f32>, ScoreError> {
        Ok(vec![self.1; items.len() - self.0])
    }
}

#[test]
fn options_out_of_range_are_named() {
    type Change = fn(&mut PpoConfig);
    let adaptive = |target| KlControl::Adaptive {
        initial: 0.2,
        target,
        horizon: 1e4,
        unit: KlUnit::PerToken,
    };
    let cases: Vec<(Change, &str)> = vec![
        (|c| c.mini_batch_size = 9, "mini_batch_size is 9"),
        (|c| c.mini_batch_size = 0, "mini_batch_size is 0"),
        (|c| c.rollouts = 0, "rollouts is 0"),
        (|c| c.rollout_size = 0, "rollout_size is 0"),
        (|c| c.rollouts = u64::MAX, "1 to 10^9"),
        (|c| c.ppo_epochs = u64::MAX, "1 to 1000"),
        (|c| c.rollout_size = usize::MAX, "1 to 10^6"),
        (|c| c.max_new_tokens = usize::MAX, "1 to 10^6"),
        (|c| c.warmup_steps = u64::MAX, "at most 10^12"),
        (
            |c| c.temperature = 1e-300,
            "temperature is 1e-300 but must be 0.001 to 1000",
        ),
        (|c| c.samples_per_prompt = 3, "rollout_size is 8"),
        (|c| c.samples_per_prompt = 0, "samples_per_prompt is 0"),
        (|c| c.estimator = Estimator::Rloo, "samples_per_prompt is 1"),
        (|c| c.ppo_epochs = 0, "ppo_epochs is 0"),
        (|c| c.temperature = 0.0, "temperature is 0"),
        (|c| c.max_new_tokens = 0, "max_new_tokens is 0"),
        (|c| c.clip_range = 1.0, "clip_range is 1"),
        (|c| c.dual_clip = Some(1.0), "dual_clip is 1"),
        (
            |c| {
                c.kl = KlControl::Adaptive {
                    initial: 0.2,
                    target: 6.0,
                    horizon: 1.0,
                    unit: KlUnit::PerSequence,
                }
            },
            "kl.adaptive.horizon is 1",
        ),
        (|c| c.ratio_threshold = Some(0.5), "ratio_threshold is 0.5"),
        (|c| c.early_stop_kl = Some(-0.1), "early_stop_kl is -0.1"),
        (|c| c.entropy_coef = -1.0, "entropy_coef is -1"),
        (|c| c.learning_rate = 0.0, "learning_rate is 0"),
        (|c| c.max_grad_norm = Some(f64::NAN), "max_grad_norm is NaN"),
        (|c| c.save_every = Some(0), "save_every is 0"),
        (
            |c| c.kl = KlControl::Fixed { coefficient: -0.1 },
            "kl.fixed.coefficient is -0.1",
        ),
        (
            |c| c.reward.missing_eos = MissingEos::Penalty { amount: -1.0 },
            "reward.missing_eos.penalty.amount is -1",
        ),
        (
            |c| {
                c.reward.scaling = RewardScaling::Sigmoid {
                    centre: None,
                    threshold: 1.0,
                    min: -1.0,
                    max: 1.0,
                }
            },
            "reward.scaling.sigmoid.threshold is 1",
        ),
        (|c| c.reward.clip = Some(0.0), "reward.clip is 0"),
        (
            |c| {
                c.estimator = Estimator::Critic(CriticConfig {
                    gae_lambda: 1.1,
                    ..CriticConfig::default()
                })
            },
            "estimator.critic.gae_lambda is 1.1",
        ),
        (|c| c.stage = "../x".to_owned(), "stage is"),
    ];
    for (change, says) in cases {
        let message = error(&likes_yes, |config, _| change(config));
        assert!(message.contains(says), "{says}: {message}");
    }
    for target in [0.0, -6.0, f64::NAN] {
        let message = error(&likes_yes, |c, _| c.kl = adaptive(target));
        assert!(message.starts_with("kl.adaptive.target is "), "{message}");
    }
}

#[test]
fn a_reward_that_is_none() {
    for bad in [f32::NAN, f32::INFINITY] {
        let message = error(&Wrong(0, bad), |_, _| {});
        assert!(
            message.starts_with("rollout 1: the score of item 0 is "),
            "{message}"
        );
    }
    let message = error(&Wrong(1, 0.5), |_, _| {});
    assert_eq!(
        message,
        "rollout 1: the scorer returned 7 scores for 8 items"
    );
    let message = error(&|_: &Prompt, _: &Completion| f32::NAN, |_, _| {});
    assert!(message.contains("NaN"), "{message}");
}

#[test]
fn nothing_but_empty_responses() {
    let tokenizer = tokenizer();
    let device = flex();
    let mut task = task(&tokenizer, &likes_yes, llama(1, &device));
    // Every token ends a response.
    task.eos = (0..12).collect();
    let outcome = train(
        with_critic(&device),
        &task,
        &options(),
        &FitContext::silent(),
    );
    let message = outcome.map(|_| ()).unwrap_err().to_string();
    assert!(
        message.starts_with("rollout 1: every response is empty"),
        "{message}"
    );
}

#[test]
fn parts_that_do_not_fit() {
    let device = flex();
    let message = error(&likes_yes, |_, model| model.critic = None);
    assert!(
        message.contains("needs a critic or a value head"),
        "{message}"
    );
    let message = error(&likes_yes, |_, model| {
        model.value_head = Some(head(&flex()))
    });
    assert!(message.contains("not both"), "{message}");
    let message = error(&likes_yes, |config, _| {
        config.estimator = Estimator::Grpo { scale: true };
        config.samples_per_prompt = 2;
    });
    assert!(message.contains("uses no critic"), "{message}");
    // A critic with another vocabulary reads other words.
    let other = Llama::new(&config(40), Key::new(9, "init"), &device).unwrap();
    let critic = ValueModel::from_parts(other, head(&device));
    let message = error(&likes_yes, |_, model| model.critic = Some(critic));
    assert!(
        message.contains("the critic knows 40 token ids, but the policy 12"),
        "{message}"
    );
    let tokenizer = tokenizer();
    let other = Llama::new(&config(40), Key::new(9, "init"), &device).unwrap();
    let wide = task(&tokenizer, &likes_yes, other);
    let outcome = train(
        with_critic(&device),
        &wide,
        &options(),
        &FitContext::silent(),
    );
    let message = outcome.map(|_| ()).unwrap_err().to_string();
    assert!(
        message.contains("the reference knows 40 token ids"),
        "{message}"
    );
    let mut without = task(&tokenizer, &likes_yes, llama(1, &device));
    without.reference = KlReference::AdaptersOff;
    let outcome = train(
        with_critic(&device),
        &without,
        &options(),
        &FitContext::silent(),
    );
    let message = outcome.map(|_| ()).unwrap_err().to_string();
    assert!(message.contains("adapters"), "{message}");
}

#[test]
fn prompts_that_leave_no_room() {
    let tokenizer = tokenizer();
    let device = flex();
    let mut task = task(&tokenizer, &likes_yes, llama(1, &device));
    task.prompts.push(Prompt::from("a ".repeat(26).as_str()));
    let run = |task: &collimate_ppo::PpoTask<'_, Llama>| {
        let outcome = train(
            with_critic(&device),
            task,
            &options(),
            &FitContext::silent(),
        );
        outcome.map(|_| ()).unwrap_err().to_string()
    };
    let message = run(&task);
    assert!(
        message.contains("prompt 4 has 27 tokens and a response up to 6"),
        "{message}"
    );
    task.prompts.clear();
    assert!(run(&task).contains("no prompts"));
}
