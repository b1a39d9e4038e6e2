//! A run of SER: the seed model, the recipes, the baseline and the controls.

use collimate_data::{HiddenLabelPool, TextTokenizer};
use collimate_nn::HfReward;
use collimate_reward::RewardModel;
use collimate_run::RunContext;

use super::config::{Control, SerConfig};
use super::cross_fit;
use super::data::SerData;
use super::final_test::{self, Candidate};
use super::fingerprint::fingerprint;
use super::loops::{Evolution, Evolved, LoopInputs, LoopRule};
use super::noise::NoiseTokens;
use super::outcome::{EvolvedReward, Evolving, SerOutcome, Steps, TrainedReward};
use super::recipe::Recipe;
use super::session::{Length, Lesson, Session, for_scores};
use super::tokenized_pool::TokenizedPool;
use super::warnings::{self, warnings};
use super::{ask, controls, ensemble, gain, overlap, sharpness};
use crate::RecipeError;
use crate::groups::groups;

/// Evolves a reward model from the labelled seed of `data`.
///
/// `start` is the model that Loop 0 starts from: an SFT model's backbone with a fresh head. The run
/// folder must have been created with the same options. A killed run continues where it stopped and
/// ends with the same bytes.
///
/// # Errors
/// Options out of range, data that cannot be tokenised, a loss or score that is not finite, files
/// that cannot be written, an interrupt.
pub fn evolve<B: HfReward>(
    start: &RewardModel<B>,
    tokenizer: &TextTokenizer,
    data: SerData,
    config: &SerConfig,
    context: &mut RunContext<'_>,
) -> Result<SerOutcome<B>, RecipeError> {
    evolve_with(start, tokenizer, data, config, context, |_| Ok(()))
}

/// Evolves a reward model as [`evolve`], and calls `on_evolved` once the main recipe has ended, before
/// other recipes, controls and tests run.
///
/// A run may be killed while its controls train. A caller that saves the model in `on_evolved` has the
/// model by then. A resumed run calls `on_evolved` again, with the same values.
///
/// # Errors
/// The errors of [`evolve`] and of `on_evolved`.
pub fn evolve_with<B: HfReward, E: From<RecipeError>>(
    start: &RewardModel<B>,
    tokenizer: &TextTokenizer,
    data: SerData,
    config: &SerConfig,
    context: &mut RunContext<'_>,
    on_evolved: impl FnOnce(&Evolving<'_, B>) -> Result<(), E>,
) -> Result<SerOutcome<B>, E> {
    config.check()?;
    let tokenizer = &for_scores(tokenizer, config);
    let mut session = Session {
        config,
        tokenizer,
        run: context.run,
        interrupt: context.interrupt,
        progress: context.progress,
        validation: Vec::new(),
        seed: Vec::new(),
        noise: None,
        start: fingerprint(start),
    };
    session.validation = session.encode(&data.validation)?;
    let test = session.encode(&data.test)?;
    let (seed_pairs, seed) = session.encode_different("the labelled seed", &data.seed)?;
    session.seed.clone_from(&seed);
    let tokenized = TokenizedPool::new(&session, &data.pool)?;
    let texts = seed.iter().chain(tokenized.pairs());
    session.noise = Some(NoiseTokens::of(tokenizer, texts)?);

    let mut cross = match config.cross_fits() {
        true => Some(cross_fit::run(&mut session, start, &seed_pairs, &seed)?),
        false => None,
    };
    let length = match &cross {
        Some(cross) => Length::Epochs(cross.report.epochs),
        None => Length::Configured,
    };
    let zero = session.train("loop0", start, Lesson::plain(seed.clone(), length))?;
    if let Some(cross) = &mut cross {
        let shown = tokenized.shown_of(&data.pool);
        let sharpness = sharpness::measure(&mut session, start, &zero.model, &seed, cross, &shown)?;
        cross.report.sharpness = sharpness;
    }
    let calibration = cross.as_ref().map(|cross| {
        let report = &cross.report;
        sharpness::sharpened(report.calibration, report.sharpness)
    });
    let inputs = LoopInputs {
        start,
        zero: &zero,
        seed: &seed,
        trained_on: &seed,
        tokenized: &tokenized,
        auditor: data.auditor.as_ref(),
        cross: cross.as_ref(),
        calibration,
    };
    let asked = ask::ask(&mut session, &inputs, &data.pool)?;
    let evolved = evolve_by(&mut session, config.recipe, "", &inputs, data.pool.clone())?;
    let (ask_next, agreement) = match asked {
        Some(asked) => (asked.next, Some(asked.agreement)),
        None => (Vec::new(), None),
    };
    on_evolved(&Evolving {
        model: &evolved.model,
        self_labels: &evolved.self_labels,
        ask_next: &ask_next,
    })?;
    let mut models = vec![
        Candidate::new(
            "loop0",
            vec![zero.model.clone()],
            seed.len(),
            Steps::of(evolved.retrain_from, zero.steps, &[]),
            zero.validation,
        ),
        candidate_of("ser", &evolved, seed.len()),
    ];
    let mut teachers = evolved.teachers.clone();
    // The first other recipe that trained a loop, for the controls.
    let mut other_trained = None;
    for &recipe in &config.recipes()[1..] {
        let name = recipe.name();
        let other = evolve_by(&mut session, recipe, name, &inputs, data.pool.clone())?;
        models.push(candidate_of(name, &other, seed.len()));
        if teachers.models.is_empty() {
            teachers = other.teachers.clone();
        }
        if other_trained.is_none() && other.has_trained() {
            other_trained = Some(other);
        }
    }
    if config.baseline
        && let Some(labelled) = &data.labelled_pool
    {
        let mut all = seed.clone();
        all.extend(session.encode_different("the labelled pool", labelled)?.1);
        let pairs = all.len();
        let length = session.student_steps(pairs, zero.steps);
        let full = session.train("full", start, Lesson::plain(all, length))?;
        models.push(Candidate::new(
            "full",
            vec![full.model],
            pairs,
            Steps::of(evolved.retrain_from, full.steps, &[]),
            full.validation,
        ));
    }
    let measured = !(test.is_empty() && session.validation.is_empty());
    let compared = match (evolved.has_trained(), &other_trained) {
        (false, Some(other)) => other,
        _ => &evolved,
    };
    for &control in config.controls.iter().filter(|_| measured) {
        let setting = controls::Setting {
            loop_inputs: &inputs,
            evolved: compared,
            teachers: &teachers,
            data: &data,
        };
        models.extend(controls::run(&mut session, control, &setting)?);
    }
    let gain = match config.check_gain {
        true => gain::check(&mut session, config.recipe, &inputs, &data.pool)?,
        false => None,
    };
    let unseen = overlap::unseen(&data);
    let groups = groups(&data.test);
    let mut reward_models = Vec::new();
    for candidate in models.iter().filter(|candidate| {
        ["loop0", "ser", "full", Control::SeedEnsemble.name()].contains(&candidate.name())
    }) {
        let mut centre = 0.0;
        for model in candidate.models() {
            let of_one = session.centre(model, &seed, candidate.name())?;
            centre += of_one / candidate.models().len() as f64;
        }
        reward_models.push(EvolvedReward {
            name: candidate.name().to_owned(),
            models: candidate.models().to_vec(),
            centre,
        });
    }
    let centre = reward_models[1].centre;
    let (models, significance) =
        final_test::test(&mut session, "test", models, &test, &groups, &unseen)?;
    let facts = warnings::Facts {
        asks: !ask_next.is_empty(),
        go_anyway: config.go_anyway,
    };
    let mut warnings = warnings(&evolved.loops, &unseen, facts);
    warnings.extend(
        cross
            .as_ref()
            .and_then(|cross| warnings::coin(&cross.report, facts)),
    );
    warnings.extend(
        gain.as_ref()
            .and_then(|gain| warnings::no_gain(gain, facts)),
    );
    if !measured {
        warnings.push(warnings::NOT_MEASURED.to_owned());
    }
    let seconds = evolved.loops.iter().map(|l| l.seconds).sum();
    Ok(SerOutcome {
        learnt: TrainedReward {
            model: evolved.model,
            centre,
            seed,
            trained_on: evolved.trained_on,
        },
        reward_models,
        fine_tuning_labels: data.fine_tuning_labels,
        loops: evolved.loops,
        models,
        significance,
        cross_fit: cross.map(|cross| cross.report),
        agreement,
        gain,
        self_labels: evolved.self_labels,
        ask_next,
        warnings,
        seconds,
    })
}

fn candidate_of<B: HfReward>(name: &str, evolved: &Evolved<B>, labels: usize) -> Candidate<B> {
    let models = vec![evolved.model.clone()];
    Candidate::new(name, models, labels, evolved.steps(), evolved.validation())
}

/// Runs one recipe from Loop 0; the names of its stages begin with `name`.
pub(crate) fn evolve_by<B: HfReward>(
    session: &mut Session<'_>,
    recipe: Recipe,
    name: &str,
    inputs: &LoopInputs<'_, B>,
    pool: HiddenLabelPool,
) -> Result<Evolved<B>, RecipeError> {
    let config = session.config;
    let rule = match recipe {
        Recipe::Paper => LoopRule::Paper(config.filter, config.statuses.clone()),
        Recipe::Calibrated => LoopRule::Calibrated,
        Recipe::NoisyEnsemble => return ensemble::run(session, name, inputs, &pool),
    };
    let evolution = Evolution {
        name,
        rule,
        retrain_from: config.retrains_from(recipe),
        steps: None,
    };
    evolution.run(session, inputs, pool)
}
