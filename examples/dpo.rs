//! Direct preference optimisation (DPO) of a small language model on the synthetic world.
//!
//! ```text
//! cargo run --example dpo
//! ```
//!
//! `align` is the whole job: it trains, measures, and continues with a run that was stopped. The example `custom_loss`
//! shows the parts that it is made of.

use std::path::Path;

use collimate::dpo::{AlignConfig, AlignData, align, write_report};
use collimate::prelude::*;
use collimate::world::{World, WorldConfig, WorldData, WorldModel};

const FOLDER: &str = "runs/dpo-example";

fn main() -> Result<(), collimate::Error> {
    let world = World::new(&WorldConfig::default())?;
    let model = WorldModel::small();
    let options = AlignConfig {
        // Any of the losses: "ipo".parse()?, "simpo".parse()?, ... β is the pull towards the start model.
        loss: PreferenceLoss::Dpo(Dpo::default()).with_beta(0.5),
        max_length: model.max_length,
        train: TrainConfig {
            // A model of billions of weights wants 5e-7 to 5e-6.
            learning_rate: 4e-4,
            batch_size: 16,
            ..AlignConfig::default().train
        },
        ..AlignConfig::default()
    };
    let mut run = RunFolder::create(Path::new(FOLDER), &(world.config(), &model, &options))?;
    let interrupt = Interrupt::on_signals()?;

    // The start model has learnt to answer from demonstrations; it is the reference model too.
    let data = WorldData::new(&world, options.seed)?;
    let fit = run.context(&interrupt);
    let start = model.train(&world, &data.demonstrations, &Device::flex(), &fit)?;

    // Both models answer held-out prompts, and the world's true reward says whose answer is better.
    let gold = world.scorer();
    let data = AlignData {
        prompts: data.test_prompts(300),
        held_out: data.validation.iter().map(SftExample::from).collect(),
        train: data.train.into(),
        validation: data.validation,
        eos: start.eos.clone(),
        judge: Some(AnswerScorer::new("the gold reward", &gold)),
    };
    let mut context = RunContext::new(&mut run, &interrupt);
    let (policy, tokenizer) = (&start.model, &start.tokenizer);
    let outcome = align(policy, tokenizer, &data, &options, &mut context)?;

    let aligned = start.with_model(outcome.model.clone());
    aligned.save(&run.path().join("model"))?;
    let about = "Data: the synthetic world, with labels of a noisy annotator.";
    write_report(&outcome, &options, &run, about, &Default::default())?;

    println!("{outcome}");
    for sample in outcome.answers.iter().flat_map(|a| &a.samples).take(3) {
        println!("\nprompt   {}", sample.prompt);
        println!(
            "start    {:.2}  {}",
            sample.start_score, sample.start_answer
        );
        println!("aligned  {:.2}  {}", sample.score, sample.answer);
    }
    println!("\nmodel: {FOLDER}/model; report: {FOLDER}/report.md");
    Ok(())
}
