//! One run: M0 → M1 → M2 → …, the baseline, the branches, and what they are worth.

use std::collections::BTreeMap;
use std::time::Instant;

use collimate_core::Prompt;
use collimate_data::{SftExample, TextTokenizer, TokenizedExample, TokenizedPair};
use collimate_nn::{CausalLm, ConfigError};
use collimate_train::{Interrupt, Progress, RunFolder, atomic_write, model_hash};

use super::candidates::{CandidateRow, candidates};
use super::config::{PairSource, PromptSource, SelfRewardingConfig};
use super::data::SelfRewardingData;
use super::evaluate::{answers, held_out, judge_test, mean_score};
use super::judging::{grade, item, judge_candidates};
use super::outcome::{Branch, IterationReport, ModelReport, SelfRewardingOutcome};
use super::pairs::{Made, Scores, best_and_worst, evaluated, implicit};
use super::session::Session;
use super::tasks::{Pool, Writer, new_tasks};
use crate::RecipeError;
use crate::answers::{Answers, compare};

/// A model of the run with what is known of it.
struct Known<M> {
    name: String,
    model: M,
    hash: String,
    steps: u64,
    seconds: f64,
}

/// Answers that a judge is tried on before anything is built on it, where no pairs are given.
const PROBE: usize = 16;

/// Runs the loop from `m0`.
///
/// Every artefact is a file of rows in the run folder (tasks, candidates, judgements, implicit
/// rewards, pairs, answers), and a run that was stopped goes on from them.
///
/// # Errors
/// Options out of range; a judge whose judgements cannot be read, which is refused before anything
/// is learnt from it; an iteration without new tasks or without pairs; texts that cannot be
/// tokenised; a loss that is not finite; an interrupt.
pub fn self_reward<M: CausalLm>(
    m0: &M,
    tokenizer: &TextTokenizer,
    data: &SelfRewardingData<'_>,
    config: &SelfRewardingConfig,
    run: &mut RunFolder,
    interrupt: &Interrupt,
    progress: Progress,
) -> Result<SelfRewardingOutcome<M>, RecipeError> {
    config.check()?;
    check_data(data, config)?;
    let started = Instant::now();
    let mut pool = Pool::new(data, config)?;
    let session = &mut Session {
        config,
        tokenizer,
        run,
        interrupt,
        progress,
        eos: &data.eos,
    };
    let m0 = Known::new("m0", m0.clone().valid(), 0, 0.0);
    let sft = session.fine_tune("sft", &m0.model, &data.ift)?;
    let sft = Known::new("sft", sft.model, sft.steps, sft.seconds);
    let seed: Vec<SftExample> = [&data.ift, &data.eft, &data.tasks]
        .into_iter()
        .flatten()
        .cloned()
        .collect();
    let m1 = session.fine_tune("m1", &m0.model, &seed)?;
    let m1 = Known::new("m1", m1.model, m1.steps, m1.seconds);
    let mut measured = Measured::new(session, data)?;
    measured.add(session, data, &sft, None)?;
    let least = config.judge.min_parse_rate;
    if data.judge_test.is_empty() {
        probe(session, &m1, data)?;
    }
    measured.add(session, data, &m1, Some(least))?;
    let mut chain = vec![m1];
    let mut reports = Vec::new();
    let mut earlier: Vec<TokenizedPair> = Vec::new();
    for t in 1..=config.iterations {
        let folder = format!("m{t}");
        let (model, first) = (&chain[t - 1], &chain[0]);
        let writer = match (config.tasks.source, data.task_writer) {
            (PromptSource::Current, _) => Writer::Model(&model.model),
            (PromptSource::Fixed, None) => Writer::Model(&first.model),
            (PromptSource::Fixed, Some(other)) => Writer::Other(other),
        };
        let hash = match writer {
            Writer::Other(_) => "",
            Writer::Model(_) if config.tasks.source == PromptSource::Current => &model.hash,
            Writer::Model(_) => &first.hash,
        };
        let (prompts, tasks) = new_tasks(session, &folder, &mut pool, writer, hash)?;
        let (rows, mut counts) = candidates(session, &folder, &model.model, &model.hash, &prompts)?;
        let judged = judge_candidates(session, &folder, &model.model, &model.hash, &rows)?;
        let scores: Scores = judged
            .rows
            .iter()
            .map(|row| (0..row.grades.len()).map(|i| row.score(i)).collect())
            .collect();
        let grades = judged
            .rows
            .iter()
            .flat_map(|row| row.grades.iter().flatten());
        counts.unscored = grades.filter(|grade| grade.score.is_none()).count();
        let truth = match &data.evaluator {
            Some(evaluator) => Some(evaluated(session, &folder, evaluator, &rows)?),
            None => None,
        };
        let mut made = vec![(PairSource::Judge, judged.seconds, scores)];
        for &source in &config.compare {
            let (scores, seconds) = match source {
                PairSource::Judge => continue,
                PairSource::Evaluator => truth.clone().ok_or(RecipeError::NoJudge)?,
                PairSource::ImplicitReward => {
                    let before = if t == 1 { &m0 } else { first };
                    let hashes = (model.hash.as_str(), before.hash.as_str());
                    implicit(session, &folder, &model.model, &before.model, hashes, &rows)?
                }
            };
            made.push((source, seconds, scores));
        }
        let truth = truth.as_ref().map(|(scores, _)| scores);
        let mut steps = None;
        let mut branches = Vec::new();
        let mut next = None;
        for (source, seconds, scores) in made {
            let step = Step {
                folder: &folder,
                next: format!("m{}", t + 1),
                source,
                rows: &rows,
                truth,
            };
            let (branch, learnt) = learn(session, &step, model, &scores, &earlier, steps)?;
            branches.push(Branch {
                scoring_seconds: seconds,
                ..branch
            });
            let Some((known, pairs)) = learnt else {
                continue;
            };
            steps = steps.or(Some(known.steps));
            let judges = (source == PairSource::Judge).then_some(if t < config.iterations {
                least
            } else {
                0.0
            });
            measured.add(session, data, &known, judges)?;
            if source == PairSource::Judge {
                next = Some((known, pairs));
            }
        }
        reports.push(IterationReport {
            model: folder,
            tasks,
            candidates: counts,
            judged: judged.report,
            branches,
        });
        if let Some((known, pairs)) = next {
            chain.push(known);
            if config.accumulate {
                earlier.extend(pairs);
            }
        }
    }
    Ok(SelfRewardingOutcome {
        comparisons: measured.comparisons(session, &data.prompts, config.iterations)?,
        models: measured.models,
        weights: measured.weights,
        iterations: reports,
        seed_data: (data.ift.len(), data.eft.len(), data.tasks.len()),
        evaluator: data.evaluator.as_ref().map(|e| e.name.clone()),
        seconds: started.elapsed().as_secs_f64(),
    })
}

fn check_data(
    data: &SelfRewardingData<'_>,
    config: &SelfRewardingConfig,
) -> Result<(), RecipeError> {
    if data.evaluator.is_some() && data.prompts.is_empty() {
        return Err(RecipeError::Empty {
            part: "the part with prompts for the evaluator",
        });
    }
    if data.evaluator.is_none() && config.compare.contains(&PairSource::Evaluator) {
        let allowed = "sources that are there: give an evaluator, or leave it out";
        return Err(ConfigError::new("compare", "evaluator", allowed).into());
    }
    if data.task_writer.is_some() && config.tasks.source == PromptSource::Current {
        let allowed = "fixed, where somebody else poses the tasks";
        return Err(ConfigError::new("tasks.source", "current", allowed).into());
    }
    Ok(())
}

impl<M: CausalLm> Known<M> {
    fn new(name: &str, model: M, steps: u64, seconds: f64) -> Self {
        Self {
            name: name.to_owned(),
            hash: model_hash(&model),
            model,
            steps,
            seconds,
        }
    }
}

/// Lets M1 judge a few known answers: a model that cannot is refused here.
fn probe<M: CausalLm>(
    session: &Session<'_>,
    m1: &Known<M>,
    data: &SelfRewardingData<'_>,
) -> Result<(), RecipeError> {
    let seeds = data.seed_prompts.iter();
    let known = data
        .ift
        .iter()
        .map(|row| item(&row.prompt, &row.completion));
    // Without demonstrations any text will do to see whether a score comes back.
    let items: Vec<_> = match data.ift.is_empty() {
        false => known.take(PROBE).collect(),
        true => seeds
            .take(PROBE)
            .map(|prompt: &Prompt| item(prompt, &prompt.to_plain().into()))
            .collect(),
    };
    let least = session.config.judge.min_parse_rate;
    grade(session, "m1 as a judge", &m1.model, &m1.hash, &items, least).map(|_| ())
}

/// What a branch of an iteration works on.
struct Step<'a> {
    folder: &'a str,
    /// The name of the chain's next model.
    next: String,
    source: PairSource,
    rows: &'a [CandidateRow],
    truth: Option<&'a Scores>,
}

/// A model and the pairs of its own that it has learnt from.
type Learnt<M> = (Known<M>, Vec<TokenizedPair>);

/// The model that learns from the pairs of one source, and these pairs; nothing where there are none. `earlier` are those of earlier
/// iterations to learn from too; `steps` those of the judge's training, so that no branch gets more.
fn learn<M: CausalLm>(
    session: &mut Session<'_>,
    step: &Step<'_>,
    model: &Known<M>,
    scores: &Scores,
    earlier: &[TokenizedPair],
    steps: Option<u64>,
) -> Result<(Branch, Option<Learnt<M>>), RecipeError> {
    let Made {
        pairs,
        dropped,
        agreement,
        lines,
    } = best_and_worst(step.rows, scores, step.truth);
    let name = step.source.name();
    let mut branch = Branch {
        source: step.source,
        model: None,
        pairs: pairs.len(),
        dropped,
        agreement,
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
            stage: format!("judge of the candidates of {}", step.folder),
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
    Ok((branch, Some((known, pairs))))
}

/// What is known of all models so far.
struct Measured<M> {
    models: Vec<ModelReport>,
    weights: Vec<M>,
    /// Answers by name.
    answers: BTreeMap<String, Answers>,
    held_out: Vec<TokenizedExample>,
}

impl<M: CausalLm> Measured<M> {
    fn new(session: &Session<'_>, data: &SelfRewardingData<'_>) -> Result<Self, RecipeError> {
        let config = session.config;
        let (held_out, _) = session.tokenizer.encode_examples(
            &data.held_out,
            config.max_length,
            config.truncation,
            |_, _| {},
        )?;
        Ok(Self {
            models: Vec::new(),
            weights: Vec::new(),
            answers: BTreeMap::new(),
            held_out,
        })
    }

    /// Measures a model; `judges` is the parse rate that it must reach as a judge, if it is one.
    fn add(
        &mut self,
        session: &mut Session<'_>,
        data: &SelfRewardingData<'_>,
        known: &Known<M>,
        judges: Option<f64>,
    ) -> Result<(), RecipeError> {
        let Known {
            name, model, hash, ..
        } = known;
        // First, so that a judge that cannot judge is found out early.
        let judge = match judges {
            Some(least) => judge_test(session, name, model, hash, data, least)?,
            None => None,
        };
        let (mut report, mut task_accuracy) = (None, None);
        if let Some(evaluator) = &data.evaluator {
            let own = answers(session, name, model, hash, data, evaluator)?;
            let start = self.answers.get(SFT).unwrap_or(&own);
            let key = session.key("comparison");
            report = Some(compare(&own, start, &data.prompts, None, key)?);
            if let Some(task) = &data.task_accuracy {
                task_accuracy = mean_score(task, &data.prompts, &own)?;
            }
            self.answers.insert(name.clone(), own);
        }
        self.models.push(ModelReport {
            name: name.clone(),
            answers: report,
            perplexity: held_out(model, &self.held_out)?,
            task_accuracy,
            judge,
            steps: known.steps,
        });
        self.weights.push(model.clone());
        Ok(())
    }

    /// Each model of the chain against the one before, the last against the baseline, and branches
    /// against the model that they started from.
    fn comparisons(
        &self,
        session: &Session<'_>,
        prompts: &[Prompt],
        iterations: usize,
    ) -> Result<BTreeMap<String, crate::AnswerReport>, RecipeError> {
        let mut pairs = vec![("m1".to_owned(), SFT.to_owned())];
        for t in 1..=iterations {
            let (before, next) = (format!("m{t}"), format!("m{}", t + 1));
            let branches = self.models.iter().map(|model| &model.name);
            let branches = branches.filter(|name| name.starts_with(&format!("{next}-")));
            pairs.extend(branches.map(|name| (name.clone(), before.clone())));
            pairs.push((next, before));
        }
        pairs.push((format!("m{}", iterations + 1), SFT.to_owned()));
        let mut found = BTreeMap::new();
        for (a, b) in pairs {
            let (Some(own), Some(other)) = (self.answers.get(&a), self.answers.get(&b)) else {
                continue;
            };
            let key = session.key("comparison");
            let report = compare(own, other, prompts, None, key)?;
            found.insert(format!("{a}_vs_{b}"), report);
        }
        Ok(found)
    }
}

/// The baseline: demonstrations alone.
const SFT: &str = "sft";
