//! DPO in Burn's own training loop, the `Learner` of burn-train: for projects that train with it already.
//!
//! ```text
//! cargo run --example burn_learner
//! ```

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use burn_train::metric::LossMetric;
use burn_train::{Learner, SupervisedTraining};
use collimate::burn::data::dataloader::{DataLoader, DataLoaderBuilder};
use collimate::burn::optim::AdamWConfig;
use collimate::data::TokenizedPair;
use collimate::learner::{
    DirectTask, LearnerError, ReferencedPair, RewardMetric, Rows, SilentRenderer, Trainee,
    logged_metrics,
};
use collimate::prelude::*;
use collimate::world::{World, WorldConfig, WorldData, WorldModel};

const FOLDER: &str = "runs/learner-example";

fn main() -> Result<(), Box<dyn Error>> {
    let world = World::new(&WorldConfig {
        pairs: 2_000,
        validation_pairs: 300,
        ..WorldConfig::default()
    })?;
    let data = WorldData::new(&world, 0)?;
    let context = FitContext::default();
    let start =
        WorldModel::small().train(&world, &data.demonstrations, &Device::flex(), &context)?;

    // A trainee is a model with what it is to learn: the module that Burn's learner takes.
    let loss = Dpo {
        beta: 0.5,
        ..Dpo::default()
    };
    let task = DirectTask::new(loss, Reference::Model(start.model.clone()))?;
    let trainee = Trainee::new(start.model.clone(), task, Key::new(0, "dpo"))?;

    // Burn's steps return no errors, so `dataset` refuses a pair that the model cannot take.
    type Loader = Arc<dyn DataLoader<Vec<ReferencedPair>>>;
    let loader = |pairs: Vec<TokenizedPair>| -> Result<Loader, LearnerError> {
        let items = trainee.dataset(pairs)?;
        Ok(DataLoaderBuilder::new(Rows)
            .batch_size(16)
            .shuffle(0)
            .build(items))
    };
    let train = loader(start.encode_pairs(&data.train)?.0)?;
    let valid = loader(start.encode_pairs(&data.validation)?.0)?;

    // From here on it is Burn: its metrics, checkpoints, early stopping, and (feature `tui`) its dashboard.
    let folder = Path::new(FOLDER);
    let optimizer = AdamWConfig::new().with_epsilon(1e-8).init();
    let result = SupervisedTraining::new(folder, train, valid)
        .metrics((
            LossMetric::new(),
            RewardMetric::accuracies(),
            RewardMetric::margins(),
        ))
        .renderer(Box::new(SilentRenderer))
        .num_epochs(2)
        .with_application_logger(None)
        .launch(Learner::new(trainee, optimizer, 2e-4));
    if let Some(error) = result.error {
        return Err(error.to_string().into());
    }

    start
        .with_model(result.model.model)
        .save(&folder.join("model"))?;
    println!("metrics of each epoch:");
    for metric in logged_metrics(folder)? {
        println!("  {metric}");
    }
    println!("model: {FOLDER}/model");
    Ok(())
}
