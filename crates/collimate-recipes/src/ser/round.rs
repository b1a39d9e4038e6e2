//! A further round of SER over new unlabelled pairs.

use collimate_core::{OptionError, PreferencePair};
use collimate_data::{Auditor, HiddenLabelPool, TextTokenizer};
use collimate_nn::HfReward;
use collimate_reward::RewardModel;
use collimate_run::RunContext;

use super::config::SerConfig;
use super::final_test::{self, Candidate};
use super::fingerprint::fingerprint;
use super::loops::{Evolution, LoopInputs, LoopRule};
use super::outcome::{LoopReport, ModelReport, Steps, TrainedReward};
use super::session::{Session, Stage, for_scores};
use super::tokenized_pool::TokenizedPool;
use crate::RecipeError;
use crate::groups::groups;

/// Data of a round.
#[derive(Debug)]
pub struct RoundData<'a, B: HfReward> {
    /// Prefix of the round's stage names; not empty.
    pub name: &'a str,
    /// The reward model before the round.
    pub before: &'a TrainedReward<B>,
    /// New pairs without labels.
    pub pool: HiddenLabelPool,
    /// Auditor of the new pairs' true labels, for the report only; absent if these are not known.
    pub auditor: Option<Auditor>,
    /// Held-out pairs, evaluated after every stage.
    pub validation: &'a [PreferencePair],
    /// Held-out pairs, evaluated at the end.
    pub test: &'a [PreferencePair],
}

/// Results of a round.
#[derive(Debug, Clone)]
pub struct SerRound<B: HfReward> {
    /// The reward model after the round.
    pub learnt: TrainedReward<B>,
    /// The model before the round (index 0) and the round's loops.
    pub loops: Vec<LoopReport>,
    /// Results of the model on the test part.
    pub test: ModelReport,
}

/// Continues with an evolved reward model over new pairs.
///
/// The model labels the round's pairs, and the paper's filter keeps the labels that are likely
/// right. The model is then trained on these pairs and on all pairs that it has learnt from so far.
/// With the answers of a policy that was trained against the model, this closes the loop that the
/// paper leaves to future work (step 4 within each iteration,
/// [arXiv:2411.00418](https://arxiv.org/abs/2411.00418), Limitations).
///
/// `start` is the model that [`evolve`](super::evolve) started from.
///
/// # Errors
/// Same as [`evolve`](super::evolve), and an empty name.
pub fn evolve_round<B: HfReward>(
    start: &RewardModel<B>,
    tokenizer: &TextTokenizer,
    data: RoundData<'_, B>,
    config: &SerConfig,
    context: &mut RunContext<'_>,
) -> Result<SerRound<B>, RecipeError> {
    config.check()?;
    let RoundData { name, before, .. } = data;
    if name.is_empty() {
        let allowed = "another text, because the stages of the first run have the empty name";
        return Err(OptionError::new("name", "empty", allowed).into());
    }
    let tokenizer = &for_scores(tokenizer, config);
    let mut session = Session {
        config,
        tokenizer,
        run: context.run,
        interrupt: context.interrupt,
        progress: context.progress,
        validation: Vec::new(),
        seed: before.seed.clone(),
        noise: None,
        // The stages of the round depend on both models.
        start: fingerprint(start) + &fingerprint(&before.model),
    };
    session.validation = session.encode(data.validation)?;
    let test = session.encode(data.test)?;
    let tokenized = TokenizedPool::new(&session, &data.pool)?;
    let (validation, gap) = session.validate(&before.model, name)?;
    let zero = Stage {
        model: before.model.clone(),
        steps: 0,
        validation,
        gap,
        seconds: 0.0,
    };
    let loop_inputs = LoopInputs {
        start,
        zero: &zero,
        seed: &before.seed,
        trained_on: &before.trained_on,
        tokenized: &tokenized,
        auditor: data.auditor.as_ref(),
        cross: None,
        calibration: None,
    };
    let evolution = Evolution {
        name,
        rule: LoopRule::Paper(config.filter, Vec::new()),
        retrain_from: config.retrain_from,
        steps: None,
    };
    let evolved = evolution.run(&mut session, &loop_inputs, data.pool)?;
    let steps: Vec<u64> = evolved.loops[1..].iter().map(|l| l.steps).collect();
    let candidate = Candidate::new(
        name,
        vec![evolved.model.clone()],
        before.seed.len(),
        Steps::of(config.retrain_from, 0, &steps),
        evolved.validation(),
    );
    let groups = groups(data.test);
    let all = vec![true; test.len()];
    let stage = format!("{name}-test");
    let (mut tested, _) =
        final_test::test(&mut session, &stage, vec![candidate], &test, &groups, &all)?;
    let centre = session.centre(&evolved.model, &before.seed, name)?;
    Ok(SerRound {
        test: tested.remove(0),
        loops: evolved.loops,
        learnt: TrainedReward {
            model: evolved.model,
            centre,
            seed: before.seed.clone(),
            trained_on: evolved.trained_on,
        },
    })
}
