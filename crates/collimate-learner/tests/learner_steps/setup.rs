//! Small models, data for them, and gradients by path.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Gradients, Tensor};
use collimate_core::Key;
use collimate_data::{TokenizedExample, TokenizedPair};
use collimate_learner::Losses;
use collimate_lm::{Llama, LlamaConfig};
use collimate_nn::{Adaptable, LoraConfig, Pooling};
use collimate_reward::RewardModel;
use collimate_testkit::{Noise, flex, host};

pub(crate) fn plain() -> Device {
    flex().without_autodiff()
}

pub(crate) fn model(seed: u64) -> Llama {
    let config = LlamaConfig {
        vocab_size: 20,
        hidden_size: 24,
        intermediate_size: 48,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        num_key_value_heads: 1,
        max_position_embeddings: 24,
        initializer_range: 0.1,
        ..Default::default()
    };
    Llama::new(&config, Key::new(seed, "init"), &plain()).unwrap()
}

pub(crate) fn adapted(seed: u64, dropout: f64) -> Llama {
    let config = LoraConfig {
        dropout,
        ..Default::default()
    };
    model(seed)
        .with_lora(&config, Key::new(seed, "lora"))
        .unwrap()
}

pub(crate) fn reward_model(seed: u64) -> RewardModel<Llama> {
    RewardModel::with_fresh_head(model(seed), Pooling::LastToken, Key::new(seed, "head"))
}

/// Makes pairs whose chosen answer ends in 3 and whose rejected answer ends in 4.
pub(crate) fn pairs(count: usize, seed: u64) -> Vec<TokenizedPair> {
    let mut noise = Noise::new(seed);
    let mut draw = |n: usize| -> Vec<u32> { (0..n).map(|_| 5 + noise.below(15) as u32).collect() };
    (0..count)
        .map(|i| TokenizedPair {
            prompt: [vec![1], draw(i % 4)].concat(),
            chosen: [draw(i % 3), vec![3, 2]].concat(),
            rejected: [draw((i + 1) % 5), vec![4, 2]].concat(),
            ..TokenizedPair::default()
        })
        .collect()
}

/// Returns the chosen answers of [`pairs`]; the first one has no prompt.
pub(crate) fn examples(count: usize, seed: u64) -> Vec<TokenizedExample> {
    let rows = pairs(count, seed).into_iter().enumerate();
    rows.map(|(i, pair)| TokenizedExample {
        prompt: if i == 0 { vec![] } else { pair.prompt },
        completion: pair.chosen,
        truncated: false,
    })
    .collect()
}

pub(crate) fn mean(output: &impl Losses) -> f64 {
    let values = host(&output.losses());
    values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64
}

/// Container of a parameter's values: gradients of either kind, or the parameters themselves.
pub(crate) trait Grads {
    fn of<const D: usize>(&self, param: &Param<Tensor<D>>) -> Option<Tensor<D>>;
}

impl Grads for Gradients {
    fn of<const D: usize>(&self, param: &Param<Tensor<D>>) -> Option<Tensor<D>> {
        param.val().grad(self)
    }
}

impl Grads for GradientsParams {
    fn of<const D: usize>(&self, param: &Param<Tensor<D>>) -> Option<Tensor<D>> {
        self.get(param.id)
    }
}

pub(crate) fn by_path<M: Module>(model: &M, grads: &impl Grads) -> BTreeMap<String, Vec<f32>> {
    struct Visitor<'a, G>(Vec<String>, &'a G, BTreeMap<String, Vec<f32>>);
    impl<G: Grads> ModuleVisitor for Visitor<'_, G> {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.0.push(name.to_owned());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.0.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(grad) = self.1.of(param) {
                self.2.insert(self.0.join("."), host(&grad));
            }
        }
    }
    let mut visitor = Visitor(Vec::new(), grads, BTreeMap::new());
    model.visit(&mut visitor);
    visitor.2
}

/// Returns every parameter by path, without adapters.
pub(crate) fn without_adapters<M: Module>(model: &M) -> BTreeMap<String, Vec<f32>> {
    struct Values;
    impl Grads for Values {
        fn of<const D: usize>(&self, param: &Param<Tensor<D>>) -> Option<Tensor<D>> {
            Some(param.val())
        }
    }
    let mut found = by_path(model, &Values);
    found.retain(|path, _| !path.contains("lora"));
    found
}
