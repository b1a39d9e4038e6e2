//! Judgements to learn from (EFT), made from answers that people have ranked.

use std::collections::BTreeMap;

use collimate_core::{Completion, Generator, OptionError, Prompt};
use collimate_data::{RankedAnswers, SftExample};
use collimate_judge::{
    Cache, EftExample, Grade, Item, RankRefusal, eft_example, score_of_rank, thin_common_score,
};
use collimate_nn::CausalLm;
use collimate_train::hash_json;
use serde::{Deserialize, Serialize};

use super::check::judge_tokens;
use super::config::EftFrom;
use super::data::SelfRewardingData;
use super::judging::{grade, grade_by, parsed};
use super::measured::Known;
use super::session::Session;
use crate::RecipeError;

/// Counts of making judgements from ranked answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EftReport {
    /// Source of the scores.
    pub from: EftFrom,
    /// Name of the judge; absent if the ranks alone give the scores.
    pub judge: Option<String>,
    /// Number of lists of ranked answers.
    pub lists: usize,
    /// Number of answers in these lists.
    pub answers: usize,
    /// Number of lists that are learnt from.
    pub kept: usize,
    /// Numbers of lists that are not learnt from, by reason.
    pub dropped: BTreeMap<RankRefusal, usize>,
    /// Number of examples of kept lists that were left out because they have the most common score.
    pub thinned: usize,
    /// Number of judgements to learn from.
    pub examples: usize,
    /// Number of judgements with each score.
    pub scores: BTreeMap<String, usize>,
    /// Number of judgements that the judge wrote.
    pub judgements: usize,
    /// Number of the judge's judgements that state a score.
    pub parsed: usize,
}

/// A list of ranked answers and the result of judging it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct EftRow {
    prompt: Prompt,
    answers: Vec<String>,
    merits: Vec<f64>,
    /// Judgements of the answers; empty if the list was not judged.
    grades: Vec<Grade>,
    /// Texts to learn, one for each answer, each with its score.
    kept: Option<Vec<(String, f64)>>,
    refused: Option<RankRefusal>,
}

/// The judge of ranked answers: a model of the run, or a named generator.
pub(super) enum RankJudge<'a, M> {
    Model(&'a Known<M>),
    Other(&'a str, &'a dyn Generator),
}

/// Makes judgements from the ranked answers; returns `None` without lists. `judge` is absent if the
/// ranks alone give the scores.
pub(super) fn from_ranks<M: CausalLm>(
    session: &mut Session<'_>,
    data: &SelfRewardingData<'_>,
    judge: Option<RankJudge<'_, M>>,
) -> Result<Option<(Vec<SftExample>, EftReport)>, RecipeError> {
    let lists = &data.ranked;
    if lists.is_empty() {
        return Ok(None);
    }
    let (name, hash) = match &judge {
        None => (None, None),
        Some(RankJudge::Model(known)) => (Some(known.name.clone()), Some(known.hash.clone())),
        Some(RankJudge::Other(name, _)) => (Some((*name).to_owned()), None),
    };
    let inputs = (&name, &hash, hash_json(lists));
    let (rows, _) = session.rows("eft", "judgements", &inputs, |session| match judge {
        None => Ok(of_ranks(session, lists)?),
        Some(judge) => of_judge(session, lists, &judge),
    })?;
    let mut report = EftReport {
        from: session.config.eft.from,
        judge: name,
        lists: rows.len(),
        answers: rows.iter().map(|row| row.answers.len()).sum(),
        kept: 0,
        dropped: BTreeMap::new(),
        thinned: 0,
        examples: 0,
        scores: BTreeMap::new(),
        judgements: 0,
        parsed: 0,
    };
    let counts = parsed(rows.iter().flat_map(|row| &row.grades));
    (report.judgements, report.parsed) = (counts.judgements, counts.parsed);
    let mut examples = Vec::new();
    for row in rows {
        if let Some(reason) = row.refused {
            *report.dropped.entry(reason).or_insert(0) += 1;
        }
        let Some(kept) = row.kept else {
            continue;
        };
        report.kept += 1;
        for (answer, (text, score)) in row.answers.iter().zip(kept) {
            let item = Item::new(row.prompt.clone(), answer.as_str());
            examples.push((example(session, &item, text)?, score));
        }
    }
    if examples.is_empty() {
        let allowed = "at least 1: give more lists, set eft.order to weak, take a better judge, or \
                       set eft.from to rank_map";
        let dropped: Vec<String> = report
            .dropped
            .iter()
            .map(|(reason, count)| format!("{count} {reason:?}").to_lowercase())
            .collect();
        let value = format!("0 of {} ({})", report.lists, dropped.join(", "));
        let name = "number of ranked lists whose judgements follow the ranks";
        return Err(OptionError::new(name, value, allowed).into());
    }
    let scores: Vec<f64> = examples.iter().map(|(_, score)| *score).collect();
    let left: Vec<usize> = match session.config.eft.thin {
        true => thin_common_score(&scores, session.key("eft")),
        false => (0..scores.len()).collect(),
    };
    report.thinned = scores.len() - left.len();
    report.examples = left.len();
    let mut taken = Vec::with_capacity(left.len());
    for index in left {
        let (example, score) = &examples[index];
        *report.scores.entry(score.to_string()).or_insert(0) += 1;
        taken.push(SftExample {
            prompt: example.prompt.clone(),
            completion: example.completion.clone(),
        });
    }
    Ok(Some((taken, report)))
}

/// Joins the judge's prompt for an item and a written judgement.
fn example(session: &Session<'_>, item: &Item, text: String) -> Result<EftExample, RecipeError> {
    let (rubric, style) = (&session.config.rubric, session.config.judge.style);
    let prompt = rubric
        .prompt(item, style)
        .map_err(RecipeError::judge("eft"))?;
    Ok(EftExample {
        prompt,
        completion: Completion::from(text),
    })
}

/// Scores answers by a fixed map of the ranks, without a justification.
fn of_ranks(session: &Session<'_>, lists: &[RankedAnswers]) -> Result<Vec<EftRow>, RecipeError> {
    let (rubric, style) = (&session.config.rubric, session.config.judge.style);
    let row = |list: &RankedAnswers| -> Result<EftRow, RecipeError> {
        let mut kept = Vec::new();
        for (index, answer) in list.answers.iter().enumerate() {
            let score = score_of_rank(rubric, &list.merits, index);
            let item = Item::new(list.prompt.clone(), answer.as_str());
            let made = eft_example(rubric, &item, "", score, style);
            let made = made.map_err(RecipeError::judge("eft"))?;
            kept.push((made.completion.text, score));
        }
        Ok(EftRow {
            kept: Some(kept),
            ..unjudged(list)
        })
    };
    lists.iter().map(row).collect()
}

fn unjudged(list: &RankedAnswers) -> EftRow {
    EftRow {
        prompt: list.prompt.clone(),
        answers: list.answers.clone(),
        merits: list.merits.clone(),
        grades: Vec::new(),
        kept: None,
        refused: None,
    }
}

/// Lets a judge write judgements and keeps those that follow the ranks.
fn of_judge<M: CausalLm>(
    session: &Session<'_>,
    lists: &[RankedAnswers],
    judge: &RankJudge<'_, M>,
) -> Result<Vec<EftRow>, RecipeError> {
    let context = match judge {
        RankJudge::Model(known) => known.model.max_positions(),
        RankJudge::Other(..) => usize::MAX,
    };
    let mut rows: Vec<EftRow> = lists.iter().map(unjudged).collect();
    let mut items = Vec::new();
    for row in &mut rows {
        let of_list: Vec<Item> = row
            .answers
            .iter()
            .map(|answer| Item::new(row.prompt.clone(), answer.as_str()))
            .collect();
        for item in &of_list {
            if context < usize::MAX && judge_tokens(session, item)? >= context {
                row.refused = Some(RankRefusal::TooLong);
            }
        }
        if row.refused.is_none() {
            items.extend(of_list);
        }
    }
    let stage = "judgements of ranked answers";
    let least = session.config.judge.min_parse_rate;
    let grades = match (items.is_empty(), judge) {
        (true, _) => Vec::new(),
        (_, RankJudge::Model(known)) => {
            grade(session, stage, &known.model, &known.hash, &items, least)?
        }
        (_, RankJudge::Other(name, generator)) => {
            grade_by(session, stage, name, *generator, &items, least)?
        }
    };
    let mut grades = grades.into_iter();
    for row in rows.iter_mut().filter(|row| row.refused.is_none()) {
        row.grades = grades.by_ref().take(row.answers.len()).collect();
        match agreeing(session, row) {
            Ok(kept) => row.kept = Some(kept),
            Err(reason) => row.refused = Some(reason),
        }
    }
    Ok(rows)
}

/// Returns the first set of judgements, one for each answer, that follows the ranks. Otherwise
/// returns the mildest reason.
fn agreeing(session: &Session<'_>, row: &EftRow) -> Result<Vec<(String, f64)>, RankRefusal> {
    let times = row.grades.iter().map(|grade| grade.votes.len()).min();
    let mut reason = RankRefusal::Unparsed;
    for sample in 0..times.unwrap_or(0) {
        let votes = row.grades.iter().map(|grade| &grade.votes[sample]);
        let judged: Option<Vec<(String, f64)>> = votes
            .map(|vote| Some((vote.text.clone(), vote.score?)))
            .collect();
        let Some(judged) = judged else {
            continue;
        };
        let scores: Vec<f64> = judged.iter().map(|(_, score)| *score).collect();
        match session.config.eft.order.follows(&scores, &row.merits) {
            Ok(()) => return Ok(judged),
            Err(found) => reason = reason.min(found),
        }
    }
    Err(reason)
}

/// Opens the cache of the run's judgements.
pub(super) fn cache(session: &Session<'_>) -> Result<std::sync::Arc<Cache>, RecipeError> {
    let path = session.run.folder("judge")?.join("cache.jsonl");
    let cache = Cache::open(path).map_err(RecipeError::judge("judge"))?;
    Ok(std::sync::Arc::new(cache))
}
