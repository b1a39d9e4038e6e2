//! Results that must not depend on the layout, the adapters or the differentiation of a batch.

mod adapters;
#[path = "../common/mod.rs"]
mod common;
mod gradients;
mod half;
mod layout;
mod precision;
mod rows;
mod saved;

use burn::tensor::Device;
use collimate_core::Key;
use collimate_lm::{
    DebertaConfig, Encoder, EncoderConfig, EncoderType, Llama, LlamaConfig, ModernConfig,
};
use collimate_nn::{
    Adaptable, Backbone, CausalLm, DeviceBatch, Forward, LoraConfig, Pack, Pooling,
    completion_logps, parameters, pool, token_logps,
};
use collimate_testkit::{Noise, assert_close, devices, host};
use common::{changed, gradients, hidden_rows, plain_devices};

pub(crate) fn llama(device: &Device) -> Llama {
    windowed(None, device)
}

/// Creates, on each device, a decoder that sees all tokens before a token, a decoder that sees
/// fewer tokens than a prompt has, and decoders with different layers.
pub(crate) fn decoders(
    devices: impl IntoIterator<Item = (&'static str, Device)>,
) -> Vec<(String, Device, Llama)> {
    let mut decoders = Vec::new();
    for (name, device) in devices {
        for window in [None, Some(4)] {
            let model = windowed(window, &device);
            decoders.push((format!("{name}, window {window:?}"), device.clone(), model));
        }
        for (kind, config) in common::layered(&config(None)) {
            let model = Llama::new(&config, Key::new(3, "init"), &device).unwrap();
            decoders.push((format!("{name}, {kind:?}"), device.clone(), model));
        }
    }
    decoders
}

fn config(sliding_window: Option<usize>) -> LlamaConfig {
    LlamaConfig {
        vocab_size: 30,
        hidden_size: 16,
        intermediate_size: 24,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        max_position_embeddings: 64,
        initializer_range: 0.3,
        sliding_window,
        ..Default::default()
    }
}

fn windowed(sliding_window: Option<usize>, device: &Device) -> Llama {
    Llama::new(&config(sliding_window), Key::new(3, "init"), device).unwrap()
}

pub(crate) fn bert(device: &Device) -> Encoder {
    let config = EncoderConfig {
        vocab_size: 30,
        hidden_size: 16,
        intermediate_size: 24,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        max_position_embeddings: 64,
        initializer_range: 0.3,
        ..Default::default()
    };
    Encoder::new(&config, Key::new(4, "init"), device).unwrap()
}

/// Creates encoders with layers that differ from BERT's: an MPNet, whose scores depend on
/// distances, a DeBERTa, and a ModernBERT with a window.
pub(crate) fn encoders(device: &Device) -> Vec<(&'static str, Encoder)> {
    let base = EncoderConfig {
        type_vocab_size: 0,
        num_hidden_layers: 3,
        ..bert(device).config().clone()
    };
    let mpnet = EncoderConfig {
        model_type: EncoderType::MpNet,
        max_position_embeddings: 66,
        ..base.clone()
    };
    let deberta = EncoderConfig {
        model_type: EncoderType::DebertaV2,
        deberta: Some(DebertaConfig {
            position_buckets: Some(6),
            ..DebertaConfig::default()
        }),
        ..base.clone()
    };
    let modern = EncoderConfig {
        model_type: EncoderType::ModernBert,
        modern: Some(ModernConfig {
            local_attention: 4,
            attention_bias: true,
            mlp_dropout: 0.1,
            attention_dropout: 0.1,
            embedding_dropout: 0.1,
            ..ModernConfig::default()
        }),
        ..base
    };
    let new = |config| Encoder::new(config, Key::new(4, "init"), device).unwrap();
    vec![
        ("mpnet", new(&mpnet)),
        ("modernbert", new(&modern)),
        ("deberta", new(&deberta)),
    ]
}

pub(crate) fn sequence(noise: &mut Noise, len: usize) -> Vec<u32> {
    (0..len).map(|_| noise.below(30) as u32).collect()
}

pub(crate) fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

/// Returns the hidden states of sequence `index`, in reading order.
pub(crate) fn of(hidden: &[Vec<f32>], batch: &DeviceBatch, index: usize) -> Vec<f32> {
    let rows = &batch.sequences[index].rows;
    rows.iter().flat_map(|&row| hidden[row].clone()).collect()
}
