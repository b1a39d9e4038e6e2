//! Speed of SFT, reward modelling and DPO, through the loop that users call.

use collimate::core::Key;
use collimate::data::{TokenizedExample, TokenizedPair};
use collimate::direct::{DirectObjective, Reference, SftObjective};
use collimate::lm::{Architecture, Encoder, Llama, detect_architecture};
use collimate::losses::{PairwiseLoss, PreferenceLoss};
use collimate::nn::{
    Adaptable, Backbone, HfFolder, HfReward, LoadOptions, LoraConfig, Precision, WeightType,
};
use collimate::ops::{SavedType, Visibility};
use collimate::prelude::Device;
use collimate::reward::{RewardModel, RewardObjective};
use collimate::train::{FitContext, Metrics, Objective, Schedule, TrainConfig, epoch_order, fit};
use serde_json::Value;

use super::Failure;
use super::flops::{Counts, ModelSize};
use super::options::{NumberType, TrainWork, Work};
use super::prepare::Prepared;
use super::report::{Done, report};
use super::rows::{self, ExampleRow, PairRow};
use super::timed::Timed;

/// Number of tokens in an evaluation pack; no evaluation runs here.
const UNUSED: usize = 4096;

pub(crate) fn sft(options: &TrainWork, from: &Prepared) -> Result<Value, Failure> {
    let work = Work::Sft(options.clone());
    let device = Device::flex();
    let rows: Vec<ExampleRow> = rows::read(&from.rows)?;
    let rows: Vec<TokenizedExample> = rows.into_iter().map(Into::into).collect();
    let model = Llama::load(&from.model, held(options, &device))?;
    let size = ModelSize::of(&model);
    let model = prepared(options, model)?;
    let config = config(&work, options);
    let objective = SftObjective::new(as_drawn(&config, rows.clone()), vec![], UNUSED)?;
    let (seconds, losses) = timed(model, objective, &config, options.common.warmup)?;
    let rows = &rows[options.common.warmup * work.batch()..];
    let counts = |e: &TokenizedExample| Counts::shared(e.prompt.len(), &[e.completion.len()]);
    let done = Done {
        seconds,
        pairs: None,
        tokens: rows
            .iter()
            .map(|e| e.prompt.len() + e.completion.len())
            .sum::<usize>() as f64,
        flops: training(options, size, rows.iter().map(counts).sum()),
        losses,
        more: vec![("examples_per_s", (rows.len() as f64 / seconds).into())],
    };
    Ok(report(&work, done))
}

pub(crate) fn dpo(options: &TrainWork, from: &Prepared) -> Result<Value, Failure> {
    let work = Work::Dpo(options.clone());
    let device = Device::flex();
    let rows = pairs(from)?;
    let model = Llama::load(&from.model, held(options, &device))?;
    let size = ModelSize::of(&model);
    let config = config(&work, options);
    let loss: PreferenceLoss = "dpo".parse()?;
    let reference = match options.lora {
        Some(_) => Reference::AdaptersOff,
        None => Reference::Model(model.clone()),
    };
    let model = prepared(options, model)?;
    let drawn = as_drawn(&config, rows.clone());
    let objective = DirectObjective::new(drawn, vec![], loss, reference, UNUSED)?;
    let (seconds, losses) = timed(model, objective, &config, options.common.warmup)?;
    let rows = &rows[options.common.warmup * work.batch()..];
    let counts = rows
        .iter()
        .map(|p| Counts::shared(p.prompt.len(), &[p.chosen.len(), p.rejected.len()]))
        .sum();
    let done = Done {
        seconds,
        pairs: Some(rows.len() as f64),
        tokens: rows.iter().map(twice).sum::<usize>() as f64,
        flops: training(options, size, counts) + size.forward(counts),
        losses,
        more: vec![],
    };
    Ok(report(&work, done))
}

pub(crate) fn rm(options: &TrainWork, from: &Prepared) -> Result<Value, Failure> {
    match detect_architecture(&from.model)? {
        Architecture::Encoder => reward::<Encoder>(options, from),
        _ => reward::<Llama>(options, from),
    }
}

fn reward<B: HfReward>(options: &TrainWork, from: &Prepared) -> Result<Value, Failure> {
    let work = Work::Rm(options.clone());
    let device = Device::flex();
    let rows = pairs(from)?;
    let key = Key::new(0, "bench-head");
    let model = RewardModel::<B>::load_or_fresh(&from.model, key, held(options, &device))?;
    let size = ModelSize::of(&model.backbone);
    let pooling = model.pooling();
    let backbone = prepared(options, model.backbone)?;
    let model = RewardModel::from_parts(backbone, model.head, pooling);
    let config = config(&work, options);
    let drawn = as_drawn(&config, rows.clone());
    let objective = RewardObjective::new(drawn, vec![], PairwiseLoss::default(), UNUSED)?;
    let (seconds, losses) = timed(model, objective, &config, options.common.warmup)?;
    let rows = &rows[options.common.warmup * work.batch()..];
    let counts = rows
        .iter()
        .map(|p| match B::VISIBILITY {
            Visibility::Bidirectional => [&p.chosen, &p.rejected]
                .map(|side| Counts::whole(p.prompt.len() + side.len()))
                .into_iter()
                .sum(),
            _ => Counts::shared(p.prompt.len(), &[p.chosen.len(), p.rejected.len()]).unpredicted(),
        })
        .sum();
    let done = Done {
        seconds,
        pairs: Some(rows.len() as f64),
        tokens: rows.iter().map(twice).sum::<usize>() as f64,
        flops: training(options, size, counts),
        losses,
        more: vec![],
    };
    Ok(report(&work, done))
}

/// Returns the options of loading the model.
fn held<'d>(options: &TrainWork, device: &'d Device) -> LoadOptions<'d> {
    let weights = match options.weights {
        NumberType::Bf16 if options.lora.is_some() => WeightType::Bf16,
        _ => WeightType::F32,
    };
    LoadOptions::from(device).with_weights(weights)
}

/// Attaches adapters and sets number types.
fn prepared<M: Adaptable + Backbone>(options: &TrainWork, model: M) -> Result<M, Failure> {
    let model = model
        .with_saved(match options.weights {
            NumberType::F32 => SavedType::F32,
            NumberType::Bf16 => SavedType::Bf16,
        })
        .with_recompute(options.gradient_checkpointing)
        .with_precision(match options.products {
            NumberType::F32 => Precision::F32,
            NumberType::Bf16 => Precision::Bf16,
        })?;
    let Some(rank) = options.lora else {
        return Ok(model);
    };
    Ok(model.with_lora(&adapters(rank), Key::new(0, "bench-lora"))?)
}

/// Returns the options of adapters of a rank.
pub(crate) fn adapters(rank: usize) -> LoraConfig {
    LoraConfig {
        rank,
        alpha: 2.0 * rank as f64,
        dropout: 0.0,
        ..LoraConfig::default()
    }
}

/// Counts a forward and a backward pass. Frozen weights have no gradient.
fn training(options: &TrainWork, size: ModelSize, counts: Counts) -> f64 {
    match options.lora {
        Some(_) => 2.0 * size.forward(counts),
        None => size.training(counts),
    }
}

fn pairs(from: &Prepared) -> Result<Vec<TokenizedPair>, Failure> {
    let rows: Vec<PairRow> = rows::read(&from.rows)?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// Counts the tokens of both sequences; both contain the prompt.
fn twice(pair: &TokenizedPair) -> usize {
    2 * pair.prompt.len() + pair.chosen.len() + pair.rejected.len()
}

fn config(work: &Work, options: &TrainWork) -> TrainConfig {
    TrainConfig {
        stage: "bench".to_owned(),
        learning_rate: options.learning_rate,
        schedule: Schedule::Constant,
        batch_size: work.batch(),
        keep_best: false,
        ..TrainConfig::default()
    }
}

/// Reorders the rows so that training takes them in the given order.
fn as_drawn<T>(config: &TrainConfig, rows: Vec<T>) -> Vec<T> {
    let order = epoch_order(Key::new(config.seed, &config.stage), 0, rows.len());
    let mut placed: Vec<(usize, T)> = order.into_iter().zip(rows).collect();
    placed.sort_by_key(|(place, _)| *place);
    placed.into_iter().map(|(_, row)| row).collect()
}

/// Returns the seconds of all steps after the first `warmup`, and the loss of every step.
fn timed<O: Objective>(
    model: O::Model,
    objective: O,
    config: &TrainConfig,
    warmup: usize,
) -> Result<(f64, Vec<f64>), Failure> {
    let folder = tempfile::tempdir()?;
    let metrics = Metrics::open(&folder.path().join("metrics.jsonl"))?;
    let context = FitContext {
        metrics: Some(&metrics),
        ..FitContext::silent()
    };
    let objective = Timed::new(objective);
    let fitted = fit(model, &objective, config, &context)?;
    let seconds = objective.seconds_from(warmup);
    drop(fitted);
    let losses = metrics.rows()?;
    let losses = losses.iter().filter_map(|row| row.get("loss")?.as_f64());
    Ok((seconds, losses.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn training_takes_the_rows_in_their_order() {
        let config = TrainConfig::default();
        let placed = as_drawn(&config, (0..10).collect());
        let order = epoch_order(Key::new(config.seed, &config.stage), 0, 10);
        let drawn: Vec<usize> = order.into_iter().map(|index| placed[index]).collect();
        assert_eq!(drawn, (0..10).collect::<Vec<_>>());
    }
}
