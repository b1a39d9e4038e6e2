//! A self-rewarding language model (arXiv:2401.10020) on the synthetic world: it poses tasks, answers them, judges
//! its own answers, and learns from the pairs by DPO.
//!
//! ```text
//! cargo run --example self_rewarding
//! ```

use std::path::Path;

use collimate::prelude::*;
use collimate::self_rewarding::{
    SelfRewardingConfig, SelfRewardingData, self_reward, write_report,
};
use collimate::world::{
    EftSource, SELF_REWARDING_WORDS, SelfRewardingSizes, World, WorldConfig, WorldModel,
    world_self_rewarding,
};

const FOLDER: &str = "runs/self-rewarding-example";

fn main() -> Result<(), collimate::Error> {
    let world = World::new(&WorldConfig::default())?;
    // The words that a judgement and a list of tasks are written in.
    let model = WorldModel::small().with_words(&SELF_REWARDING_WORDS);
    let mut options = SelfRewardingConfig {
        // From M1 to M2. The paper goes on to M3.
        iterations: 1,
        // No branches whose pairs come from another source than the judge.
        compare: Vec::new(),
        ..world_self_rewarding()?
    };
    options.tasks.per_iteration = 1_000;
    // Few pairs make few steps: larger ones than in a run of hours.
    options.train.learning_rate = 4e-4;
    let mut run = RunFolder::create(Path::new(FOLDER), &(world.config(), &model, &options))?;
    let interrupt = Interrupt::on_signals()?;

    // M0 has read plain texts only.
    let m0 = model.train(&world, &[], &Device::flex(), &run.context(&interrupt))?;

    // M1 learns from demonstrations (IFT) and judgements (EFT). The judgements are made of lists of answers that
    // the annotator has ranked, mistakes included.
    let sizes = SelfRewardingSizes {
        ranked_lists: 2_000,
        task_lists: 500,
        judge_test: 150,
        ..SelfRewardingSizes::default()
    };
    let gold = world.scorer();
    let data = SelfRewardingData {
        // Says whose answers are better; nothing is learnt from it.
        evaluator: Some(AnswerScorer::new("the gold reward", &gold)),
        ..sizes.data(&world, EftSource::Ranks, 300, &options)?
    };
    let mut context = RunContext::new(&mut run, &interrupt);
    let outcome = self_reward(&m0.model, &m0.tokenizer, &data, &options, &mut context)?;

    for (report, weights) in outcome.models.iter().zip(&outcome.weights) {
        let folder = run.path().join("models").join(&report.name);
        m0.with_model(weights.clone()).save(&folder)?;
    }
    let about = "Data: the synthetic world. M0 has read plain texts.";
    write_report(&outcome, &options, &run, about, &Default::default())?;
    // Win rates are against the model that learnt from demonstrations alone.
    print!("{outcome}");
    println!("models: {FOLDER}/models; report: {FOLDER}/report.md");
    Ok(())
}
