//! Generation: the cache, the batches and the ends of completions.

mod batches;
mod cache;
#[path = "../common/mod.rs"]
mod common;
mod ends;
mod greedy;
mod refusals;
mod watched;

use burn::tensor::Device;
use collimate_core::{Completion, Key, Sampling};
use collimate_data::{SpecialTokenIds, TextTokenizer};
use collimate_lm::{
    BatchLimits, GenerationProgress, Llama, LlamaCache, LlamaConfig, Place, TextGenerator, Watch,
};
use collimate_nn::{Adapters, Backbone, CausalLm, Forward, KvCache};
use collimate_testkit::{Noise, host};
use tokenizers::decoders::byte_level::ByteLevel;
use tokenizers::models::bpe::BPE;
use tokenizers::{AddedToken, Tokenizer};

pub(crate) const VOCAB: usize = 32;
pub(crate) const CONTEXT: usize = 96;
pub(crate) const EOS: u32 = 1;

/// Creates a tokenizer. Token 0 is BOS, 1 EOS, 2 to 27 the letters a to z, 28 the space, 29 and 30
/// the bytes of `é`, and 31 a byte that begins a character of three bytes.
pub(crate) fn tokenizer() -> TextTokenizer {
    let mut vocab: Vec<String> = vec!["<s>".into(), "</s>".into()];
    vocab.extend(('a'..='z').map(String::from));
    vocab.extend(["Ġ", "Ã", "©", "â"].map(String::from));
    let vocab: tokenizers::models::bpe::Vocab = vocab.into_iter().zip(0..).collect();
    let model = BPE::builder().vocab_and_merges(vocab, vec![]).build();
    let mut inner = Tokenizer::new(model.unwrap());
    let bytes = ByteLevel::new(false, false, false);
    inner.with_pre_tokenizer(Some(bytes));
    inner.with_decoder(Some(bytes));
    let special = ["<s>", "</s>"].map(|text| AddedToken::from(text, true));
    inner.add_special_tokens(special).unwrap();
    let special = SpecialTokenIds {
        bos: Some(0),
        eos: EOS,
        pad: None,
    };
    TextTokenizer::new(inner, special, None).unwrap()
}

/// Returns the ids of a text.
pub(crate) fn spelled(text: &str) -> Vec<u32> {
    tokenizer().encode_text(text).unwrap()
}

/// Creates a model with grouped queries and random weights, wide enough for varied output.
pub(crate) fn random_model(device: &Device) -> Llama {
    windowed_model(None, device)
}

/// Creates [`random_model`] with a sliding window.
pub(crate) fn windowed_model(sliding_window: Option<usize>, device: &Device) -> Llama {
    let config = LlamaConfig {
        sliding_window,
        vocab_size: VOCAB,
        hidden_size: 16,
        intermediate_size: 24,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        max_position_embeddings: CONTEXT,
        initializer_range: 0.4,
        ..Default::default()
    };
    Llama::new(&config, Key::new(3, "init"), device).unwrap()
}

/// Creates models with different layers, on the untracked devices.
pub(crate) fn layered_models() -> Vec<(String, Device, Llama)> {
    let mut models = Vec::new();
    for (name, device) in common::plain_devices() {
        let sizes = random_model(&device).config().clone();
        for (kind, config) in common::layered(&sizes) {
            let model = Llama::new(&config, Key::new(3, "init"), &device).unwrap();
            models.push((format!("{name}, {kind:?}"), device.clone(), model));
        }
    }
    models
}

/// Lists the untracked devices, each without a window and with windows below and above a page.
pub(crate) fn with_windows() -> impl Iterator<Item = (String, Device, Option<usize>)> {
    let devices = common::plain_devices().into_iter();
    devices.flat_map(|(name, device)| {
        [None, Some(5), Some(20)]
            .map(|window| (format!("{name}, window {window:?}"), device.clone(), window))
    })
}

/// Creates a model that follows each token with the next token of `script`, and the last with the
/// first.
pub(crate) fn scripted(script: &[u32], device: &Device) -> Llama {
    let config = LlamaConfig {
        vocab_size: VOCAB,
        hidden_size: VOCAB,
        intermediate_size: 4,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        num_key_value_heads: 2,
        max_position_embeddings: CONTEXT,
        tie_word_embeddings: false,
        ..Default::default()
    };
    let model = Llama::new(&config, Key::new(0, "init"), device).unwrap();
    let mut next = [script[0]; VOCAB];
    for pair in script.windows(2) {
        next[pair[0] as usize] = pair[1];
    }
    common::changed(&model, |path, values| match path {
        "model.embed_tokens.weight" => {
            values.fill(0.0);
            (0..VOCAB).for_each(|id| values[id * VOCAB + id] = 1.0);
        }
        "lm_head.weight" => {
            values.fill(0.0);
            let pairs = next.iter().enumerate();
            pairs.for_each(|(id, &next)| values[next as usize * VOCAB + id] = 10.0);
        }
        path if path.contains("norm") => values.fill(1.0),
        _ => values.fill(0.0),
    })
}

pub(crate) fn generator(model: Llama) -> TextGenerator<Llama> {
    TextGenerator::new(model, tokenizer())
}

pub(crate) fn limits(rows: usize, tokens: usize) -> BatchLimits {
    BatchLimits {
        rows,
        tokens,
        lanes: Some(1),
    }
}

pub(crate) fn prompts(seed: u64, lengths: &[usize]) -> Vec<Vec<u32>> {
    let mut noise = Noise::new(seed);
    let ids = |&n: &usize| (0..n).map(|_| noise.below(VOCAB) as u32).collect();
    lengths.iter().map(ids).collect()
}

pub(crate) fn greedy_sampling(max_new_tokens: usize) -> Sampling {
    Sampling {
        temperature: 0.0,
        max_new_tokens,
        ..Sampling::default()
    }
}

pub(crate) fn tokens(completion: &Completion) -> &[u32] {
    completion.tokens.as_deref().unwrap()
}

/// Computes the logits after each sequence by a pass over the whole sequence.
pub(crate) fn whole_logits(model: &Llama, sequences: &[Vec<u32>], f: Forward) -> Vec<Vec<f32>> {
    let batch = common::rows_batch(model, sequences);
    let last = batch.indices(batch.sequences.iter().map(|s| s.last));
    let hidden = model.hidden(&batch, f).select(0, last);
    let logits = host(&model.output_head().logits(hidden));
    logits.chunks_exact(VOCAB).map(<[f32]>::to_vec).collect()
}
