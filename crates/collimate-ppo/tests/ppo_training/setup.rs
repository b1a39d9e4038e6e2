//! A policy over twelve words, and a reward that prefers one of them.

use burn::tensor::Device;
use collimate_core::{Completion, Key, Prompt};
use collimate_data::{SpecialTokenIds, TextTokenizer};
use collimate_lm::{Llama, LlamaConfig};
use collimate_nn::{ScalarHead, ValueModel};
use collimate_ppo::{ActorCritic, KlControl, KlReference, PpoConfig, PpoTask};
use tokenizers::Tokenizer;
use tokenizers::models::wordlevel::WordLevel;
use tokenizers::pre_tokenizers::whitespace::WhitespaceSplit;

const WORDS: [&str; 12] = [
    "<s>", "</s>", "<pad>", "a", "b", "c", "d", "e", "f", "g", "h", "yes",
];

pub(crate) fn tokenizer() -> TextTokenizer {
    let vocab = WORDS.iter().zip(0..).map(|(w, i)| (w.to_string(), i));
    let words = WordLevel::builder()
        .vocab(vocab.collect())
        .unk_token("a".into())
        .build()
        .unwrap();
    let mut tokenizer = Tokenizer::new(words);
    tokenizer.with_pre_tokenizer(Some(WhitespaceSplit));
    let special = SpecialTokenIds {
        bos: Some(0),
        eos: 1,
        pad: Some(2),
    };
    TextTokenizer::new(tokenizer, special, None).unwrap()
}

pub(crate) fn config(vocab_size: usize) -> LlamaConfig {
    LlamaConfig {
        vocab_size,
        hidden_size: 16,
        intermediate_size: 24,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        num_key_value_heads: 1,
        max_position_embeddings: 32,
        ..LlamaConfig::default()
    }
}

pub(crate) fn llama(seed: u64, device: &Device) -> Llama {
    Llama::new(&config(WORDS.len()), Key::new(seed, "init"), device).unwrap()
}

pub(crate) fn head(device: &Device) -> ScalarHead {
    ScalarHead::new(16, true, 0.2, Key::new(7, "head"), device)
}

/// Returns a policy and a critic that share no weights.
pub(crate) fn with_critic(device: &Device) -> ActorCritic<Llama> {
    let critic = ValueModel::from_parts(llama(2, device), head(device));
    ActorCritic::with_critic(llama(1, device), critic)
}

/// Returns the share of "yes" in an answer.
pub(crate) fn likes_yes(_: &Prompt, answer: &Completion) -> f32 {
    let words: Vec<&str> = answer.text.split_whitespace().collect();
    let liked = words.iter().filter(|w| **w == "yes").count();
    liked as f32 / words.len().max(1) as f32
}

pub(crate) fn task<'a>(
    tokenizer: &'a TextTokenizer,
    reward: &'a dyn collimate_core::Scorer,
    reference: Llama,
) -> PpoTask<'a, Llama> {
    PpoTask {
        tokenizer,
        eos: Vec::new(),
        prompts: ["a b", "c", "d e f", "g h a b"].map(Prompt::from).to_vec(),
        watched: vec![Prompt::from("a"), Prompt::from("b c")],
        reward,
        reference: KlReference::Model(reference),
    }
}

pub(crate) fn options() -> PpoConfig {
    PpoConfig {
        rollouts: 3,
        rollout_size: 8,
        mini_batch_size: 4,
        ppo_epochs: 2,
        max_new_tokens: 6,
        learning_rate: 1e-2,
        kl: KlControl::Fixed { coefficient: 0.02 },
        ..PpoConfig::default()
    }
}
