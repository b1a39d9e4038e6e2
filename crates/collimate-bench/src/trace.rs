//! A DPO training, step by step, with the ids of each batch, so that another library can repeat it.

use std::path::Path;

use collimate::core::Key;
use collimate::data::{ReadOptions, TextTokenizer, TokenizedPair, Truncation, read_pairs};
use collimate::direct::{DirectObjective, Reference};
use collimate::lm::Llama;
use collimate::losses::PreferenceLoss;
use collimate::nn::{Adaptable, HfFolder, LoraConfig};
use collimate::prelude::Device;
use collimate::train::{FitContext, Metrics, Schedule, TrainConfig, epoch_order, fit};
use serde_json::{Value, json};

/// Options of the traced training.
#[derive(Debug)]
pub struct TraceOptions<'a> {
    /// Hugging Face folder of a Llama, used as policy and reference model.
    pub model: &'a Path,
    /// File of preference pairs.
    pub data: &'a Path,
    /// Loss to train with.
    pub loss: PreferenceLoss,
    /// Number of optimiser steps.
    pub steps: usize,
    /// Number of pairs per step.
    pub batch: usize,
    /// Learning rate, constant.
    pub learning_rate: f64,
    /// Longest sequence, in tokens.
    pub max_length: usize,
    /// Adapters to train instead of all weights.
    pub lora: Option<LoraConfig>,
}

/// Returns a row with the settings, then a row per step.
///
/// With adapters the settings hold the adapters' configuration as `lora`. They also hold, as
/// `lora_a`, the down projections that training starts from, by layer. A step has `step`, `loss`,
/// `grad_norm`, `rewards/margins`, and `pairs` with `prompt_ids`, `chosen_ids` and `rejected_ids`.
///
/// # Errors
/// Returns an error if files cannot be read, if there are too few pairs, or if training fails.
pub fn trace(options: &TraceOptions<'_>) -> Result<Vec<Value>, Box<dyn std::error::Error>> {
    let tokenizer = TextTokenizer::from_folder(options.model)?;
    let model = Llama::load(options.model, &Device::flex())?;
    let read = ReadOptions {
        on_bad_row: collimate::data::OnBadRow::Drop,
        ..ReadOptions::default()
    };
    let (mut rows, _) = read_pairs(options.data, &read)?;
    let wanted = options.steps * options.batch;
    if rows.len() < wanted {
        return Err(format!(
            "{wanted} pairs are needed, but there are only {}",
            rows.len()
        )
        .into());
    }
    rows.truncate(wanted);
    let cut = Truncation::KeepEnd;
    let (pairs, _) = tokenizer.encode_pairs(&rows, options.max_length, cut)?;
    let config = TrainConfig {
        stage: "trace".to_owned(),
        learning_rate: options.learning_rate,
        schedule: Schedule::Constant,
        batch_size: options.batch,
        keep_best: false,
        ..TrainConfig::default()
    };
    let order = epoch_order(Key::new(config.seed, &config.stage), 0, pairs.len());
    let mut settings = json!({"loss": options.loss, "learning_rate": options.learning_rate});
    let (model, reference) = match &options.lora {
        None => (model.clone(), Reference::Model(model)),
        Some(lora) => {
            let mut model = model.with_lora(lora, Key::new(config.seed, "lora"))?;
            settings["lora"] = json!(lora);
            settings["lora_a"] = first_adapters(&mut model);
            (model, Reference::AdaptersOff)
        }
    };
    let objective = DirectObjective::new(pairs.clone(), vec![], options.loss, reference, 4096)?;
    let folder = std::env::temp_dir().join(format!("collimate-trace-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let metrics = Metrics::open(&folder.join("metrics.jsonl"))?;
    let context = FitContext {
        metrics: Some(&metrics),
        ..FitContext::silent()
    };
    let fitted = fit(model, &objective, &config, &context);
    let logged = metrics.rows();
    std::fs::remove_dir_all(&folder)?;
    fitted?;
    let ids = |index: &usize| {
        let TokenizedPair {
            prompt,
            chosen,
            rejected,
            ..
        } = &pairs[*index];
        json!({"prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": rejected})
    };
    let batches = order.chunks(options.batch);
    let steps = logged?.into_iter().zip(batches).map(|(row, batch)| {
        json!({
            "step": row["step"],
            "loss": row["loss"],
            "grad_norm": row["grad_norm"],
            "rewards/margins": row["rewards/margins"],
            "pairs": batch.iter().map(ids).collect::<Vec<_>>(),
        })
    });
    Ok(std::iter::once(settings).chain(steps).collect())
}

/// Returns the down projections by layer, row after row; the up projections are zero at the start.
fn first_adapters(model: &mut Llama) -> Value {
    let layers = model.linears_mut().into_iter();
    let adapted = layers.filter_map(|(path, linear)| {
        let a = linear.lora.as_ref()?.a.val().into_data();
        Some((path, a.iter::<f32>().collect::<Vec<_>>().into()))
    });
    Value::Object(adapted.collect())
}
