//! A reward model from preference pairs: trained, tested, saved, and used to score answers.
//!
//! ```text
//! cargo run --example reward_model
//! ```

use std::path::Path;

use collimate::data::AnswerEnd;
use collimate::eval::{calibration, pairwise_accuracy};
use collimate::prelude::*;
use collimate::world::{World, WorldConfig, WorldData, WorldModel};

const FOLDER: &str = "runs/reward-model-example";
/// Tokens of a padding-free batch.
const TOKENS_PER_PACK: usize = 4096;

fn main() -> Result<(), collimate::Error> {
    let world = World::new(&WorldConfig::default())?;
    let data = WorldData::new(&world, 0)?;
    let context = FitContext::default();
    let llm = WorldModel::small().train(&world, &data.demonstrations, &Device::flex(), &context)?;

    // The head reads the hidden state at the last token. With a folder of your own:
    // `Pretrained::from_folder_with(dir, |dir| RewardModel::<Llama>::load_or_fresh(dir, key, &device))`.
    let key = Key::new(0, "head");
    let mut start = llm.map(|llm| RewardModel::with_fresh_head(llm, Pooling::LastToken, key));
    // The score is read at EOS, behind an answer that was cut too.
    start.tokenizer = start.tokenizer.with_answer_end(AnswerEnd::EveryAnswer);

    let (train, cut) = start.encode_pairs(&data.train)?;
    let (held_out, _) = start.encode_pairs(&data.validation)?;
    let (test, _) = start.encode_pairs(&data.test)?;
    println!(
        "{} pairs to learn from, {} of them cut",
        cut.pairs, cut.truncated
    );

    // −log σ(r_chosen − r_rejected), the Bradley–Terry likelihood of the label.
    let loss = PairwiseLoss::default();
    let objective = RewardObjective::new(train, held_out, loss, TOKENS_PER_PACK)?;
    let options = TrainConfig {
        stage: "reward".to_owned(),
        learning_rate: 1e-3,
        batch_size: 16,
        epochs: 2.0,
        // The model with the best held-out accuracy is kept.
        eval_every: Some(100),
        ..TrainConfig::default()
    };
    let fitted = fit(start.model.clone(), &objective, &options, &context)?;
    let trained = start.with_model(fitted.into_best());
    trained.save(Path::new(FOLDER))?;

    println!("{:<14} {:>8} {:>9}", "", "accuracy", "log loss");
    for (name, model) in [("untrained", &start), ("trained", &trained)] {
        let scores = score_pairs(&model.model, &test, TOKENS_PER_PACK)?;
        let accuracy = pairwise_accuracy(&scores)?.accuracy;
        // Of σ(r_chosen − r_rejected): ln 2 where the scores say nothing.
        let loss = calibration(&scores, 10)?.log_loss;
        println!("{name:<14} {accuracy:>8.3} {loss:>9.3}");
    }

    // A scorer takes texts: it is the reward of PPO, or the judge of answers.
    let scorer = RewardScorer::new(
        trained.model,
        trained.tokenizer,
        trained.max_length,
        Truncation::KeepEnd,
    );
    let pair = &data.test[0];
    let answers = [&pair.chosen, &pair.rejected].map(|a| (pair.prompt.clone(), a.clone()));
    println!("\nprompt {}", pair.prompt.to_plain());
    for ((_, answer), score) in answers.iter().zip(scorer.score(&answers)?) {
        println!("{score:>6.2} {}", answer.text);
    }
    println!("\nmodel: {FOLDER}");
    Ok(())
}
