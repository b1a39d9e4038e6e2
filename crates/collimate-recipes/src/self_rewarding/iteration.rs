//! One iteration: M(t) writes tasks, answers and judges; M(t+1) and its branches learn from the
//! pairs.

use collimate_data::TokenizedPair;
use collimate_files::atomic_write;
use collimate_nn::CausalLm;

use super::candidates::{CandidateRow, candidates};
use super::config::{PairSource, PromptSource};
use super::data::SelfRewardingData;
use super::judging::judge_candidates;
use super::measured::{Known, Measured};
use super::outcome::{Branch, IterationReport};
use super::pairs::{Made, Scores, agreement_in_common, best_and_worst, evaluated, implicit};
use super::session::Session;
use super::tasks::{Pool, Writer, new_tasks};
use crate::RecipeError;

/// State that the iterations share.
pub(super) struct Chain<M> {
    pub(super) m0: Known<M>,
    /// M1, M2, …
    pub(super) models: Vec<Known<M>>,
    pub(super) pool: Pool,
    /// The judge's pairs of earlier iterations, if `accumulate` is set.
    pub(super) earlier: Vec<TokenizedPair>,
}

/// Makes and trains the next model of the chain, and measures it and its branches.
pub(super) fn iterate<M: CausalLm>(
    session: &mut Session<'_>,
    data: &SelfRewardingData<'_>,
    chain: &mut Chain<M>,
    measured: &mut Measured<M>,
) -> Result<IterationReport, RecipeError> {
    let config = session.config;
    let t = chain.models.len();
    let folder = format!("m{t}");
    let (model, first) = (&chain.models[t - 1], &chain.models[0]);
    let by = |known: &'_ Known<M>| known.hash.clone();
    let (writer, hash) = match (config.tasks.source, data.task_writer) {
        (PromptSource::Current, _) => (Writer::Model(&model.model), by(model)),
        (PromptSource::Fixed, None) => (Writer::Model(&first.model), by(first)),
        (PromptSource::Fixed, Some((name, other))) => (Writer::Other(other), name.to_owned()),
    };
    let (prompts, tasks) = new_tasks(session, &folder, &mut chain.pool, writer, &hash)?;
    let (rows, mut counts) = candidates(session, &folder, &model.model, &model.hash, &prompts)?;
    let judged = judge_candidates(session, &folder, &model.model, &model.hash, &rows)?;
    let scores: Scores = judged
        .rows
        .iter()
        .map(|row| (0..row.grades.len()).map(|i| row.score(i)).collect())
        .collect();
    counts.too_long = judged.too_long;
    let all = judged.rows.iter();
    let grades = all.flat_map(|row| row.grades.iter().flatten());
    counts.unscored = grades.filter(|grade| grade.score.is_none()).count();
    let truth = match &data.evaluator {
        Some(evaluator) => Some(evaluated(session, &folder, evaluator, &rows)?),
        None => None,
    };
    let mut scored = vec![(PairSource::Judge, judged.seconds, scores)];
    for &source in &config.compare {
        let (scores, seconds) = match source {
            PairSource::Judge => continue,
            PairSource::Evaluator => truth.clone().ok_or(RecipeError::NoJudge)?,
            PairSource::ImplicitReward => {
                let before = if t == 1 { &chain.m0 } else { first };
                let hashes = (model.hash.as_str(), before.hash.as_str());
                implicit(session, &folder, &model.model, &before.model, hashes, &rows)?
            }
        };
        scored.push((source, seconds, scores));
    }
    let truth = truth.as_ref().map(|(scores, _)| scores);
    let made: Vec<Made> = scored
        .iter()
        .map(|(_, _, scores)| best_and_worst(&rows, scores, truth))
        .collect();
    let common = agreement_in_common(&made);
    let mut steps = None;
    let mut branches = Vec::new();
    let mut next = None;
    for (((source, seconds, _), made), common) in scored.into_iter().zip(made).zip(common) {
        let step = Step {
            folder: &folder,
            next: format!("m{}", t + 1),
            source,
            rows: &rows,
        };
        let pairs = made.pairs.clone();
        let (branch, learnt) = learn(session, &step, model, made, &chain.earlier, steps)?;
        branches.push(Branch {
            scoring_seconds: seconds,
            agreement_in_common: common,
            ..branch
        });
        let Some(known) = learnt else {
            continue;
        };
        steps = steps.or(Some(known.steps));
        // Only M1 is refused by the judge test. A later model fails through its candidates instead.
        let judges = (source == PairSource::Judge).then_some(0.0);
        measured.add(session, data, &known, judges)?;
        if source == PairSource::Judge {
            next = Some((known, pairs));
        }
    }
    if let Some((known, pairs)) = next {
        chain.models.push(known);
        if config.accumulate {
            chain.earlier.extend(pairs);
        }
    }
    Ok(IterationReport {
        model: folder,
        tasks,
        candidates: counts,
        judged: judged.counts,
        branches,
    })
}

/// Inputs of a branch of an iteration.
struct Step<'a> {
    folder: &'a str,
    /// Name of the chain's next model.
    next: String,
    source: PairSource,
    rows: &'a [CandidateRow],
}

/// Trains a model on the pairs of one source; returns no model if there are no pairs. `earlier` are
/// pairs of earlier iterations to learn from too. `steps` are the steps of the judge's training, so
/// that all branches get the same number.
fn learn<M: CausalLm>(
    session: &mut Session<'_>,
    step: &Step<'_>,
    model: &Known<M>,
    made: Made,
    earlier: &[TokenizedPair],
    steps: Option<u64>,
) -> Result<(Branch, Option<Known<M>>), RecipeError> {
    let Made {
        pairs,
        dropped,
        agreement,
        lines,
        ..
    } = made;
    let name = step.source.name();
    let mut branch = Branch {
        source: step.source,
        model: None,
        pairs: pairs.len(),
        dropped,
        agreement,
        agreement_in_common: None,
        scoring_seconds: 0.0,
        trained_pairs: 0,
        steps: 0,
        training_seconds: 0.0,
    };
    if pairs.is_empty() {
        if step.source != PairSource::Judge {
            return Ok((branch, None));
        }
        let reasons = branch.dropped.iter();
        let counts: Vec<String> = reasons
            .map(|(reason, n)| format!("{n} prompts with {reason:?}"))
            .collect();
        return Err(RecipeError::NoPairs {
            stage: format!(
                "judge of the answers of {} to {} tasks",
                step.folder,
                step.rows.len()
            ),
            dropped: counts.join(", "),
            advice: "more candidates, a higher temperature, or a judge that tells answers apart",
        });
    }
    let folder = session.run.folder(step.folder)?;
    let path = folder.join(format!("pairs-{name}.jsonl"));
    atomic_write(&path, lines.as_bytes())?;
    let all: Vec<TokenizedPair> = earlier.iter().chain(&pairs).cloned().collect();
    let trained_pairs = all.len();
    let steps = steps.unwrap_or_else(|| session.config.train.total_steps(trained_pairs));
    let stage = match step.source {
        PairSource::Judge => step.next.clone(),
        _ => format!("{}-{name}", step.next),
    };
    let trained = session.align(&stage, &model.model, all, steps)?;
    let known = Known::new(&stage, trained.model, trained.steps, trained.seconds);
    branch.model = Some(stage);
    branch.trained_pairs = trained_pairs;
    branch.steps = known.steps;
    branch.training_seconds = known.seconds;
    Ok((branch, Some(known)))
}
