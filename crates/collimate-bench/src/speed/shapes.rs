//! Default models of the measurements. Their weights are random, because speed does not depend on
//! weights.

use std::fs;
use std::path::Path;

use collimate::core::{Key, PreferencePair};
use collimate::data::{ChatFallback, SpecialTokenIds, TextTokenizer};
use collimate::lm::{
    Architecture, Encoder, EncoderConfig, Llama, LlamaConfig, detect_architecture,
};
use collimate::nn::SaveOptions;
use collimate::prelude::{Device, HfFolder, HfReward, Pooling, RewardModel};
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer};

use super::Failure;

const SPECIAL: [&str; 3] = ["<pad>", "<s>", "</s>"];

/// Size of the vocabulary of [`llama`].
pub(crate) const VOCABULARY: usize = 32_000;

/// A Llama of 15.2 million parameters.
pub(crate) fn llama_config(vocab_size: usize, positions: usize) -> LlamaConfig {
    LlamaConfig {
        vocab_size,
        hidden_size: 288,
        intermediate_size: 768,
        num_hidden_layers: 6,
        num_attention_heads: 6,
        num_key_value_heads: 6,
        max_position_embeddings: positions,
        pad_token_id: Some(0),
        bos_token_id: Some(1),
        eos_token_id: Some(2),
        ..LlamaConfig::default()
    }
}

/// Writes the folder of a random Llama.
pub(crate) fn llama(dir: &Path, tokenizer: &TextTokenizer) -> Result<(), Failure> {
    let config = llama_config(VOCABULARY, 2048);
    let model = Llama::new(&config, Key::new(0, "bench-policy"), &Device::flex())?;
    tokenizer.save(dir)?;
    Ok(model.save(dir)?)
}

/// Writes the folder of a random reward model of the same size.
pub(crate) fn reward_llama(dir: &Path, tokenizer: &TextTokenizer) -> Result<(), Failure> {
    let config = llama_config(VOCABULARY, 2048);
    let key = Key::new(0, "bench-reward");
    let model = Llama::new(&config, key, &Device::flex())?;
    let model = RewardModel::with_fresh_head(model, Pooling::LastToken, key);
    tokenizer.save(dir)?;
    Ok(model.save_with(&facts(tokenizer), dir)?)
}

/// Writes the folder of a random encoder of MiniLM-L6's size, without dropout.
pub(crate) fn encoder(dir: &Path, tokenizer: &TextTokenizer) -> Result<(), Failure> {
    let config = EncoderConfig {
        vocab_size: VOCABULARY,
        hidden_dropout_prob: 0.0,
        ..EncoderConfig::default()
    };
    let key = Key::new(0, "bench-encoder");
    let model = Encoder::new(&config, key, &Device::flex())?;
    let model = RewardModel::with_fresh_head(model, Pooling::Mean, key);
    tokenizer.save(dir)?;
    Ok(model.save_with(&facts(tokenizer), dir)?)
}

/// Copies a reward model's folder, with a new head if it has none. Every dropout of its
/// configuration is set to 0, because libraries differ in the places of dropout.
pub(crate) fn without_dropout(from: &Path, dir: &Path) -> Result<(), Failure> {
    match detect_architecture(from)? {
        Architecture::Encoder => with_head::<Encoder>(from, dir)?,
        _ => with_head::<Llama>(from, dir)?,
    }
    let path = dir.join("config.json");
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut config: serde_json::Value = serde_json::from_str(&text)?;
    for (name, value) in config.as_object_mut().into_iter().flatten() {
        if name.contains("dropout") {
            *value = 0.0.into();
        }
    }
    let text = serde_json::to_string_pretty(&config)?;
    Ok(collimate::files::atomic_write(&path, text.as_bytes())?)
}

fn with_head<B: HfReward>(from: &Path, dir: &Path) -> Result<(), Failure> {
    let key = Key::new(0, "bench-head");
    let model = RewardModel::<B>::load_or_fresh(from, key, &Device::flex())?;
    let tokenizer = TextTokenizer::from_folder(from)?;
    tokenizer.save(dir)?;
    Ok(model.save_with(&facts(&tokenizer), dir)?)
}

/// Tokenizer facts of a saved reward model; the maximum length is that of the model.
fn facts(tokenizer: &TextTokenizer) -> SaveOptions {
    SaveOptions {
        pad_token_id: tokenizer.special().pad,
        ..SaveOptions::default()
    }
}

/// A byte-level BPE of [`VOCABULARY`] tokens, trained on the pairs' texts.
pub(crate) fn tokenizer(pairs: &[PreferencePair]) -> Result<TextTokenizer, Failure> {
    let mut tokenizer = Tokenizer::new(BPE::default());
    tokenizer
        .with_pre_tokenizer(Some(ByteLevel::new(false, true, true)))
        .with_decoder(Some(ByteLevel::default()));
    let special = SPECIAL.map(|token| AddedToken::from(token, true));
    let mut trainer: TrainerWrapper = BpeTrainer::builder()
        .vocab_size(VOCABULARY)
        .show_progress(false)
        .special_tokens(special.to_vec())
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build()
        .into();
    let texts = pairs.iter().flat_map(|pair| {
        let [chosen, rejected] = [&pair.chosen, &pair.rejected].map(|c| c.text.clone());
        [pair.prompt.to_plain(), chosen, rejected]
    });
    tokenizer.train(&mut trainer, texts)?;
    // A random model generates every id, but a few texts do not give tokens for all ids.
    let missing = tokenizer.get_vocab_size(true)..VOCABULARY;
    let filler = missing.map(|id| AddedToken::from(format!("<unused_{id}>"), false));
    tokenizer.add_tokens(filler)?;
    let special = SpecialTokenIds {
        bos: Some(1),
        eos: 2,
        pad: Some(0),
    };
    Ok(TextTokenizer::new(tokenizer, special, None)?.with_chat_fallback(ChatFallback::Plain))
}
