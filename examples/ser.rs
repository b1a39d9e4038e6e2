//! Self-evolved reward learning (SER, arXiv:2411.00418) on the synthetic world: a reward model learns from 15 % of
//! the labels, labels the other pairs itself, and learns from its own labels.
//!
//! ```text
//! cargo run --example ser
//! ```
//!
//! Ends with a table of test accuracies, and `runs/ser-example/report.md` with plots. Ctrl-C stops the run; the same
//! command continues with it and ends with the same bytes. The example takes no arguments: change `options` below, or
//! run `collimate ser`, which has an option for each of them.

use std::path::Path;

use collimate::prelude::*;
use collimate::ser::{
    EnsembleConfig, Heads, Recipe, RetrainFrom, ScoreCentre, SplitPlan, evolve, write_report,
};
use collimate::world::{World, WorldConfig, WorldData, WorldModel};

const FOLDER: &str = "runs/ser-example";

fn options() -> SerConfig {
    SerConfig {
        // The labels that the reward model may see. The others are sealed until the end.
        seed_share: 0.15,
        // Five noised seed models label the pool together: best for a small model from scratch. A pretrained
        // model wants `Recipe::Calibrated`.
        recipe: Recipe::NoisyEnsemble,
        ensemble: EnsembleConfig {
            heads: Heads::Fresh,
            ..EnsembleConfig::default()
        },
        // The paper's learning status and pair filter, beside the main recipe.
        also: vec![Recipe::Paper],
        score_centre: ScoreCentre::SeedMean,
        retrain_from: RetrainFrom::Start,
        max_length: 128,
        // Pairs to label next are for runs on labels of your own.
        ask: 0,
        train: TrainConfig {
            learning_rate: 1e-3,
            batch_size: 16,
            epochs: 3.0,
            warmup_ratio: 0.05,
            keep_best: false,
            save_every: Some(200),
            ..TrainConfig::default()
        },
        // Two controls stay on by default. `longer_seed` learns the human labels alone for as many steps,
        // `seed_ensemble` averages several seed models: a gain that they have too is no gain of self-labels.
        ..SerConfig::default()
    }
}

fn main() -> Result<(), collimate::Error> {
    // An argument without effect would mislead.
    if let Some(argument) = std::env::args_os().nth(1) {
        eprintln!(
            "error: {argument:?}: this example takes no arguments: change `options` in examples/ser.rs, or run \
             `collimate ser`, which has an option for each of them"
        );
        std::process::exit(2);
    }

    // The world knows how good every answer really is, so the report can say how many self-labels are right.
    let world = World::new(&WorldConfig {
        pairs: 4_000,
        test_pairs: 2_000,
        ..WorldConfig::default()
    })?;
    let (model, options) = (WorldModel::small(), options());

    // Every stage below leaves checkpoints and its result here.
    let mut run = RunFolder::create(Path::new(FOLDER), &(world.config(), &model, &options))?;
    let interrupt = Interrupt::on_signals()?;

    // A reward model starts as a language model with a fresh head. This one has read plain texts of the world,
    // and is fine-tuned on good answers.
    let data = WorldData::new(&world, options.seed)?;
    let fit = run.context(&interrupt);
    let policy = model.train(&world, &data.demonstrations, &Device::flex(), &fit)?;
    let head = Key::new(options.seed, "head");
    let start = policy.map(|llm| RewardModel::with_fresh_head(llm, Pooling::LastToken, head));

    let plan = SplitPlan {
        seed_share: options.seed_share,
        // The loops never see these labels: they are for the model with all labels, to compare with.
        keep_labels: true,
        key: Key::new(options.seed, "pool"),
    };
    let pairs = SerData::split(data.train, data.validation, data.test, &plan)?;
    let about = format!(
        "Data: the synthetic world, {} labelled pairs and {} whose labels are sealed.",
        pairs.seed.len(),
        pairs.pool.len()
    );

    let mut context = RunContext::new(&mut run, &interrupt);
    let (model, tokenizer) = (&start.model, &start.tokenizer);
    let outcome = evolve(model, tokenizer, pairs, &options, &mut context)?;

    // Other libraries open the folder too: it holds a `LlamaForSequenceClassification`.
    let evolved = start.with_model(outcome.learnt.model.clone());
    evolved.save(&run.path().join("model"))?;
    write_report(&outcome, &options, &run, &about, &Default::default())?;
    print!("{outcome}");
    println!("model: {FOLDER}/model; report: {FOLDER}/report.md");
    Ok(())
}
