//! A Self-Rewarding run: the chain M0 → M1 → M2 → …, the baseline, the branches and their
//! measurements.

use std::time::Instant;

use collimate_data::{SftExample, TextTokenizer, TokenizeReport};
use collimate_nn::CausalLm;
use collimate_run::RunContext;

use super::check;
use super::config::{EftFrom, SelfRewardingConfig};
use super::data::SelfRewardingData;
use super::eft::{RankJudge, from_ranks};
use super::evaluate::judge_test;
use super::iteration::{Chain, iterate};
use super::measured::{Known, Measured};
use super::outcome::SelfRewardingOutcome;
use super::session::Session;
use super::tasks::Pool;
use crate::RecipeError;
use crate::sera::session::Iterate;

/// Runs the loop from `m0`.
///
/// Every result is a file of rows in the run folder: tasks, candidates, judgements, implicit
/// rewards, pairs, answers. A stopped run continues from these files. If a later model no longer
/// judges, writes tasks or tells answers apart, the loop ends early and the outcome says why; the
/// run does not fail.
///
/// # Errors
/// Options out of range; an M1 whose judgements cannot be read (checked before any task is
/// written); a first iteration without new tasks or without pairs; texts that cannot be tokenised;
/// a loss that is not finite; an interrupt.
pub fn self_reward<M: CausalLm>(
    m0: &M,
    tokenizer: &TextTokenizer,
    data: &SelfRewardingData<'_>,
    config: &SelfRewardingConfig,
    context: &mut RunContext<'_>,
) -> Result<SelfRewardingOutcome<M>, RecipeError> {
    config.check()?;
    check::data(data, config)?;
    let started = Instant::now();
    let pool = Pool::new(data, config)?;
    let session = &mut Session {
        config,
        tokenizer,
        run: context.run,
        interrupt: context.interrupt,
        progress: context.progress,
        eos: &data.eos,
    };
    check::lengths(session, m0, data, &pool)?;
    let m0 = Known::new("m0", m0.clone().valid(), 0, 0.0);
    // The baseline is trained first only if it judges ranked answers.
    let judged = !data.ranked.is_empty() && config.eft.from == EftFrom::Judged;
    let mut baseline = match judged && data.eft_judge.is_none() {
        true => Some(known_sft(session.fine_tune("sft", &m0.model, &data.ift)?)),
        false => None,
    };
    let judge = match (&baseline, data.eft_judge) {
        (Some((known, _)), _) => Some(RankJudge::Model(known)),
        (None, Some((name, generator))) if judged => Some(RankJudge::Other(name, generator)),
        _ => None,
    };
    let (of_ranks, eft) = from_ranks(session, data, judge)?.unzip();
    let of_ranks: Vec<SftExample> = of_ranks.unwrap_or_default();
    let judgements = data.eft.len() + of_ranks.len();
    let seed: Vec<SftExample> = [&data.ift, &data.eft, &of_ranks, &data.tasks]
        .into_iter()
        .flatten()
        .cloned()
        .collect();
    // The judge comes first: if M1 cannot judge, nothing else is worth the time.
    let (m1, m1_report) = session.fine_tune("m1", &m0.model, &seed)?;
    let m1 = Known::new("m1", m1.model, m1.steps, m1.seconds);
    let least = config.judge.min_parse_rate;
    match data.judge_test.is_empty() {
        true => check::probe(session, &m1, data)?,
        false => {
            judge_test(session, "m1", &m1.model, &m1.hash, data, least)?;
        }
    }
    let (sft, sft_report) = match baseline.take() {
        Some(trained) => trained,
        None => known_sft(session.fine_tune("sft", &m0.model, &data.ift)?),
    };
    let mut measured = Measured::new(session, data)?;
    measured.add(session, data, &sft, None)?;
    measured.add(session, data, &m1, Some(least))?;
    let mut chain = Chain {
        m0,
        models: vec![m1],
        pool,
        earlier: Vec::new(),
    };
    let mut iterations = Vec::new();
    let mut stopped = None;
    while iterations.len() < config.iterations {
        match iterate(session, data, &mut chain, &mut measured) {
            Ok(report) => iterations.push(report),
            Err(error) if !iterations.is_empty() && ends_the_loop(&error) => {
                tracing::warn!("the loop ends after m{}: {error}", chain.models.len());
                stopped = Some(error.to_string());
                break;
            }
            Err(error) => return Err(error),
        }
    }
    let tokenize = [
        ("sft", sft_report),
        ("m1", m1_report),
        ("held_out", Some(measured.held_out_report)),
    ];
    let tokenize = tokenize
        .into_iter()
        .filter_map(|(name, report)| Some((name.to_owned(), report?)));
    Ok(SelfRewardingOutcome {
        comparisons: measured.comparisons(session, &data.prompts, iterations.len())?,
        tokenize: tokenize.collect(),
        models: measured.models,
        weights: measured.weights,
        iterations,
        stopped,
        seed_data: (data.ift.len(), judgements, data.tasks.len()),
        eft,
        evaluator: data.evaluator.as_ref().map(|e| e.name.clone()),
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// Turns the trained baseline into a model of the run.
fn known_sft<M: CausalLm>(
    (trained, report): (Iterate<M>, Option<TokenizeReport>),
) -> (Known<M>, Option<TokenizeReport>) {
    let known = Known::new("sft", trained.model, trained.steps, trained.seconds);
    (known, report)
}

/// Returns true if an error is about the model and not about the run.
fn ends_the_loop(error: &RecipeError) -> bool {
    use collimate_judge::JudgeError;
    match error {
        RecipeError::NoPairs { .. } => true,
        RecipeError::Judge { source, .. } => matches!(source, JudgeError::ParseRate { .. }),
        _ => false,
    }
}
