//! Tiny models, pairs that follow a rule, and the parameters of models by path.
#![allow(dead_code, unreachable_pub)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Tensor};
use collimate_core::Key;
use collimate_data::TokenizedPair;
use collimate_lm::{Encoder, EncoderConfig, Llama, LlamaConfig};
use collimate_nn::Pooling;
use collimate_reward::RewardModel;
use collimate_testkit::{Noise, host};

pub const VOCAB: usize = 24;

pub fn decoder(device: &Device) -> RewardModel<Llama> {
    let config = LlamaConfig {
        vocab_size: VOCAB,
        hidden_size: 16,
        intermediate_size: 32,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        num_key_value_heads: 1,
        max_position_embeddings: 32,
        initializer_range: 0.1,
        ..Default::default()
    };
    let backbone = Llama::new(&config, Key::new(1, "init"), device).unwrap();
    RewardModel::with_fresh_head(backbone, Pooling::LastToken, Key::new(1, "head"))
}

/// Returns an encoder with this dropout; 0 means none.
pub fn encoder(device: &Device, dropout: f64) -> RewardModel<Encoder> {
    let config = EncoderConfig {
        vocab_size: VOCAB,
        hidden_size: 16,
        intermediate_size: 32,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        max_position_embeddings: 32,
        initializer_range: 0.1,
        hidden_dropout_prob: dropout,
        ..Default::default()
    };
    let backbone = Encoder::new(&config, Key::new(1, "init"), device).unwrap();
    RewardModel::with_fresh_head(backbone, Pooling::Mean, Key::new(1, "head"))
}

/// Returns pairs of answers of filler tokens (13..24). The better answer also has one token from
/// 3..8, the worse one from 8..13, anywhere. EOS is 2.
pub fn pairs(count: usize, seed: u64) -> Vec<TokenizedPair> {
    let mut noise = Noise::new(seed);
    let filler = |least: usize, spread: usize, noise: &mut Noise| -> Vec<u32> {
        let n = least + noise.below(spread);
        (0..n).map(|_| 13 + noise.below(11) as u32).collect()
    };
    (0..count)
        .map(|_| {
            let prompt = [vec![1], filler(1, 4, &mut noise)].concat();
            let mut answer = |from: u32| {
                let mut ids = filler(1, 5, &mut noise);
                let place = noise.below(ids.len() + 1);
                ids.insert(place, from + noise.below(5) as u32);
                ids.push(2);
                ids
            };
            TokenizedPair {
                prompt,
                chosen: answer(3),
                rejected: answer(8),
                ..TokenizedPair::default()
            }
        })
        .collect()
}

pub fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

struct Visitor<F> {
    path: Vec<String>,
    get: F,
    found: BTreeMap<String, Vec<f32>>,
}

trait Get {
    fn get<const D: usize>(&self, tensor: Tensor<D>) -> Option<Vec<f32>>;
}

impl<F: Get> ModuleVisitor for Visitor<F> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(values) = self.get.get(param.val()) {
            self.found.insert(self.path.join("."), values);
        }
    }
}

fn visit<M: Module>(model: &M, get: impl Get) -> BTreeMap<String, Vec<f32>> {
    let mut visitor = Visitor {
        path: Vec::new(),
        get,
        found: BTreeMap::new(),
    };
    model.visit(&mut visitor);
    visitor.found
}

/// Returns every parameter by path.
pub fn values<M: Module>(model: &M) -> BTreeMap<String, Vec<f32>> {
    struct Value;
    impl Get for Value {
        fn get<const D: usize>(&self, tensor: Tensor<D>) -> Option<Vec<f32>> {
            Some(host(&tensor))
        }
    }
    visit(model, Value)
}

/// Returns every gradient by path.
pub fn gradients<M: Module>(model: &M, grads: &Gradients) -> BTreeMap<String, Vec<f32>> {
    struct Grad<'a>(&'a Gradients);
    impl Get for Grad<'_> {
        fn get<const D: usize>(&self, tensor: Tensor<D>) -> Option<Vec<f32>> {
            tensor.grad(self.0).map(|grad| host(&grad))
        }
    }
    visit(model, Grad(grads))
}

pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}
