//! Direct alignment that reviews its own pairs (SeRA, arXiv:2410.09362) on the synthetic world, beside the same loss
//! without the review.
//!
//! ```text
//! cargo run --example sera
//! ```

use std::path::Path;

use collimate::prelude::*;
use collimate::sera::{Method, ResponseSampling, SeraConfig, SeraData, align, write_report};
use collimate::world::{World, WorldConfig, WorldData, WorldModel};

const FOLDER: &str = "runs/sera-example";

fn main() -> Result<(), collimate::Error> {
    let world = World::new(&WorldConfig {
        pairs: 3_000,
        ..WorldConfig::default()
    })?;
    let model = WorldModel::small();
    let options = SeraConfig {
        loss: PreferenceLoss::Ipo(Ipo::default()).with_beta(0.3),
        // All three make the same number of steps. `Iterative` moves its reference model as SeRA does, but trains
        // on all pairs: what SeRA gains over it comes from the review.
        methods: vec![Method::Base, Method::Iterative, Method::Sera],
        iterations: 3,
        // A review keeps the 70 % of the pairs with the largest implicit reward margin, and adds as many own pairs
        // as 30 %: the best and the worst of four answers of the policy, by its own implicit reward.
        responses: ResponseSampling {
            max_new_tokens: 32,
            ..ResponseSampling::default()
        },
        max_length: model.max_length,
        train: TrainConfig {
            learning_rate: 2e-4,
            batch_size: 16,
            ..SeraConfig::default().train
        },
        ..SeraConfig::default()
    };
    let mut run = RunFolder::create(Path::new(FOLDER), &(world.config(), &model, &options))?;
    let interrupt = Interrupt::on_signals()?;

    let data = WorldData::new(&world, options.seed)?;
    let fit = run.context(&interrupt);
    let start = model.train(&world, &data.demonstrations, &Device::flex(), &fit)?;

    // The judge compares the answers of the final policies. No method here learns from it.
    let gold = world.scorer();
    let data = SeraData {
        prompts: data.test_prompts(300),
        held_out: data.validation.iter().map(SftExample::from).collect(),
        train: data.train,
        validation: data.validation,
        eos: start.eos.clone(),
        judge: Some(AnswerScorer::new("the gold reward", &gold)),
        ..SeraData::default()
    };
    let mut context = RunContext::new(&mut run, &interrupt);
    let (policy, tokenizer) = (&start.model, &start.tokenizer);
    let outcome = align(policy, tokenizer, &data, &options, &mut context)?;

    for policy in &outcome.policies {
        let folder = run.path().join("models").join(&policy.title);
        start.with_model(policy.model.clone()).save(&folder)?;
    }
    let about = "Data: the synthetic world, with labels of a noisy annotator.";
    write_report(&outcome, &options, &run, about, &Default::default())?;
    print!("{outcome}");
    if let Some(sera) = outcome.policy(Method::Sera) {
        for iteration in &sera.iterations {
            println!(
                "iteration {}: {} offline pairs and {} own pairs",
                iteration.iteration, iteration.selection.offline, iteration.selection.bootstrapped
            );
        }
    }
    println!("models: {FOLDER}/models; report: {FOLDER}/report.md");
    Ok(())
}
