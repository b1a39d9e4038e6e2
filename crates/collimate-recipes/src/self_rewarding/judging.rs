//! Judging by the model itself.

use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

use collimate_core::{Completion, GenerateError, Generator, Prompt, Sampling};
use collimate_judge::{Grade, Item, JudgeError, JudgeOptions};
use collimate_lm::{GenerationProgress, TextGenerator, Watch};
use collimate_nn::CausalLm;
use collimate_train::{Interrupt, Meter};
use serde::{Deserialize, Serialize};

use super::candidates::{CandidateRow, is_usable};
use super::check::judge_tokens;
use super::eft::cache;
use super::outcome::JudgementCounts;
use super::session::Session;
use crate::RecipeError;

/// Judgements of a prompt's candidates; `None` for a candidate that was not judged.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct GradeRow {
    pub(super) prompt: Prompt,
    pub(super) grades: Vec<Option<Grade>>,
}

impl GradeRow {
    pub(super) fn score(&self, candidate: usize) -> Option<f64> {
        self.grades[candidate].as_ref()?.score
    }
}

/// Result of a stage of judging.
pub(super) struct Judged<T> {
    pub(super) rows: Vec<T>,
    pub(super) counts: JudgementCounts,
    /// Number of answers whose judge's prompt is longer than the model's context.
    pub(super) too_long: usize,
    pub(super) seconds: f64,
}

/// Lets the model that wrote the candidates grade them.
pub(super) fn judge_candidates<M: CausalLm>(
    session: &mut Session<'_>,
    folder: &str,
    model: &M,
    hash: &str,
    rows: &[CandidateRow],
) -> Result<Judged<GradeRow>, RecipeError> {
    let context = model.max_positions();
    let (mut items, mut judged, mut too_long) = (Vec::new(), Vec::new(), 0);
    for row in rows {
        let mut row_judged = Vec::new();
        for candidate in &row.candidates {
            let item = item(&row.prompt, candidate);
            let fits = is_usable(candidate) && judge_tokens(session, &item)? < context;
            too_long += usize::from(is_usable(candidate) && !fits);
            row_judged.push(fits);
            if fits {
                items.push(item);
            }
        }
        judged.push(row_judged);
    }
    if items.is_empty() {
        return Err(RecipeError::NoPairs {
            stage: format!("candidates of {folder}"),
            dropped: format!(
                "every one is empty or does not end within its tokens; {too_long} are too long to be \
                 judged"
            ),
            advice: "allow longer answers, or start from a model that ends them",
        });
    }
    let inputs = (hash, collimate_train::hash_json(&items));
    let least = session.config.judge.min_parse_rate;
    let (grades, seconds) = session.rows(folder, "judgements", &inputs, |session| {
        let stage = format!("{folder} judging");
        let grades = grade(session, &stage, model, hash, &items, least)?;
        let mut left = grades.into_iter();
        let grades = rows.iter().zip(&judged).map(|(row, judged)| GradeRow {
            prompt: row.prompt.clone(),
            grades: judged
                .iter()
                .map(|&judged| if judged { left.next() } else { None })
                .collect(),
        });
        Ok(grades.collect())
    })?;
    let counts = parsed(grades.iter().flat_map(|row| row.grades.iter().flatten()));
    Ok(Judged {
        rows: grades,
        counts,
        too_long,
        seconds,
    })
}

/// Returns an item without token ids, which a judge does not see.
pub(super) fn item(prompt: &Prompt, answer: &Completion) -> Item {
    Item::new(prompt.clone(), answer.text.clone())
}

/// Grades items. Judgements that a killed run has already made are read from the cache.
pub(super) fn grade<M: CausalLm>(
    session: &Session<'_>,
    stage: &str,
    model: &M,
    hash: &str,
    items: &[Item],
    least: f64,
) -> Result<Vec<Grade>, RecipeError> {
    let options = options(session, least);
    let sampler = session.sampler();
    let samples = if options.sampling.temperature == 0.0 {
        1
    } else {
        options.samples
    };
    let total = (items.len() * samples) as u64;
    let writer = Watched {
        generator: sampler.generator(model),
        state: Mutex::new(State {
            meter: session.progress.start(stage, 0, total),
            before: 0,
            interrupt: session.interrupt,
        }),
    };
    let failed = |source| match source {
        JudgeError::Generate(error) => sampler.generation(stage, error),
        source => RecipeError::judge(stage)(source),
    };
    let judge = collimate_judge::Judge::new(hash, &writer, options).map_err(failed)?;
    let grades = judge
        .with_cache(cache(session)?)
        .grade(&session.config.rubric, items)
        .map_err(failed)?;
    Ok(grades.grades)
}

/// Returns the options of judging, with the parse rate that must be reached.
fn options(session: &Session<'_>, least: f64) -> JudgeOptions {
    let mut options = session.config.judge.clone();
    options.min_parse_rate = least;
    options.sampling.seed = session.sampling_seed("judge");
    options
}

/// Grades items with a generator that is not a model of the run.
pub(super) fn grade_by(
    session: &Session<'_>,
    stage: &str,
    name: &str,
    generator: &dyn Generator,
    items: &[Item],
    least: f64,
) -> Result<Vec<Grade>, RecipeError> {
    let sampler = session.sampler();
    let failed = |source| match source {
        JudgeError::Generate(error) => sampler.generation(stage, error),
        source => RecipeError::judge(stage)(source),
    };
    let writer = Stoppable {
        generator,
        interrupt: session.interrupt,
    };
    let judge = collimate_judge::Judge::new(name, &writer, options(session, least));
    let judge = judge.map_err(&failed)?.with_cache(cache(session)?);
    let grades = judge.grade(&session.config.rubric, items);
    Ok(grades.map_err(&failed)?.grades)
}

/// A generator that refuses further calls once the run is interrupted.
struct Stoppable<'a> {
    generator: &'a dyn Generator,
    interrupt: &'a Interrupt,
}

impl Generator for Stoppable<'_> {
    fn generate(
        &self,
        prompts: &[Prompt],
        sampling: &Sampling,
    ) -> Result<Vec<Vec<Completion>>, GenerateError> {
        match self.interrupt.is_set() {
            true => Err(GenerateError::Interrupted),
            false => self.generator.generate(prompts, sampling),
        }
    }
}

/// Counts the judgements of these grades and those that parsed. Grades read from a file give the
/// same counts as new ones.
pub(super) fn parsed<'g>(grades: impl Iterator<Item = &'g Grade>) -> JudgementCounts {
    let mut report = JudgementCounts::default();
    for vote in grades.flat_map(|grade| &grade.votes) {
        report.judgements += 1;
        report.parsed += usize::from(vote.score.is_some());
        if vote.score.is_none() {
            let example = || vote.text.chars().take(120).collect();
            report.example.get_or_insert_with(example);
        }
    }
    report
}

/// A model that judges in many calls, with one progress bar.
struct Watched<'a, M: CausalLm> {
    generator: TextGenerator<M>,
    state: Mutex<State<'a>>,
}

struct State<'a> {
    meter: Meter,
    /// Number of judgements in earlier calls.
    before: usize,
    interrupt: &'a Interrupt,
}

impl Watch for State<'_> {
    fn progress(&mut self, now: GenerationProgress) -> ControlFlow<()> {
        let done = self.before + now.finished;
        self.meter.set(done as u64, "judgements");
        match self.interrupt.is_set() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

impl<M: CausalLm + Send + Sync> Generator for Watched<'_, M> {
    fn generate(
        &self,
        prompts: &[Prompt],
        sampling: &Sampling,
    ) -> Result<Vec<Vec<Completion>>, GenerateError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let written = self
            .generator
            .generate_watched(prompts, sampling, &mut *state)?;
        state.before += prompts.len() * sampling.n;
        Ok(written)
    }
}
