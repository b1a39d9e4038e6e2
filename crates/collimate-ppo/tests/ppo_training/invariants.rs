//! Invariants of every training.

use burn::tensor::Device;
use collimate_core::{Completion, Key, Prompt};
use collimate_lm::Llama;
use collimate_nn::{
    Adaptable, Backbone, CausalLm, HfFolder, LoadOptions, LoraConfig, Precision, SaveOptions,
    StoredType, ValueModel, WeightType,
};
use collimate_ops::{CacheType, PackedType, SavedType};
use collimate_ppo::{
    ActorCritic, Estimator, KlPlacement, KlReference, MissingEos, PpoConfig, RewardConfig,
    RewardScaling, metrics as names, train,
};
use collimate_testkit::{devices, flex};
use collimate_train::{AdamWConfig, FitContext, model_hash};

use crate::setup::{head, likes_yes, llama, options, task, tokenizer, with_critic};

/// One rollout, one step.
fn one_step() -> PpoConfig {
    PpoConfig {
        rollouts: 1,
        mini_batch_size: 8,
        ppo_epochs: 1,
        ..options()
    }
}

#[test]
fn at_the_first_step_the_ratio_is_1_and_the_divergence_0() {
    let tokenizer = tokenizer();
    for (name, device) in devices() {
        for micro_batch_tokens in [None, Some(12)] {
            let config = PpoConfig {
                micro_batch_tokens,
                temperature: 0.8,
                ..one_step()
            };
            let task = task(&tokenizer, &likes_yes, llama(1, &device));
            let done = train(with_critic(&device), &task, &config, &FitContext::silent()).unwrap();
            let of = |metric: &str| done.metrics[metric];
            assert_eq!(of(names::RATIO), 1.0, "{name}");
            assert_eq!(of(names::RATIO_MAX), 1.0, "{name}");
            assert_eq!(of(names::APPROX_KL), 0.0, "{name}");
            assert_eq!(of(names::CLIP_FRACTION), 0.0, "{name}");
            assert_eq!(of(names::KL), 0.0, "{name}");
            assert_eq!(of(names::KL_K3), 0.0, "{name}");
            assert_eq!(of(names::VALUE_CLIP_FRACTION), 0.0, "{name}");
            assert_eq!(done.updates, 1);
        }
    }
}

/// A policy with adapters beside frozen weights of 16 bits, as `--lora` trains it.
fn half_policy(device: &Device) -> Llama {
    let folder = tempfile::tempdir().unwrap();
    let bf16 = SaveOptions {
        dtype: StoredType::Bf16,
        ..SaveOptions::default()
    };
    llama(1, device).save_with(&bf16, folder.path()).unwrap();
    let options = LoadOptions::from(device).with_weights(WeightType::Stored);
    let lora = LoraConfig {
        rank: 2,
        ..LoraConfig::default()
    };
    let policy = Llama::load(folder.path(), options).unwrap();
    policy.with_lora(&lora, Key::new(3, "lora")).unwrap()
}

/// The log-probabilities before and after the rollout come from the same forward pass, in every
/// number type, and never from the rounded copy that writes the answers.
#[test]
fn in_bf16_too_the_ratio_is_1_at_the_first_step_and_not_at_the_second() {
    let tokenizer = tokenizer();
    let device = flex();
    for written in [None, Some(PackedType::Bf16), Some(PackedType::Int8)] {
        let policy = half_policy(&device)
            .with_precision(Precision::Bf16)
            .unwrap()
            .with_saved(SavedType::Bf16)
            .with_packed(written)
            .with_cache_type(CacheType::Int8);
        let mut task = task(&tokenizer, &likes_yes, llama(1, &device));
        task.reference = KlReference::AdaptersOff;
        let run = |config: &PpoConfig| {
            let model = ActorCritic::with_value_head(policy.clone(), head(&device));
            train(model, &task, config, &FitContext::silent()).unwrap()
        };
        for micro_batch_tokens in [None, Some(12)] {
            let done = run(&PpoConfig {
                micro_batch_tokens,
                ..one_step()
            });
            assert_eq!(done.metrics[names::RATIO], 1.0, "{written:?}");
            assert_eq!(done.metrics[names::RATIO_MAX], 1.0, "{written:?}");
            assert_eq!(done.metrics[names::APPROX_KL], 0.0, "{written:?}");
            assert_eq!(done.metrics[names::KL], 0.0, "{written:?}");
        }
        let two = run(&PpoConfig {
            ppo_epochs: 2,
            ..one_step()
        });
        assert!(two.metrics[names::RATIO_MAX] != 1.0, "{written:?}");
    }
}

#[test]
fn a_floor_that_holds_every_score_is_told() {
    let tokenizer = tokenizer();
    let device = flex();
    // Like a reward model whose free offset is far below 0.
    let low = |prompt: &Prompt, answer: &Completion| likes_yes(prompt, answer) - 20.0;
    let floor = |scaling: RewardScaling| {
        let mut config = options();
        config.reward.scaling = scaling;
        let task = task(&tokenizer, &low, llama(1, &device));
        let done = train(with_critic(&device), &task, &config, &FitContext::silent()).unwrap();
        let logged = done.metrics.get(names::SCORES_FLOOR).copied();
        assert_eq!(done.floor.is_some(), logged.is_some());
        done.floor
    };
    assert_eq!(floor(RewardScaling::PAPER), Some(1.0));
    let centred = floor(RewardScaling::PAPER.centred(Some(-19.9))).unwrap();
    assert!(centred < 1.0, "{centred}");
    assert_eq!(floor(RewardScaling::Running), None);
}

#[test]
fn adapters_off_are_the_reference_and_stay_as_they_are() {
    let tokenizer = tokenizer();
    let device = flex();
    let lora = LoraConfig {
        rank: 2,
        ..LoraConfig::default()
    };
    let policy = llama(1, &device)
        .with_lora(&lora, Key::new(3, "lora"))
        .unwrap();
    let start = model_hash(&policy.clone().merged());
    let model = ActorCritic::with_value_head(policy, head(&device));
    let mut task = task(&tokenizer, &likes_yes, llama(1, &device));
    task.reference = KlReference::AdaptersOff;
    let config = PpoConfig {
        rollouts: 2,
        ..options()
    };
    let first = train(model.clone(), &task, &one_step(), &FitContext::silent()).unwrap();
    assert_eq!(first.metrics[names::KL], 0.0);
    let own = train(model.clone(), &task, &config, &FitContext::silent()).unwrap();
    assert!(own.metrics[names::KL] != 0.0);
    // With a copy of the start as the reference, the training is the same.
    task.reference = KlReference::Model(llama(1, &device));
    let copy = train(model, &task, &config, &FitContext::silent()).unwrap();
    assert_eq!(own.metrics, copy.metrics);
    assert_eq!(model_hash(&own.model), model_hash(&copy.model));
    assert!(model_hash(&own.model.policy.clone().merged()) != start);
}

#[test]
fn micro_batches_do_not_change_a_step() {
    let tokenizer = tokenizer();
    let device = flex();
    for estimator in [Estimator::default(), Estimator::Rloo] {
        let run = |micro_batch_tokens| {
            let config = PpoConfig {
                estimator,
                samples_per_prompt: 2,
                micro_batch_tokens,
                ..one_step()
            };
            let model = match estimator {
                Estimator::Rloo => ActorCritic::policy_only(llama(1, &device)),
                _ => with_critic(&device),
            };
            let task = task(&tokenizer, &likes_yes, llama(1, &device));
            train(model, &task, &config, &FitContext::silent()).unwrap()
        };
        let whole = run(None);
        for budget in [Some(1), Some(20)] {
            let parts = run(budget);
            for (name, value) in &whole.metrics {
                let other = parts.metrics[name];
                assert!(
                    (value - other).abs() <= 1e-5 * value.abs().max(1.0),
                    "{name}: {value}, {other}"
                );
            }
        }
    }
}

#[test]
fn micro_batches_lead_to_the_same_weights() {
    let tokenizer = tokenizer();
    let device = flex();
    let run = |micro_batch_tokens| {
        let config = PpoConfig {
            micro_batch_tokens,
            // Adam divides by the size of the gradient, so a small gradient would magnify rounding.
            adamw: AdamWConfig {
                eps: 1e-3,
                ..AdamWConfig::default()
            },
            ..one_step()
        };
        let task = task(&tokenizer, &likes_yes, llama(1, &device));
        let done = train(with_critic(&device), &task, &config, &FitContext::silent()).unwrap();
        weights(&done.model)
    };
    let (whole, parts) = (run(None), run(Some(1)));
    let start = weights(&with_critic(&device));
    for ((whole, parts), start) in whole.iter().zip(&parts).zip(&start) {
        assert!(whole != start, "a step that moves nothing shows nothing");
        for (a, b) in whole.iter().zip(parts) {
            assert!((a - b).abs() < 2e-5, "{a} and {b}");
        }
    }
}

/// Some of the policy's weights and some of the critic's.
fn weights(model: &ActorCritic<collimate_lm::Llama>) -> [Vec<f32>; 2] {
    let critic = model.critic.as_ref().unwrap();
    [model.policy.output_weight(), critic.head.weight.val()]
        .map(|weight| weight.into_data().try_into_vec_as::<f32>().unwrap())
}

#[test]
fn scores_are_clipped_and_missing_ends_punished() {
    let tokenizer = tokenizer();
    let device = flex();
    let ten = |_: &Prompt, _: &Completion| 10.0;
    let run = |clip, missing_eos| {
        let config = PpoConfig {
            reward: RewardConfig {
                clip,
                missing_eos,
                ..RewardConfig::default()
            },
            ..one_step()
        };
        let task = task(&tokenizer, &ten, llama(1, &device));
        let done = train(with_critic(&device), &task, &config, &FitContext::silent()).unwrap();
        let of = |metric: &str| done.metrics[metric];
        assert_eq!(of(names::SCORES), 10.0, "the reward as it was given");
        (of(names::RLHF_REWARD), of(names::EOS))
    };
    // There is no divergence yet, so the reward is the score alone.
    let (plain, ended) = run(None, MissingEos::Keep);
    assert_eq!(plain, 10.0);
    assert!(ended > 0.0 && ended < 1.0, "{ended}: both kinds of ends");
    assert_eq!(run(Some(3.0), MissingEos::Keep).0, 3.0);
    let (punished, _) = run(Some(3.0), MissingEos::Penalty { amount: 2.0 });
    assert!(
        (punished - (3.0 - 2.0 * (1.0 - ended))).abs() < 1e-6,
        "{punished}"
    );
    let (fixed, _) = run(None, MissingEos::Fixed { score: -1.0 });
    assert!(
        (fixed - (10.0 * ended - (1.0 - ended))).abs() < 1e-6,
        "{fixed}"
    );
}

#[test]
fn the_dual_clip_counts_only_where_a_ratio_gets_that_far() {
    let tokenizer = tokenizer();
    let device = flex();
    let run = |dual_clip| {
        let config = PpoConfig {
            dual_clip,
            ppo_epochs: 6,
            clip_range: 0.05,
            ..options()
        };
        let task = task(&tokenizer, &likes_yes, llama(1, &device));
        let done = train(with_critic(&device), &task, &config, &FitContext::silent()).unwrap();
        (model_hash(&done.model), done.metrics[names::RATIO_MAX])
    };
    let (plain, largest) = run(None);
    assert!(largest > 1.1, "{largest}");
    assert_eq!(run(Some(1e6)).0, plain);
    assert!(run(Some(1.06)).0 != plain);
}

#[test]
fn the_divergence_may_enter_by_the_loss() {
    let tokenizer = tokenizer();
    let device = flex();
    let run = |kl_placement| {
        let config = PpoConfig {
            estimator: Estimator::Grpo { scale: true },
            samples_per_prompt: 4,
            kl_placement: Some(kl_placement),
            ..options()
        };
        let task = task(&tokenizer, &likes_yes, llama(1, &device));
        let model = ActorCritic::policy_only(llama(1, &device));
        train(model, &task, &config, &FitContext::silent()).unwrap()
    };
    let (reward, loss) = (run(KlPlacement::Reward), run(KlPlacement::Loss));
    assert!(!reward.metrics.contains_key(names::KL_LOSS));
    assert!(loss.metrics[names::KL_LOSS] > 0.0);
    assert!(model_hash(&reward.model) != model_hash(&loss.model));
}

#[test]
fn options_of_a_step_do_what_they_say() {
    let tokenizer = tokenizer();
    let device = flex();
    let run = |change: &dyn Fn(&mut PpoConfig)| {
        let mut config = options();
        change(&mut config);
        let task = task(&tokenizer, &likes_yes, llama(1, &device));
        train(with_critic(&device), &task, &config, &FitContext::silent()).unwrap()
    };
    let plain = run(&|_| {});
    assert_eq!(plain.updates, 12);
    assert!(!plain.metrics.contains_key(names::SKIPPED));
    // The policy has not moved in the first mini-batch of a rollout; it has in the others.
    let stopped = run(&|c| c.early_stop_kl = Some(1e-12));
    assert_eq!(stopped.updates, 3);
    assert_eq!(stopped.metrics[names::STOPPED], 1.0);
    let skipped = run(&|c| c.ratio_threshold = Some(1.0 + 1e-12));
    assert!(
        skipped.updates < 12 && skipped.updates >= 3,
        "{}",
        skipped.updates
    );
    // A count over the last rollout's four mini-batches.
    let left_out = skipped.metrics[names::SKIPPED];
    assert!(
        (1.0..=3.0).contains(&left_out) && left_out.fract() == 0.0,
        "{left_out}"
    );
    assert!(stopped.metrics[names::APPROX_KL] > 0.0);
    let entropy = run(&|c| c.entropy_coef = 0.5);
    assert!(entropy.metrics[names::POLICY_ENTROPY] > 0.0);
    let per_token = |of: &collimate_ppo::Trained<collimate_lm::Llama>| {
        of.metrics[names::ENTROPY] / of.metrics[names::LENGTH]
    };
    assert!(per_token(&entropy) > per_token(&plain));
    let slow = run(&|c| {
        c.estimator = Estimator::Critic(collimate_ppo::CriticConfig {
            learning_rate: Some(1e-6),
            ..Default::default()
        });
    });
    let hash = |of: &collimate_ppo::Trained<collimate_lm::Llama>| {
        model_hash(of.model.critic.as_ref().unwrap())
    };
    assert!(hash(&slow) != hash(&plain));
    let values = |of: &collimate_ppo::Trained<collimate_lm::Llama>| of.metrics[names::VALUE];
    let first = run(&|c| c.rollouts = 1);
    assert!((values(&slow) - values(&first)).abs() < (values(&plain) - values(&first)).abs());
}

#[test]
fn a_metric_that_is_logged_has_a_name_in_the_module() {
    let tokenizer = tokenizer();
    let device = flex();
    let task = task(&tokenizer, &likes_yes, llama(1, &device));
    let done = train(
        with_critic(&device),
        &task,
        &options(),
        &FitContext::silent(),
    )
    .unwrap();
    let source = include_str!("../../src/metrics.rs");
    for name in done.metrics.keys() {
        assert!(source.contains(&format!("\"{name}\"")), "{name}");
    }
    assert_eq!(done.metrics[names::EPISODES], 24.0);
    assert_eq!(done.rollouts, 3);
}

#[test]
fn a_critic_cloned_from_the_policy_is_one_of_its_own() {
    let tokenizer = tokenizer();
    let device = flex();
    let run = |policy: collimate_lm::Llama, backbone: collimate_lm::Llama| {
        let critic = ValueModel::from_parts(backbone, head(&device));
        let task = task(&tokenizer, &likes_yes, llama(1, &device));
        let model = ActorCritic::with_critic(policy, critic);
        train(model, &task, &options(), &FitContext::silent()).unwrap()
    };
    let policy = llama(1, &device);
    let cloned = run(policy.clone(), policy);
    let apart = run(llama(1, &device), llama(1, &device));
    assert_eq!(model_hash(&cloned.model), model_hash(&apart.model));
    let critic = &cloned.model.critic.as_ref().unwrap().backbone;
    assert!(model_hash(critic) != model_hash(&cloned.model.policy));
}
