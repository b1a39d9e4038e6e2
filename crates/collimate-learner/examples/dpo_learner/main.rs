//! Fine-tunes a small language model on the synthetic world and aligns it by DPO, in Burn's Learner.
//!
//! ```text
//! cargo run -p collimate-learner --example dpo_learner [FOLDER]
//! ```
//!
//! Metrics go to FOLDER (default `runs/learner`), one file per epoch and metric.

mod lines;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::data::dataloader::{DataLoader, DataLoaderBuilder};
use burn::module::{Module, ModuleDisplay};
use burn::optim::AdamWConfig;
use burn::tensor::Device;
use burn_train::metric::LossMetric;
use burn_train::{Learner, MetricRegistration, SupervisedTraining};
use collimate_core::{Key, PreferencePair};
use collimate_data::{SftExample, SpecialTokenIds, TextTokenizer, Truncation};
use collimate_direct::Reference;
use collimate_learner::{DirectTask, LearnerError, RewardMetric, Rows, SftTask, Task, Trainee};
use collimate_lm::{Llama, LlamaConfig};
use collimate_losses::Dpo;
use collimate_world::{World, WorldConfig, WorldPair};

const MAX_LENGTH: usize = 64;

type Loader<I> = Arc<dyn DataLoader<Vec<I>>>;

struct Settings<'a> {
    folder: &'a Path,
    name: &'a str,
    epochs: usize,
    learning_rate: f64,
}

/// Trains in Burn's loop and prints the metrics.
fn learn<M, T>(
    trainee: Trainee<M, T>,
    [train, valid]: [Vec<T::Item>; 2],
    metrics: impl MetricRegistration<Trainee<M, T>>,
    settings: &Settings<'_>,
) -> Result<M, Box<dyn Error>>
where
    M: Module + ModuleDisplay + 'static,
    T: Task<M>,
{
    let loader = |items: Vec<T::Item>| -> Result<Loader<T::Item>, LearnerError> {
        let items = trainee.dataset(items)?;
        Ok(DataLoaderBuilder::new(Rows)
            .batch_size(16)
            .shuffle(0)
            .build(items))
    };
    let (train, valid) = (loader(train)?, loader(valid)?);
    let optimizer = AdamWConfig::new().with_epsilon(1e-8).init();
    let learner = Learner::new(trainee, optimizer, settings.learning_rate);
    let folder = settings.folder.join(settings.name);
    let result = SupervisedTraining::new(&folder, train, valid)
        .metrics(metrics)
        .renderer(Box::new(lines::Quiet))
        .num_epochs(settings.epochs)
        .label(settings.name)
        .with_application_logger(None)
        .launch(learner);
    if let Some(error) = result.error {
        return Err(error.to_string().into());
    }
    lines::print(&folder, settings.epochs)?;
    Ok(result.model.model)
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1);
    let folder = folder.map_or_else(|| PathBuf::from("runs/learner"), PathBuf::from);
    let world = World::new(&WorldConfig {
        pairs: 1500,
        validation_pairs: 200,
        ..Default::default()
    })?;
    let special = World::SPECIAL;
    let special = SpecialTokenIds {
        bos: Some(special.bos),
        eos: special.eos,
        pad: Some(special.pad),
    };
    let tokenizer = TextTokenizer::new(world.tokenizer(), special, None)?;

    // Demonstrations, the last hundred held out.
    let prompts = world.prompts(1600, Key::new(0, "demonstrations"));
    let examples = prompts.into_iter().filter_map(|prompt| {
        let completion = world.demonstration(&prompt.to_plain())?.into();
        Some(SftExample { prompt, completion })
    });
    let mut examples = examples
        .map(|example| tokenizer.encode_example(&example, MAX_LENGTH, Truncation::KeepEnd))
        .collect::<Result<Vec<_>, _>>()?;
    let held_out = examples.split_off(examples.len() - 100);

    let pairs = |rows: Vec<WorldPair>| -> Result<Vec<_>, _> {
        let encode = |pair: &PreferencePair| {
            tokenizer
                .encode_pair(pair, MAX_LENGTH, Truncation::KeepEnd)
                .map(Into::into)
        };
        rows.iter().map(|row| encode(&row.pair)).collect()
    };
    let pairs = [
        pairs(world.train_pairs())?,
        pairs(world.validation_pairs())?,
    ];

    let config = LlamaConfig {
        vocab_size: tokenizer.vocab_size(),
        hidden_size: 48,
        intermediate_size: 96,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        num_key_value_heads: 2,
        ..Default::default()
    };
    let model = Llama::new(&config, Key::new(0, "init"), &Device::flex())?;
    let settings = |name, epochs, learning_rate| Settings {
        folder: &folder,
        name,
        epochs,
        learning_rate,
    };

    let sft = Trainee::new(model, SftTask, Key::new(0, "sft"))?;
    let data = [examples, held_out];
    let metrics = (LossMetric::new(),);
    let tuned = learn(sft, data, metrics, &settings("fine-tuning", 6, 5e-3))?;

    let loss = Dpo {
        beta: 0.5,
        ..Dpo::default()
    };
    let task = DirectTask::new(loss, Reference::Model(tuned.clone()))?;
    let dpo = Trainee::new(tuned, task, Key::new(0, "dpo"))?;
    let metrics = (
        LossMetric::new(),
        RewardMetric::accuracies(),
        RewardMetric::margins(),
    );
    learn(dpo, pairs, metrics, &settings("alignment", 3, 2e-4))?;
    Ok(())
}
