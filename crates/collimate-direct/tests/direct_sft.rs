//! Fine-tuning: the loss is the mean over completion tokens, for any micro-batches.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use collimate_core::Key;
use collimate_data::TokenizedExample;
use collimate_direct::{SftObjective, perplexity};
use collimate_lm::{Llama, LlamaConfig};
use collimate_nn::{Adaptable, Backbone, CausalLm, Forward, LoraConfig, Pack};
use collimate_testkit::{Noise, assert_close, devices, flex, host};
use collimate_train::{
    AdamWConfig, FitContext, Objective, TrainConfig, fit, metric_names as names,
};

const VOCAB: usize = 20;

fn plain() -> Device {
    flex().without_autodiff()
}

fn model(device: &Device) -> Llama {
    let config = LlamaConfig {
        vocab_size: VOCAB,
        hidden_size: 24,
        intermediate_size: 48,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        num_key_value_heads: 1,
        max_position_embeddings: 24,
        initializer_range: 0.1,
        ..Default::default()
    };
    Llama::new(&config, Key::new(1, "init"), device).unwrap()
}

/// Returns examples of "say the word again, backwards": prompts of two to four words, answers in
/// reverse order with EOS.
fn reversed(count: usize, seed: u64) -> Vec<TokenizedExample> {
    let mut noise = Noise::new(seed);
    let mut all = Vec::new();
    for _ in 0..count {
        let words: Vec<u32> = (0..1 + noise.below(2))
            .map(|_| 3 + noise.below(16) as u32)
            .collect();
        let answer = words.iter().rev().copied().chain([2]).collect();
        all.push(TokenizedExample {
            prompt: [vec![1], words].concat(),
            completion: answer,
            truncated: false,
        });
    }
    all
}

/// Returns completions of random tokens and lengths. They cannot be learnt, but their tokens count.
fn noise(count: usize, seed: u64) -> Vec<TokenizedExample> {
    let mut noise = Noise::new(seed);
    let mut draw =
        |n: usize| -> Vec<u32> { (0..n).map(|_| 3 + (noise.bits() % 17) as u32).collect() };
    (0..count)
        .map(|index| TokenizedExample {
            prompt: draw(index % 4),
            completion: draw(2 + (index * 5) % 9),
            truncated: false,
        })
        .collect()
}

fn values(model: &Llama) -> BTreeMap<String, Vec<f32>> {
    #[derive(Default)]
    struct Visitor(Vec<String>, BTreeMap<String, Vec<f32>>);
    impl ModuleVisitor for Visitor {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.0.push(name.to_owned());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.0.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.1.insert(self.0.join("."), host(&param.val()));
        }
    }
    let mut visitor = Visitor::default();
    model.visit(&mut visitor);
    visitor.1
}

/// Returns Σ −log p and the number of completion tokens, one sequence at a time, in f64 from dense
/// logits.
fn dense(model: &Llama, examples: &[TokenizedExample]) -> (f64, usize) {
    let weight = host(&model.output_weight());
    let (mut sum, mut count) = (0.0, 0);
    for example in examples {
        let ids = [example.prompt.clone(), example.completion.clone()].concat();
        let mut pack = Pack::new();
        pack.push_row(&ids);
        let batch = pack.to_device(Llama::VISIBILITY, &model.device());
        let hidden = host(&model.hidden(&batch, Forward::EVAL));
        let width = model.hidden_size();
        for t in example.prompt.len().max(1)..ids.len() {
            let h = &hidden[(t - 1) * width..t * width];
            let logit = |w: &[f32]| -> f64 {
                w.iter()
                    .zip(h)
                    .map(|(&w, &h)| f64::from(w) * f64::from(h))
                    .sum()
            };
            let logits: Vec<f64> = weight.chunks_exact(width).map(logit).collect();
            let total: f64 = logits.iter().map(|l| l.exp()).sum();
            sum -= logits[ids[t] as usize] - total.ln();
            count += 1;
        }
    }
    (sum, count)
}

fn learn(model: Llama, learning_rate: f64) -> (f64, f64) {
    let held_out = reversed(60, 2);
    let before = perplexity(&model, &held_out, 256).unwrap();
    let objective = SftObjective::new(reversed(600, 1), held_out.clone(), 256).unwrap();
    let config = TrainConfig {
        learning_rate,
        batch_size: 32,
        max_steps: Some(150),
        ..Default::default()
    };
    let fitted = fit(model, &objective, &config, &FitContext::silent()).unwrap();
    let after = perplexity(&fitted.model, &held_out, 256).unwrap();
    assert!((fitted.metrics["eval_perplexity"] - after).abs() < 1e-6 * after);
    (before, after)
}

#[test]
fn a_model_learns_to_reverse() {
    let (before, after) = learn(model(&plain()), 0.01);
    assert!(
        before > 15.0 && after < 1.5,
        "perplexity {before} to {after}"
    );
}

#[test]
fn a_model_learns_through_adapters() {
    // With frozen embeddings, which are tied to the output, the loss falls less than in full
    // training.
    let config = LoraConfig::default();
    let model = model(&plain())
        .with_lora(&config, Key::new(2, "lora"))
        .unwrap();
    let (before, after) = learn(model, 0.01);
    assert!(after < 0.5 * before, "perplexity {before} to {after}");
}

#[test]
fn loss_and_perplexity_against_dense_logits() {
    for (name, device) in devices() {
        let device = device.without_autodiff();
        let model = model(&device);
        let examples = noise(9, 3);
        let (sum, count) = dense(&model, &examples);
        for tokens in [1, 20, 1000] {
            let found = perplexity(&model, &examples, tokens).unwrap();
            let wanted = (sum / count as f64).exp();
            assert!(
                (found - wanted).abs() < 1e-4 * wanted,
                "{name}: {found} / {wanted}"
            );
        }
        let objective = SftObjective::new(examples.clone(), vec![], 64).unwrap();
        let all: Vec<usize> = (0..9).collect();
        assert_eq!(objective.weight(&all), count as f64);
        let tracked = model.clone().train();
        let out = objective.forward(&tracked, &all, Key::new(0, "x")).unwrap();
        assert_close(name, &host(&out.loss_sum.inner()), &[sum], 1e-5);
        assert_eq!(
            out.tokens,
            all.iter().map(|&i| objective.tokens(i)).sum::<usize>()
        );
    }
}

#[test]
fn micro_batches_change_nothing() {
    for (name, device) in devices() {
        let device = device.without_autodiff();
        let full = model(&device);
        let lora = LoraConfig {
            dropout: 0.0,
            ..Default::default()
        };
        let adapted = full.clone().with_lora(&lora, Key::new(2, "lora")).unwrap();
        let lora = LoraConfig {
            dropout: 0.5,
            ..lora
        };
        let dropped = full.clone().with_lora(&lora, Key::new(2, "lora")).unwrap();
        for (kind, model) in [("full", full), ("adapters", adapted), ("dropout", dropped)] {
            let objective = SftObjective::new(noise(8, 4), vec![], 64).unwrap();
            let run = |micro_batch_tokens, max_steps| {
                let config = TrainConfig {
                    learning_rate: 1e-3,
                    batch_size: 8,
                    micro_batch_tokens,
                    max_steps: Some(max_steps),
                    // With a tiny eps, AdamW would turn rounding noise into whole steps.
                    adamw: AdamWConfig {
                        eps: 1e-4,
                        ..Default::default()
                    },
                    ..Default::default()
                };
                fit(model.clone(), &objective, &config, &FitContext::silent()).unwrap()
            };
            for steps in [1, 3] {
                let whole = run(None, steps);
                for tokens in [1, 25] {
                    let cut = run(Some(tokens), steps);
                    for metric in [names::LOSS, names::GRAD_NORM] {
                        let (a, b) = (whole.metrics[metric], cut.metrics[metric]);
                        let close = (a - b).abs() < 1e-5 * a.abs().max(1.0);
                        assert!(close, "{kind} on {name}: {metric} {a} / {b}");
                    }
                    let (a, b) = (values(&whole.model), values(&cut.model));
                    for (path, wanted) in &a {
                        let wanted: Vec<f64> = wanted.iter().map(|&v| f64::from(v)).collect();
                        assert_close(
                            &format!("{kind} on {name}: {path}"),
                            &b[path],
                            &wanted,
                            1e-5,
                        );
                    }
                }
                assert_ne!(values(&whole.model), values(&model));
            }
        }
    }
}

#[test]
fn the_logged_loss_is_the_mean_over_completion_tokens() {
    let model = model(&plain());
    let examples = noise(8, 5);
    let (sum, count) = dense(&model, &examples);
    let objective = SftObjective::new(examples, vec![], 64).unwrap();
    let config = TrainConfig {
        batch_size: 8,
        max_steps: Some(1),
        micro_batch_tokens: Some(10),
        ..Default::default()
    };
    let fitted = fit(model, &objective, &config, &FitContext::silent()).unwrap();
    let (found, wanted) = (fitted.metrics[names::LOSS], sum / count as f64);
    assert!((found - wanted).abs() < 1e-5 * wanted, "{found} / {wanted}");
}

#[test]
fn the_prompt_carries_no_loss() {
    // In a model with a memory of one token, the same completion after two prompts that end alike
    // would score alike. Only the count matters here: no prompt token is a target.
    let long = TokenizedExample {
        prompt: vec![1, 5, 6, 7, 8],
        completion: vec![9, 2],
        truncated: false,
    };
    let bare = TokenizedExample {
        prompt: vec![],
        completion: vec![9, 2],
        truncated: false,
    };
    let objective = SftObjective::<Llama>::new(vec![long, bare], vec![], 64).unwrap();
    assert_eq!(objective.weight(&[0]), 2.0);
    // The first token of a sequence is not predicted.
    assert_eq!(objective.weight(&[1]), 1.0);
}

#[test]
fn adapters_leave_the_base_alone() {
    let config = LoraConfig::default();
    let model = model(&plain())
        .with_lora(&config, Key::new(2, "lora"))
        .unwrap();
    let objective = SftObjective::new(reversed(16, 1), vec![], 64).unwrap();
    let config = TrainConfig {
        learning_rate: 0.01,
        max_steps: Some(3),
        ..Default::default()
    };
    let fitted = fit(model.clone(), &objective, &config, &FitContext::silent()).unwrap();
    let (before, after) = (values(&model), values(&fitted.model));
    for (path, old) in &before {
        assert_eq!(old != &after[path], path.contains("lora"), "{path}");
    }
}

#[test]
fn examples_that_cannot_be_trained_on_are_errors() {
    let mut empty = reversed(3, 1);
    empty[2].completion.clear();
    for (train, held_out, place) in [
        (empty.clone(), vec![], "training example 2"),
        (reversed(2, 1), empty.clone(), "held-out example 2"),
    ] {
        let error = SftObjective::<Llama>::new(train, held_out, 64)
            .unwrap_err()
            .to_string();
        assert!(error.contains(place), "{error}");
    }
    let mut single = reversed(1, 1);
    single[0].prompt.clear();
    single[0].completion.truncate(1);
    assert!(SftObjective::<Llama>::new(single, vec![], 64).is_err());

    let model = model(&plain());
    let mut unknown = reversed(3, 1);
    unknown[1].prompt[1] = 20;
    let mut long = reversed(3, 1);
    long[1].completion = vec![5; 30];
    for (data, part) in [(unknown, "token id 20"), (long, "at most 24")] {
        let error = perplexity(&model, &data, 1).unwrap_err().to_string();
        assert!(
            error.contains("sequence 1") && error.contains(part),
            "{error}"
        );
        let objective = SftObjective::new(data, vec![], 64).unwrap();
        let config = TrainConfig {
            max_steps: Some(1),
            ..Default::default()
        };
        let error = fit(model.clone(), &objective, &config, &FitContext::silent()).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("training example 1") && text.contains(part),
            "{text}"
        );
        assert!(!text.contains('\n'), "{text}");
    }
    assert!(perplexity(&model, &[], 64).is_err());
}
